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
) -> Difficulty:
    """Estimate true classes, difficulty and attention from answers.

    Parameters
    ----------
    known : (n_items,) int, optional
        The class of items that are settled, -1 of all others.
    iterations : int
        Rounds at most.
    tolerance : float
        Stop when the items' probabilities change by no more, as a mean over all items of the sum over the states.

    Raises
    ------
    ValueError
        Where there are fewer than two classes.
    """
    n, m, k, levels = opinions.n_items, opinions.n_people, opinions.n_classes, len(ERRORS)
    if k < 2:
        raise ValueError("There are fewer than two classes to tell apart.")
    columns = opinions.people * k + opinions.classes
    said = csr_array((np.ones(len(opinions)), (opinions.items, columns)), shape=(n, m * k))
    heard = said.T.tocsr()
    answers = np.bincount(opinions.people, minlength=m)
    evidence = np.zeros((n, k))
    if known is not None:
        settled = known != UNKNOWN
        evidence[settled] = logarithms(np.eye(k)[known[settled]])
    evidence = np.tile(evidence, levels)

    wrong = 1 - np.eye(k)
    confused = wrong / (k - 1)
    attention = np.full(m, ATTENTIVE / (ATTENTIVE + DISTRACTED))
    habits = np.full((m, k, k), 1 / k)
    shares = np.tile(SHARES, (k, 1))
    class_prior = np.full(k, 1 / k)
    states = np.zeros((n, levels * k))
    rounds = 0
    while True:
        rounds += 1
        answering = (1 - ERRORS)[:, None, None] * np.eye(k) + ERRORS[:, None, None] * confused
        attentive = attention[:, None, None, None] * answering  # person, difficulty, truth, answer
        chances = attentive + ((1 - attention)[:, None, None] * habits)[:, None]
        by_answer = np.log(chances).reshape(m, levels * k, k).transpose(0, 2, 1).reshape(m * k, levels * k)
        joint = said @ by_answer + evidence + np.log(class_prior[:, None] * shares).T.ravel()
        joint -= joint.max(axis=1, keepdims=True)
        now = proportions(np.exp(joint))
        change = np.abs(now - states).sum() / max(1, n)
        states = now
        if change <= tolerance or rounds >= iterations:
            shaped = states.reshape(n, levels, k)
            return Difficulty(shaped, shares, attention, answering, habits, class_prior, rounds)
        chosen = (heard @ states).reshape(m, k, levels, k).transpose(0, 2, 3, 1)  # as `attentive`
        attended = chosen * attentive / chances
        attention = (attended.sum(axis=(1, 2, 3)) + ATTENTIVE) / (answers + ATTENTIVE + DISTRACTED)
        habits = proportions((chosen - attended).sum(axis=1) + HABIT_COUNT / k)
        confused = proportions(wrong * (attended.sum(axis=(0, 1)) + CONFUSED_COUNT / k))
        of_class = states.sum(axis=0).reshape(levels, k).T
        common = proportions(of_class.sum(axis=0) + SHARES_COUNT * SHARES)
        shares = proportions(of_class + SHARES_COUNT * common)
        class_prior = proportions(of_class.sum(axis=1) + 1)
