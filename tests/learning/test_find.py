"""What is nearest to a description or to an item is found in order; a screen of it holds only what may be asked."""

import threading
import time

import numpy as np
import pytest
from sqlmodel import select

from labeling import jobs
from labeling.annotation import answers
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Job, JobKind, LabelClass, Origin, Worker
from labeling.errors import AskwiseError, Invalid, NotFound
from labeling.features.encoding import open_features
from labeling.learning import find
from labeling.learning.find import FoundItem, find_item, find_items, find_screen
from labeling.learning.predictions import pool_predictions
from labeling.learning.screens import Screen, open_screen
from labeling.learning.versions import live_model
from labeling.projects import update_settings
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user, answer_to
from tests.features.beside import add_worded_features, keep_word

ITEMS = 60
RED_BUS = [1.0, 0.2, 0.0, 0.0]


@pytest.fixture
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    made = rng.normal(size=(ITEMS, 4)) * rng.uniform(0.2, 5, size=(ITEMS, 1))
    return made.astype(np.float32)


@pytest.fixture
def small(workspace: Workspace, rows: np.ndarray) -> SmallProject:
    """Items with features that know one description; no model."""
    made = SmallProject.make(workspace, items=ITEMS, classes=("ant", "bee", "cow"))
    add_worded_features(made, rows, {"a red bus": RED_BUS})
    return made


def in_order(rows: np.ndarray, query: np.ndarray) -> list[int]:
    """Rows by their cosine with a vector, the greatest first."""
    cosine = rows.astype(float) @ query / np.linalg.norm(rows.astype(float), axis=1)
    return [int(row) for row in np.argsort(-cosine)]


def items(small: SmallProject, **asked: object) -> list[FoundItem]:
    return find_items(small.workspace, small.people[0], small.id, **asked)  # type: ignore[arg-type]


def screen(small: SmallProject, person: int = 0, count: int = 5, **asked: object) -> Screen:
    asked = asked or {"text": "a red bus"}
    return find_screen(small.workspace, small.people[person], small.id, count=count, **asked)  # type: ignore[arg-type]


def rows_of(small: SmallProject, made: Screen) -> list[int]:
    return [small.items.index(claim.item.id) for claim in made.claims]


def test_items_come_in_the_order_of_their_likeness_with_their_labels(small: SmallProject, rows: np.ndarray):
    wanted = in_order(rows, np.array(RED_BUS))
    small.answer(small.people[0], small.items[wanted[1]], small.classes[2])
    found = items(small, text="  a  red\nbus ", count=10)
    assert [small.items.index(each.id) for each in found] == wanted[:10]
    assert [each.label for each in found] == [None, "cow", *[None] * 8]
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    open_ones = items(small, text="a red bus", count=ITEMS, include_labeled=False)
    assert [small.items.index(each.id) for each in open_ones] == [wanted[0], *wanted[2:]]


def test_an_item_is_nearest_to_itself_and_others_follow(small: SmallProject, rows: np.ndarray):
    found = items(small, item_id=small.items[7], count=ITEMS + 5)
    assert [small.items.index(each.id) for each in found] == in_order(rows, rows[7].astype(float))
    assert found[0].id == small.items[7] and found[0].score == 1


def test_a_screen_is_leased_nearest_first_and_says_what_it_was_found_by(small: SmallProject, rows: np.ndarray):
    made = screen(small)
    assert rows_of(small, made) == in_order(rows, np.array(RED_BUS))[:5]
    assert (made.like, made.class_id, made.believed, made.model_version) == ("a red bus", None, [], None)
    assert [claim.why for claim in made.claims[:3]] == [
        "like “a red bus”: the nearest", "like “a red bus”: the 2nd nearest", "like “a red bus”: the 3rd nearest"
    ]  # fmt: skip
    assert all(claim.suggestion is None for claim in made.claims)
    more = screen(small, count=8)
    assert rows_of(small, more) == in_order(rows, np.array(RED_BUS))[5:13]
    assert more.claims[6].why == "like “a red bus”: the 12th nearest"


def test_what_is_answered_leased_or_left_out_is_not_found_but_keeps_its_place(small: SmallProject, rows: np.ndarray):
    wanted = in_order(rows, np.array(RED_BUS))
    small.answer(small.people[1], small.items[wanted[0]], small.classes[0])
    small.answer(small.people[0], small.items[wanted[1]], verdict="skip")
    small.lease(small.people[1], small.items[wanted[2]])
    made = screen(small, 0, 2, text="a red bus", without=[small.items[wanted[3]]])
    assert rows_of(small, made) == wanted[4:6]
    assert made.claims[0].why.endswith("the 5th nearest")


@pytest.mark.parametrize(("looked_at", "named"), [(0, 1000), (3, 2), (1000, 7)])
def test_the_nearest_open_items_are_found_behind_many_that_are_not(
    small: SmallProject, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch, looked_at: int, named: int
):
    monkeypatch.setattr("labeling.learning.screens.LOOKED_AT", looked_at)
    monkeypatch.setattr("labeling.learning.screens.NAMED", named)
    wanted = in_order(rows, np.array(RED_BUS))
    screen(small, 1, 50)
    assert rows_of(small, screen(small, 0, 3)) == wanted[50:53]


def test_leases_are_given_back_by_name_and_after_a_reload(small: SmallProject):
    first = screen(small, 0, 3, text="a red bus", client="tab")
    swapped = screen(
        small, 0, 3, text="a red bus", client="tab", release=[c.assignment_id for c in first.claims]
    )  # fmt: skip
    assert rows_of(small, swapped) == rows_of(small, first)
    again = screen(small, 0, 3, text="a red bus", client="tab", resume=True)
    assert rows_of(small, again) == rows_of(small, first)


def test_what_was_found_is_answered_as_a_batch_and_taken_back_as_one(small: SmallProject):
    made = screen(small)
    given = [answer_to(claim, small.classes[1], batch="found") for claim in made.claims]
    assert {o.status for o in answers.submit(small.workspace, small.people[0], given)} == {"saved"}
    with reading(small.workspace.engine) as session:
        kept = session.exec(select(Annotation.origin, Annotation.class_id)).all()
    assert kept == [(Origin.GRID, small.classes[1])] * 5
    assert not set(rows_of(small, screen(small))) & set(rows_of(small, made))
    undone = answers.undo_batch(small.workspace, small.people[0], "found")
    assert [claim.item.id for claim in undone.claims] == [claim.item.id for claim in made.claims]


class TestWithAModel:
    @pytest.fixture
    def small(self, workspace: Workspace) -> SmallProject:
        """Three classes that differ in their features; one item of each labeled and learned from; no words."""
        made = SmallProject.make(workspace, items=ITEMS, classes=("ant", "bee", "cow"), strategy="margin")
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(ITEMS, 4)).astype(np.float32)
        rows[np.arange(ITEMS), np.arange(ITEMS) % 3] += 4
        made.add_features(rows)
        for row in range(3):
            made.answer(made.people[0], made.items[row], made.classes[row])
        made.learn()
        return made

    def test_each_item_comes_with_what_the_model_believes_and_the_screen_with_what_most_are(self, small: SmallProject):
        version = live_model(small.workspace, small.id)
        beliefs = pool_predictions(small.workspace, version)
        assert version is not None and beliefs is not None
        made = screen(small, 0, 10, item_id=small.items[1])
        believed = [beliefs.class_ids[beliefs.classes[row]] for row in rows_of(small, made)]
        assert [claim.suggestion.class_id for claim in made.claims if claim.suggestion] == believed
        assert {claim.model_version for claim in made.claims} == {made.model_version} == {version.number}
        assert believed.count(small.classes[1]) > 5 and made.class_id == small.classes[1]
        assert made.like == f"{small.id}-0001"

    def test_merged_classes_count_as_the_one_they_became_and_retired_ones_as_none(self, small: SmallProject):
        with writing(small.workspace.engine) as session:
            session.get_one(LabelClass, small.classes[1]).merged_into = small.classes[0]
            session.get_one(LabelClass, small.classes[2]).retired = True
        made = screen(small, 0, ITEMS - 3, item_id=small.items[1])
        suggested = {claim.suggestion.class_id if claim.suggestion else None for claim in made.claims}
        assert suggested == {small.classes[0], None} and made.class_id == small.classes[0]

    def test_where_guesses_are_hidden_it_finds_without_them(self, small: SmallProject):
        update_settings(small.workspace, small.owner, small.id, {"suggestions": "hide"})
        made = screen(small, 0, 10, item_id=small.items[1])
        assert len(made.claims) == 10 and made.class_id is None
        assert all(claim.suggestion is None and claim.model_version is None for claim in made.claims)

    def test_items_that_came_after_the_features_are_not_found_yet(self, small: SmallProject):
        late = small.add_items(2)
        made = screen(small, 0, ITEMS, item_id=small.items[1])
        assert not {claim.item.id for claim in made.claims} & set(late)
        with pytest.raises(Invalid, match="has no features yet"):
            screen(small, item_id=late[0])

    def test_features_without_words_say_what_to_do_instead(self, small: SmallProject):
        with pytest.raises(Invalid, match=r"know no words; pick an item .* or choose CLIP"):
            screen(small, text="a red bus")
        with reading(small.workspace.engine) as session:
            assert session.exec(select(Job).where(Job.kind == JobKind.EMBED)).all() == []

    def test_screens_of_the_model_are_as_they_were(self, small: SmallProject):
        screen(small, 0, 5, item_id=small.items[1], client="tab")
        made = open_screen(small.workspace, small.people[0], small.id, client="tab", resume=True)
        assert made.claims and made.like is None


def keep_soon(small: SmallProject, text: str, after: float) -> threading.Thread:
    """A worker that knows a text after so many seconds."""
    matrix = open_features(small.workspace, small.id)
    assert matrix is not None

    def work() -> None:
        time.sleep(after)
        keep_word(matrix, text, [0, 0, 1, 0])

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def add_worker(workspace: Workspace) -> None:
    with writing(workspace.engine) as session:
        session.add(Worker(id="w", pid=1, host="elsewhere"))


def test_new_words_are_asked_for_and_waited_for(small: SmallProject, rows: np.ndarray):
    add_worker(small.workspace)
    worker = keep_soon(small, "a green tram", 0.3)
    made = screen(small, text="a green tram")
    worker.join()
    assert rows_of(small, made) == in_order(rows, np.array([0, 0, 1.0, 0]))[:5]
    with reading(small.workspace.engine) as session:
        (job,) = session.exec(select(Job).where(Job.kind == JobKind.EMBED)).all()
        assert job.payload == {"texts": ["a green tram"]}


def test_words_that_nobody_embeds_are_one_sentence(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(find, "START_SECONDS", 0.0)
    with pytest.raises(Invalid, match=r"No worker is running .* `askwise worker`"):
        screen(small, text="a green tram")
    add_worker(small.workspace)
    monkeypatch.setattr(find, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(Invalid, match="still busy loading"):
        screen(small, text="a green tram")


def test_what_goes_wrong_while_words_are_embedded_is_said(small: SmallProject):
    add_worker(small.workspace)

    def fail(job_id: int) -> None:
        job = jobs.take(small.workspace, "w", only=job_id)
        assert job is not None
        with writing(small.workspace.engine) as session:
            jobs.finish(session, job, error="The weights are not there; choose another encoder.")

    with pytest.raises(Invalid, match="The weights are not there"):
        items(small, text="a green tram", perform=fail)


def test_an_item_is_known_by_its_name_and_its_number(small: SmallProject):
    def named(name: str) -> int:
        return find_item(small.workspace, small.people[0], small.id, name)

    assert named(f"{small.id}-0003") == small.items[3] == named(str(small.items[3]))
    for name in ("none", str(10**30), str(small.items[-1] + 1)):
        with pytest.raises(NotFound, match="There is no item"):
            named(name)


def test_what_cannot_be_is_refused_in_one_sentence(small: SmallProject, workspace: Workspace):
    other = SmallProject.make(workspace, name="others")
    refused: list[dict[str, object]] = [
        {}, {"text": " "}, {"text": "a red bus", "item_id": small.items[0]}, {"text": "\ud800"}, {"text": "x" * 5000},
        {"item_id": other.items[0]}, {"item_id": 2**62}, {"text": "a red bus", "count": 0},
        {"text": "a red bus", "count": 10**6},
    ]  # fmt: skip
    for asked in refused:
        for look in (items, screen):
            with pytest.raises(AskwiseError, match=r"\.$"):
                look(small, **{"count": 5, **(asked or {"text": None})})
    with pytest.raises(Invalid, match="no features yet"):
        find_items(workspace, other.owner, other.id, item_id=other.items[0])
    with pytest.raises(NotFound):
        find_screen(workspace, add_user(workspace, "mallory"), small.id, text="a red bus")


def test_where_nothing_is_open_a_screen_says_so(small: SmallProject):
    screen(small, 1, ITEMS)
    made = screen(small)
    assert made.claims == [] and made.class_id is None and made.why.endswith(".")


def test_whoever_only_answers_is_not_told_what_others_said(small: SmallProject) -> None:
    ann, bob = small.people
    small.answer(ann, small.items[0], small.classes[1])
    small.answer(bob, small.items[1], small.classes[2])
    seen = {}
    for actor in (ann, bob, small.owner):
        found = find_items(small.workspace, actor, small.id, text="a red bus", count=ITEMS)
        seen[actor] = {item.id: item.label for item in found}
    own, other = small.items[:2]
    assert (seen[ann][own], seen[ann][other]) == ("bee", None)
    assert (seen[bob][own], seen[bob][other]) == (None, "cow")
    assert (seen[small.owner][own], seen[small.owner][other]) == ("bee", "cow")
