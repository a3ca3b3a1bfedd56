"""Agreement, against published examples, the `krippendorff` package and scikit-learn."""

import itertools

import krippendorff
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from labeling.annotation.agreement import (
    alpha_interval,
    alpha_over_time,
    alpha_per_class,
    cohen_kappa,
    confusion_between,
    krippendorff_alpha,
    pairwise,
)
from labeling.annotation.opinions import Opinions

# Krippendorff (2011), part C: four observers, twelve units, five classes, 0 where nothing was said.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)


def opinions_of(table: NDArray[np.int64], n_classes: int) -> Opinions:
    """Of people by items, classes from 1, 0 where nothing was said."""
    people, items = np.nonzero(table)
    return Opinions(items, people, table[people, items] - 1, table.shape[1], table.shape[0], n_classes)


def drawn(seed: int, n_items: int = 60, n_people: int = 5, k: int = 4, accuracy: float = 0.7) -> Opinions:
    """People who choose the right class in a share of their answers, else any; a third of all answers are missing."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, k + 1, n_items)
    table = np.where(rng.random((n_people, n_items)) < accuracy, truth, rng.integers(1, k + 1, (n_people, n_items)))
    return opinions_of(np.where(rng.random(table.shape) < 1 / 3, 0, table), k)


def as_package(opinions: Opinions) -> NDArray[np.float64]:
    table = np.full((opinions.n_people, opinions.n_items), np.nan)
    table[opinions.people, opinions.items] = opinions.classes
    return table


def test_alpha_is_the_published_one_of_krippendorffs_example() -> None:
    assert round(krippendorff_alpha(opinions_of(OBSERVERS, 5)), 3) == 0.743


@pytest.mark.parametrize(
    ("said", "published"),
    [
        (["0100000010", "1110010000"], 0.095),  # part A: two values
        (["aabbdcccedda", "babbbccceddd"], 0.692),  # part B: five classes
    ],
)
def test_alpha_is_the_published_one_of_two_observers(said: list[str], published: float) -> None:
    values = sorted(set("".join(said)))
    table = np.array([[values.index(value) + 1 for value in row] for row in said])
    assert round(krippendorff_alpha(opinions_of(table, len(values))), 3) == published


@pytest.mark.parametrize("seed", range(20))
def test_alpha_equals_the_package(seed: int) -> None:
    opinions = drawn(seed)
    expected = krippendorff.alpha(as_package(opinions), level_of_measurement="nominal")
    assert krippendorff_alpha(opinions) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("which", range(4))
def test_alpha_of_a_class_is_that_of_the_class_against_the_rest(which: int) -> None:
    opinions = drawn(3)
    table = as_package(opinions)
    expected = krippendorff.alpha(np.where(np.isnan(table), table, table == which), level_of_measurement="nominal")
    assert alpha_per_class(opinions)[which] == pytest.approx(expected, abs=1e-12)


def test_where_all_choose_one_class_there_is_no_alpha_and_no_kappa() -> None:
    opinions = opinions_of(np.ones((3, 4), dtype=np.int64), 2)
    assert np.isnan(krippendorff_alpha(opinions))
    assert np.isnan(alpha_per_class(opinions)).all()
    assert np.isnan(pairwise(opinions).kappa).all()
    interval = alpha_interval(opinions)
    assert np.isnan([interval.value, interval.low, interval.high]).all()


def test_without_two_answers_to_any_item_there_is_nothing_to_compare() -> None:
    opinions = opinions_of(np.array([[1, 2, 0], [0, 0, 1]]), 2)
    assert np.isnan(krippendorff_alpha(opinions))
    assert not confusion_between(opinions).any()
    assert alpha_over_time(opinions, np.arange(3.0)) == []


def test_kappa_is_the_one_of_a_textbook_table() -> None:
    # Fleiss, Levin and Paik, "Statistical Methods for Rates and Proportions" (2003), table 18.1: 100 people, diagnosed
    # by two raters as psychotic, neurotic or organic; kappa 0.68.
    table = [[75, 1, 4], [5, 4, 1], [0, 0, 10]]
    pairs = [(row, column) for row in range(3) for column in range(3) for _ in range(table[row][column])]
    first, second = np.array(pairs).T
    assert round(cohen_kappa(first, second, 3), 2) == 0.68
    assert cohen_kappa(first, second, 3) == pytest.approx((0.89 - 0.66) / (1 - 0.66), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_of_all_pairs_equals_scikit_learns_over_the_items_that_both_answered(seed: int) -> None:
    opinions = drawn(seed)
    pairs, table = pairwise(opinions), as_package(opinions)
    for one, other in itertools.permutations(range(opinions.n_people), 2):
        both = ~np.isnan(table[one]) & ~np.isnan(table[other])
        first, second = table[one, both].astype(int), table[other, both].astype(int)
        expected = cohen_kappa_score(first, second, labels=range(4))
        assert pairs.items[one, other] == both.sum()
        assert pairs.agreement[one, other] == pytest.approx((first == second).mean(), abs=1e-12)
        assert pairs.kappa[one, other] == pytest.approx(expected, abs=1e-12)
        assert cohen_kappa(first, second, 4) == pytest.approx(expected, abs=1e-12)


def test_people_without_a_common_item_have_no_kappa() -> None:
    pairs = pairwise(opinions_of(np.array([[1, 2, 0, 0], [0, 0, 1, 2]]), 2))
    assert pairs.items[0, 1] == 0
    assert np.isnan(pairs.kappa[0, 1]) and np.isnan(pairs.agreement[0, 1])


def test_answers_to_different_items_are_not_compared() -> None:
    with pytest.raises(ValueError, match="compare the same items"):
        cohen_kappa(np.array([0, 1]), np.array([0]), 2)


def test_confusion_counts_every_pair_of_answers_in_both_orders() -> None:
    opinions = drawn(1)
    table = as_package(opinions)
    expected = np.zeros((4, 4), dtype=int)
    for item in range(opinions.n_items):
        said = table[~np.isnan(table[:, item]), item].astype(int)
        for one, other in itertools.permutations(range(len(said)), 2):
            expected[said[one], said[other]] += 1
    assert (confusion_between(opinions) == expected).all()


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    opinions = drawn(2, n_items=80)
    table = as_package(opinions)
    table = table[:, (~np.isnan(table)).sum(axis=0) >= 2]
    rng = np.random.default_rng(0)
    alphas = [
        krippendorff.alpha(table[:, rng.integers(0, table.shape[1], table.shape[1])], level_of_measurement="nominal")
        for _ in range(500)
    ]
    interval = alpha_interval(opinions, draws=20_000)
    assert interval.value == krippendorff_alpha(opinions)
    assert (interval.low, interval.high) == pytest.approx(np.quantile(alphas, [0.025, 0.975]), abs=0.02)


def test_the_interval_is_the_same_for_the_same_seed_and_narrows_with_more_items() -> None:
    few, many = drawn(4, n_items=50), drawn(4, n_items=2000)
    assert alpha_interval(few, seed=7) == alpha_interval(few, seed=7)
    assert alpha_interval(few, seed=7) != alpha_interval(few, seed=8)
    wide, narrow = alpha_interval(few), alpha_interval(many)
    assert narrow.high - narrow.low < (wide.high - wide.low) / 4


def test_the_interval_covers_the_true_alpha_about_as_often_as_it_says() -> None:
    truth = krippendorff_alpha(drawn(99, n_items=200_000))
    intervals = [alpha_interval(drawn(seed, n_items=150), draws=300, seed=seed) for seed in range(100)]
    covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert covered >= 0.88  # 0.95 less three standard errors of 100 runs


def test_agreement_over_time_shows_when_people_began_to_agree() -> None:
    before, after = drawn(5, n_items=300, accuracy=0.3), drawn(6, n_items=300, accuracy=0.95)
    both = Opinions(
        np.concatenate([before.items, after.items + 300]),
        np.concatenate([before.people, after.people]),
        np.concatenate([before.classes, after.classes]),
        600,
        5,
        4,
    )
    order = both.items.astype(float)
    windows = alpha_over_time(both, order, windows=6)
    assert len(windows) == 6
    assert max(window.alpha for window in windows[:3]) < 0.3 < 0.8 < min(window.alpha for window in windows[3:])
    assert all(early.end < late.start for early, late in itertools.pairwise(windows))
    assert sum(window.items for window in windows) == (both.votes().sum(axis=1) >= 2).sum()


def test_a_single_window_is_the_alpha_of_all() -> None:
    opinions = drawn(7)
    (window,) = alpha_over_time(opinions, np.arange(len(opinions), dtype=float), windows=1)
    assert window.alpha == krippendorff_alpha(opinions)
