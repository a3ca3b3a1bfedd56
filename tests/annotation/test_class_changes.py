"""Classes renamed, merged, split and retired while four people label: no answer is lost, the history can be read."""

import random
import threading
from collections import Counter

from sqlmodel import col, select

from labeling.annotation import answers, queue
from labeling.annotation.consensus import is_opinion, settle
from labeling.annotation.merging import merge_class, restore_class
from labeling.annotation.splitting import split_class
from labeling.audit_log import MOST, read_events
from labeling.classes import class_changes, edit_class, list_classes, retire_class
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Event, Item, Label
from labeling.errors import Invalid
from labeling.projects import read_project
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, answer_to

ITEMS = 80
CHANGES = 24
KINDS = {  # and what a sentence about each says
    "class changed": "renamed", "class merged": "was merged into", "class split": "was split into",
    "class retired": "was retired", "class restored": "was brought back",
}  # fmt: skip


def label_all(small: SmallProject, person: int, saved: list[str], seed: int, begun: threading.Barrier) -> None:
    """Answer until nothing is left; an answer whose class went meanwhile is given again with another."""
    rng = random.Random(seed)
    begun.wait()
    while claims := queue.claim(small.workspace, person, small.id, 3):
        for claim in claims:
            while True:
                chosen = rng.choice(read_project(small.workspace, person, small.id).classes).id
                sent = answer_to(claim, chosen)
                (outcome,) = answers.submit(small.workspace, person, [sent])
                if outcome.status == "saved":
                    saved.append(sent.event_id)
                    break
                assert "choose another" in outcome.why, outcome
                # It was put before the person again: they choose one of the classes that are there now.


def change_classes(small: SmallProject, done: list[str], seed: int, begun: threading.Barrier) -> None:
    """Rename, merge, split, retire and bring back whatever there is."""
    rng = random.Random(seed)
    begun.wait()
    for number in range(CHANGES):
        there = list_classes(small.workspace, small.owner, small.id)
        live = [c.id for c in there if not c.retired and c.merged_into is None]
        gone = [c.id for c in there if c.id not in live]
        chosen = rng.choice(live)
        what = rng.choice(["rename", "merge", "split", "retire", "restore"])
        if what != "restore" and what != "rename" and len(live) < 3:
            what = "restore"
        try:
            if what == "rename":
                edit_class(small.workspace, small.owner, chosen, class_changes(name=f"name {number}"))
            elif what == "merge":
                merge_class(small.workspace, small.owner, chosen, rng.choice([c for c in live if c != chosen]))
            elif what == "split":
                split_class(small.workspace, small.owner, chosen, [f"part {number} a", f"part {number} b"])
            elif what == "retire":
                retire_class(small.workspace, small.owner, chosen)
            elif gone:
                restore_class(small.workspace, small.owner, rng.choice(gone))
        except Invalid:
            continue
        done.append(what)


def stored_labels(small: SmallProject) -> dict[int, tuple[int, float, int]]:
    with reading(small.workspace.engine) as session:
        found = session.exec(select(Label).where(Label.project_id == small.id)).all()
        return {label.item_id: (label.class_id, label.confidence, label.answers) for label in found}


def test_no_answer_of_four_people_is_lost_while_classes_change(workspace: Workspace):
    small = SmallProject.make(workspace, items=ITEMS, people=4, classes=("a", "b", "c", "d", "e"), overlap=2)
    saved: list[list[str]] = [[] for _ in small.people]
    done: list[str] = []
    failures: list[BaseException] = []
    begun = threading.Barrier(len(small.people) + 1)

    def run(work, *given) -> None:
        try:
            work(*given, begun)
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [
        threading.Thread(target=run, args=(label_all, small, person, mine, seed))
        for seed, (person, mine) in enumerate(zip(small.people, saved, strict=True))
    ]
    threads.append(threading.Thread(target=run, args=(change_classes, small, done, 7)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert not failures and not any(thread.is_alive() for thread in threads)
    # What was split after people had finished is open again: they go on.
    alone = threading.Barrier(1)
    for seed, (person, mine) in enumerate(zip(small.people, saved, strict=True)):
        label_all(small, person, mine, 100 + seed, alone)

    given = [event for mine in saved for event in mine]
    with reading(workspace.engine) as session:
        kept = {a.id: a for a in session.exec(select(Annotation)).all()}
        events = session.exec(select(Event).where(col(Event.kind).in_(KINDS)).order_by(col(Event.id))).all()
        stand = Counter(session.exec(select(Annotation.item_id).where(is_opinion())).all())
    assert set(given) == set(kept) and len(given) == len(set(given))
    assert len(stand) == ITEMS and min(stand.values()) == 2  # more where a class that was split came back
    # Nothing supersedes an answer but its own person's later one to the same item.
    for annotation in kept.values():
        if annotation.supersedes:
            earlier = kept[annotation.supersedes]
            assert (earlier.item_id, earlier.user_id) == (annotation.item_id, annotation.user_id)
    assert len(done) >= CHANGES // 2 and len(events) >= len(done) - done.count("restore")
    assert all(event.user_id == small.owner and event.detail.get("name") for event in events)
    told = read_events(workspace, small.owner, small.id, kinds=KINDS, limit=MOST).events
    today = {c.id: c.name for c in list_classes(workspace, small.owner, small.id)}
    assert [event.id for event in reversed(told)] == [event.id for event in events]
    for event, said in zip(events, reversed(told), strict=True):
        assert (said.who, said.kind, said.created) == ("animals owner", event.kind, event.created)
        assert KINDS[event.kind] in said.sentence and f"“{today[event.detail['id']]}”" in said.sentence
    # Labels are what deriving them one by one from the answers comes to.
    before = stored_labels(small)
    with writing(workspace.engine) as session:
        for item_id in session.exec(select(Item.id)).all():
            assert item_id is not None
            settle(session, item_id)
    assert stored_labels(small) == before
