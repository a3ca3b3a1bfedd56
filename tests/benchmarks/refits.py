"""What fitting again says: the yardstick for looking ahead. Exact, and slower than what it is the yardstick for.

Every head is fitted again, in double precision, for every candidate and class, by Newton's method with conjugate
gradients, all pairs side by side, until no entry of any gradient is above `TOLERANCE`: the objective is strictly
convex but for a constant in the intercepts, so that this is its minimum whichever way it was found.
`against_scikit_learn` checks some of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr
from scipy.special import softmax as scipy_softmax
from sklearn.linear_model import LogisticRegression

TOLERANCE = 1e-8
GAUGE = 1e-9  # penalty on the intercepts, of which a constant could be added to all
LOSSES = ("log", "zero_one")
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Head:
    """Multinomial logistic regression, as a strategy sees it."""

    classes: NDArray[np.intp]
    coef: Floats
    intercept: Floats
    l2: float

    def predict_proba(self, features: Floats) -> Floats:
        """Probabilities (n, k)."""
        return scipy_softmax(features @ self.coef.T + self.intercept, axis=1)


def fit(X: Floats, y: NDArray[np.intp], c: float, tol: float = TOLERANCE) -> Head:
    """Scikit-learn's multinomial logistic regression for C = c (more than two classes)."""
    # Solved in the span of the rows, where it is the same problem and smaller.
    basis = np.linalg.qr(X.T)[0] if len(X) < X.shape[1] else np.eye(X.shape[1])
    model = LogisticRegression(C=c, tol=tol, max_iter=100_000).fit(X @ basis, y)
    return Head(model.classes_, model.coef_ @ basis.T, model.intercept_, 1 / c)


def risks(probabilities: Floats) -> dict[str, Floats]:
    """Expected loss of each prediction, the classes last."""
    return {"log": entr(probabilities).sum(axis=-1), "zero_one": 1 - probabilities.max(axis=-1)}


def true_reductions(
    X: Floats, y: NDArray[np.intp], head: Head, candidates: Floats, evaluation: Floats
) -> dict[str, NDArray[np.float64]]:
    """Expected reduction (c,) of each risk over the evaluation rows (z, d), a fit for every candidate and class."""
    k, c = len(head.classes), len(candidates)
    truth = (y[:, None] == head.classes).astype(float)
    small = len(X) < X.shape[1]
    basis = np.linalg.qr(X.T)[0] if small else np.eye(X.shape[1])
    outside = candidates - candidates @ basis @ basis.T if small else np.zeros_like(candidates)
    own = np.linalg.norm(outside, axis=1)
    own[own < 1e-9] = 0
    direction = np.divide(outside, own[:, None], out=np.zeros_like(outside), where=own[:, None] > 0)
    places = np.column_stack([candidates @ basis, own, np.ones(c)])
    rows = np.column_stack([X @ basis, np.zeros(len(X)), np.ones(len(X))])
    start = np.column_stack([head.coef @ basis, np.zeros(k), head.intercept])
    theta = _newton(rows, truth, head.l2, start, np.repeat(places, k, axis=0), np.tile(np.arange(k), c))
    now, chances = risks(head.predict_proba(evaluation)), head.predict_proba(candidates)
    inside, sideways = evaluation @ basis, evaluation @ direction.T
    reductions = {loss: np.empty(c) for loss in LOSSES}
    for i in range(c):
        seen = np.column_stack([inside, sideways[:, i], np.ones(len(evaluation))])
        after = risks(scipy_softmax(np.tensordot(theta[i * k : (i + 1) * k], seen, axes=(2, 1)).swapaxes(1, 2), axis=2))
        for loss in LOSSES:
            reductions[loss][i] = now[loss].mean() - chances[i] @ after[loss].mean(axis=1)
    return reductions


def _newton(
    rows: Floats, truth: Floats, l2: float, start: Floats, places: Floats, labels: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Minima (n, k, r), one for each of the further rows ``places`` (n, r) with its class."""
    k, r = start.shape
    penalty = np.append(np.full(r - 1, l2), GAUGE)
    p = scipy_softmax(rows @ start.T, axis=1)
    ease = [np.linalg.inv((rows.T * (p[:, j] * (1 - p[:, j]))) @ rows + np.diag(penalty + 1e-6)) for j in range(k)]
    theta, left = np.repeat(start[None], len(places), axis=0), np.arange(len(places))

    def parts(theta: Floats, these: NDArray[np.intp]) -> tuple[Floats, Floats]:
        return theta @ rows.T, np.einsum("nkr,nr->nk", theta, places[these])  # (n, k, l), (n, k)

    def objective(theta: Floats, these: NDArray[np.intp]) -> Floats:
        logits, own = parts(theta, these)
        old = np.logaddexp.reduce(logits, axis=1).sum(axis=1) - np.einsum("nkl,lk->n", logits, truth)
        new = np.logaddexp.reduce(own, axis=1) - np.take_along_axis(own, labels[these, None], axis=1)[:, 0]
        return old + new + (penalty * theta**2).sum(axis=(1, 2)) / 2

    for _ in range(100):
        logits, own = parts(theta[left], left)
        p, q = scipy_softmax(logits, axis=1), scipy_softmax(own, axis=1)
        wrong = q - np.eye(k)[labels[left]]
        slope = (p - truth.T) @ rows + wrong[:, :, None] * places[left][:, None] + penalty * theta[left]
        far = np.abs(slope).max(axis=(1, 2)) > TOLERANCE
        if not far.any():
            return theta
        left, p, q, slope = left[far], p[far], q[far], slope[far]

        def bend(step: Floats, p: Floats = p, q: Floats = q, left: NDArray[np.intp] = left) -> Floats:
            moved, own = parts(step, left)
            moved = p * (moved - (p * moved).sum(axis=1, keepdims=True))
            own = q * (own - (q * own).sum(axis=1, keepdims=True))
            return moved @ rows + own[:, :, None] * places[left][:, None] + penalty * step

        step = _conjugate_gradients(bend, slope, ease)
        height, gain, length = objective(theta[left], left), (step * slope).sum(axis=(1, 2)), np.ones(len(left))
        for _ in range(40):
            tried = theta[left] - length[:, None, None] * step
            high = objective(tried, left) > height - 1e-4 * length * gain + 1e-12 * np.abs(height)
            if not high.any():
                break
            length[high] /= 2
        theta[left] = tried
    raise RuntimeError("A fit did not converge.")


def _conjugate_gradients(bend: Any, right: Floats, ease: list[Floats]) -> Floats:
    """Solve the Newton systems of all pairs, closely where they are nearly done."""
    eased = lambda rest: np.stack([rest[:, j] @ inverse for j, inverse in enumerate(ease)], axis=1)  # noqa: E731
    dot = lambda a, b: (a * b).sum(axis=(1, 2))[:, None, None]  # noqa: E731
    enough = np.minimum(0.05, np.sqrt(dot(right, right))) ** 2 * dot(right, right) * 0.1
    solved, rest = np.zeros_like(right), right.copy()
    turned = eased(rest)
    direction, energy = turned, dot(rest, turned)
    for _ in range(200):
        left = dot(rest, rest) > enough
        if not left.any():
            break
        bent = bend(direction)
        length = np.where(left, energy / np.maximum(dot(direction, bent), 1e-300), 0)
        solved += length * direction
        rest = rest - length * bent
        turned = eased(rest)
        last, energy = energy, dot(rest, turned)
        direction = np.where(left, turned + energy / np.maximum(last, 1e-300) * direction, 0)
    return solved


def against_scikit_learn(
    X: Floats, y: NDArray[np.intp], head: Head, candidate: Floats, evaluation: Floats
) -> dict[str, float]:
    """Expected reduction for one candidate (d,) by scikit-learn's own fits."""
    chances = head.predict_proba(candidate[None])[0]
    after = dict.fromkeys(LOSSES, 0.0)
    for label, chance in zip(head.classes, chances, strict=True):
        again = fit(np.vstack([X, candidate]), np.append(y, label), 1 / head.l2)
        for loss, each in risks(again.predict_proba(evaluation)).items():
            after[loss] += chance * each.mean()
    now = risks(head.predict_proba(evaluation))
    return {loss: float(now[loss].mean() - after[loss]) for loss in LOSSES}
