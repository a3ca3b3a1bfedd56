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
from labeling.db.schema import Item, LabelClass, Membership, Project, Role, User
from labeling.delivery import moment
from labeling.delivery.exports import COLUMNS, Wanted, export_rows, export_stream, survey
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.workspace import Workspace
from tests.annotation.expert import give_role
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
        "note": "unclear", "flagged": True, "origin": "asked", "batch": None, "model_version": 1, "suggestion": "cat",
        "suggestion_confidence": claim.suggestion.confidence, "suggestion_shown": True, "reason": "strategy",
        "why": claim.why, "utility": claim.utility, "item_id": small.items[2], "class_id": small.classes[1],
        "content_hash": third["content_hash"], "text": None, "fields": None, "meta": None,
        "agreement": 1.0, "method": None, "adjudicator": None,
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
    monkeypatch.setattr(moment, "CHUNK", 2)
    events = [small.answer(small.people[0], item) for item in small.items]
    assert [r["event_id"] for r in as_json(export(small))] == events
    assert [r["event_id"] for r in as_csv(export(small, "csv"))] == events


def test_what_is_saved_while_an_export_runs_is_not_in_it(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(moment, "CHUNK", 1)
    ann = small.people[0]
    first, second = (small.answer(ann, item) for item in small.items[:2])
    running = export_stream(small.workspace, small.owner, small.id, "jsonl").chunks
    data = next(running)
    small.answer(ann, small.items[2])
    answers.undo(small.workspace, ann, second)
    assert [r["event_id"] for r in as_json(data + b"".join(running))] == [first, second]


def test_the_label_is_the_one_of_the_moment_the_export_began(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(moment, "CHUNK", 1)
    ann = small.people[0]
    _, undone, corrected = (small.answer(ann, item) for item in small.items[:3])
    running = export_stream(small.workspace, small.owner, small.id, "jsonl").chunks
    data = next(running)
    answers.undo(small.workspace, ann, undone)
    changed = Answer(event_id=new_event(), supersedes=corrected, verdict="label", class_id=small.classes[1])
    answers.submit(small.workspace, ann, [changed])
    assert [(r["class"], r["label"]) for r in as_json(data + b"".join(running))] == [("cat", "cat")] * 3


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_an_export_holds_no_lock_between_its_chunks(small: SmallProject, monkeypatch: pytest.MonkeyPatch, format: str):
    monkeypatch.setattr(moment, "CHUNK", 1)
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
        assert cells[column] == ("'" if text.lstrip("'").startswith(tuple(DANGEROUS)) else "") + text
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


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "csv", "rows": "all"}, "answers, labels"),
        ({"format": "coco", "rows": "answers"}, "holds labels, not answers"),
        ({"format": "csv", "split": "a=1"}, "choose the rows “labels”"),
        ({"format": "csv", "unlabeled": "drop"}, "choose the rows “labels”"),
        ({"format": "csv", "rows": "labels", "unlabeled": "hide"}, "keep, drop, suggest"),
        ({"format": "csv", "rows": "labels", "unlabeled": "suggest"}, "label items of two classes first"),
        ({"format": "csv", "rows": "labels", "split": "a=0.5"}, "add up to 0.5"),
        ({"format": "csv", "rows": "labels", "split": "meta:site"}, "metadata column “site”"),
        ({"format": "imagefolder"}, "this project has other items"),
        ({"format": "imagefolder", "images": False}, "choose JSON Lines"),
        ({"format": "csv", "at": "1.2"}, "no moment"),
        ({"format": "csv", "at": "999.0.1.0"}, "no moment"),
    ],
)
def test_what_does_not_go_together_is_said_before_the_first_byte(
    small: SmallProject, options: dict[str, Any], sentence: str
):
    with pytest.raises(Invalid, match=sentence):
        export_stream(small.workspace, small.owner, small.id, **options)


@pytest.mark.parametrize("name", ["../../etc/passwd", 'a"; filename="b', "zoë's\r\nX: y", "  spaced  "])
def test_the_files_name_is_plain_whatever_the_projects_is(workspace: Workspace, name: str):
    small = SmallProject.make(workspace, name=name, items=0)
    filename = export_stream(workspace, small.owner, small.id, "csv").filename
    assert filename.isascii() and not set(filename) & set('/\\":;\r\n ')
    assert filename.endswith(".csv")


def labels(small: SmallProject, **options: Any) -> list[dict[str, Any]]:
    return list(export_rows(small.workspace, small.owner, small.id, Wanted(rows="labels", **options)))


def test_labels_are_one_row_for_each_item_with_or_without_a_label(workspace: Workspace):
    small = SmallProject.make(workspace, overlap=2, items=4)
    one, two = small.people
    for person, item, class_id in ((one, 0, 0), (two, 0, 0), (one, 1, 0), (two, 1, 1), (one, 2, 1)):
        small.answer(person, small.items[item], small.classes[class_id])
    told = [(r["label"], r["confidence"], r["source"], r["answers"]) for r in labels(small)]
    assert told == [
        ("cat", 1.0, "consensus", 2),
        (None, None, None, 2),
        ("dog", 1.0, "single", 1),
        (None, None, None, 0),
    ]
    assert [r["item_id"] for r in labels(small, unlabeled="drop")] == [small.items[0], small.items[2]]


def test_a_label_that_came_with_the_item_says_so(small: SmallProject):
    small.answer(small.people[0], small.items[0])
    with writing(small.workspace.engine) as session:
        session.connection().exec_driver_sql("UPDATE annotation SET origin = 'imported'")
    assert labels(small)[0]["source"] == "imported"
    (row,) = as_json(export(small))
    assert (row["origin"], row["label_source"]) == ("imported", "imported")


def test_the_labels_are_those_of_the_classes_today_through_renames_and_merges(small: SmallProject):
    for item, class_id in zip(small.items, small.classes, strict=False):
        small.answer(small.people[0], item, class_id)
    with writing(small.workspace.engine) as session:
        cat, dog = (session.get_one(LabelClass, class_id) for class_id in small.classes)
        cat.merged_into, dog.name = dog.id, "pet"
    assert [r["label"] for r in labels(small)[:2]] == ["pet", "pet"]


def test_suggestions_fill_the_gaps_where_they_are_asked_for(workspace: Workspace):
    small = SmallProject.make(workspace, strategy="margin")
    small.add_features(np.array([[-3], [3], [-3], [3], [-3], [3]], dtype=np.float32))
    for row in (0, 1):
        small.answer(small.people[0], small.items[row], small.classes[row])
    small.learn()
    told = labels(small, unlabeled="suggest")
    assert [(r["label"], r["source"]) for r in told] == [
        ("cat", "single"), ("dog", "single"), *[("cat", "machine"), ("dog", "machine")] * 2,
    ]  # fmt: skip
    assert all(0.5 < r["confidence"] < 1 and r["answers"] == 0 for r in told[2:])
    small.add_items(1)
    assert labels(small, unlabeled="suggest")[-1]["label"] is None  # the model has not seen it yet


def test_items_that_are_nearly_the_same_name_the_first_of_them(small: SmallProject):
    with writing(small.workspace.engine) as session:
        for item in small.items[:2]:
            session.get_one(Item, item).near_id = small.items[0]
    first, second, *others = labels(small)
    assert second["near_duplicate_of"] == first["external_id"]
    assert {r["near_duplicate_of"] for r in (first, *others)} == {None}


def test_the_same_moment_gives_the_same_bytes_whatever_came_later(small: SmallProject):
    ann = small.people[0]
    undone = small.answer(ann, small.items[0])
    small.answer(ann, small.items[1])
    for rows in ("answers", "labels"):
        for format in ("csv", "jsonl", "parquet"):
            given = export_stream(small.workspace, small.owner, small.id, format, rows=rows)
            before = b"".join(given.chunks)
            small.add_items(1)
            again = export_stream(small.workspace, small.owner, small.id, format, rows=rows, at=str(given.moment))
            assert b"".join(again.chunks) == before
    then = str(export_stream(small.workspace, small.owner, small.id, "jsonl").moment)
    before = export(small)
    answers.undo(small.workspace, ann, undone)
    small.answer(ann, small.items[3])
    assert export(small) != before
    assert b"".join(export_stream(small.workspace, small.owner, small.id, "jsonl", at=then).chunks) == before


def test_an_export_does_not_go_on_with_other_names_for_its_classes(small: SmallProject):
    then = str(export_stream(small.workspace, small.owner, small.id, "csv").moment)
    with writing(small.workspace.engine) as session:
        session.get_one(Project, small.id).schema_version += 1
    with pytest.raises(Invalid, match="begin it anew"):
        export_stream(small.workspace, small.owner, small.id, "csv", at=then)


def test_long_texts_make_short_chunks(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(moment, "HEAVY", 100)
    monkeypatch.setattr(moment, "FETCHED", 1)
    with writing(small.workspace.engine) as session:
        for item in small.items:
            session.get_one(Item, item).text = "a" * 60
    parts = export_stream(small.workspace, small.owner, small.id, "jsonl", rows="labels").chunks
    assert [len(as_json(part)) for part in parts] == [2, 2, 2]


def test_what_could_be_exported_is_counted(small: SmallProject):
    small.add_items(2, media="ab", meta={"site": "x"})
    found = survey(small.workspace, small.owner, small.id)
    assert found == (8, 2, 0, ["site"])
    with pytest.raises(NotAllowed):
        survey(small.workspace, small.people[0], small.id)


def test_a_blind_project_names_nobody_to_its_experts(workspace: Workspace):
    small = SmallProject.make(workspace, blind=True)
    small.answer(small.people[0], small.items[0])
    small.answer(small.people[1], small.items[1])
    give_role(small, small.people[1], Role.EXPERT)
    told = {actor: [row["annotator"] for row in export_rows(workspace, actor, small.id)]
            for actor in (small.people[1], small.owner)}  # fmt: skip
    assert told[small.people[1]] == ["Person 1", "animals person 1"]
    assert told[small.owner] == ["animals person 0", "animals person 1"]
