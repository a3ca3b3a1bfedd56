"""The default: coverage first, then uncertainty herding."""

import numpy as np
import pytest

from strategies import Pool, phase, variety
from strategies.adaptive import Adaptive
from strategies.coverage import Coverage, UncertaintyHerding
from strategies.uncertainty import Margin


class HalfAndHalf:
    classes = np.array([0, 1])

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-features[:, 0]))
        return np.stack([1 - p, p], axis=1)


def pool_with(labels: int, n_classes: int) -> Pool:
    features = np.random.default_rng(0).normal(size=(300, 3))
    return Pool(features, np.arange(labels), np.arange(labels) % n_classes, np.arange(labels, 300), n_classes)


@pytest.mark.parametrize(
    ("labels", "n_classes", "expected"),
    [
        (0, 2, "coverage"),
        (9, 2, "coverage"),
        (10, 2, "uncertainty_herding"),
        (14, 15, "coverage"),
        (15, 15, "uncertainty_herding"),
        (199, 250, "coverage"),
        (200, 250, "uncertainty_herding"),
    ],
)
def test_the_start_lasts_as_many_labels_as_there_are_classes_within_bounds(labels: int, n_classes: int, expected: str):
    assert phase(Adaptive(), pool_with(labels, n_classes), HalfAndHalf()) == expected


def test_batches_need_no_variety_beyond_what_the_utilities_bring():
    assert variety(Adaptive(), pool_with(5, 2), HalfAndHalf()) == 1
    assert variety(Adaptive(), pool_with(60, 2), HalfAndHalf()) == 1 < variety(Margin(), pool_with(60, 2), None)


def test_without_a_model_the_start_goes_on():
    assert Adaptive().phase(pool_with(100, 2), None) == "coverage"


@pytest.mark.parametrize(("labels", "way"), [(5, Coverage()), (60, UncertaintyHerding())])
def test_each_phase_scores_and_explains_as_its_strategy_does(labels: int, way):
    pool, model, rows = pool_with(labels, 2), HalfAndHalf(), np.array([100, 101])
    scored = [s.utilities(pool, model, np.random.default_rng(0)) for s in (Adaptive(), way)]
    assert np.array_equal(*scored)
    assert Adaptive().why(pool, model, rows, ["no", "yes"]) == way.why(pool, model, rows, ["no", "yes"])
