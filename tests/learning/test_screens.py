"""A screen holds what the live model believes is one class, the least sure first, and only what may be asked."""

import time

import numpy as np
import pytest
from sqlmodel import col, select

from labeling.annotation import answers, queue
from labeling.annotation.claims import Claim
from labeling.db.engine import reading, writing
from labeling.db.schema import Assignment, LabelClass, ModelVersion, Reason
from labeling.errors import Invalid, NotFound
from labeling.learning import screens
from labeling.learning.predictions import PoolPredictions, pool_file, pool_predictions
from labeling.learning.screens import Screen, open_screen
from labeling.learning.versions import live_model
from labeling.projects import update_settings
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user, answer_to

ITEMS = 60


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    """Three classes that differ in their features; one item of each labeled and learned from."""
    made = SmallProject.make(workspace, items=ITEMS, classes=("ant", "bee", "cow"), strategy="margin")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ITEMS, 4)).astype(np.float32)
    rows[np.arange(ITEMS), np.arange(ITEMS) % 3] += 2.5
    made.add_features(rows)
    for row in range(3):
        made.answer(made.people[0], made.items[row], made.classes[row])
    made.learn()
    return made


def beliefs(small: SmallProject) -> PoolPredictions:
    made = pool_predictions(small.workspace, live_model(small.workspace, small.id))
    assert made is not None
    return made


def rows_of(small: SmallProject, claims: list[Claim]) -> list[int]:
    return [small.items.index(claim.item.id) for claim in claims]


def expected(small: SmallProject, class_at: int, *without: int) -> list[int]:
    """The rows of a class that are open, the least sure first."""
    made = beliefs(small)
    rows = [row for row in range(3, ITEMS) if made.classes[row] == class_at and row not in without]
    return sorted(rows, key=lambda row: made.confidence[row])


def screen(small: SmallProject, class_at: int | None = None, count: int = 5, person: int = 0, **more: object) -> Screen:
    class_id = None if class_at is None else small.classes[class_at]
    return open_screen(small.workspace, small.people[person], small.id, class_id, count, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("looked_at", [0, 3, 1000])
def test_a_screen_is_the_least_sure_of_its_class_in_order(
    small: SmallProject, monkeypatch: pytest.MonkeyPatch, looked_at: int
):
    monkeypatch.setattr(screens, "LOOKED_AT", looked_at)  # rows beyond it are found in another way
    for class_at in range(3):
        wanted = expected(small, class_at)
        first, second = screen(small, class_at, 4), screen(small, class_at, 4, person=1)
        rest = screen(small, class_at, 100)
        assert [rows_of(small, made.claims) for made in (first, second, rest)] == [wanted[:4], wanted[4:8], wanted[8:]]
        sure = [claim.suggestion.confidence for claim in first.claims if claim.suggestion]
        assert sure == sorted(sure) and len(sure) == 4


def test_a_claim_of_a_screen_says_what_the_model_believes(small: SmallProject):
    made = screen(small, 1)
    version = live_model(small.workspace, small.id)
    assert version is not None and made.model_version == version.number
    for claim, row in zip(made.claims, rows_of(small, made.claims), strict=True):
        assert claim.suggestion is not None and claim.suggestion.class_id == small.classes[1]
        assert claim.suggestion.confidence == pytest.approx(float(beliefs(small).confidence[row]))
        assert (claim.reason, claim.model_version) == (Reason.STRATEGY, version.number) and "“bee”" in claim.why
    with reading(small.workspace.engine) as session:
        leases = session.exec(select(Assignment).where(col(Assignment.id).in_([c.assignment_id for c in made.claims])))
        assert {(each.suggestion_shown, each.suggestion_class_id, each.model_version_id) for each in leases} == {
            (True, small.classes[1], version.id)
        }


def test_the_classes_are_counted_as_they_are_open_now(small: SmallProject):
    def counted() -> dict[int, int]:
        return {each.class_id: each.items for each in screen(small, 0, 1).believed}

    sizes = {small.classes[at]: len(expected(small, at)) for at in range(3)}
    assert counted() == sizes
    event = small.answer(small.people[0], small.items[expected(small, 1)[0]], small.classes[2])
    assert counted() == {**sizes, small.classes[1]: sizes[small.classes[1]] - 1}
    answers.undo(small.workspace, small.people[0], event)
    assert counted() == sizes
    small.answer(small.people[1], small.items[expected(small, 0)[-1]], verdict="skip")
    assert counted() == sizes  # others may still be asked


def test_without_a_class_the_one_with_the_most_is_shown_and_the_next_where_others_hold_it_all(small: SmallProject):
    made = beliefs(small)
    sizes = [len(expected(small, at)) for at in range(3)]
    by_size = sorted(range(3), key=lambda at: -sizes[at])
    assert screen(small, None, 1).class_id == small.classes[by_size[0]]
    screen(small, by_size[0], 100, person=1)
    assert screen(small, None, 1).class_id == small.classes[by_size[1]]
    assert len(made.class_ids) == 3


def test_what_is_answered_leased_skipped_left_out_or_retired_is_not_shown(small: SmallProject):
    wanted = expected(small, 0)
    small.answer(small.people[1], small.items[wanted[0]], small.classes[0])
    small.answer(small.people[0], small.items[wanted[1]], verdict="skip")
    small.lease(small.people[1], small.items[wanted[2]])
    made = screen(small, 0, 2, without=[small.items[wanted[3]]])
    assert rows_of(small, made.claims) == wanted[4:6]
    with writing(small.workspace.engine) as session:
        session.get_one(LabelClass, small.classes[1]).retired = True
    assert small.classes[1] not in {each.class_id for each in screen(small, 0, 1).believed}
    with pytest.raises(Invalid, match="choose another"):
        screen(small, 1)


def test_what_was_believed_a_class_that_was_merged_is_shown_as_the_one_it_became(small: SmallProject):
    both = len(expected(small, 0)) + len(expected(small, 1))
    with writing(small.workspace.engine) as session:
        session.get_one(LabelClass, small.classes[1]).merged_into = small.classes[0]
    made = screen(small, 0, 100)
    assert len(made.claims) == both
    assert {claim.suggestion.class_id for claim in made.claims if claim.suggestion} == {small.classes[0]}


def test_leases_are_given_back_by_name_and_after_a_reload(small: SmallProject):
    first = screen(small, 0, 3, client="tab")
    swapped = screen(small, 0, 3, client="tab", release=[c.assignment_id for c in first.claims])
    assert rows_of(small, swapped.claims) == rows_of(small, first.claims)
    other = screen(small, 0, 2, client="other")
    again = screen(small, 0, 3, client="tab", resume=True)
    assert rows_of(small, again.claims) == rows_of(small, first.claims)
    with reading(small.workspace.engine) as session:
        mine = queue.own_leases(session, small.people[0], small.id, time.time(), col(Assignment.id) > 0)
    assert {each.id for each in mine} == {c.assignment_id for c in (*again.claims, *other.claims)}


def test_a_screen_of_several_people_is_an_overlap_of_each_item(small: SmallProject):
    update_settings(small.workspace, small.owner, small.id, {"overlap": 2})
    first, second = screen(small, 0, 3), screen(small, 0, 3, person=1)
    assert rows_of(small, first.claims) == rows_of(small, second.claims)
    given = [answer_to(claim, small.classes[0], batch="first") for claim in first.claims]
    assert {o.status for o in answers.submit(small.workspace, small.people[0], given)} == {"saved"}
    assert not set(rows_of(small, screen(small, 0, 10).claims)) & set(rows_of(small, first.claims))
    queue.release(small.workspace, small.people[1], small.id, [c.assignment_id for c in second.claims])
    third = screen(small, 0, 3, person=1)
    assert [claim.reason for claim in third.claims] == [Reason.OVERLAP] * 3


def test_before_there_is_a_model_a_screen_says_what_to_do(workspace: Workspace):
    made = screen(SmallProject.make(workspace))
    assert (made.claims, made.model_version, made.believed) == ([], None, [])
    assert "one by one" in made.why and made.why.endswith(".")


def test_a_version_without_its_predictions_says_what_to_do(small: SmallProject):
    version = live_model(small.workspace, small.id)
    assert version is not None and version.path is not None
    pool_file(small.workspace.head(version.path)).unlink()
    made = screen(small)
    assert made.claims == [] and made.why.endswith(".") and made.model_version == version.number
    small.answer(small.people[0], small.items[10], small.classes[1])
    small.learn()
    assert screen(small).claims


def test_an_empty_screen_says_so(small: SmallProject):
    screen(small, 2, 100, person=1)
    made = screen(small, 2)
    assert (made.claims, made.class_id) == ([], small.classes[2]) and made.why.endswith(".")


def test_items_that_came_after_the_model_are_for_the_next_one(small: SmallProject):
    late = small.add_items(3)
    shown = {claim.item.id for at in range(3) for claim in screen(small, at, 100).claims}
    assert not shown & set(late) and len(shown) == ITEMS - 3


def test_what_cannot_be_is_refused(small: SmallProject):
    for count in (0, queue.MAX_CLAIMS + 1):
        with pytest.raises(Invalid, match="A screen has between"):
            screen(small, 0, count)
    with pytest.raises(Invalid, match="choose another"):
        open_screen(small.workspace, small.people[0], small.id, 999)
    with pytest.raises(NotFound):
        open_screen(small.workspace, add_user(small.workspace, "mallory"), small.id)
    update_settings(small.workspace, small.owner, small.id, {"suggestions": "hide"})
    with pytest.raises(Invalid, match="one by one"):
        screen(small)


def test_a_screen_outlives_its_model(small: SmallProject):
    """The screen of an older model is still good when a newer one is live."""
    made = screen(small, 0, 2)
    small.answer(small.people[1], small.items[expected(small, 1)[0]], small.classes[1])
    small.learn()
    given = [answer_to(claim, small.classes[0], batch="b") for claim in made.claims]
    assert [o.status for o in answers.submit(small.workspace, small.people[0], given)] == ["saved"] * 2
    with reading(small.workspace.engine) as session:
        assert len(session.exec(select(ModelVersion.id)).all()) == 2
