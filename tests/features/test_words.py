"""Pretrained encoders and the words that they understand, without real weights: those are in `test_clip.py`."""

from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select

from labeling import jobs
from labeling.db.engine import reading, writing
from labeling.db.schema import Job, JobKind
from labeling.errors import Invalid
from labeling.features.base import Content
from labeling.features.brought import import_features
from labeling.features.encoding import encode_project, open_features
from labeling.features.pretrained import Unavailable
from labeling.features.sentences import Sentences
from labeling.features.tfidf import Tfidf
from labeling.features.words import ask_for_words, embed_words, known_words, knows_words
from labeling.workspace import Workspace
from tests.speaking import Speaking, speak

TEXTS = [Content(text=f"{word} {number}") for number in range(10) for word in ("red", "green")]


@pytest.fixture
def speaking(monkeypatch: pytest.MonkeyPatch) -> Speaking:
    return speak(monkeypatch)


@pytest.fixture
def encoded(workspace: Workspace, project: int, add, choose, speaking: Speaking) -> Workspace:
    choose("sentences:one")
    add(TEXTS)
    encode_project(workspace, project)
    return workspace


def live(workspace: Workspace, project: int):
    found = open_features(workspace, project)
    assert found is not None
    return found


def test_texts_are_embedded_once_and_kept(encoded: Workspace, project: int, speaking: Speaking):
    matrix = live(encoded, project)
    assert known_words(matrix, ["red", "blue"]) is None
    first = embed_words(matrix, ["red", "blue", "red"])
    assert speaking.embedded == ["red", "blue"]
    np.testing.assert_array_equal(first, embed_words(matrix, ["red", "blue", "red"]))
    known = known_words(matrix, ["blue"])
    assert known is not None and speaking.embedded == ["red", "blue"]
    np.testing.assert_array_equal(known[0], first[1])


def test_words_lie_near_the_items_that_say_them(encoded: Workspace, project: int):
    matrix = live(encoded, project)
    red, green = embed_words(matrix, ["red", "green"])
    rows = matrix.array()
    assert np.mean((rows @ red > rows @ green) == (np.arange(len(rows)) % 2 == 0)) > 0.9


def test_features_of_words_and_letters_know_no_descriptions(workspace: Workspace, project: int, add, choose):
    choose("tfidf")
    add(TEXTS)
    encode_project(workspace, project)
    matrix = live(workspace, project)
    assert matrix.layout.encoder == Tfidf.name and not knows_words(matrix)
    with pytest.raises(Invalid, match="know no words"):
        embed_words(matrix, ["red"])


def test_asking_twice_waits_for_both(workspace: Workspace, project: int):
    for texts in (["a", "b"], ["b", "c"]):
        with writing(workspace.engine) as session:
            ask_for_words(session, project, texts)
    with reading(workspace.engine) as session:
        (job,) = session.exec(select(Job).where(Job.kind == JobKind.EMBED)).all()
        assert job.payload == {"texts": ["a", "b", "c"]}
    with pytest.raises(Invalid, match="at most 1,000 characters"), writing(workspace.engine) as session:
        ask_for_words(session, project, ["x" * 1001])


def test_words_are_looked_for_before_all_else(workspace: Workspace, project: int):
    with writing(workspace.engine) as session:
        jobs.request(session, project, JobKind.TRAIN)
        ask_for_words(session, project, ["a"])
    taken = jobs.take(workspace, "w")
    assert taken is not None and taken.kind is JobKind.EMBED


def test_the_same_weights_under_another_name_make_no_new_features(
    encoded: Workspace, project: int, choose, speaking: Speaking
):
    before = live(encoded, project)
    choose("sentences:two")
    encode_project(encoded, project)
    after = live(encoded, project)
    assert after.version == before.version and after.layout.parameters["spec"] == "two"
    assert speaking.loads == ["one", "two"] and len(speaking.encoded) == len(TEXTS)
    encode_project(encoded, project)
    assert speaking.loads == ["one", "two"]


def test_other_weights_make_other_features_and_the_old_ones_serve_until_then(
    encoded: Workspace, project: int, choose, speaking: Speaking
):
    before = live(encoded, project)
    speaking.weights = "1" * 16
    choose("sentences:two")
    asked: list[bool] = []

    def after_one_chunk() -> bool:
        asked.append(True)
        return len(asked) > 1

    encode_project(encoded, project, cancelled=after_one_chunk)
    assert live(encoded, project).version == before.version
    encode_project(encoded, project)
    after = live(encoded, project)
    assert after.version != before.version and after.rows == len(TEXTS)
    assert not np.allclose(after.array(), before.array())
    choose("sentences:one")  # both lie side by side
    assert live(encoded, project).version == before.version


def test_where_weights_cannot_be_had_the_project_goes_on_with_what_it_had(
    encoded: Workspace, project: int, add, choose
):
    before = live(encoded, project)
    choose("sentences:broken")
    add([Content(text="red and new")], first=len(TEXTS))
    with pytest.raises(Unavailable, match="cannot be had"):
        encode_project(encoded, project)
    after = live(encoded, project)
    assert after.version == before.version and after.rows == len(TEXTS) + 1


def test_where_weights_cannot_be_had_a_new_project_begins_without(
    workspace: Workspace, project: int, add, choose, speaking: Speaking
):
    choose("sentences:broken")
    add(TEXTS)
    with pytest.raises(Unavailable):
        encode_project(workspace, project)
    assert live(workspace, project).layout.encoder == Tfidf.name


def test_an_extra_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Sentences, "module", "a_module_that_is_not_there")
    with pytest.raises(Unavailable, match=r"pip install 'askwise\[text\]'"):
        Sentences.load("", Path())


def test_weights_that_changed_under_their_name_are_not_mixed_with_the_old(
    encoded: Workspace, project: int, speaking: Speaking
):
    matrix = live(encoded, project)
    speaking.weights = "1" * 16
    with pytest.raises(Unavailable, match="are not those that the features were made with"):
        embed_words(matrix, ["red"])


def test_too_little_memory_is_one_sentence(encoded: Workspace, project: int, speaking: Speaking, monkeypatch):
    def full(_texts: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")

    monkeypatch.setattr(speaking, "embed", full)
    with pytest.raises(Unavailable, match="not enough memory for “one”"):
        embed_words(live(encoded, project), ["red"])


def test_features_brought_along_read_words_by_the_encoder_that_made_them(
    workspace: Workspace, project: int, owner: int, add, speaking: Speaking, tmp_path: Path
):
    add(TEXTS)
    np.save(tmp_path / "made.npy", speaking.encode(TEXTS))
    import_features(workspace, owner, project, tmp_path / "made.npy", words="sentences:one")
    matrix = live(workspace, project)
    assert matrix.layout.encoder == "brought" and knows_words(matrix)
    red, green = embed_words(matrix, ["red", "green"])
    assert np.mean((matrix.array() @ red > matrix.array() @ green) == (np.arange(len(TEXTS)) % 2 == 0)) > 0.9


def test_features_brought_along_by_themselves_know_no_words(
    workspace: Workspace, project: int, owner: int, add, tmp_path: Path
):
    add(TEXTS)
    np.save(tmp_path / "made.npy", np.eye(len(TEXTS), 4, dtype=np.float32))
    import_features(workspace, owner, project, tmp_path / "made.npy")
    assert not knows_words(live(workspace, project))
    with pytest.raises(Invalid, match="know no words"):
        embed_words(live(workspace, project), ["red"])


def test_an_encoder_of_another_width_reads_no_words_for_them(
    workspace: Workspace, project: int, owner: int, add, speaking: Speaking, tmp_path: Path
):
    add(TEXTS)
    np.save(tmp_path / "made.npy", np.eye(len(TEXTS), 4, dtype=np.float32))
    with pytest.raises(Invalid, match="reads no words"):
        import_features(workspace, owner, project, tmp_path / "made.npy", words="tfidf")
    import_features(workspace, owner, project, tmp_path / "made.npy", words="sentences:one")
    with pytest.raises(Invalid, match="vectors of 16 numbers and the features have 4"):
        embed_words(live(workspace, project), ["red"])
