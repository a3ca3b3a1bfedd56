"""How long it takes to be given work, and to save an answer, in a large project, whatever state it is in.

100,000 items and twenty people; every table is filled directly. `left` is the count beside the labeller.

python -m tests.benchmarks.bench_claims [--items 100000]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlmodel import insert, select

from labeling.annotation import answers, queue
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Assignment, Item, Label, LabelClass, QueueEntry, Ranking, Role, User
from labeling.projects import create_project
from labeling.users import grant, local_user
from labeling.workspace import Workspace, open_workspace
from tests.benchmarks.report import machine
from tests.db.small_project import answer_to, new_event

PEOPLE, RANKED, GOLD = 20, 500, 60
PART = 20_000  # rows inserted at once
TIMES = 5


@dataclass(frozen=True)
class State:
    """A project: what it asks for, how many answers its items have, and who gave them."""

    settings: dict[str, Any]
    answers: tuple[float, ...]  # the share of items with no answer, with one, ...
    ranked: bool = True
    gold: bool = False
    alone: bool = False  # one person answered everything
    wanting: int = 0  # another opinion is wanted on every so many items


STATES = {
    "nothing answered, no ranking yet": State({}, (1.0,), ranked=False),
    "half answered": State({}, (0.5, 0.5)),
    "all answered but 200": State({}, (0.002, 0.998)),
    "all answered": State({}, (0.0, 1.0), ranked=False),
    "overlap 2, nothing answered, no ranking yet": State({"overlap": 2}, (1.0,), ranked=False),
    "overlap 2, all answered once, the ranking used up": State({"overlap": 2}, (0.0, 1.0), ranked=False),
    "overlap 2, all answered once, by one person who asks": State({"overlap": 2}, (0.0, 1.0), ranked=False, alone=True),
    "overlap 2, gold items, all answered but 200": State(
        {"overlap": 2, "gold_share": 0.1}, (0.002, 0.0, 0.998), ranked=False, gold=True
    ),
    "by need, all answered once": State({"overlap": 5, "opinions": "by_need"}, (0.0, 1.0), ranked=False),
    "by need, all answered once, a third wants another": State(
        {"overlap": 5, "opinions": "by_need"}, (0.0, 1.0), ranked=False, wanting=3
    ),
}


def filled(root: Path, n: int, state: State) -> tuple[Workspace, int, int]:
    """The workspace, the project, and one of its people."""
    workspace = open_workspace(root)
    me, rng = local_user(workspace), np.random.default_rng(0)
    project = create_project(workspace, me, "large", ["a", "b", "c"], settings=state.settings)
    with writing(workspace.engine) as session:
        users = [User(name=f"person {number}") for number in range(PEOPLE)]
        session.add_all(users)
        session.flush()
        people = [user.id or 0 for user in users]
        for person in people:
            grant(session, project, person, Role.ANNOTATOR)
        classes = [c or 0 for c in session.exec(select(LabelClass.id)).all()]
    given = rng.choice(len(state.answers), n, p=state.answers)
    items, leases, annotations, labels = [], [], [], []
    for i, count in enumerate(given.tolist()):
        items.append({"project_id": project, "external_id": f"item {i}", "text": f"text {i}", "row": i, "meta": {},
                      "content_hash": f"{hash((i, 1)) & 0xFFFFFFFF:08x}", "answers": count,
                      "gold": state.gold and i < GOLD,
                      "wanted": count + 1 if state.wanting and i % state.wanting == 0 else None})  # fmt: skip
        for person in [people[0]] * count if state.alone else rng.choice(people, count, replace=False).tolist():
            leases.append({"project_id": project, "item_id": i + 1, "user_id": person, "token": "t",
                           "state": "answered", "expires": 0.0})  # fmt: skip
            annotations.append({"id": new_event(), "project_id": project, "item_id": i + 1, "user_id": person,
                                "verdict": "label", "class_id": classes[0], "assignment_id": len(leases),
                                "seconds": 1.0})  # fmt: skip
        if count:
            labels.append({"item_id": i + 1, "project_id": project, "class_id": classes[0], "source": "consensus",
                           "answers": count, "confidence": 1.0})  # fmt: skip
    tables: list[tuple[Any, list[dict[str, Any]]]] = [
        (Item, items), (Assignment, leases), (Annotation, annotations), (Label, labels),
    ]  # fmt: skip
    with writing(workspace.engine) as session:
        for table, rows in tables:
            for start in range(0, len(rows), PART):
                session.connection().execute(insert(table), rows[start : start + PART])
        if state.ranked:
            ranking = Ranking(project_id=project, strategy="margin", annotation_seq=0, candidates=n)
            session.add(ranking)
            session.flush()
            for place, i in enumerate(rng.permutation(np.flatnonzero(given == 0))[:RANKED].tolist()):
                session.add(QueueEntry(ranking_id=ranking.id, position=place, item_id=i + 1, utility=0.5))
    return workspace, project, people[0]


def milliseconds(task: Callable[[], Any]) -> tuple[float, Any]:
    """How long it took, and what came of it."""
    began = time.perf_counter()
    came = task()
    return 1000 * (time.perf_counter() - began), came


def measure(workspace: Workspace, project: int, person: int) -> dict[str, float]:
    """Medians in milliseconds."""
    spent: dict[str, list[float]] = {"claim 1": [], "claim 8": [], "save": [], "left": []}
    with reading(workspace.engine) as session:
        class_id = session.exec(select(LabelClass.id).limit(1)).one() or 0
    for _ in range(TIMES):
        took, claimed = milliseconds(lambda: queue.claim(workspace, person, project, 1))
        spent["claim 1"].append(took)
        took, more = milliseconds(lambda: queue.claim(workspace, person, project, 8))
        spent["claim 8"].append(took)
        for claim in [*claimed, *more]:
            answer = answer_to(claim, class_id)
            took, (outcome,) = milliseconds(lambda a=answer: answers.submit(workspace, person, [a]))
            assert outcome.status == "saved", outcome
            spent["save"].append(took)
        took, _ = milliseconds(lambda: queue.count_remaining(workspace, person, project, at_most=1000))
        spent["left"].append(took)
    return {name: float(np.median(values)) if values else float("nan") for name, values in spent.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    asked = parser.parse_args()
    print(f"Milliseconds, medians of {TIMES}; {asked.items:,} items; {machine()}.\n")
    print("| state | claim 1 | claim 8 | save | left |\n|---|---|---|---|---|")
    for name, state in STATES.items():
        with tempfile.TemporaryDirectory() as folder:
            workspace, project, person = filled(Path(folder) / "workspace", asked.items, state)
            found = measure(workspace, project, person)
            print(f"| {name} | " + " | ".join(f"{value:.0f}" for value in found.values()) + " |", flush=True)
            workspace.engine.dispose()


if __name__ == "__main__":
    main()
