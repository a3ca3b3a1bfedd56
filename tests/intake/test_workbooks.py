"""Excel workbooks: values with their types, no formula ever run, and what a hostile one claims."""

import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from labeling.errors import Invalid
from labeling.intake.sources import preview
from tests.intake.reading import records_of, texts_of, written


def workbook(path: Path, rows: list[list[Any]], more: dict[str, list[list[Any]]] | None = None) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for title, others in (more or {}).items():
        sheet = book.create_sheet(title)
        for row in others:
            sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_is_read_with_its_types(tmp_path: Path):
    rows = [
        ["id", "width", "weight", "sure", "day", "kind"], [1, 3, 1.5, True, date(2024, 2, 29), "a"],
        [None] * 6, [2, None, 2.5, False, None, "b"],
    ]  # fmt: skip
    records, refused = records_of(workbook(tmp_path / "t.xlsx", rows), roles={"kind": "label", "day": "field"})
    assert refused == []
    assert [(r.external_id, r.label, r.line, r.fields) for r in records] == [
        ("1", "a", 2, {"width": 3, "weight": 1.5, "sure": True, "day": "2024-02-29T00:00:00"}),
        ("2", "b", 4, {"width": None, "weight": 2.5, "sure": False, "day": None}),
    ]


def test_a_sheet_can_be_chosen(tmp_path: Path):
    path = workbook(tmp_path / "t.xlsx", [["text"], ["on the first sheet"]], {"Other": [["text"], ["on the other"]]})
    assert texts_of(path) == ["on the first sheet"]
    assert preview(path).notes[-1] == "Of 2 sheets, “Sheet” is read."
    assert texts_of(path, sheet="Other") == ["on the other"]
    with pytest.raises(Invalid, match=r"There is no sheet “Third” in t\.xlsx; there are: “Sheet”, “Other”"):
        records_of(path, sheet="Third")


def test_formulas_of_a_workbook_are_never_run(tmp_path: Path):
    path = workbook(tmp_path / "t.xlsx", [["text", "n"], ["plain words here", "=1+1"], ["=1+1", 2]])
    records, refused = records_of(path, roles={"text": "text", "n": "meta"})
    assert [(r.text, r.meta) for r in records] == [("plain words here", {})]  # no value was saved for the formula
    assert [(r.line, r.why) for r in refused] == [(3, "Its text is empty.")]


def repacked(path: Path, part: str, change: Any) -> Path:
    """A workbook with one of its parts changed."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    parts[part] = change(parts[part])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, data in parts.items():
            book.writestr(name, data)
    return path


BOMB = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'
SHEET = "xl/worksheets/sheet1.xml"


def with_doctype(part: bytes) -> bytes:
    head, _, rest = part.partition(b"?>") if part.startswith(b"<?xml") else (b"", b"", part)
    return (head + b"?>" if head else b"") + BOMB + rest


def with_shared_texts(path: Path, texts: bytes) -> Path:
    kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    part = b'<Override PartName="/xl/sharedStrings.xml" ContentType="' + kind + b'"/></Types>'
    with zipfile.ZipFile(path, "a") as book:
        book.writestr("xl/sharedStrings.xml", texts)
    return repacked(path, "[Content_Types].xml", lambda types: types.replace(b"</Types>", part))


def test_entities_in_a_workbook_are_not_expanded(tmp_path: Path):
    path = repacked(workbook(tmp_path / "t.xlsx", [["text"], ["some words"]]), SHEET, with_doctype)
    with pytest.raises(Invalid, match="is not an Excel workbook that can be read"):
        records_of(path)
    shared = b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>ha</t></si></sst>'
    assert texts_of(with_shared_texts(workbook(tmp_path / "t.xlsx", [["text"], ["words"]]), shared)) == ["words"]
    path = with_shared_texts(workbook(tmp_path / "t.xlsx", [["text"], ["words"]]), BOMB + shared)
    with pytest.raises(Invalid, match="is not an Excel workbook that can be read"):
        records_of(path)


def test_a_workbook_that_unpacks_to_far_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = repacked(workbook(tmp_path / "t.xlsx", [["text"], ["words"]]), SHEET, lambda part: part + b" " * 6 * 1024**2)
    monkeypatch.setattr("labeling.intake.workbooks.MAX_UNPACKED", 5 * 1024**2)
    with pytest.raises(Invalid, match="would unpack to 6 MB, more than can be held"):
        records_of(path)


def test_a_workbook_that_claims_endless_rows_and_columns_ends(tmp_path: Path):
    path = workbook(tmp_path / "t.xlsx", [["text"], ["some words"]])
    repacked(path, SHEET, lambda part: part.replace(b'r="2"', b'r="999999999999"').replace(b"A2", b"A999999999999"))
    with pytest.raises(Invalid, match="has no rows"):
        records_of(path)
    path = workbook(tmp_path / "t.xlsx", [["text"], ["some words"]])
    repacked(path, SHEET, lambda part: part.replace(b'ref="A1:A2"', b'ref="A1:XFD1048576"'))
    assert texts_of(path) == ["some words"]


def test_a_workbook_that_is_cut_off_or_none_is_refused(tmp_path: Path):
    whole = workbook(tmp_path / "t.xlsx", [["text"], ["some words"]]).read_bytes()
    for content in (whole[: len(whole) // 2], b"PK\3\4 and no more", b"words"):
        with pytest.raises(Invalid, match="not an Excel workbook that can be read"):
            records_of(written(tmp_path / "cut.xlsx", content))
    damaged = repacked(tmp_path / "t.xlsx", SHEET, lambda part: part[: len(part) * 2 // 3])
    with pytest.raises(Invalid, match="damaged"):
        records_of(damaged)


def test_a_long_row_of_a_workbook_is_refused_by_its_line(tmp_path: Path):
    records, refused = records_of(
        workbook(tmp_path / "t.xlsx", [["text", "n"], ["some words", 1, 5], ["more words", 2]])
    )
    assert [r.text for r in records] == ["more words"] and [r.line for r in refused] == [2]
