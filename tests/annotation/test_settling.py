"""Labels derived for many items at once are those derived one by one, and those that a few lines of Python come to."""

import random
from collections import Counter, defaultdict

import pytest
from sqlmodel import select

from labeling.annotation import answers
from labeling.annotation.adjudication import Decision, decide
from labeling.annotation.consensus import settle, settle_items, settle_person
from labeling.annotation.merging import merge_class, restore_class
from labeling.annotation.splitting import split_class
from labeling.classes import classes_of, stands_for
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Item, Label, Membership, Origin, Verdict
from labeling.errors import Invalid
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, new_event

State = dict[int, tuple[int | None, float | None, str | None, int, int | None]]  # class, confidence, source, counts


def stored(small: SmallProject) -> State:
    with reading(small.workspace.engine) as session:
        labels = {label.item_id: label for label in session.exec(select(Label)).all()}
        state: State = {}
        for item in session.exec(select(Item)).all():
            assert item.id is not None
            label = labels.get(item.id)
            said = (label.class_id, label.confidence, label.source.value) if label else (None, None, None)
            assert label is None or label.answers == item.answers
            state[item.id] = (*said, item.answers, item.wanted)
        return state


def from_scratch(small: SmallProject) -> State:
    """The same from the annotations alone, without the product's own conditions."""
    with reading(small.workspace.engine) as session:
        given = session.exec(select(Annotation).order_by(Annotation.seq)).all()  # type: ignore[arg-type]
        classes = classes_of(session, small.id)
        aside = {m.user_id for m in session.exec(select(Membership)).all() if m.set_aside is not None}
    living, split = stands_for(classes), {c.id for c in classes if c.split}
    gone = {a.supersedes for a in given}
    votes, decided = defaultdict(list), {}
    for a in given:
        if a.id in gone or a.verdict is Verdict.UNDO or a.class_id in split:
            continue
        if a.origin is Origin.REVIEW:
            decided[a.item_id] = a
        elif a.verdict is Verdict.LABEL and a.user_id not in aside:
            votes[a.item_id].append(living[a.class_id])
    state: State = {}
    for item in small.items:
        chosen = Counter(votes[item]).most_common(2)
        count = len(votes[item])
        if item in decided:
            class_id = decided[item].class_id
            label = (None, None, None) if class_id is None else (living[class_id], 1.0, "adjudicated")
            state[item] = (*label, count, 0)
        elif not chosen or (len(chosen) == 2 and chosen[0][1] == chosen[1][1]):
            state[item] = (None, None, None, count, None)
        else:
            source = "single" if count == 1 else "consensus"
            state[item] = (chosen[0][0], chosen[0][1] / count, source, count, None)
    return state


@pytest.mark.parametrize("seed", range(4))
def test_many_at_once_and_one_by_one_come_to_the_same(workspace: Workspace, seed: int):
    rng = random.Random(seed)
    small = SmallProject.make(workspace, items=12, people=3, classes=("a", "b", "c", "d"), overlap=3)
    events: list[tuple[int, str]] = []
    for _ in range(60):
        act = rng.choice(
            ["answer"] * 6 + ["decide", "decide", "cannot be told", "undo", "aside", "merge", "split", "back"]
        )
        with reading(workspace.engine) as session:
            classes = classes_of(session, small.id)
        live = [c.id for c in classes if c.id and not c.retired and c.merged_into is None]
        person, item = rng.choice(small.people), rng.choice(small.items)
        try:
            if act == "answer":
                events.append((person, small.answer(person, item, rng.choice(live))))
            elif act in ("decide", "cannot be told"):
                verdict = "label" if act == "decide" else "unsure"
                chosen = rng.choice(live) if act == "decide" else None
                made = Decision(
                    event_id=new_event(), item_id=item, verdict=verdict, class_id=chosen, gold=act == "decide"
                )
                decide(workspace, small.owner, small.id, [made])
                events.append((small.owner, made.event_id))
            elif act == "undo" and events:
                answers.undo(workspace, *rng.choice(events))
            elif act == "aside":
                with writing(workspace.engine) as session:
                    member = session.get_one(Membership, (small.id, person))
                    member.set_aside = None if member.set_aside else 1.0
                    session.flush()
                    settle_person(session, small.id, person)
            elif act == "merge" and len(live) > 2:
                merge_class(workspace, small.owner, *rng.sample(live, 2))
            elif act == "split" and len(live) > 1:
                split_class(workspace, small.owner, rng.choice(live), [new_event()[:8], new_event()[:8]])
            elif act == "back" and (gone := [c.id for c in classes if c.id not in live]):
                restore_class(workspace, small.owner, rng.choice(gone))
        except (Invalid, ValueError):  # what is not possible now, such as an item that has all its answers
            continue
        assert stored(small) == from_scratch(small), act
    before = stored(small)
    with writing(workspace.engine) as session:
        settle_items(session, small.id, select(Item.id))
    assert stored(small) == before
    with writing(workspace.engine) as session:
        for item in small.items:
            settle(session, item)
    assert stored(small) == before
    with reading(workspace.engine) as session:
        gold = [item for item in session.exec(select(Item)).all() if item.gold]
        assert all(session.get(Label, item.id) is not None for item in gold)
