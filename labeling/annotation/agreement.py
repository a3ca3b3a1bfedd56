"""How far people agree beyond chance: Cohen's kappa of pairs, Krippendorff's alpha of all, and who confuses what.

All of it is for classes without an order. NaN stands where there is nothing to compare, or where everybody always chose
one class, so that chance alone would agree as well.

References
----------
Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20(1), 1960.
Krippendorff, "Computing Krippendorff's alpha-reliability", University of Pennsylvania, 2011.
Zapf, Castell, Morawietz and Karch, "Measuring inter-rater reliability for nominal data - which coefficients and
confidence intervals are appropriate?", BMC Medical Research Methodology 16:93, 2016 (the bootstrap over items).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from labeling.annotation.opinions import Opinions

CELLS = 4_000_000  # numbers of a bootstrap that are in memory at once


@dataclass(frozen=True)
class Pairs:
    """Agreement of every person with every other, over the items that both answered; each table is symmetric.

    Attributes
    ----------
    items : (n_people, n_people) int
        How many items both answered; on the diagonal, how many one answered.
    agreement : (n_people, n_people) float
        Share of these on which they chose the same class.
    kappa : (n_people, n_people) float
        The same beyond chance, 1 at most.
    """

    items: NDArray[np.int64]
    agreement: NDArray[np.float64]
    kappa: NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds between which it would lie again, in `level` of all samples of such items."""

    value: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Window:
    """Agreement in a span of time.

    Attributes
    ----------
    start, end : float
        The first and the last moment at which an item of this window had its newest answer, in the unit of the order.
    items : int
        How many there are.
    alpha : float
        Krippendorff's alpha of all their answers.
    """

    start: float
    end: float
    items: int
    alpha: float


def cohen_kappa(first: NDArray[np.int64], second: NDArray[np.int64], n_classes: int) -> float:
    """Agreement of two people on the same items, in the same order, beyond chance.

    Parameters
    ----------
    first, second : (n,) int
        The classes that each chose.

    Raises
    ------
    ValueError
        Where the two are not equally long.
    """
    if len(first) != len(second):
        raise ValueError(f"One answered {len(first)} items and the other {len(second)}; compare the same items.")
    both = np.zeros((n_classes, n_classes))
    np.add.at(both, (first, second), 1)
    n = both.sum()
    chance = both.sum(axis=1) @ both.sum(axis=0)
    return float(_beyond_chance(np.trace(both) * n, chance, n * n))


def pairwise(opinions: Opinions) -> Pairs:
    """Cohen's kappa of all pairs of people."""
    n, m, k = opinions.n_items, opinions.n_people, opinions.n_classes
    ones = np.ones(len(opinions))
    said = csr_array((ones, (opinions.items, opinions.classes * m + opinions.people)), shape=(n, k * m))
    answered = csr_array((ones, (opinions.items, opinions.people)), shape=(n, m))
    items = (answered.T @ answered).toarray()
    same, chance = np.zeros((m, m)), np.zeros((m, m))
    for which in range(k):
        chose = said[:, which * m : (which + 1) * m]
        same += (chose.T @ chose).toarray()
        beside = (chose.T @ answered).toarray()  # how often one chose this class where the other answered too
        chance += beside * beside.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return Pairs(items.astype(np.int64), same / items, _beyond_chance(same * items, chance, items**2))


def krippendorff_alpha(opinions: Opinions) -> float:
    """Agreement of all people on all items beyond chance; items that fewer than two answered count for nothing."""
    return float(_alpha(*_totals(opinions.votes())))


def alpha_interval(opinions: Opinions, *, draws: int = 1000, seed: int = 0, level: float = 0.95) -> Interval:
    """Krippendorff's alpha with a bootstrap interval.

    Items that two or more people answered are drawn with replacement, as many as there are, and alpha is computed of
    each drawn set; the interval is between the percentiles of what comes out (Zapf et al., 2016). Items with equal
    votes are drawn as one group, by the multinomial distribution: the same, but quicker. Of 300 intervals at 95 % each
    (`tests/benchmarks/bench_people.py coverage`), 93 to 96 in 100 held the true alpha from 50 items on, 88 to 93 with
    20 items, for which the interval is a little too narrow.

    Parameters
    ----------
    draws : int
        How many sets are drawn.
    level : float
        Between 0 and 1.
    """
    votes = opinions.votes()
    votes = votes[votes.sum(axis=1) >= 2]
    n = len(votes)
    value = float(_alpha(*_totals(votes)))
    if not n or np.isnan(value):
        return Interval(value, np.nan, np.nan, level)
    kinds, frequencies = np.unique(votes, axis=0, return_counts=True)
    figures = np.column_stack([_disagreements(kinds), kinds])  # of one item of each kind
    rng = np.random.default_rng(seed)
    alphas = []
    for done in range(0, draws, batch := max(1, CELLS // len(kinds))):
        drawn = rng.multinomial(n, frequencies / n, size=min(batch, draws - done)) @ figures
        alphas.append(_alpha(drawn[:, 0], drawn[:, 1:]))
    found = np.concatenate(alphas)
    found = found[~np.isnan(found)]
    if not len(found):
        return Interval(value, np.nan, np.nan, level)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)


def alpha_per_class(opinions: Opinions) -> NDArray[np.float64]:
    """Krippendorff's alpha of each class against all others together, (n_classes,)."""
    votes = opinions.votes()
    votes = votes[votes.sum(axis=1) >= 2]
    answers = votes.sum(axis=1)
    disagreement = 2 * (votes * (answers[:, None] - votes) / (answers[:, None] - 1)).sum(axis=0)
    chosen = votes.sum(axis=0)
    return np.asarray(_alpha(disagreement, np.stack([chosen, answers.sum() - chosen], axis=1)))


def confusion_between(opinions: Opinions) -> NDArray[np.int64]:
    """How often two people chose these two classes for one item, (n_classes, n_classes).

    Every pair of answers to an item is counted in both orders: the table is symmetric, and its diagonal counts a pair
    that agrees twice.
    """
    votes = opinions.votes()
    return votes.T @ votes - np.diag(votes.sum(axis=0))


def alpha_over_time(opinions: Opinions, order: NDArray[np.float64], *, windows: int = 10) -> list[Window]:
    """Krippendorff's alpha in spans of time that hold equally many items; fewer spans where there are fewer items.

    Parameters
    ----------
    order : (a,) float
        When each answer was given. An item belongs where its newest answer does, with all its answers.
    """
    votes = opinions.votes()
    newest = np.full(opinions.n_items, -np.inf)
    np.maximum.at(newest, opinions.items, order)
    compared = np.flatnonzero(votes.sum(axis=1) >= 2)
    compared = compared[np.argsort(newest[compared], kind="stable")]
    parts = [part for part in np.array_split(compared, max(1, windows)) if len(part)]
    return [
        Window(float(newest[part[0]]), float(newest[part[-1]]), len(part), float(_alpha(*_totals(votes[part]))))
        for part in parts
    ]


def _disagreements(votes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pairs of answers to each item that differ, both orders, over one less than its answers, (n,)."""
    answers = votes.sum(axis=1)
    return (answers**2 - (votes**2).sum(axis=1)) / (answers - 1)


def _totals(votes: NDArray[np.int64]) -> tuple[np.float64, NDArray[np.int64]]:
    """All disagreement, and how often each class was chosen, in items that can be compared."""
    compared = votes[votes.sum(axis=1) >= 2]
    return _disagreements(compared).sum(), compared.sum(axis=0)


def _alpha(
    disagreement: NDArray[np.float64] | np.float64, chosen: NDArray[np.int64] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Alpha of each set: disagreement (...,) and how often each class was chosen (..., k)."""
    answers = chosen.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_chance = (answers**2 - (chosen**2).sum(axis=-1)) / (answers - 1)
        return np.where(by_chance > 0, 1 - disagreement / by_chance, np.nan)


def _beyond_chance(
    same: NDArray[np.float64] | np.float64, chance: NDArray[np.float64], whole: NDArray[np.float64] | np.float64
) -> NDArray[np.float64]:
    """Agreement beyond chance, of agreement, chance and what there is of both at most."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > chance, (same - chance) / (whole - chance), np.nan)
