"""JSON Lines and arrays of objects: each object a record, each odd line refused by its number."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from labeling.errors import Invalid
from labeling.intake.records import Record
from labeling.intake.sources import preview
from tests.intake.reading import records_of, texts_of, written


def lines_of(*rows: object) -> str:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


def test_objects_come_in_with_their_types(tmp_path: Path):
    path = written(
        tmp_path / "t.jsonl",
        lines_of(
            {"id": "a", "text": "some words", "label": "x", "n": 1, "deep": {"k": [1, None]}, "none": None},
            {"id": 5, "text": "more words", "label": None, "late": True},
        ),
    )
    assert records_of(path) == (
        [
            Record("a", text="some words", label="x", meta={"n": 1, "deep": {"k": [1, None]}}, line=1),
            Record("5", text="more words", meta={"late": True}, line=2),
        ],
        [],
    )


def test_names_that_come_late_are_kept_as_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("labeling.intake.tables.SAMPLE_ROWS", 1)
    path = written(tmp_path / "t.jsonl", lines_of({"text": "a b"}, {"text": "c d", "late": 5}, {"late": 6}))
    records, refused = records_of(path)
    assert [r.meta for r in records] == [{}, {"late": 5}]
    assert [(r.line, r.why) for r in refused] == [(3, "Its text is empty.")]


DEEP = "[" * 100_000 + "]" * 100_000
ODD_LINES = {
    "no JSON": ("words", "It is not valid JSON (expecting value); correct it."),
    "cut off": ('{"text": "a', "It is not valid JSON (invalid control character at); correct it."),
    "two on a line": ('{"text": "a"} {"text": "b"}', "It is not valid JSON (extra data); correct it."),
    "a list": ('["text"]', "It is not an object with names and values"),
    "a number": ("5", "It is not an object with names and values"),
    "NaN": ('{"text": "a", "n": NaN}', "It has NaN, which is no number in JSON; write null where a number is missing."),
    "Infinity": ('{"text": "a", "n": -Infinity}', "It has -Infinity, which is no number in JSON"),
    "overflow": ('{"text": "a", "n": 1e999}', "Its cell “n” is infinite; leave it empty."),
    "a huge number": ('{"text": "a", "n": 1' + "0" * 20 + "}", "Its cell “n” is too large a number"),
    "an endless number": ('{"text": "a", "n": 1' + "0" * 5000 + "}", "It is not valid JSON (a number too long)"),
    "deep": ('{"text": "a", "n": ' + DEEP + "}", "It is nested too deeply; flatten it."),
    "rather deep": ('{"text": "a", "n": ' + "[" * 40 + "]" * 40 + "}", "Its cell “n” is nested more than 32 deep"),
    "a NUL": ('{"text": "a\\u0000b"}', "Its cell “text” has a NUL character; remove it."),
    "a NUL in a name": ('{"text": "a", "n\\u0000m": 1}', "Its cell “a name” has a NUL character"),
    "half a character": ('{"text": "a\\ud800b"}', "Its cell “text” has half a character"),
    "half in a name": ('{"text": "a", "meta": {"\\udcff": 1}}', "Its cell “meta” has half a character"),
    "no text": ('{"text": ""}', "Its text is empty."),
    "a list for a text": ('{"text": ["a"]}', "Its cell “text” is not a text"),
    "a label that is none": ('{"text": "a", "label": {"b": 1}}', "Its label in “label” is not a name"),
    "a long text": (json.dumps({"text": "w" * 1_000_001}), "Its cell “text” has more than 1,000,000 characters"),
    "a long line": (json.dumps({"text": "w" * 17_000_000}), "The row is longer than 16 million characters"),
    "a long id": (json.dumps({"text": "a", "id": "i" * 1001}), "Its id is longer than 1000 characters"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_LINES)
def test_an_odd_line_is_refused_by_its_number_and_the_others_go_in(tmp_path: Path, name: str):
    row, sentence = ODD_LINES[name]
    good: list[Any] = [{"id": name, "text": f"{name} words", "label": "x", "n": 1} for name in ("before", "after")]
    records, refused = records_of(written(tmp_path / "t.jsonl", lines_of(good[0], row, good[1])))
    assert [(r.text, r.line) for r in records] == [("before words", 1), ("after words", 3)]
    assert [(r.name, r.line) for r in refused] == [("t.jsonl", 2)]
    assert refused[0].why.startswith(sentence) and refused[0].why.endswith(".")


def test_bytes_that_are_not_of_the_encoding_refuse_their_line(tmp_path: Path):
    rows = '{"text": "Grüße"}\n'.encode() + '{"text": "Grüße"}\n'.encode("latin-1") + b'{"text": "c"}\n'
    records, refused = records_of(written(tmp_path / "t.jsonl", rows), encoding="utf-8")
    assert [r.text for r in records] == ["Grüße", "c"]
    assert [(r.line, r.why[:32]) for r in refused] == [(2, "It has bytes that are not utf-8;")]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_array_is_read_like_lines(tmp_path: Path, indent: int | None, encoding: str):
    rows = [{"text": f"number {i} “{'w' * (i % 7) * 1000}”", "label": "ab"[i % 2]} for i in range(300)]
    text = json.dumps(rows, indent=indent, ensure_ascii=False)
    records, refused = records_of(written(tmp_path / "t.json", text.encode(encoding)))
    assert refused == [] and [(r.text, r.label) for r in records] == [(row["text"], row["label"]) for row in rows]
    starts = [number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith("{")]
    assert [r.line for r in records] == (starts if indent else [1] * 300)


def test_an_array_that_breaks_off_gives_what_came_before(tmp_path: Path):
    rows = [{"text": f"some words {i}"} for i in range(50)]
    whole = json.dumps(rows, indent=1)
    for text, sentence in (
        (whole[:-1], "The array is not closed; the file may be cut off."),
        (whole[:-20], "It is not valid JSON"),
        (whole[:-1] + ", {'text': 1}]" + " " * 100_000, "It is not valid JSON"),
        (whole[:-1] + ', {"text": NaN}]', "It has NaN, which is no number in JSON"),
        (whole[:-1] + f", {DEEP}]", "It is nested too deeply; flatten it. The rest of the file is left out."),
        (whole[:-1] + ', {"text": "' + "w" * 20_000_000, "The row is longer than 16 million characters"),
    ):
        records, refused = records_of(written(tmp_path / "t.json", text))
        assert 49 <= len(records) <= 50, sentence
        assert len(refused) == 1 and refused[0].why.startswith(sentence)
        assert refused[0].line is not None and refused[0].line >= 147


def test_elements_of_an_array_that_are_no_objects_are_refused(tmp_path: Path):
    records, refused = records_of(written(tmp_path / "t.json", '[{"text": "a b"}, 5,\n "x", {"text": "c d"}]'))
    assert [(r.text, r.line) for r in records] == [("a b", 1), ("c d", 2)]
    assert [r.line for r in refused] == [1, 2]


def test_a_file_without_objects_has_its_sentence(tmp_path: Path):
    for content, sentence in (("[]", "has no rows"), ("5\n", "line 1: It is not an object")):
        with pytest.raises(Invalid, match=sentence):
            records_of(written(tmp_path / "t.json", content))


def test_our_own_columns_come_back_in_their_roles(tmp_path: Path):
    row = {
        "external_id": "a", "text": "some words", "fields": None, "meta": {"page": 3, "none": None}, "label": "x",
        "label_source": "consensus", "class": "x", "split": "test",
    }  # fmt: skip
    path = written(tmp_path / "t.jsonl", lines_of(row, {**row, "external_id": "b"}))
    shown = preview(path)
    assert shown.reading.roles == {
        "external_id": "id", "text": "text", "fields": "meta", "meta": "meta", "label": "label",
        "label_source": "meta", "class": "meta", "split": "meta",
    }  # fmt: skip
    assert shown.rows[0]["meta"] == {
        "page": 3, "none": None, "label_source": "consensus", "class": "x", "split": "test"
    }  # fmt: skip
    row = {"external_id": "a", "text": None, "fields": {"n": 1, "colour": None}, "meta": {}, "label": "x", "seconds": 3}
    records, _ = records_of(written(tmp_path / "r.jsonl", lines_of(row)))
    assert records == [Record("a", fields={"n": 1, "colour": None}, meta={"seconds": 3}, label="x", line=1)]


plain = some.text(some.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)
json_values = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**63), 2**63 - 1) | plain
    | some.floats(allow_nan=False, allow_infinity=False),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(plain, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(
    rows=some.lists(
        some.tuples(plain.filter(lambda text: bool(text.strip())), some.dictionaries(plain, json_values, max_size=4)),
        min_size=1, max_size=5,
    ),
    ascii_only=some.booleans(),
    as_array=some.booleans(),
)  # fmt: skip
def test_any_text_and_metadata_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, dict[str, Any]]], ascii_only: bool, as_array: bool
):
    objects = [{"external_id": f"{i}", "text": text, "meta": meta} for i, (text, meta) in enumerate(rows)]
    written_rows = [json.dumps(row, ensure_ascii=ascii_only) for row in objects]
    text = f"[{', '.join(written_rows)}]" if as_array else "\n".join(written_rows)
    path = written(tmp_path_factory.mktemp("any") / "t.jsonl", text)
    records, refused = records_of(path, encoding="utf-8")
    assert refused == []
    assert [(r.external_id, r.text, dict(r.meta)) for r in records] == [
        (row["external_id"], row["text"], row["meta"]) for row in objects
    ]


def test_texts_of_lines_with_odd_line_ends_are_whole(tmp_path: Path):
    odd = "a\u2028b\u0085c\x0bd"
    path = written(tmp_path / "t.jsonl", json.dumps({"text": odd}, ensure_ascii=False) + "\r\n" + '{"text": "e"}')
    assert texts_of(path) == [odd, "e"]
