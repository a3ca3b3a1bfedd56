"""Dawid and Skene's idea where items differ in difficulty: two people may err alike because an item misleads both.

Each item has a true class and a degree of difficulty, each person a share of attentive answers. An attentive answer is
wrong as often as the item's difficulty says, and then confuses classes as everybody does; any other answer follows the
person's own habit, whatever the item shows. In the model of 1979 people err independently of each other, so that two
equal answers seem surer than they are; here hard items explain why people err together, careless ones are those with
little attention, and whoever mixes up two classes has a habit of it.

References
----------
Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm", Applied Statistics
28(1), 1979. Whitehill, Wu, Bergsma, Movellan and Ruvolo, "Whose vote should count more", NIPS 2009 (difficulty of
items). Hovy, Berg-Kirkpatrick, Vaswani and Hovy, "Learning whom to trust with MACE", NAACL 2013 (attention).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from labeling.annotation.dawid_skene import UNKNOWN, logarithms, proportions
from labeling.annotation.opinions import Opinions

# All chosen on simulated people of seeds from 1000 on: see `tests/benchmarks/bench_people.py`.
ERRORS = np.array([0.005, 0.1, 0.35])  # how often attentive people err on easy, middling and hard items: below a half
SHARES = np.array([0.7, 0.2, 0.1])  # of items that easy ones and so on are, before anything is known
SHARES_COUNT = 200.0  # for as many items of each class
ATTENTIVE, DISTRACTED = 18.0, 2.0  # answers that a person is credited with beforehand
HABIT_COUNT = 20.0  # answers to each class, evenly spread, before a person's habit shows
CONFUSED_COUNT = 30.0  # wrong answers to each class, evenly spread, before everybody's confusions show

FITTED = 8_000  # items, drawn from more, on which the estimation begins
LAST = 10  # rounds at most that it then takes on all of them


@dataclass(frozen=True)
class Difficulty:
    """What expectation-maximisation arrived at.

    Attributes
    ----------
    states : (n_items, 3, n_classes) float
        How probable each degree of difficulty together with each true class is.
    shares : (n_classes, 3) float
        Of the items of a class, how many are easy, middling and hard.
    attention : (n_people,) float
        Each person's share of attentive answers.
    answering : (3, n_classes, n_classes) float
        `answering[h, t, c]`: how probably an attentive person chooses c for an item of difficulty h and class t.
    habits : (n_people, n_classes, n_classes) float
        `habits[j, t, c]`: the same of person j's other answers, at any difficulty.
    class_prior : (n_classes,) float
        How frequent the true classes are.
    iterations : int
        Rounds of estimation that were needed.
    """

    states: NDArray[np.float64]
    shares: NDArray[np.float64]
    attention: NDArray[np.float64]
    answering: NDArray[np.float64]
    habits: NDArray[np.float64]
    class_prior: NDArray[np.float64]
    iterations: int

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of each item's true class, (n_items, n_classes)."""
        return np.asarray(self.states.sum(axis=1))

    @property
    def confusions(self) -> NDArray[np.float64]:
        """`confusions[j, t, c]`: how probably person j chooses class c for any item of class t."""
        shared = np.einsum("th,htc->tc", self.shares, self.answering)
        attention = self.attention[:, None, None]
        return np.asarray(attention * shared + (1 - attention) * self.habits)


def difficulty(
    opinions: Opinions,
    *,
    known: NDArray[np.int64] | None = None,
    iterations: int = 200,
    tolerance: float = 1e-4,
    seed: int = 0,
) -> Difficulty:
    """Estimate true classes, difficulty and attention from answers.

    Of many items a part is estimated first; a few rounds with all of them then begin where that ended.

    Parameters
    ----------
    known : (n_items,) int, optional
        The class of items that are settled, -1 of all others.
    iterations : int
        Rounds at most.
    tolerance : float
        Stop when the items' probabilities change by no more, as a mean over all items of the sum over the states.
    seed : int
        Of the draw of that part, where there are more than `FITTED` items.

    Raises
    ------
    ValueError
        Where there are fewer than two classes.
    """
    n, m, k = opinions.n_items, opinions.n_people, opinions.n_classes
    if k < 2:
        raise ValueError("There are fewer than two classes to tell apart.")
    said = csr_array(
        (np.ones(len(opinions)), (opinions.items, opinions.people * k + opinions.classes)), shape=(n, m * k)
    )
    evidence = np.zeros((n, k))
    if known is not None:
        settled = known != UNKNOWN
        evidence[settled] = logarithms(np.eye(k)[known[settled]])
    rates, before = _Rates.beforehand(m, k), 0
    answered = np.unique(opinions.items)
    if len(answered) > FITTED:
        part = np.sort(np.random.default_rng(seed).choice(answered, FITTED, replace=False))
        rates, _, before = _estimate(said[part], evidence[part], rates, iterations, tolerance)
        iterations = LAST
    rates, states, rounds = _estimate(said, evidence, rates, iterations, tolerance)
    return Difficulty(
        states, rates.shares, rates.attention, rates.answering, rates.habits, rates.class_prior, before + rounds
    )


@dataclass(frozen=True)
class _Rates:
    """What is estimated from all items together."""

    attention: NDArray[np.float64]  # (m,)
    habits: NDArray[np.float64]  # (m, k, k)
    confused: NDArray[np.float64]  # (k, k) where the wrong answers of attentive people go
    shares: NDArray[np.float64]  # (k, 3)
    class_prior: NDArray[np.float64]  # (k,)

    @classmethod
    def beforehand(cls, m: int, k: int) -> "_Rates":
        attention = np.full(m, ATTENTIVE / (ATTENTIVE + DISTRACTED))
        confused = (1 - np.eye(k)) / (k - 1)
        return cls(attention, np.full((m, k, k), 1 / k), confused, np.tile(SHARES, (k, 1)), np.full(k, 1 / k))

    @property
    def answering(self) -> NDArray[np.float64]:
        """(3, k, k) what attentive people choose."""
        wrong = ERRORS[:, None, None]
        return np.asarray((1 - wrong) * np.eye(len(self.confused)) + wrong * self.confused)


def _estimate(
    said: csr_array, evidence: NDArray[np.float64], rates: _Rates, iterations: int, tolerance: float
) -> tuple[_Rates, NDArray[np.float64], int]:
    """The rates that fit these answers (n, m k) best, from given ones on; what they say of each item; the rounds taken.

    `evidence` (n, k) are logarithms of what is known of the items besides.
    """
    (n, k), levels = evidence.shape, len(ERRORS)
    m = len(rates.attention)
    heard = said.T.tocsr()
    answers = heard.sum(axis=1).reshape(m, k).sum(axis=1)
    evidence = np.tile(evidence, levels)
    wrong = 1 - np.eye(k)
    states = np.zeros((n, levels * k))
    rounds = 0
    while True:
        rounds += 1
        attentive = rates.attention[:, None, None, None] * rates.answering  # person, difficulty, truth, answer
        chances = attentive + ((1 - rates.attention)[:, None, None] * rates.habits)[:, None]
        by_answer = np.log(chances).reshape(m, levels * k, k).transpose(0, 2, 1).reshape(m * k, levels * k)
        joint = said @ by_answer + evidence + np.log(rates.class_prior[:, None] * rates.shares).T.ravel()
        joint -= joint.max(axis=1, keepdims=True)
        now = proportions(np.exp(joint))
        change = np.abs(now - states).sum() / max(1, n)
        states = now
        if change <= tolerance or rounds >= iterations:
            return rates, states.reshape(n, levels, k), rounds
        chosen = (heard @ states).reshape(m, k, levels, k).transpose(0, 2, 3, 1)  # as `attentive`
        attended = chosen * attentive / chances
        of_class = states.sum(axis=0).reshape(levels, k).T
        common = proportions(of_class.sum(axis=0) + SHARES_COUNT * SHARES)
        rates = _Rates(
            (attended.sum(axis=(1, 2, 3)) + ATTENTIVE) / (answers + ATTENTIVE + DISTRACTED),
            proportions((chosen - attended).sum(axis=1) + HABIT_COUNT / k),
            proportions(wrong * (attended.sum(axis=(0, 1)) + CONFUSED_COUNT / k)),
            proportions(of_class + SHARES_COUNT * common),
            proportions(of_class.sum(axis=1) + 1),
        )
