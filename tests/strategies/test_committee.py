"""Disagreement against votes counted by hand, and the committee that casts them."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from strategies import Pool, StrategyError
from strategies.committee import MEASURES, Committee, consensus_entropy, max_disagreement, vote_entropy

# Four members, three items, two classes: all agree surely; two against two surely; all equally unsure.
SURE, OTHER, UNSURE = [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]
BALLOTS = np.array([[SURE, SURE, UNSURE], [SURE, SURE, UNSURE], [SURE, OTHER, UNSURE], [SURE, OTHER, UNSURE]])


@pytest.mark.parametrize(
    ("measure", "by_hand"),
    [
        (vote_entropy, [0, 1, 0]),
        (consensus_entropy, [0, 1, 1]),
        (max_disagreement, [0, np.log(2) / np.log(4), 0]),
    ],
)
def test_a_measure_agrees_with_the_votes_counted_by_hand(measure, by_hand: list[float]):
    np.testing.assert_allclose(measure(BALLOTS), by_hand, atol=1e-12)


def test_three_votes_against_two_are_counted():
    ballots = np.array([[SURE]] * 3 + [[OTHER]] * 2)
    by_hand = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4)) / np.log(2)
    assert vote_entropy(ballots) == pytest.approx(by_hand)


def test_one_dissenter_is_the_maximum_disagreement():
    ballots = np.array([[SURE]] * 3 + [[OTHER]])
    assert max_disagreement(ballots) == pytest.approx(1)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_disagreement_lies_between_0_and_1(measure):
    ballots = np.random.default_rng(0).dirichlet(np.full(5, 0.2), size=(6, 200))
    assert measure(ballots).min() >= 0
    assert measure(ballots).max() <= 1


def strip() -> Pool:
    """Class 0 on the left, class 1 on the right; candidates at both ends and in between."""
    places = np.r_[np.linspace(-3, -2, 10), np.linspace(2, 3, 10), [-2.5, 0.0, 2.5]]
    features = np.stack([places, np.zeros_like(places)], axis=1)
    return Pool(features, np.arange(20), np.repeat([0, 1], 10), [20, 21, 22], 2)


def test_the_committee_is_least_sure_between_the_classes():
    utilities = Committee("consensus_entropy").utilities(strip(), None, np.random.default_rng(0))
    assert utilities.argmax() == 1


def test_a_reason_gives_the_votes_that_were_counted():
    X, y = load_digits(return_X_y=True)
    pool = Pool(X, np.arange(60), y[:60], np.arange(60, 400), 10)
    committee = Committee()
    utilities = committee.utilities(pool, None, np.random.default_rng(0))
    by_utility = np.argsort(utilities)
    rows = pool.candidates[by_utility[[0, -1]]]
    agreed, split = committee.why(pool, None, rows, [str(c) for c in range(10)])
    assert agreed.startswith("committee agrees on ")
    votes = [int(v) for v in split.removeprefix("committee split ").split(":")[0].split(" to ")]
    assert sum(votes) == 7
    assert votes == sorted(votes, reverse=True)
    shares = np.array(votes) / 7
    assert utilities.max() == pytest.approx(-(shares * np.log(shares)).sum() / np.log(7))


def test_votes_of_another_pool_are_not_passed_off_as_this_ones():
    committee = Committee()
    committee.utilities(strip(), None, np.random.default_rng(0))
    other = strip()
    whys = committee.why(other, None, other.candidates[:1], ["a", "b"])
    assert whys == ["drawn at random, as no committee could vote yet"]


def test_one_label_per_class_makes_a_committee():
    pool = replace(strip(), labeled=[0, 19], targets=[0, 1])
    assert np.isfinite(Committee("max_disagreement").utilities(pool, None, np.random.default_rng(0))).all()


def test_a_label_without_weight_does_not_count():
    pool, rng = strip(), np.random.default_rng
    weighed = replace(pool, targets=np.r_[pool.targets[:-1], 0], weights=np.r_[np.ones(19), 0])
    without = replace(pool, labeled=pool.labeled[:-1], targets=pool.targets[:-1])
    assert np.array_equal(Committee().utilities(weighed, None, rng(0)), Committee().utilities(without, None, rng(0)))


def test_features_in_other_units_make_the_same_committee():
    pool = strip()
    scaled = replace(pool, features=pool.features * 1024 + 4096)
    here, there = (Committee("consensus_entropy").utilities(p, None, np.random.default_rng(0)) for p in (pool, scaled))
    np.testing.assert_allclose(here, there, atol=1e-3)


@pytest.mark.parametrize("options", [{"disagreement": "loud"}, {"bootstraps": -1}])
def test_options_that_make_no_sense_are_refused(options: dict):
    with pytest.raises(StrategyError):
        Committee(**options)
