"""Dawid-Skene, against the example of the paper and a plain re-implementation."""

import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.annotation.dawid_skene import dawid_skene
from labeling.annotation.opinions import Opinions

# Dawid and Skene (1979), table 1: 45 patients, judged fit for an anaesthetic on a scale of four by five anaesthetists,
# the first of whom judged three times.
PATIENTS = """
111 1 1 1 1, 333 4 3 3 4, 112 2 1 2 2, 222 3 1 2 1, 222 3 2 2 2, 222 3 3 2 2, 122 2 1 1 1, 333 3 4 3 3, 222 2 2 2 3,
232 2 2 2 3, 444 4 4 4 4, 222 3 3 4 3, 111 1 1 1 1, 222 3 2 1 2, 121 1 1 1 1, 111 2 1 1 1, 111 1 1 1 1, 111 1 1 1 1,
222 2 2 2 1, 222 1 3 2 2, 222 2 2 2 2, 222 2 2 2 1, 222 3 2 2 2, 221 2 2 2 2, 111 1 1 1 1, 111 1 1 1 1, 232 2 2 2 2,
111 1 1 1 1, 111 1 1 1 1, 112 1 1 2 1, 111 1 1 1 1, 333 3 2 3 3, 111 1 1 1 1, 222 2 2 2 2, 222 3 2 3 2, 433 4 3 4 3,
221 2 2 3 2, 232 3 2 3 3, 333 3 4 3 2, 111 1 1 1 1, 111 1 1 1 1, 121 2 1 1 1, 232 2 2 2 2, 121 1 1 1 1, 222 2 2 2 2
"""


def anaesthetists() -> Opinions:
    answers = [
        (patient, person, int(said) - 1)
        for patient, row in enumerate(PATIENTS.split(","))
        for person, times in enumerate(row.split())
        for said in times
    ]
    patients, people, classes = np.array(answers).T
    return Opinions(patients, people, classes, 45, 5, 4)


def drawn(seed: int, n_items: int, n_people: int, k: int, accuracies: NDArray[np.float64], overlap: int):
    """True classes, and people who choose them as often as they can and any class otherwise."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n_items)
    items = np.repeat(np.arange(n_items), overlap)
    people = np.concatenate([rng.permutation(n_people)[:overlap] for _ in range(n_items)])
    right = rng.random(len(items)) < accuracies[people]
    classes = np.where(right, truth[items], rng.integers(0, k, len(items)))
    return truth, Opinions(items, people, classes, n_items, n_people, k)


def in_plain_loops(opinions: Opinions, rounds: int):
    """Equations 2.3 to 2.5 of the paper as they stand, begun with each class's share of an item's answers."""
    n, m, k = opinions.n_items, opinions.n_people, opinions.n_classes
    counts = [[[0] * k for _ in range(m)] for _ in range(n)]
    for item, person, chosen in zip(opinions.items, opinions.people, opinions.classes, strict=True):
        counts[item][person][chosen] += 1
    truth = [[0.0] * k for _ in range(n)]
    for item in range(n):
        votes = [sum(counts[item][person][chosen] for person in range(m)) for chosen in range(k)]
        truth[item] = [vote / sum(votes) for vote in votes]
    for _ in range(rounds):
        prior = [sum(truth[item][t] for item in range(n)) / n for t in range(k)]
        rates = [[[0.0] * k for _ in range(k)] for _ in range(m)]
        for person in range(m):
            for t in range(k):
                row = [sum(truth[item][t] * counts[item][person][c] for item in range(n)) for c in range(k)]
                rates[person][t] = [value / sum(row) for value in row]
        for item in range(n):
            joint = list(prior)
            for t in range(k):
                for person in range(m):
                    for c in range(k):
                        joint[t] *= rates[person][t][c] ** counts[item][person][c]
            truth[item] = [value / sum(joint) for value in joint]
    return np.array(truth), np.array(rates), np.array(prior)


def test_the_papers_example_comes_out_as_printed() -> None:
    found = dawid_skene(anaesthetists(), tolerance=1e-12)
    assert found.class_prior.round(2).tolist() == [0.40, 0.42, 0.11, 0.07]
    assert found.confusions[0].round(2).tolist() == [
        [0.89, 0.11, 0, 0],
        [0.07, 0.88, 0.05, 0],
        [0, 0.34, 0.66, 0],
        [0, 0, 0.56, 0.44],
    ]
    doubted = np.flatnonzero(found.probabilities.max(axis=1) < 0.99) + 1  # patients are numbered from 1
    assert doubted.tolist() == [7, 35, 38]
    assert found.probabilities[[6, 34, 37]].max(axis=1).round(3).tolist() == [0.981, 0.948, 0.979]


@pytest.mark.parametrize("rounds", [1, 2, 10, 60])
def test_the_papers_example_equals_plain_loops(rounds: int) -> None:
    found = dawid_skene(anaesthetists(), iterations=rounds, tolerance=0)
    truth, rates, prior = in_plain_loops(anaesthetists(), rounds)
    assert found.iterations == rounds
    assert found.probabilities == pytest.approx(truth, abs=1e-9)
    assert found.confusions == pytest.approx(rates, abs=1e-9)
    assert found.class_prior == pytest.approx(prior, abs=1e-9)


def test_it_beats_majority_where_some_people_are_careless() -> None:
    accuracies = np.array([0.9, 0.9, 0.9, 0.1, 0.1, 0.1])
    truth, opinions = drawn(0, 2000, 6, 4, accuracies, 3)
    found = dawid_skene(opinions, prior=10)
    majority = opinions.votes().argmax(axis=1)
    assert (found.probabilities.argmax(axis=1) == truth).mean() > (majority == truth).mean() + 0.05
    right = np.einsum("jtt,t->j", found.confusions, found.class_prior)
    assert right == pytest.approx(accuracies + (1 - accuracies) / 4, abs=0.06)


def test_people_of_few_answers_are_taken_for_the_average_of_all() -> None:
    truth, opinions = drawn(1, 500, 4, 3, np.full(4, 0.8), 3)
    once = Opinions(
        np.append(opinions.items, 0),
        np.append(opinions.people, 4),
        np.append(opinions.classes, (truth[0] + 1) % 3),
        500,
        5,
        3,
    )
    alone, shrunk = dawid_skene(once), dawid_skene(once, prior=20)
    said = once.classes[-1]
    assert alone.confusions[4, truth[0], said] == pytest.approx(1.0, abs=0.01)
    everybody = shrunk.confusions[:4].mean(axis=0)
    assert shrunk.confusions[4] == pytest.approx(everybody, abs=0.1)


def test_known_items_keep_their_class_and_teach_who_errs() -> None:
    truth, opinions = drawn(2, 300, 3, 3, np.full(3, 0.8), 1)
    known = np.where(np.arange(300) < 150, truth, -1)
    without, told = dawid_skene(opinions, prior=5), dawid_skene(opinions, prior=5, known=known)
    assert (told.probabilities[:150] == np.eye(3)[truth[:150]]).all()
    assert without.probabilities[150:].max(axis=1).mean() > 0.99  # one answer each: nothing tells right from wrong
    assert told.probabilities[150:].max(axis=1).mean() == pytest.approx(0.87, abs=0.05)


def test_further_evidence_decides_where_people_are_level() -> None:
    truth, opinions = drawn(3, 400, 4, 2, np.full(4, 0.6), 2)
    likelihood = np.where(np.eye(2)[truth] > 0, 0.9, 0.1)
    plain, told = dawid_skene(opinions, prior=10), dawid_skene(opinions, prior=10, likelihood=likelihood)
    assert (told.probabilities.argmax(axis=1) == truth).mean() > (plain.probabilities.argmax(axis=1) == truth).mean()
    scaled = dawid_skene(opinions, prior=10, likelihood=likelihood * np.arange(1, 401)[:, None])
    assert scaled.probabilities == pytest.approx(told.probabilities, abs=1e-9)  # each row up to a factor


def test_an_item_that_nobody_answered_is_as_likely_as_the_classes_are_frequent() -> None:
    _, opinions = drawn(4, 100, 3, 3, np.full(3, 0.9), 2)
    more = Opinions(opinions.items, opinions.people, opinions.classes, 101, 4, 3)
    found, before = dawid_skene(more, prior=5), dawid_skene(opinions, prior=5)
    assert found.probabilities[100] == pytest.approx(found.class_prior, abs=1e-3)
    assert found.class_prior == pytest.approx(before.class_prior, abs=1e-3)
    assert found.confusions[3].sum(axis=1) == pytest.approx(np.ones(3))


def test_without_answers_all_is_even() -> None:
    nothing = np.empty(0, dtype=np.int64)
    found = dawid_skene(Opinions(nothing, nothing, nothing, 2, 1, 4))
    assert found.probabilities == pytest.approx(np.full((2, 4), 0.25))
    assert dawid_skene(Opinions(nothing, nothing, nothing, 0, 0, 4)).probabilities.shape == (0, 4)


def test_without_classes_there_is_nothing_to_estimate() -> None:
    nothing = np.empty(0, dtype=np.int64)
    with pytest.raises(ValueError, match="no classes"):
        dawid_skene(Opinions(nothing, nothing, nothing, 2, 1, 0))
