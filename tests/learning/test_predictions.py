"""What the live model believes of the pool: the head's own words, row by row, as long as they are of use."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from labeling.annotation import answers, queue
from labeling.db.engine import reading
from labeling.db.schema import ModelVersion
from labeling.errors import Invalid
from labeling.features.encoding import open_features
from labeling.features.prior import open_view
from labeling.learning import predictions
from labeling.learning.head import LinearHead, about_head
from labeling.learning.predictions import PoolPredictions, pool_file, pool_predictions, predict_pool, what_changed
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject

ITEMS = 30


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    """Items whose class is the sign of their first feature."""
    made = SmallProject.make(workspace, items=ITEMS, strategy="margin")
    rows = np.random.default_rng(0).normal(size=(ITEMS, 3)).astype(np.float32)
    rows[:, 0] += np.where(np.arange(ITEMS) % 2, 2, -2)
    made.add_features(rows)
    return made


def label(small: SmallProject, *rows: int) -> list[str]:
    return [small.answer(small.people[0], small.items[row], small.classes[row % 2]) for row in rows]


def versions(small: SmallProject) -> list[ModelVersion]:
    with reading(small.workspace.engine) as session:
        return list(session.exec(select(ModelVersion).order_by(col(ModelVersion.number))).all())


def believed(classes: list[int], confidence: list[float] | None = None, class_ids: tuple[int, ...] = (7, 8, 9)):
    sure = np.full(len(classes), 0.5) if confidence is None else np.array(confidence)
    everywhere = np.ones(len(classes), dtype=bool)
    return PoolPredictions(np.array(classes, dtype=np.int32), sure.astype(np.float32), list(class_ids), everywhere)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(0, 40), width=st.integers(1, 6), block=st.integers(1, 30))
def test_every_row_has_the_class_and_the_probability_that_the_head_gives_it(
    seed: int, rows: int, width: int, block: int
):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, width)).astype(np.float32)
    known = np.sort(rng.permutation(5)[: rng.integers(2, 6)])
    head = LinearHead(known, rng.normal(size=(len(known), width)), rng.normal(size=len(known)), 1.0)
    open_rows = np.flatnonzero(rng.random(rows) < 0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictions, "BLOCK", block)
        made = predict_pool(features, head, [11, 12, 13, 14, 15], open_rows)
    theirs = head.predict_proba(features) if rows else np.zeros((0, len(known)))
    np.testing.assert_allclose(made.confidence, theirs.max(axis=1, initial=0), rtol=1e-4)
    chosen = theirs[np.arange(rows), np.searchsorted(known, made.classes)]
    np.testing.assert_allclose(chosen, theirs.max(axis=1, initial=0), rtol=1e-4)
    assert np.flatnonzero(made.open).tolist() == open_rows.tolist()


def test_what_is_saved_is_what_is_mapped(tmp_path: Path):
    head = tmp_path / "project-1-2-w.npz"
    LinearHead(np.array([0, 1]), np.ones((2, 1)), np.ones(2), 1.0).save(head, {"class_ids": [7, 8, 9]})
    saved = believed([0, 2, 1, 1], [0.4, 0.9, 0.5, 0.7])
    saved.save(head)
    loaded = PoolPredictions.load(head)
    assert loaded.classes.tolist() == [0, 2, 1, 1] and loaded.class_ids == [7, 8, 9]
    np.testing.assert_array_equal(loaded.confidence, saved.confidence)
    assert isinstance(loaded.confidence.base, np.memmap) and not loaded.confidence.flags.writeable


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "other"])
def test_damaged_predictions_are_refused_in_a_sentence(tmp_path: Path, damage: str):
    head = tmp_path / "project-1-2-w.npz"
    LinearHead(np.array([0, 1]), np.ones((2, 1)), np.ones(2), 1.0).save(head, {"class_ids": [7, 8, 9]})
    believed([0, 1] * 50).save(head)
    whole = pool_file(head).read_bytes()
    if damage == "missing":
        pool_file(head).unlink()
    elif damage == "other":
        np.save(pool_file(head), np.zeros(3))
    else:
        pool_file(head).write_bytes(whole[:-20] if damage == "cut" else b"not an array")
    with pytest.raises(Invalid, match=r"the next labels bring it.*\.$"):
        PoolPredictions.load(head)


def test_a_version_is_published_with_what_it_believes(small: SmallProject):
    label(small, 0, 1, 2)
    small.learn()
    (version,) = versions(small)
    made = pool_predictions(small.workspace, version)
    matrix = open_features(small.workspace, small.id)
    assert made is not None and matrix is not None and version.path is not None
    about = about_head(small.workspace.head(version.path))
    head = LinearHead.load(small.workspace.head(version.path))
    theirs = head.predict_proba(np.asarray(open_view(matrix, *about["view"]).of(matrix)))
    assert made.classes.tolist() == head.classes[theirs.argmax(axis=1)].tolist()
    assert made.class_ids == list(small.classes)
    assert made.open.tolist() == [False] * 3 + [True] * (ITEMS - 3)
    assert version.metrics == {}  # there was none before it


def test_a_version_tells_what_it_changed(small: SmallProject):
    for row in (0, 1):  # taken for each other: what comes later sets it right
        small.answer(small.people[0], small.items[row], small.classes[1 - row])
    small.learn()
    first = pool_predictions(small.workspace, versions(small)[0])
    assert first is not None
    before = np.array(first.classes)
    label(small, *range(2, 16))
    small.learn()
    second = pool_predictions(small.workspace, versions(small)[1])
    assert second is not None
    metrics = versions(small)[1].metrics
    changed = np.flatnonzero(before != second.classes)
    assert (metrics["changed"], metrics["of"]) == (len(changed), ITEMS)
    assert sum(count for _, _, count in metrics["moves"]) == len(changed) > 0
    assert {example["row"] for example in metrics["examples"]} == set(changed.tolist())


def test_what_changed_counts_moves_and_shows_the_surest_rows():
    before = believed([0, 0, 0, 1, 2, 2])
    after = believed([0, 1, 1, 1, 0, 2, 2], [0.9, 0.6, 0.8, 0.9, 0.7, 0.9, 0.9])
    assert what_changed(before, after) == {
        "changed": 3,
        "of": 6,
        "moves": [[7, 8, 2], [9, 7, 1]],
        "examples": [
            {"row": 2, "from": 7, "to": 8},
            {"row": 4, "from": 9, "to": 7},
            {"row": 1, "from": 7, "to": 8},
        ],
    }
    json.dumps(what_changed(before, after))  # as the database keeps it
    assert what_changed(None, after) == {}


def test_what_changed_goes_by_class_and_not_by_place():
    """A class that came between two versions moves the places of those behind it."""
    before, after = believed([1, 1], class_ids=(7, 9)), believed([2, 1], class_ids=(7, 8, 9))
    assert what_changed(before, after)["moves"] == [[9, 8, 1]]


def test_no_more_is_kept_of_what_changed_than_people_look_at():
    rng = np.random.default_rng(0)
    before, after = (believed(rng.integers(0, 30, 5000).tolist(), class_ids=tuple(range(30))) for _ in range(2))
    changed = what_changed(before, after)
    assert (len(changed["moves"]), len(changed["examples"])) == (predictions.MOVES, predictions.EXAMPLES)
    counts = [count for _, _, count in changed["moves"]]
    assert counts == sorted(counts, reverse=True) and changed["changed"] > 4000


def test_only_the_predictions_of_the_newest_two_versions_are_kept(small: SmallProject):
    for row in range(5):
        label(small, row)
        small.learn()
    made = versions(small)
    assert len(made) == 4  # the first label was of one class
    kept = [pool_predictions(small.workspace, version) is not None for version in made]
    assert kept == [False, False, True, True]
    heads = [path.name for path in small.workspace.head(".").glob("*.npz")]
    assert sorted(heads) == sorted(version.path or "" for version in made)


def test_the_live_version_keeps_its_predictions_while_no_new_one_can_be_fitted(small: SmallProject):
    events = label(small, 0, 1, 2, 3)
    small.learn()
    for event in events[1::2]:
        answers.undo(small.workspace, small.people[0], event)
    for _ in range(3):
        small.learn()
    (version,) = versions(small)
    assert pool_predictions(small.workspace, version) is not None
    assert queue.claim(small.workspace, small.people[0], small.id)
