"""The three stages against heads that were fitted again, and the algebra that they rest on."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import entr
from scipy.special import softmax as scipy_softmax
from sklearn.linear_model import LogisticRegression

from strategies import lookahead
from strategies.lookahead import LOSSES, Glance, LookAhead, Told


def blobs(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, d) around k centres, and which centre (n,); the first k are of k centres."""
    rng = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(k), rng.integers(k, size=n)])[:n]
    return rng.normal(size=(k, d))[targets] + rng.normal(size=(n, d)), targets


def refitted(X: np.ndarray, y: np.ndarray, c: float, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Coefficients, intercept and penalty of scikit-learn's solution, as a softmax head has them."""
    fitted = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(X, y, weights)
    if len(fitted.classes_) == 2:  # one row w: the softmax of -w / 2 and w / 2
        return np.vstack([-fitted.coef_, fitted.coef_]) / 2, np.r_[-fitted.intercept_, fitted.intercept_] / 2, 2 / c
    return fitted.coef_, fitted.intercept_, 1 / c


def heads_of(look: LookAhead, told: Told, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (n, k, d) and intercepts (n, k) of the head after each pair."""
    basis = np.eye(candidates.shape[1]) if look.basis is None else look.basis
    outside = candidates - candidates @ basis @ basis.T
    own = told.rows[:, -1:]
    direction = np.divide(outside, own, out=np.zeros_like(outside), where=own > 0)[told.candidate]
    change = told.change.astype(float)
    coef = look.coef[:, None] + change[:, :, :-2] @ basis.T + change[:, :, -1:] * direction
    return coef.swapaxes(0, 1), (look.intercept[:, None] + change[:, :, -2]).T


@pytest.mark.parametrize("d", [3, 40], ids=["more labels than features", "fewer labels than features"])
@pytest.mark.parametrize("k", [2, 4])
def test_the_last_stage_is_the_head_fitted_again(monkeypatch: pytest.MonkeyPatch, d: int, k: int):
    monkeypatch.setattr(lookahead, "UNLIKELY", 0)
    monkeypatch.setattr(lookahead, "ARRIVED", 1e-5)
    (X, y), candidates = blobs(20, d, k), blobs(6, d, k, seed=1)[0]
    weights = np.linspace(0.5, 2, 20)
    look = LookAhead(X, weights, *refitted(X, y, 3.0, weights))
    told = look.told(candidates, steps=60)
    coef, intercept = heads_of(look, told, candidates)
    places = blobs(50, d, k, seed=2)[0]
    assert len(told.label) == 6 * k
    for pair, (c, label) in enumerate(zip(told.candidate, told.label, strict=True)):
        again = refitted(np.vstack([X, candidates[c]]), np.append(y, label), 3.0, np.append(weights, 1))
        expected = scipy_softmax(places @ again[0].T + again[1], axis=1)
        found = scipy_softmax(places @ coef[pair].T + intercept[pair], axis=1)
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_four_steps_come_close_to_the_head_fitted_again_and_none_is_far_off():
    (X, y), candidates = blobs(30, 20, 3), blobs(25, 20, 3, seed=1)[0]
    places, weights = blobs(200, 20, 3, seed=2)[0], np.ones(30)
    head = refitted(X, y, 10.0, weights)
    look = LookAhead(X, weights, *head)
    before = scipy_softmax(candidates @ head[0].T + head[1], axis=1)
    truth = np.zeros(25)
    for c, x in enumerate(candidates):
        for label in range(3):
            coef, intercept, _ = refitted(np.vstack([X, x]), np.append(y, label), 10.0, np.ones(31))
            truth[c] += before[c, label] * entr(scipy_softmax(places @ coef.T + intercept, axis=1)).sum(axis=1).mean()
    off = [np.abs(look.risk(look.told(candidates, n), candidates, places, LOSSES["log"]) - truth).max() for n in (0, 4)]
    assert off[1] < 0.1 * off[0]
    assert off[1] < 0.02 * np.ptp(truth)


def test_with_no_label_so_far_the_implicit_update_is_exact():
    look = LookAhead(np.empty((0, 5)), np.empty(0), np.zeros((3, 5)), np.array([0.0, 1.0, -1.0]), 0.5)
    x = np.arange(1.0, 6)[None]
    told = look.told(x)
    coef, intercept = heads_of(look, told, x)
    for pair, label in enumerate(told.label):
        pull = np.eye(3)[label] - scipy_softmax(coef[pair] @ x[0] + intercept[pair])
        np.testing.assert_allclose(0.5 * coef[pair], np.outer(pull, x[0]), atol=1e-5)  # no gradient is left
        np.testing.assert_allclose(lookahead.INTERCEPT_RIDGE * (intercept[pair] - look.intercept), pull, atol=1e-5)


def test_each_step_lowers_the_objective_of_every_pair(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lookahead, "ARRIVED", 0)
    (X, y), candidates = blobs(25, 30, 3), 3 * blobs(20, 30, 3, seed=1)[0]
    head = refitted(X, y, 100.0, np.ones(25))
    look = LookAhead(X, np.ones(25), *head)

    def objective(told: Told) -> np.ndarray:
        coef, intercept = heads_of(look, told, candidates)
        rows = np.concatenate([np.broadcast_to(X, (len(coef), *X.shape)), candidates[told.candidate][:, None]], axis=1)
        truth = np.concatenate([np.broadcast_to(y, (len(coef), 25)), told.label[:, None]], axis=1)
        chance = scipy_softmax(rows @ coef.swapaxes(1, 2) + intercept[:, None], axis=2)
        loss = -np.log(np.take_along_axis(chance, truth[:, :, None], axis=2)).sum(axis=(1, 2))
        return loss + head[2] / 2 * np.square(coef).sum(axis=(1, 2))

    heights = [objective(look.told(candidates, steps)) for steps in range(5)]
    for higher, lower in pairwise(heights):
        assert (lower <= higher + 1e-4).all()
    assert heights[-1].sum() < heights[0].sum()


def test_a_head_that_saw_more_than_the_labels_is_not_pulled_back_to_them():
    (X, _), x = blobs(15, 4, 3), blobs(1, 4, 1, seed=1)[0]
    coef = np.random.default_rng(3).normal(size=(3, 4))
    intercept = np.array([20.0, 0, 0])  # sure of class 0, whatever the labels are
    told = LookAhead(X, np.ones(15), coef, intercept, 1.0).told(x, steps=4)
    assert list(told.label) == [0]
    np.testing.assert_allclose(told.change, 0, atol=1e-4)


@pytest.mark.parametrize("steps", [0, 4])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_risk_is_that_of_the_heads_spelled_out(loss: str, steps: int):
    (X, y), candidates, places = blobs(12, 20, 3), blobs(7, 20, 3, seed=1)[0], blobs(90, 20, 3, seed=2)[0]
    look = LookAhead(X, np.ones(12), *refitted(X, y, 1.0, np.ones(12)))
    told = look.told(candidates, steps)
    coef, intercept = heads_of(look, told, candidates)
    chance = scipy_softmax(places @ coef.swapaxes(1, 2) + intercept[:, None], axis=2)
    risk = entr(chance).sum(axis=2) if loss == "log" else 1 - chance.max(axis=2)
    expected = np.bincount(told.candidate, told.chance * risk.mean(axis=1))
    np.testing.assert_allclose(look.risk(told, candidates, places, LOSSES[loss]), expected, atol=1e-5)


@pytest.mark.parametrize("steps", [0, 4])
def test_the_order_of_the_classes_does_not_matter(monkeypatch: pytest.MonkeyPatch, steps: int):
    monkeypatch.setattr(lookahead, "ARRIVED", 0)  # rounding decides who has arrived
    (X, y), candidates, places = blobs(25, 6, 4), blobs(9, 6, 4, seed=1)[0], blobs(90, 6, 4, seed=2)[0]
    coef, intercept, l2 = refitted(X, y, 5.0, np.ones(25))
    order = np.array([2, 0, 3, 1])
    one = LookAhead(X, np.ones(25), coef, intercept, l2).reductions(candidates, places, LOSSES["log"], steps)
    other = LookAhead(X, np.ones(25), coef[order], intercept[order], l2)
    np.testing.assert_allclose(other.reductions(candidates, places, LOSSES["log"], steps), one, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 6), st.floats(-3, 4), st.integers(0, 999))
def test_the_pull_solves_its_equation(k: int, magnitude: float, seed: int):
    rng = np.random.default_rng(seed)
    logits, slack = rng.normal(scale=4, size=(k, 30)), 10**magnitude * rng.random((k, 30))
    label = rng.integers(k, size=30)
    pull = lookahead._implicit(logits, slack, label)
    truth = label == np.arange(k)[:, None]
    np.testing.assert_allclose(pull, truth - scipy_softmax(logits + slack * pull, axis=0), atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 6), st.integers(0, 999))
def test_the_formula_of_sherman_and_morrison_solves_the_system(k: int, seed: int):
    rng = np.random.default_rng(seed)
    p, slack, right = rng.dirichlet(np.ones(k)), rng.random(k) * 50, rng.normal(size=k)
    matrix = np.eye(k) + (np.diag(p) - np.outer(p, p)) * slack
    solved = lookahead._divided(*(part[:, None] for part in (right, p, slack)))[:, 0]
    np.testing.assert_allclose(matrix @ solved, right, atol=1e-9)


def test_a_glance_is_the_exact_expected_reduction_for_a_ridge_head_and_the_brier_score(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lookahead, "FORGOTTEN", 0)
    monkeypatch.setattr(lookahead, "INTERCEPT_RIDGE", 0.7)
    k, l2, rng = 3, 0.7, np.random.default_rng(0)
    X, places, candidates = (rng.normal(size=(n, 5)) for n in (12, 40, 8))
    # A softmax head without an opinion is, to second order, a ridge head: curvature 1 / k for each row and class.
    X1, places1, candidates1 = (np.column_stack([part, np.ones(len(part))]) for part in (X, places, candidates))
    expected = np.zeros(8)
    for c, x in enumerate(candidates1):
        for label in range(k):
            rows, residuals = np.vstack([X1, x]), np.zeros((13, k))
            residuals[-1] = np.eye(k)[label] - 1 / k
            theta = np.linalg.solve(rows.T @ rows / k + l2 * np.eye(6), rows.T @ residuals)
            expected[c] += np.square(places1 @ theta).sum(axis=1).mean() / k
    found = Glance(X, np.ones(12), places, np.zeros((k, 5)), np.zeros(k), l2)(candidates)
    heed = (1 - 1 / k) ** 2  # how much it counts each of the places, as the head is unsure of all
    np.testing.assert_allclose(found, heed * expected, rtol=1e-4)


def test_a_glance_that_forgets_directions_keeps_the_order():
    rng = np.random.default_rng(0)
    spectrum = 0.7 ** np.arange(40)
    X, places, candidates = (rng.normal(size=(n, 40)) * spectrum for n in (30, 500, 300))
    coef = rng.normal(size=(3, 40))
    short = Glance(X, np.ones(30), places, coef, np.zeros(3), 0.1)
    assert len(short.reach) < 30
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookahead, "FORGOTTEN", 0)
        whole = Glance(X, np.ones(30), places, coef, np.zeros(3), 0.1)
    ranks = [np.argsort(np.argsort(glance(candidates))) for glance in (short, whole)]
    assert np.corrcoef(*ranks)[0, 1] > 0.99


def test_blocks_of_candidates_get_what_they_would_get_together(monkeypatch: pytest.MonkeyPatch):
    (X, y), candidates, places = blobs(25, 6, 3), blobs(40, 6, 3, seed=1)[0], blobs(90, 6, 3, seed=2)[0]
    look = LookAhead(X, np.ones(25), *refitted(X, y, 5.0, np.ones(25)))
    together = look.reductions(candidates, places, LOSSES["log"], 4)
    monkeypatch.setattr(lookahead, "HELD", 1)
    monkeypatch.setattr(lookahead, "CACHED", 1)
    np.testing.assert_allclose(look.reductions(candidates, places, LOSSES["log"], 4), together, atol=1e-6)


def test_a_hundred_classes_are_looked_into_where_they_are_likely():
    (X, y), candidates = blobs(200, 10, 100), blobs(5, 10, 100, seed=1)[0]
    look = LookAhead(X, np.ones(200), *refitted(X, y, 1.0, np.ones(200)))
    told = look.told(candidates, steps=2)
    assert np.bincount(told.candidate).max() <= lookahead.LIKELY
    np.testing.assert_allclose(np.bincount(told.candidate, told.chance), 1)
    chances = scipy_softmax(look.logits(candidates), axis=0)
    for c in range(5):
        assert set(told.label[told.candidate == c]) <= set(np.argsort(-chances[:, c])[: lookahead.LIKELY])
