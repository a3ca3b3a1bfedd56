"""How right the model is on new items, and what a target takes: the arithmetic."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.special import expit, logit

from labeling.learning import forecast
from labeling.learning.forecast import (
    BINS,
    Assessed,
    accuracy_with,
    believe,
    calibrate,
    count_confidence,
    in_reach,
    labels_needed,
)


def counts(confidence: np.ndarray) -> tuple[int, ...]:
    return tuple(count_confidence(confidence))


def model(labels: int, *, sharpness: float = 1.0, overconfident: float = 0.0, seed: int = 0) -> tuple[Assessed, float]:
    """A model whose log odds of being right are those it gives, less `overconfident`; and how right it is."""
    rng = np.random.default_rng(seed)

    def drawn(count: int, easier: float) -> tuple[np.ndarray, np.ndarray]:
        odds = rng.normal(sharpness + easier, 1.2, size=count)
        return expit(odds), rng.random(count) < expit(odds - overconfident)

    new, right = drawn(20_000, 1.0)
    held, held_right = drawn(labels, 0.0)
    met, met_right = drawn(min(labels, forecast.MET), 0.0)
    assessed = Assessed(
        labels, counts(new), counts(held), counts(held[held_right]), counts(met), counts(met[met_right])
    )  # fmt: skip
    return assessed, float(right.mean())


def test_confidences_are_counted_with_both_ends() -> None:
    assert sum(count_confidence([0.0, 0.5, 1.0])) == 3
    assert len(count_confidence([])) == BINS


def test_a_calibration_finds_the_shift_that_is_in_the_answers() -> None:
    rng = np.random.default_rng(1)
    given_odds = rng.normal(0.5, 1.0, size=4000)
    right = rng.random(4000) < expit(1.3 * given_odds - 0.7)
    sure = expit(given_odds)
    mean, covariance = calibrate(count_confidence(sure), count_confidence(sure[right]))
    assert mean == pytest.approx([-0.7, 1.3], abs=0.15)
    assert np.sqrt(np.diag(covariance)).max() < 0.1


def test_without_answers_the_models_own_word_stands() -> None:
    mean, covariance = calibrate([0] * BINS, [0] * BINS)
    assert mean == pytest.approx([0, 1])
    assert np.sqrt(np.diag(covariance)) == pytest.approx([forecast.SHIFT, forecast.SLOPE])


@pytest.mark.parametrize("overconfident", [-0.5, 0.0, 1.0])
def test_the_estimate_is_of_new_items_and_not_of_those_asked(overconfident: float) -> None:
    """New items are easier than asked ones here, and the model may say too much or too little of itself."""
    inside = 0
    for seed in range(10):
        assessed, truth = model(200, overconfident=overconfident, seed=seed)
        told = accuracy_with(believe([assessed]), 200)
        asked = sum(assessed.held_right) / sum(assessed.held)
        inside += told.low <= truth <= told.high
        assert told.middle > asked
    assert inside >= 9


def test_the_error_falls_as_labels_come_and_never_rises() -> None:
    belief = believe([model(40)[0], model(100, sharpness=1.5)[0]])
    path = [accuracy_with(belief, labels) for labels in (100, 150, 300, 1000)]
    assert all(one.middle < two.middle for one, two in pairwise(path))
    assert all(one.low <= one.middle <= one.high for one in path)


def test_a_target_that_is_reached_takes_nothing() -> None:
    belief = believe([model(100)[0]])
    assert not labels_needed(belief, 0.2).any()


@settings(max_examples=25, deadline=None)
@given(some.floats(0.5, 0.95), some.floats(0.001, 0.04))
def test_a_higher_target_takes_no_fewer_labels(target: float, more: float) -> None:
    belief = believe([ASSESSED])
    assert (labels_needed(belief, target + more) >= labels_needed(belief, target)).all()


ASSESSED = model(100)[0]


def test_what_is_needed_brings_the_error_to_the_target() -> None:
    belief = believe([ASSESSED])
    needed = labels_needed(belief, 0.9)
    told = (needed > 0) & (needed < 1e6)
    reached = belief.errors[told] * ((100 + needed[told]) / 100) ** -belief.exponents[told]
    assert reached == pytest.approx(0.1)


def test_a_far_target_is_not_told() -> None:
    belief = believe([ASSESSED])
    assert in_reach(belief, labels_needed(belief, 0.9999)) is None
    assert in_reach(belief, np.zeros(forecast.DRAWS)) == (0, 0, 0)


def test_a_curve_that_fell_fast_is_expected_to_go_on_sooner_than_a_flat_one() -> None:
    def after(first: float) -> float:
        belief = believe([model(25, sharpness=first)[0], model(50, sharpness=(first + 2) / 2)[0],
                          model(100, sharpness=2.0)[0]])  # fmt: skip
        return accuracy_with(belief, 200).middle - accuracy_with(belief, 100).middle

    assert after(0.0) > after(2.0)


def test_the_same_versions_give_the_same_belief() -> None:
    one, two = believe([ASSESSED]), believe([ASSESSED])
    assert (one.errors == two.errors).all() and (one.exponents == two.exponents).all()


def test_few_held_out_items_leave_the_estimate_to_the_answers_met() -> None:
    few = Assessed(100, ASSESSED.open, (0,) * BINS, (0,) * BINS, ASSESSED.met, ASSESSED.met_right)
    assert 0.5 < accuracy_with(believe([few]), 100).middle < 1
    assert float(logit(accuracy_with(believe([few]), 100).high)) > 0
