"""CSV and TSV, Excel and Parquet: what becomes a record, what is guessed, and what is refused by its line."""

import csv
import gzip
import io
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from labeling.delivery.tabular import cell
from labeling.errors import Invalid
from labeling.intake import lines, tables
from labeling.intake.records import Reading, Record, Refused
from labeling.intake.sources import open_source, preview
from tests.intake.reading import records_of, texts_of, written

REVIEWS = (
    "id,review,sentiment,stars\n7,It was a great film for all of us,good,5\n8,What a long and dull film it was,bad,\n"
)


def test_a_table_of_texts_comes_in_with_its_ids_labels_and_metadata(tmp_path: Path):
    records, refused = records_of(written(tmp_path / "reviews.csv", REVIEWS))
    assert refused == []
    assert records == [
        Record("7", text="It was a great film for all of us", label="good", meta={"stars": "5"}, line=2),
        Record("8", text="What a long and dull film it was", label="bad", meta={}, line=3),
    ]


def test_the_preview_says_how_the_file_is_read_and_reading_it_so_is_the_same(tmp_path: Path):
    path = written(tmp_path / "reviews.csv", REVIEWS.replace(",", ";").encode("utf-16"))
    shown = preview(path, rows=1)
    assert shown.reading == Reading(
        format="csv", encoding="utf-16", delimiter=";", header=True,
        roles={"id": "id", "review": "text", "sentiment": "label", "stars": "meta"},
    )  # fmt: skip
    assert shown.kind == "text" and shown.columns == ["id", "review", "sentiment", "stars"]
    assert shown.rows == [
        {"id": "7", "text": "It was a great film for all of us", "label": "good", "meta": {"stars": "5"}}
    ]
    assert shown.classes == ["good"] and shown.total is None
    assert preview(path, shown.reading, rows=1) == shown
    assert records_of(path, **shown.reading.model_dump()) == records_of(path)


def test_every_guess_can_be_corrected(tmp_path: Path):
    path = written(tmp_path / "reviews.csv", REVIEWS)
    roles = {"review": "meta", "stars": "field", "sentiment": "ignore", "id": "ignore"}
    records, refused = records_of(path, roles=roles)
    assert [(r.fields, r.meta, r.label) for r in records] == [
        ({"stars": 5}, {"review": "It was a great film for all of us"}, None)
    ]
    assert [(r.line, r.why) for r in refused] == [(3, "All its fields are empty.")]
    assert [r.text for r in records_of(path, roles={"sentiment": "text"})[0]] == ["good", "bad"]


def test_several_text_columns_are_one_text(tmp_path: Path):
    path = written(
        tmp_path / "news.csv", "title,body\nRain,It rained all day long here\n,No title for this one today\n"
    )
    assert texts_of(path, roles={"title": "text", "body": "text"}) == [
        "Rain\n\nIt rained all day long here",
        "No title for this one today",
    ]


@pytest.mark.parametrize(
    ("roles", "sentence"),
    [
        ({"colour": "label"}, "There is no column “colour”; there are: “id”"),
        ({"id": "label", "stars": "label"}, "Only one column can be the label"),
        (dict.fromkeys(["id", "review", "sentiment", "stars"], "meta"), "No column is a text, an image or a field"),
    ],
)
def test_roles_that_cannot_be_have_their_sentence(tmp_path: Path, roles: dict[str, str], sentence: str):
    with pytest.raises(Invalid, match=sentence):
        records_of(written(tmp_path / "reviews.csv", REVIEWS), roles=roles)


def test_rows_of_features_keep_their_types(tmp_path: Path):
    content = (
        "width,weight,sure,colour,zip,phone,species\n"
        "3,1.5,true,red,01234,+49,cat\n-4,2,false,,99999,12,dog\n,nan,,blue,00001,,cat\n5.5,x,maybe,red,1,7,dog\n"
    )
    path = written(tmp_path / "animals.csv", content)
    records, refused = records_of(path, roles={"species": "label"})
    assert refused == [] and [r.label for r in records] == ["cat", "dog", "cat", "dog"]
    # One odd cell in the sample makes its column a column of texts.
    assert records[0].fields == {
        "width": 3.0, "weight": "1.5", "sure": "true", "colour": "red", "zip": "01234", "phone": "+49"
    }  # fmt: skip
    path = written(tmp_path / "animals.csv", "\n".join(content.splitlines()[:4]))
    records, _ = records_of(path, roles={"species": "label"})
    assert [r.fields for r in records] == [
        {"width": 3, "weight": 1.5, "sure": True, "colour": "red", "zip": "01234", "phone": "+49"},
        {"width": -4, "weight": 2.0, "sure": False, "colour": None, "zip": "99999", "phone": "12"},
        {"width": None, "weight": None, "sure": None, "colour": "blue", "zip": "00001", "phone": None},
    ]
    assert type((records[0].fields or {})["width"]) is int


def test_a_cell_that_does_not_fit_its_column_after_the_sample_stays_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tables, "SAMPLE_ROWS", 2)
    path = written(tmp_path / "n.csv", "a,b\n1,1.5\n2,2.5\n3.5,1e9\nmany,007\n1,inf\n2,1e999\n")
    records, refused = records_of(path)
    assert [r.fields for r in records[2:]] == [{"a": 3.5, "b": 1e9}, {"a": "many", "b": "007"}]
    assert [(r.line, r.why) for r in refused] == [
        (line, "Its cell “b” is infinite; leave it empty.") for line in (6, 7)
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_guessed(tmp_path: Path, delimiter: str):
    path = written(tmp_path / "table.csv", f"text{delimiter}label\n" + f'"a, b; c | d\te"{delimiter}x\n' * 3)
    records, _ = records_of(path)
    assert {(r.text, r.label) for r in records} == {("a, b; c | d\te", "x")}


def test_tsv_keeps_commas_and_a_delimiter_has_one_character(tmp_path: Path):
    path = written(tmp_path / "table.tsv", "text\tlabel\na,b,c d\tx\n")
    assert [r.text for r in records_of(path)[0]] == ["a,b,c d"]
    with pytest.raises(Invalid, match="cannot stand between cells"):
        records_of(path, delimiter="||")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "Grüße, 日本 😀"), ("utf-8-sig", "Grüße, 日本 😀"), ("utf-16", "Grüße, 日本 😀"),
        ("utf-32", "Grüße, 日本 😀"), ("utf-16-le", "plain words only"), ("utf-16-be", "plain words only"),
        ("cp1252", "Die Größe der Brücke überrascht “viele” Gäste"),
        ("cp1251", "Съешь же ещё этих мягких французских булок"),
        ("shift_jis", "これは日本語の文章です。とても長い文章ではありません。"),
    ],
)  # fmt: skip
def test_the_encoding_is_guessed(tmp_path: Path, encoding: str, text: str):
    path = written(tmp_path / "table.csv", ("text\n" + f'"{text}"\n' * 5).encode(encoding))
    assert texts_of(path) == [text] * 5
    assert texts_of(path, encoding=preview(path).reading.encoding) == [text] * 5


def test_bytes_of_another_encoding_refuse_their_row_only(tmp_path: Path):
    path = written(tmp_path / "table.csv", "text,label\nGrüße,a\n".encode() + "Grüße,b\n".encode("cp1252") + b"ok,c\n")
    records, refused = records_of(path, encoding="utf-8")
    assert [r.label for r in records] == ["a", "c"]
    sentence = "It has bytes that are not utf-8; save the file as UTF-8, or choose the encoding it is in."
    assert refused == [Refused("table.csv", 3, sentence)]
    half = "text\nabc\n".encode("utf-16-le") + b"\x00\xd8" + "x\nd\n".encode("utf-16-le")
    records, refused = records_of(written(tmp_path / "half.csv", half), encoding="utf-16-le", roles={"text": "text"})
    assert [r.text for r in records] == ["abc", "d"] and [r.line for r in refused] == [3]
    assert "bytes that are not utf-16-le" in refused[0].why


@pytest.mark.parametrize("encoding", ["klingon", "rot13", "zlib", "unicode_escape", "utf-7", "a\0b", ""])
def test_only_encodings_of_text_are_taken(tmp_path: Path, encoding: str):
    path = written(tmp_path / "table.csv", "text\nwords\n")
    if not encoding:
        assert texts_of(path, encoding=encoding) == ["words"]
        return
    with pytest.raises(Invalid, match="There is no encoding"):
        records_of(path, encoding=encoding)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.tsv.gz", "t.jsonl.gz"])
def test_compressed_tables_are_read_as_such(tmp_path: Path, name: str):
    content = '{"text": "a b"}\n' if "jsonl" in name else "text\na b\n"
    assert texts_of(written(tmp_path / name, gzip.compress(content.encode()))) == ["a b"]


def test_a_compressed_table_that_is_cut_off_gives_what_came_before(tmp_path: Path):
    rows = "".join(f"{i} words and some more {i * i},x\n" for i in range(20_000))
    whole = gzip.compress(("text,label\n" + rows).encode())
    records, refused = records_of(written(tmp_path / "t.csv.gz", whole[: len(whole) // 2]))
    assert len(records) > 5000 and [r.why for r in refused] == [
        "The file is damaged or cut off from here on; what stands before went in."
    ]
    assert refused[0].line == len(records) + 2


def test_a_compressed_table_that_unpacks_to_far_more_than_its_size_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lines, "MAX_UNPACKED", 50_000)
    path = written(tmp_path / "bomb.csv.gz", gzip.compress(b"text\n" + b"words\n" * 200_000))
    records, refused = records_of(path)
    assert len(records) < 100_000 and len(refused) == 1


def test_a_first_row_of_data_is_no_header(tmp_path: Path):
    path = written(tmp_path / "t.csv", "3,It was a great film for all of us\n4,What a long and dull film it was\n")
    shown = preview(path)
    assert shown.reading.header is False and shown.columns == ["column 1", "column 2"] and len(shown.rows) == 2
    assert "The first row looks like data, so the columns are numbered." in shown.notes
    assert len(preview(path, Reading(header=True)).rows) == 1


def test_columns_of_one_name_are_made_distinct_and_it_is_said(tmp_path: Path):
    shown = preview(written(tmp_path / "t.csv", "text,a,text,a,\nfirst one,1,second one,2,3\n"))
    assert shown.columns == ["text", "a", "text (2)", "a (2)", "column 5"]
    assert "Several columns are called “text”; the later ones are called “text (2)” and so on." in shown.notes
    assert shown.rows[0]["text"] == "first one"


ODD_ROWS = {
    "too few cells": ("only one\n", "It has 1 cell where the header has 2"),
    "too many cells": ("a,b,c\n", "It has 3 cells where the header has 2"),
    "a NUL": ("a\0b,x\n", "Its cell “text” has a NUL character; remove it."),
    "no text": (",x\n", "Its text is empty."),
    "blanks for a text": (" \u00a0,x\n", "Its text is empty."),
    "a long cell": ("w" * 10_000_000 + ",x\n", "A cell has more than 1,000,000 characters; shorten it."),
    "a long line": ("w," * 10_000_000 + "\n", "The row is longer than 16 million characters"),
    "a long label": (f"a,{'y' * 201}\n", "Its label is longer than the 200 characters of a class name"),
    "odd quotes": ('"a" b,x\n', "A quote inside a quoted cell is not written twice"),
}


@pytest.mark.parametrize("name", ODD_ROWS)
def test_an_odd_row_is_refused_by_its_line_and_the_others_go_in(tmp_path: Path, name: str):
    row, sentence = ODD_ROWS[name]
    records, refused = records_of(
        written(tmp_path / "t.csv", f"text,label\nbefore,x\n{row}after,y\n"), encoding="utf-8"
    )
    assert [(r.text, r.line) for r in records] == [("before", 2), ("after", 4)]
    assert [(r.name, r.line) for r in refused] == [("t.csv", 3)]
    assert refused[0].why.startswith(sentence) and refused[0].why.endswith(".")


def test_blank_lines_and_empty_last_cells_are_passed_over(tmp_path: Path):
    path = written(tmp_path / "t.csv", "text,label\n\na,x\n,\n \nb,y,\n\n")
    records, refused = records_of(path)
    assert [(r.text, r.line) for r in records] == [("a", 3), ("b", 6)]
    assert [(r.line, r.why) for r in refused] == [(4, "Its text is empty.")]


def test_a_quote_that_is_never_closed_names_the_lines_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = written(tmp_path / "t.csv", 'text,label\na,x\n"b,x\nc,x\nd,x\n')
    records, refused = records_of(path)
    assert [r.text for r in records] == ["a"]
    assert [(r.line, r.why) for r in refused] == [
        (3, "A quote that opens here is not closed (up to line 5); close it, or write quotes in a text twice.")
    ]


def test_a_quote_that_is_never_closed_takes_no_more_than_a_cell_may_hold(tmp_path: Path):
    rows = "".join(f"text number {i},x\n" for i in range(100_000))
    records, refused = records_of(written(tmp_path / "t.csv", 'text,label\n"b,x\n' + rows))
    assert len(refused) == 1 and refused[0].line == 2
    assert len(records) > 40_000 and records[-1].text == "text number 99999"


def test_rows_whose_quotes_go_on_without_end_are_bounded(tmp_path: Path):
    path = written(tmp_path / "t.csv", "text,label\n" + '"a\n",' * 6_000_000)
    with pytest.raises(Invalid, match="line 2: The row is longer than 16 million characters"):
        records_of(path)


def test_formulas_stay_the_texts_they_are(tmp_path: Path):
    formulas = ["=1+1", '=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "'=1"]
    out = io.StringIO()
    csv.writer(out).writerows([["text", "label"], *([f"{f} and so on", "a"] for f in formulas)])
    assert texts_of(written(tmp_path / "t.csv", out.getvalue())) == [f"{f} and so on" for f in formulas]


def test_what_our_own_export_escaped_is_as_it_was(tmp_path: Path):
    formulas = ["=1+1", "+1", "-1 and so on", "@x", "\tx", "'=1", "''=1", "'quoted'", "plain"]
    out = io.StringIO()
    csv.writer(out).writerows([["external_id", "text"], *([f"n{i}", cell(f)] for i, f in enumerate(formulas))])
    assert texts_of(written(tmp_path / "t.csv", out.getvalue())) == formulas


def test_empty_files_and_what_is_no_table_have_their_sentence(tmp_path: Path):
    for name, content, sentence in (
        ("empty.csv", b"", "empty.csv is empty"),
        ("blank.csv", b"\xef\xbb\xbf\n\n  \n", "blank.csv is empty"),
        ("empty.jsonl", b"", "empty.jsonl is empty"),
        ("empty.parquet", b"", "not a Parquet file"),
        ("empty.xlsx", b"", "not an Excel workbook"),
        ("noise.csv", bytes(range(256)) * 50, "not text in any encoding|NUL"),
        ("image.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 50, "not text|NUL|no rows"),
        ("old.xls", b"\xd0\xcf\x11\xe0", "is an old Excel workbook; save it as .xlsx"),
        ("sheet.ods", b"PK\3\4", "is an OpenDocument sheet"),
        ("what.bin", b"words", "cannot be told by its name"),
    ):
        with pytest.raises(Invalid, match=sentence):
            records, refused = records_of(written(tmp_path / name, content))
            assert not records, name
            raise Invalid(refused[0].why)


def test_a_table_without_a_row_that_can_be_read_says_why(tmp_path: Path):
    for content, sentence in (
        ("text,label\n", "t.csv has no rows; give a file with something in it."),
        ("text,label\na\nb\n", "t.csv, line 2: It has 1 cell where the header has 2; check its delimiters and quotes."),
    ):
        with pytest.raises(Invalid) as caught:
            records_of(written(tmp_path / "t.csv", content))
        assert str(caught.value) == sentence


def test_more_columns_than_are_taken_refuse_the_table(tmp_path: Path):
    many = ",".join(f"c{i}" for i in range(2001))
    with pytest.raises(Invalid, match=r"has 2,001 columns; at most 2,000"):
        records_of(written(tmp_path / "t.csv", many + "\n"))
    pq.write_table(pa.table({f"c{i}": [1] for i in range(2001)}), tmp_path / "t.parquet")
    with pytest.raises(Invalid, match=r"has 2,001 columns; at most 2,000"):
        records_of(tmp_path / "t.parquet")
    book = openpyxl.Workbook()
    book.active.append([f"c{i}" for i in range(2001)])
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(Invalid, match=r"has 2,001 columns; at most 2,000"):
        records_of(tmp_path / "t.xlsx")


def test_what_pandas_writes_is_read_back(tmp_path: Path):
    frame = pd.DataFrame({"text": ["a b", "c\nd", 'e "f", g'], "label": ["x", None, "y"], "n": [1, 2, 3]})
    frame.to_csv(tmp_path / "t.csv")
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.to_json(tmp_path / "t.json", orient="records")
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    for name in ("t.csv", "t.tsv", "t.jsonl", "t.json", "t.parquet", "t.xlsx"):
        records, refused = records_of(tmp_path / name)
        assert refused == [], name
        assert [(r.text, r.label) for r in records] == list(zip(frame["text"], ["x", None, "y"], strict=True)), name
        assert [str(r.meta["n"]) for r in records] == ["1", "2", "3"], name


def test_the_share_read_grows_to_one(tmp_path: Path):
    path = written(tmp_path / "t.csv", "text\n" + "some words in a row\n" * 50_000)
    with open_source(path) as source:
        assert source.share is not None
        shares = [source.share() for _ in source.records]
    assert shares[0] < 0.5 and shares == sorted(shares) and shares[-1] == 1.0


words = some.text(some.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1).filter(
    lambda text: not text.isspace()
)


@settings(max_examples=60, deadline=None)
@given(texts=some.lists(words, min_size=1, max_size=8))
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_any_text_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, name: str, texts: list[str]):
    path = tmp_path_factory.mktemp("any") / name
    out = io.StringIO(newline="")
    csv.writer(out, delimiter="\t" if name == "t.tsv" else ",", quoting=csv.QUOTE_ALL).writerows(
        [["text", "label"], *([text, "x"] for text in texts)]
    )
    path.write_bytes(out.getvalue().encode())
    assert texts_of(path, roles={"text": "text", "label": "label"}, encoding="utf-8") == texts
