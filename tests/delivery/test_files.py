"""An export into a file is there whole or not at all, and goes on where it was cut off."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from labeling.db.engine import writing
from labeling.db.schema import Project
from labeling.delivery import files, moment
from labeling.delivery.exports import Wanted
from labeling.delivery.files import Written, export_file
from labeling.errors import Invalid
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject
from tests.delivery.exported import export, give


class Cut(Exception):
    """The process ends here."""


@pytest.fixture
def small(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    made = SmallProject.make(workspace, items=12)
    give(made, text=[f"text {n}\n" for n in range(12)])
    for item in made.items[:6]:
        made.answer(made.people[0], item)
    monkeypatch.setattr(moment, "CHUNK", 2)
    monkeypatch.setattr(files, "NOTED", 0.0)
    return made


def write(
    small: SmallProject, to: Path, format: str = "jsonl", cut_after: int | None = None, **options: Any
) -> Written:
    """Export, but end after so many parts."""
    parts = 0

    def progress(_share: float, _words: str) -> None:
        nonlocal parts
        parts += 1
        if parts == cut_after:
            raise Cut

    return export_file(small.workspace, small.owner, small.id, to, Wanted(format, **options), progress=progress)


@pytest.mark.parametrize(("format", "rows"), [("csv", "labels"), ("jsonl", "answers"), ("jsonl", "labels")])
def test_a_table_that_was_cut_off_goes_on_as_of_the_same_moment(
    small: SmallProject, tmp_path: Path, format: str, rows: str
):
    whole = export(small, format, rows=rows)
    with pytest.raises(Cut):
        write(small, tmp_path, format, cut_after=3, rows=rows)
    assert not [path for path in tmp_path.iterdir() if path.suffix == f".{format}"]
    small.answer(small.people[0], small.items[8])
    small.add_items(1)
    done = write(small, tmp_path, format, rows=rows)
    assert done.continued
    assert done.path.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [done.path.name]


@pytest.mark.parametrize(("format", "cut_after"), [("csv", 1), ("csv", 2), ("jsonl", 1)])
def test_one_that_was_cut_off_before_its_first_rows_were_noted_begins_anew(
    small: SmallProject, tmp_path: Path, format: str, cut_after: int
):
    with pytest.raises(Cut):
        write(small, tmp_path, format, cut_after)
    small.answer(small.people[0], small.items[8])
    done = write(small, tmp_path, format)
    assert not done.continued
    assert done.path.read_bytes() == export(small, format)


def test_it_can_be_cut_off_again_and_again(small: SmallProject, tmp_path: Path):
    whole = export(small, "jsonl", rows="labels")
    for _ in range(20):
        try:
            done = write(small, tmp_path, cut_after=2, rows="labels")
        except Cut:
            continue
        break
    assert done.path.read_bytes() == whole


def test_a_beginning_that_is_damaged_or_of_something_else_is_not_gone_on_with(small: SmallProject, tmp_path: Path):
    for spoil in (
        lambda note, partial: note.write_text("{"),
        lambda note, partial: os.truncate(partial, 3),
        lambda note, partial: partial.unlink(),
        lambda note, partial: note.write_text(note.read_text().replace('"seed": 0', '"seed": 1')),
        lambda note, partial: note.write_text(json.dumps({**json.loads(note.read_text()), "begun": 0})),
    ):
        with pytest.raises(Cut):
            write(small, tmp_path, cut_after=3)
        (note,), (partial,) = tmp_path.glob("*.partial.json"), tmp_path.glob("*.partial")
        spoil(note, partial)
        done = write(small, tmp_path)
        assert not done.continued
        assert done.path.read_bytes() == export(small, "jsonl")


def test_it_begins_anew_where_the_classes_were_changed_since(small: SmallProject, tmp_path: Path):
    with pytest.raises(Cut):
        write(small, tmp_path, cut_after=3)
    with writing(small.workspace.engine) as session:
        session.get_one(Project, small.id).schema_version += 1
    assert not write(small, tmp_path).continued


def test_a_file_with_an_end_of_its_own_is_begun_anew(small: SmallProject, tmp_path: Path):
    with pytest.raises(Cut):
        write(small, tmp_path, "parquet", cut_after=2)
    done = write(small, tmp_path, "parquet")
    assert not done.continued
    assert len(pd.read_parquet(done.path)) == 6
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["animals.parquet"]


def test_a_folder_that_cannot_be_written_to_is_said(small: SmallProject, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="choose another folder"):
        write(small, tmp_path / "file" / "folder")
