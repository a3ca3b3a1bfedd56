"""`askwise class` and `askwise project settings`: the same changes at a terminal."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labeling.cli import app
from labeling.errors import Invalid

Run = Any


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a workspace with one project; what it prints as JSON."""
    monkeypatch.setenv("ASKWISE_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("ASKWISE_DATABASE_URL", raising=False)

    def run(*arguments: str, as_json: bool = True) -> Any:
        result = CliRunner().invoke(app, [*arguments, *(["--json"] if as_json else [])], catch_exceptions=False)
        return json.loads(result.stdout) if as_json else result.stdout

    run("project", "create", "birds", "--classes", "wren,robin,owl")
    return run


def shown(found: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in found["classes"]]


def test_classes_are_added_edited_and_ordered(run: Run):
    run("class", "add", "birds", "kite", "--key", "k", "--colour", "#112233", "--description", "soars")
    run("class", "edit", "birds", "wren", "--rename", "Wren", "--key", "2", "--take-key")
    run("class", "order", "birds", "kite", "owl")
    assert shown(run("class", "list", "birds"), "name", "key", "colour", "description") == [
        ("kite", "k", "#112233", "soars"), ("owl", "3", None, ""), ("Wren", "2", None, ""), ("robin", None, None, ""),
    ]  # fmt: skip


def test_prompts_are_given_listed_and_taken_back(run: Run):
    run("class", "add", "birds", "kite", "--prompt", "a kite in the sky", "--prompt", "a red kite")
    run("class", "edit", "birds", "wren", "--prompt", "a small brown bird")
    assert shown(run("class", "list", "birds"), "name", "prompts") == [
        ("wren", ["a small brown bird"]), ("robin", []), ("owl", []), ("kite", ["a kite in the sky", "a red kite"]),
    ]  # fmt: skip
    assert shown(run("class", "edit", "birds", "wren", "--description", "sings"), "prompts") == [
        (["a small brown bird"],)
    ]
    assert shown(run("class", "edit", "birds", "wren", "--prompt", ""), "prompts") == [([],)]


def test_templates_are_set_each_with_a_place_for_the_name(run: Run):
    given = "templates=a photo of a {}, in the wild|{}"
    assert run("project", "settings", "birds", given)["templates"] == ["a photo of a {}, in the wild", "{}"]
    with pytest.raises(Invalid, match="where the class name goes"):
        run("project", "settings", "birds", "templates=a photo")
    assert run("project", "settings", "birds", "templates=")["templates"] == []


def test_classes_are_merged_retired_and_brought_back(run: Run):
    run("class", "merge", "birds", "wren", "robin")
    run("class", "retire", "birds", "owl")
    told = run("class", "list", "birds", as_json=False)
    assert "merged into robin" in told and "retired" in told
    run("class", "restore", "birds", "wren")
    run("class", "restore", "birds", "owl")
    assert shown(run("class", "list", "birds"), "name", "retired", "merged_into") == [
        ("wren", False, None), ("robin", False, None), ("owl", False, None),
    ]  # fmt: skip


def test_settings_are_shown_and_changed(run: Run):
    found = run(
        "project", "settings", "birds", "overlap=2", "guidelines=Look twice.", "columns=a, b", "target_accuracy=0.9",
        "near_duplicates=once",
    )  # fmt: skip
    assert (found["overlap"], found["guidelines"], found["columns"], found["target_accuracy"]) == (
        2, "Look twice.", ["a", "b"], 0.9,
    )  # fmt: skip
    found = run("project", "settings", "birds", "columns=", "target_accuracy=")
    assert (found["columns"], found["target_accuracy"], found["overlap"]) == ([], None, 2)
    assert "near_duplicates" in run("project", "settings", "birds", as_json=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("class", "edit", "birds", "emu"), "there are: wren, robin, owl"),
        (("class", "edit", "birds", "wren", "--key", "2"), "that of “robin”"),
        (("class", "add", "birds", "emu", "--colour", "red"), "as in #0f766e"),
        (("project", "settings", "birds", "overlap"), "write NAME=VALUE"),
        (("project", "settings", "birds", "strategy=crystal ball"), "there are: adaptive"),
        (("project", "settings", "birds", "size=3"), "“size”"),
    ],
)
def test_what_cannot_be_is_one_sentence(run: Run, arguments: tuple[str, ...], sentence: str):
    with pytest.raises(Invalid, match=sentence):
        run(*arguments)
