"""Before there is a model to be uncertain: typical items, spread out over the pool."""

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strategies.base import Model, Pool, predictor, score_in_blocks
from strategies.similarity import SAMPLE, Similarity, sample
from strategies.uncertainty import Margin, closeness

ORDERED = 512  # candidates that are put in order one by one


class Coverage:
    """Greedily ask for what resembles most of the pool that nothing labeled, held or asked before it resembles.

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
        kernel = Similarity(pool, np.sort(sample(np.arange(len(lots)), lots)))
        compared = sample(np.arange(len(pool.candidates)), lots[pool.candidates])
        utilities[compared] = _greedy_gains(kernel(pool.candidates[compared]), _covered(pool, kernel, lots))
        return utilities

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """Say whether anything labeled lies in the item's neighbourhood."""
        if len(pool.labeled) == 0:
            return ["part of a start spread out over the pool"] * len(rows)
        if len(rows) == 0:
            return []
        # Without a seed: rows at even steps stand for the pool, and the newest labels for them all.
        kernel = Similarity(pool, np.unique(np.linspace(0, len(pool.features) - 1, SAMPLE // 4).astype(np.intp)))
        near = kernel.between(rows, pool.labeled[-SAMPLE:]).max(axis=1) > np.exp(-1)
        return ["between items labeled so far" if n else "unlike anything labeled so far" for n in near]


class UncertaintyHerding(Coverage):
    """Coverage of what the model is unsure of: each item of the pool counts by how close its two likeliest classes are.

    A candidate is worth the doubt that lies around it and around nothing labeled, held or asked before it, so that a
    batch is uncertain, typical and spread out at once. The ``SAMPLE`` most uncertain candidates are compared; the
    rest follow in order of their uncertainty, with utilities below 0. While there is no model it is plain coverage.

    References
    ----------
    Bae, Oliveira and Sutherland, "Uncertainty herding: one active learning method for all label budgets", ICLR 2025.
    """

    name = "uncertainty_herding"
    needs = frozenset({"model", "features"})

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """Doubt that each candidate covers when its turn comes, (m,); below 0 for those that were not compared."""
        if model is None or len(pool.candidates) == 0:
            return super().utilities(pool, model, rng)

        predict = predictor(model)

        def unsure(features: NDArray[Any]) -> NDArray[np.float64]:
            return closeness(predict(features))

        lots = rng.random(len(pool.features))
        utilities = score_in_blocks(unsure, pool, pool.candidates, len(model.classes)) - 2
        compared = np.lexsort((lots[pool.candidates], -utilities))[:SAMPLE]
        reference = np.sort(sample(np.arange(len(lots)), lots))
        doubt = score_in_blocks(unsure, pool, reference, len(model.classes)).astype(np.float32)
        kernel = Similarity(pool, reference)
        utilities[compared] = _greedy_gains(kernel(pool.candidates[compared]), _covered(pool, kernel, lots), doubt)
        return utilities

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """Name the classes between which the model hesitates."""
        return (
            super().why(pool, model, rows, class_names)
            if model is None
            else Margin().why(pool, model, rows, class_names)
        )


def _covered(pool: Pool, kernel: Similarity, lots: NDArray[np.float64]) -> NDArray[np.float32]:
    """How well the labeled and the held items cover each of the kernel's reference rows (r,)."""
    asked = np.union1d(pool.labeled, pool.held)
    return kernel(sample(asked, lots[asked])).max(axis=0, initial=0)


def _greedy_gains(
    kernel: NDArray[np.float32], covered: NDArray[np.float32], weights: NDArray[np.float32] | float = 1.0
) -> NDArray[np.float64]:
    """What each candidate (c,) adds when its turn comes, from its kernel (c, reference) and what is covered already.

    The reference counts with ``weights`` (reference,). After ``ORDERED`` turns the rest keep their bounds: more are not
    asked before the next ranking.

    A gain only ever shrinks as others are taken, so one that was reckoned earlier is an upper bound: a candidate that
    still comes out on top when its gain is reckoned anew is the next (Minoux, 1978, "lazy greedy").
    """
    covered = covered.copy()
    gains = np.zeros(len(kernel))
    bounds = [
        (-float((weights * np.maximum(row - covered, 0)).mean()), position) for position, row in enumerate(kernel)
    ]
    heapq.heapify(bounds)
    last, taken = np.inf, 0
    while bounds and taken < ORDERED:
        position = bounds[0][1]
        gain = float((weights * np.maximum(kernel[position] - covered, 0)).mean())
        if len(bounds) > 1 and (-gain, position) > min(bounds[1:3]):
            heapq.heapreplace(bounds, (-gain, position))
            continue
        heapq.heappop(bounds)
        np.maximum(covered, kernel[position], out=covered)
        gains[position] = last = min(last, gain)  # rounding must not put a later one first
        taken += 1
    for bound, position in bounds:
        gains[position] = min(last, -bound)
    return gains
