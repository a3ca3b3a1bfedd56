"""Uncertain and typical, rather than odd."""

from dataclasses import replace

import numpy as np
import pytest

from strategies import Pool, StrategyError, similarity
from strategies.density import InformationDensity
from strategies.similarity import Similarity


class Between:
    """Torn where the first feature is 0, sure far from it."""

    classes = np.array([0, 1])

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-np.asarray(features[:, 0], dtype=float)))
        return np.stack([1 - p, p], axis=1)


def cloud(n: int = 100, seed: int = 0) -> Pool:
    """A cloud across the boundary, and at the end an outlier on the boundary itself."""
    features = np.random.default_rng(seed).normal(size=(n, 2))
    features[-1] = [0, 40]
    return Pool(features, [], [], np.arange(n), 2)


def scored(pool: Pool, beta: float = 1.0, model: Between | None = None) -> np.ndarray:
    return InformationDensity(beta).utilities(pool, model, np.random.default_rng(0))


def test_an_outlier_is_not_asked_for_being_odd():
    pool = cloud()
    assert scored(pool, beta=0, model=Between()).argmax() == len(pool.features) - 1
    weighed = scored(pool, model=Between())
    first = weighed.argmax()
    assert weighed.argsort()[0] == len(pool.features) - 1
    assert abs(pool.features[first, 0]) < 0.5
    assert np.linalg.norm(pool.features[first]) < 1.5


def test_the_utility_is_closeness_times_mean_similarity():
    pool, model = cloud(30), Between()
    p = model.predict_proba(pool.features)
    everything = np.arange(30)
    density = Similarity(pool, everything)(everything).mean(axis=1)
    by_hand = (1 - np.abs(p[:, 0] - p[:, 1])) * density**2
    np.testing.assert_allclose(scored(pool, 2, model), by_hand, rtol=1e-5)


def test_without_a_model_the_most_typical_comes_first():
    pool = cloud()
    utilities = scored(pool)
    assert np.linalg.norm(pool.features[utilities.argmax()]) < 0.7
    assert utilities.argmin() == len(pool.features) - 1


def test_neither_units_nor_an_offset_matter():
    pool = cloud()
    np.testing.assert_allclose(scored(replace(pool, features=pool.features * 64 + 1e4)), scored(pool), rtol=1e-4)


def test_in_a_large_pool_the_most_uncertain_are_weighed_and_the_rest_follow_by_uncertainty(
    monkeypatch: pytest.MonkeyPatch,
):
    for module in ("strategies.density", "strategies.similarity"):
        monkeypatch.setattr(f"{module}.SAMPLE", 50)
    pool, model = cloud(300), Between()
    unsure = -np.abs(pool.features[:, 0])
    utilities = scored(pool, model=model)
    assert set(np.flatnonzero(utilities >= 0)) == set(np.argsort(-unsure)[:50])
    rest = utilities < 0
    assert np.array_equal(np.argsort(utilities[rest]), np.argsort(unsure[rest]))


@pytest.mark.parametrize("beta", [-1, np.inf, np.nan])
def test_a_weight_that_makes_no_sense_is_refused(beta: float):
    with pytest.raises(StrategyError, match="beta"):
        InformationDensity(beta)


def test_similarity_is_a_kernel_between_0_and_1():
    pool = cloud(40)
    every = np.arange(40)
    kernel = Similarity(pool, every)
    between = kernel.between(every, every)
    np.testing.assert_allclose(between, between.T, rtol=1e-6)
    np.testing.assert_allclose(np.diag(between), 1)
    assert 0 <= between.min() <= between.max() <= 1
    assert similarity.sample(every, -every.astype(float))[0] == 39
