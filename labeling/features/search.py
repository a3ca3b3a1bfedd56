"""Exact search: how like a vector each row of a feature matrix is, by cosine.

One pass over the matrix as it is mapped from disk, in blocks that stay in the processor's cache while their rows are
multiplied and measured; so the lengths of rows need not be kept anywhere. Centring rows on the pool's mean first is
level on real data (`tests/benchmarks/bench_find.py`), so the plain cosine it is.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from labeling.features.matrix import FeatureMatrix

BLOCK = 2**19  # numbers multiplied at once: 2 MiB of float32
MAPPED = 8  # matrices whose mapping is kept


def mapped(matrix: FeatureMatrix) -> NDArray[np.floating[Any]]:
    """The rows (rows, width) of a matrix, by a mapping that is kept: to make one takes longer than to search it."""
    return _map(matrix.folder, matrix.layout.created, matrix.rows)


@lru_cache(maxsize=MAPPED)
def _map(folder: Path, _created: float, rows: int) -> NDArray[np.floating[Any]]:
    return np.asarray(FeatureMatrix.open(folder).array())[:rows]


def similarities(features: NDArray[np.floating[Any]], query: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """How like a vector each row is.

    Parameters
    ----------
    features : (n, d) float32 or float16
        May be mapped from disk; no more than `BLOCK` numbers of it are held at once.
    query : (d,)

    Returns
    -------
    (n,) float32
        The cosine of the angle, -1 to 1; 0 of what has no direction: zeros, or a length beyond what a float32 can
        square (about 1e-19 to 1e19).
    """
    n, width = features.shape
    found = np.zeros(n, dtype=np.float32)
    query = np.asarray(query, dtype=np.float64)
    length = np.linalg.norm(query)
    if not length:
        return found
    direction = (query / length).astype(np.float32)
    step = max(1, BLOCK // max(width, 1))
    quiet = np.errstate(over="ignore", invalid="ignore")
    with quiet, threadpool_limits(1, user_api="blas"):  # its threads wait for each other where the machine is busy
        for start in range(0, n, step):
            block = np.asarray(features[start : start + step], dtype=np.float32)
            squares = np.einsum("ij,ij->i", block, block)
            directed = (squares > 0) & np.isfinite(squares)
            np.divide(block @ direction, np.sqrt(squares), out=found[start : start + step], where=directed)
    return np.clip(found, -1, 1, out=found)
