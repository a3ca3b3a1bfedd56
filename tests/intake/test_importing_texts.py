"""Texts and rows into a project: what they are called, what counts as the same, and what no database could hold."""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256

import pytest
from sqlmodel import col, select

from labeling.db.engine import reading
from labeling.db.schema import Item
from labeling.errors import Invalid
from labeling.intake import importer
from labeling.intake.importer import import_records
from labeling.intake.ledger import ImportReport
from labeling.intake.records import Kind, Record, Refused, Source
from labeling.workspace import Workspace


def items_of(workspace: Workspace, project: int) -> list[Item]:
    with reading(workspace.engine) as session:
        return list(session.exec(select(Item).where(Item.project_id == project).order_by(col(Item.row))).all())


def source(records: Iterable[Record | Refused], kind: Kind = "text") -> Source:
    return Source(kind, records, None)


def texts(*given: str) -> Source:
    return source([Record("", text=text, line=line) for line, text in enumerate(given, start=2)])


def put(workspace: Workspace, project: int, owner: int, found: Source, **how: object) -> ImportReport:
    return import_records(workspace, project, found, actor_id=owner, **how)  # type: ignore[arg-type]


def test_a_text_goes_in_letter_by_letter_and_is_known_by_its_hash(workspace: Workspace, project: int, owner: int):
    text = "Grüße, \N{CAT FACE}!\nZweite Zeile\t<b>"
    put(workspace, project, owner, source([Record("mail-1", text=text, meta={"from": "ada", "n": 1.5})]))
    (item,) = items_of(workspace, project)
    assert (item.external_id, item.text, item.row, item.answers) == ("mail-1", text, 0, 0)
    assert item.content_hash == sha256(text.encode()).hexdigest()
    assert item.meta == {"from": "ada", "n": 1.5}
    assert (item.media, item.fields) == (None, None)


def test_a_record_without_a_name_is_called_by_its_content_and_again_so(workspace: Workspace, project: int, owner: int):
    put(workspace, project, owner, texts("one", "two"))
    assert [i.external_id for i in items_of(workspace, project)] == [
        sha256(text).hexdigest()[:16] for text in (b"one", b"two")
    ]
    report = put(workspace, project, owner, texts("zero", "two", "one"))
    assert (report.added, report.duplicates) == (1, 2)
    assert [i.text for i in items_of(workspace, project)] == ["one", "two", "zero"]


def test_the_same_fields_in_another_order_are_the_same_row(workspace: Workspace, project: int, owner: int):
    rows = [{"a": 1, "b": "x"}, {"b": "x", "a": 1}, {"a": 1, "b": "y"}]
    report = put(workspace, project, owner, source([Record("", fields=row) for row in rows], "row"))
    assert (report.added, report.duplicates) == (2, 1)
    assert [i.fields for i in items_of(workspace, project)] == [rows[0], rows[2]]


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_what_stands_twice_in_a_file_is_told_with_the_item_it_equals(
    workspace: Workspace, project: int, owner: int, batch: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(importer.BATCH_RECORDS, "text", batch)
    monkeypatch.setattr(importer, "MOST_RECORDS", batch)
    named = [
        Record(name, text=text, line=line) for line, (name, text) in enumerate([("a", "x"), ("b", "y"), ("c", "x")])
    ]
    report = put(workspace, project, owner, source(named))
    assert (report.added, report.duplicates) == (2, 1)
    assert report.equal == [("c", 2, "a")]


def test_a_name_that_stands_for_something_else_is_refused_with_its_line(workspace: Workspace, project: int, owner: int):
    put(workspace, project, owner, source([Record("1", text="one")]))
    report = put(workspace, project, owner, source([Record("1", text="uno", line=7), Record("2", text="two", line=8)]))
    assert report.added == 1
    assert report.refused == [Refused("1", 7, importer.NAME_TAKEN)]


@pytest.mark.parametrize("first", ["image", "text", "row"])
@pytest.mark.parametrize("second", ["image", "text", "row"])
def test_items_of_two_kinds_never_mix(
    workspace: Workspace, project: int, owner: int, first: Kind, second: Kind, encode, monkeypatch
):
    from PIL import Image

    def one(kind: Kind, shade: int) -> Source:
        image = Record("a", read=lambda: encode(Image.new("L", (2, 2), shade)))
        what = {"image": image, "text": Record("a", text=f"{shade}"), "row": Record("a", fields={"s": shade})}
        return source([what[kind]], kind)

    put(workspace, project, owner, one(first, 1))
    if first == second:
        put(workspace, project, owner, one(second, 1))
        return
    with pytest.raises(
        Invalid, match=r"^These are \w+ and the project has \w+; make a project of their own for them\.$"
    ):
        put(workspace, project, owner, one(second, 2))
    assert len(items_of(workspace, project)) == 1


@pytest.mark.parametrize(
    ("record", "part"),
    [
        (Record("a", text="x\0y"), "NUL"),
        (Record("a\0", text="x"), "NUL"),
        (Record("a", text="half \ud800"), "valid Unicode"),
        (Record("a" * 1001, text="x"), "longer than 1,000 characters"),
        (Record("a", text="x", meta={"m": "n\0"}), "NUL"),
        (Record("a", text="x", meta={"m": float("nan")}), "cannot be stored"),
        (Record("a", text="x", meta={"m": object()}), "cannot be stored"),
        (Record("a", text="x", label="l" * 201), "at most 200 characters"),
        (Record("a", text="x", label="l\0"), "label is not valid"),
    ],
)
@pytest.mark.parametrize("labels", ["oracle", "ignore"])
def test_what_no_database_holds_is_refused_and_the_rest_goes_in(
    workspace: Workspace, project: int, owner: int, record: Record, part: str, labels: str
):
    report = put(workspace, project, owner, source([record, Record("good", text="fine")]), labels=labels)
    assert (report.read, report.added, report.refused_count) == (2, 1, 1)
    assert part in report.refused[0].why
    assert [i.external_id for i in items_of(workspace, project)] == ["good"]


def test_a_backslash_before_u0000_is_text_like_any_other(workspace: Workspace, project: int, owner: int):
    row = {"code": r"print('\u0000')"}
    assert put(workspace, project, owner, source([Record("a", fields=row)], "row")).added == 1
    assert items_of(workspace, project)[0].fields == row


def test_a_column_with_a_value_each_is_no_column_of_labels(workspace: Workspace, project: int, owner: int):
    records = [Record("", text=f"t{i}", label=f"l{i}") for i in range(1001)]
    with pytest.raises(Invalid, match="more than 1,000 classes"):
        put(workspace, project, owner, source(records))
    assert items_of(workspace, project) == []


def test_what_the_reader_refused_is_reported_in_its_place(workspace: Workspace, project: int, owner: int):
    bad = Refused("table.csv", 3, "Its text is empty.")
    report = put(workspace, project, owner, source([Record("a", text="x"), bad, Record("b", text="y")]))
    assert (report.read, report.added, report.refused) == (3, 2, [bad])


def test_refusals_beyond_those_kept_are_counted(workspace: Workspace, project: int, owner: int):
    report = put(workspace, project, owner, source([Refused("t", line, "No.") for line in range(1500)]))
    assert (report.refused_count, len(report.refused)) == (1500, 1000)


def test_how_far_it_is_comes_from_the_total_or_from_what_was_read(workspace: Workspace, project: int, owner: int):
    def told(found: Source) -> Sequence[float]:
        shares: list[float] = []
        put(workspace, project, owner, found, progress=lambda share, _: shares.append(share))
        return shares

    records = [Record("", text=f"t{i}") for i in range(10)]
    assert told(Source("text", records, 20)) == [0.5]
    assert told(Source("text", records, None)) == [0.0]
    assert told(Source("text", records, None, share=lambda: 0.25)) == [0.25]


def test_a_report_is_the_same_after_it_was_kept(workspace: Workspace, project: int, owner: int):
    records = [Record("a", text="x"), Record("b", text="x", line=2), Refused("c", None, "No.")]
    report = put(workspace, project, owner, source(records))
    assert ImportReport.of_dict(json.loads(json.dumps(report.as_dict()))) == report
