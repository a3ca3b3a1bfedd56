"""Image folders as Hugging Face has them, and images with a table beside them."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labeling.errors import Invalid
from labeling.intake.records import Reading
from labeling.intake.sources import open_source, preview
from tests.intake.reading import records_of, written
from tests.intake.test_exchange import Files, Make, both_places, in_folder, in_zip, read

SPLIT: Files = {
    "train/cat/a.png": b"1", "train/dog/a.png": b"2", "test/cat/b.png": b"3", "valid/dog/b.png": b"4", "README.md": b"5"
}  # fmt: skip


@both_places
def test_folders_of_splits_are_metadata_and_not_classes(tmp_path: Path, make: Make):
    place = make(tmp_path, SPLIT)
    records, refused = records_of(place)
    assert refused == [] and preview(place).reading.format == "imagefolder"
    assert [(r.external_id, r.label, r.meta) for r in records if r.external_id != "README.md"] == [
        ("test/cat/b.png", "cat", {"split": "test"}), ("train/cat/a.png", "cat", {"split": "train"}),
        ("train/dog/a.png", "dog", {"split": "train"}), ("valid/dog/b.png", "dog", {"split": "validation"}),
    ]  # fmt: skip
    records, _ = records_of(place, format="images")
    assert [r.meta for r in records] == [{}] * 5


@both_places
def test_splits_without_classes_have_none(tmp_path: Path, make: Make):
    records, _ = records_of(make(tmp_path, {"pool/train/a.png": b"1", "pool/test/b.png": b"2"}))
    assert [(r.label, r.meta) for r in records] == [(None, {"split": "test"}), (None, {"split": "train"})]


def test_folders_that_are_not_all_splits_are_classes(tmp_path: Path):
    records, _ = records_of(in_folder(tmp_path, {"train/a.png": b"1", "boat/b.png": b"2"}))
    assert [(r.label, r.meta) for r in records] == [("boat", {}), ("train", {})]


def metadata(kind: str, rows: list[dict[str, object]]) -> bytes:
    if kind == "parquet":
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), out)
        return out.getvalue()
    if kind == "jsonl":
        return "\n".join(map(json.dumps, rows)).encode()
    return "\n".join(",".join(map(str, line)) for line in [list(rows[0]), *[row.values() for row in rows]]).encode()


@both_places
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_metadata_tables_name_their_images_and_labels(tmp_path: Path, make: Make, kind: str):
    train = metadata(kind, [{"file_name": "a.png", "label": "cat", "page": "p1"},
                            {"file_name": "sub/b.png", "label": "dog", "page": "p2"}])  # fmt: skip
    test = metadata(kind, [{"file_name": "a.png", "label": "dog", "page": "p3"},
                           {"file_name": "gone.png", "label": "dog", "page": "p4"}])  # fmt: skip
    place = make(
        tmp_path,
        {
            f"train/metadata.{kind}": train, f"test/metadata.{kind}": test, "train/a.png": b"1",
            "train/sub/b.png": b"2", "test/a.png": b"3", "test/unnamed.png": b"4",
        },
    )  # fmt: skip
    records, refused = records_of(place)
    assert [(r.external_id, r.label, r.meta, read(r)) for r in records] == [
        ("test/a.png", "dog", {"split": "test", "page": "p3"}, b"3"),
        ("train/a.png", "cat", {"split": "train", "page": "p1"}, b"1"),
        ("train/sub/b.png", "dog", {"split": "train", "page": "p2"}, b"2"),
    ]
    assert [(r.name, r.why.partition(";")[0]) for r in refused] == [
        (f"test/metadata.{kind}", "There is no image “gone.png” beside the table"),
        ("test/unnamed.png", f"train/metadata.{kind} does not name it"),
    ]
    shown = preview(place)
    assert shown.reading.format == "imagefolder"
    assert [row["id"] for row in shown.rows] == [r.external_id for r in records]
    assert records_of(place, **shown.reading.model_dump())[1] == refused


def test_metadata_without_labels_leaves_the_folders_as_classes(tmp_path: Path):
    table = "file_name,page\ncat/a.png,p1\ndog/b.png,p2\n"
    place = in_folder(tmp_path, {"metadata.csv": table, "cat/a.png": b"1", "dog/b.png": b"2"})
    assert [(r.label, r.meta) for r in records_of(place)[0]] == [("cat", {"page": "p1"}), ("dog", {"page": "p2"})]


@both_places
def test_a_table_beside_images_is_read_if_it_names_them(tmp_path: Path, make: Make):
    files: Files = {"images/a.png": b"1", "images/b.png": b"2", "notes.csv": "who,what\nada,plans\n"}
    records, _ = records_of(make(tmp_path, files))
    assert [r.external_id for r in records] == ["images/a.png", "images/b.png", "notes.csv"]
    files["answers.csv"] = "file,given_label\na.png,cat\nb.png,dog\n"
    records, refused = records_of(make(tmp_path, files))
    assert [(r.external_id, r.label) for r in records] == [("images/a.png", "cat"), ("images/b.png", "dog")]
    assert refused == []


def test_a_bare_name_that_two_images_have_is_not_guessed(tmp_path: Path):
    place = in_folder(
        tmp_path, {"t.csv": "file,label\na.png,x\nc.png,y\n", "p/a.png": b"1", "q/a.png": b"2", "c.png": b"3"}
    )
    records, refused = records_of(place)
    assert [r.external_id for r in records] == ["c.png"]
    assert [r.name for r in refused] == ["t.csv", "p/a.png", "q/a.png"]


def test_links_that_a_table_names_are_refused(tmp_path: Path):
    written(tmp_path / "secret.png", b"secret")
    place = in_folder(tmp_path, {"t.csv": "file,label\na.png,x\nlink.png,y\n", "a.png": b"1"})
    (place / "link.png").symlink_to(tmp_path / "secret.png")
    records, refused = records_of(place)
    assert [r.external_id for r in records] == ["a.png"]
    assert [(r.name, r.line) for r in refused] == [("link.png", None), ("t.csv", 3)]
    assert all("link" in r.why for r in refused)


@both_places
def test_a_place_of_tables_alone_is_read_as_texts(tmp_path: Path, make: Make):
    table = "text,label\nsome words,x\nmore words,y\n"
    records, refused = records_of(make(tmp_path, {"data/pool.csv": table}))
    assert refused == [] and [(r.text, r.label, r.meta) for r in records] == [
        ("some words", "x", {}), ("more words", "y", {})
    ]  # fmt: skip


@both_places
def test_the_parts_of_a_data_set_are_its_splits(tmp_path: Path, make: Make):
    def part(text: str) -> bytes:
        return metadata("parquet", [{"text": text, "label": "x"}])

    place = make(
        tmp_path,
        {"data/train-00000-of-00002.parquet": part("a b"), "data/train-00001-of-00002.parquet": part("c d"),
         "data/test-00000-of-00001.parquet": part("e f"), "data/test-other.parquet": metadata("parquet", [{"n": 1}])},
    )  # fmt: skip
    records, refused = records_of(place)
    assert [(r.text, r.meta["split"]) for r in records] == [("e f", "test"), ("a b", "train"), ("c d", "train")]
    assert [(r.name, r.why.partition(" ")[0]) for r in refused] == [("data/test-other.parquet", "It")]


def test_tables_of_several_formats_ask_for_a_choice(tmp_path: Path):
    files: Files = {"a.csv": "text\nsome words\n", "b.jsonl": '{"text": "more words"}'}
    place = in_zip(tmp_path, files)
    with pytest.raises(Invalid, match="tables of several formats"):
        records_of(place)
    assert [r.text for r in records_of(place, format="jsonl")[0]] == ["more words"]
    with pytest.raises(Invalid, match="no table of the format “parquet”"):
        records_of(place, format="parquet")


def test_a_format_that_is_none_or_does_not_suit_has_its_sentence(tmp_path: Path):
    path = written(tmp_path / "t.csv", "text\nsome words\n")
    with pytest.raises(Invalid, match="There is no format “yaml”; choose one of: images, imagefolder, csv"):
        records_of(path, format="yaml")
    with pytest.raises(Invalid, match="is a single file; give a folder or an archive"):
        records_of(path, format="images")


def test_a_damaged_table_in_an_archive_has_its_sentence(tmp_path: Path):
    path = in_zip(tmp_path, {"t.csv": "text\n" + "some words\n" * 1000})
    data = bytearray(path.read_bytes())
    data[60:70] = b"\xff" * 10
    with pytest.raises(Invalid, match=r"damaged|not a zip"):
        records_of(written(tmp_path / "odd.zip", bytes(data)))


@pytest.mark.parametrize("name", ["t.parquet", "t.xlsx", "t.csv.gz", "t.json"])
def test_tables_that_need_to_be_read_in_any_order_are_read_from_archives(tmp_path: Path, name: str):
    import gzip

    import openpyxl

    out = io.BytesIO()
    if name == "t.parquet":
        pq.write_table(pa.table({"text": ["some words"]}), out)
    elif name == "t.xlsx":
        book = openpyxl.Workbook()
        book.active.append(["text"])
        book.active.append(["some words"])
        book.save(out)
    else:
        out.write(gzip.compress(b"text\nsome words\n") if name == "t.csv.gz" else b'[{"text": "some words"}]')
    assert [r.text for r in records_of(in_zip(tmp_path, {name: out.getvalue()}))[0]] == ["some words"]


SHARED = Path(__file__).parents[3] / "shared/data"


@pytest.mark.skipif(not (SHARED / "cifar10h.zip").exists(), reason="the shared data is not on this machine")
def test_real_images_with_a_table_beside_them_are_read():
    with open_source(SHARED / "cifar10h.zip", Reading()) as source:
        found = [record for record, _ in zip(source.records, range(3), strict=False)]
    assert source.kind == "image" and [getattr(r, "label", None) for r in found] == ["cat", "ship", "ship"]
