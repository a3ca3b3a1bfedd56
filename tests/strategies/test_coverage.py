"""The start is typical, spread out, and minds what is labeled."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from strategies import Pool, coverage, select, similarity
from strategies.coverage import Coverage, UncertaintyHerding


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


def test_what_people_hold_is_covered_already():
    features, blob = blobs(60, 60, 60)
    held = np.flatnonzero(blob != 1)[:100]
    rest = np.setdiff1d(np.arange(180), held)
    assert blob[order(Pool(features, [], [], rest, 3, held=held))[0]] == 1


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
    monkeypatch.setattr(similarity, "SAMPLE", 50)
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


class Torn:
    """Torn between its two classes in the blobs that it is unsure of, and sure in the others."""

    classes = np.array([0, 1])

    def __init__(self, *blobs: int) -> None:
        self.blobs = blobs

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        torn = np.isin(np.rint(features[:, 0] / 5), self.blobs)
        return np.where(torn[:, None], 0.5, [0.99, 0.01])


def uncertain_order(pool: Pool, model: Torn | None, count: int, seed: int = 0) -> np.ndarray:
    utilities = UncertaintyHerding().utilities(pool, model, np.random.default_rng(seed))
    return pool.candidates[select(utilities, pool.candidates, count, np.random.default_rng(seed))]


@pytest.mark.parametrize("seed", range(5))
def test_weighed_by_doubt_a_batch_covers_what_the_model_is_unsure_of(seed: int):
    features, blob = blobs(60, 60, 60, 60, seed=seed)
    assert set(blob[uncertain_order(pool_of(features), Torn(1, 3), 2, seed)]) == {1, 3}


def test_doubt_around_labeled_or_held_items_is_covered_already():
    features, blob = blobs(60, 60, 60, 60)
    labeled, held = np.flatnonzero(blob == 1)[:30], np.flatnonzero(blob == 2)[:30]
    rest = np.setdiff1d(np.arange(240), np.r_[labeled, held])
    pool = Pool(features, labeled, np.zeros(30, int), rest, 2, held=held)
    assert blob[uncertain_order(pool, Torn(1, 2, 3), 1)[0]] == 3


def test_an_uncertain_outlier_does_not_come_first():
    features, blob = blobs(60, 60)
    features[7] = [500, 0]
    first = uncertain_order(pool_of(features), Torn(1, 100), 1)[0]
    assert blob[first] == 1


def test_beyond_the_shortlist_uncertainty_decides(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coverage, "SAMPLE", 70)
    features, blob = blobs(60, 60, 60)
    utilities = UncertaintyHerding().utilities(pool_of(features), Torn(1), np.random.default_rng(0))
    assert np.count_nonzero(utilities >= 0) == 70
    assert utilities[blob == 1].min() >= 0


def test_without_a_model_doubt_does_not_count():
    pool = pool_of(blobs(60, 60, 60)[0])
    assert np.array_equal(uncertain_order(pool, None, 10), order(pool))


def test_a_reason_names_the_classes_in_doubt_once_there_is_a_model():
    pool = pool_of(blobs(60, 60)[0])
    assert UncertaintyHerding().why(pool, Torn(0), np.array([0]), ["a", "b"]) == ["torn between a and b"]
    assert UncertaintyHerding().why(pool, None, np.array([0]), []) == ["part of a start spread out over the pool"]
