"""The draws of BADGE: uncertain, diverse, and mindful of what others hold."""

from dataclasses import replace

import numpy as np
import pytest

from strategies import Pool, badge, select, similarity
from strategies.badge import Badge


class Table:
    """Answers with the probabilities written down for the row whose number is the item's last feature."""

    def __init__(self, probabilities: np.ndarray) -> None:
        self.table = np.asarray(probabilities, dtype=float)
        self.classes = np.arange(self.table.shape[1])

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        return self.table[features[:, -1].astype(int)]


def numbered(features: np.ndarray) -> np.ndarray:
    """With the row's number as a last feature, on which nothing but the table depends as the others are far larger."""
    return np.column_stack([1e6 * np.asarray(features, dtype=float), np.arange(len(features))])


def pool_of(features: np.ndarray, held: list[int] = ()) -> Pool:
    return Pool(features, [], [], np.setdiff1d(np.arange(len(features)), held), 2, held=held)


def picks(pool: Pool, model: Table, seed: int, count: int) -> np.ndarray:
    utilities = Badge().utilities(pool, model, np.random.default_rng(seed))
    return pool.candidates[select(utilities, pool.candidates, count, np.random.default_rng(seed))]


def test_distances_are_those_of_the_gradients_written_out():
    rng = np.random.default_rng(0)
    features, model = numbered(rng.normal(size=(8, 3)) / 1e6), Table(rng.dirichlet(np.ones(4), 8))
    errors = np.eye(4)[model.table.argmax(axis=1)] - model.table
    written_out = np.einsum("nk,nd->nkd", errors, np.column_stack([features, np.ones(8)])).reshape(8, -1)
    gradients = badge._Gradients(pool_of(features), model, np.arange(8))
    for i in range(8):
        np.testing.assert_allclose(
            gradients.squared_distances(i), np.square(written_out - written_out[i]).sum(axis=1), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("seed", range(5))
def test_what_the_model_is_sure_of_is_drawn_last(seed: int):
    sure = np.arange(40) % 2 == 0
    model = Table(np.where(sure[:, None], [1, 0], [0.5, 0.5]))
    features = numbered(np.random.default_rng(seed).normal(size=(40, 3)))
    assert not sure[picks(pool_of(features), model, seed, 20)].any()


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_holds_no_two_of_a_kind(seed: int):
    kind = np.repeat(np.arange(4), 10)
    model = Table(np.full((40, 2), 0.5))
    drawn = picks(pool_of(numbered(10 * np.eye(4)[kind])), model, seed, 4)
    assert sorted(kind[drawn]) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_kinds_that_others_hold_are_left_to_them(seed: int):
    kind = np.repeat(np.arange(4), 10)
    model = Table(np.full((40, 2), 0.5))
    drawn = picks(pool_of(numbered(10 * np.eye(4)[kind]), held=[0, 10]), model, seed, 2)
    assert sorted(kind[drawn]) == [2, 3]


def test_only_so_many_are_drawn_and_the_rest_follow_by_the_length_of_their_gradients(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(badge, "PICKS", 5)
    p = np.linspace(0.5, 0.99, 30)
    features = np.column_stack([np.ones(30), np.arange(30)])
    pool, model = pool_of(features), Table(np.stack([p, 1 - p], axis=1))
    utilities = Badge().utilities(pool, model, np.random.default_rng(0))
    gradients = badge._Gradients(pool, model, np.arange(30))
    assert sorted(utilities[utilities > 1]) == pytest.approx([1.2, 1.4, 1.6, 1.8, 2])
    later = np.flatnonzero(utilities <= 1)
    assert len(later) == 25
    assert np.array_equal(np.argsort(utilities[later]), np.argsort(gradients.squares[later]))


def test_in_a_large_pool_what_was_not_compared_comes_last(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(similarity, "SAMPLE", 50)
    rng = np.random.default_rng(0)
    pool, model = pool_of(numbered(rng.normal(size=(300, 2)))), Table(rng.dirichlet(np.ones(3), 300))
    assert np.count_nonzero(Badge().utilities(pool, model, rng) >= 0) == 50


def test_another_seed_makes_other_draws():
    rng = np.random.default_rng(0)
    pool, model = pool_of(numbered(rng.normal(size=(100, 2)))), Table(rng.dirichlet(np.ones(3), 100))
    assert not np.array_equal(picks(pool, model, 0, 20), picks(pool, model, 1, 20))
    assert np.array_equal(picks(replace(pool), model, 0, 20), picks(pool, model, 0, 20))
