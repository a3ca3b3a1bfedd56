"""The trained model at work on images, texts, rows and features that are in no project."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labeling.db.engine import reading, writing
from labeling.db.schema import Item
from labeling.delivery.prediction import predict
from labeling.errors import Invalid, NotAllowed
from labeling.features.base import Content
from labeling.features.brought import import_features
from labeling.features.encoding import encode_project
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject
from tests.features.contents import WORDS, rows, sentences, shapes

Trained = Callable[..., SmallProject]


@pytest.fixture
def trained(workspace: Workspace) -> Trained:
    """A project with these items, of two classes in turn, and a model that learned from all of them."""

    def make(items: list[Content], encoder: str, features: np.ndarray | None = None) -> SmallProject:
        small = SmallProject.make(workspace, items=len(items), classes=("one", "other"))
        with writing(workspace.engine) as session:
            for item_id, content in zip(small.items, items, strict=True):
                item = session.get_one(Item, item_id)
                item.text, item.fields = content.text, None if content.fields is None else dict(content.fields)
                if isinstance(content.image, bytes):
                    item.media = item.content_hash
                    path = workspace.media(item.content_hash)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content.image)
        if features is None:
            from labeling.projects import update_settings

            update_settings(workspace, small.owner, small.id, {"encoder": encoder})
        else:
            np.save(workspace.root / "v.npy", features)
            import_features(workspace, small.owner, small.id, workspace.root / "v.npy")
        encode_project(workspace, small.id)
        for n, item_id in enumerate(small.items):
            small.answer(small.people[0], item_id, small.classes[n % 2])
        small.learn()
        return small

    return make


def told(small: SmallProject, *files: Path) -> list[dict[str, Any]]:
    return list(predict(small.workspace, small.owner, small.id, list(files)))


def test_images_alone_and_in_a_folder(trained: Trained, tmp_path: Path):
    small = trained(shapes(20), "hog")
    folder = tmp_path / "new"
    folder.mkdir()
    for n, content in enumerate(shapes(4, seed=1)):
        assert isinstance(content.image, bytes)
        (folder / f"{n}.png").write_bytes(content.image)
    (folder / "4.png").write_bytes(b"no image")
    alone = told(small, *sorted(folder.iterdir()), tmp_path / "nowhere.png")
    assert [answer.get("class") for answer in alone] == ["one", "other", "one", "other", None, None]
    assert [bool(answer.get("error")) for answer in alone] == [False] * 4 + [True] * 2
    assert not any("item" in answer for answer in alone)
    together = told(small, folder)
    assert {answer["item"]: answer.get("class") for answer in together} == {
        f"{n}.png": answer.get("class") for n, answer in enumerate(alone[:5])
    }
    best = alone[0]
    assert best["confidence"] == max(best["probabilities"].values()) and best["model_version"] == 1


def test_texts_of_a_table(trained: Trained, tmp_path: Path):
    small = trained(sentences(40), "tfidf")
    path = tmp_path / "new.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "text"])
        for name, words in WORDS.items():
            table.writerow([name, f"It was all about the {words}, as people say"])
    answers = told(small, path)
    assert {answer["item"]: answer["class"] for answer in answers} == {"sport": "one", "money": "other"}
    assert {answer["file"] for answer in answers} == {str(path)}


def test_rows_of_a_table(trained: Trained, tmp_path: Path):
    small = trained(rows(40), "table")
    path = tmp_path / "new.csv"
    path.write_text("size,colour,new\n1.5,red,true\n0.5,blue,false\n1.5,red,false\n", encoding="utf-8")
    assert [answer["class"] for answer in told(small, path)] == ["one", "other", "one"]


def test_features_that_were_made_elsewhere(trained: Trained, tmp_path: Path):
    vectors = np.random.default_rng(0).normal(size=(20, 3)) + np.tile([[3.0], [-3.0]], (10, 1))
    small = trained(sentences(20), "brought", vectors)
    np.save(tmp_path / "new.npy", np.array([[2, 3, 4], [-3, -2, -1]], dtype=np.float32))
    np.save(tmp_path / "wide.npy", np.zeros((2, 4)))
    answers = told(small, tmp_path / "new.npy", tmp_path / "wide.npy", tmp_path / "words.csv")
    assert [answer.get("class") for answer in answers] == ["one", "other", None, None]
    assert "4 numbers to a row and the project's 3" in answers[2]["error"] and "neither" in answers[3]["error"]


def test_a_file_of_another_kind_is_told_apart(trained: Trained, tmp_path: Path):
    small = trained(sentences(20), "tfidf")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(shapes(1)[0].image)  # type: ignore[arg-type]
    (answer,) = told(small, tmp_path / "pictures")
    assert answer["error"] == "pictures holds images, and this project's model labels texts."


def test_the_model_is_used_with_the_features_that_it_was_trained_on(trained: Trained, tmp_path: Path):
    """New features are made meanwhile: a model of theirs has yet to come."""
    small = trained(shapes(20), "hog")
    path = tmp_path / "new.png"
    path.write_bytes(shapes(1, seed=1)[0].image)  # type: ignore[arg-type]
    before = told(small, path)
    from labeling.projects import update_settings

    update_settings(small.workspace, small.owner, small.id, {"encoder": "pixels"})
    encode_project(small.workspace, small.id)
    assert told(small, path) == before


def test_without_a_model_or_the_right_there_are_no_answers(workspace: Workspace, tmp_path: Path):
    small = SmallProject.make(workspace)
    with pytest.raises(Invalid, match="no model yet"):
        told(small, tmp_path / "a.png")
    with pytest.raises(NotAllowed):
        list(predict(workspace, small.people[0], small.id, []))
    with reading(workspace.engine) as session:
        assert session.get_one(Item, small.items[0]).answers == 0
