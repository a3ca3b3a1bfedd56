"""The start is typical, spread out, and minds what is labeled."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from strategies import Pool, coverage, select
from strategies.coverage import Coverage


def blobs(*sizes: int, seed: int = 0, spread: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Points around (0, 0), (5, 0), (10, 0), ...; and which blob each is of."""
    blob = np.repeat(np.arange(len(sizes)), sizes)
    points = np.random.default_rng(seed).normal(scale=spread, size=(len(blob), 2))
    points[:, 0] += 5.0 * blob
    return points, blob


def order(pool: Pool, seed: int = 0, count: int = 10) -> np.ndarray:
    utilities = Coverage().utilities(pool, None, np.random.default_rng(seed))
    return pool.candidates[select(utilities, pool.candidates, count, np.random.default_rng(seed))]


def pool_of(features: np.ndarray, labeled: list[int] | np.ndarray = (), n_classes: int = 3) -> Pool:
    rest = np.setdiff1d(np.arange(len(features)), np.asarray(labeled, dtype=int))
    return Pool(features, labeled, np.zeros(len(labeled), int), rest, n_classes)


@pytest.mark.parametrize("seed", range(5))
def test_the_first_three_cover_three_blobs(seed: int):
    features, blob = blobs(60, 60, 60, seed=seed)
    assert set(blob[order(pool_of(features), seed)[:3]]) == {0, 1, 2}


@pytest.mark.parametrize("seed", range(5))
def test_the_first_ten_cover_blobs_of_unequal_size(seed: int):
    features, blob = blobs(150, 60, 12, seed=seed)
    assert set(blob[order(pool_of(features), seed)]) == {0, 1, 2}


def test_what_is_labeled_is_covered_already():
    features, blob = blobs(60, 60, 60)
    labeled = np.flatnonzero(blob != 1)[:100]
    assert blob[order(pool_of(features, labeled))[0]] == 1


def test_the_first_is_typical_and_not_an_outlier():
    features, _ = blobs(100)
    features[7] = [40, 40]
    first = order(pool_of(features))[0]
    assert np.linalg.norm(features[first]) < 0.3


def test_copies_of_one_item_are_not_asked_one_after_another():
    features, blob = blobs(30, 30, 30, spread=0.0)
    assert sorted(blob[order(pool_of(features), count=3)]) == [0, 1, 2]


def test_units_do_not_matter():
    features, _ = blobs(40, 40, 40)
    assert np.array_equal(order(pool_of(features)), order(pool_of(features * 1024)))


def test_the_order_by_utility_is_the_greedy_order(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    kernel = rng.random((30, 50)).astype(np.float32)
    gains = coverage._greedy_gains(kernel, np.zeros(50, np.float32))
    covered, left = np.zeros(50), set(range(30))
    for position in np.argsort(-gains)[:10]:
        adds = {c: np.maximum(kernel[c] - covered, 0).mean() for c in left}
        assert adds[position] == pytest.approx(max(adds.values()), rel=1e-5)
        assert gains[position] == pytest.approx(adds[position], rel=1e-5)
        covered = np.maximum(covered, kernel[position])
        left.remove(position)


def test_in_a_large_pool_what_was_not_compared_comes_last(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coverage, "SAMPLE", 50)
    features, blob = blobs(100, 100, 100)
    pool = pool_of(features)
    utilities = Coverage().utilities(pool, None, np.random.default_rng(0))
    assert np.count_nonzero(utilities >= 0) == 50
    assert set(blob[order(pool)]) == {0, 1, 2}


def test_the_first_ten_digits_are_of_more_kinds_than_ten_random_ones():
    X, y = load_digits(return_X_y=True)
    kinds = [len(set(y[order(pool_of(X, n_classes=10), seed)])) for seed in range(3)]
    assert min(kinds) >= 8  # ten random ones are of six or seven


def test_a_reason_tells_near_from_far():
    features, blob = blobs(60, 60, 60)
    labeled = np.flatnonzero(blob != 1)[:100]
    rows = np.array([np.flatnonzero(blob == 1)[0], 119 + 60])
    whys = Coverage().why(pool_of(features, labeled), None, rows, ["a", "b", "c"])
    assert whys == ["unlike anything labeled so far", "between items labeled so far"]
    assert Coverage().why(pool_of(features), None, rows, []) == ["part of a start spread out over the pool"] * 2
