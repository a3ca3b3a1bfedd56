"""The same as `bench_people`, `bench_careless` and `bench_label_errors`, asked of the product itself.

6,000 items of CIFAR-10H in a workspace of their own, 12 simulated annotators, two of them careless (see
`tests.benchmarks.crowd`). They claim and answer as the labeller does, some items at a time and in turn; the worker's
jobs run after every `ROUND` answers. What is looked at is what the project says: its labels, who is flagged, and the
review queue.

python -m tests.benchmarks.bench_team need [--seeds 3]      by need against an overlap of 3, gold items among them
python -m tests.benchmarks.bench_team errors [--seeds 10]   the first 5 % of the review queue
"""

import argparse
import csv
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sqlmodel import select

import labeling
from labeling import jobs
from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer
from labeling.annotation.review import read_review
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, Job, JobKind, JobState, Label, Role, User
from labeling.learning.people_records import read_records
from labeling.learning.training import learn
from labeling.learning.weighing_job import run_weighing
from labeling.users import grant
from labeling.verbs import OpenWorkspace
from tests.benchmarks import bench_people, crowd
from tests.benchmarks.report import machine
from tests.db.small_project import new_event

ROUND = 500  # answers between two rounds of the worker
SCREEN = 25  # items that a person claims at a time
GOLD = 60
FIRST = 0.05  # of the review queue
PAGE = 100


@dataclass
class Team:
    """A project of all images, its people, and the class ids by the crowd's classes."""

    at: OpenWorkspace
    project: int
    people: list[int]
    classes: list[int]
    image_of: dict[int, int]  # by item id
    drawn: crowd.People

    @classmethod
    def make(
        cls,
        root: Path,
        drawn: crowd.People,
        features: NDArray[np.floating[Any]],
        labels: str = "ignore",
        **settings: Any,
    ) -> "Team":
        """Make the project, with the crowd's given labels where `labels` says so."""
        known = bench_people.people_said()
        at = labeling.open_workspace(root / "workspace")
        project = at.create_project("CIFAR-10H", known.names, encoder="brought", **settings)
        table, matrix = root / "items.csv", root / "features.npy"
        with table.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "text", "label"])
            names = [f"image {image}" for image in range(len(known.files))]
            rows.writerows((name, name, known.names[c]) for name, c in zip(names, known.given, strict=True))
        np.save(matrix, features.astype(np.float32))
        at.import_items(project, table, labels=labels)  # type: ignore[arg-type]
        at.import_features(project, matrix)
        with writing(at.workspace.engine) as session:
            users = [User(name=f"Person {number}") for number in range(len(drawn))]
            session.add_all(users)
            session.flush()
            people = [user.id for user in users if user.id is not None]
            for person in people:
                grant(session, project, person, Role.ANNOTATOR)
        with reading(at.workspace.engine) as session:
            items = session.exec(select(Item.id, Item.external_id).where(Item.project_id == project)).all()
        ids = {c["name"]: c["id"] for c in at.classes(project)}
        return cls(
            at, project, people, [ids[name] for name in known.names],
            {item: int(name.removeprefix("image ")) for item, name in items if item is not None}, drawn,
        )  # fmt: skip

    def label(self, rounds: bool = True) -> int:
        """Label until nobody is asked anything; returns how many answers were given."""
        given, since, idle = 0, 0, 0
        ended = False
        self.work()
        while not ended:
            before = given
            for number, person in enumerate(self.people):
                claims = queue.claim(self.at.workspace, person, self.project, SCREEN)
                images = np.array([self.image_of[claim.item.id] for claim in claims], dtype=np.int64)
                chosen = self.drawn.answers(np.full(len(images), number), images)
                sent = [
                    Answer(
                        event_id=new_event(), assignment_id=claim.assignment_id, token=claim.token, verdict="label",
                        class_id=self.classes[c], seconds=1.0,
                    )
                    for claim, c in zip(claims, chosen.tolist(), strict=True)
                ]  # fmt: skip
                outcomes = answers.submit(self.at.workspace, person, sent)
                assert all(outcome.status == "saved" for outcome in outcomes), outcomes
                given += len(sent)
            if rounds and given - since >= ROUND:
                since = given
                self.work()
            if given > before:
                idle = 0
            elif idle or not rounds:
                ended = True
            else:
                idle, since = 1, given
                self.work()
        self.work()
        return given

    def work(self) -> None:
        """Let the worker learn and weigh; and learn again what weighing asks for."""
        for kind, perform in ((JobKind.TRAIN, learn), (JobKind.WEIGH, run_weighing), (JobKind.TRAIN, learn)):
            with writing(self.at.workspace.engine) as session:
                jobs.request(session, self.project, kind)
            job = jobs.take(self.at.workspace, "bench", project_id=self.project, kinds={kind})
            assert job is not None and job.id is not None
            perform(self.at.workspace, job)
            ended: Job = jobs.read(self.at.workspace, job.id)
            assert (ended.state, ended.error) == (JobState.DONE, ""), ended.error

    def accuracy(self) -> tuple[float, int]:
        """Of the labels, those that are what most people say, in percent; and how many items have none."""
        truth = bench_people.people_said().majority
        with reading(self.at.workspace.engine) as session:
            labels = session.exec(select(Label.item_id, Label.class_id).where(Label.project_id == self.project)).all()
        right = [self.classes[truth[self.image_of[item]]] == class_id for item, class_id in labels]
        return 100 * sum(right) / len(truth), len(truth) - len(labels)


def by_need(seed: int, opinions: str, overlap: int, features: str, certainty: float) -> dict[str, Any]:
    """One project, labeled to its end."""
    known = bench_people.people_said()
    drawn = crowd.draw_people(known, np.random.default_rng(seed))
    vectors = bench_people.features() if features == "own" else np.log(np.maximum(crowd.predicted(), 1e-6))
    gold = np.random.default_rng([seed, 1]).choice(len(known.files), GOLD, replace=False)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        team = Team.make(root, drawn, vectors, opinions=opinions, overlap=overlap, certainty=certainty)
        with (root / "gold.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["external_id", "class"])
            rows.writerows((f"image {image}", known.names[known.majority[image]]) for image in gold)
        team.at.gold(team.project, root / "gold.csv")
        given = team.label(rounds=opinions == "by_need")
        accuracy, without = team.accuracy()
        records = {one.name: one for one in read_records(team.at.workspace, team.at.user_id, team.project).people}
        queue_length = read_review(team.at.workspace, team.at.user_id, team.project, limit=1).total
        team.at.workspace.engine.dispose()
    careless = [f"Person {number}" for number in np.flatnonzero(drawn.carelessness)]
    after = [(records[name].gold or {}).get("flagged_after") for name in careless]
    return {
        "seed": seed, "opinions": opinions, "overlap": overlap, "features": features, "certainty": certainty,
        "answers": given, "accuracy": accuracy, "without": without, "review": queue_length, "flagged after": after,
        "gold a person": min((one.gold or {}).get("answered", 0) for one in records.values()),
        "others flagged": sum(one.flagged for name, one in records.items() if name not in careless),
        "seconds": time.perf_counter() - began,
    }  # fmt: skip


def errors(seed: int, carelessness: bool = False) -> dict[str, Any]:
    """Two people an image on top of imported labels; how many of the wrong ones come first in Review."""
    known = bench_people.people_said()
    careless = crowd.CARELESS if carelessness else {}
    drawn = crowd.draw_people(known, np.random.default_rng(seed), careless=careless)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        vectors = np.log(np.maximum(crowd.predicted(), 1e-6))
        team = Team.make(Path(folder), drawn, vectors, labels="imported", overlap=3)
        given = team.label(rounds=False)
        first: list[int] = []
        count = round(FIRST * len(known.files))
        for offset in range(0, count, PAGE):
            found = read_review(team.at.workspace, team.at.user_id, team.project, offset=offset, limit=PAGE)
            first += [item.item_id for item in found.items]
        total = found.total
        team.at.workspace.engine.dispose()
    met = sum(known.doubtful[team.image_of[item]] for item in first[:count])
    return {
        "seed": seed, "careless": carelessness, "answers": given, "queue": total, "first": len(first),
        "recall": 100 * met / known.doubtful.sum(), "seconds": time.perf_counter() - began,
    }  # fmt: skip


def need(seeds: int, processes: int) -> pd.DataFrame:
    ways = [("fixed", 3, "own", 0.95), ("by_need", 5, "own", 0.95), ("by_need", 5, "own", 0.97)]
    done = Parallel(processes)(delayed(by_need)(seed, *way) for seed in range(seeds) for way in ways)
    return pd.DataFrame(done)


def review(seeds: int, processes: int) -> pd.DataFrame:
    done = Parallel(processes)(delayed(errors)(seed, careless) for careless in (False, True) for seed in range(seeds))
    return pd.DataFrame(done)


def main() -> None:
    parts = {"need": need, "errors": review}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    if (why := crowd.missing()) is not None:
        print(why)
        return
    table = parts[asked.part](asked.seeds, asked.processes)
    print(f"{asked.seeds} seeds; {machine()}.")
    print(table.to_string())
    print(table.drop(columns=["flagged after"], errors="ignore").groupby(
        [name for name in ("opinions", "overlap", "features", "certainty", "careless") if name in table]
    ).mean().to_string())  # fmt: skip


if __name__ == "__main__":
    from tests.benchmarks import bench_team  # by its name, by which other processes find what they are given

    bench_team.main()
