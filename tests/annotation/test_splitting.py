"""Splitting a class: its answers stay and count for nothing, its items are asked again, and it can be taken back."""

import pytest
from sqlmodel import col, select

from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer
from labeling.annotation.merging import merge_class, restore_class
from labeling.annotation.splitting import split_class
from labeling.classes import list_classes, retire_class
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Event, Item, Label
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user, answer_to, new_event


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace, classes=("vehicle", "animal", "ship"), items=3)


def labels(small: SmallProject) -> dict[int, int]:
    with reading(small.workspace.engine) as session:
        return {label.item_id: label.class_id for label in session.exec(select(Label)).all()}


def split(small: SmallProject, *parts: str, of: int = 0) -> list[int]:
    return [c.id for c in split_class(small.workspace, small.owner, small.classes[of], parts)]


def test_the_parts_can_be_chosen_and_the_class_no_more(small: SmallProject):
    car, truck = split(small, "car", "truck")
    there = {c.name: c for c in list_classes(small.workspace, small.owner, small.id)}
    assert (there["vehicle"].retired, there["vehicle"].split) == (True, True)
    assert (there["car"].part_of, there["truck"].part_of) == (small.classes[0], small.classes[0])
    claim = small.lease(small.people[0], small.items[0])
    old, new = answer_to(claim, small.classes[0]), answer_to(claim, truck)
    outcomes = answers.submit(small.workspace, small.people[0], [old, new])
    assert [o.status for o in outcomes] == ["refused", "saved"]
    assert "was split" in outcomes[0].why
    assert labels(small) == {small.items[0]: truck} and car != truck


def test_its_items_are_asked_again_also_of_those_who_answered_them_and_their_answers_stay(small: SmallProject):
    ann, bob = small.people
    before = small.answer(ann, small.items[0], small.classes[0])
    small.answer(bob, small.items[1], small.classes[1])
    car, _ = split(small, "car", "truck")
    assert labels(small) == {small.items[1]: small.classes[1]}
    with reading(small.workspace.engine) as session:
        assert session.get_one(Item, small.items[0]).answers == 0
    after = small.answer(ann, small.items[0], car)
    with reading(small.workspace.engine) as session:
        stored = {a.id: a for a in session.exec(select(Annotation).where(col(Annotation.item_id) == small.items[0]))}
    assert stored[before].class_id == small.classes[0]
    assert stored[after].supersedes == before
    assert labels(small)[small.items[0]] == car
    assert queue.claim(small.workspace, ann, small.id, 3)[0].item.id == small.items[2]


def test_bringing_it_back_lets_its_answers_count_again(small: SmallProject):
    ann = small.people[0]
    for item in small.items[:2]:
        small.answer(ann, item, small.classes[0])
    car, truck = split(small, "car", "truck")
    small.answer(ann, small.items[0], car)
    restore_class(small.workspace, small.owner, small.classes[0])
    assert labels(small) == {small.items[0]: car, small.items[1]: small.classes[0]}
    with pytest.raises(Invalid, match="part of itself"):
        split(small, "vehicle", "car")
    assert truck


def test_what_was_merged_into_it_is_split_with_it(small: SmallProject):
    small.answer(small.people[0], small.items[0], small.classes[2])
    merge_class(small.workspace, small.owner, small.classes[2], small.classes[0])
    split(small, "car", "truck")
    assert labels(small) == {}
    restore_class(small.workspace, small.owner, small.classes[2])
    assert labels(small) == {small.items[0]: small.classes[2]}


def test_a_part_may_be_a_class_that_is_there(small: SmallProject):
    parts = split(small, "car", "ship")
    assert parts[1] == small.classes[2]
    with reading(small.workspace.engine) as session:
        told = session.exec(select(Event).where(Event.kind == "class split")).one()
    assert told.detail == {"id": small.classes[0], "name": "vehicle", "parts": ["car", "ship"]}
    assert told.user_id == small.owner


@pytest.mark.parametrize(
    ("parts", "said"),
    [(["car"], "two classes or more"), (["car", "car"], "once"), (["car", " "], "needs a name"), ([], "two classes")],
)
def test_what_cannot_be_split_is_said(small: SmallProject, parts: list[str], said: str):
    with pytest.raises(Invalid, match=said):
        split(small, *parts)
    assert not list_classes(small.workspace, small.owner, small.id)[0].retired


def test_a_class_that_is_gone_is_no_part_and_is_not_split_twice(small: SmallProject):
    retire_class(small.workspace, small.owner, small.classes[2])
    with pytest.raises(Invalid, match="bring it back"):
        split(small, "car", "ship")
    split(small, "car", "truck")
    with pytest.raises(Invalid, match="split before"):
        split(small, "van", "bus")


def test_owners_alone_split(small: SmallProject):
    with pytest.raises(NotAllowed):
        split_class(small.workspace, small.people[0], small.classes[0], ["car", "truck"])
    with pytest.raises(NotFound):
        split_class(small.workspace, add_user(small.workspace, "mallory"), small.classes[0], ["car", "truck"])


def test_an_undo_of_the_new_answer_leaves_the_item_open(small: SmallProject):
    ann = small.people[0]
    small.answer(ann, small.items[0], small.classes[0])
    car, _ = split(small, "car", "truck")
    given = small.answer(ann, small.items[0], car)
    undone = answers.undo(small.workspace, ann, given)
    assert undone.status == "undone" and undone.claim is not None
    again = Answer(
        event_id=new_event(), assignment_id=undone.claim.assignment_id, token=undone.claim.token, verdict="label",
        class_id=car,
    )  # fmt: skip
    (outcome,) = answers.submit(small.workspace, ann, [again])
    assert (outcome.status, labels(small)) == ("saved", {small.items[0]: car})
