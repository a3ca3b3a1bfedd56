"""Random: the control in every comparison."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strategies.base import Model, Pool, random_utilities


class Random:
    """Every candidate is as likely as any other."""

    name = "random"
    needs: frozenset[str] = frozenset()

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """Uniform numbers, (m,)."""
        return random_utilities(pool, rng)

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """Say that chance chose."""
        return ["drawn at random"] * len(rows)
