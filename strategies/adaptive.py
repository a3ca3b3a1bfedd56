"""The default: spread out first, then ask what the model cannot tell apart, where there is much of it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strategies.base import Model, Pool, Strategy, reasons, variety
from strategies.coverage import Coverage, UncertaintyHerding

FEWEST, MOST = 10, 200  # labels of the start, whatever the number of classes


class Adaptive:
    """Coverage until there are as many labels as classes, at least ten and at most 200; then uncertainty herding.

    What is asked first is spread out over the pool, as a model that has seen a handful of labels is unsure of the wrong
    things. From then on the pool counts by how unsure the model is of it, and what is asked is what most of the doubt
    resembles. A class that has not been seen needs no rule of its own: what is unlike all that was asked stays
    uncovered, and going on with coverage until every class was seen lost more than it brought. A model that is informed
    beyond its labels, by the words for its classes, is unsure of the right things from the first: no start is needed.

    References
    ----------
    Those of `strategies.coverage`. Hacohen, Dekel and Weinshall, "Active learning on a budget: opposite strategies suit
    high and low budgets", ICML 2022 (typical items first, uncertain ones later).
    """

    name = "adaptive"
    needs = frozenset({"model", "features"})

    def __init__(self) -> None:
        self._ways: dict[str, Strategy] = {way.name: way for way in (Coverage(), UncertaintyHerding())}

    def phase(self, pool: Pool, model: Model | None) -> str:
        """The name of the strategy that it follows now: ``"coverage"`` or ``"uncertainty_herding"``."""
        if model is None:
            return "coverage"
        start = 0 if getattr(model, "informed", False) else min(max(pool.n_classes, FEWEST), MOST)
        return "coverage" if len(pool.labeled) < start else "uncertainty_herding"

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
