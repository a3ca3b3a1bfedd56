"""Threads of items: who may read and write them, what is sent back to whom, and what a blind review hides."""

import pytest
from sqlmodel import select

from labeling.annotation import answers, queue
from labeling.annotation.threads import (
    MAX_REMARK,
    Remark,
    Said,
    active_members,
    close_returned,
    read_thread,
    remark,
)
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Comment, Membership, Reason, Role, User
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.projects import update_settings
from labeling.users import grant
from labeling.workspace import Workspace
from tests.annotation.expert import decided, give_role
from tests.db.small_project import SmallProject, add_user, answer_to, new_event


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace, people=3, overlap=2, gold_share=0)


def write(small: SmallProject, actor_id: int, item_id: int, text: str, **more: object) -> list[Said]:
    return remark(
        small.workspace, actor_id, small.id,
        [Remark.model_validate({"event_id": new_event(), "item_id": item_id, "text": text, **more})],
    )  # fmt: skip


def send_back(small: SmallProject, item_id: int, events: list[str], text: str = "Look again.") -> list[Said]:
    return write(small, small.owner, item_id, text, return_to=events)


def test_a_thread_is_read_in_order_by_experts_and_by_who_answered(small: SmallProject):
    item, answered = small.items[0], small.people[0]
    small.answer(answered, item)
    write(small, answered, item, " Is the tail part of it? ")
    write(small, small.owner, item, "Yes.")
    thread = read_thread(small.workspace, answered, small.id, item)
    assert [(said.text, said.mine) for said in thread] == [("Is the tail part of it?", True), ("Yes.", False)]
    assert [said.person for said in thread] == ["animals person 0", "animals owner"]
    with pytest.raises(NotFound):
        read_thread(small.workspace, small.people[1], small.id, item)
    with pytest.raises(NotFound):
        write(small, small.people[1], item, "Me too.")
    with pytest.raises(NotFound):
        read_thread(small.workspace, add_user(small.workspace, "mallory"), small.id, item)


def test_a_remark_is_written_once_however_often_it_is_sent(small: SmallProject):
    item, event = small.items[0], new_event()
    answered = [small.answer(person, item) for person in small.people[:2]]
    first = write(small, small.owner, item, "Look again.", event_id=event, return_to=answered)
    again = write(small, small.owner, item, "Look again.", event_id=event, return_to=answered)
    assert [said.id for said in first] == [said.id for said in again]
    assert [said.returned_to for said in again] == ["animals person 0", "animals person 1"]
    assert first[0].event_id == event
    with pytest.raises(Invalid, match="another remark"):
        write(small, small.owner, small.items[1], "Something else.", event_id=event)


@pytest.mark.parametrize("text", ["", "  \n", "x" * (MAX_REMARK + 1)])
def test_a_remark_has_a_length(small: SmallProject, text: str):
    with pytest.raises(Invalid, match="1 to 2,000"):
        write(small, small.owner, small.items[0], text)


def test_an_item_of_another_project_has_no_thread_here(small: SmallProject):
    other = SmallProject.make(small.workspace, name="things")
    with pytest.raises(NotFound):
        write(small, small.owner, other.items[0], "Hello.")


def test_what_is_sent_back_comes_first_with_the_remark_and_the_new_answer_replaces_the_old(small: SmallProject):
    item, person, (cat, dog) = small.items[3], small.people[0], small.classes
    event = small.answer(person, item, cat)
    (said,) = send_back(small, item, [event], "Mind the ears.")
    assert (said.returned_to, said.done) == ("animals person 0", False)
    first, *_ = queue.claim(small.workspace, person, small.id, 2)
    assert (first.item.id, first.reason) == (item, Reason.REVIEW) and "Mind the ears." in first.why
    (outcome,) = answers.submit(small.workspace, person, [answer_to(first, dog)])
    assert outcome.status == "saved"
    with reading(small.workspace.engine) as session:
        new = session.exec(select(Annotation).where(Annotation.id == outcome.event_id)).one()
        assert new.supersedes == event and new.class_id == dog
        assert session.exec(select(Comment.done)).one() is not None
    assert read_thread(small.workspace, person, small.id, item)[0].done
    assert item not in [claim.item.id for claim in queue.claim(small.workspace, person, small.id, 50)]


def test_what_is_sent_back_comes_even_where_the_item_is_full_and_to_nobody_else(small: SmallProject):
    item = small.items[0]
    events = [small.answer(person, item) for person in small.people[:2]]
    send_back(small, item, events[:1])
    asked = {
        person: [claim.item.id for claim in queue.claim(small.workspace, person, small.id, 50)]
        for person in small.people
    }
    assert [item in asked[person] for person in small.people] == [True, False, False]


def test_only_experts_send_back_and_only_standing_answers_of_people(small: SmallProject):
    item, person = small.items[0], small.people[0]
    event = small.answer(person, item)
    with pytest.raises(NotAllowed):
        write(small, person, item, "Again.", return_to=[event])
    elsewhere = small.answer(person, small.items[1])
    decision = decided(small, item, small.classes[0]).event_id
    for wrong in (elsewhere, decision, "nobodys"):
        with pytest.raises(Invalid, match="look at the item again"):
            send_back(small, item, [wrong])
    answers.undo(small.workspace, person, event)
    with pytest.raises(Invalid, match="look at the item again"):
        send_back(small, item, [event])
    with reading(small.workspace.engine) as session:
        assert session.exec(select(Comment)).all() == []


def test_one_remark_that_cannot_stand_writes_none_of_those_sent_with_it(small: SmallProject):
    both = [
        Remark(event_id=new_event(), item_id=small.items[0], text="Fine."),
        Remark(event_id=new_event(), item_id=small.items[1], text=" "),
    ]
    with pytest.raises(Invalid):
        remark(small.workspace, small.owner, small.id, both)
    assert read_thread(small.workspace, small.owner, small.id, small.items[0]) == []


def test_a_blind_review_names_nobody_but_oneself_and_still_sends_back(workspace: Workspace):
    small = SmallProject.make(workspace, people=2, overlap=2, blind=True)
    expert = add_user(workspace, "animals judge")
    item = small.items[0]
    events = [small.answer(person, item) for person in small.people]
    with writing(workspace.engine) as session:
        grant(session, small.id, expert, Role.EXPERT)
    write(small, expert, item, "I wonder.")
    said = send_back(small, item, events)
    assert [each.returned_to for each in said] == ["Person 1", "Person 2"]
    thread = read_thread(workspace, small.people[0], small.id, item)
    assert {each.person for each in thread} == {"Person 3", "Person 4"}  # the judge, and the owner
    assert [each.returned_to for each in thread] == [None, "animals person 0", "Person 2"]
    assert read_thread(workspace, expert, small.id, item)[0].person == "animals judge"


def test_an_expert_who_is_an_annotator_again_sends_nothing_back(small: SmallProject):
    item = small.items[0]
    event = small.answer(small.people[0], item)
    give_role(small, small.owner, Role.ANNOTATOR)
    with pytest.raises(NotAllowed):
        send_back(small, item, [event])


def leave(small: SmallProject, person: int, how: str) -> None:
    """Take a person out: of the project or of the workspace, or only out of what counts."""
    with writing(small.workspace.engine) as session:
        if how == "disabled":
            session.get_one(User, person).disabled = 1.0
        else:
            setattr(session.get_one(Membership, (small.id, person)), how, 1.0)


@pytest.mark.parametrize("how", ["removed", "set_aside", "disabled"])
def test_nothing_is_sent_back_to_somebody_who_cannot_be_asked_any_more(small: SmallProject, how: str):
    item, (ann, bob) = small.items[0], small.people[:2]
    events = [small.answer(person, item) for person in (ann, bob)]
    repeated = new_event()
    first = write(small, small.owner, item, "Look again.", event_id=repeated, return_to=events)
    leave(small, ann, how)
    with reading(small.workspace.engine) as session:
        assert set(session.exec(active_members(small.id)).all()) == {small.owner, *small.people} - {ann}
    with pytest.raises(Invalid, match=r"^animals person 0 cannot be asked any more; .*\.$"):
        send_back(small, item, events)
    assert write(small, small.owner, item, "Look again.", event_id=repeated, return_to=events)[0].id == first[0].id
    assert [said.returned_to for said in send_back(small, item, events[1:])] == ["animals person 1"]
    update_settings(small.workspace, small.owner, small.id, {"blind": True})
    with pytest.raises(Invalid, match=r"^Person 1 cannot be asked any more"):
        send_back(small, item, events)


def test_what_was_sent_back_to_one_person_is_closed_in_one_project_or_everywhere(small: SmallProject):
    item, (ann, bob) = small.items[0], small.people[:2]
    send_back(small, item, [small.answer(person, item) for person in (ann, bob)])
    write(small, ann, item, "Why?")
    for where, open_ones in ((small.id + 1, [False, False]), (small.id, [True, False])):
        with writing(small.workspace.engine) as session:
            close_returned(session, ann, where)
        assert [said.done for said in read_thread(small.workspace, small.owner, small.id, item)][:2] == open_ones
    with writing(small.workspace.engine) as session:
        close_returned(session, bob)
    assert [said.done for said in read_thread(small.workspace, small.owner, small.id, item)] == [True, True, False]
