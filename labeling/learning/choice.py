"""The two numbers that the default head is fitted with, chosen from the labels themselves.

The power p of the pool's prior says how far to trust the pool's shape (`labeling.features.prior`), and C,
scikit-learn's inverse penalty, how far to trust the labels. Few labels cannot tell errors apart, but likelihoods: p is
chosen by the evidence, which is in closed form and means something from about ten labels on, C by cross-validated log
loss. With many labels errors count themselves, and the pool's shape has to earn its say: p is the smallest whose
leave-one-out error is within a standard error of the best, C the one with the most right in cross-validation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

POWERS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
STRENGTHS = (1.0, 3.0, 10.0, 30.0)  # ascending: each fit starts from the one before it
FEWEST_FOR_POWER, FEWEST_FOR_STRENGTH, MANY = 10, 50, 500  # labels
SEARCHED = 1000  # labels that a search looks at: more would keep people waiting, and change little
GROWTH = 10  # a search is worth repeating when the labels have grown by a tenth
FOLDS = 5
NOISES = np.logspace(-4, 1.5, 23)  # ratios of noise to signal: the penalties of the regressions behind the choice of p
FLOOR = 1e-3  # of a held-out label's probability: one outlier, or one class not in the fold, decides nothing


@dataclass(frozen=True)
class Choice:
    """Power of the pool's prior, scikit-learn's C, and the number of labels that they were chosen from; with words for
    the classes (`labeling.learning.zero_shot`), their weight beside the labels, and the temperature of the head.
    """

    power: float = 1.5
    strength: float = 30.0
    searched_at: int = 0
    weight: float = 0.0
    temperature: float = 1.0


def choose(
    seen: Callable[[float], NDArray[Any]], targets: NDArray[np.integer], before: Choice, *, seed: int = 0
) -> Choice:
    """Choose from the labels ``targets`` (l,), unless they are hardly more than at the last search.

    Parameters
    ----------
    seen
        The labeled rows (l, k) as seen with a power.
    """
    count = len(targets)
    if count < FEWEST_FOR_POWER or not is_due(count, before):
        return before
    chosen = np.sort(np.random.default_rng(seed).permutation(count)[:SEARCHED])
    targets = targets[chosen]
    power = choose_power(lambda p: seen(p)[chosen], targets, by_error=count >= MANY)
    strength = Choice.strength
    if count >= FEWEST_FOR_STRENGTH:
        rows = np.asarray(seen(power)[chosen], dtype=np.float64)
        strength = choose_strength(rows, targets, by_error=count >= MANY, seed=seed)
    return Choice(power, strength, count)


def is_due(count: int, before: Choice) -> bool:
    """Whether so many labels are worth another search."""
    return not 0 <= GROWTH * (count - before.searched_at) < before.searched_at


def choose_power(
    seen: Callable[[float], NDArray[Any]], targets: NDArray[np.integer], *, by_error: bool = False
) -> float:
    """The power of `POWERS` that the labels ``targets`` (l,) of the rows (l, k), as seen with each, speak for."""
    rows = {power: np.asarray(seen(power), dtype=np.float64) for power in POWERS}
    if by_error:
        return _smallest_power({p: leave_one_out_errors(rows[p], targets) for p in POWERS})
    return max(POWERS, key=lambda p: log_evidence(rows[p], targets))


def log_evidence(features: NDArray[np.float64], targets: NDArray[np.integer]) -> float:
    """Log marginal likelihood of one-hot ``targets`` (l,) under Gaussian-process regression, linear in rows (l, k).

    The signal's scale and the ratio of noise to it are those that maximise it. One eigendecomposition of size
    min(l, k); no fit. That the targets are classes is ignored, which does not harm the comparison of features.

    References
    ----------
    MacKay, "Bayesian interpolation", Neural Computation 4, 1992.
    Rasmussen and Williams, "Gaussian processes for machine learning", 2006, sections 2.2 and 5.4.
    """
    one_hot = targets[:, None] == np.unique(targets)
    residuals = one_hot - one_hot.mean(axis=0)
    n, k = residuals.shape
    wide = features.shape[1] >= n
    values, vectors = eigh(features @ features.T if wide else features.T @ features)
    values = np.maximum(values, 0)
    if wide:
        energies = np.square(vectors.T @ residuals).sum(axis=1)
    else:
        held = values > 1e-12 * max(values[-1], 1)
        values, vectors = values[held], vectors[:, held]
        energies = np.square((features @ vectors).T @ residuals).sum(axis=1) / values
    beyond = max(np.square(residuals).sum() - energies.sum(), 0.0)  # what the features cannot reach
    evidences = [
        -0.5 * n * k * np.log(max(((energies / (values + noise)).sum() + beyond / noise) / (n * k), 1e-300))
        - 0.5 * k * (np.log(values + noise).sum() + (n - len(values)) * np.log(noise))
        for noise in NOISES
    ]
    return float(max(evidences))


def leave_one_out_errors(features: NDArray[np.float64], targets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Squared error (l,) of each one-hot label under ridge regression on the other rows, with the best penalty.

    In closed form, from one eigendecomposition of size k; for more labels l than columns k.

    References
    ----------
    Allen, "The relationship between variable selection and data augmentation and a method for prediction",
    Technometrics 16, 1974 (PRESS).
    """
    one_hot = targets[:, None] == np.unique(targets)
    residuals = one_hot - one_hot.mean(axis=0)
    values, vectors = eigh(features.T @ features)
    turned = features @ vectors
    reached, energies = turned.T @ residuals, np.square(turned)
    best = np.full(len(targets), np.inf)
    for noise in NOISES:
        shrunk = 1 / (np.maximum(values, 0) + noise)
        leverages = energies @ shrunk + 1 / len(targets)  # the last for the mean
        errors = np.square((residuals - turned @ (reached * shrunk[:, None])).T / (1 - leverages)).sum(axis=0)
        if errors.mean() < best.mean():
            best = errors
    return best


def _smallest_power(errors: dict[float, NDArray[np.float64]]) -> float:
    """The smallest power whose mean error is within one standard error of the best power's."""
    best = min(errors, key=lambda p: errors[p].mean())

    def close(power: float) -> bool:
        excess = errors[power] - errors[best]
        return bool(excess.mean() <= excess.std() / np.sqrt(len(excess)))

    return min(power for power in errors if close(power))


def choose_strength(
    features: NDArray[np.float64], targets: NDArray[np.integer], *, by_error: bool = False, seed: int = 0
) -> float:
    """The C of `STRENGTHS` that makes held-out labels the likeliest, or gets most of them right; rows (l, k)."""
    totals = np.zeros(len(STRENGTHS))
    for learned, held_out in KFold(FOLDS, shuffle=True, random_state=seed).split(features):
        if len(np.unique(targets[learned])) < 2:
            continue
        head = LogisticRegression(max_iter=500, tol=1e-3, warm_start=True)
        for at, strength in enumerate(STRENGTHS):
            head.set_params(C=strength).fit(features[learned], targets[learned])
            if by_error:
                totals[at] += np.count_nonzero(head.predict(features[held_out]) == targets[held_out])
            else:
                totals[at] += _log_likelihood(head, features[held_out], targets[held_out])
    return STRENGTHS[int(totals.argmax())]


def _log_likelihood(head: LogisticRegression, features: NDArray[np.float64], targets: NDArray[np.integer]) -> float:
    """Of labels (l,) under a fitted head, each no less than `FLOOR`."""
    likely = (targets[:, None] == head.classes_) * head.predict_proba(features)
    return float(np.log(np.maximum(likely.sum(axis=1), FLOOR)).sum())
