"""Ask where the model is unsure about what much of the pool is like."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strategies.base import Model, Pool, StrategyError, score_in_blocks
from strategies.similarity import SAMPLE, Similarity, sample
from strategies.uncertainty import VARIETY, Margin, closeness


class InformationDensity:
    """Weigh uncertainty by how typical an item is, so that outliers are not asked for being odd.

    The utility is the closeness of the two likeliest classes times ``density ** beta``; an item's density is its mean
    similarity to the pool, under the kernel of `Similarity`, which asks neither for centred features nor for a scale.
    While there is no model all items are equally unsure.

    A random sample stands for the pool, and the ``SAMPLE`` most uncertain candidates are weighed; the rest follow in
    order of their uncertainty, with utilities below 0. So only the predictions grow with the pool.

    Parameters
    ----------
    beta : float
        How much density counts, 0 or more; 0: not at all.

    References
    ----------
    Settles and Craven, "An analysis of active learning strategies for sequence labeling tasks", EMNLP 2008.
    """

    name = "density"
    needs = frozenset({"model", "features"})

    def __init__(self, beta: float = 1.0) -> None:
        if not 0 <= beta < np.inf:
            raise StrategyError("The weight of density, beta, is a number from 0 on.")
        self.beta = beta

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """Uncertainty times density of each candidate, (m,); below 0 for those that were not weighed."""
        lots = rng.random(len(pool.features))
        unsure = np.ones(len(pool.candidates))
        if model is not None:
            unsure = score_in_blocks(
                lambda x: closeness(model.predict_proba(x)), pool, pool.candidates, len(model.classes)
            )
        utilities = unsure - 2
        if len(pool.candidates) == 0:
            return utilities
        weighed = np.lexsort((lots[pool.candidates], -unsure))[:SAMPLE]
        similarity = Similarity(pool, np.sort(sample(np.arange(len(lots)), lots)))
        density = similarity(pool.candidates[weighed]).mean(axis=1, dtype=np.float64)
        utilities[weighed] = unsure[weighed] * density**self.beta
        return utilities

    def variety(self, pool: Pool, model: Model | None) -> int:
        """Much: a dense place is asked about once, not ten times."""
        return VARIETY

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """Name the classes between which the model hesitates."""
        if model is None:
            return ["typical of the pool, as there is no model yet"] * len(rows)
        return Margin().why(pool, model, rows, class_names)
