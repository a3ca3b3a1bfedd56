"""Weighing answers: labels, how sure they are, and who is relied upon."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.annotation import difficulty as difficulties
from labeling.annotation.difficulty import difficulty
from labeling.annotation.opinions import Opinions
from labeling.annotation.weighing import Method, Weighed, evidence, weigh

FOUR = [Method.MAJORITY, Method.DAWID_SKENE, Method.DIFFICULTY, Method.CROWDLAB]


def of(answers: list[tuple[int, int, int]], n_items: int, n_people: int, k: int) -> Opinions:
    """Of (item, person, class)."""
    items, people, classes = np.array(answers, dtype=np.int64).reshape(-1, 3).T
    return Opinions(items, people, classes, n_items, n_people, k)


def team(
    seed: int,
    n_items: int = 1500,
    overlap: int = 3,
    hard: float = 0.2,
    attention: tuple[float, ...] = (1, 1, 1, 1, 0.5),
) -> tuple[NDArray[np.int64], Opinions]:
    """True classes of five, and people who err on hard items and where they do not look."""
    rng = np.random.default_rng(seed)
    k, m = 5, len(attention)
    truth = rng.integers(0, k, n_items)
    error = np.where(rng.random(n_items) < 0.2, 0.35, 0.01)
    items = np.repeat(np.arange(n_items), overlap)
    people = np.concatenate([rng.permutation(m)[:overlap] for _ in range(n_items)])
    looked = rng.random(len(items)) < np.array(attention)[people]
    other = (truth[items] + rng.integers(1, k, len(items))) % k
    seen = np.where(rng.random(len(items)) < error[items], other, truth[items])
    return truth, Opinions(items, people, np.where(looked, seen, rng.integers(0, k, len(items))), n_items, m, k)


def model(truth: NDArray[np.int64], accuracy: float, seed: int, k: int = 5) -> NDArray[np.float64]:
    """Predictions of a model that is right so often, and as sure as that of each of them."""
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(len(truth)) < accuracy, truth, (truth + rng.integers(1, k, len(truth))) % k)
    return np.where(np.eye(k)[said] > 0, accuracy, (1 - accuracy) / (k - 1))


def right(weighed: Weighed, truth: NDArray[np.int64]) -> float:
    return float((weighed.labels == truth).mean())


@pytest.mark.parametrize("method", FOUR)
def test_every_method_can_be_asked_for_and_says_so(method: Method) -> None:
    truth, opinions = team(0, 300)
    weighed = weigh(opinions, predictions=model(truth, 0.7, 1), method=method)
    assert set(weighed.method) == {method.value}
    assert weighed.probabilities.sum(axis=1) == pytest.approx(np.ones(300))
    assert weighed.confidence == pytest.approx(weighed.probabilities[np.arange(300), weighed.labels])
    assert weighed.states.sum(axis=1) == pytest.approx(weighed.probabilities)
    assert weighed.answering.sum(axis=-1) == pytest.approx(np.ones(weighed.answering.shape[:2]))
    assert weighed.confusions.sum(axis=-1) == pytest.approx(np.ones((5, 5)))
    assert weighed.reliability.argmin() == 4
    assert right(weighed, truth) > 0.9


def test_majority_is_chosen_while_little_can_be_compared_and_difficulty_after_that() -> None:
    few = of([(item, person, 0) for item in range(9) for person in range(3)], 12, 3, 3)
    more = of([(item, person, 0) for item in range(10) for person in range(3)], 12, 3, 3)
    assert weigh(few).method.tolist() == ["majority"] * 9 + ["none"] * 3
    assert weigh(more).method.tolist() == ["difficulty"] * 10 + ["none"] * 2
    once = of([(item, 0, 0) for item in range(12)], 12, 2, 3)
    assert set(weigh(once).method) == {"majority"}
    assert "difficulty" in weigh(once, known=np.where(np.arange(12) < 11, 0, -1)).method


def test_tables_that_would_not_fit_are_not_made() -> None:
    answers = of([(item, person, 0) for item in range(20) for person in range(2)], 20, 300, 1000)
    weighed = weigh(answers)
    assert set(weighed.method) == {"majority"}
    assert weighed.reliability.shape == (300,) and not weighed.confusions.flags.owndata
    with pytest.raises(ValueError, match="choose majority"):
        weigh(answers, method=Method.DIFFICULTY)


def test_most_votes_win_and_more_of_them_are_surer() -> None:
    weighed = weigh(of([(0, 0, 1), (0, 1, 1), (0, 2, 0), (1, 0, 2), (2, 0, 1), (2, 1, 1)], 3, 3, 3))
    assert weighed.labels.tolist() == [1, 2, 1]
    assert weighed.confidence[2] > weighed.confidence[1] and weighed.confidence[2] > weighed.confidence[0]


def test_two_classes_with_equal_votes_are_equally_probable() -> None:
    weighed = weigh(of([(0, 0, 1), (0, 1, 2)], 1, 2, 3))
    assert weighed.probabilities[0, 1] == weighed.probabilities[0, 2] > weighed.probabilities[0, 0]


@pytest.mark.parametrize("method", FOUR)
def test_an_experts_decision_stands_against_all_answers(method: Method) -> None:
    truth, opinions = team(1, 200)
    known = np.full(200, -1)
    known[7] = (opinions.votes()[7].argmax() + 1) % 5
    weighed = weigh(opinions, predictions=model(truth, 0.7, 1), known=known, method=method)
    assert weighed.labels[7] == known[7]
    assert (weighed.confidence[7], weighed.method[7]) == (1.0, "known")


def test_what_nobody_answered_has_no_label_but_what_the_model_says() -> None:
    truth, opinions = team(2, 100)
    more = Opinions(opinions.items, opinions.people, opinions.classes, 102, 5, 5)
    predictions = np.vstack([model(truth, 0.8, 3), np.full((2, 5), 0.05) + np.eye(5)[[3, 1]] * 0.75])
    weighed = weigh(more, predictions=predictions)
    assert weighed.labels[100:].tolist() == [-1, -1]
    assert weighed.confidence[100:].tolist() == [0, 0]
    assert weighed.probabilities[100:].argmax(axis=1).tolist() == [3, 1]


def test_careless_people_count_for_little() -> None:
    truth, opinions = team(3, overlap=2, attention=(1, 1, 1, 1, 0.2))
    weighed = weigh(opinions)
    assert right(weighed, truth) > right(weigh(opinions, method=Method.MAJORITY), truth) + 0.02
    assert weighed.reliability[4] < weighed.reliability[:4].min() - 0.3


def test_somebody_who_mixes_up_two_classes_is_understood() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 800)
    answers = []
    for item, t in enumerate(truth):
        for person in rng.permutation(4)[:3]:
            swaps = person == 3 and t in (0, 1)
            answers.append((item, person, 1 - t if swaps else t if rng.random() < 0.95 else rng.integers(0, 4)))
    weighed = weigh(of(answers, 800, 4, 4), method=Method.DIFFICULTY)
    assert weighed.confusions[3, 0].argmax() == 1 and weighed.confusions[3, 1].argmax() == 0
    assert weighed.confusions[3, 2].argmax() == 2
    assert right(weighed, truth) > 0.98


@pytest.mark.parametrize("overlap", [2, 3])
def test_confidence_is_how_often_labels_are_right_also_where_items_are_hard(overlap: int) -> None:
    truth, opinions = team(4, 6000, overlap=overlap, attention=(1, 1, 1, 1, 1, 1, 0.5, 1))
    weighed = weigh(opinions)
    hits = weighed.labels == truth
    for low, high in [(0.4, 0.7), (0.7, 0.9), (0.9, 0.97), (0.97, 1)]:
        those = (weighed.confidence > low) & (weighed.confidence <= high)
        if those.sum() >= 50:
            assert hits[those].mean() == pytest.approx(weighed.confidence[those].mean(), abs=0.1)
    # People who all err on the same items make plain Dawid-Skene too sure.
    plain = weigh(opinions, method=Method.DAWID_SKENE)
    assert abs(hits.mean() - weighed.confidence.mean()) < plain.confidence.mean() - (plain.labels == truth).mean()


def test_one_answer_is_as_sure_as_who_gave_it() -> None:
    _, opinions = team(5, 1200)
    # Each of these is answered by one person: a careful one, or the careless one.
    alone = of([(1200 + row, 0 if row < 100 else 4, row % 5) for row in range(200)], 1400, 5, 5)
    both = Opinions(
        np.concatenate([opinions.items, alone.items]),
        np.concatenate([opinions.people, alone.people]),
        np.concatenate([opinions.classes, alone.classes]),
        1400,
        5,
        5,
    )
    weighed = weigh(both)
    assert weighed.confidence[1200:1300].min() > 0.85
    assert weighed.confidence[1300:].max() < 0.75


def test_good_predictions_help_and_worthless_ones_do_no_harm() -> None:
    truth, opinions = team(6, overlap=2)
    alone = right(weigh(opinions), truth)
    assert right(weigh(opinions, predictions=model(truth, 0.85, 1)), truth) > alone + 0.01
    sure_of_nothing = model(np.random.default_rng(9).integers(0, 5, len(truth)), 0.99, 2)
    assert right(weigh(opinions, predictions=sure_of_nothing), truth) > alone - 0.005


def test_the_model_says_what_an_item_is_but_not_who_is_reliable() -> None:
    truth, opinions = team(6, overlap=2)
    alone, told = weigh(opinions), weigh(opinions, predictions=model(truth, 0.9, 1))
    assert (told.reliability == alone.reliability).all()
    assert (told.probabilities != alone.probabilities).any()


@pytest.mark.parametrize("method", FOUR)
def test_a_model_that_objects_makes_a_label_unsure_but_never_one_that_nobody_said(method: Method) -> None:
    truth, opinions = team(0, 300)
    first = opinions.people == opinions.people[0]
    opinions = opinions.where(~((opinions.items == 0) & ~first))  # item 0 has one answer
    predictions = model(truth, 0.999, 1)
    (said,) = opinions.classes[opinions.items == 0]
    predictions[0] = 0.001 / 4
    predictions[0, (said + 1) % 5] = 0.999
    weighed = weigh(opinions, predictions=predictions, method=method)
    assert weighed.labels[0] == said
    assert weighed.confidence[0] == weighed.probabilities[0, said] < 0.9
    everybody = [set(opinions.classes[opinions.items == item]) for item in range(300)]
    assert all(label in said for label, said in zip(weighed.labels, everybody, strict=True))


def test_a_model_that_is_too_sure_is_toned_down() -> None:
    truth, _ = team(7, 2000)
    honest = model(truth, 0.7, 3)
    boasting = honest**6 / (honest**6).sum(axis=1, keepdims=True)
    people, answered = np.eye(5)[truth] * 0.9 + 0.02, np.ones(2000, dtype=bool)
    fair = evidence(honest, people, answered)
    toned = evidence(boasting, people, answered)
    assert toned == pytest.approx(fair, rel=0.3)
    assert evidence(np.full((2000, 5), np.nan), people, answered) == pytest.approx(np.ones((2000, 5)))


def test_items_without_a_prediction_are_weighed_by_people_alone() -> None:
    truth, opinions = team(8, 300)
    predictions = model(truth, 0.9, 1)
    predictions[::2] = np.nan
    for method in FOUR:
        weighed = weigh(opinions, predictions=predictions, method=method)
        assert np.isfinite(weighed.probabilities).all()
        assert right(weighed, truth) > 0.9


def test_crowdlab_says_what_it_needs() -> None:
    truth, opinions = team(0, 50)
    with pytest.raises(ValueError, match="needs a model's predictions"):
        weigh(opinions, method=Method.CROWDLAB)
    once = opinions.where(np.arange(len(opinions)) % 3 == 0)
    with pytest.raises(ValueError, match="let two of them answer"):
        weigh(once, predictions=model(truth, 0.8, 1), method=Method.CROWDLAB)
    with pytest.raises(ValueError, match="not a way to weigh"):
        weigh(opinions, method=Method.KNOWN)


@pytest.mark.parametrize("k", [0, 1])
def test_one_class_or_none_needs_no_weighing(k: int) -> None:
    answers = of([(0, 0, 0), (0, 1, 0)] if k else [], 2, 2, k)
    weighed = weigh(answers)
    assert weighed.labels.tolist() == ([0, -1] if k else [-1, -1])


def test_without_any_answer_there_are_no_labels() -> None:
    weighed = weigh(of([], 3, 0, 4))
    assert weighed.labels.tolist() == [-1, -1, -1] and weighed.reliability.shape == (0,)
    assert weigh(of([], 0, 2, 4)).labels.shape == (0,)


def test_difficulty_is_seen_where_people_differ() -> None:
    _, opinions = team(9, 2000, overlap=4, attention=(1, 1, 1, 1, 1))
    found = difficulty(opinions)
    hard = found.states[:, 2].sum(axis=1)
    votes = opinions.votes().max(axis=1)
    assert hard[votes == 4].mean() < 0.1 < 0.6 < hard[votes == 2].mean()
    assert found.attention.min() > 0.95
    with pytest.raises(ValueError, match="fewer than two classes"):
        difficulty(Opinions(opinions.items, opinions.people, opinions.classes * 0, 2000, 5, 1))


def test_of_many_items_a_part_is_estimated_first_and_all_come_out_as_if_it_had_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, opinions = team(0, 4000, attention=(1, 1, 1, 0.9, 0.4))
    at_once = difficulty(opinions)
    monkeypatch.setattr(difficulties, "FITTED", 2000)
    parted = difficulty(opinions)
    assert parted.attention == pytest.approx(at_once.attention, abs=0.02)
    assert (parted.probabilities.argmax(axis=1) == at_once.probabilities.argmax(axis=1)).mean() > 0.997
    assert np.abs(parted.probabilities - at_once.probabilities).mean() < 1e-3


def test_cleanlab_is_not_loaded_until_it_is_used() -> None:
    code = "import sys, labeling.annotation.weighing, labeling.annotation.need; print('cleanlab' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "False"
