"""The pool that strategies see, and the block-wise scoring that they share."""

from pathlib import Path

import numpy as np
import pytest

import strategies
from strategies import Pool, StrategyError, base, phase, random_utilities, reasons, score_in_blocks


def pool(**changes) -> Pool:
    given = {"features": np.eye(4), "labeled": [0, 1], "targets": [1, 0], "candidates": [3, 2], "n_classes": 2}
    return Pool(**{**given, **changes})


def test_every_public_name_is_there_and_listed_in_order():
    assert strategies.__all__ == sorted(strategies.__all__)
    assert all(hasattr(strategies, name) for name in strategies.__all__)


@pytest.mark.parametrize("name", ["features", "labeled", "targets", "candidates", "weights"])
def test_nobody_writes_through_a_pool(name: str):
    with pytest.raises(ValueError, match="read-only"):
        getattr(pool(weights=[1, 2]), name)[0] = 0


def test_a_pool_leaves_its_maker_free_to_write():
    features, candidates = np.eye(4), np.array([3, 2])
    made = pool(features=features, candidates=candidates)
    features[0, 0], candidates[0] = 5, 0
    assert made.candidates[0] == 3


def test_a_memory_mapped_matrix_is_viewed_and_not_copied(tmp_path: Path):
    np.save(tmp_path / "features.npy", np.eye(4, dtype=np.float16))
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    assert np.shares_memory(pool(features=mapped).features, mapped)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"features": np.ones(4)}, "matrix"),
        ({"labeled": [0, 4]}, "labeled"),
        ({"labeled": [0]}, "1 labeled rows but 2 targets"),
        ({"targets": [0, 2]}, "targets"),
        ({"candidates": [-1]}, "candidates"),
        ({"candidates": [[1]]}, "candidates"),
        ({"weights": [1]}, "Weights"),
        ({"weights": [1, -1]}, "Weights"),
        ({"weights": [1, np.nan]}, "Weights"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changes: dict, sentence: str):
    with pytest.raises(StrategyError, match=sentence):
        pool(**changes)


def test_a_random_utility_belongs_to_the_item_whoever_else_may_be_asked():
    features = np.zeros((9, 1))
    some = random_utilities(pool(features=features, candidates=[7, 2]), np.random.default_rng(0))
    more = random_utilities(pool(features=features, candidates=[2, 5, 7]), np.random.default_rng(0))
    assert list(some) == [more[2], more[0]]


def test_blocks_are_bounded_and_read_from_front_to_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(base, "BLOCK", 100)
    features = np.arange(1000.0).reshape(1000, 1)
    rows = np.random.default_rng(0).permutation(1000)
    seen: list[np.ndarray] = []

    def score(block: np.ndarray) -> np.ndarray:
        seen.append(block[:, 0])
        return -block[:, 0]

    scores = score_in_blocks(score, pool(features=features), rows)
    assert np.array_equal(scores, -rows)
    assert max(map(len, seen)) == 100
    assert np.array_equal(np.concatenate(seen), np.arange(1000))


class Mute:
    name = "mute"
    needs = frozenset()

    def utilities(self, pool, model, rng):
        return np.zeros(len(pool.candidates))


class Talking(Mute):
    def why(self, pool, model, rows, class_names):
        return [f"row {row} of {len(class_names)}" for row in rows]

    def phase(self, pool, model):
        return "warming up"


def test_a_strategy_need_not_explain_itself():
    assert reasons(Mute(), pool(), None, np.array([2, 3]), ["a", "b"]) == ["picked by mute", "picked by mute"]
    assert phase(Mute(), pool(), None) == "mute"


def test_a_strategy_that_explains_itself_is_heard():
    assert reasons(Talking(), pool(), None, np.array([2, 3]), ["a", "b"]) == ["row 2 of 2", "row 3 of 2"]
    assert phase(Talking(), pool(), None) == "warming up"
