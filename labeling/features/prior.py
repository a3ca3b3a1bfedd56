"""What the pool tells before anybody labels: its principal directions, and the features as seen through them.

A head learns faster where its features are spread along the directions in which the pool really varies and shrunk along
the others. With directions V and variances λ of the pool, an item x is seen as

    φ(x) = normalise(diag(λ)^(p/2) Vᵀ (x - mean)),

p being the power of the prior: 0 turns the features and leaves their shape; the greater it is, the more the pool's own
shape decides. A linear head on φ has a Gaussian prior on its weights whose covariance follows the pool's.

On disk, beside the matrix: `prior-<rows>/prior.npz`, and below it one feature matrix for each power in use.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from labeling.errors import Invalid
from labeling.features.arrays import load_arrays, save_arrays
from labeling.features.matrix import COUNT_FILE, FeatureMatrix

KEPT = 0.999  # share of the variance, as a power weighs it, that the directions in use hold: the rest changes nothing
MEASURED = 50_000  # rows at most from which the directions are measured
GROWTH = 1.5  # the directions are measured again when the pool has grown by half
BLOCK = 2**22  # numbers held at once: 16 MiB of float32


@dataclass(frozen=True)
class PoolPrior:
    """The shape of a pool.

    Attributes
    ----------
    mean : (d,) float32
    directions : (d, r) float32
        Principal directions, the one of the greatest variance first; those without any are left out.
    variances : (r,) float64
    """

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    variances: NDArray[np.float64]

    @classmethod
    def measured(cls, features: NDArray[np.floating[Any]]) -> "PoolPrior":
        """Measure rows (n, d), n at least 1; of a large pool `MEASURED` rows at even steps."""
        rows = np.unique(np.linspace(0, len(features) - 1, MEASURED).astype(np.intp))
        n, d = len(rows), features.shape[1]
        total, products = np.zeros(d), np.zeros((d, d))
        shift = np.asarray(features[0], dtype=np.float64)  # far from the origin, differences of squares lose digits
        for block in _blocks(n, d):
            part = np.asarray(features[rows[block]], dtype=np.float64) - shift
            total += part.sum(axis=0)
            products += part.T @ part
        mean = total / n
        variances, directions = eigh(products / n - np.outer(mean, mean))
        variances, directions = variances[::-1], directions[:, ::-1]
        real = max(1, int(np.count_nonzero(variances > 1e-9 * max(variances[0], 0))))
        # The sign of a direction is arbitrary: fixed here, so that the same pool is seen the same way everywhere.
        directions = directions[:, :real]
        directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), range(real)])
        return cls(
            (shift + mean).astype(np.float32),
            directions.astype(np.float32),
            np.maximum(variances[:real], np.finfo(float).tiny),
        )

    def see(self, features: NDArray[np.floating[Any]], power: float) -> NDArray[np.float32]:
        """Rows (n, d) as φ with ``power``: (n, k) of unit length, k the directions that hold `KEPT` of the variance."""
        turn = self.turn(power)
        seen = np.empty((len(features), turn.shape[1]), dtype=np.float32)
        for block in _blocks(len(features), features.shape[1]):
            seen[block] = (np.asarray(features[block], dtype=np.float32) - self.mean) @ turn
            lengths = np.linalg.norm(seen[block], axis=1, keepdims=True)
            seen[block] /= np.where(lengths > 0, lengths, 1)
        return seen

    def turn(self, power: float) -> NDArray[np.float32]:
        """The linear part of φ, (d, k): V diag(λ)^(p/2), as far as it is kept.

        What a head on φ weighs with ``w`` (k,), it weighs in the features themselves with ``turn @ w``, up to the
        length of each row.
        """
        weights = (self.variances / self.variances[0]) ** power
        held = np.cumsum(weights * self.variances)
        kept = int(np.searchsorted(held, KEPT * held[-1])) + 1
        return np.asarray(self.directions[:, :kept] * np.sqrt(weights[:kept]).astype(np.float32))

    def save(self, path: Path) -> None:
        """Write to ``path`` (`.npz`), whole or not at all."""
        save_arrays(path, {"mean": self.mean, "directions": self.directions, "variances": self.variances})

    @classmethod
    def load(cls, path: Path) -> "PoolPrior":
        """Read what `save` wrote.

        Raises
        ------
        Invalid
            If the file is missing or damaged.
        """
        stored = load_arrays(path, "The pool's shape")
        if missing := {"mean", "directions", "variances"} - set(stored):
            raise Invalid(f"The pool's shape at {path} lacks its {min(missing)}; delete its folder.")
        return cls(stored["mean"], stored["directions"], stored["variances"])


@dataclass(frozen=True)
class View:
    """How a head sees the features of a matrix on disk: through the prior called ``name``, with a power."""

    name: str
    prior: PoolPrior
    power: float

    def of(self, matrix: FeatureMatrix) -> NDArray[np.float32]:
        """Every row, (rows, k), mapped from disk; made, or made longer, where rows are missing.

        Two processes may do so at once: they write the same bytes to the same places.
        """
        folder = matrix.folder / self.name / f"power-{self.power:g}"
        features = matrix.array()
        if (folder / COUNT_FILE).exists():
            seen = FeatureMatrix.open(folder)
        else:
            width = self.prior.see(features[:0], self.power).shape[1]
            version = f"{matrix.version}/{self.name}/power-{self.power:g}"
            seen = FeatureMatrix.create(folder, width=width, encoder=matrix.layout.encoder, version=version)
        step = 16 * max(1, BLOCK // matrix.width)
        while seen.rows < matrix.rows:
            seen.append(self.prior.see(features[seen.rows : min(seen.rows + step, matrix.rows)], self.power))
        return seen.array()[: matrix.rows]


def open_view(matrix: FeatureMatrix, name: str, power: float) -> View:
    """The view that a head was fitted with."""
    return View(name, PoolPrior.load(matrix.folder / name / "prior.npz"), power)


def current_prior(matrix: FeatureMatrix) -> tuple[str, PoolPrior]:
    """The name and shape of the pool as it was measured last; measured (again) where it has grown much since."""
    folders = ((re.fullmatch(r"prior-(\d+)", path.name), path) for path in matrix.folder.glob("prior-*"))
    known = {int(match[1]): path for match, path in folders if match}
    rows = max((r for r, path in known.items() if r <= matrix.rows and (path / "prior.npz").exists()), default=0)
    if rows * GROWTH > matrix.rows:
        return f"prior-{rows}", PoolPrior.load(matrix.folder / f"prior-{rows}" / "prior.npz")
    name, prior = f"prior-{matrix.rows}", PoolPrior.measured(matrix.array())
    prior.save(matrix.folder / name / "prior.npz")
    for path in known.values():  # heads still name the older shapes; the features seen through them can be made again
        for seen in path.glob("power-*"):
            shutil.rmtree(seen, ignore_errors=True)
    return name, prior


def _blocks(n: int, d: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(d, 1))
    return (slice(start, start + step) for start in range(0, n, step))
