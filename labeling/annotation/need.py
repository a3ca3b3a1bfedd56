"""Another opinion, where it is needed: which items have answers enough, which need one more, which an expert.

The idea is ActiveLab's (Goh and Mueller, 2023): one more answer is asked for where it is likely to change a label for
the better, and not elsewhere. Its worth is computed from what the people of this project have shown so far.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from labeling.annotation.opinions import Opinions
from labeling.annotation.weighing import Method, Weighed

BELOW = 0.15  # whose reliability is lower than the middle one of all by more is unreliable
LEAST = 0.002  # labels: an answer that is worth less than this is not asked for; the item is an expert's
CELLS = 4_000_000  # numbers that are in memory at once


class Step(StrEnum):
    """What an item needs next."""

    ENOUGH = "enough"
    OPINION = "opinion"
    EXPERT = "expert"


class Why(StrEnum):
    """Why it needs that; the caller's page says it in words."""

    NEW = "new"  # nobody answered
    SURE = "sure"  # the label is as certain as wanted
    SETTLED = "settled"  # by an expert
    DISAGREE = "disagree"  # people chose different classes
    UNRELIABLE = "unreliable"  # only people answered who are often wrong
    MODEL = "model"  # the model predicts another class than people chose
    FEW = "few"  # those who answered agree, but are too few for this class to be certain


@dataclass(frozen=True)
class Need:
    """What each item needs.

    Attributes
    ----------
    steps : (n_items,) str
        A `Step`.
    reasons : (n_items,) str
        A `Why`.
    worth : (n_items,) float
        Labels that one more answer is expected to put right: the drop in the probability that the item's label is
        wrong, by the answer of a person of middle reliability, or half of that by two where a single one cannot change
        the label. 0 where an expert settled the item.
    """

    steps: NDArray[np.str_]
    reasons: NDArray[np.str_]
    worth: NDArray[np.float64]


def need(
    weighed: Weighed,
    opinions: Opinions,
    *,
    certainty: float = 0.95,
    most: int = 3,
    predictions: NDArray[np.float64] | None = None,
) -> Need:
    """Decide for each item whether to ask on.

    Parameters
    ----------
    weighed : Weighed
        What `labeling.annotation.weighing.weigh` made of the same `opinions`.
    certainty : float
        Between 0 and 1: a label with this confidence has answers enough.
    most : int
        Answers to one item at most; an item that is still not certain then is an expert's.
    predictions : (n_items, n_classes) float, optional
        The model's, to say whether it objects; rows of NaN where there are none.
    """
    answers = np.bincount(opinions.items, minlength=opinions.n_items)
    settled = weighed.method == Method.KNOWN.value
    sure = weighed.confidence >= certainty
    worth = np.where(settled, 0.0, _worth(weighed))
    asked_enough = (answers >= most) | (worth < LEAST) & (answers >= 2)
    steps = np.select(
        [settled | sure & (answers > 0), (answers > 0) & asked_enough],
        [Step.ENOUGH.value, Step.EXPERT.value],
        Step.OPINION.value,
    )

    votes = opinions.votes()
    good = reliable(weighed.reliability)
    heard = np.bincount(opinions.items[good[opinions.people]], minlength=opinions.n_items) > 0
    objects = np.zeros(opinions.n_items, dtype=bool)
    if predictions is not None:
        given = np.asarray(np.isfinite(predictions).all(axis=1))
        objects = given & (np.where(given[:, None], predictions, 0.0).argmax(axis=1) != votes.argmax(axis=1))
    reasons = np.select(
        [settled, answers == 0, sure, (votes > 0).sum(axis=1) > 1, ~heard, objects],
        [why.value for why in (Why.SETTLED, Why.NEW, Why.SURE, Why.DISAGREE, Why.UNRELIABLE, Why.MODEL)],
        Why.FEW.value,
    )
    return Need(steps, reasons, worth)


def reliable(reliability: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whose opinion on others' answers is worth asking for: who is not clearly more often wrong than most, (n_people,).

    In percentage points below the middle person, so that a hard task makes nobody unreliable.
    """
    return np.asarray(reliability >= np.median(reliability) - BELOW if len(reliability) else np.zeros(0, dtype=bool))


def _worth(weighed: Weighed) -> NDArray[np.float64]:
    """The larger of what one answer is worth, and half of what two are that agree with each other, (n_items,)."""
    n, _, k = weighed.states.shape
    worth = np.zeros(n)
    once, twice = weighed.answering, weighed.answering**2  # difficulty, truth, answer
    size = max(1, CELLS // max(1, k * k))
    for start in range(0, n, size):
        part = slice(start, start + size)
        states = weighed.states[part]
        now = states.sum(axis=1)
        best = now.argmax(axis=1)
        rows = np.arange(len(now))
        for chances, count in ((once, 1), (twice, 2)):
            after = np.einsum("nht,htc->ntc", states, chances, optimize=True)
            gain = after.max(axis=1) - after[rows, best]  # of every answer: what the label it makes is likelier by
            np.maximum(worth[part], gain.sum(axis=1) / count, out=worth[part])
    return worth
