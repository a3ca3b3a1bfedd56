"""How alike items are, whatever the scale of their features and however densely they lie."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances

from strategies.base import Pool

SAMPLE = 2048  # rows that stand for the pool, and candidates that are compared: what bounds time and memory
# An item's neighbourhood is the nearest fifth of the pool: best or level on pixels and on embeddings.
NEIGHBOURHOOD = 0.2


class Similarity:
    """``k(x, y) = exp(-||x - y||^2 / (s_x s_y))``, where s is the distance to the edge of the item's own neighbourhood.

    Parameters
    ----------
    pool : Pool
    reference : (r,) int
        Rows that stand for the pool: neighbourhoods are measured against them.

    References
    ----------
    Zelnik-Manor and Perona, "Self-tuning spectral clustering", NIPS 2004.
    """

    def __init__(self, pool: Pool, reference: NDArray[np.intp]) -> None:
        self.pool = pool
        features = np.asarray(pool.features[reference], dtype=np.float64)
        self.centre = features.mean(axis=0)  # far from the origin, differences of squares lose their digits
        self.reference = features - self.centre
        # Where a neighbourhood is one and the same item its scale is 0, and rounding would tell the copies apart.
        self.floor = np.finfo(np.float64).tiny + 1e-9 * np.square(self.reference).sum(axis=1).mean()
        self.scales = self._edges(self._squares(self.reference, self.reference))

    def __call__(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Similarity (rows, reference), float32, between 0 and 1."""
        squares = self._squares(self._features(rows), self.reference)
        return self._similarity(squares, self._edges(squares), self.scales)

    def between(self, rows: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float32]:
        """Similarity (rows, others)."""
        one, other = self._features(rows), self._features(others)
        edges = [self._edges(self._squares(features, self.reference)) for features in (one, other)]
        return self._similarity(self._squares(one, other), *edges)

    def _features(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.asarray(self.pool.features[rows], dtype=np.float64) - self.centre

    def _squares(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared distances (a, b) of centred rows (a, d) and (b, d)."""
        if len(x) == 0 or len(y) == 0:
            return np.empty((len(x), len(y)))
        return np.asarray(euclidean_distances(x, y, squared=True))

    def _edges(self, squares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance (b,) from each row to the edge of its neighbourhood, from its squared distances (b, reference)."""
        edge = int(NEIGHBOURHOOD * (len(self.reference) - 1))
        return np.sqrt(np.partition(squares, edge, axis=1)[:, edge])

    def _similarity(
        self, squares: NDArray[np.float64], x_edges: NDArray[np.float64], y_edges: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Similarity (a, b), from squared distances and the edges of the rows' neighbourhoods."""
        ratios = squares / np.maximum(np.outer(x_edges, y_edges), self.floor)
        return np.exp(-ratios.astype(np.float32))


def sample(members: NDArray[np.intp], lots: NDArray[np.float64]) -> NDArray[np.intp]:
    """The up to `SAMPLE` of ``members`` that drew the lowest of the ``lots``, in order of their lots."""
    return members[np.argsort(lots)[:SAMPLE]]
