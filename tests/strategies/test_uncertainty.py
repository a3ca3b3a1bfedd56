"""Uncertainty measures against examples worked by hand."""

import numpy as np
import pytest

from strategies import Pool
from strategies.uncertainty import Entropy, LeastConfident, Margin, closeness, least_confidence, normalised_entropy

PROBABILITIES = np.array([[0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
NAMES = ["3", "8", "5", "never seen"]


class TableModel:
    """Answers with the probabilities written down for the row whose number is the item's one feature."""

    def __init__(self, probabilities: np.ndarray, classes: list[int] | None = None) -> None:
        self.table = np.asarray(probabilities)
        self.classes = np.arange(self.table.shape[1]) if classes is None else np.array(classes)

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        return self.table[features[:, 0].astype(int)]


def pool_of(n: int, n_classes: int = 4) -> Pool:
    return Pool(np.arange(n, dtype=float)[:, None], [], [], np.arange(n), n_classes)


@pytest.mark.parametrize(
    ("measure", "by_hand"),
    [
        (least_confidence, [0.75, 0.75, 0, 1]),
        (closeness, [0.75, 1, 0, 1]),
        (normalised_entropy, [1.5 * np.log(2) / np.log(3), np.log(2) / np.log(3), 0, 1]),
    ],
)
def test_a_measure_agrees_with_the_example_worked_by_hand(measure, by_hand: list[float]):
    np.testing.assert_allclose(measure(PROBABILITIES), by_hand, atol=1e-12)


@pytest.mark.parametrize("measure", [least_confidence, closeness, normalised_entropy])
def test_a_measure_of_one_class_is_zero(measure):
    assert list(measure(np.ones((2, 1)))) == [0, 0]


@pytest.mark.parametrize("measure", [least_confidence, closeness, normalised_entropy])
def test_with_two_classes_every_measure_gives_the_same_order(measure):
    p = np.array([0.5, 0.6, 0.2, 0.95, 0.99])
    assert list(np.argsort(-measure(np.stack([p, 1 - p], axis=1)))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("strategy", "first"), [(LeastConfident(), {3}), (Margin(), {1, 3}), (Entropy(), {3})])
def test_the_most_uncertain_candidate_comes_first(strategy, first: set[int]):
    utilities = strategy.utilities(pool_of(4), TableModel(PROBABILITIES), np.random.default_rng(0))
    assert set(np.flatnonzero(utilities == utilities.max())) == first


@pytest.mark.parametrize(
    ("strategy", "whys"),
    [
        (LeastConfident(), ["50% sure it is 3", "50% sure it is 3"]),
        (Margin(), ["torn between 3 and 8", "torn between 3 and 8"]),
        (Entropy(), ["could be 3, 8 or 5", "could be 3, 8 or 5"]),
    ],
)
def test_a_reason_names_the_classes_in_question(strategy, whys: list[str]):
    assert strategy.why(pool_of(4), TableModel(PROBABILITIES), np.array([0, 1]), NAMES) == whys


def test_a_reason_names_the_classes_that_the_model_knows_and_no_others():
    model = TableModel([[0.4, 0.6]], classes=[1, 3])
    assert Margin().why(pool_of(1), model, np.array([0]), NAMES) == ["torn between never seen and 8"]
    assert Entropy().why(pool_of(1), model, np.array([0]), NAMES) == ["could be never seen or 8"]


def test_a_model_that_is_sure_is_not_said_to_be_torn():
    model = TableModel([[0.9, 0.1]])
    assert Margin().why(pool_of(1), model, np.array([0]), NAMES) == ["rather 3, but maybe 8"]
