"""Exports: every standing answer once, with where it came from, as it stood when the export began."""

import csv
import io
import json
import sqlite3
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labeling.annotation import answers
from labeling.annotation.answers import Answer
from labeling.db.engine import writing
from labeling.db.schema import Item, LabelClass, Membership, Role, User
from labeling.delivery import exports
from labeling.delivery.exports import COLUMNS, FORMATS, export_stream
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user, answer_to, new_event

DANGEROUS = "=+-@\t\r"
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace)


def export(small: SmallProject, format: str = "jsonl") -> bytes:
    return b"".join(export_stream(small.workspace, small.owner, small.id, format).chunks)


def as_json(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.decode().split("\n")[:-1]]


def as_csv(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_every_row_says_where_its_answer_came_from(workspace: Workspace):
    small = SmallProject.make(workspace, strategy="margin")
    small.add_features(np.array([[-3], [3], [-3], [3], [-3], [3]], dtype=np.float32))
    ann = small.people[0]
    for row in (0, 1):
        small.answer(ann, small.items[row], small.classes[row])
    small.learn()
    claim = small.lease(ann, small.items[2])
    sent = answer_to(claim, small.classes[1], seconds=2.5, note="unclear", flagged=True)
    answers.submit(workspace, ann, [sent], now=1_700_000_000.25)
    first, _, third = as_json(export(small))
    assert claim.suggestion is not None
    assert third == {
        "external_id": claim.item.external_id, "verdict": "label", "class": "dog", "label": "dog",
        "label_source": "single", "label_confidence": 1.0, "annotator": "animals person 0",
        "created": "2023-11-14T22:13:20.250+00:00", "seconds": 2.5, "event_id": sent.event_id, "supersedes": None,
        "note": "unclear", "flagged": True, "model_version": 1, "suggestion": "cat",
        "suggestion_confidence": claim.suggestion.confidence, "suggestion_shown": True, "reason": "strategy",
        "why": claim.why, "utility": claim.utility, "item_id": small.items[2], "class_id": small.classes[1],
        "content_hash": third["content_hash"], "text": None, "fields": None, "meta": None,
    }  # fmt: skip
    assert (first["model_version"], first["suggestion"], first["suggestion_shown"]) == (None, None, False)


def test_both_formats_have_the_same_columns_and_rows(small: SmallProject):
    for item, verdict in zip(small.items, ("label", "skip", "unsure"), strict=False):
        small.answer(small.people[0], item, verdict=verdict)
    rows, cells = as_json(export(small)), as_csv(export(small, "csv"))
    assert [list(row) for row in rows] == [list(row) for row in cells] == [list(COLUMNS)] * 3
    assert [r["event_id"] for r in rows] == [c["event_id"] for c in cells]
    assert [r["verdict"] for r in rows] == ["label", "skip", "unsure"]
    assert [r["class"] for r in rows] == ["cat", None, None]


def test_an_empty_export_is_a_header_or_nothing(small: SmallProject):
    assert export(small) == b""
    assert export(small, "csv").decode() == ",".join(COLUMNS) + "\r\n"


def test_only_standing_answers_are_delivered(small: SmallProject):
    ann, (a, b, c, *_) = small.people[0], small.items
    kept, gone, wrong = (small.answer(ann, item) for item in (a, b, c))
    answers.undo(small.workspace, ann, gone)
    right = Answer(event_id=new_event(), supersedes=wrong, verdict="label", class_id=small.classes[1])
    answers.submit(small.workspace, ann, [right])
    assert [(r["event_id"], r["class"], r["supersedes"]) for r in as_json(export(small))] == [
        (kept, "cat", None),
        (right.event_id, "dog", wrong),
    ]


def test_two_peoples_answers_are_two_rows_with_the_label_they_come_to(workspace: Workspace):
    small = SmallProject.make(workspace, overlap=2, items=1)
    small.answer(small.people[0], small.items[0], small.classes[0])
    small.answer(small.people[1], small.items[0], small.classes[1])
    rows = as_json(export(small))
    assert [(r["class"], r["label"], r["label_source"], r["reason"]) for r in rows] == [
        ("cat", None, None, "strategy"),
        ("dog", None, None, "overlap"),
    ]


def test_an_export_longer_than_a_chunk_misses_and_repeats_nothing(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exports, "CHUNK", 2)
    events = [small.answer(small.people[0], item) for item in small.items]
    assert [r["event_id"] for r in as_json(export(small))] == events
    assert [r["event_id"] for r in as_csv(export(small, "csv"))] == events


def test_what_is_saved_while_an_export_runs_is_not_in_it(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exports, "CHUNK", 1)
    ann = small.people[0]
    first, second = (small.answer(ann, item) for item in small.items[:2])
    running = export_stream(small.workspace, small.owner, small.id, "jsonl").chunks
    data = next(running)
    small.answer(ann, small.items[2])
    answers.undo(small.workspace, ann, second)
    assert [r["event_id"] for r in as_json(data + b"".join(running))] == [first, second]


def test_the_label_is_the_one_of_the_moment_the_export_began(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exports, "CHUNK", 1)
    ann = small.people[0]
    _, undone, corrected = (small.answer(ann, item) for item in small.items[:3])
    running = export_stream(small.workspace, small.owner, small.id, "jsonl").chunks
    data = next(running)
    answers.undo(small.workspace, ann, undone)
    changed = Answer(event_id=new_event(), supersedes=corrected, verdict="label", class_id=small.classes[1])
    answers.submit(small.workspace, ann, [changed])
    assert [(r["class"], r["label"]) for r in as_json(data + b"".join(running))] == [("cat", "cat")] * 3


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_holds_no_lock_between_its_chunks(small: SmallProject, monkeypatch: pytest.MonkeyPatch, format: str):
    monkeypatch.setattr(exports, "CHUNK", 1)
    for item in small.items[:3]:
        small.answer(small.people[0], item)
    running = export_stream(small.workspace, small.owner, small.id, format).chunks
    next(running)
    other = sqlite3.connect(small.workspace.root / "askwise.db", timeout=0, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")  # at once, or "database is locked"
    other.execute("COMMIT")
    other.close()
    assert list(running)


@pytest.mark.parametrize("start", DANGEROUS)
def test_a_cell_that_a_spreadsheet_would_run_is_escaped_in_csv_and_untouched_in_json(workspace: Workspace, start: str):
    formula = f'{start}HYPERLINK("http://evil")'
    small = SmallProject.make(workspace, items=0, classes=(formula,))
    small.add_items(1, external_id=formula, content_hash="0")
    small = SmallProject(workspace, small.id, small.owner, small.people, (1,), small.classes)
    with writing(workspace.engine) as session:
        session.get_one(User, small.people[0]).name = formula
        session.get_one(LabelClass, small.classes[0]).name = formula
        session.get_one(Item, 1).text = formula
    small.answer(small.people[0], 1, note=formula)
    (row,), (cells,) = as_json(export(small)), as_csv(export(small, "csv"))
    for column in ("external_id", "class", "label", "annotator", "note", "text"):
        assert row[column] == formula
        assert cells[column] == "'" + formula
    assert not [cell for cell in cells.values() if cell.startswith(tuple(DANGEROUS))]


@given(
    note=TEXTS,
    external_id=TEXTS.filter(bool),
    fields=st.dictionaries(TEXTS, TEXTS | st.integers() | st.none(), max_size=3),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back_from_either_format(
    small: SmallProject, note: str, external_id: str, fields: dict[str, object]
):
    with writing(small.workspace.engine) as session:
        item = session.get_one(Item, small.items[0])
        item.external_id, item.fields = external_id, fields
    if not export(small):
        small.answer(small.people[0], small.items[0])
    with writing(small.workspace.engine) as session:
        session.connection().exec_driver_sql("UPDATE annotation SET note = ?", (note,))
    (row,), (cells,) = as_json(export(small)), as_csv(export(small, "csv"))
    assert (row["note"], row["external_id"], row["fields"]) == (note, external_id, fields)
    for column, text in (("note", note), ("external_id", external_id)):
        assert cells[column] == ("'" if text.startswith(tuple(DANGEROUS)) else "") + text
    assert json.loads(cells["fields"]) == fields


def test_an_export_is_for_experts_and_owners(small: SmallProject):
    ann, bob = small.people
    with writing(small.workspace.engine) as session:
        session.get_one(Membership, (small.id, bob)).role = Role.EXPERT
    with pytest.raises(NotAllowed, match="expert"):
        export_stream(small.workspace, ann, small.id, "csv")
    assert list(export_stream(small.workspace, bob, small.id, "csv").chunks)
    with pytest.raises(NotFound):
        export_stream(small.workspace, add_user(small.workspace, "mallory"), small.id, "csv")


def test_another_projects_answers_are_not_in_it(small: SmallProject):
    other = SmallProject.make(small.workspace, name="vehicles")
    other.answer(other.people[0], other.items[0])
    assert export(small) == b""


def test_an_unknown_format_is_told_which_there_are(small: SmallProject):
    with pytest.raises(Invalid, match="csv, jsonl"):
        export_stream(small.workspace, small.owner, small.id, "xlsx")


@pytest.mark.parametrize("name", ["../../etc/passwd", 'a"; filename="b', "zoë's\r\nX: y", "  spaced  "])
def test_the_files_name_is_plain_whatever_the_projects_is(workspace: Workspace, name: str):
    small = SmallProject.make(workspace, name=name, items=0)
    filename = export_stream(workspace, small.owner, small.id, "csv").filename
    assert filename.isascii() and not set(filename) & set('/\\":;\r\n ')
    assert filename.endswith(".csv")
