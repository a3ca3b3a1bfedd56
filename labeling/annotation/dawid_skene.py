"""What items are and how people confuse classes, estimated together by expectation-maximisation.

References
----------
Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm", Journal of the Royal
Statistical Society, Series C (Applied Statistics) 28(1), 1979, pp. 20-28.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from labeling.annotation.opinions import Opinions

UNKNOWN = -1


@dataclass(frozen=True)
class DawidSkene:
    """What expectation-maximisation arrived at.

    Attributes
    ----------
    probabilities : (n_items, n_classes) float
        Of each item's true class.
    confusions : (n_people, n_classes, n_classes) float
        `confusions[j, t, c]`: how probably person j chooses class c where class t is true. Rows sum to 1.
    class_prior : (n_classes,) float
        How frequent the true classes are.
    iterations : int
        Rounds of estimation that were needed.
    """

    probabilities: NDArray[np.float64]
    confusions: NDArray[np.float64]
    class_prior: NDArray[np.float64]
    iterations: int


def dawid_skene(
    opinions: Opinions,
    *,
    prior: float = 0.0,
    known: NDArray[np.int64] | None = None,
    likelihood: NDArray[np.float64] | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-5,
) -> DawidSkene:
    """Estimate true classes and confusions from answers.

    Parameters
    ----------
    prior : float
        How many answers to items of one class the confusion of everybody together counts for, in each person's row
        (a Dirichlet prior). 0 is the method of the paper; more is safer where people answered little.
    known : (n_items,) int, optional
        The class of items that are settled, -1 of all others.
    likelihood : (n_items, n_classes) float, optional
        Further evidence, independent of the people: how probable what else is known of the item is under each class,
        up to a factor of each row. A model's probabilities divided by its classes' frequencies are one.
    iterations : int
        Rounds at most.
    tolerance : float
        Stop when the items' probabilities change by no more, as a mean over all items of the sum over the classes.

    Raises
    ------
    ValueError
        Where there is no class at all.
    """
    n, m, k = opinions.n_items, opinions.n_people, opinions.n_classes
    if not k:
        raise ValueError("There are no classes to tell apart.")
    columns = opinions.people * k + opinions.classes
    said = csr_array((np.ones(len(opinions)), (opinions.items, columns)), shape=(n, m * k))
    heard = said.T.tocsr()
    votes = opinions.votes()
    evidence = np.zeros((n, k)) if likelihood is None else logarithms(likelihood)
    begun = votes.astype(np.float64) if likelihood is None else votes + proportions(likelihood)
    truth = proportions(begun)
    settled = np.zeros(n, dtype=bool) if known is None else known != UNKNOWN
    fixed = np.eye(k)[known[settled]] if known is not None else np.empty((0, k))
    truth[settled] = fixed
    weighs = settled | votes.any(axis=1) if likelihood is None else np.ones(n, dtype=bool)
    rounds = 0
    while True:
        rounds += 1
        chosen = (heard @ truth).reshape(m, k, k).transpose(0, 2, 1)  # person, truth, answer
        confusions = proportions(chosen + prior * proportions(chosen.sum(axis=0))) if prior else proportions(chosen)
        class_prior = proportions(truth[weighs].sum(axis=0))
        joint = said @ logarithms(confusions.transpose(0, 2, 1).reshape(m * k, k)) + evidence + logarithms(class_prior)
        joint -= joint.max(axis=1, keepdims=True)
        now = proportions(np.exp(joint))
        now[settled] = fixed
        change = np.abs(now - truth).sum() / max(1, n)
        truth = now
        if change <= tolerance or rounds >= iterations:
            return DawidSkene(truth, confusions, class_prior, rounds)


def proportions(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows that sum to 1; equal shares where a row has nothing."""
    totals = counts.sum(axis=-1, keepdims=True)
    return np.where(totals > 0, counts / np.where(totals > 0, totals, 1), 1 / counts.shape[-1])


def logarithms(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithms; minus infinity of 0."""
    with np.errstate(divide="ignore"):
        return np.log(values)
