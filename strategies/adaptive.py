"""The default: spread out first, then ask what the model cannot tell apart."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strategies.base import Model, Pool, Strategy, reasons
from strategies.coverage import Coverage
from strategies.uncertainty import Margin

LABELS_PER_CLASS = 3
FEWEST, MOST = 50, 200  # labels of the start, whatever the number of classes


class Adaptive:
    """Coverage until there is a model and three labels per class (at least 50 labels, at most 200); then margin.

    The start is worth more than what follows: a model that has seen a handful of labels is unsure of the wrong things.
    """

    name = "adaptive"
    needs = frozenset({"model", "features"})

    def __init__(self) -> None:
        self._ways: dict[str, Strategy] = {way.name: way for way in (Coverage(), Margin())}

    def phase(self, pool: Pool, model: Model | None) -> str:
        """The name of the strategy that it follows now: ``"coverage"`` or ``"margin"``."""
        enough = min(max(LABELS_PER_CLASS * pool.n_classes, FEWEST), MOST)
        return "coverage" if model is None or len(pool.labeled) < enough else "margin"

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """Utilities (m,) under the strategy of the present phase."""
        return self._ways[self.phase(pool, model)].utilities(pool, model, rng)

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """The reason that the strategy of the present phase gives."""
        return reasons(self._ways[self.phase(pool, model)], pool, model, rows, class_names)
