"""Ask where the model is unsure: least confident, margin, entropy.

Each measure turns probabilities (n, k) into (n,) numbers from 0, where the model is sure, to 1 at most.
A model that knows fewer than two classes cannot be unsure: 0 throughout, and the selection's tie-break decides.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from strategies.base import Model, Pool, predictor, random_utilities, score_in_blocks

VARIETY = 10  # times the batch that varied batches choose from: 5 and 30 are level with it, 100 is worse

Probabilities = NDArray[np.floating[Any]]  # (n, k)
Scores = NDArray[np.float64]  # (n,)


def least_confidence(probabilities: Probabilities) -> Scores:
    """How far the likeliest class is from certain: (1 - max p) k / (k - 1)."""
    n, k = probabilities.shape
    return (1 - probabilities.max(axis=1)) * (k / (k - 1)) if k > 1 else np.zeros(n)


def closeness(probabilities: Probabilities) -> Scores:
    """How close the second class comes to the first: one minus the margin between them."""
    n, k = probabilities.shape
    if k < 2:
        return np.zeros(n)
    # Class by class, since rows are many and classes few.
    first, second = np.maximum(probabilities[:, 0], probabilities[:, 1]), np.minimum(*probabilities.T[:2])
    for column in probabilities.T[2:]:
        second = np.maximum(second, np.minimum(first, column))
        first = np.maximum(first, column)
    return 1 - (first - second)


def normalised_entropy(probabilities: Probabilities) -> Scores:
    """Shannon's entropy over its greatest value, log k."""
    n, k = probabilities.shape
    return entr(probabilities).sum(axis=1) / np.log(k) if k > 1 else np.zeros(n)


class _Uncertainty(ABC):
    """What the three have in common: ask the model, measure, and name the classes it hesitates between."""

    name: str
    needs = frozenset({"model", "features"})

    @staticmethod
    @abstractmethod
    def measure(probabilities: Probabilities) -> Scores:
        """Uncertainty (n,) of probabilities (n, k)."""

    @staticmethod
    @abstractmethod
    def words(probabilities: NDArray[np.floating[Any]], names: Sequence[str]) -> str:
        """One pick's reason, from its probabilities and class names, the likeliest first; at least two of each."""

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """Uncertainty of each candidate, (m,); random numbers while there is no model."""
        if model is None:
            return random_utilities(pool, rng)
        predict = predictor(model)
        return score_in_blocks(lambda x: self.measure(predict(x)), pool, pool.candidates, len(model.classes))

    def variety(self, pool: Pool, model: Model | None) -> int:
        """Much: what the model is most unsure of is often the same thing many times over."""
        return VARIETY

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """Name the classes between which the model hesitates."""
        if model is None:
            return ["drawn at random, as there is no model yet"] * len(rows)
        if len(model.classes) < 2:
            return ["the model knows one class so far"] * len(rows)
        if len(rows) == 0:
            return []
        probabilities = np.asarray(model.predict_proba(pool.features[rows]))
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :3]
        known = [class_names[c] for c in model.classes]
        return [self.words(p[best], [known[b] for b in best]) for p, best in zip(probabilities, order, strict=True)]


class LeastConfident(_Uncertainty):
    """Ask where the likeliest class is least likely.

    References
    ----------
    Lewis and Gale, "A sequential algorithm for training text classifiers", SIGIR 1994.
    """

    name = "least_confident"
    measure = staticmethod(least_confidence)

    @staticmethod
    def words(probabilities: NDArray[np.floating[Any]], names: Sequence[str]) -> str:
        """As in "36% sure it is 3"."""
        return f"{probabilities[0]:.0%} sure it is {names[0]}"


class Margin(_Uncertainty):
    """Ask where the second class comes closest to the first.

    References
    ----------
    Scheffer, Decomain and Wrobel, "Active hidden Markov models for information extraction", IDA 2001.
    """

    name = "margin"
    measure = staticmethod(closeness)

    @staticmethod
    def words(probabilities: NDArray[np.floating[Any]], names: Sequence[str]) -> str:
        """As in "torn between 3 and 8"; honest about a pool in which nothing is close any more."""
        torn = 2 * probabilities[1] >= probabilities[0]
        return f"torn between {names[0]} and {names[1]}" if torn else f"rather {names[0]}, but maybe {names[1]}"


class Entropy(_Uncertainty):
    """Ask where the probabilities are spread over the most classes.

    References
    ----------
    Settles and Craven, "An analysis of active learning strategies for sequence labeling tasks", EMNLP 2008.
    """

    name = "entropy"
    measure = staticmethod(normalised_entropy)

    @staticmethod
    def words(probabilities: NDArray[np.floating[Any]], names: Sequence[str]) -> str:
        """As in "could be 3, 8 or 5"."""
        return f"could be {', '.join(names[:-1])} or {names[-1]}"
