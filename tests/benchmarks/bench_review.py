"""How long Review takes in a large project, and how long people's saves wait beside it.

100,000 items with two answers each by twenty people, of which some 13,000 items are disagreed on; every table is filled
directly. `save` is one answer of somebody else, alone and while an expert's page asks for the list again and again.

python -m tests.benchmarks.bench_review [--items 100000]
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sqlmodel import insert, select

from labeling.annotation import answers, merging, queue, review, team
from labeling.annotation.adjudication import Decision, decide
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Assignment, Doubt, Item, Label, LabelClass, Role, User
from labeling.projects import create_project
from labeling.users import grant, local_user
from labeling.workspace import Workspace, open_workspace
from tests.benchmarks.report import machine
from tests.db.small_project import answer_to, new_event

CLASSES, PEOPLE, RIGHT = 10, 20, 0.93
PART = 20_000  # rows inserted at once
SAVES = 20


def filled(root: Path, n: int) -> tuple[Workspace, int, int, list[int]]:
    """The workspace, the project, its expert and its annotators."""
    workspace = open_workspace(root)
    me, rng = local_user(workspace), np.random.default_rng(0)
    project = create_project(workspace, me, "large", [f"class {c}" for c in range(CLASSES)], settings={"overlap": 2})
    with writing(workspace.engine) as session:
        users = [User(name=f"person {number}") for number in range(PEOPLE + 1)]
        session.add_all(users)
        session.flush()
        expert, *people = [user.id or 0 for user in users]
        grant(session, project, expert, Role.EXPERT)
        for person in people:
            grant(session, project, person, Role.ANNOTATOR)
        classes = [c or 0 for c in session.exec(select(LabelClass.id)).all()]
    truth = rng.integers(0, CLASSES, n)
    who = np.argsort(rng.random((n, PEOPLE)), axis=1)[:, :2]
    said = np.where(rng.random((n, 2)) < RIGHT, truth[:, None], rng.integers(0, CLASSES, (n, 2)))
    disputed = said[:, 0] != said[:, 1]
    items = [
        {"project_id": project, "external_id": f"item {i}", "content_hash": f"{i:08x}", "text": f"text {i}", "row": i,
         "answers": 2, "disputed": bool(disputed[i]), "meta": {}}
        for i in range(n)
    ]  # fmt: skip
    leases, given = [], []
    for i in range(n):
        for person, chosen in zip(who[i], said[i], strict=True):
            leases.append({"project_id": project, "item_id": i + 1, "user_id": people[person], "token": "t",
                           "state": "answered", "expires": 0.0})  # fmt: skip
            given.append({"id": new_event(), "project_id": project, "item_id": i + 1, "user_id": people[person],
                          "verdict": "label", "class_id": classes[chosen], "assignment_id": len(leases),
                          "seconds": 1.0, "flagged": bool(rng.random() < 0.002)})  # fmt: skip
    labels = [
        {"item_id": i + 1, "project_id": project, "class_id": classes[said[i, 0]], "source": "consensus", "answers": 2,
         "confidence": 0.8 if disputed[i] else 0.99, "method": "difficulty"}
        for i in range(n)
    ]  # fmt: skip
    doubts = [
        {
            "item_id": int(i) + 1,
            "project_id": project,
            "score": float(rng.random()),
            "class_id": classes[0],
            "why": "so",
        }
        for i in rng.choice(n, min(n, 2_000), replace=False)
    ]
    tables: list[tuple[Any, list[dict[str, Any]]]] = [
        (Item, items), (Assignment, leases), (Annotation, given), (Label, labels), (Doubt, doubts),
    ]  # fmt: skip
    with writing(workspace.engine) as session:
        for table, rows in tables:
            for start in range(0, len(rows), PART):
                session.connection().execute(insert(table), rows[start : start + PART])
    with writing(workspace.engine) as session:  # open to be answered
        added = [
            {"project_id": project, "external_id": f"new {i}", "content_hash": f"n{i}", "text": "new", "row": n + i,
             "meta": {}}
            for i in range(10 * SAVES)
        ]  # fmt: skip
        session.connection().execute(insert(Item), added)
    return workspace, project, expert, people


def seconds_of(task: Callable[[], object], times: int = 3) -> float:
    """The median."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        task()
        spent.append(time.perf_counter() - began)
    return float(np.median(spent))


def saves(workspace: Workspace, project: int, person: int) -> tuple[float, float]:
    """Milliseconds of one answer, claimed and saved: the median and the longest."""
    spent = []
    for _ in range(SAVES):
        (claim,) = queue.claim(workspace, person, project, 1)
        with reading(workspace.engine) as session:
            class_id = session.exec(select(LabelClass.id).limit(1)).one()
        began = time.perf_counter()
        answers.submit(workspace, person, [answer_to(claim, class_id)])
        spent.append(1000 * (time.perf_counter() - began))
    return float(np.median(spent)), max(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace, project, expert, people = filled(Path(folder) / "workspace", asked.items)
        owner = local_user(workspace)
        found = review.read_review(workspace, expert, project)
        first = found.items[0].item_id
        print(f"{asked.items:,} items, {2 * asked.items:,} answers, {found.waiting:,} wait; {machine()}.")
        listed = lambda: review.read_review(workspace, expert, project)  # noqa: E731
        print(f"the first 20 of the list: {seconds_of(listed):.2f} s")
        print(f"one item: {seconds_of(lambda: review.read_item(workspace, expert, project, first)):.2f} s")
        with reading(workspace.engine) as session:
            class_id = session.exec(select(LabelClass.id).limit(1)).one() or 0
        some = [Decision(event_id=new_event(), item_id=item.item_id, class_id=class_id) for item in found.items]
        print(f"20 decisions: {seconds_of(lambda: decide(workspace, expert, project, some), 1):.2f} s")
        print("a save: {:.0f} ms, at most {:.0f}".format(*saves(workspace, project, people[0])))
        done = threading.Event()
        reader = threading.Thread(target=lambda: [listed() for _ in iter(done.is_set, True)])
        reader.start()
        print("a save beside somebody in Review without a pause: {:.0f} ms, at most {:.0f}".format(
            *saves(workspace, project, people[1])))  # fmt: skip
        done.set()
        reader.join()
        aside = lambda value: team.set_aside(workspace, owner, project, people[2], aside=value)  # noqa: E731
        print(f"set a person aside: {seconds_of(lambda: aside(True), 1):.2f} s")
        with reading(workspace.engine) as session:
            one, other = [c or 0 for c in session.exec(select(LabelClass.id).limit(2)).all()]
        print(f"merge a class: {seconds_of(lambda: merging.merge_class(workspace, owner, one, other), 1):.2f} s")
        workspace.engine.dispose()


if __name__ == "__main__":
    main()
