"""Expected error against models that are fitted again for every candidate and class."""

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.special import entr
from scipy.special import softmax as scipy_softmax
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from strategies import Pool, StrategyError, expected_error, get_strategy, reasons
from strategies.expected_error import ExpectedError
from strategies.uncertainty import Margin

NAMES = [str(c) for c in range(10)]
C = 10.0


@dataclass
class Head:
    """A softmax classifier, as scikit-learn's logistic regression has it."""

    classes: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    l2: float = 1 / C

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        return scipy_softmax(features @ self.coef.T + self.intercept, axis=1)


@dataclass
class Wrapped:
    """A scikit-learn classifier of any kind as a model."""

    estimator: Any

    @property
    def classes(self) -> np.ndarray:
        return self.estimator.classes_

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        return self.estimator.predict_proba(features)


@dataclass
class Opaque:
    """A model of which nothing is known but what it predicts."""

    model: Any

    @property
    def classes(self) -> np.ndarray:
        return self.model.classes

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(features)


class Countable(Opaque):
    """One that can be fitted again in a way of its own, and counts how often."""

    times = 0

    def refit(self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> Wrapped:
        self.times += 1
        return Wrapped(GaussianNB(var_smoothing=0.1).fit(features, targets, weights))


def digits(labels: int = 25, candidates: int = 20, n_classes: int = 4) -> Pool:
    X, y = load_digits(n_class=n_classes, return_X_y=True)
    X = X - X.mean(axis=0)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    rows = np.random.default_rng(0).permutation(len(X))[:400]
    X, y = X[rows], y[rows]
    return Pool(X, np.arange(labels), y[:labels], np.arange(labels, labels + candidates), n_classes)


def fitted(pool: Pool) -> Head:
    model = LogisticRegression(C=C, tol=1e-8, max_iter=10_000)
    model.fit(pool.features[pool.labeled], pool.targets, pool.weights)
    return Head(model.classes_, model.coef_, model.intercept_)


def bayes(pool: Pool) -> Wrapped:
    return Wrapped(GaussianNB(var_smoothing=0.1).fit(pool.features[pool.labeled], pool.targets, pool.weights))


def risk(probabilities: np.ndarray, loss: str) -> float:
    each = entr(probabilities).sum(axis=1) if loss == "log" else 1 - probabilities.max(axis=1)
    return float(each.mean())


def by_brute_force(pool: Pool, model: Any, again: Any, loss: str) -> np.ndarray:
    """Expected reduction (m,), a fit for every candidate and class."""
    others = np.setdiff1d(np.arange(len(pool.features)), pool.labeled)
    seen, chances = pool.features[others], model.predict_proba(pool.features[pool.candidates])
    gains = np.full(len(pool.candidates), risk(model.predict_proba(seen), loss))
    for c, row in enumerate(pool.candidates):
        for label, chance in zip(model.classes, chances[c], strict=True):
            weights = None if pool.weights is None else np.append(pool.weights, 1)
            more = replace(
                pool, labeled=np.append(pool.labeled, row), targets=np.append(pool.targets, label), weights=weights
            )
            gains[c] -= chance * risk(again(more).predict_proba(seen), loss)
    return gains


def scored(pool: Pool, model: Any, seed: int = 0, **options: Any) -> np.ndarray:
    return get_strategy("expected_error", **options).utilities(pool, model, np.random.default_rng(seed))


@pytest.mark.parametrize("loss", ["log", "zero_one"])
@pytest.mark.parametrize("weighted", [False, True], ids=["as they are", "weighted"])
def test_utilities_are_the_reductions_that_fitting_again_finds(loss: str, weighted: bool):
    pool = digits(candidates=12)
    pool = replace(pool, weights=np.linspace(0.2, 3, 25)) if weighted else pool
    model = fitted(pool)
    found, truth = scored(pool, model, loss=loss), by_brute_force(pool, model, fitted, loss)
    np.testing.assert_allclose(found, truth, atol=0.03 * np.ptp(truth))
    assert spearmanr(found, truth).statistic > 0.97


def test_two_classes_are_no_exception():
    pool = digits(candidates=12, n_classes=2)

    def fit(pool: Pool) -> Head:  # scikit-learn's one row w for two classes is the softmax of -w / 2 and w / 2
        head = fitted(pool)
        return Head(
            head.classes, np.vstack([-head.coef, head.coef]) / 2, np.r_[-head.intercept, head.intercept] / 2, 2 / C
        )

    model = fit(pool)
    truth = by_brute_force(pool, model, fit, "log")
    np.testing.assert_allclose(scored(pool, model), truth, atol=0.03 * np.ptp(truth))


def test_a_class_that_the_model_does_not_know_gets_no_chance():
    pool = digits(n_classes=4)
    known = pool.targets != 3
    pool = replace(pool, labeled=pool.labeled[known], targets=pool.targets[known])
    told_of_three, told_of_four = scored(replace(pool, n_classes=3), fitted(pool)), scored(pool, fitted(pool))
    assert np.array_equal(told_of_three, told_of_four)


def test_the_shortlist_is_exact_and_stands_above_the_rest():
    pool = digits(candidates=200)
    model = fitted(pool)
    whole, short = scored(pool, model, shortlist=None), scored(pool, model, shortlist=10)
    first = np.argsort(-short)[:10]
    np.testing.assert_allclose(short[first], whole[first], atol=0.01 * np.ptp(whole))
    assert whole.argmax() in first
    assert np.delete(short, first).max() < short[first].min()


def test_beyond_what_is_rescored_a_glance_decides():
    pool = digits(candidates=300)
    model = fitted(pool)
    short = scored(pool, model, shortlist=5)
    truth = scored(pool, model, shortlist=None)
    assert len(np.unique(short)) > 290
    assert spearmanr(short, truth).statistic > 0.5
    assert truth[short.argmax()] > np.quantile(truth, 0.98)


def test_what_is_looked_into_is_bounded_by_the_work(monkeypatch: pytest.MonkeyPatch):
    pool = digits(candidates=200)
    model, counts = fitted(pool), []
    keep = expected_error._above
    monkeypatch.setattr(
        expected_error, "_above", lambda s, kept, gains: counts.append(len(kept)) or keep(s, kept, gains)
    )
    scored(pool, model)
    monkeypatch.setattr(expected_error, "WORK", 1)
    scored(pool, model)
    assert counts == [100, 20]


def test_a_sample_of_the_pool_stands_for_it():
    pool = digits()
    model = fitted(pool)
    whole, some, other = (scored(pool, model, seed=s, evaluation=e) for s, e in ((0, None), (0, 150), (1, 150)))
    assert not np.array_equal(some, other)
    np.testing.assert_allclose(scored(pool, model, seed=1), whole, atol=1e-5)  # where all are taken, lots do not matter
    assert np.corrcoef(whole, some)[0, 1] > 0.7


def test_float32_features_give_the_same_order():
    pool = digits()
    model = fitted(pool)
    short = replace(pool, features=pool.features.astype(np.float32))
    assert spearmanr(scored(pool, model), scored(short, model)).statistic > 0.999


@pytest.mark.parametrize("loss", ["log", "zero_one"])
@pytest.mark.parametrize("weighted", [False, True], ids=["as they are", "weighted"])
def test_another_kind_of_classifier_is_fitted_again(loss: str, weighted: bool):
    pool = digits(candidates=8)
    pool = replace(pool, weights=np.linspace(0.2, 3, 25)) if weighted else pool
    model = bayes(pool)
    truth = by_brute_force(pool, model, bayes, loss)
    np.testing.assert_allclose(scored(pool, model, loss=loss, seconds=60), truth, atol=0.01)


def test_a_classifier_that_takes_no_weights_is_fitted_without():
    pool = replace(digits(candidates=5), weights=np.ones(25))
    model = Wrapped(KNeighborsClassifier(5).fit(pool.features[pool.labeled], pool.targets))
    assert len(np.unique(scored(pool, model, seconds=60))) > 1


def test_a_model_may_say_how_it_is_fitted_again():
    pool = digits(candidates=30)
    model = Countable(bayes(pool))
    short = scored(pool, model, shortlist=6, seconds=60)
    assert 6 <= model.times <= 24
    likely = np.argsort(-Margin().utilities(pool, model, np.random.default_rng(0)))[:6]
    assert set(np.argsort(-short)[:6]) == set(likely)


def test_when_the_time_is_up_the_margin_decides():
    pool = digits()
    model = Countable(bayes(pool))
    found = scored(pool, model, seconds=0)
    assert model.times <= 4  # the classes of the one candidate that was begun, if any
    margin = Margin().utilities(pool, model, np.random.default_rng(0))
    assert spearmanr(found, margin).statistic > 0.9


def test_a_model_that_cannot_be_fitted_again_leaves_the_margin_and_says_so():
    pool, model = digits(), Opaque(fitted(digits()))
    strategy = ExpectedError()
    found = strategy.utilities(pool, model, np.random.default_rng(0))
    np.testing.assert_allclose(found, Margin().utilities(pool, model, np.random.default_rng(0)))
    assert "cannot be foreseen" in reasons(strategy, pool, model, pool.candidates[:1], NAMES)[0]


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("log", r"should settle as much doubt as about \d+ items? holds?"),
        ("zero_one", r"should put about \d+ more items? right"),
    ],
)
def test_a_reason_says_how_much_the_label_should_settle(loss: str, words: str):
    pool = digits(labels=12)
    model, strategy = fitted(pool), ExpectedError(loss=loss)
    utilities = strategy.utilities(pool, model, np.random.default_rng(0))
    best = pool.candidates[[utilities.argmax()]]
    (why,) = reasons(strategy, pool, model, best, NAMES)
    assert re.fullmatch(words, why)
    items = int("".join(filter(str.isdigit, why)))
    unlabeled = len(pool.features) - len(pool.labeled)
    now = risk(model.predict_proba(pool.features[len(pool.labeled) :]), loss)
    expected = utilities.max() * unlabeled / (now if loss == "log" else 1)
    assert items == pytest.approx(expected, abs=0.6)


def test_a_reason_is_not_carried_over_to_another_pool():
    pool = digits()
    model, strategy = fitted(pool), ExpectedError()
    strategy.utilities(pool, model, np.random.default_rng(0))
    (why,) = reasons(strategy, replace(pool), model, pool.candidates[:1], NAMES)
    assert why == "may change the model, by a first look"


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "hinge"},
        {"shortlist": 0},
        {"shortlist": "long"},
        {"evaluation": 0},
        {"seconds": -1},
        {"seconds": np.nan},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict):
    with pytest.raises(StrategyError):
        ExpectedError(**options)


def test_a_pool_with_gaps_is_scored_row_by_row_as_it_would_be_alone():
    """Whole blocks are scored where they lie, whichever rows are missing from them."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30_000, 300)).astype(np.float32)
    head = Head(np.arange(3), rng.normal(size=(3, 300)), np.zeros(3))
    missing = rng.choice(30_000, 40, replace=False)
    sparse = np.sort(rng.choice(30_000, 500, replace=False))
    for candidates in (np.setdiff1d(np.arange(30_000), missing), sparse, np.r_[sparse, sparse]):
        pool = Pool(features, [], [], candidates, 3)
        found = Margin().utilities(pool, head, rng)
        top = np.sort(head.predict_proba(features[candidates].astype(float)), axis=1)
        np.testing.assert_allclose(found, 1 - (top[:, -1] - top[:, -2]), atol=1e-4)
