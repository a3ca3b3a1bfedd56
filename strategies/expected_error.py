"""Ask what is expected to lower the error over the pool most, once its label is known."""

import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import has_fit_parameter

from strategies.base import LinearModel, Model, Pool, StrategyError, random_utilities, score_in_blocks
from strategies.lookahead import LOSSES, UNLIKELY, Glance, LookAhead
from strategies.uncertainty import VARIETY, closeness

STEPS = 4  # of stage 3: most pairs arrive in three
SHORTLIST = (20, 100)  # the fewest and the most candidates that "auto" looks into to the end
WORK = 5e9  # floating-point operations that it spends on them
SIFT = 3  # times as many candidates as the shortlist takes are rescored before it is made
SIFT_STEPS = 1
SIFTED = 1.2e9  # products that the risk costs there (see `LookAhead.affordable`)
EVALUATED = 4e9  # products that it costs for the shortlist; larger pools are sampled
GLANCE_ROWS = 2000
REFIT_ROWS = 400  # evaluation rows for a model that is fitted again for every pair

Refit = Callable[[NDArray[Any], NDArray[np.intp], NDArray[np.float64] | None], Any]
Answer = tuple[NDArray[np.float64], NDArray[np.intp], float]  # scores (m,), positions of the exact ones, the risk now


@runtime_checkable
class Refittable(Protocol):
    """A model that can be fitted anew: what `ExpectedError` needs of one without linear coefficients.

    A scikit-learn classifier is fitted anew without it, and so is a model that keeps one as its ``estimator``.
    """

    def refit(self, features: NDArray[Any], targets: NDArray[np.intp], weights: NDArray[np.float64] | None) -> Model:
        """A model of the same kind fitted to rows (l, d), class indices (l,) and weights (l,) or None."""
        ...


class ExpectedError:
    """Ask what is expected to lower the error over the unlabeled pool most, once its label is known.

    For each candidate and each class that it may have, what would the model predict had it been told? The risk of those
    predictions over the pool, averaged over the classes as likely as the model has them, is the candidate's. Utilities
    are reductions of the risk. For a linear model, `strategies.lookahead` answers without fitting again, in three
    stages: a glance at all, a closer look at a few hundred, and the exact answer for a shortlist. Any other
    scikit-learn classifier, and any model with a method ``refit``, is fitted again for each pair of a shortlist by
    margin. A model that cannot be fitted again leaves the order by margin.

    Parameters
    ----------
    loss : {"log", "zero_one"}
        The risk: the expected log loss (entropy), or the expected share of errors.
    shortlist : int, None or "auto"
        How many candidates get the exact answer; the others rank below them, as the earlier stages have them. None:
        all. "auto": up to 100, fewer where many labels or classes make each dear.
    evaluation : int, optional
        How many unlabeled rows, drawn at random, the risk is taken over. None: all, or as many as a fixed amount of
        work allows.
    seconds : float
        For models that are fitted again: the time after which no further candidate is begun.

    References
    ----------
    Roy and McCallum, "Toward optimal active learning through sampling estimation of error reduction", ICML 2001.
    """

    name = "expected_error"
    needs = frozenset({"model", "features"})

    def __init__(
        self,
        loss: str = "log",
        shortlist: int | str | None = "auto",
        evaluation: int | None = None,
        seconds: float = 5.0,
    ) -> None:
        if loss not in LOSSES:
            raise StrategyError(f"There is no loss {loss!r}; choose one of {', '.join(LOSSES)}.")
        if shortlist != "auto" and shortlist is not None and (isinstance(shortlist, str) or shortlist < 1):
            raise StrategyError('A shortlist is a number from 1 on, None for all candidates, or "auto".')
        if evaluation is not None and evaluation < 1:
            raise StrategyError("The risk must be taken over 1 row or more.")
        if not seconds >= 0:
            raise StrategyError("The seconds to spend must be 0 or more.")
        self.loss = loss
        self.shortlist = shortlist
        self.evaluation = evaluation
        self.seconds = seconds
        # What the last call found, so that `why` speaks of it. Weak, as a pool may hold large arrays.
        self._last: tuple[weakref.ref[Pool], dict[int, float]] | None = None

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """Expected reduction of the risk (m,), exact on the shortlist; random numbers while there is no model."""
        self._last = None
        if model is None:
            return random_utilities(pool, rng)
        if len(model.classes) < 2 or len(pool.candidates) == 0:
            return np.zeros(len(pool.candidates))
        order = np.argsort(pool.candidates, kind="stable")
        rows = pool.candidates[order]
        unlabeled = _unlabeled(pool)
        if isinstance(model, LinearModel):
            scores, exact, now = self._look_ahead(pool, model, rows, unlabeled, rng)
        else:
            scores, exact, now = self._fit_again(pool, model, rows, unlabeled, rng)
        # Of errors, how many fewer; of doubt, how many items hold as much now.
        unit = now if self.loss == "log" else 1.0
        items = scores[exact] * len(unlabeled) / max(unit, 1e-12)
        self._last = weakref.ref(pool), dict(zip(rows[exact].tolist(), items.tolist(), strict=True))
        utilities = np.empty(len(rows))
        utilities[order] = scores
        return utilities

    def variety(self, pool: Pool, model: Model | None) -> int:
        """Much: what lowers the error most is often the same thing many times over."""
        return VARIETY

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """Say how much the label is expected to settle, as in "should put about 12 more items right"."""
        if model is None:
            return ["drawn at random, as there is no model yet"] * len(rows)
        if len(model.classes) < 2:
            return ["the model knows one class so far"] * len(rows)
        if not isinstance(model, LinearModel) and _refit_of(model) is None:
            return ["close between two classes; what its label changes cannot be foreseen"] * len(rows)
        items = self._last[1] if self._last is not None and self._last[0]() is pool else {}
        return [self._words(items.get(int(row))) for row in rows]

    def _words(self, items: float | None) -> str:
        if items is None:
            return "may change the model, by a first look"
        if items < 0.5:
            return "would change little"
        count = f"{items:.0f} more item" if self.loss == "zero_one" else f"{items:.0f} item"
        count += "" if round(items) == 1 else "s"
        if self.loss == "zero_one":
            return f"should put about {count} right"
        return f"should settle as much doubt as about {count} hold{'s' if round(items) == 1 else ''}"

    def _look_ahead(
        self,
        pool: Pool,
        model: LinearModel,
        rows: NDArray[np.intp],
        unlabeled: NDArray[np.intp],
        rng: np.random.Generator,
    ) -> Answer:
        """Look ahead with a linear model; ``rows`` (m,) are the candidates, ascending."""
        weights = np.ones(len(pool.labeled)) if pool.weights is None else pool.weights
        known, head = _features(pool, pool.labeled, np.float64), (model.coef, model.intercept, float(model.l2))
        look, loss = LookAhead(known, weights, *head), LOSSES[self.loss]
        count = self._count(look, len(rows))
        seen = _features(pool, _sample(unlabeled, self.evaluation or look.affordable(count, EVALUATED), rng))
        scores, kept = np.empty(len(rows)), np.arange(len(rows))
        if len(rows) > SIFT * count:
            glance = Glance(known, weights, seen[:GLANCE_ROWS], *head)
            scores = score_in_blocks(glance, pool, rows, glance.width)
            kept = _best(scores, SIFT * count)
        if len(kept) > count:
            fewer = seen[: look.affordable(len(kept), SIFTED)]
            sifted = look.reductions(_features(pool, rows[kept], np.float64), fewer, loss, SIFT_STEPS)
            if len(kept) == len(rows):
                scores = sifted
            kept = kept[_best(sifted, count)]
        gains = look.reductions(_features(pool, rows[kept], np.float64), seen, loss, STEPS)
        return _above(scores, kept, gains), kept, look.risk_now(seen, loss)

    def _count(self, look: LookAhead, candidates: int) -> int:
        """How many candidates are looked into to the end."""
        if isinstance(self.shortlist, int):
            return min(self.shortlist, candidates)
        if self.shortlist is None:
            return candidates
        fewest, most = SHORTLIST
        return min(candidates, max(fewest, min(most, int(WORK / (STEPS * look.work)))))

    def _fit_again(
        self, pool: Pool, model: Model, rows: NDArray[np.intp], unlabeled: NDArray[np.intp], rng: np.random.Generator
    ) -> Answer:
        """Fit the model again for each pair of a shortlist by margin, until the time is up."""
        until = time.monotonic() + self.seconds
        k = len(model.classes)
        scores = score_in_blocks(lambda features: closeness(model.predict_proba(features)), pool, rows, k)
        nothing = np.empty(0, dtype=np.intp)
        refit = _refit_of(model)
        if refit is None:
            return scores, nothing, 0.0
        count = (
            self.shortlist
            if isinstance(self.shortlist, int)
            else len(rows)
            if self.shortlist is None
            else max(SHORTLIST)
        )
        kept = _best(scores, count)
        seen = pool.features[_sample(unlabeled, self.evaluation or REFIT_ROWS, rng)]
        known = np.asarray(pool.features[pool.labeled])
        now = self._risk(model, seen)
        gains: list[float] = []
        for row in rows[kept]:
            if time.monotonic() > until:
                break
            x = np.asarray(pool.features[[row]])
            chance = np.asarray(model.predict_proba(x), dtype=np.float64)[0]
            chance[(chance < UNLIKELY) & (chance < chance.max())] = 0
            after = 0.0
            for label in np.flatnonzero(chance):
                targets = np.append(pool.targets, model.classes[label])
                weights = None if pool.weights is None else np.append(pool.weights, 1.0)
                after += chance[label] * self._risk(refit(np.concatenate([known, x]), targets, weights), seen)
            gains.append(now - after / chance.sum())
        kept = kept[: len(gains)]
        return _above(scores, kept, np.array(gains)), kept, now

    def _risk(self, model: Any, seen: NDArray[Any]) -> float:
        """Risk of a model over the evaluation rows (z, d)."""
        probabilities = np.asarray(model.predict_proba(seen), dtype=np.float64)
        return float(LOSSES[self.loss](np.log(np.maximum(probabilities, 1e-12)).T).mean())


def _unlabeled(pool: Pool) -> NDArray[np.intp]:
    """Rows without a label; where all have one, all."""
    left = np.ones(len(pool.features), dtype=bool)
    left[pool.labeled] = False
    return np.flatnonzero(left) if left.any() else np.arange(len(left))


def _sample(rows: NDArray[np.intp], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Up to so many of the rows, in an order drawn at random, so that its beginning is a sample as well."""
    return rows[rng.choice(len(rows), min(count, len(rows)), replace=False)]


def _features(pool: Pool, rows: NDArray[np.intp], dtype: type = np.float32) -> NDArray[Any]:
    return np.asarray(pool.features[rows], dtype=dtype)


def _best(scores: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Positions of the highest scores, the highest first; of equals, the first."""
    if count < len(scores):
        bar = np.partition(scores, len(scores) - count)[len(scores) - count]
        above, level = np.flatnonzero(scores > bar), np.flatnonzero(scores == bar)
        chosen = np.sort(np.concatenate([above, level[: count - len(above)]]))
    else:
        chosen = np.arange(len(scores))
    return chosen[np.argsort(-scores[chosen], kind="stable")]


def _above(scores: NDArray[np.float64], kept: NDArray[np.intp], gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """The gains at the kept positions, and the other scores moved below them, in their order."""
    if len(kept) == 0:
        return scores
    least = float(gains.min())
    moved = (
        scores - scores.max() + least - 1e-6 * (1 + abs(least)) if len(kept) < len(scores) else np.empty_like(scores)
    )
    moved[kept] = gains
    return moved


def _refit_of(model: Model) -> Refit | None:
    """How to fit the model again; None where there is no way."""
    if isinstance(model, Refittable):
        return model.refit
    estimator = model if isinstance(model, BaseEstimator) else getattr(model, "estimator", None)
    if not isinstance(estimator, BaseEstimator):
        return None

    def refit(features: NDArray[Any], targets: NDArray[np.intp], weights: NDArray[np.float64] | None) -> Any:
        fresh = clone(estimator)
        if weights is None or not has_fit_parameter(fresh, "sample_weight"):
            return fresh.fit(features, targets)
        return fresh.fit(features, targets, sample_weight=weights)

    return refit
