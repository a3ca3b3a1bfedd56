"""`askwise find`: the nearest items from a terminal and from Python, in words or in JSON."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from labeling import verbs
from labeling.cli import app
from labeling.db.engine import writing
from labeling.db.schema import Role
from labeling.errors import Invalid, NotFound
from labeling.features import words
from labeling.users import grant, local_user
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject
from tests.features.beside import add_worded_features

ROWS = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, 0], [0.5, 0.5]])


@pytest.fixture
def small(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """Six items whose features know the words "to the right"; this machine's user is an owner."""
    made = SmallProject.make(workspace, name="arrows", items=6)
    add_worded_features(made, ROWS, {"to the right": [1, 0]})
    me = local_user(workspace)
    with writing(workspace.engine) as session:
        grant(session, made.id, me, Role.OWNER)
    monkeypatch.setenv("ASKWISE_WORKSPACE", str(workspace.root))
    return made


def found(*asked: object) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["find", "arrows", *map(str, asked), "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    items: list[dict[str, Any]] = json.loads(result.stdout)["items"]
    return items


def rows_of(small: SmallProject, items: list[dict[str, Any]]) -> list[int]:
    return [small.items.index(item["id"]) for item in items]


def test_the_nearest_to_words_and_to_an_item_are_listed(small: SmallProject):
    small.answer(small.people[0], small.items[1], small.classes[1])
    items = found("to the right", "--count", 4)
    assert rows_of(small, items) == [0, 1, 5, 3]
    assert [item["label"] for item in items] == [None, "dog", None, None] and items[0]["score"] == 1
    assert rows_of(small, found("to the right", "--unlabeled"))[:2] == [0, 5]
    for name in (f"{small.id}-0002", small.items[2]):
        assert rows_of(small, found("--like", name, "--count", 2)) == [2, 3]
    table = CliRunner().invoke(app, ["find", "arrows", "to the right"]).stdout
    assert f"{small.id}-0000" in table and "1.000" in table and "dog" in table


def test_new_words_are_embedded_here_where_no_worker_is_running(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    class UpIsUp:
        name = "clip"

        def embed(self, texts: Sequence[str]) -> np.ndarray:
            assert list(texts) == ["up"]
            return np.array([[0, 1]], dtype=np.float32)

    monkeypatch.setattr(words, "encoder_of", lambda _matrix: UpIsUp())
    assert rows_of(small, found("up", "--count", 2)) == [2, 3]


def test_what_is_wrong_is_one_sentence(small: SmallProject, workspace: Workspace):
    opened = verbs.OpenWorkspace(workspace.root)
    with pytest.raises(NotFound, match="There is no item “none”"):
        opened.find("arrows", like="none")
    with pytest.raises(Invalid, match="Describe what you are looking for"):
        opened.find("arrows")


def test_python_gives_the_same(small: SmallProject, workspace: Workspace):
    opened = verbs.OpenWorkspace(workspace.root)
    assert opened.find("arrows", "to the right", count=3) == found("to the right", "--count", 3)
    assert rows_of(small, opened.find(small.id, like=small.items[4], count=1)) == [4]
