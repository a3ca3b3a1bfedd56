"""Classes while people label: what they may be called, their keys, their order, and what is told to whom."""

import numpy as np
import pytest
from sqlmodel import select

from labeling import jobs
from labeling.annotation import answers
from labeling.classes import (
    KEYS,
    ClassChanges,
    ClassDetail,
    add_class,
    class_changes,
    edit_class,
    find_class,
    items_of_class,
    list_classes,
    order_classes,
    retire_class,
)
from labeling.db.engine import reading
from labeling.db.schema import Event, JobKind, Project, QueueEntry
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.learning.snapshot import take_snapshot
from labeling.projects import read_project
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, answer_to, not_waiting_for_the_disk


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(not_waiting_for_the_disk(workspace), classes=("cat", "dog", "cow"))


def there(small: SmallProject) -> dict[str, ClassDetail]:
    return {c.name: c for c in list_classes(small.workspace, small.owner, small.id)}


def edit(small: SmallProject, called: str, /, **changes: object) -> ClassDetail:
    return edit_class(small.workspace, small.owner, there(small)[called].id, class_changes(**changes))


def version(small: SmallProject) -> int:
    with reading(small.workspace.engine) as session:
        return session.get_one(Project, small.id).schema_version


def test_a_class_that_is_added_can_be_chosen_at_once_under_the_next_free_key(small: SmallProject):
    claim = small.lease(small.people[0], small.items[0])
    made = add_class(small.workspace, small.owner, small.id, ClassChanges(name=" owl "))
    assert (made.name, made.key, made.labels) == ("owl", "4", 0)
    (outcome,) = answers.submit(small.workspace, small.people[0], [answer_to(claim, made.id)])
    assert outcome.status == "saved"
    assert there(small)["owl"].labels == 1


def test_a_name_belongs_to_one_class_and_the_way_out_is_told(small: SmallProject):
    with pytest.raises(Invalid, match="choose another name, or merge “cat” into it"):
        edit(small, "cat", name="dog")
    with pytest.raises(Invalid, match="choose another name"):
        add_class(small.workspace, small.owner, small.id, ClassChanges(name="dog"))
    retire_class(small.workspace, small.owner, there(small)["dog"].id)
    with pytest.raises(Invalid, match="retired; bring it back"):
        edit(small, "cat", name="dog")
    assert edit(small, "cat", name="cat").name == "cat"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": ""}, "needs a name"), ({"name": "a\0"}, "needs a name"), ({"key": "ab"}, "0 to 9 and a to z"),
        ({"key": "?"}, "0 to 9 and a to z"), ({"colour": "teal"}, "#0f766e"), ({"colour": "#12345"}, "#0f766e"),
        ({"description": "a\0"}, "Unicode"), ({"description": "x" * 2001}, "description"),
        ({"examples": [999]}, "item of the same project"), ({"size": 3}, "size"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(small: SmallProject, wrong: dict[str, object], sentence: str):
    before = there(small)
    with pytest.raises(Invalid, match=sentence):
        edit(small, "cat", **{"description": "furry", **wrong})
    assert there(small) == before


def test_a_key_is_one_classs_and_is_given_up_only_when_asked(small: SmallProject):
    with pytest.raises(Invalid, match="that of “dog”"):
        edit(small, "cat", key="2")
    assert edit(small, "cat", key="2", take_key=True).key == "2"
    assert {name: c.key for name, c in there(small).items()} == {"cat": "2", "dog": None, "cow": "3"}
    assert edit(small, "cat", key="").key is None
    assert edit(small, "dog", key="B").key == "b"


def test_a_retired_class_holds_no_key(small: SmallProject):
    retire_class(small.workspace, small.owner, there(small)["dog"].id)
    assert edit(small, "cat", key="2").key == "2"
    assert add_class(small.workspace, small.owner, small.id, ClassChanges(name="owl")).key == "1"


def test_every_key_can_be_given(small: SmallProject):
    for key in KEYS:
        assert edit(small, "cow", key=key, take_key=True).key == key


def test_classes_are_put_in_order_and_the_rest_follows(small: SmallProject):
    cat, dog, cow = (there(small)[name].id for name in ("cat", "dog", "cow"))
    ordered = order_classes(small.workspace, small.owner, small.id, [cow])
    assert [c.id for c in ordered] == [cow, cat, dog]
    assert [c.id for c in read_project(small.workspace, small.owner, small.id).classes] == [cow, cat, dog]
    for wrong in ([cow, cow], [cow, 999]):
        with pytest.raises(Invalid, match="at most once, and no other"):
            order_classes(small.workspace, small.owner, small.id, wrong)


def test_colour_description_and_examples_are_kept(small: SmallProject):
    edit(small, "cat", colour="#0F766E", description=" furry ", examples=[small.items[1], small.items[0]])
    cat = read_project(small.workspace, small.owner, small.id).classes[0]
    assert (cat.colour, cat.description, cat.examples) == ("#0f766e", "furry", [small.items[1], small.items[0]])
    edit(small, "cat", colour=None)
    assert there(small)["cat"].colour is None and there(small)["cat"].description == "furry"


def test_examples_are_items_of_the_same_project(small: SmallProject):
    other = SmallProject.make(small.workspace, name="other")
    with pytest.raises(Invalid, match="same project"):
        edit(small, "cat", examples=[other.items[0]])


def test_examples_are_chosen_among_what_is_and_what_is_labeled_so(small: SmallProject):
    cat = there(small)["cat"].id
    small.answer(small.people[0], small.items[2], cat)
    small.answer(small.people[0], small.items[3], there(small)["dog"].id)
    edit(small, "cat", examples=[small.items[5]])
    assert [item.id for item in items_of_class(small.workspace, small.owner, cat)] == [small.items[5], small.items[2]]


def test_every_change_is_told_to_open_pages_and_to_the_audit_log(small: SmallProject):
    before = version(small)
    assert before == 1
    owl = add_class(small.workspace, small.owner, small.id, ClassChanges(name="owl")).id
    edit(small, "owl", name="owls", colour="#112233")
    order_classes(small.workspace, small.owner, small.id, [owl])
    retire_class(small.workspace, small.owner, owl)
    assert version(small) == before + 4
    with reading(small.workspace.engine) as session:
        told = [(e.user_id, e.kind) for e in session.exec(select(Event).where(Event.project_id == small.id)).all()]
        renamed = session.exec(select(Event).where(Event.kind == "class changed")).one().detail
    kinds = ["class added", "class changed", "classes ordered", "class retired"]
    assert told[1:] == [(small.owner, kind) for kind in kinds]
    assert renamed == {"id": owl, "name": "owls", "was": "owl", "colour": "#112233"}


def test_what_changes_nothing_is_told_to_nobody(small: SmallProject):
    edit(small, "cat")
    edit(small, "cat", take_key=True)
    retire_class(small.workspace, small.owner, there(small)["cat"].id)
    before = version(small)
    retire_class(small.workspace, small.owner, there(small)["cat"].id)
    assert version(small) == before


def test_a_retired_class_keeps_its_labels_and_is_neither_chosen_nor_learned(small: SmallProject):
    cat, dog = there(small)["cat"].id, there(small)["dog"].id
    small.answer(small.people[0], small.items[0], cat)
    small.answer(small.people[0], small.items[1], dog)
    claim = small.lease(small.people[0], small.items[2])
    retired = retire_class(small.workspace, small.owner, cat)
    assert (retired.retired, retired.labels) == (True, 1)
    (outcome,) = answers.submit(small.workspace, small.people[0], [answer_to(claim, cat)])
    assert (outcome.status, outcome.why) == ("refused", "The class “cat” was retired; choose another.")
    assert cat not in [c.id for c in read_project(small.workspace, small.owner, small.id).classes]
    seen = take_snapshot(small.workspace, small.id, rows=6)
    assert seen.labeled.tolist() == [1] and cat not in seen.class_ids
    assert 0 not in seen.open_rows  # it counts as labeled


def test_the_model_learns_anew_where_its_classes_change(small: SmallProject):
    edit(small, "cat", description="It purrs.", colour="#aabbcc")
    with reading(small.workspace.engine) as session:
        assert not jobs.unfinished(session, small.id)
    retire_class(small.workspace, small.owner, there(small)["cow"].id)
    with reading(small.workspace.engine) as session:
        assert [job.kind for job in jobs.unfinished(session, small.id)] == [JobKind.TRAIN]


@pytest.mark.parametrize("change", [{"name": "kitten"}, {"prompts": ["a small cat"]}])
def test_the_model_learns_anew_where_the_words_for_a_class_change(small: SmallProject, change: dict[str, object]):
    edit(small, "cat", **change)
    with reading(small.workspace.engine) as session:
        assert [job.kind for job in jobs.unfinished(session, small.id)] == [JobKind.TRAIN]


def test_prompts_are_kept_without_blanks_and_repetitions(small: SmallProject):
    edit(small, "cat", prompts=[" a cat ", "", "a cat", "it purrs"])
    assert there(small)["cat"].prompts == ["a cat", "it purrs"]
    with pytest.raises(Invalid, match="at most 500 characters"):
        edit(small, "cat", prompts=["x" * 501])


def test_a_class_that_is_gone_is_suggested_no_more(small: SmallProject):
    small.add_features(np.eye(6, dtype=np.float32))
    cat, dog = there(small)["cat"].id, there(small)["dog"].id
    for item, label in zip(small.items, (cat, cat, dog), strict=False):
        small.answer(small.people[0], item, label)
    small.learn()
    retire_class(small.workspace, small.owner, cat)
    with reading(small.workspace.engine) as session:
        suggested = {entry.suggestion_class_id for entry in session.exec(select(QueueEntry)).all()}
    assert suggested <= {dog, None} and suggested


def test_a_class_is_found_by_its_name_or_its_number(small: SmallProject):
    dog = there(small)["dog"].id
    assert find_class(small.workspace, small.owner, small.id, "dog") == dog
    assert find_class(small.workspace, small.owner, small.id, str(dog)) == dog
    with pytest.raises(Invalid, match="there are: cat, dog, cow"):
        find_class(small.workspace, small.owner, small.id, "owl")


def test_only_owners_change_classes(small: SmallProject):
    cat = there(small)["cat"].id
    with pytest.raises(NotAllowed, match="owner"):
        retire_class(small.workspace, small.people[0], cat)
    with pytest.raises(NotFound, match="no class 999"):
        retire_class(small.workspace, small.owner, 999)
    assert len(list_classes(small.workspace, small.people[0], small.id)) == 3
