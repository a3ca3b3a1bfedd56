"""From answers to labels: how probable each class is for each item, after what people said and the model predicts.

Which method is best was measured on CIFAR-10H with 12 simulated people, two of them careless (`tests/benchmarks/
bench_people.py consensus` and `few`, results beside it). Dawid-Skene with difficulty (`difficulty`) is above majority
vote at any overlap, from 20 items on; with few people who are all careful it is level, 0.3 points below at worst. Its
confidence is nearest to how often it is right, so it is chosen as soon as a few answers of three people or more can be
compared: two people who disagree do not show which of them is careless. A model's
predictions are further evidence of what an item is, never of who is reliable: people are judged by people alone. That
is above CROWDLAB, whose score is a ranking and not a probability; CROWDLAB and plain Dawid-Skene can be asked for by
name.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from labeling.annotation.dawid_skene import UNKNOWN, DawidSkene, dawid_skene, logarithms, proportions
from labeling.annotation.difficulty import ERRORS, Difficulty, difficulty
from labeling.annotation.opinions import Opinions

COMPARED = 10  # items with an answer and a second one or a known class: enough to tell people apart ...
MEET = 3  # ... where so many people have answered such, or so many items are known
TABLE = 10_000_000  # numbers in a table of people by states by classes; beyond that there is room for majority only ...
ITEMS_TABLE = 6  # ... and so many times as many in one of items by states
ACCURACY, ACCURACY_COUNT = 0.9, 20.0  # how often people are right before anything is known, and how many pairs for that
SHRINKAGE = 10.0  # answers to each class that everybody's confusion counts for in a person's own
CONFUSION_COUNT = 1.0  # answers that are added to each row of a table of what was counted
TEMPERATURES = np.linspace(0.1, 1.5, 29)  # powers of predictions that are tried
LOWEST = 1e-6  # a prediction of 0 counts as this: no model is that sure


class Method(StrEnum):
    """How a label came about; the first four are ways to weigh that a caller may ask for."""

    MAJORITY = "majority"
    DAWID_SKENE = "dawid_skene"
    DIFFICULTY = "difficulty"
    CROWDLAB = "crowdlab"
    KNOWN = "known"  # settled by an expert
    NONE = "none"  # nobody answered


@dataclass(frozen=True)
class Weighed:
    """What the answers come to.

    Attributes
    ----------
    probabilities : (n_items, n_classes) float
        Of each item's true class; where nobody answered, what the model and the frequencies of the classes say.
    labels : (n_items,) int
        The most probable of the classes that somebody chose: a model that objects makes an answer unsure, it does not
        take the place of people. -1 where nobody answered and no class is known.
    confidence : (n_items,) float
        The label's probability; 0 where there is none.
    method : (n_items,) str
        A `Method`.
    reliability : (n_people,) float
        How often each person is right, estimated; what everybody is credited with, where a person did not answer.
    confusions : (n_people, n_classes, n_classes) float
        `confusions[j, t, c]`: how probably person j chooses class c where class t is true.
    states : (n_items, levels, n_classes) float
        Probabilities of the true class together with the item's difficulty; one level where the method has none.
    answering : (levels, n_classes, n_classes) float
        What the next person is expected to choose in each state: one as reliable as the middle one of all, or as all
        together where a method has no more than that.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    method: NDArray[np.str_]
    reliability: NDArray[np.float64]
    confusions: NDArray[np.float64]
    states: NDArray[np.float64]
    answering: NDArray[np.float64]


def weigh(
    opinions: Opinions,
    *,
    predictions: NDArray[np.float64] | None = None,
    known: NDArray[np.int64] | None = None,
    method: Method | None = None,
) -> Weighed:
    """Derive labels from all answers to the items of one project.

    Parameters
    ----------
    predictions : (n_items, n_classes) float, optional
        A model's probabilities for items that it did not learn from; rows of NaN where there are none.
    known : (n_items,) int, optional
        The class of items that an expert settled, -1 of all others.
    method : {MAJORITY, DAWID_SKENE, DIFFICULTY, CROWDLAB}, optional
        None chooses: majority while fewer than 10 items of three people can be compared (or of one with what is known)
        or where the tables of the others would be too large, otherwise Dawid-Skene with difficulty.

    Raises
    ------
    ValueError
        Where CROWDLAB is asked for without predictions or without an item that two people answered; where Dawid-Skene
        is asked for and its tables do not fit into memory; where the method is none of these.
    """
    n, k = opinions.n_items, opinions.n_classes
    known = np.full(n, UNKNOWN) if known is None else known
    answered = np.asarray(np.bincount(opinions.items, minlength=n) > 0)
    chosen = _choose(opinions, known) if method is None else Method(method)
    if chosen in (Method.DAWID_SKENE, Method.DIFFICULTY) and not _fits(opinions):
        raise ValueError(f"{opinions.n_people} people and {k} classes are too many for this method: choose majority.")
    if k < 2:
        states, prior = np.ones((n, 1, k)), np.ones(k)
        confusions = np.ones((opinions.n_people, k, k))
        answering = np.ones((1, k, k))
    elif chosen == Method.DIFFICULTY:
        found = difficulty(opinions, known=known)
        states, prior, confusions = found.states, found.class_prior, found.confusions
        if predictions is not None:
            states = states * evidence(predictions, found.probabilities, answered)[:, None]
            states /= states.sum(axis=(1, 2), keepdims=True)
        answering = _middling(found)
    else:
        if chosen == Method.DAWID_SKENE:
            estimated = _dawid_skene(opinions, known, predictions, answered)
            probabilities, confusions = estimated.probabilities, estimated.confusions
            answering = proportions(np.median(confusions, axis=0, keepdims=True)) if len(confusions) else confusions
        elif chosen in (Method.CROWDLAB, Method.MAJORITY):
            weighing = _crowdlab if chosen == Method.CROWDLAB else _majority
            probabilities = weighing(opinions, predictions)
            confusions, answering = _counted(opinions, probabilities)
        else:
            raise ValueError(f"{chosen} is not a way to weigh answers: choose majority, difficulty or another.")
        settled = np.asarray(known != UNKNOWN)
        probabilities[settled] = np.eye(k)[known[settled]]
        states = probabilities[:, None]
        prior = proportions(probabilities[answered | settled].sum(axis=0))
    probabilities = states.sum(axis=1)
    there = answered | (known != UNKNOWN)
    said = np.zeros((n, k), dtype=bool)
    said[opinions.items, opinions.classes] = True
    said[known != UNKNOWN, known[known != UNKNOWN]] = True
    likely = np.where(said, probabilities, -1.0)
    labels = np.where(there, likely.argmax(axis=1), UNKNOWN) if k else np.full(n, UNKNOWN)
    confidence = np.where(there, likely.max(axis=1, initial=0), 0.0)
    how = np.where(known != UNKNOWN, Method.KNOWN.value, np.where(answered, chosen.value, Method.NONE.value))
    reliability = np.einsum("jtt,t->j", confusions, prior)
    return Weighed(probabilities, labels, confidence, how, reliability, confusions, states, answering)


def evidence(
    predictions: NDArray[np.float64], probabilities: NDArray[np.float64], answered: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """What predictions say of each class beyond its frequency, as a likelihood (n_items, n_classes).

    Models are often surer than they should be. Predictions are raised to the power at which they say best what people
    found (`probabilities`, of the items `answered`): below 1 they count for less.
    """
    given = np.asarray(np.isfinite(predictions).all(axis=1))
    logs = logarithms(np.clip(np.where(given[:, None], predictions, 1.0), LOWEST, None))
    judged = given & answered
    tempered = [proportions(np.exp(power * logs)) for power in TEMPERATURES]
    fits = [float((probabilities[judged] * np.log(one[judged])).sum()) for one in tempered]
    best = tempered[int(np.argmax(fits))]
    frequencies = proportions(best[given].sum(axis=0) + 1)
    return np.where(given[:, None], best / frequencies, 1.0)


def _choose(opinions: Opinions, known: NDArray[np.int64]) -> Method:
    votes = np.bincount(opinions.items, minlength=opinions.n_items)
    checked = (votes > 0) & (known != UNKNOWN)
    compared = checked | (votes >= 2)
    people = np.unique(opinions.people[compared[opinions.items]])
    enough = compared.sum() >= COMPARED and (len(people) >= MEET or checked.sum() >= COMPARED)
    return Method.DIFFICULTY if enough and _fits(opinions) else Method.MAJORITY


def _fits(opinions: Opinions) -> bool:
    """Whether there is room for tables of all people and all items, with degrees of difficulty and classes."""
    people, items = opinions.n_people * opinions.n_classes**2, opinions.n_items * opinions.n_classes
    return len(ERRORS) * max(people, items / ITEMS_TABLE) <= TABLE


def _middling(found: Difficulty) -> NDArray[np.float64]:
    """What somebody of the middle attention of all chooses in each state; any class where not attentive."""
    attention = np.median(found.attention) if len(found.attention) else 1.0
    return np.asarray(attention * found.answering + (1 - attention) / found.answering.shape[-1])


def _dawid_skene(
    opinions: Opinions,
    known: NDArray[np.int64],
    predictions: NDArray[np.float64] | None,
    answered: NDArray[np.bool_],
) -> DawidSkene:
    found = dawid_skene(opinions, prior=SHRINKAGE, known=known)
    if predictions is None:
        return found
    likelihood = evidence(predictions, found.probabilities, answered)
    return dawid_skene(opinions, prior=SHRINKAGE, known=known, likelihood=likelihood)


def _majority(opinions: Opinions, predictions: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """As if all were right equally often, as often as they agree with each other: most votes win.

    Of m answers to k classes by people who are right in a share a of all, and else choose any other class, a share of
    p = a^2 + (1 - a)^2 / (k - 1) of pairs agree.
    """
    votes, k = opinions.votes(), opinions.n_classes
    answers = votes.sum(axis=1)
    pairs = (answers * (answers - 1)).sum() / 2
    agreeing = (votes * (votes - 1)).sum() / 2
    expected = ACCURACY**2 + (1 - ACCURACY) ** 2 / (k - 1)
    agree = (agreeing + ACCURACY_COUNT * expected) / (pairs + ACCURACY_COUNT)
    accuracy = (1 + np.sqrt((k - 1) * max(0.0, k * agree - 1))) / k
    accuracy = min(max(accuracy, 1 / k + LOWEST), 1 - LOWEST)  # so that more votes never count for less
    joint = votes * np.log(accuracy * (k - 1) / (1 - accuracy))
    found = proportions(np.exp(joint - joint.max(axis=1, keepdims=True)))
    if predictions is None:
        return found
    joint = joint + logarithms(evidence(predictions, found, answers > 0))
    return proportions(np.exp(joint - joint.max(axis=1, keepdims=True)))


def _counted(opinions: Opinions, probabilities: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each person chose for items that are probably of each class, (n_people, k, k), and everybody, (1, k, k).

    Where tables of all people would not fit into memory, everybody's stands for each.
    """
    m, k = opinions.n_people, opinions.n_classes
    assumed = np.where(np.eye(k) > 0, ACCURACY, (1 - ACCURACY) / (k - 1))
    together = np.zeros((k, k))
    np.add.at(together.T, opinions.classes, probabilities[opinions.items])
    everybody = proportions(together + CONFUSION_COUNT * assumed)
    if not _fits(opinions):
        return np.broadcast_to(everybody, (m, k, k)), everybody[None]
    counts = np.zeros((m, k, k))
    np.add.at(counts.transpose(0, 2, 1), (opinions.people, opinions.classes), probabilities[opinions.items])
    return proportions(counts + SHRINKAGE * everybody), everybody[None]


def _crowdlab(opinions: Opinions, predictions: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """CROWDLAB's consensus and its quality; the rest is shared by the other classes as the model would have it.

    References
    ----------
    Goh, Tkachenko and Mueller, "CROWDLAB: supervised learning to infer consensus labels and quality scores for data
    with multiple annotators", 2022.
    """
    if predictions is None:
        raise ValueError("CROWDLAB needs a model's predictions; label some items and let the model learn from them.")
    answers = np.bincount(opinions.items, minlength=opinions.n_items)
    given = np.asarray(np.isfinite(predictions).all(axis=1))
    taken = np.flatnonzero((answers > 0) & given)
    if not (answers[taken] > 1).any():
        raise ValueError("CROWDLAB compares people: let two of them answer the same items first.")
    import pandas as pd  # both imported when used: they take long
    from cleanlab.multiannotator import get_label_quality_multiannotator

    table = np.full((opinions.n_items, opinions.n_people), np.nan)
    table[opinions.items, opinions.people] = opinions.classes
    table = table[taken][:, np.unique(opinions.people[np.isin(opinions.items, taken)])]
    found = get_label_quality_multiannotator(
        pd.DataFrame(table),
        proportions(np.clip(predictions[taken], LOWEST, None)),
        return_detailed_quality=False,
        return_annotator_stats=False,
        verbose=False,
    )["label_quality"]
    labels, quality = found["consensus_label"].to_numpy(), found["consensus_quality_score"].to_numpy()
    probabilities = _majority(opinions, predictions)
    others = np.clip(predictions[taken], LOWEST, None) * (1 - np.eye(opinions.n_classes)[labels])
    probabilities[taken] = proportions(others) * (1 - quality)[:, None]
    probabilities[taken, labels] = quality
    return probabilities
