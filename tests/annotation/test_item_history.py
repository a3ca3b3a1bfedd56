"""Every answer that an item was ever given can be read: in order, with what became of it."""

import pytest

from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer
from labeling.annotation.item_history import read_item_history
from labeling.annotation.merging import merge_class
from labeling.classes import class_changes, edit_class
from labeling.db.schema import Origin, Role, Verdict
from labeling.errors import NotAllowed, NotFound
from labeling.projects import update_settings
from labeling.workspace import Workspace
from tests.annotation.expert import decided, give_role
from tests.db.small_project import SmallProject, add_user, new_event


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace, classes=("cat", "dog", "cow"), overlap=2, gold_share=0)


def test_corrections_undos_and_decisions_are_all_there_in_order(small: SmallProject):
    workspace, (ann, bob), item = small.workspace, small.people, small.items[0]
    cat, dog, cow = small.classes
    first = small.answer(ann, item, cat, note="the ears", flagged=True)
    corrected = Answer(event_id=new_event(), supersedes=first, verdict="label", class_id=dog)
    answers.submit(workspace, ann, [corrected])
    other = small.answer(bob, item, cow)
    answers.undo(workspace, bob, other)
    queue.release(workspace, bob, small.id, [claim.assignment_id for claim in queue.claim(workspace, bob, small.id, 6)])
    one = decided(small, item, cat).event_id
    two = decided(small, item).event_id
    edit_class(workspace, small.owner, dog, class_changes(name="hound"))
    merge_class(workspace, small.owner, cow, dog)

    seen = read_item_history(workspace, small.owner, small.id, item)
    assert [(each.person, each.verdict, each.class_name, each.counts_as) for each in seen] == [
        ("animals person 0", Verdict.LABEL, "cat", None), ("animals person 0", Verdict.LABEL, "hound", None),
        ("animals person 1", Verdict.LABEL, "cow", "hound"), ("animals person 1", Verdict.UNDO, None, None),
        ("animals owner", Verdict.LABEL, "cat", None), ("animals owner", Verdict.UNSURE, None, None),
    ]  # fmt: skip
    undo = seen[3].event_id
    assert [(each.event_id, each.supersedes, each.superseded_by) for each in seen] == [
        (first, None, corrected.event_id), (corrected.event_id, first, None), (other, None, undo), (undo, other, None),
        (one, None, two), (two, one, None),
    ]  # fmt: skip
    assert (seen[0].note, seen[0].flagged, seen[4].origin, seen[4].mine) == ("the ears", True, Origin.REVIEW, True)
    assert [each.created for each in seen] == sorted(each.created for each in seen)
    assert read_item_history(workspace, small.owner, small.id, small.items[1]) == []


def test_where_review_is_blind_people_are_the_numbers_that_they_have_there(small: SmallProject):
    for person in small.people:
        small.answer(person, small.items[0])
    decided(small, small.items[0], small.classes[0])
    update_settings(small.workspace, small.owner, small.id, {"blind": True})
    seen = read_item_history(small.workspace, small.owner, small.id, small.items[0])
    assert [each.person for each in seen] == ["Person 1", "Person 2", "animals owner"]
    assert "animals person" not in repr(seen)


def test_it_is_for_experts_and_about_items_of_their_own_project(small: SmallProject):
    ann, item = small.people[0], small.items[0]
    small.answer(ann, item)
    with pytest.raises(NotAllowed, match="expert"):
        read_item_history(small.workspace, ann, small.id, item)
    give_role(small, ann, Role.EXPERT)
    assert [each.mine for each in read_item_history(small.workspace, ann, small.id, item)] == [True]
    other = SmallProject.make(small.workspace, name="plants")
    for actor, project, wanted in (
        (other.owner, other.id, item),
        (add_user(small.workspace, "mallory"), small.id, item),
    ):
        with pytest.raises(NotFound):
            read_item_history(small.workspace, actor, project, wanted)
