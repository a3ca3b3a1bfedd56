"""Ask where the answer, whatever it turns out to be, would change the model most."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strategies.base import Model, Pool, random_utilities, score_in_blocks
from strategies.uncertainty import VARIETY, Margin


def expected_gradient_length(features: NDArray[Any], probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Length (n,) of the gradient that an answer adds to the log loss of a linear softmax head, expected over answers.

    For a row x with probabilities p and the answer y the gradient is ``(p - e_y) [x, 1]'``, a matrix of rank one: its
    length is the product of the lengths of ``p - e_y`` and ``[x, 1]``.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    errors = np.square(p).sum(axis=1, keepdims=True) - 2 * p + 1  # ||p - e_y||^2 (n, k)
    lengths = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64) + 1)
    return (p * np.sqrt(np.maximum(errors, 0))).sum(axis=1) * lengths


class ExpectedChange:
    """Ask for the longest expected gradient: the answer that would move a linear head furthest in one step.

    Exact for a softmax head on the pool's features, and as defined for any other model that gives probabilities. Long
    rows move a head further than short ones; with features of unit length it is a measure of uncertainty.

    References
    ----------
    Settles, Craven and Ray, "Multiple-instance active learning", NIPS 2007.
    Settles and Craven, "An analysis of active learning strategies for sequence labeling tasks", EMNLP 2008.
    """

    name = "expected_change"
    needs = frozenset({"model", "features"})

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """Expected gradient length of each candidate, (m,); random numbers while there is no model."""
        if model is None:
            return random_utilities(pool, rng)
        return score_in_blocks(
            lambda x: expected_gradient_length(x, model.predict_proba(x)), pool, pool.candidates, len(model.classes)
        )

    def variety(self, pool: Pool, model: Model | None) -> int:
        """Much: what would move the model most is often the same thing many times over."""
        return VARIETY

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """Name the classes between which the answer would decide."""
        return Margin().why(pool, model, rows, class_names)
