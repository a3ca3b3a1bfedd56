"""Parquet: types, batches, what Hugging Face writes, and damaged or hostile files."""

import itertools
import sys
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from labeling.errors import Invalid
from labeling.intake import unparquet
from labeling.intake.lines import MAX_TEXT
from labeling.intake.records import Record, Refused
from labeling.intake.sources import open_source
from tests.intake.reading import records_of, texts_of, written


def parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_a_parquet_file_is_read_with_its_types_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("labeling.intake.unparquet.MAX_BATCH_ROWS", 7)
    rows = 50
    path = parquet(
        tmp_path / "t.parquet",
        {
            "id": list(range(rows)), "a": pa.array([i / 4 if i % 5 else None for i in range(rows)]),
            "b": [float("nan"), 1.0] * (rows // 2), "c": [i % 2 == 0 for i in range(rows)],
            "label": ["x", "y"] * (rows // 2), "when": [date(2024, 1, 1)] * rows, "split": ["train"] * rows,
        },
        row_group_size=20,
    )  # fmt: skip
    records, refused = records_of(path)
    assert refused == [] and len(records) == rows
    assert records[6].external_id == "6" and records[6].line == 7 and records[6].label == "x"
    assert records[6].fields == {"a": 1.5, "b": None, "c": True, "when": "2024-01-01"}
    assert records[6].meta == {"split": "train"}


def test_an_infinite_number_in_parquet_is_refused_by_its_row(tmp_path: Path):
    _, refused = records_of(parquet(tmp_path / "t.parquet", {"a": [1.0, float("inf")], "b": [1, 2]}))
    assert refused == [Refused("t.parquet", 2, "Its cell “a” is infinite; leave it empty.")]


def test_images_and_class_names_of_hugging_face_parquet_are_read(tmp_path: Path):
    import json

    table = pa.table({"image": [{"bytes": b"1", "path": "a.png"}, {"bytes": b"2", "path": None}], "label": [1, -1]})
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    described = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(described), tmp_path / "t.parquet")
    records, refused = records_of(tmp_path / "t.parquet")
    assert refused == [] and [r.label for r in records] == ["dog", None]
    assert records[0].external_id == "a.png" and [r.read() for r in records if r.read] == [b"1", b"2"]


def test_a_parquet_file_that_is_damaged_is_refused_or_gives_what_can_be_read(tmp_path: Path):
    path = parquet(
        tmp_path / "t.parquet", {"text": [f"text number {i} of many" for i in range(9000)]}, row_group_size=3000,
        compression="zstd", use_dictionary=False,
    )  # fmt: skip
    whole = path.read_bytes()
    for cut in (whole[: len(whole) // 2], whole[:4] + whole[-4:], b"PAR1" + bytes(100) + b"PAR1"):
        with pytest.raises(Invalid, match=r"not a Parquet file that can be read|is empty"):
            records_of(written(tmp_path / "cut.parquet", cut))
    middle = len(whole) // 2
    records, refused = records_of(
        written(tmp_path / "odd.parquet", whole[:middle] + b"\xff" * 2000 + whole[middle + 2000 :])
    )
    assert 2000 < len(records) < 9000
    assert [r.why for r in refused] == ["The file is damaged or cut off from here on; what stands before went in."]


def test_a_parquet_file_that_repeats_one_long_text_is_not_held_in_memory(tmp_path: Path):
    text = "w " * 400_000
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array([text]))
    path = parquet(tmp_path / "bomb.parquet", {"text": column, "n": list(range(20_000))}, compression="zstd")
    with open_source(path) as source:
        first, second = itertools.islice(source.records, 2)
        assert path.stat().st_size < 200_000 and isinstance(first, Record) and isinstance(second, Record)
        assert first.text == text and first.text is second.text


def test_a_parquet_file_that_unpacks_to_far_more_than_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("labeling.intake.parquet.MAX_UNPACKED", 1000)
    texts = ["w " * 400_000 + str(i) for i in range(10)]
    path = parquet(tmp_path / "bomb.parquet", {"text": texts}, compression="zstd", use_dictionary=False)
    with pytest.raises(Invalid, match=r"bomb\.parquet would unpack to 0\.0 GB, far more than tables do"):
        records_of(path)


def test_a_text_too_long_in_parquet_is_refused_by_its_row(tmp_path: Path):
    path = parquet(tmp_path / "t.parquet", {"text": ["some words", "w" * (MAX_TEXT + 1), "x\0y", "the end of it"]})
    records, refused = records_of(path)
    assert [r.text for r in records] == ["some words", "the end of it"] and [r.line for r in refused] == [2, 3]


ABORTS = {
    "at once": ("import os; os.abort()", None),
    "after its header": (
        """
import json, os, struct, sys
header = json.dumps({"rows": 5, "columns": ["text"], "unpacked": 9, "classes": {}}).encode()
os.write(1, struct.pack("!I", len(header)) + header)
os.abort()
""",
        "t.parquet, line 1: The file is damaged or cut off from here on",
    ),
    "with nonsense": ("import os; os.write(1, b'nonsense' * 1000)", None),
    "with a list": ("import os; os.write(1, b'\\0\\0\\0\\2[]')", None),
}


@pytest.mark.parametrize("how", ABORTS)
def test_a_file_that_takes_its_decoder_along_takes_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
):
    program, sentence = ABORTS[how]
    monkeypatch.setattr(unparquet, "__file__", str(written(tmp_path / "program.py", program)))
    with pytest.raises(Invalid, match=sentence or "is not a Parquet file that can be read"):
        records_of(parquet(tmp_path / "t.parquet", {"text": ["some words"]}))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_rows_too_large_for_the_memory_have_their_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unparquet, "MAX_MEMORY", 1024**3)
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["w " * 4_500_000]))
    path = parquet(tmp_path / "bomb.parquet", {"text": column}, compression="zstd", store_schema=False)
    with pytest.raises(Invalid, match=r"^bomb\.parquet cannot be read: its rows are too large for the memory"):
        records_of(path)


def test_the_decoder_does_not_know_our_settings_and_ends_with_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ASKWISE_DATABASE_URL", "postgresql://user:secret@host/db")
    path = parquet(tmp_path / "t.parquet", {"text": [f"some words {i}" for i in range(50_000)]})
    with open_source(path) as source:
        next(iter(source.records))
        (child,) = [child for child in psutil.Process().children() if "unparquet" in " ".join(child.cmdline())]
        assert not any(name.startswith("ASKWISE_") for name in child.environ())
    assert not child.is_running()


words = some.text(some.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1).filter(
    lambda text: not text.isspace()
)


@settings(max_examples=5, deadline=None)
@given(texts=some.lists(words, min_size=1, max_size=100))
def test_any_text_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, texts: list[str]):
    path = parquet(tmp_path_factory.mktemp("any") / "t.parquet", {"text": texts, "label": ["x"] * len(texts)})
    assert texts_of(path, roles={"text": "text", "label": "label"}) == texts
