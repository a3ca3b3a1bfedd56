"""How suggestions pull at people: the intervals, what is planted, and what is called harmful."""

import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.assurance.suggestion_pull import SuggestionPull, difference, exact, is_harmful, measure_pull

Z95 = 1.959963984540054


def experiment(
    rng: np.random.Generator, answers: int, *, followed: float = 0.3, alone: float = 0.1, hidden: float = 0.3
) -> SuggestionPull:
    """Every suggestion is wrong: class 0 where the truth is 1 to 3; who errs alone does so as suggested."""
    truth = rng.integers(1, 4, answers)
    shown = rng.random(answers) >= hidden
    follows = shown & (rng.random(answers) < followed)
    answered = np.where(follows | (rng.random(answers) < alone), 0, truth)
    return measure_pull(shown, np.zeros(answers, dtype=int), answered, truth, rng.integers(0, 4, answers))


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_the_interval_of_one_proportion_agrees_with_published_examples(
    successes: int, n: int, low: float, high: float
) -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 5.
    assert exact(successes, n, 0.95) == pytest.approx((low, high), abs=5e-5)
    assert exact(n - successes, n, 0.95) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_the_interval_of_a_difference_lies_around_it_and_narrows_to_the_normal_one() -> None:
    assert difference(3, 10, 7, 10).low == pytest.approx(-difference(7, 10, 3, 10).high)
    many = difference(60_000, 100_000, 20_000, 100_000, 0.95)
    reach = Z95 * np.sqrt(0.6 * 0.4 / 100_000 + 0.2 * 0.8 / 100_000)
    assert (many.low, many.value, many.high) == pytest.approx((0.4 - reach, 0.4, 0.4 + reach), abs=5e-5)


@pytest.mark.parametrize("answers", [30, 200, 1500])
def test_a_planted_bias_lies_within_its_intervals_in_95_of_100_runs(answers: int) -> None:
    runs = [experiment(np.random.default_rng([seed, answers]), answers).overall for seed in range(100)]
    assert sum(run.pull.low <= 0.3 * 0.9 <= run.pull.high for run in runs) >= 95
    assert sum(run.followed.low <= 0.3 <= run.followed.high for run in runs) >= 95


def test_with_many_answers_the_figures_are_what_was_planted_for_each_person_and_class() -> None:
    found = experiment(np.random.default_rng(1), 40_000)
    assert found.overall.pull.value == pytest.approx(0.27, abs=0.015)
    assert found.overall.followed.value == pytest.approx(0.3, abs=0.015)
    assert set(found.by_person) == {0, 1, 2, 3} and set(found.by_class) == {1, 2, 3}
    for one in [*found.by_person.values(), *found.by_class.values()]:
        assert one.pull.low < 0.27 < one.pull.high
        assert one.pull.high - one.pull.low < 0.1
    assert sum(one.shown for one in found.by_person.values()) == found.overall.shown


def test_who_errs_alike_with_and_without_suggestions_is_not_pulled() -> None:
    found = experiment(np.random.default_rng(2), 20_000, followed=0.0, alone=0.4)
    assert found.overall.pull.low < 0 < found.overall.pull.high
    assert found.overall.shown_alike / found.overall.shown == pytest.approx(0.4, abs=0.02)
    assert not found.harmful


def test_right_suggestions_count_for_the_net_effect_and_not_for_the_pull() -> None:
    n = 400
    shown = np.arange(n) % 2 == 0
    truth = np.ones(n, dtype=int)
    answered = np.where(shown | (np.arange(n) % 4 == 1), 1, 2)  # always right with it, half of the time without
    found = measure_pull(shown, truth, answered, truth, np.zeros(n, dtype=int))
    assert (found.overall.shown, found.overall.hidden) == (0, 0)
    assert found.by_person == {} and found.by_class == {}
    assert found.net.value == pytest.approx(0.5) and found.net.low > 0.3
    assert not found.harmful


def test_without_answers_on_both_sides_there_is_no_figure() -> None:
    nothing = np.empty(0, dtype=int)
    empty = measure_pull(nothing.astype(bool), nothing, nothing, nothing, nothing)
    assert empty.net.value is None and not empty.harmful
    one = np.ones(5, dtype=int)
    only_shown = measure_pull(one.astype(bool), 0 * one, one, one, one)
    assert only_shown.overall.shown == 5
    assert only_shown.overall.pull.value is None
    assert (only_shown.overall.pull.low, only_shown.overall.pull.high) == (-1.0, 1.0)


def test_where_everybody_errs_alike_alone_no_share_can_be_followed() -> None:
    shown = np.array([True, True, False, False])
    zero, one = np.zeros(4, dtype=int), np.ones(4, dtype=int)
    assert measure_pull(shown, zero, zero, one, zero).overall.followed.value is None


def test_rows_without_a_truth_or_a_suggestion_are_left_out() -> None:
    shown = np.array([True, True, False, False])
    found = measure_pull(
        shown, np.array([0, -1, 0, 0]), np.array([0, 0, 1, 0]), np.array([1, 1, 1, -1]), np.zeros(4, dtype=int)
    )
    assert (found.shown, found.hidden) == (1, 1)
    assert (found.overall.shown_alike, found.overall.hidden_alike) == (1, 0)


def right_answers(
    rng: np.random.Generator, n: int, with_it: float, without: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    shown = rng.random(n) < 0.5
    return shown, rng.random(n) < np.where(shown, with_it, without)


def test_suggestions_that_mislead_are_called_harmful() -> None:
    shown, right = right_answers(np.random.default_rng(3), 2000, 0.7, 0.9)
    assert is_harmful(shown, right)
    assert not is_harmful(shown, ~right)


def test_harmless_suggestions_are_seldom_called_harmful_however_often_one_asks() -> None:
    called = 0
    for seed in range(500):
        shown, right = right_answers(np.random.default_rng(seed), 700, 0.8, 0.8)
        rarer = np.minimum(np.cumsum(shown), np.cumsum(~shown))
        looks = [int(np.searchsorted(rarer, size)) + 1 for size in (10, 20, 40, 80, 160, 320) if size <= rarer[-1]]
        called += any(is_harmful(shown[:until], right[:until]) for until in looks)
    assert called <= 25  # 5 %


def test_the_mind_is_changed_only_at_looks() -> None:
    rng = np.random.default_rng(4)
    shown, right = right_answers(rng, 900, 0.6, 0.9)
    rarer = np.minimum(np.cumsum(shown), np.cumsum(~shown))
    said = np.array([is_harmful(shown[: i + 1], right[: i + 1]) for i in range(len(shown))])
    looks = [int(np.searchsorted(rarer, size)) for size in (10, 20, 40, 80, 160, 320)]
    assert set(np.flatnonzero(np.diff(said)) + 1) <= set(looks)
    assert said.any()
