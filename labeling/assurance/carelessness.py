"""Who answers without looking: the evidence of gold items, whose classes are known, against one person.

Everybody errs; what tells a careless person are errors that nobody else makes. So an answer is held against what
other people say of the same item, of other items of its class, and in general, in this order as far as there are such
answers, each answer weighed by how probably it was not random itself. The evidence is the ratio of how probable all
of a person's answers are if a share of them is uniformly random (any share of `SHARES`, all alike), to how probable
they are if none is, where the person may err up to `UNSKILLED` times as often as others, in the same places. Were it
known what honest people say, an honest person's ratio would be a nonnegative supermartingale that starts at one and
would exceed x with a probability of 1 / x at most, however often it is looked at (Ville). So a person is flagged once
the ratio exceeds the number of people over `FALSE_ALARM`. But what honest people say is itself estimated from the
others, anew at every look; that false alarms are as rare as `FALSE_ALARM` is therefore not proven, but measured, in
`tests/benchmarks/bench_careless.py`. The constants below were set there, on other seeds than those it reports.

References
----------
G. Shafer, "Testing by betting", Journal of the Royal Statistical Society A 184 (2021).
L. Wasserman, A. Ramdas, S. Balakrishnan, "Universal inference", PNAS 117 (2020): a null hypothesis of several values.
J. Ville, "Étude critique de la notion de collectif" (1939).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from labeling.annotation.opinions import Opinions

FALSE_ALARM = 0.003  # that any honest person of a project is ever flagged: what is aimed at
RELEVANT = 0.10  # estimated share of random answers that a flagged person has at least
UNSKILLED = 1.5  # times the odds of an error that others have: still honest
SHARES = np.array([0.15, 0.3, 0.5, 0.8])  # of random answers
ODDS = np.geomspace(1.0 / UNSKILLED, UNSKILLED, 5)  # of an error, as multiples of others'
LEVEL = 0.95  # of the interval

SLIPS = 0.01  # of an honest person's answers are random too
ERRING = (0.10, 50.0)  # share of errors before anybody answered, and the number of answers that this counts for
CLASS_COUNTS, ITEM_COUNTS = 10.0, 8.0  # answers for which all classes count in a class, and a class in an item
BEFORE = (0.05, 10.0)  # share of random answers that a person is believed to have given before, and of how many
ROUNDS = 5  # in which random answers and what people say otherwise are told apart

_FINE = np.linspace(0.0, 1.0, 101)  # shares of random answers, of the estimate


@dataclass(frozen=True)
class Carelessness:
    """What gold items say of one person.

    Attributes
    ----------
    person : int
    answered, right : int
        Gold items, and those of them answered as they should be.
    expected_right : float
        How many of them other people would have right.
    share : float
        Estimated share of answers that have nothing to do with the item.
    low, high : float
        The share's 95 % credible interval.
    evidence : float
        log10 of how much more probable the answers are if some are random: 3 is a thousand times.
    needed : float
        The evidence at which a person is flagged.
    flagged : bool
    flagged_after : int or None
        Number of gold items at which the evidence sufficed for the first time.
    """

    person: int
    answered: int
    right: int
    expected_right: float
    share: float
    low: float
    high: float
    evidence: float
    needed: float
    flagged: bool
    flagged_after: int | None


def assess(gold: Opinions, known: NDArray[np.int64], order: NDArray[np.int64] | None = None) -> list[Carelessness]:
    """What gold items say of each person who answered any; may be asked after every answer.

    Parameters
    ----------
    gold : Opinions
        Answers to gold items; answers to items without a known class are left out.
    known : (n_items,) int
        The class of each item; -1 where it is not known.
    order : (a,), optional
        Of each answer, anything that puts a person's answers in the order in which they were given; as they stand in
        `gold` where it is left out.
    """
    order = np.arange(len(gold)) if order is None else np.asarray(order)
    kept = np.flatnonzero(known[gold.items] >= 0)
    kept = kept[np.argsort(order[kept], kind="stable")]
    gold = Opinions(
        gold.items[kept], gold.people[kept], gold.classes[kept], gold.n_items, gold.n_people, gold.n_classes
    )
    truth = known[gold.items]
    relevant = np.ones(len(gold))
    for _ in range(ROUNDS):
        random = _share_of(1 - relevant, gold)
        # Two careless people may say the same by chance: who is suspect is no witness for what honest people say.
        meant, chance_right = _as_others(gold, truth, relevant * np.clip(2 - random / RELEVANT, 0, 1))
        relevant = (1 - random) * meant / ((1 - random) * meant + random / gold.n_classes)
    people = np.unique(gold.people)
    needed = float(np.log10(max(len(people), 1) / FALSE_ALARM))
    return [_of_person(int(person), gold, truth, meant, chance_right, needed) for person in people]


def _share_of(random: NDArray[np.float64], gold: Opinions) -> NDArray[np.float64]:
    """The share of random answers of the person behind each answer, (a,)."""
    of_person = np.bincount(gold.people, random, gold.n_people)
    answered = np.bincount(gold.people, minlength=gold.n_people)
    return ((of_person + BEFORE[0] * BEFORE[1]) / (answered + BEFORE[1]))[gold.people]


def _as_others(
    gold: Opinions, truth: NDArray[np.int64], relevant: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How probable each answer (a,), and the right one (a,), is for somebody who answers as the other people do."""
    k = gold.n_classes
    erring = gold.classes != truth
    mean, counts = ERRING
    errors, answers = (relevant * erring).sum(), relevant.sum()
    own_errors = np.bincount(gold.people, relevant * erring, gold.n_people)[gold.people]
    own_answers = np.bincount(gold.people, relevant, gold.n_people)[gold.people]
    error = (errors - own_errors + mean * counts) / (answers - own_answers + counts)
    in_class = _by_others(relevant, truth, gold.people, truth)
    on_item = _sum_at(relevant, gold.items, gold.items) - relevant

    def probable(classes: NDArray[np.int64], overall: NDArray[np.float64]) -> NDArray[np.float64]:
        alike = _by_others(relevant, truth * k + gold.classes, gold.people, truth * k + classes)
        of_class = (alike + CLASS_COUNTS * overall) / (in_class + CLASS_COUNTS)
        same = _sum_at(relevant, gold.items * k + gold.classes, gold.items * k + classes)
        same = same - relevant * (gold.classes == classes)
        return (same + ITEM_COUNTS * of_class) / (on_item + ITEM_COUNTS)

    right = probable(truth, 1 - error)
    meant = probable(gold.classes, np.where(erring, error / max(k - 1, 1), 1 - error))
    return (1 - SLIPS) * meant + SLIPS / k, (1 - SLIPS) * right + SLIPS / k


def _sum_at(weights: NDArray[np.float64], keys: NDArray[np.int64], asked: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum of the weights of each key that is asked for; 0 where there is none."""
    known, place = np.unique(keys, return_inverse=True)
    sums = np.bincount(place, weights, len(known))
    found = np.minimum(np.searchsorted(known, asked), max(len(known) - 1, 0))
    return np.where(known[found] == asked, sums[found], 0.0) if len(known) else np.zeros(len(asked))


def _by_others(
    weights: NDArray[np.float64], keys: NDArray[np.int64], people: NDArray[np.int64], asked: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Sum of the weights of each key that is asked for, but for the asking person's own."""
    span = int(people.max(initial=0)) + 1
    return _sum_at(weights, keys, asked) - _sum_at(weights, keys * span + people, asked * span + people)


def _of_person(
    person: int,
    gold: Opinions,
    truth: NDArray[np.int64],
    chosen: NDArray[np.float64],
    chance_right: NDArray[np.float64],
    needed: float,
) -> Carelessness:
    """The record of one person, whose answers are in the order in which they were given."""
    mine = np.flatnonzero(gold.people == person)
    right = gold.classes[mine] == truth[mine]
    chance = chance_right[mine]
    # (n, odds): the odds of an error are multiplied, where the errors go is not.
    scale = chance[:, None] + ODDS * (1 - chance)[:, None]
    honest = chosen[mine][:, None] * np.where(right[:, None], 1.0, ODDS) / scale
    likely = np.cumsum(np.log(honest), axis=0)

    def with_random(shares: NDArray[np.float64], otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
        mixed = (1 - shares[:, None]) * otherwise[:, None, :] + shares[:, None] / gold.n_classes
        return np.cumsum(np.log(mixed), axis=0)  # (n, shares, odds)

    careless = logsumexp(with_random(SHARES, chosen[mine][:, None])[:, :, 0], axis=1) - np.log(len(SHARES))
    evidence = (careless - likely.max(axis=1)) / np.log(10)
    enough = np.flatnonzero(evidence >= needed)
    looks = np.append(enough, len(mine) - 1)
    log_belief = logsumexp(with_random(_FINE, honest)[looks], axis=2) + (BEFORE[1] - 1) * np.log(
        np.maximum(1 - _FINE, 1e-12)
    )
    belief = np.exp(log_belief - logsumexp(log_belief, axis=1, keepdims=True))  # (looks, shares)
    share = belief @ _FINE
    low, high = np.interp([(1 - LEVEL) / 2, (1 + LEVEL) / 2], np.cumsum(belief[-1]), _FINE)
    suffices = enough[share[:-1] > RELEVANT]
    return Carelessness(
        person=person,
        answered=len(mine),
        right=int(right.sum()),
        expected_right=float(chance.sum()),
        share=float(share[-1]),
        low=float(low),
        high=float(high),
        evidence=float(evidence[-1]),
        needed=needed,
        flagged=len(suffices) > 0,
        flagged_after=int(suffices[0]) + 1 if len(suffices) else None,
    )
