"""What edited words for the classes would do: on a sample, on labeled items, and while the worker reads them."""

from dataclasses import replace

import numpy as np
import pytest

from labeling import jobs
from labeling.db.engine import reading, writing
from labeling.db.schema import JobKind, JobState, Worker
from labeling.errors import Invalid, NotAllowed
from labeling.features.matrix import FeatureMatrix
from labeling.features.words import keep_word
from labeling.learning import word_preview
from labeling.learning.predictions import pool_predictions
from labeling.learning.versions import live_model
from labeling.learning.word_preview import Waiting, WordPreview, alike, preview_words, read_words, shown_first
from labeling.projects import update_settings
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject

CAT, DOG = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
SAID = {"cat": CAT, "dog": DOG, "it purrs": CAT, "it barks": DOG, "a cat, drawn": CAT, "a dog, drawn": DOG}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_preview, "PATIENCE_SECONDS", 0.0)


def worded(small: SmallProject, features: list[list[float]], encoder: str = "clip") -> FeatureMatrix:
    """Features as a CLIP would make them, with the vectors of some texts beside them; no weights are needed."""
    rows = np.array(features, dtype=np.float32)
    parameters: dict[str, int | str] = {"spec": "somewhere", "weights": "1", "columns": rows.shape[1]}
    matrix = FeatureMatrix.create(
        small.workspace.features(small.id, f"{encoder}-test"),
        width=rows.shape[1], encoder=encoder, version=f"{encoder}-test", parameters=parameters,
    )  # fmt: skip
    matrix.append(rows)
    read(matrix, **SAID)
    return matrix


def read(matrix: FeatureMatrix, **said: list[float]) -> None:
    """What a worker does with texts."""
    for text, vector in said.items():
        keep_word(matrix, text, np.array(vector, dtype=np.float32))


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    """Three cats and three dogs, sorted by words alone."""
    made = SmallProject.make(workspace, items=0, encoder="clip", templates=["{}"])
    made = replace(made, items=made.add_items(6, text="an animal"))
    shades = [[0.9, 0.1, 0.1], [0.8, 0.3, 0.0], [0.9, 0.0, 0.3], [0.1, 0.9, 0.2], [0.2, 0.8, 0.0], [0.0, 0.9, 0.1]]
    worded(made, shades)
    made.learn()
    return made


def seen(small: SmallProject, **prompts: list[str]) -> WordPreview | Waiting:
    """What other prompts of some classes would do."""
    there = read_words(small.workspace, small.owner, small.id)
    ids = {c.name: c.id for c in there.classes}
    texts = there.texts(prompts={ids[name]: said for name, said in prompts.items()})
    return preview_words(small.workspace, small.owner, small.id, texts)


def preview(small: SmallProject, **prompts: list[str]) -> WordPreview:
    found = seen(small, **prompts)
    assert isinstance(found, WordPreview), found
    return found


def waiting(small: SmallProject, **prompts: list[str]) -> Waiting:
    found = seen(small, **prompts)
    assert isinstance(found, Waiting), found
    return found


def test_saved_words_change_nothing_and_show_some_of_each_class(small: SmallProject):
    found = preview(small)
    assert (found.sample, found.total, found.changed, found.labeled) == (6, 6, 0, 0)
    assert [(c.name, c.before, c.after) for c in found.classes] == [("cat", 3, 3), ("dog", 3, 3)]
    assert {item.after for item in found.items[:2]} == {"cat", "dog"}
    assert all(item.before == item.after and 0.5 < item.confidence <= 1 for item in found.items)
    assert [item.text for item in found.items] == ["an animal"] * 6


def test_saved_words_are_shown_as_the_model_before_the_first_label_takes_them(workspace: Workspace):
    made = SmallProject.make(workspace, items=40, encoder="clip", templates=["{}"])
    worded(made, np.random.default_rng(0).normal(size=(40, 3)).tolist())
    made.learn()
    believed = pool_predictions(workspace, live_model(workspace, made.id))
    assert believed is not None
    assert [c.after for c in preview(made).classes] == np.bincount(believed.classes, minlength=2).tolist()


def test_words_that_mean_the_same_in_other_words_change_nothing(small: SmallProject):
    assert preview(small, cat=["it purrs"]).changed == 0


def test_words_that_are_exchanged_exchange_the_classes(small: SmallProject):
    found = preview(small, cat=["it barks", "a dog, drawn"], dog=["it purrs"])
    assert found.changed == 6
    assert {(item.before, item.after) for item in found.items} == {("cat", "dog"), ("dog", "cat")}


def test_labels_judge_both_the_saved_and_the_edited_words(small: SmallProject):
    small.answer(small.people[0], small.items[0], small.classes[0])
    small.answer(small.people[0], small.items[5], small.classes[1])
    small.answer(small.people[0], small.items[1], small.classes[1])  # what words take for a cat
    found = preview(small, cat=["it barks"], dog=["it purrs"])
    assert (found.labeled, found.right_before, found.right_after) == (3, 2, 1)


def test_new_words_are_asked_for_once_and_seen_when_the_worker_has_read_them(small: SmallProject):
    heard(small)
    for _ in range(2):
        assert waiting(small, cat=["it meows"]) == Waiting(why="Reading the words…")
    with reading(small.workspace.engine) as session:
        (job,) = [job for job in jobs.unfinished(session, small.id) if job.kind is JobKind.EMBED]
    assert job.payload["texts"] == ["it meows"]
    read(FeatureMatrix.open(small.workspace.features(small.id, "clip-test")), **{"it meows": CAT})
    assert preview(small, cat=["it meows"]).changed == 0


def heard(small: SmallProject) -> None:
    """Let there be a worker."""
    with writing(small.workspace.engine) as session:
        session.add(Worker(id="w", pid=1, host="elsewhere"))


def test_without_a_worker_it_is_said_that_new_words_wait(small: SmallProject):
    assert "start one with `askwise worker`" in waiting(small, cat=["it meows"]).why


def test_words_that_cannot_be_read_are_asked_for_again_only_when_somebody_says_so(small: SmallProject):
    waiting(small, cat=["it meows"])
    job = jobs.take(small.workspace, "w", kinds={JobKind.EMBED})
    assert job is not None
    with writing(small.workspace.engine) as session:
        jobs.finish(session, job, error="The weights are gone.")
    assert waiting(small, cat=["it meows"]) == Waiting(why="The weights are gone.", problem=True)
    texts = {small.classes[0]: ["it meows"]}
    again = preview_words(small.workspace, small.owner, small.id, texts, again=True)
    assert isinstance(again, Waiting) and not again.problem
    with reading(small.workspace.engine) as session:
        assert [j.state for j in jobs.unfinished(session, small.id) if j.kind is JobKind.EMBED] == [JobState.QUEUED]


def test_before_the_model_has_looked_at_the_features_there_is_nothing_to_see(workspace: Workspace):
    made = SmallProject.make(workspace, encoder="clip", templates=["{}"])
    worded(made, [CAT, DOG] * 3)
    assert waiting(made).why == word_preview.NOT_YET


@pytest.mark.parametrize(
    ("encoder", "settings", "classes", "said"),
    [
        ("pixels", {}, ("cat", "dog"), "(pixels) know no words; choose clip under Labeling"),
        ("tfidf", {}, ("cat", "dog"), "choose sentences under Labeling"),
        ("pixels", {"encoder": "clip"}, ("cat", "dog"), "when clip has every item"),
        ("table", {}, ("cat", "dog"), "no encoder here knows words for the rows"),
        ("clip", {"head": "logistic"}, ("cat", "dog"), "The plain model knows no words"),
        ("clip", {}, ("cat",), "with the second class"),
    ],
)
def test_where_words_do_nothing_it_is_said_why_and_what_to_do(
    workspace: Workspace, encoder: str, settings: dict[str, object], classes: tuple[str, ...], said: str
):
    made = SmallProject.make(workspace, classes=classes, **settings)
    assert "have features" in read_words(workspace, made.owner, made.id).hindrance
    worded(made, [CAT, DOG] * 3, encoder)
    assert said in read_words(workspace, made.owner, made.id).hindrance
    with pytest.raises(Invalid):
        preview_words(workspace, made.owner, made.id, {})


def test_templates_stand_for_classes_without_prompts_of_their_own(small: SmallProject):
    there = read_words(small.workspace, small.owner, small.id)
    cat, dog = small.classes
    assert there.texts(["a {}, drawn"], {dog: ["it barks"]}) == {cat: ["a cat, drawn"], dog: ["it barks"]}
    update_settings(small.workspace, small.owner, small.id, {"templates": []})
    usual = read_words(small.workspace, small.owner, small.id)
    assert usual.texts()[cat] == [template.replace("{}", "cat") for template in usual.usual]


def test_classes_with_the_same_texts_are_named(small: SmallProject):
    there = read_words(small.workspace, small.owner, small.id)
    cat, dog = small.classes
    assert alike(there, there.texts()) == ""
    same = there.texts(prompts={cat: ["fur", "paws"], dog: ["paws", "fur"]})
    assert alike(there, same).startswith("“cat” and “dog” have the same texts")
    assert alike(there, there.texts(["an animal {}"])) == ""


def test_annotators_read_the_words_and_try_none(small: SmallProject):
    assert read_words(small.workspace, small.people[0], small.id).classes
    with pytest.raises(NotAllowed):
        preview_words(small.workspace, small.people[0], small.id, {})


def test_what_changed_is_shown_first_and_kinds_of_change_take_turns():
    was = np.array([0] * 20 + [1] * 20)
    now = was.copy()
    now[:5], now[20] = 1, 2
    sure = np.random.default_rng(0).random(40)
    shown = shown_first(was, now, sure)
    assert len(shown) == word_preview.SHOWN
    assert set(shown[:6].tolist()) == {0, 1, 2, 3, 4, 20}
    assert 20 in shown[:2]  # the only one of its kind comes before the second of another
    assert {int(now[at]) for at in shown[6:8]} == {0, 1} and (was[shown[6:]] == now[shown[6:]]).all()
    surest = [at for at in shown.tolist() if was[at] == now[at] == 0]
    assert surest == sorted(surest, key=lambda at: -sure[at])


def test_a_project_of_one_item_has_a_preview_of_it():
    assert shown_first(np.array([0]), np.array([1]), np.array([0.7])).tolist() == [0]
