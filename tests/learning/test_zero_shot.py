"""The start from words: before the first label, beside labels, and when the words are wrong."""

from dataclasses import replace

import numpy as np
import pytest
from sqlmodel import col, select

from labeling import jobs
from labeling.classes import class_changes, edit_class
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, JobKind, ModelVersion, QueueEntry
from labeling.errors import Invalid
from labeling.features.encoding import encode_project
from labeling.features.prior import PoolPrior
from labeling.learning import labeled_sets
from labeling.learning.choice import Choice
from labeling.learning.head import LinearHead
from labeling.learning.learner import Learner
from labeling.learning.predictions import pool_predictions
from labeling.learning.simulation import compare_strategies, simulate
from labeling.learning.training import live_model
from labeling.learning.zero_shot import (
    FEWEST,
    TRUSTED,
    Words,
    choose_with_words,
    fit_like,
    power_of_words,
    texts_of,
    zero_shot_head,
)
from labeling.projects import update_settings
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject
from tests.speaking import Speaking, speak

K, D = 4, 24


def pool(n: int = 600, noise: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Words]:
    """Rows around one point for each class, and the words for the classes, near these points."""
    rng = np.random.default_rng(seed)
    centres = 4 * rng.normal(size=(K, D))
    targets = rng.integers(0, K, n)
    rows = centres[targets] + 4 * noise * rng.normal(size=(n, D))
    words = centres + 2 * rng.normal(size=(K, D)) + 9  # a gap between words and items, as CLIP leaves one
    return rows.astype(np.float32), targets, Words(words.astype(np.float32))


ROWS, TARGETS, WORDS = pool()
WRONG = Words(np.roll(WORDS.vectors, 1, axis=0))
PRIOR = PoolPrior.measured(ROWS)


def accuracy(learner: Learner, labels: int) -> float:
    learned = learner.learn(np.arange(labels), TARGETS[:labels])
    assert learned.model is not None
    rest = learned.features[labels:]
    return float(np.mean(learned.model.classes[learned.model.predict_proba(rest).argmax(axis=1)] == TARGETS[labels:]))


def test_the_texts_of_a_class_are_its_prompts_or_else_its_name_in_templates():
    assert texts_of("cat", ["it purrs", "a cat"], ["a photo of a {}."], "image") == ["it purrs", "a cat"]
    assert texts_of("cat", [], ["a drawn {}", "{}"], "image") == ["a drawn cat", "cat"]
    assert texts_of("{}", [], ["a {} {}"], "text") == ["a {} {}"]
    assert texts_of("cat", [], [], "text") == ["cat"]
    assert "a photo of a cat." in texts_of("cat", [], [], "image")


def test_words_sort_the_pool_before_the_first_label():
    assert accuracy(Learner(ROWS, words=WORDS), 0) > 0.8


def test_a_gap_between_words_and_items_makes_no_difference():
    moved = Words(WORDS.vectors + 100)
    said, again = (words.see(PRIOR, 1.0) for words in (WORDS, moved))
    np.testing.assert_allclose(said, again, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(said, axis=1), 1, rtol=1e-6)


def test_words_that_are_all_the_same_say_nothing_and_break_nothing():
    same = Words(np.ones((K, D), dtype=np.float32))
    learned = Learner(ROWS, words=same).learn(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
    assert learned.model is not None
    np.testing.assert_allclose(learned.model.predict_proba(learned.features[:5]), 1 / K, atol=1e-6)


def test_labels_go_on_from_good_words_and_wrong_ones_fade():
    good, wrong, none = (Learner(ROWS, words=words) for words in (WORDS, WRONG, None))
    start = accuracy(good, 0)
    assert accuracy(wrong, 0) < 0.3
    for labels in (5, 10, 20, 50, 100):
        assert accuracy(good, labels) > start - 0.03
    assert accuracy(wrong, 100) > accuracy(none, 100) - 0.03
    assert accuracy(good, 8) > accuracy(none, 8)


def test_a_class_without_a_label_is_not_forgotten():
    some = np.flatnonzero(TARGETS != 3)[:60]
    learned = Learner(ROWS, words=WORDS).learn(some, TARGETS[some])
    assert learned.model is not None and list(learned.model.classes) == [0, 1, 2, 3]
    guesses = learned.model.predict_proba(learned.features).argmax(axis=1)
    assert np.mean(guesses[TARGETS == 3] == 3) > 0.5


def test_the_model_says_that_it_knows_more_than_its_labels():
    nothing = np.empty(0, dtype=np.intp)
    informed = Learner(ROWS, words=WORDS).learn(nothing, nothing).model
    assert isinstance(informed, LinearHead) and informed.informed
    from_labels = Learner(ROWS).learn(np.arange(20), TARGETS[:20]).model
    assert isinstance(from_labels, LinearHead) and not from_labels.informed


def test_probabilities_become_calibrated_as_labels_arrive():
    def gap(labels: int) -> float:
        learned = Learner(ROWS, words=WORDS).learn(np.arange(labels), TARGETS[:labels])
        assert learned.model is not None
        likely = learned.model.predict_proba(learned.features[labels:])
        right = likely.argmax(axis=1) == TARGETS[labels:]
        return abs(float(likely.max(axis=1).mean() - right.mean()))

    assert gap(60) < 0.06 and gap(60) < gap(0)


def test_strategies_see_the_head_as_it_was_fitted():
    choice = Choice(1.0, 1.0, 20, TRUSTED, temperature=0.5)
    said, rows = WORDS.see(PRIOR, 1.0), PRIOR.see(ROWS, 1.0)
    warm = fit_like(replace(choice, temperature=1.0), said)(rows[:20], TARGETS[:20])
    cold = fit_like(choice, said)(rows[:20], TARGETS[:20])
    np.testing.assert_array_equal(warm.coef, cold.coef)
    assert cold.predict_proba(rows).max() > warm.predict_proba(rows).max()
    assert (cold.predict_proba(rows).argmax(axis=1) == warm.predict_proba(rows).argmax(axis=1)).all()


def test_the_power_is_the_one_in_which_words_part_the_pool():
    def power(spread: np.ndarray, noise: float) -> float:
        rng = np.random.default_rng(1)
        words = spread[:, None] * np.eye(len(spread), D)
        rows = words[rng.integers(0, len(spread), 800)] + noise * rng.normal(size=(800, D))
        return power_of_words(PoolPrior.measured(rows), rows, Words(words.astype(np.float32)))

    # Classes that are the pool's main directions among noise; and classes of which some hardly show in its variance.
    assert power(np.full(3, 3.0), noise=1.0) == 1.5
    assert power(np.linspace(1, 4, 10), noise=0.1) < 0.5


def test_what_was_chosen_stays_until_there_are_a_tenth_more_labels():
    def chosen(labels: int, before: Choice) -> Choice:
        return choose_with_words(WORDS, PRIOR, ROWS, np.arange(labels), TARGETS[:labels], before)

    first = chosen(FEWEST - 1, Choice())
    assert (first.weight, first.searched_at) == (TRUSTED, 0)
    at_50 = chosen(50, first)
    assert at_50.searched_at == 50
    assert chosen(54, at_50) is at_50
    assert chosen(55, at_50).searched_at == 55


def test_labels_of_one_class_leave_the_words_as_they_are():
    one = np.flatnonzero(TARGETS == 2)[:30]
    assert choose_with_words(WORDS, PRIOR, ROWS, one, TARGETS[one], Choice()).weight == TRUSTED


def test_a_head_of_words_is_read_as_it_was_written(tmp_path):
    head = replace(zero_shot_head(WORDS.see(PRIOR, 1.0)), temperature=0.7)
    head.save(tmp_path / "head.npz", {})
    again = LinearHead.load(tmp_path / "head.npz")
    assert (again.informed, again.temperature, again.l2) == (True, 0.7, head.l2)
    rows = PRIOR.see(ROWS[:9], 1.0)
    np.testing.assert_array_equal(again.predict_proba(rows), head.predict_proba(rows))


def test_a_replay_with_words_begins_with_no_label():
    names = np.array(["b", "d", "a", "c"])[TARGETS]
    words = WORDS.vectors[[2, 0, 3, 1]]  # in the order of the names
    given = {"test_features": ROWS[400:], "test_targets": names[400:], "budget": 30}
    curve = simulate(ROWS[:400], names[:400], words=words, **given)
    assert curve["labels"].tolist() == [0, 10, 20, 30]
    assert curve["accuracy"][0] > 0.8
    assert simulate(ROWS[:400], names[:400], **given)["labels"].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("words", "head", "said"),
    [
        (np.ones((K - 1, D)), "default", "one vector for each of the 4 classes"),
        (np.full((K, D), np.nan), "default", "one vector for each of the 4 classes"),
        (np.ones((K, D)), "logistic", "Only the default head"),
    ],
)
def test_words_that_do_not_fit_are_refused(words: np.ndarray, head: str, said: str):
    with pytest.raises(Invalid, match=said):
        simulate(ROWS, TARGETS, test_features=ROWS, test_targets=TARGETS, words=words, head=head)


@pytest.fixture
def speaking(monkeypatch: pytest.MonkeyPatch) -> Speaking:
    return speak(monkeypatch)


@pytest.fixture
def coloured(workspace: Workspace, speaking: Speaking) -> SmallProject:
    """A project of texts that say what they are."""
    made = SmallProject.make(workspace, classes=("red", "green"), strategy="margin", encoder="sentences:one")
    items = [i for n in range(12) for i in made.add_items(1, text=f"{('red', 'green')[n % 2]} thing number {n}")]
    made = replace(made, items=tuple(items))
    with writing(workspace.engine) as session:
        for bare in session.exec(select(Item).where(col(Item.text).is_(None))).all():
            bare.text = "nothing of the kind"
    encode_project(workspace, made.id)
    return made


def live(small: SmallProject) -> ModelVersion:
    version = live_model(small.workspace, small.id)
    assert version is not None
    return version


def believed(small: SmallProject) -> list[int]:
    beliefs = pool_predictions(small.workspace, live(small))
    assert beliefs is not None
    return [beliefs.class_ids[c] for c in beliefs.classes[-12:]]


def test_version_0_comes_from_words_and_suggests_from_the_first_second(coloured: SmallProject):
    job = coloured.learn()
    assert job.error == "" and job.message == ""
    version = live(coloured)
    assert (version.number, version.labels, version.encoder) == (0, 0, "sentences:one")
    assert np.mean(np.array(believed(coloured)) == np.tile(coloured.classes, 6)) > 0.8
    with reading(coloured.workspace.engine) as session:
        entries = session.exec(select(QueueEntry)).all()
    assert entries and all(entry.suggestion_class_id in coloured.classes for entry in entries)
    assert any("torn between" in entry.why for entry in entries)


def test_the_first_label_makes_version_1_without_a_second_class(coloured: SmallProject):
    coloured.learn()
    coloured.answer(coloured.people[0], coloured.items[0], coloured.classes[0])
    assert coloured.learn().message == ""
    assert (live(coloured).number, live(coloured).labels) == (1, 1)


def test_other_words_make_another_version(coloured: SmallProject):
    coloured.learn()
    before = believed(coloured)
    for class_id, prompt in zip(coloured.classes, ("green thing", "red thing"), strict=True):
        edit_class(coloured.workspace, coloured.owner, class_id, class_changes(prompts=[prompt]))
    coloured.learn()
    assert np.mean(np.array(before) != np.array(believed(coloured))) > 0.8


def test_templates_are_words_too(coloured: SmallProject, speaking: Speaking):
    update_settings(coloured.workspace, coloured.owner, coloured.id, {"templates": ["a {} thing"]})
    with reading(coloured.workspace.engine) as session:
        assert JobKind.TRAIN in [job.kind for job in jobs.unfinished(session, coloured.id)]
    coloured.learn()
    assert speaking.embedded == ["a red thing", "a green thing"]


def test_without_weights_the_labels_alone_teach_and_the_job_says_why(coloured: SmallProject, speaking: Speaking):
    speaking.weights = "1" * 16
    assert "are not those that the features were made with" in coloured.learn().message
    for item, label in zip(coloured.items[:2], coloured.classes, strict=True):
        coloured.answer(coloured.people[0], item, label)
    coloured.learn()
    assert (live(coloured).number, live(coloured).labels) == (1, 2)


def test_the_plain_head_has_no_words(coloured: SmallProject, speaking: Speaking):
    update_settings(coloured.workspace, coloured.owner, coloured.id, {"head": "logistic"})
    assert "starts learning with the first labels" in coloured.learn().message
    assert speaking.embedded == []


def test_words_sit_on_the_committee(coloured: SmallProject):
    update_settings(coloured.workspace, coloured.owner, coloured.id, {"strategy": "committee"})
    for item, label in zip(coloured.items[:4], (*coloured.classes, *coloured.classes), strict=True):
        coloured.answer(coloured.people[0], item, label)
    coloured.learn()
    with reading(coloured.workspace.engine) as session:
        whys = [entry.why for entry in session.exec(select(QueueEntry)).all()]
    splits = [why for why in whys if "split" in why]
    assert splits
    # Seven members learn from labels; the words are the eighth.
    assert {sum(int(n) for n in why.split(":")[0].split() if n.isdigit()) for why in splits} == {8}


def test_a_simulation_begins_with_the_words_of_the_project(coloured: SmallProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(labeled_sets, "FEWEST", 4)
    coloured.learn()  # reads the words
    for item, label in zip(coloured.items, coloured.classes * 6, strict=True):
        coloured.answer(coloured.people[0], item, label)
    replayed = labeled_sets.of_project(coloured.workspace, coloured.owner, coloured.id, "labels")
    assert replayed.words is not None and replayed.words.shape == (2, replayed.features.shape[1])
    curves = compare_strategies(
        replayed.features, replayed.targets, words=replayed.words, seeds=2, budget=4, batch_size=2, processes=0
    )
    assert curves["labels"].tolist()[:3] == [0, 2, 4]
    update_settings(coloured.workspace, coloured.owner, coloured.id, {"head": "logistic"})
    assert labeled_sets.of_project(coloured.workspace, coloured.owner, coloured.id, "labels").words is None
