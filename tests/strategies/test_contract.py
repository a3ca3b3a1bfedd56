"""What every registered strategy promises, built-in or not."""

import inspect
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strategies import Model, Pool, Strategy, available_strategies, get_strategy, reasons, select
from strategies.base import NEEDS

NAMES = [f"class {c}" for c in range(9)]
BATCH = 7


@dataclass
class CentroidModel:
    """Softmax over the closeness to each class's mean; linear, as the head is."""

    classes: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    l2: float = 1.0

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        logits = features @ self.coef.T + self.intercept
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


def fitted(pool: Pool) -> CentroidModel | None:
    classes = np.unique(pool.targets)
    if len(classes) == 0:
        return None
    means = np.stack([pool.features[pool.labeled[pool.targets == c]].mean(axis=0) for c in classes])
    return CentroidModel(classes, means, -np.square(means).sum(axis=1) / 2)


def random_pool(n: int, labels: int, n_classes: int, seed: int, d: int = 4) -> Pool:
    rng = np.random.default_rng(seed)
    centres = rng.normal(scale=3, size=(n_classes, d))
    truth = rng.integers(n_classes, size=n)
    features = centres[truth] + rng.normal(size=(n, d))
    rows = rng.permutation(n)
    return Pool(features, rows[:labels], truth[rows[:labels]], rows[labels:], n_classes)


ORDINARY = random_pool(60, 20, 3, seed=0)
UNLABELED = random_pool(60, 0, 3, seed=0)
SITUATIONS: dict[str, tuple[Pool, Model | None]] = {
    "ordinary": (ORDINARY, fitted(ORDINARY)),
    "float16 features": (p := replace(ORDINARY, features=ORDINARY.features.astype(np.float16)), fitted(p)),
    "weighted labels": (replace(ORDINARY, weights=np.linspace(0, 2, 20)), fitted(ORDINARY)),
    "labels but no model": (ORDINARY, None),
    "no label, no model": (UNLABELED, None),
    "no label, but a model": (UNLABELED, fitted(ORDINARY)),
    "one class of three labeled": (p := replace(ORDINARY, targets=np.zeros(20, int)), fitted(p)),
    "one class in all": (p := random_pool(30, 5, 1, seed=1), fitted(p)),
    "two classes of three labeled": (p := replace(ORDINARY, targets=np.arange(20) % 2 + 1), fitted(p)),
    "one label": (p := random_pool(30, 1, 3, seed=2), fitted(p)),
    "labeled items asked again": (p := replace(ORDINARY, candidates=ORDINARY.labeled), fitted(p)),
    "one candidate": (p := replace(ORDINARY, candidates=ORDINARY.candidates[:1]), fitted(p)),
    "no candidate": (p := replace(ORDINARY, candidates=np.array([], int)), fitted(p)),
    "empty pool": (Pool(np.empty((0, 4)), np.array([], int), np.array([], int), np.array([], int), 3), None),
    "all items alike": (p := replace(ORDINARY, features=np.ones((60, 4))), fitted(p)),
    "most items alike": (p := replace(ORDINARY, features=np.where(ORDINARY.features > 3, 7.1, 0.3)), fitted(p)),
    "some held": (p := replace(ORDINARY, held=ORDINARY.candidates[:9], candidates=ORDINARY.candidates[9:]), fitted(p)),
    "held but no label": (replace(UNLABELED, held=np.arange(5), candidates=np.arange(5, 60)), None),
    "held and asked once more": (replace(ORDINARY, held=ORDINARY.candidates), fitted(ORDINARY)),
    "all that is left is held": (replace(ORDINARY, held=ORDINARY.candidates, candidates=[]), fitted(ORDINARY)),
    "far from the origin": (replace(ORDINARY, features=ORDINARY.features + 1e6), None),
}


@pytest.fixture(params=available_strategies())
def strategy(request: pytest.FixtureRequest) -> Strategy:
    return get_strategy(request.param)


@pytest.fixture(params=SITUATIONS)
def situation(request: pytest.FixtureRequest) -> tuple[Pool, Model | None]:
    return SITUATIONS[request.param]


def scored(strategy: Strategy, pool: Pool, model: Model | None, seed: int = 3) -> np.ndarray:
    return strategy.utilities(pool, model, np.random.default_rng(seed))


def test_something_is_registered():
    assert set(available_strategies()) >= {
        "adaptive",
        "badge",
        "committee",
        "coverage",
        "density",
        "entropy",
        "expected_change",
        "expected_error",
        "least_confident",
        "margin",
        "random",
    }


def test_a_strategy_goes_by_the_name_it_is_registered_under(strategy: Strategy, request: pytest.FixtureRequest):
    assert strategy.name == request.node.callspec.params["strategy"]
    assert strategy.needs <= NEEDS
    assert list(inspect.signature(strategy.utilities).parameters) == ["pool", "model", "rng"]


def test_there_is_one_finite_utility_for_each_candidate(strategy: Strategy, situation: tuple[Pool, Model | None]):
    utilities = scored(strategy, *situation)
    assert utilities.shape == situation[0].candidates.shape
    assert np.isfinite(utilities).all()


def test_the_same_seed_gives_the_same_answer(strategy: Strategy, situation: tuple[Pool, Model | None]):
    first = scored(strategy, *situation)
    np.random.seed(1)
    assert np.array_equal(first, scored(strategy, *situation))


def test_candidates_in_another_order_get_the_same_utilities(strategy: Strategy, situation: tuple[Pool, Model | None]):
    pool, model = situation
    shuffled = np.random.default_rng(5).permutation(len(pool.candidates))
    other = replace(pool, candidates=pool.candidates[shuffled])
    np.testing.assert_allclose(scored(strategy, other, model), scored(strategy, pool, model)[shuffled], rtol=1e-9)


@pytest.mark.parametrize("name", available_strategies())
def test_a_strategy_names_its_source(name: str):
    made = type(get_strategy(name))
    described = inspect.getdoc(made) or ""
    if name == "random":
        assert "control" in (inspect.getdoc(inspect.getmodule(made)) or "")
    else:
        sources = re.split(r"^References\n-+\n", described, flags=re.MULTILINE)
        assert len(sources) == 2, "its docstring has no References"
        assert re.search(r"\b(19|20)\d\d\b", sources[1]), "a reference says when it was published"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_order_of_the_candidates_never_matters(strategy: Strategy, data: st.DataObject):
    labels, others = data.draw(st.integers(0, 12)), data.draw(st.integers(1, 25))
    pool = random_pool(labels + others, labels, data.draw(st.integers(1, 4)), seed=data.draw(st.integers(0, 99)))
    model = fitted(pool) if data.draw(st.booleans()) else None
    shuffled = np.array(data.draw(st.permutations(range(len(pool.candidates)))))
    other = replace(pool, candidates=pool.candidates[shuffled])
    there, here = scored(strategy, pool, model), scored(strategy, other, model)
    np.testing.assert_allclose(here, there[shuffled], rtol=1e-9)
    first, second = (
        p.candidates[select(u, p.candidates, BATCH, np.random.default_rng(0))]
        for p, u in ((pool, there), (other, here))
    )
    assert np.array_equal(first, second)


def test_a_batch_larger_than_the_pool_is_the_pool(strategy: Strategy, situation: tuple[Pool, Model | None]):
    pool, model = situation
    chosen = select(scored(strategy, pool, model), pool.candidates, len(pool.features) + 1, np.random.default_rng(0))
    assert sorted(chosen) == list(range(len(pool.candidates)))


def test_the_pool_is_left_as_it_was(strategy: Strategy, situation: tuple[Pool, Model | None]):
    pool, model = situation
    arrays = ("features", "labeled", "targets", "candidates", "held")
    before = {name: getattr(pool, name).copy() for name in arrays}
    scored(strategy, pool, model)
    reasons(strategy, pool, model, pool.candidates[:BATCH], NAMES)
    for name in arrays:
        assert np.array_equal(getattr(pool, name), before[name]), name


def test_each_pick_has_a_short_reason(strategy: Strategy, situation: tuple[Pool, Model | None]):
    pool, model = situation
    scored(strategy, pool, model)
    rows = pool.candidates[:BATCH]
    whys = reasons(strategy, pool, model, rows, NAMES)
    assert len(whys) == len(rows)
    for why in whys:
        assert why == why.strip()
        assert 0 < len(why) <= 80
        assert "\n" not in why


def test_a_pool_that_was_never_scored_has_reasons_too(strategy: Strategy, situation: tuple[Pool, Model | None]):
    pool, model = situation
    rows = pool.candidates[:BATCH]
    assert len(reasons(strategy, pool, model, rows, NAMES)) == len(rows)


def test_what_is_not_needed_is_not_touched(strategy: Strategy):
    class Untouchable:
        classes = property(lambda self: pytest.fail("a model that was not needed was used"))
        predict_proba = classes

    if "model" not in strategy.needs:
        scored(strategy, ORDINARY, Untouchable())
    if "features" not in strategy.needs:
        scored(strategy, replace(ORDINARY, features=np.empty((60, 0))), None)
