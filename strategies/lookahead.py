"""What a linear head would predict had it also been told (x, y), without fitting it again for every x and y.

A softmax head was fitted to some rows. Three stages, each closer and dearer than the one before, answer for any
candidate x how far its label may be expected to lower the risk over the evaluation rows:

1. `Glance`: one product for the whole pool. All classes share one curvature A of the objective at the labeled rows, and
   the risk is taken to second order. For a ridge head and the Brier score this is the exact expected reduction.
2. `LookAhead.told`: the labeled rows are summed up by their curvature, one matrix per class, and the new row keeps its
   exact loss. What the head then predicts for the new row is the solution of a small implicit equation.
3. The same with ``steps``: the objective itself is minimised from there, for all pairs (x, y) at once, by nonlinear
   conjugate gradients preconditioned with the curvature of stage 2 and the new row's own (Sherman-Morrison). A step
   goes to the minimum along its direction, and a pair that has arrived is left alone.

All of it lives in the span of the labeled rows, with one more direction for what a candidate has outside of it: by the
representer theorem nothing else moves. The head is taken as the minimum of its objective. If it is not quite (a
solver's tolerance, or further rows it was trained on), the objective is tilted by the gradient that is left, so that
every stage compares like with like, and the labels' classes need not be known at all.

References
----------
Roy and McCallum, "Toward optimal active learning through sampling estimation of error reduction", ICML 2001.
MacKay, "Information-based objective functions for active data selection", Neural Computation 4, 1992 (the Laplace
approximation).
Cook and Weisberg, "Residuals and Influence in Regression", 1982 (one-point updates).
Polak and Ribière, "Note sur la convergence de méthodes de directions conjuguées", 1969.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Floats = NDArray[np.floating[Any]]
Loss = Callable[[Floats], Floats]  # logits (k, ...), which it may overwrite, to risks (...)

INTERCEPT_RIDGE = 1e-3  # keeps the curvature invertible where no label moves the intercept
FORGOTTEN = 0.01  # share of the reach over the evaluation rows that a glance sums up by its mean
DIRECTIONS = 256  # that a glance looks along at most
LIKELY = 16  # classes of a candidate that are looked into, the likeliest first
UNLIKELY = 0.001  # classes with less chance than this are left out, unless none is likelier
ARRIVED = 0.01  # a pair is left alone once a step would change it by less than this share of stage 2's step
CROWDED = 0.7  # pairs that have arrived are put aside once they are more than the rest of this share
IMPLICIT_STEPS = 12  # of Newton's method, at most, for the equation of stage 2
LENGTHS = np.array(
    [1.0, 0.5, 0.2, 0.05, 0.01]
)  # of such a step, that are tried; short ones where one slack dwarfs another
SEARCHES = 3  # evaluations along a line, of which the first is at hand already
LONGEST = 2.0  # a step of the search along a line
SHARPEST = 10.0  # share of the last direction that is kept, at most
TINY = np.float32(1e-30)
FEWEST = 400  # evaluation rows that tell candidates apart
SOFTMAX = 100  # products that take as long as a logit's share of a softmax
HELD = 2**23  # numbers held at once while candidates are looked into: 32 MiB of float32
CACHED = 2**17  # numbers in a block that is meant to stay in the processor's cache


def log_loss(logits: Floats) -> Floats:
    """Expected log loss of a prediction that is believed: its entropy, in nats."""
    logits -= logits.max(axis=0)
    odds = np.exp(logits)
    total = odds.sum(axis=0)
    odds *= logits
    return np.asarray(np.log(total) - odds.sum(axis=0) / total)


def zero_one_loss(logits: Floats) -> Floats:
    """Expected error of the likeliest class: one minus its probability."""
    logits -= logits.max(axis=0)
    return np.asarray(1 - 1 / np.exp(logits, out=logits).sum(axis=0))


LOSSES: dict[str, Loss] = {"log": log_loss, "zero_one": zero_one_loss}


def softmax(logits: Floats) -> Floats:
    """Softmax over the first axis."""
    odds = np.exp(logits - logits.max(axis=0))
    odds /= odds.sum(axis=0)
    return odds


def unsureness(probabilities: Floats) -> Floats:
    """One minus the sum of squares over the first axis: the chance that two draws differ."""
    return np.asarray(1 - np.square(probabilities).sum(axis=0))


class Glance:
    """Stage 1: how far a label may be expected to lower the risk, to second order, in one product for all rows.

    With the shared curvature A = sum_i w_i x_i x_i' + ridge, w_i = (1 - |p_i|^2) / (k - 1), the second moment S of the
    evaluation rows and s = x' A^-1 x, it is (1 - |p|^2) x' A^-1 S A^-1 x / (1 + w s)^2. S counts a row by
    (1 - |p|^2)^2: where the head is sure, no small change matters. A and S are diagonalised together; the directions
    that hardly any evaluation row has enter s by their mean.

    Parameters
    ----------
    rows : (l, d) array
        Labeled rows.
    weights : (l,) float
        How much each counts.
    evaluation : (z, d) array
    coef, intercept : (k, d), (k,) float
    l2 : float
        As `strategies.base.LinearModel` has them.
    """

    def __init__(
        self, rows: Floats, weights: Floats, evaluation: Floats, coef: Floats, intercept: Floats, l2: float
    ) -> None:
        known, seen = (np.column_stack([part, np.ones(len(part))]).astype(np.float64) for part in (rows, evaluation))
        theta = np.column_stack([coef, intercept]).astype(np.float64)
        counts = weights * unsureness(softmax(theta @ known.T)) / (len(coef) - 1)
        curvature = (known * counts[:, None]).T @ known
        curvature[np.diag_indices_from(curvature)] += _ridge(l2, curvature, INTERCEPT_RIDGE)
        heed = unsureness(softmax(theta @ seen.T)) ** 2
        lower = np.linalg.cholesky(curvature)
        moment = solve_triangular(lower, (seen * heed[:, None]).T @ seen / max(len(seen), 1), lower=True)
        reach, turn = np.linalg.eigh(solve_triangular(lower, moment.T, lower=True))
        reach = np.maximum(reach[::-1], 0)
        kept = min(1 + int(np.searchsorted(np.cumsum(reach), (1 - FORGOTTEN) * reach.sum())), DIRECTIONS)
        map_ = solve_triangular(lower.T, turn[:, ::-1], lower=False)
        self.forgotten = float(np.square(seen @ map_[:, kept:]).sum() / max(len(seen), 1))
        self.map = np.hstack([map_[:, :kept], theta.T]).astype(np.float32)  # (d + 1, kept + k)
        self.reach = reach[:kept].astype(np.float32)
        self.width = self.map.shape[1]

    def __call__(self, features: Floats) -> Floats:
        """Expected reduction (b,), in units of its own, of rows (b, d)."""
        with np.errstate(over="ignore", invalid="ignore"):  # as in `LookAhead.reductions`
            return self._score(features.astype(np.float32, copy=False))

    def _score(self, features: Floats) -> Floats:
        mapped = features @ self.map[:-1]
        mapped += self.map[-1]
        kept = len(self.reach)
        unsure = unsureness(softmax(np.ascontiguousarray(mapped[:, kept:].T)))
        squares = np.square(mapped[:, :kept], out=mapped[:, :kept])
        own = squares @ np.ones(kept, np.float32) + np.float32(self.forgotten)
        classes = self.width - kept
        shrunk = 1 + unsure / (classes - 1) * own
        return np.nan_to_num(unsure * (squares @ self.reach) / shrunk / shrunk)


@dataclass(frozen=True)
class Told:
    """The head after each of n pairs of a candidate and a class that it may turn out to have.

    Attributes
    ----------
    rows : (c, r) float32
        The candidates in the coordinates of the `LookAhead`: the span of the labeled rows, 1, and the rest.
    candidate, label : (n,) int
        Positions of each pair's candidate and class; a candidate's pairs stand together.
    chance : (n,) float
        How likely the candidate has the class; sums to 1 over a candidate's pairs.
    change : (k, n, r) float32
        What is added to the head.
    """

    rows: Floats
    candidate: NDArray[np.intp]
    label: NDArray[np.intp]
    chance: NDArray[np.float64]
    change: Floats


class LookAhead:
    """A linear head that can be asked what it would predict had it also been told (x, y).

    Parameters
    ----------
    rows : (l, d) array
        Labeled rows.
    weights : (l,) float
        How much each counts.
    coef, intercept : (k, d), (k,) float
    l2 : float
        As `strategies.base.LinearModel` has them.
    """

    def __init__(self, rows: Floats, weights: Floats, coef: Floats, intercept: Floats, l2: float) -> None:
        rows, weights = (np.asarray(part, dtype=np.float64)[weights > 0] for part in (rows, weights))
        self.coef, self.intercept = (np.asarray(part, dtype=np.float64) for part in (coef, intercept))
        self.basis = np.linalg.qr(rows.T)[0] if len(rows) < rows.shape[1] else None  # (d, l), orthonormal columns
        inside = rows if self.basis is None else rows @ self.basis
        inside = np.column_stack([inside, np.ones(len(rows)), np.zeros(len(rows))])
        before = softmax(self.logits(rows))
        # One curvature for each class; a candidate's own direction (the last) is penalised, and no labeled row has it.
        spread = weights * before * (1 - before)
        curvature = np.matmul(inside.T * spread[:, None, :], inside)
        ridge = _ridge(l2, curvature.mean(axis=0)[:-1, :-1], INTERCEPT_RIDGE)
        curvature += np.diag(np.append(ridge, ridge[0] if len(ridge) > 1 else max(l2, INTERCEPT_RIDGE)))
        self.inverse = np.linalg.inv(curvature).astype(np.float32)  # (k, r, r)
        self.penalty = np.full(inside.shape[1], l2, dtype=np.float32)
        self.penalty[-2] = 0
        self.inside, self.weights = inside.astype(np.float32), weights.astype(np.float32)
        self.start = self.logits(rows).astype(np.float32)  # (k, l)
        self.before = before.astype(np.float32)

    def logits(self, features: Floats) -> NDArray[np.float64]:
        """What the head says now, (k, n), of rows (n, d)."""
        return np.asarray(self.coef @ features.T + self.intercept[:, None], dtype=np.float64)

    @property
    def work(self) -> int:
        """Floating-point operations of one step of stage 3 for one candidate."""
        k, r, _ = self.inverse.shape
        return min(k, LIKELY) * k * r * (4 * len(self.inside) + 2 * r)

    def affordable(self, candidates: int, budget: float) -> int:
        """How many evaluation rows to take for so many candidates; never too few to tell.

        The budget is in products: a logit costs one along each coordinate, and its share of the softmax.
        """
        k, r, _ = self.inverse.shape
        rows = int(budget / (max(candidates, 1) * k * min(k, LIKELY) * (r + SOFTMAX)))
        return max(FEWEST, min(rows, HELD // self.coef.shape[1]))

    def reductions(self, features: Floats, evaluation: Floats, loss: Loss, steps: int = 0) -> NDArray[np.float64]:
        """Expected reduction (c,) of the risk over the evaluation rows (z, d) by the label of each candidate (c, d)."""
        k, r, _ = self.inverse.shape
        block = max(8, HELD // (min(k, LIKELY) * k * 8 * (r + len(self.inside))))
        blocks = (features[start : start + block] for start in range(0, len(features), block))
        with np.errstate(over="ignore", invalid="ignore"):  # without a penalty, a head may move without end
            risks = [self.risk(self.told(part, steps), part, evaluation, loss) for part in blocks]
        gains = self.risk_now(evaluation, loss) - np.concatenate([*risks, np.empty(0)])
        return np.where(np.isfinite(gains), gains, 0)

    def coordinates(self, features: Floats) -> NDArray[np.float64]:
        """Rows (c, d) in the coordinates (c, r) in which a head may move: see `Told`."""
        inside = features if self.basis is None else features @ self.basis
        squares = np.square(features).sum(axis=1)
        outside = squares - np.square(inside).sum(axis=1)
        outside[outside <= 1e-9 * squares] = 0  # rounding
        return np.column_stack([inside, np.ones(len(features)), np.sqrt(outside)])

    def told(self, features: Floats, steps: int = 0) -> Told:
        """Tell the head of each candidate (c, d) and each class it may have: stage 2, and so many steps of stage 3."""
        features = np.asarray(features, dtype=np.float64)
        rows = self.coordinates(features).astype(np.float32)
        logits = self.logits(features)
        probabilities = softmax(logits)
        bar = np.sort(probabilities, axis=0)[-min(LIKELY, len(probabilities))]
        likely = (probabilities >= np.maximum(bar, UNLIKELY)) | (probabilities == probabilities.max(axis=0))
        candidate, label = np.nonzero(likely.T)
        chance = probabilities[label, candidate]
        chance = chance / np.bincount(candidate, chance, minlength=len(features))[candidate]
        reach = np.matmul(rows, self.inverse)[:, candidate]  # (k, n, r): how the head moves when pulled at the row
        rows_of = rows[candidate]
        slack = np.einsum("knr,nr->kn", reach, rows_of, dtype=np.float64)  # how far the row's own logits follow
        logits = logits[:, candidate]
        pull = _implicit(logits, slack, label)
        if steps:
            truth = (label == np.arange(len(logits))[:, None]).astype(np.float64)
            change = _Descent(self, rows_of, truth, logits, reach, slack, pull).run(steps)
        else:
            change = reach * pull[:, :, None].astype(np.float32)
        return Told(rows, candidate, label, chance, change)

    def risk(self, told: Told, features: Floats, evaluation: Floats, loss: Loss) -> NDArray[np.float64]:
        """Expected risk (c,) over the evaluation rows (z, d) once the label of each candidate (c, d) is known."""
        k, _, r = told.change.shape
        seen = np.asarray(evaluation, dtype=np.float32)
        features = np.asarray(features, dtype=np.float32)
        inside = seen if self.basis is None else seen @ self.basis.astype(np.float32)
        own = told.rows[:, -1]
        with np.errstate(divide="ignore"):
            scale = np.where(own > 0, 1 / own, 0).astype(np.float32)
        base = (self.coef.astype(np.float32) @ seen.T) + self.intercept.astype(np.float32)[:, None]  # (k, z)
        places = np.empty((r, len(seen)), dtype=np.float32)
        places[:-2], places[-2] = inside.T, 1
        ends = np.searchsorted(told.candidate, np.arange(len(features) + 1))
        risks = np.empty(len(features))
        step = max(64, CACHED // (k * min(k, LIKELY)))
        for start in range(0, len(features), 64):
            block = slice(start, start + 64)
            outside = (features[block] @ seen.T - told.rows[block, :-2] @ places[:-2]) * scale[block, None]
            for c, places[-1] in enumerate(outside, start):
                these = slice(ends[c], ends[c + 1])
                change = told.change[:, these].reshape(-1, r)
                total = np.zeros(ends[c + 1] - ends[c])
                for z in range(0, len(seen), step):
                    part = slice(z, z + step)
                    logits = (change @ places[:, part]).reshape(k, len(total), -1)
                    logits += base[:, None, part]
                    total += loss(logits).sum(axis=1, dtype=np.float64)
                risks[c] = total @ told.chance[these] / len(seen)
        return risks

    def risk_now(self, evaluation: Floats, loss: Loss) -> float:
        """Risk over the evaluation rows (z, d) as the head is."""
        return float(loss(self.logits(np.asarray(evaluation, dtype=np.float64))).mean())


def _ridge(l2: float, curvature: Floats, intercept: float) -> NDArray[np.float64]:
    """Penalty of each coordinate, the intercept's last; never so small that the curvature cannot be inverted."""
    least = 1e-6 * float(np.trace(curvature)) / len(curvature)
    ridge = np.full(len(curvature), max(l2, least, 1e-12))
    ridge[-1] = max(intercept, least)
    return ridge


def _implicit(logits: Floats, slack: Floats, label: NDArray[np.intp]) -> NDArray[np.float64]:
    """Pull g (k, n) on the logits (k, n) of new rows: g = onehot(label) - softmax(logits + slack * g).

    Newton's method on the convex problem that this is the gradient of; of a few lengths of the step, the best.
    """
    truth = (label == np.arange(len(logits))[:, None]).astype(np.float64)

    def height(pull: Floats) -> Floats:
        moved = logits + slack * pull
        top = moved.max(axis=0)
        least = np.log(np.exp(moved - top).sum(axis=0)) + top
        return np.asarray(least + (slack * pull * (pull / 2 - truth)).sum(axis=0))

    p = softmax(logits)
    pull = (truth - p) / (1 + slack * p * (1 - p))
    for _ in range(IMPLICIT_STEPS):
        p = softmax(logits + slack * pull)
        wrong = pull - (truth - p)
        if np.abs(wrong).max(initial=0) < 1e-6:
            break
        step = _divided(wrong, p, slack)
        heights = np.stack([height(pull - length * step) for length in LENGTHS])
        pull = pull - LENGTHS[heights.argmin(axis=0)] * step
    return np.asarray(pull, dtype=np.float64)


def _divided(right: Floats, p: Floats, slack: Floats) -> Floats:
    """Solve (I + (diag(p) - p p') diag(slack)) x = right for each column (k, n), by Sherman and Morrison's formula."""
    diagonal = 1 + p * slack
    plain, turned = right / diagonal, p / diagonal
    slope = p * slack
    # 1 - sum(slope * turned / p * p) is sum(turned), as p sums to 1: no cancellation.
    return np.asarray(plain + turned * ((slope * plain).sum(axis=0) / np.maximum(turned.sum(axis=0), 1e-12)))


class _Descent:
    """Stage 3: conjugate gradients on the objectives of all pairs at once.

    In the changes D (k, r) of the head, the objective of a pair is, up to a constant, the labeled rows' log loss at
    start + D x_i less its linear part (the tilt that makes the head the minimum), the penalty, and the new row's loss.

    Parameters
    ----------
    rows : (n, r) float32
        The new row of each pair.
    truth : (k, n)
        Its class, as zeros and a one.
    logits : (k, n)
        What the head says of it.
    reach, slack, pull : (k, n, r), (k, n), (k, n)
        As stage 2 has them.
    """

    def __init__(
        self, look: LookAhead, rows: Floats, truth: Floats, logits: Floats, reach: Floats, slack: Floats, pull: Floats
    ) -> None:
        self.look = look
        self.rows = rows
        self.truth, self.logits, self.slack = (part.astype(np.float32) for part in (truth, logits, slack))
        self.reach = reach
        self.after = (truth - pull).astype(np.float32)  # what stage 2 foresees
        self.goal = ARRIVED**2 * (slack * np.square(pull)).sum(axis=0)
        self.change = reach * pull[:, :, None].astype(np.float32)
        self.moves, self.own = self._moves(self.change)

    def run(self, steps: int) -> Floats:
        """Take up to so many steps; the changes (k, n, r)."""
        foreseen, left = self.change, np.arange(len(self.rows))
        done = foreseen.copy()
        direction: Floats = np.empty(0, dtype=np.float32)
        slope = energy = direction
        for step in range(steps):
            p, q = softmax(self.look.start[:, None] + self.moves), softmax(self.logits + self.own)
            last_slope, slope = slope, self._slope(p, q)
            eased = self._eased(slope)
            last_energy, energy = energy, _dot(eased, slope)
            if step:
                turn = energy - _dot(eased, last_slope)
                turn = np.clip(turn, 0, SHARPEST * last_energy) / np.maximum(last_energy, TINY)
                direction = turn[:, None] * direction - eased
                uphill = _dot(direction, slope) >= 0
                direction[:, uphill] = -eased[:, uphill]
            else:
                direction = -eased
            far = energy > self.goal
            self._descend(direction, p, q, far)
            done[:, left] = self.change
            if np.count_nonzero(far) < CROWDED * len(far):
                left = left[far]
                direction, slope, energy = direction[:, far], slope[:, far], energy[far]
                self._keep(far)
            if len(left) == 0:
                break
        return np.where(np.isfinite(done).all(axis=(0, 2), keepdims=True), done, foreseen)

    def _moves(self, change: Floats) -> tuple[Floats, Floats]:
        """How the logits of the labeled rows (k, n, l) and of the new row (k, n) follow a change (k, n, r)."""
        return change @ self.look.inside.T, np.einsum("knr,nr->kn", change, self.rows)

    def _slope(self, p: Floats, q: Floats) -> Floats:
        """Gradient (k, n, r) where the labeled rows have probabilities p (k, n, l) and the new one q (k, n)."""
        look = self.look
        wrong = (p - look.before[:, None]) * look.weights
        slope = wrong @ look.inside
        slope += look.penalty * self.change
        slope += (q - self.truth)[:, :, None] * self.rows
        return slope

    def _eased(self, slope: Floats) -> Floats:
        """The slope times the inverse of the curvature: stage 2's, and the new row's own by Sherman and Morrison."""
        eased = np.matmul(slope, self.look.inverse)
        along = np.einsum("knr,nr->kn", eased, self.rows)
        spread = self.after * (along - (self.after * along).sum(axis=0))
        eased -= self.reach * _divided(spread, self.after, self.slack)[:, :, None]
        return eased

    def _descend(self, direction: Floats, p: Floats, q: Floats, far: NDArray[np.bool_]) -> None:
        """Take the pairs that are far to the minimum along the direction, by Newton's method within what bounds it."""
        look = self.look
        moves, own = self._moves(direction)
        bend = _dot(look.penalty * direction, direction)
        tilt = _dot(look.penalty * direction, self.change)
        tilt -= np.einsum("knl,kl->n", moves, look.before * look.weights) + (self.truth * own).sum(axis=0)
        length = np.zeros(len(bend), dtype=np.float32)
        low, high = length, np.full_like(length, np.inf)
        for search in range(SEARCHES):
            if search:
                p = softmax(look.start[:, None] + self.moves + length[:, None] * moves)
                q = softmax(self.logits + self.own + length * own)
            weighed, weighed_own = p * moves, q * own
            mean, mean_own = weighed.sum(axis=0), weighed_own.sum(axis=0)
            first = tilt + length * bend + mean @ look.weights + mean_own
            weighed *= moves
            second = bend + (weighed.sum(axis=0) - np.square(mean)) @ look.weights
            second += (weighed_own * own).sum(axis=0) - np.square(mean_own)
            low, high = np.where(first <= 0, length, low), np.where(first > 0, length, high)
            newton = length + np.clip(-first, -LONGEST * second, LONGEST * second) / np.maximum(second, TINY)
            middle = np.where(np.isfinite(high), (low + high) / 2, low + 1)
            length = np.where((newton >= low) & (newton <= high), newton, middle)
        length = np.where(far, length, 0)
        self.change = self.change + length[:, None] * direction
        self.moves = self.moves + length[:, None] * moves
        self.own = self.own + length * own

    def _keep(self, these: NDArray[np.bool_]) -> None:
        """Go on with these pairs only."""
        self.rows, self.goal = self.rows[these], self.goal[these]
        for name in ("truth", "logits", "slack", "reach", "after", "change", "moves", "own"):
            setattr(self, name, getattr(self, name)[:, these])


def _dot(one: Floats, other: Floats) -> Floats:
    """Inner products (n,) of changes (k, n, r)."""
    return np.asarray(np.einsum("knr,knr->n", one, other))
