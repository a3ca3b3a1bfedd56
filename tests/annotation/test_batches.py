"""Answers given together are taken back together: all of them or none, one's own only, as often as asked."""

import pytest
from sqlmodel import col, func, select

from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer, BatchUndone
from labeling.annotation.claims import Claim
from labeling.annotation.consensus import standing
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Item, Job, JobKind, JobState, Label, Origin, Verdict
from labeling.errors import NotFound
from labeling.projects import update_settings
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, answer_to, new_event


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace)


def give(small: SmallProject, batch: str, *verdicts: str, person: int = 0) -> tuple[list[Claim], list[Answer]]:
    """Lease and answer as many items as there are verdicts, as one batch."""
    user = small.people[person]
    claims = queue.claim(small.workspace, user, small.id, len(verdicts))
    given = [
        answer_to(claim, small.classes[0], verdict=verdict, batch=batch)
        for claim, verdict in zip(claims, verdicts, strict=True)
    ]
    assert {o.status for o in answers.submit(small.workspace, user, given)} == {"saved"}
    return claims, given


def undo(small: SmallProject, batch: str, person: int = 0, client: str | None = None) -> BatchUndone:
    return answers.undo_batch(small.workspace, small.people[person], batch, client=client)


def stood(small: SmallProject) -> set[str]:
    with reading(small.workspace.engine) as session:
        return set(session.exec(select(Annotation.id).where(standing())).all())


def test_a_batch_is_kept_with_its_answers_and_where_they_come_from(small: SmallProject):
    _, given = give(small, "screen-1", "label", "skip")
    single = small.answer(small.people[0], small.items[5], small.classes[1])
    with reading(small.workspace.engine) as session:
        rows = {a.id: (a.batch, a.origin) for a in session.exec(select(Annotation)).all()}
    assert rows == {**{a.event_id: ("screen-1", Origin.GRID) for a in given}, single: (None, Origin.ASKED)}


def test_a_whole_batch_is_taken_back_in_one_step_and_its_items_are_leased_again_in_their_order(small: SmallProject):
    claims, _ = give(small, "screen-1", "label", "skip", "unsure", "label")
    _, others = give(small, "screen-2", "label")
    undone = undo(small, "screen-1", client="tab")
    assert (undone.status, undone.project_id, undone.why) == ("undone", small.id, "")
    assert [c.item.id for c in undone.claims] == [c.item.id for c in claims]
    assert not {c.assignment_id for c in undone.claims} & {c.assignment_id for c in claims}
    assert stood(small) == {a.event_id for a in others}
    with reading(small.workspace.engine) as session:
        assert session.exec(select(Label.item_id)).all() == session.exec(select(Item.id).where(Item.answers == 1)).all()
        waiting = select(func.count()).select_from(Job).where(Job.kind == JobKind.TRAIN, Job.state == JobState.QUEUED)
        assert session.exec(waiting).one() == 1
    again = [answer_to(claim, small.classes[1], batch="screen-3") for claim in undone.claims]
    assert {o.status for o in answers.submit(small.workspace, small.people[0], again)} == {"saved"}


def test_taking_back_twice_changes_nothing_more_and_gives_the_same_leases(small: SmallProject):
    give(small, "screen-1", "label", "label")
    first = undo(small, "screen-1")
    with reading(small.workspace.engine) as session:
        count = session.exec(select(func.count()).select_from(Annotation)).one()
    second = undo(small, "screen-1")
    assert (second.status, [c.assignment_id for c in second.claims]) == (
        "repeated",
        [c.assignment_id for c in first.claims],
    )
    with reading(small.workspace.engine) as session:
        assert session.exec(select(func.count()).select_from(Annotation)).one() == count


def test_where_one_answer_was_corrected_none_is_taken_back(small: SmallProject):
    _, given = give(small, "screen-1", "label", "label", "label")
    correction = Answer(event_id=new_event(), supersedes=given[1].event_id, verdict="label", class_id=small.classes[1])
    answers.submit(small.workspace, small.people[0], [correction])
    before = stood(small)
    refused = undo(small, "screen-1")
    assert (refused.status, refused.claims) == ("refused", []) and refused.why.endswith(".")
    assert stood(small) == before
    answers.undo(small.workspace, small.people[0], correction.event_id)
    assert undo(small, "screen-1").status == "undone"
    assert stood(small) == set()


def test_an_answer_taken_back_by_itself_is_no_hindrance(small: SmallProject):
    _, given = give(small, "screen-1", "label", "label")
    alone = answers.undo(small.workspace, small.people[0], given[0].event_id, undo_id=new_event())
    undone = undo(small, "screen-1")
    assert undone.status == "undone" and alone.claim is not None
    assert undone.claims[0].assignment_id == alone.claim.assignment_id and len(undone.claims) == 2
    assert stood(small) == set()


def test_a_batch_id_is_ones_own(small: SmallProject):
    update_settings(small.workspace, small.owner, small.id, {"overlap": 2})
    _, mine = give(small, "screen", "label", "label")
    _, theirs = give(small, "screen", "label", "label", person=1)
    assert undo(small, "screen").status == "undone"
    assert stood(small) == {a.event_id for a in theirs}
    with pytest.raises(NotFound, match="batch"):
        undo(small, "another")
    with pytest.raises(NotFound, match="batch"):
        answers.undo_batch(small.workspace, small.owner, "screen")
    assert mine


def test_what_others_have_meanwhile_is_not_leased_again(small: SmallProject):
    """A skipped item goes to others; taking the skip back does not take the item from them."""
    claims, _ = give(small, "screen", "label", "skip")
    small.answer(small.people[1], claims[1].item.id, small.classes[1])
    undone = undo(small, "screen")
    assert [c.item.id for c in undone.claims] == [claims[0].item.id]
    assert undone.status == "undone" and "somebody else" in undone.why
    with reading(small.workspace.engine) as session:
        undos = session.exec(select(Annotation).where(Annotation.verdict == Verdict.UNDO)).all()
        assert {a.item_id for a in undos} == {c.item.id for c in claims}
        assert session.exec(select(Label.item_id)).all() == [claims[1].item.id]


def test_an_answer_that_is_refused_does_not_keep_its_batch_back(small: SmallProject):
    claims = queue.claim(small.workspace, small.people[0], small.id, 3)
    given = [answer_to(claim, small.classes[0], batch="screen") for claim in claims]
    given[1] = given[1].model_copy(update={"token": "wrong"})
    outcomes = answers.submit(small.workspace, small.people[0], given)
    assert [o.status for o in outcomes] == ["saved", "refused", "saved"]
    undone = undo(small, "screen")
    assert undone.status == "undone"
    assert [c.item.id for c in undone.claims] == [claims[0].item.id, claims[2].item.id]


def test_answers_that_were_not_given_on_a_screen_are_no_batch(small: SmallProject):
    """Imported answers may share a batch; nobody leased their items, so they cannot be put before a person again."""
    _, given = give(small, "import-1", "label")
    with reading(small.workspace.engine) as session:
        assert session.exec(select(Annotation).where(col(Annotation.batch) == "import-1")).all()
    with writing(small.workspace.engine) as session:
        session.exec(select(Annotation)).one().origin = Origin.IMPORTED
    with pytest.raises(NotFound):
        undo(small, "import-1")
    assert stood(small) == {given[0].event_id}
