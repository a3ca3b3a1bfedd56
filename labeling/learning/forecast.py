"""How right the model is on new items like the pool's, and how many more labels a target would take.

People are asked what the model finds hard, so the share of right suggestions says little about other items. What
carries over is how far the model's confidence can be believed: of the labeled items that it was 70 % sure of, how many
did it get right? This is learned twice, from cross-validation on the labels and from the newest answers to suggestions
(a logistic curve each, as in Platt's scaling), and applied to the model's confidence in every item that is still open.
The two miss in different ways, so the mean of their log odds is taken; how much open items differ from labeled ones of
the same confidence is allowed for.

From there on the error is taken to fall as a power of the number of labels. A few dozen answers cannot tell its
exponent, so what is known of other pools is the prior, and what this pool's error did so far corrects it.
The constants were set on replays of four sets with the default strategy, and `tests/benchmarks/bench_forecast.py` has
what the intervals are worth, on other draws and strategies too.

References
----------
J. Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin Classifiers (1999).
C. Cortes et al., "Learning curves: asymptotic values and rate of convergence", NIPS 6 (1993).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

BINS = 20  # of a confidence from 0 to 1
MET = 50  # newest answers that say how far confidence holds today: it changes as the model learns
FEWEST = 20  # items or answers that a calibration needs
DRAWS = 4000
CONFIDENCE = 0.90
SHIFT, SLOPE = 1.0, 0.5  # standard deviations of the calibration's prior, around the model's own word
MODEST = 0.15  # of the log odds of being right: by how much the mean of the two calibrations is too low
UNLIKE = 0.45  # of the same: the standard deviation of what it is off by
EXPONENT, EXPONENT_SPREAD = 0.25, 0.6  # of the error's power law: median, and standard deviation of its logarithm
PATH_NOISE = 0.3  # of the logarithm of an earlier error, around the power law
FARTHEST = 20.0  # times as many labels as there are: what lies beyond cannot be told
WIDEST = 10.0  # of the interval's ends, as a ratio: a wider one says nothing

_DESIGN = np.column_stack([np.ones(BINS), logit((np.arange(BINS) + 0.5) / BINS)])


@dataclass(frozen=True)
class Assessed:
    """What a model with so many labels was sure of, as counts in `BINS` equal bins of its confidence from 0 to 1.

    Attributes
    ----------
    labels : int
    open : tuple of int
        Items that may still be asked.
    held, held_right : tuple of int
        Labeled items that were held out while the model was fitted, and those of them that it got right.
    met, met_right : tuple of int
        The newest answers to suggestions, up to `MET` of them, and those that were as suggested.
    """

    labels: int
    open: tuple[int, ...]
    held: tuple[int, ...]
    held_right: tuple[int, ...]
    met: tuple[int, ...]
    met_right: tuple[int, ...]


class Interval(NamedTuple):
    """A median with the ends of the 90 % interval around it."""

    middle: float
    low: float
    high: float


class Belief(NamedTuple):
    """Draws of what may be so, of equal weight.

    Attributes
    ----------
    labels : int
        Today's.
    errors : (s,) float
        The share of new items that the model is wrong on today.
    exponents : (s,) float
        Of the labels' power by which the error falls.
    """

    labels: int
    errors: NDArray[np.float64]
    exponents: NDArray[np.float64]


def count_confidence(confidence: ArrayLike) -> list[int]:
    """Counts of confidences in `BINS` equal bins from 0 to 1."""
    counts, _ = np.histogram(np.asarray(confidence), bins=BINS, range=(0.0, 1.0))
    return [int(count) for count in counts]


def believe(versions: Sequence[Assessed], *, seed: int = 0) -> Belief:
    """What can be believed of the model, from its versions so far, oldest first; the last is today's."""
    rng, now = np.random.default_rng(seed), versions[-1]
    sized = np.array([version.open for version in versions], dtype=float).T
    shares = sized / sized.sum(axis=0)  # (BINS, k)
    odds = [
        logit(expit(calibrated @ _DESIGN.T) @ shares)  # (s, k)
        for calibrated in (
            rng.multivariate_normal(*calibrate(held, right), size=DRAWS)
            for held, right in ((now.held, now.held_right), (now.met, now.met_right))
            if sum(held) >= FEWEST
        )
    ]
    errors = expit(-(np.mean(odds, axis=0) + rng.normal(MODEST, UNLIKE, size=(DRAWS, 1))))
    exponents = EXPONENT * np.exp(rng.normal(0, EXPONENT_SPREAD, size=DRAWS))
    numbers = np.array([version.labels for version in versions], dtype=float)
    fallen = np.log(errors / errors[:, -1:]) - exponents[:, None] * np.log(numbers[-1] / numbers)
    # Errors of neighbouring versions go together: three times as many labels count as one look at the slope.
    looks = np.log(numbers[-1] / numbers[0]) / np.log(3) / max(len(numbers) - 1, 1)
    likely = -0.5 * looks * np.square(fallen / PATH_NOISE).sum(axis=1)
    weights = np.exp(likely - likely.max())
    kept = rng.choice(DRAWS, size=DRAWS, p=weights / weights.sum())
    return Belief(now.labels, errors[kept, -1], exponents[kept])


def calibrate(held: Sequence[int], right: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shift and slope of the log odds of being right over those that the model gave: mean (2,) and covariance (2, 2).

    The normal approximation of the posterior, found by Newton's method, from counts by `BINS` of confidence.
    """
    counts, hits = np.asarray(held, dtype=float), np.asarray(right, dtype=float)
    prior, precision = np.array([0.0, 1.0]), np.diag([SHIFT**-2, SLOPE**-2])
    at = prior
    for _ in range(25):
        p = expit(_DESIGN @ at)
        gradient = _DESIGN.T @ (hits - counts * p) - precision @ (at - prior)
        hessian = (_DESIGN * (counts * p * (1 - p))[:, None]).T @ _DESIGN + precision
        step = np.linalg.solve(hessian, gradient)
        at = at + step
        if np.abs(step).max() < 1e-8:
            break
    return at, np.linalg.inv(hessian)


def moved(belief: Belief, labels: int) -> Belief:
    """The same belief when there are so many labels."""
    return Belief(labels, belief.errors * (labels / belief.labels) ** -belief.exponents, belief.exponents)


def accuracy_with(belief: Belief, labels: float) -> Interval:
    """How right the model will be with so many labels in all; how right it is, with today's."""
    return interval(1 - belief.errors * (labels / belief.labels) ** -belief.exponents)


def labels_needed(belief: Belief, target: float) -> NDArray[np.float64]:
    """Draws of how many more labels than today's an accuracy takes: 0 where it is reached."""
    grown = np.log(belief.errors / (1 - target)) / belief.exponents
    return belief.labels * np.expm1(np.clip(grown, 0, 20))


def in_reach(belief: Belief, needed: NDArray[np.float64]) -> Interval | None:
    """The interval of the labels that are needed; None where it is too wide or too far away to be worth telling."""
    found = interval(needed)
    least, most = belief.labels + found.low, belief.labels + found.high
    return None if most > FARTHEST * belief.labels or most > WIDEST * least else found


def interval(values: NDArray[np.float64]) -> Interval:
    """The interval of draws (s,)."""
    low, middle, high = np.quantile(values, [(1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2])
    return Interval(float(middle), float(low), float(high))
