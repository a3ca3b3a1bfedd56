"""The default: spread out first, then ask what the model cannot tell apart."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strategies.base import Model, Pool, Strategy, reasons, variety
from strategies.coverage import Coverage
from strategies.uncertainty import Margin

LABELS_PER_CLASS = 8
FEWEST, MOST = 30, 200  # labels of the start, whatever the number of classes


class Adaptive:
    """Coverage until there are eight labels per class, longer while a class has none; then margin, in varied batches.

    The start, at least 30 labels and at most 200, is worth more than what follows: a model that has seen a handful of
    labels is unsure of the wrong things. Twice as many are spent on it, at most, while a class of the project has not
    been seen.
    """

    name = "adaptive"
    needs = frozenset({"model", "features"})

    def __init__(self) -> None:
        self._ways: dict[str, Strategy] = {way.name: way for way in (Coverage(), Margin())}

    def phase(self, pool: Pool, model: Model | None) -> str:
        """The name of the strategy that it follows now: ``"coverage"`` or ``"margin"``."""
        enough = min(max(LABELS_PER_CLASS * pool.n_classes, FEWEST), MOST)
        unseen = len(np.unique(pool.targets)) < pool.n_classes
        return "coverage" if model is None or len(pool.labeled) < (2 * enough if unseen else enough) else "margin"

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """Utilities (m,) under the strategy of the present phase."""
        return self._way(pool, model).utilities(pool, model, rng)

    def variety(self, pool: Pool, model: Model | None) -> int:
        """As much as the strategy of the present phase wants."""
        return variety(self._way(pool, model), pool, model)

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """The reason that the strategy of the present phase gives."""
        return reasons(self._way(pool, model), pool, model, rows, class_names)

    def _way(self, pool: Pool, model: Model | None) -> Strategy:
        return self._ways[self.phase(pool, model)]
