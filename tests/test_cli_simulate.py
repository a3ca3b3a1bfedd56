"""`askwise simulate`: from a workspace or a file to a table, a plot, a CSV, or one sentence."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from labeling import open_workspace
from labeling.cli import app, main
from tests.serving import prepare

QUICK = ("--budget", "20", "--seeds", "2", "--head", "logistic", "--processes", "0")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with ninety digits whose folders named their classes."""
    root = tmp_path_factory.mktemp("simulate") / "workspace"
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("ASKWISE_DATABASE_URL", raising=False)
        prepare(root, items=90, annotators=0).workspace.engine.dispose()
    return root


@pytest.fixture(autouse=True)
def here(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASKWISE_DATABASE_URL", raising=False)
    monkeypatch.setenv("ASKWISE_WORKSPACE", str(digits))


def told(*words: object) -> str:
    result = CliRunner().invoke(app, ["simulate", *map(str, words)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["askwise", "simulate", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert (ended.value.code, said.out) == (1, "")
        return " ".join(said.err.split())

    return run


def test_a_project_is_replayed_to_a_table_a_plot_and_files(tmp_path: Path):
    out, plot = tmp_path / "curves.csv", tmp_path / "curves.svg"
    said = told("digits", "--strategy", "margin, random", *QUICK, "--out", out, "--plot", plot)
    assert "90 items with the classes that came with the items" in said.replace("\n", " ")
    assert "Labels to" in said and "o margin   x random" in said and "2 seeds" in said
    written = pd.read_csv(out)
    assert list(written.columns) == ["strategy", "seed", "labels", "accuracy", "seconds"]
    assert len(written) == 2 * 2 * 2
    assert ElementTree.parse(plot).getroot().tag.endswith("svg")


def test_the_same_as_json():
    found = json.loads(told("digits", "--strategy", "margin,random", *QUICK, "--json"))
    assert set(found) == {"about", "target", "target_of", "summary", "curves"}
    assert found["target_of"] == "random"
    assert {row["strategy"] for row in found["summary"]} == {"margin", "random"}
    (control,) = (row for row in found["summary"] if row["strategy"] == "random")
    assert control["above"] is None and control["final"] == pytest.approx(found["target"])
    assert [row["labels"] for row in found["curves"]] == [10, 20] * 2 or len(found["curves"]) == 4


def test_a_notebook_gets_the_same_curves(digits: Path, tmp_path: Path):
    told("digits", "--strategy", "margin", *QUICK, "--out", tmp_path / "curves.csv")
    options = {"budget": 20, "seeds": 2, "head": "logistic", "processes": 0}
    curves = open_workspace(digits).simulate("digits", ["margin"], **options)
    written = pd.read_csv(tmp_path / "curves.csv")
    pd.testing.assert_frame_equal(written.drop(columns="seconds"), curves.drop(columns="seconds"))


def test_a_labeled_set_in_a_file_needs_no_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: Callable[..., str]
):
    monkeypatch.setenv("ASKWISE_WORKSPACE", str(tmp_path / "none"))
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "set.npz", features=rng.normal(size=(80, 3)), targets=rng.integers(3, size=80))
    found = json.loads(told(tmp_path / "set.npz", "--strategy", "random", *QUICK, "--json"))
    assert found["about"] == "80 rows of set.npz"
    assert not (tmp_path / "none").exists()
    assert "There is no file" in failed(tmp_path / "slip.npz")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["digits", "--strategy", "nope"], "There is no strategy 'nope'; the known ones are"),
        (["digits", "--strategy", ","], "Name at least one strategy"),
        (["nope"], "There is no project “nope”"),
        (["digits", "--oracle", "labels"], "“digits” has 0 labeled items and a simulation needs 50"),
    ],
)
def test_what_cannot_be_simulated_is_one_sentence(words: list[str], sentence: str, failed: Callable[..., str]):
    assert sentence in failed(*words)
