"""Likely label errors: what is found on made-up items, and on the human counts of CIFAR-10H."""

import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.annotation.opinions import Opinions
from labeling.assurance.label_errors import LabelErrors, find_label_errors
from tests.benchmarks import crowd as crowds
from tests.benchmarks.bench_label_errors import naive_bayes, recall

N, K = 600, 4
WRONG = np.arange(0, N, 20)  # 30 items


class Made:
    """Items of which everybody but the given labels of `WRONG` sees the truth, but for some errors."""

    def __init__(self, seed: int = 0, *, answers: int = 2, people: int = 6, careless: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.truth = rng.integers(0, K, N)
        self.given = self.truth.copy()
        self.given[WRONG] = (self.truth[WRONG] + 1) % K
        items = np.repeat(np.arange(N), answers)
        who = np.concatenate([rng.permutation(people)[:answers] for _ in range(N)]).astype(np.int64)
        share = np.where(who < careless, 0.6, 0.03)
        said = np.where(rng.random(len(items)) < share, rng.integers(0, K, len(items)), self.truth[items])
        self.opinions = Opinions(items, who, said, N, people, K)
        odds = rng.normal(0, 1, (N, K))
        odds[np.arange(N), self.truth] += 4
        self.predictions = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)

    @property
    def is_wrong(self) -> NDArray[np.bool_]:
        return self.given != self.truth

    def without_people(self) -> Opinions:
        return self.opinions.where(np.zeros(len(self.opinions), dtype=bool))


def found(first: LabelErrors, made: Made) -> float:
    """Share of the wrong labels among as many that come first."""
    return recall(first.score, made.is_wrong, len(WRONG) / N)


def test_wrong_labels_come_first_and_the_better_class_is_named() -> None:
    made = Made()
    errors = find_label_errors(made.given, made.opinions, made.predictions)
    assert found(errors, made) == 1.0
    assert set(errors.likely) == set(WRONG)
    assert (errors.better[WRONG] == made.truth[WRONG]).all()
    assert (errors.better != made.given).all()
    assert errors.score.min() >= 0 and errors.score.max() <= 1


def test_it_does_without_a_model() -> None:
    made = Made(1)
    errors = find_label_errors(made.given, made.opinions)
    assert found(errors, made) >= 0.9
    assert errors.score.sum() == pytest.approx(len(WRONG), rel=0.4)


def test_it_does_without_people() -> None:
    made = Made(2)
    errors = find_label_errors(made.given, made.without_people(), made.predictions)
    assert found(errors, made) >= 0.9
    assert (errors.better[errors.likely] == made.truth[errors.likely]).mean() >= 0.9


def test_it_does_with_some_predictions_only() -> None:
    made = Made(3)
    made.predictions[::3] = np.nan
    errors = find_label_errors(made.given, made.opinions, made.predictions)
    assert np.isfinite(errors.score).all()
    assert found(errors, made) >= 0.9


def test_nothing_said_is_nothing_known() -> None:
    made = Made(4)
    errors = find_label_errors(made.given, made.without_people())
    assert len(set(np.round(errors.score, 12))) <= K
    assert not len(errors.likely)


def test_an_item_without_a_label_has_no_wrong_one_but_a_likely_class() -> None:
    made = Made(5)
    made.given[:100] = -1
    errors = find_label_errors(made.given, made.opinions, made.predictions)
    assert (errors.score[:100] == 0).all()
    assert (errors.better[:100] == made.truth[:100]).mean() > 0.95
    none = find_label_errors(np.full(N, -1), made.opinions, made.predictions)
    assert not none.score.any()


@pytest.mark.parametrize("items", [0, 1])
def test_it_is_defined_for_next_to_nothing(items: int) -> None:
    nothing = np.empty(0, dtype=np.int64)
    opinions = Opinions(nothing, nothing, nothing, items, 0, 1)
    errors = find_label_errors(np.zeros(items, dtype=np.int64), opinions, np.ones((items, 1)))
    assert errors.score.shape == errors.better.shape == (items,)
    assert np.isfinite(errors.score).all()


def test_a_label_made_of_the_answers_is_no_second_voice() -> None:
    made = Made(6, answers=1)
    current = np.full(N, -1)
    current[made.opinions.items] = made.opinions.classes
    twice = find_label_errors(current, made.opinions, made.predictions)
    once = find_label_errors(current, made.opinions, made.predictions, independent=np.zeros(N, dtype=bool))
    disputed = made.predictions.argmax(axis=1) != current
    assert once.score[disputed].mean() > twice.score[disputed].mean() + 0.1
    assert recall(once.score, current != made.truth) >= 0.9


def test_a_careless_person_is_believed_less() -> None:
    made = Made(7, careless=1)
    errors = find_label_errors(made.given, made.opinions, made.predictions)
    assert errors.random[0] > 0.3
    assert errors.random[1:].max() < 0.1
    assert found(errors, made) >= 0.95


def test_rates_of_a_large_project_come_from_a_part_of_it_and_every_item_has_its_score() -> None:
    made = Made(8)
    times = 11
    items = np.concatenate([made.opinions.items + N * copy for copy in range(times)])
    many = Opinions(items, np.tile(made.opinions.people, times), np.tile(made.opinions.classes, times), N * times, 6, K)
    errors = find_label_errors(np.tile(made.given, times), many, np.tile(made.predictions, (times, 1)))
    small = find_label_errors(made.given, made.opinions, made.predictions)
    assert errors.score.reshape(times, N) == pytest.approx(np.tile(small.score, (times, 1)), abs=0.1)
    assert (errors.score.reshape(times, N) == errors.score[:N]).all()


def test_the_order_of_items_classes_and_people_is_of_no_account() -> None:
    made = Made(9)
    rng = np.random.default_rng(0)
    items, classes, people = rng.permutation(N), rng.permutation(K), rng.permutation(6)
    said = made.opinions
    moved = Opinions(items[said.items], people[said.people], classes[said.classes], N, 6, K)
    given, predictions = np.empty(N, dtype=np.int64), np.empty((N, K))
    given[items] = classes[made.given]
    predictions[np.ix_(items, classes)] = made.predictions
    errors = find_label_errors(given, moved, predictions)
    plain = find_label_errors(made.given, said, made.predictions)
    assert errors.score[items] == pytest.approx(plain.score, abs=1e-3)
    assert (errors.better[items] == classes[plain.better])[plain.score > 0.1].all()


def test_sizes_and_classes_that_do_not_fit_are_refused() -> None:
    made = Made(10)
    with pytest.raises(ValueError, match="Expected 600 labels"):
        find_label_errors(made.given[1:], made.opinions)
    with pytest.raises(ValueError, match="Expected 600 labels"):
        find_label_errors(made.given, made.opinions, made.predictions[:, 1:])
    with pytest.raises(ValueError, match="from 0 to 3"):
        find_label_errors(made.given + 1, made.opinions)


def seen_by_people(seed: int) -> tuple[float, float, LabelErrors]:
    """Recall of the model and of naive Bayes on CIFAR-10H with two people an image."""
    crowd, predictions = crowds.load(), crowds.predicted()
    people = crowds.draw_people(crowd, np.random.default_rng(seed), careless={})
    opinions = crowds.overlapping(people, 2)
    errors = find_label_errors(crowd.given, opinions, predictions)
    bayes = naive_bayes(crowd.given, opinions, predictions)
    return recall(errors.score, crowd.doubtful), recall(bayes, crowd.doubtful), errors


@pytest.mark.skipif(crowds.missing() is not None, reason=str(crowds.missing()))
def test_the_frog_that_is_called_a_cat_is_among_the_likely_errors() -> None:
    crowd = crowds.load()
    _, _, errors = seen_by_people(2000)
    frog = crowd.files.index("02405.jpg")
    assert frog in errors.likely[:3]
    assert crowd.names[errors.better[frog]] == "frog"
    assert errors.score.sum() == pytest.approx(crowd.doubtful.sum(), rel=0.5)


@pytest.mark.slow
@pytest.mark.skipif(crowds.missing() is not None, reason=str(crowds.missing()))
def test_three_quarters_of_the_wrong_labels_are_in_the_first_twentieth_of_the_queue() -> None:
    recalls = [seen_by_people(seed)[:2] for seed in range(10)]
    ours, bayes = np.mean(recalls, axis=0)
    assert ours >= 0.75
    assert ours > bayes
