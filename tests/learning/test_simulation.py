"""Replays: deterministic, honest about what they know, and the same in one process and in many."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import labeling
from labeling.errors import Invalid
from labeling.learning.simulation import compare_strategies, default_test_size, hold_out, simulate
from strategies.base import Model, Pool

ROUNDS = ["labels", "accuracy"]


def blobs(items: int, classes: int = 3, seed: int = 0, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(classes, size=items)
    return rng.normal(size=(items, width)) + 2 * np.eye(width)[targets], targets


def replay(items: int = 60, **options: Any) -> pd.DataFrame:
    x, y = blobs(items + 40)
    given = {"features": x[:items], "targets": y[:items], "test_features": x[items:], "test_targets": y[items:]}
    return simulate(**{**given, "strategy": "margin", "head": "logistic", "budget": 30, **options})


class Spy:
    """Asks for the first candidates, and keeps the pools that it saw."""

    name = "spy"
    needs = frozenset[str]()

    def __init__(self) -> None:
        self.pools: list[Pool] = []
        self.models: list[Model | None] = []

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> np.ndarray:
        self.pools.append(pool)
        self.models.append(model)
        return -pool.candidates.astype(float)


def test_the_package_offers_it():
    assert labeling.simulate is simulate
    assert labeling.compare_strategies is compare_strategies
    with pytest.raises(AttributeError):
        _ = labeling.no_such_thing


def test_there_is_a_row_for_every_batch():
    curve = replay()
    assert list(curve.columns) == ["labels", "accuracy", "seconds"]
    assert list(curve["labels"]) == [10, 20, 30]
    assert curve["accuracy"].between(0, 1).all() and (curve["seconds"] > 0).all()
    assert curve["accuracy"].iloc[-1] > 0.7


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({"budget": 25}, [10, 20, 25]),
        ({"budget": 7}, [7]),
        ({"budget": 500, "batch_size": 25}, [25, 50, 60]),
        ({"budget": 60, "batch_size": 100}, [60]),
        ({"budget": 3, "batch_size": 1}, [1, 2, 3]),
    ],
)
def test_the_last_batch_is_what_is_left_of_the_budget_and_of_the_pool(options: dict[str, int], labels: list[int]):
    assert list(replay(**options)["labels"]) == labels


@pytest.mark.parametrize("strategy", ["random", "margin", "coverage", "adaptive"])
def test_the_same_seed_gives_the_same_replay(strategy: str):
    one, other = (replay(strategy=strategy, head="default", seed=3)[ROUNDS] for _ in range(2))
    pd.testing.assert_frame_equal(one, other)


def test_another_seed_gives_another_replay():
    assert not replay(strategy="random", seed=0)[ROUNDS].equals(replay(strategy="random", seed=1)[ROUNDS])


def test_no_item_is_asked_twice_and_the_first_batch_is_the_strategys_own():
    spy = Spy()
    replay(strategy=spy, budget=60)
    first, *_, last = spy.pools
    assert len(first.labeled) == 0 and spy.models[0] is None and len(first.candidates) == 60
    assert list(last.labeled) == list(range(50))  # those that it wanted, in its order
    assert all(not set(pool.labeled) & set(pool.candidates) for pool in spy.pools)


def test_the_oracle_answers_truly_and_the_strategy_sees_nothing_else():
    spy = Spy()
    x, y = blobs(80)
    replay(features=x, targets=y, strategy=spy)
    for pool in spy.pools:
        np.testing.assert_array_equal(pool.targets, y[pool.labeled])


def test_before_there_is_a_model_the_guess_is_the_only_class_seen():
    x, y = blobs(60)
    y[:10] = 1  # the spy asks for these first
    test = np.array([1, 1, 0, 2, 1])
    curve = replay(features=x, targets=y, test_features=x[:5], test_targets=test, strategy=Spy(), budget=10)
    assert curve["accuracy"].tolist() == [0.6]


def test_the_accuracy_is_that_of_the_head_on_the_test_rows():
    x, y = blobs(100)
    head = LogisticRegression(C=0.3)
    curve = replay(strategy=Spy(), head=head, budget=20)
    expected = [LogisticRegression(C=0.3).fit(x[:n], y[:n]).score(x[60:], y[60:]) for n in (10, 20)]
    np.testing.assert_allclose(curve["accuracy"], expected)


def test_any_classifier_may_be_the_head_and_stays_as_it_was():
    head = KNeighborsClassifier(1)
    assert replay(head=head)["accuracy"].iloc[-1] > 0.5
    assert not hasattr(head, "classes_")


def test_targets_may_be_words_and_the_pool_may_be_half_floats():
    x, y = blobs(100)
    words = np.array(["ant", "bee", "cat"])[y]
    x = x.astype(np.float16)
    numbers = replay(features=x[:60], targets=y[:60], test_features=x[60:], test_targets=y[60:])
    named = replay(features=x[:60], targets=words[:60], test_features=x[60:], test_targets=words[60:])
    pd.testing.assert_frame_equal(numbers[ROUNDS], named[ROUNDS])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"strategy": "nope"}, "no strategy 'nope'"),
        ({"strategy": 7}, "A strategy is a name"),
        ({"head": "nope"}, "The head is"),
        ({"head": object()}, "The head is"),
        ({"budget": 0}, "at least one label"),
        ({"batch_size": 0}, "at least one label"),
        ({"targets": [1] * 60, "test_targets": [1] * 40}, "only one class"),
        ({"targets": [1] * 60}, "the same class"),
        ({"targets": [1, 2]}, "one target for each"),
        ({"features": np.full((60, 5), np.nan)}, "not a finite number"),
        ({"features": np.ones(60)}, "shapes"),
        ({"features": np.ones((60, 4))}, "shapes"),
        ({"features": np.ones((0, 5)), "targets": []}, "same class|pool"),
        ({"features": np.full((60, 5), "x"), "test_features": np.full((40, 5), "x")}, "matrix of numbers"),
        ({"targets": [None, *range(59)], "test_targets": [1] * 40}, "A target is missing"),
        ({"targets": np.array(["a", 1] * 30, dtype=object)}, "all numbers or all strings"),
        ({"test_features": np.ones((0, 5)), "test_targets": []}, "no test rows"),
        ({"features": 3.0}, "matrix"),
    ],
)
def test_what_cannot_be_replayed_is_said_in_a_sentence(options: dict[str, Any], sentence: str):
    with pytest.raises(Invalid, match=sentence):
        replay(**options)


def compared(**options: Any) -> pd.DataFrame:
    x, y = blobs(90)
    given = {"strategies": ["margin", "random"], "seeds": 3, "budget": 20, "head": "logistic", "processes": 0}
    return compare_strategies(x, y, **{**given, **options})


def test_a_comparison_is_in_the_order_of_strategies_seeds_and_labels():
    table = compared()
    assert list(table.columns) == ["strategy", "seed", "labels", "accuracy", "seconds"]
    expected = [(name, seed, labels) for name in ("margin", "random") for seed in range(3) for labels in (10, 20)]
    assert list(table[["strategy", "seed", "labels"]].itertuples(index=False, name=None)) == expected


@pytest.mark.slow
def test_many_processes_find_what_one_finds():
    told: list[tuple[float, str]] = []
    parallel = compared(processes=2, progress=lambda *heard: told.append(heard))
    without = ["strategy", "seed", "labels", "accuracy"]
    pd.testing.assert_frame_equal(parallel[without], compared()[without])
    assert told[-1] == (1.0, "6 of 6 replays") and sorted(told) == told


def test_each_seed_is_a_replay_on_its_own_split():
    x, y = blobs(90)
    pool, test = hold_out(y, 30, 2)
    alone = simulate(
        x[pool], y[pool], test_features=x[test], test_targets=y[test], strategy="margin", head="logistic", budget=20,
        seed=2,
    )  # fmt: skip
    among = compared()
    mine = among[(among["strategy"] == "margin") & (among["seed"] == 2)]
    np.testing.assert_array_equal(mine["accuracy"], alone["accuracy"])


def test_a_strategy_that_remembers_starts_anew_in_every_replay():
    spy = Spy()
    compared(strategies=[spy])
    assert spy.pools == []


@pytest.mark.parametrize("processes", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_what_progress_raises_ends_a_comparison(processes: int):
    class Enough(Exception):
        pass

    def stop(_share: float, _line: str) -> None:
        raise Enough

    with pytest.raises(Enough):
        compared(processes=processes, progress=stop)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"strategies": []}, "at least one"),
        ({"strategies": ["random", "random"]}, "only once"),
        ({"strategies": ["random", "nope"]}, "no strategy 'nope'"),
        ({"seeds": 0}, "at least one seed"),
        ({"test_size": 90}, "cannot be held out"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(options: dict[str, Any], sentence: str):
    with pytest.raises(Invalid, match=sentence):
        compared(**options)


def test_what_is_held_out_is_a_fair_share_of_each_class():
    targets = np.repeat([0, 1, 2], [120, 27, 3])
    for seed in range(20):
        pool, test = hold_out(targets, 50, seed)
        np.testing.assert_array_equal(np.sort(np.concatenate([pool, test])), np.arange(150))
        counts = np.bincount(targets[test], minlength=3)
        assert counts.sum() == 50 and np.all(np.abs(counts - np.array([40, 9, 1])) <= 1)
    assert not np.array_equal(hold_out(targets, 50, 0)[1], hold_out(targets, 50, 1)[1])
    np.testing.assert_array_equal(hold_out(targets, 50, 0)[1], hold_out(targets, 50, 0)[1])


def test_a_third_is_held_out_but_no_more_than_two_thousand():
    assert [default_test_size(items) for items in (50, 300, 6000, 100_000)] == [17, 100, 2000, 2000]
