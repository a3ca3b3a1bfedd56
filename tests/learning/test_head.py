"""The head: scikit-learn's logistic regression, kept as plain arrays."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression

from labeling.errors import Invalid
from labeling.learning.head import LinearHead, fit_head

NUMBERS = st.floats(-1e6, 1e6)


def blobs(classes: int, each: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds of points in the plane: rows (classes * each, 2) float32 and class indices."""
    rng = np.random.default_rng(seed)
    targets = np.repeat(np.arange(classes), each)
    return (rng.normal(size=(len(targets), 2)) + targets[:, None]).astype(np.float32), targets


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("strength", [0.1, 1.0, 30.0])
def test_probabilities_are_those_of_scikit_learn(classes: int, strength: float):
    rows, targets = blobs(classes)
    head = fit_head(rows, targets, strength=strength)
    theirs = LogisticRegression(C=strength, max_iter=2000).fit(rows.astype(np.float64), targets)
    probabilities = head.predict_proba(rows)
    assert probabilities.shape == (len(rows), classes) and probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities, theirs.predict_proba(rows), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_head_is_the_minimum_of_the_objective_that_its_penalty_names(classes: int):
    """The gradient of the summed log loss of the softmax, plus ``l2 * coef``, is zero, for two classes as for more."""
    rows, targets = blobs(classes)
    head = fit_head(rows, targets, strength=3.0)
    errors = head.predict_proba(rows) - np.eye(classes)[targets]
    np.testing.assert_allclose(errors.T @ rows + head.l2 * head.coef, 0, atol=1e-2)
    np.testing.assert_allclose(errors.sum(axis=0), 0, atol=1e-2)


def test_two_classes_have_a_row_of_weights_each():
    rows, targets = blobs(2)
    head = fit_head(rows, targets, strength=1.0)
    assert head.coef.shape == (2, 2) and head.intercept.shape == (2,)


def test_a_head_knows_only_the_classes_that_it_saw():
    rows, targets = blobs(3)
    head = fit_head(rows, np.array([1, 4, 7])[targets], strength=1.0)
    assert head.classes.tolist() == [1, 4, 7]
    assert head.predict_proba(rows).shape == (30, 3)


def test_probabilities_stay_finite_far_from_the_data():
    rows, targets = blobs(3)
    far = fit_head(rows, targets, strength=100.0).predict_proba(np.array([[1e8, -1e8], [-1e8, 1e8]]))
    assert np.isfinite(far).all()


def test_the_same_labels_give_the_same_head():
    rows, targets = blobs(3)
    first, second = (fit_head(rows, targets, strength=1.0) for _ in range(2))
    np.testing.assert_array_equal(first.coef, second.coef)


def test_one_class_or_a_feature_that_is_no_number_is_an_error():
    rows, targets = blobs(2)
    with pytest.raises(ValueError, match="class"):
        fit_head(rows, np.zeros_like(targets), strength=1.0)
    rows[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fit_head(rows, targets, strength=1.0)


@given(st.data(), st.integers(1, 5), st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_a_head_comes_back_as_it_was_saved(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, classes: int, width: int
):
    head = LinearHead(
        data.draw(arrays(np.int64, classes, elements=st.integers(0, 2**40))),
        data.draw(arrays(np.float64, (classes, width), elements=NUMBERS)),
        data.draw(arrays(np.float64, classes, elements=NUMBERS)),
        data.draw(st.floats(1e-6, 1e6)),
    )
    path = tmp_path_factory.mktemp("heads") / "new" / "head.npz"
    head.save(path, {"labels": 3})
    again = LinearHead.load(path)
    for name in ("classes", "coef", "intercept"):
        np.testing.assert_array_equal(getattr(again, name), getattr(head, name))
        assert getattr(again, name).dtype == getattr(head, name).dtype
    assert again.l2 == head.l2
    rows = np.ones((2, width))
    np.testing.assert_array_equal(again.predict_proba(rows), head.predict_proba(rows))


def test_beside_the_arrays_lies_what_they_are_and_nothing_else(tmp_path: Path):
    rows, targets = blobs(2)
    fit_head(rows, targets, strength=1.0).save(tmp_path / "head.npz", {"class_ids": [5, 9], "labels": 20})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["head.json", "head.npz"]
    assert json.loads((tmp_path / "head.json").read_text()) == {"class_ids": [5, 9], "labels": 20, "l2": 2.0}


def test_a_file_that_would_run_code_on_load_is_not_read(tmp_path: Path):
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (Path.touch, (tmp_path / "sprung",))

    trap = np.array([Trap()], dtype=object)
    np.savez(tmp_path / "head.npz", classes=trap, coef=trap, intercept=trap, l2=np.float64(1))
    with pytest.raises(Invalid, match="damaged"):
        LinearHead.load(tmp_path / "head.npz")
    assert not (tmp_path / "sprung").exists()
