"""The pool's own shape, in memory and on disk."""

from pathlib import Path

import numpy as np
import pytest

from labeling.errors import Invalid
from labeling.features import prior as prior_module
from labeling.features.matrix import FeatureMatrix
from labeling.features.prior import KEPT, PoolPrior, View, current_prior, open_view

RNG = np.random.default_rng(0)
POOL = RNG.normal(size=(500, 8)) * np.array([5, 3, 2, 1, 1, 0.5, 0.5, 0.1]) @ RNG.normal(size=(8, 8)) + 100


def by_hand(features: np.ndarray, power: float) -> np.ndarray:
    """φ as it is defined, with every direction."""
    variances, directions = np.linalg.eigh(np.cov(POOL.T, bias=True))
    seen = (features - POOL.mean(axis=0)) @ directions * variances ** (power / 2)
    return seen / np.linalg.norm(seen, axis=1, keepdims=True)


@pytest.mark.parametrize("power", [0, 0.5, 1, 1.5, 2])
def test_similarities_are_those_of_the_definition(power: float):
    """Directions have arbitrary signs and order; what a linear head sees are the inner products."""
    ours, theirs = PoolPrior.measured(POOL).see(POOL[:50], power), by_hand(POOL[:50], power)
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=0.05)
    assert np.abs(ours @ ours.T - theirs @ theirs.T).mean() < 0.01


def test_all_but_a_thousandth_of_the_weighed_variance_is_kept_and_no_direction_more():
    prior = PoolPrior.measured(POOL)
    for power in (0, 2):
        held = prior.variances ** (1 + power)
        kept = prior.see(POOL[:1], power).shape[1]
        assert held[:kept].sum() >= KEPT * held.sum() > held[: kept - 1].sum()
    assert prior.see(POOL[:1], 2).shape[1] < prior.see(POOL[:1], 0).shape[1]


def test_rows_have_unit_length():
    np.testing.assert_allclose(np.linalg.norm(PoolPrior.measured(POOL).see(POOL, 1), axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "pool",
    [np.ones((5, 3)), POOL[:1], POOL[:3], np.hstack([POOL, np.zeros((500, 2))]), np.zeros((4, 1)), POOL.astype("f2")],
    ids=["all alike", "one item", "fewer items than columns", "empty columns", "zeros", "half precision"],
)
def test_a_pool_of_little_shape_is_seen_in_finite_numbers(pool: np.ndarray):
    prior = PoolPrior.measured(pool)
    for power in (0, 1, 2):
        seen = prior.see(pool, power)
        assert seen.shape[0] == len(pool) and seen.shape[1] >= 1 and np.isfinite(seen).all()


def test_the_shape_does_not_depend_on_where_the_pool_lies_or_on_its_scale():
    here, there = PoolPrior.measured(POOL), PoolPrior.measured(1000 * (POOL + 50))
    similar = [p.see(x, 1) for p, x in ((here, POOL[:20]), (there, 1000 * (POOL[:20] + 50)))]
    np.testing.assert_allclose(similar[0] @ similar[0].T, similar[1] @ similar[1].T, atol=1e-2)


def test_a_prior_comes_back_as_it_was_saved_and_damage_is_said(tmp_path: Path):
    prior = PoolPrior.measured(POOL)
    prior.save(tmp_path / "deep" / "prior.npz")
    again = PoolPrior.load(tmp_path / "deep" / "prior.npz")
    np.testing.assert_array_equal(again.see(POOL, 1), prior.see(POOL, 1))
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["prior.npz"]
    (tmp_path / "deep" / "prior.npz").write_bytes(b"torn")
    with pytest.raises(Invalid, match="damaged"):
        PoolPrior.load(tmp_path / "deep" / "prior.npz")


@pytest.fixture
def matrix(tmp_path: Path) -> FeatureMatrix:
    made = FeatureMatrix.create(tmp_path / "pixels-1", width=8, encoder="pixels", version="pixels-1")
    made.append(POOL[:100].astype(np.float32))
    return made


def test_the_pool_is_measured_once_and_again_when_it_has_grown_by_half(matrix: FeatureMatrix):
    name, _ = current_prior(matrix)
    matrix.append(POOL[100:149])
    assert current_prior(matrix)[0] == name == "prior-100"
    matrix.append(POOL[149:150])
    assert current_prior(matrix)[0] == "prior-150"
    assert current_prior(matrix)[0] == "prior-150"


def test_a_view_on_disk_holds_what_the_prior_shows_and_grows_with_the_matrix(
    matrix: FeatureMatrix, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(prior_module, "BLOCK", 64)  # several blocks
    view = View(*current_prior(matrix), 1.5)
    np.testing.assert_allclose(view.of(matrix), view.prior.see(POOL[:100], 1.5), atol=1e-5)
    matrix.append(POOL[100:120])
    np.testing.assert_allclose(view.of(matrix), view.prior.see(POOL[:120], 1.5), atol=1e-5)
    assert not view.of(matrix).flags.writeable


def test_a_view_is_opened_by_what_a_head_says_of_it_after_the_pool_was_measured_anew(matrix: FeatureMatrix):
    before = View(*current_prior(matrix), 1.0)
    seen = np.array(before.of(matrix))
    matrix.append(POOL[100:200])
    View(*current_prior(matrix), 1.0).of(matrix)
    np.testing.assert_array_equal(open_view(matrix, "prior-100", 1.0).of(matrix)[:100], seen)


def test_making_a_view_goes_on_where_it_was_interrupted(matrix: FeatureMatrix, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prior_module, "BLOCK", 1)
    view = View(*current_prior(matrix), 1.0)
    append, calls = FeatureMatrix.append, []

    def fails_the_third_time(self: FeatureMatrix, block: np.ndarray) -> None:
        calls.append(len(block))
        if len(calls) == 3:
            raise OSError("no space left on device")
        append(self, block)

    with monkeypatch.context() as context:
        context.setattr(FeatureMatrix, "append", fails_the_third_time)
        with pytest.raises(OSError):
            view.of(matrix)
    np.testing.assert_allclose(view.of(matrix), view.prior.see(POOL[:100], 1.0), atol=1e-5)
