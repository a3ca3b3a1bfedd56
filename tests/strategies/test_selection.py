"""From utilities to a batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import StrategyError, select
from strategies.selection import NonFiniteUtilities

ROWS = np.array([7, 3, 9, 1])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_best_come_first():
    assert list(select(np.array([0.1, 0.9, -2.0, 0.5]), ROWS, 3, rng())) == [1, 3, 0]


@pytest.mark.parametrize(("batch", "chosen"), [(9, [1, 3, 0, 2]), (0, []), (-1, [])])
def test_any_size_of_batch_is_defined(batch: int, chosen: list[int]):
    assert list(select(np.array([0.1, 0.9, -2.0, 0.5]), ROWS, batch, rng())) == chosen


@pytest.mark.parametrize("diversity", [1, 5])
def test_an_empty_pool_gives_an_empty_batch(diversity: int):
    nothing = np.array([], dtype=int)
    assert len(select(np.empty(0), nothing, 5, rng(), np.empty((0, 2)), diversity)) == 0


def test_ties_are_decided_by_lot_and_the_lot_by_the_seed():
    utilities, rows = np.zeros(50), np.arange(50)
    first = select(utilities, rows, 50, rng(1))
    assert np.array_equal(first, select(utilities, rows, 50, rng(1)))
    assert not np.array_equal(first, select(utilities, rows, 50, rng(2)))
    assert not np.array_equal(first, rows)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.randoms(use_true_random=False), st.sampled_from([1, 3]))
def test_the_order_of_the_candidates_does_not_matter(values: list[int], random, diversity: int):
    utilities, rows = np.array(values, dtype=float), np.arange(len(values)) * 3
    features = np.random.default_rng(0).normal(size=(len(values) * 3, 2))
    shuffled = np.array(random.sample(range(len(values)), len(values)))
    here = rows[select(utilities, rows, 4, rng(), features, diversity)]
    there = rows[shuffled][select(utilities[shuffled], rows[shuffled], 4, rng(), features, diversity)]
    assert np.array_equal(here, there)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_utility_that_is_no_number_is_refused_by_name(bad: float):
    with pytest.raises(NonFiniteUtilities, match="1 of 4"):
        select(np.array([0, bad, 1, 2]), ROWS, 2, rng())


def test_one_utility_for_each_candidate_is_asked_for():
    with pytest.raises(StrategyError, match="3 utilities for 4 candidates"):
        select(np.zeros(3), ROWS, 2, rng())


def test_variety_takes_the_best_of_each_group():
    # Ten near-copies hold the ten best utilities; three other places come after them.
    features = np.r_[np.random.default_rng(0).normal(scale=0.01, size=(10, 2)), [[5, 5], [-5, 5], [5, -5]]]
    utilities = np.linspace(1, 0.4, 13)
    assert list(select(utilities, np.arange(13), 4, rng(), features, diversity=1)) == [0, 1, 2, 3]
    assert list(select(utilities, np.arange(13), 4, rng(), features, diversity=4)) == [0, 10, 11, 12]


def test_variety_looks_no_further_than_its_shortlist():
    features = np.arange(40.0)[:, None]
    chosen = select(np.linspace(1, 0, 40), np.arange(40), 5, rng(), features, diversity=3)
    assert chosen.max() < 15


def test_where_there_is_no_variety_the_batch_is_still_full():
    chosen = select(np.linspace(1, 0, 20), np.arange(20), 5, rng(), np.ones((20, 2)), diversity=3)
    assert list(chosen) == [0, 1, 2, 3, 4]


def places(*counts: int) -> np.ndarray:
    """So many points around each of some places far from each other."""
    centres = np.array([[0, 0], [9, 0], [0, 9], [9, 9], [18, 0], [0, 18]])[: len(counts)]
    return np.repeat(centres, counts, axis=0) + np.random.default_rng(0).normal(scale=0.01, size=(sum(counts), 2))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_differs_from_what_people_hold(batch: int):
    features, place = places(10, 10, 10, 10), np.repeat(np.arange(4), 10)
    rows, held = np.setdiff1d(np.arange(40), [3, 14]), np.array([3, 14])  # someone is at the best two places
    utilities = np.linspace(1, 0, 38)
    alone = rows[select(utilities, rows, batch, rng(), features, diversity=38)]
    beside = rows[select(utilities, rows, batch, rng(), features, diversity=38, held=held)]
    assert 0 in place[alone]
    assert sorted(place[beside]) == [2, 3][:batch]


def test_where_people_hold_some_of_everything_the_batch_is_still_full_and_of_the_best():
    features, held = places(10, 10), np.array([9, 19])
    rows = np.setdiff1d(np.arange(20), held)
    chosen = select(np.linspace(1, 0, 18), rows, 6, rng(), features, diversity=3, held=held)
    assert len(chosen) == 6
    assert chosen[0] == 0


def test_however_many_are_held_the_batch_is_full():
    features = np.random.default_rng(0).normal(size=(300, 2))
    rows, held = np.arange(40), np.arange(40, 300)
    chosen = select(np.linspace(1, 0, 40), rows, 4, rng(), features, diversity=5, held=held)
    assert len(set(chosen)) == 4


def test_nothing_held_changes_nothing():
    features, utilities = np.random.default_rng(0).normal(size=(40, 2)), np.linspace(1, 0, 40)
    none = [select(utilities, np.arange(40), 4, rng(), features, 5, held) for held in (None, np.array([], int))]
    assert np.array_equal(*none)


def test_without_variety_what_is_held_does_not_matter():
    features, utilities = places(10, 10), np.linspace(1, 0, 18)
    assert list(select(utilities, np.arange(2, 20), 3, rng(), features, 1, np.array([0, 1]))) == [0, 1, 2]


def test_variety_without_features_is_refused():
    with pytest.raises(StrategyError, match="features"):
        select(np.arange(9.0), np.arange(9), 3, rng(), diversity=2)
