"""Before there is a model to be uncertain: typical items, spread out over the pool."""

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances

from strategies.base import Model, Pool

SAMPLE = 2048  # rows that stand for the pool, and candidates that are compared: what bounds time and memory
NEIGHBOURHOOD = (
    0.2  # an item's surroundings are the nearest fifth of the pool: best or level on pixels and on embeddings
)


class Coverage:
    """Greedily ask for what resembles most of the part of the pool that nothing labeled, or asked before it, resembles.

    An item covers another by ``k(x, y) = exp(-||x - y||^2 / (s_x s_y))``, where s is the distance to the edge of the
    item's own neighbourhood, so that neither the scale of the features nor their density matters. The pool's coverage
    by a set is the mean, over the pool, of the best that the set's members do; a candidate's utility is what it would
    add to that when its turn comes, between 0 and 1. Taking candidates in order of utility is the greedy maximisation,
    which comes within 1 - 1/e of the best set of every size.

    A random sample stands for the pool, and a random sample of the candidates is put in order; the rest follow by lot,
    with utilities below 0. Beyond ``SAMPLE`` items a pool therefore costs only one more number per item.

    References
    ----------
    Bae, Noh and Sutherland, "Generalized coverage for more robust low-budget active learning", ECCV 2024 (MaxHerding).
    Zelnik-Manor and Perona, "Self-tuning spectral clustering", NIPS 2004 (the scale of the kernel).
    """

    name = "coverage"
    needs = frozenset({"features"})

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """Coverage that each candidate adds when its turn comes, (m,); below 0 for those that were not compared."""
        # A lot per row of the pool: samples are the same whatever the order of the candidates.
        lots = rng.random(len(pool.features))
        utilities = lots[pool.candidates] - 1
        if len(pool.candidates) == 0:
            return utilities
        kernel = _Kernel(pool, np.sort(_sample(np.arange(len(lots)), lots)))
        covered = kernel(_sample(pool.labeled, lots[pool.labeled])).max(axis=0, initial=0)
        compared = _sample(np.arange(len(pool.candidates)), lots[pool.candidates])
        utilities[compared] = _greedy_gains(kernel(pool.candidates[compared]), covered)
        return utilities

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """Say whether anything labeled lies in the item's neighbourhood."""
        if len(pool.labeled) == 0:
            return ["part of a start spread out over the pool"] * len(rows)
        if len(rows) == 0:
            return []
        # Without a seed: rows at even steps stand for the pool, and the newest labels for them all.
        kernel = _Kernel(pool, np.unique(np.linspace(0, len(pool.features) - 1, SAMPLE // 4).astype(np.intp)))
        near = kernel.between(rows, pool.labeled[-SAMPLE:]).max(axis=1) > np.exp(-1)
        return ["between items labeled so far" if n else "unlike anything labeled so far" for n in near]


class _Kernel:
    """How well rows cover the reference rows of a pool, with scales measured against the reference."""

    def __init__(self, pool: Pool, reference: NDArray[np.intp]) -> None:
        self.pool = pool
        features = np.asarray(pool.features[reference], dtype=np.float64)
        self.centre = features.mean(axis=0)  # far from the origin, differences of squares lose their digits
        self.reference = features - self.centre
        # Where a neighbourhood is one and the same item its scale is 0, and rounding would tell the copies apart.
        self.floor = np.finfo(np.float64).tiny + 1e-9 * np.square(self.reference).sum(axis=1).mean()
        self.scales = self._scales(self.reference)

    def __call__(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Kernel (rows, reference)."""
        features = self._features(rows)
        return self._similarity(features, self._scales(features), self.reference, self.scales)

    def between(self, rows: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float32]:
        """Kernel (rows, others)."""
        one, other = self._features(rows), self._features(others)
        return self._similarity(one, self._scales(one), other, self._scales(other))

    def _features(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.asarray(self.pool.features[rows], dtype=np.float64) - self.centre

    def _scales(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance (b,) from each row to the edge of its neighbourhood."""
        edge = int(NEIGHBOURHOOD * (len(self.reference) - 1))
        if len(features) == 0:
            return np.empty(0)
        return np.partition(euclidean_distances(features, self.reference), edge, axis=1)[:, edge]

    def _similarity(
        self,
        x: NDArray[np.float64],
        x_scales: NDArray[np.float64],
        y: NDArray[np.float64],
        y_scales: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """Kernel (a, b) of centred rows (a, d) and (b, d)."""
        if len(x) == 0 or len(y) == 0:
            return np.empty((len(x), len(y)), dtype=np.float32)
        scales = np.maximum(np.outer(x_scales, y_scales), self.floor)
        return np.exp(-euclidean_distances(x, y, squared=True) / scales).astype(np.float32)


def _sample(members: NDArray[np.intp], lots: NDArray[np.float64]) -> NDArray[np.intp]:
    """The up to `SAMPLE` of ``members`` that drew the lowest of the ``lots``, in order of their lots."""
    return members[np.argsort(lots)[:SAMPLE]]


def _greedy_gains(kernel: NDArray[np.float32], covered: NDArray[np.float32]) -> NDArray[np.float64]:
    """What each candidate (c,) adds when its turn comes, from its kernel (c, reference) and what is covered already.

    A gain only ever shrinks as others are taken, so one that was reckoned earlier is an upper bound: a candidate that
    still comes out on top when its gain is reckoned anew is the next (Minoux, 1978, "lazy greedy").
    """
    covered = covered.copy()
    gains = np.zeros(len(kernel))
    bounds = [(-float(np.maximum(row - covered, 0).mean()), position) for position, row in enumerate(kernel)]
    heapq.heapify(bounds)
    last = np.inf
    while bounds:
        position = bounds[0][1]
        gain = float(np.maximum(kernel[position] - covered, 0).mean())
        if len(bounds) > 1 and (-gain, position) > min(bounds[1:3]):
            heapq.heapreplace(bounds, (-gain, position))
            continue
        heapq.heappop(bounds)
        np.maximum(covered, kernel[position], out=covered)
        gains[position] = last = min(last, gain)  # rounding must not put a later one first
    return gains
