"""The people of a project: roles, who leaves, and whose answers are set aside."""

import pytest
from sqlmodel import select

from labeling.annotation import queue, team
from labeling.db.engine import reading, writing
from labeling.db.schema import Comment, Event, Job, JobKind, JobState, Label, Role, User
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.projects import list_projects
from labeling.users import grant
from labeling.workspace import Workspace
from tests.annotation.test_threads import send_back
from tests.db.small_project import SmallProject, add_user, answer_to


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace, overlap=2)


def role_of(small: SmallProject, user: int) -> Role | None:
    found = {m.user_id: m for m in team.list_team(small.workspace, small.owner, small.id)}
    return found[user].role if user in found and found[user].removed is None else None


def label_of(small: SmallProject, item: int) -> int | None:
    with reading(small.workspace.engine) as session:
        label = session.get(Label, item)
    return None if label is None else label.class_id


def waiting(small: SmallProject) -> set[JobKind]:
    with reading(small.workspace.engine) as session:
        return set(session.exec(select(Job.kind).where(Job.state == JobState.QUEUED)).all())


def test_the_team_lists_owners_first_with_what_each_has_done(small: SmallProject):
    small.answer(small.people[1], small.items[0])
    members = team.list_team(small.workspace, small.owner, small.id)
    assert [m.role for m in members] == [Role.OWNER, Role.ANNOTATOR, Role.ANNOTATOR]
    assert {m.user_id: m.answers for m in members} == {small.owner: 0, small.people[0]: 0, small.people[1]: 1}
    assert team.list_owners(small.workspace, small.people[0], small.id) == ["animals owner"]


def test_a_role_counts_from_the_next_call_on(small: SmallProject):
    ann = small.people[0]
    with pytest.raises(NotAllowed):
        team.list_team(small.workspace, ann, small.id)
    team.change_role(small.workspace, small.owner, small.id, ann, Role.OWNER)
    assert team.list_team(small.workspace, ann, small.id)
    team.change_role(small.workspace, ann, small.id, small.owner, Role.ANNOTATOR)
    with pytest.raises(NotAllowed):
        team.list_team(small.workspace, small.owner, small.id)


def test_a_project_keeps_an_owner_who_can_come_in(small: SmallProject):
    ann = small.people[0]
    for leave in (team.remove_member, lambda *given: team.change_role(*given, Role.EXPERT)):
        with pytest.raises(Invalid, match="needs an owner"):
            leave(small.workspace, small.owner, small.id, small.owner)
    team.change_role(small.workspace, small.owner, small.id, ann, Role.OWNER)
    with writing(small.workspace.engine) as session:
        session.get_one(User, ann).disabled = 1.0
    with pytest.raises(Invalid, match="needs an owner"):
        team.remove_member(small.workspace, small.owner, small.id, small.owner)
    with writing(small.workspace.engine) as session:
        session.get_one(User, ann).disabled = None
    team.remove_member(small.workspace, small.owner, small.id, small.owner)
    assert list_projects(small.workspace, small.owner) == []


def test_whoever_is_taken_out_leaves_their_answers_and_gives_back_their_leases(small: SmallProject):
    ann, bob = small.people
    small.answer(ann, small.items[0])
    held = queue.claim(small.workspace, ann, small.id, 100)
    assert held
    team.remove_member(small.workspace, small.owner, small.id, ann)
    assert role_of(small, ann) is None and label_of(small, small.items[0]) == small.classes[0]
    for door in (queue.claim, queue.upcoming):
        with pytest.raises(NotFound):
            door(small.workspace, ann, small.id, 1)
    from labeling.annotation import answers

    (outcome,) = answers.submit(small.workspace, ann, [answer_to(held[0], small.classes[0])])
    assert outcome.status == "refused" and "that you are a member of" in outcome.why
    carl = add_user(small.workspace, "carl")
    with writing(small.workspace.engine) as session:
        grant(session, small.id, carl, Role.ANNOTATOR)
    both = [len(queue.claim(small.workspace, person, small.id, 100)) for person in (bob, carl)]
    assert both == [6, 5]  # the first item has one answer, and room for one more person


def test_whoever_is_taken_out_is_asked_no_more_for_what_was_sent_back_to_them_even_when_they_return(
    small: SmallProject,
):
    item, ann = small.items[0], small.people[0]
    events = [small.answer(person, item) for person in small.people]
    send_back(small, item, events)
    team.remove_member(small.workspace, small.owner, small.id, ann)
    with reading(small.workspace.engine) as session:
        waiting_for = session.exec(select(Comment.returned_to).where(Comment.done == None)).all()  # noqa: E711
    assert waiting_for == [small.people[1]]
    with writing(small.workspace.engine) as session:
        grant(session, small.id, ann, Role.ANNOTATOR)
    assert item not in [claim.item.id for claim in queue.claim(small.workspace, ann, small.id, 100)]


def test_whoever_comes_back_has_the_new_role_and_no_stronger_old_one(small: SmallProject):
    ann = small.people[0]
    team.change_role(small.workspace, small.owner, small.id, ann, Role.OWNER)
    team.remove_member(small.workspace, small.owner, small.id, ann)
    with pytest.raises(NotFound):
        team.change_role(small.workspace, small.owner, small.id, ann, Role.EXPERT)
    with writing(small.workspace.engine) as session:
        grant(session, small.id, ann, Role.ANNOTATOR)
    assert role_of(small, ann) is Role.ANNOTATOR


def test_answers_set_aside_count_for_nothing_and_come_back_whole(small: SmallProject):
    ann, bob = small.people
    cat, dog = small.classes
    first, second, third = small.items[:3]
    small.answer(ann, first, cat)
    small.answer(ann, second, cat)
    small.answer(bob, second, dog)
    small.answer(bob, third, dog)
    before = [label_of(small, item) for item in (first, second, third)]
    assert before == [cat, None, dog]  # of two who disagree nobody is right
    with writing(small.workspace.engine) as session:
        for job in session.exec(select(Job)).all():
            session.delete(job)
    team.set_aside(small.workspace, small.owner, small.id, ann)
    assert [label_of(small, item) for item in (first, second, third)] == [None, dog, dog]
    assert waiting(small) == {JobKind.TRAIN, JobKind.WEIGH}
    with writing(small.workspace.engine) as session:
        for job in session.exec(select(Job)).all():
            session.delete(job)
    team.set_aside(small.workspace, small.owner, small.id, ann)  # as it is already: nothing to do
    assert waiting(small) == set()
    team.set_aside(small.workspace, small.owner, small.id, ann, aside=False)
    assert [label_of(small, item) for item in (first, second, third)] == before
    assert waiting(small) == {JobKind.TRAIN, JobKind.WEIGH}


def test_answers_of_somebody_taken_out_can_be_set_aside_too_and_stay_so(small: SmallProject):
    ann = small.people[0]
    small.answer(ann, small.items[0])
    team.set_aside(small.workspace, small.owner, small.id, ann)
    team.remove_member(small.workspace, small.owner, small.id, ann)
    assert label_of(small, small.items[0]) is None
    team.set_aside(small.workspace, small.owner, small.id, ann, aside=False)
    assert label_of(small, small.items[0]) == small.classes[0]
    team.set_aside(small.workspace, small.owner, small.id, ann)
    with writing(small.workspace.engine) as session:
        grant(session, small.id, ann, Role.ANNOTATOR)
    (back,) = (m for m in team.list_team(small.workspace, small.owner, small.id) if m.user_id == ann)
    assert back.set_aside is not None and back.removed is None


def test_what_was_done_to_whom_is_in_the_projects_history(small: SmallProject):
    ann = small.people[0]
    team.change_role(small.workspace, small.owner, small.id, ann, Role.EXPERT)
    team.set_aside(small.workspace, small.owner, small.id, ann)
    team.set_aside(small.workspace, small.owner, small.id, ann, aside=False)
    team.remove_member(small.workspace, small.owner, small.id, ann)
    with reading(small.workspace.engine) as session:
        events = session.exec(select(Event).where(Event.project_id == small.id).order_by(Event.id)).all()  # type: ignore[arg-type]
    assert [(e.kind, e.user_id, e.detail["user"]) for e in events[1:]] == [
        (kind, small.owner, ann)
        for kind in ("role changed", "answers set aside", "answers count again", "member removed")
    ]
