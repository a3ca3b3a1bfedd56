"""Exports of Label Studio, doccano and COCO, with their labels, and alone or beside their images."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labeling.errors import Invalid
from labeling.intake.records import Record
from labeling.intake.sources import preview
from tests.intake.reading import records_of, written


def answer(*choices: str, **more: Any) -> dict[str, Any]:
    result = {"type": "choices", "from_name": "topic", "to_name": "text", "value": {"choices": list(choices)}}
    return {"id": 1, "completed_by": 1, "was_cancelled": False, "result": [result], **more}


def task(number: int, data: dict[str, Any], *answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": number, "data": data, "annotations": list(answers), "predictions": [answer("guess")], **more}


BOX = {"type": "rectanglelabels", "value": {"x": 1, "y": 1, "rectanglelabels": ["cat"]}}
TASKS = [
    task(1, {"text": "Rain all day", "page": 3}, answer("weather"), meta={"from": "web"}),
    task(2, {"text": "A goal at last"}, answer("sport"), answer("sport")),
    task(3, {"text": "Both of them"}, answer("weather"), answer("sport")),
    task(4, {"text": "Two at once"}, answer("weather", "sport")),
    task(5, {"text": "Left out"}, answer("weather", was_cancelled=True)),
    task(6, {"text": "Nobody yet"}),
    task(7, {"text": "In a box"}, {"result": [BOX]}),
]


def test_label_studio_tasks_come_in_with_the_choice_all_agree_on(tmp_path: Path):
    path = written(tmp_path / "export.json", json.dumps(TASKS, indent=1))
    records, refused = records_of(path)
    assert refused == []
    assert [(r.external_id, r.text, r.label) for r in records] == [
        ("1", "Rain all day", "weather"), ("2", "A goal at last", "sport"), ("3", "Both of them", None),
        ("4", "Two at once", None), ("5", "Left out", None), ("6", "Nobody yet", None), ("7", "In a box", None),
    ]  # fmt: skip
    assert records[0].meta == {"page": 3, "from": "web"}
    assert [r.meta.get("labels") for r in records[2:4]] == [["weather", "sport"], ["weather", "sport"]]
    shown = preview(path)
    assert shown.reading.format == "label-studio" and shown.classes == ["sport", "weather"]
    assert shown.notes == [
        "Only choices of one class are read; boxes, spans and other kinds of answers are left out.",
        "Some rows have several labels; they go in without one, and their labels are kept in the metadata.",
    ]


def test_older_and_broken_tasks_of_label_studio(tmp_path: Path):
    tasks = [
        {"id": 1, "data": {"text": "Rain all day"}, "completions": [answer("weather")]},
        {"id": 2, "data": "text", "annotations": []},
        {"id": 3, "data": {"text": "odd words"}, "annotations": [5, {"result": 5}, {"result": [5, {"value": 5}]}]},
        {"id": 4, "data": {"text": "odd words too"}, "annotations": "none"},
    ]
    records, refused = records_of(written(tmp_path / "export.json", json.dumps(tasks)))
    assert [(r.external_id, r.label) for r in records] == [("1", "weather"), ("3", None), ("4", None)]
    assert [r.why for r in refused] == ["Its data is not an object with names and values; export it again."]


def test_label_studios_smaller_export_is_read(tmp_path: Path):
    row = {"annotation_id": 5, "annotator": 1, "lead_time": 3.5, "created_at": "2024", "updated_at": "2024"}
    rows = [
        {"id": 1, "text": "Rain all day", "topic": "weather", **row},
        {"id": 2, "text": "Two at once", "topic": {"choices": ["weather", "sport"]}, **row},
    ]
    path = written(tmp_path / "mini.json", json.dumps(rows))
    records, refused = records_of(path)
    assert refused == [] and preview(path).reading.format == "label-studio"
    assert [(r.external_id, r.text, r.label, r.meta) for r in records] == [
        ("1", "Rain all day", "weather", {}),
        ("2", "Two at once", None, {"labels": ["weather", "sport"]}),
    ]


def test_doccano_documents_come_in_and_several_labels_are_kept_aside(tmp_path: Path):
    rows = [
        {"id": 1, "text": "Rain all day", "label": ["weather"], "Comments": [], "page": 3},
        {"id": 2, "text": "Both of them", "label": ["weather", "sport"]},
        {"id": 3, "text": "Nobody yet", "label": []},
        {"id": 4, "text": "A person", "label": [[0, 8, "PER"]]},
        {"id": 5, "text": "Plainly", "label": "sport"},
    ]
    path = written(tmp_path / "all.jsonl", "\n".join(map(json.dumps, rows)))
    records, refused = records_of(path)
    assert refused == [] and preview(path).reading.format == "doccano"
    assert [(r.external_id, r.label, r.meta) for r in records] == [
        ("1", "weather", {"page": 3}), ("2", None, {"labels": ["weather", "sport"]}), ("3", None, {}), ("4", None, {}),
        ("5", "sport", {}),
    ]  # fmt: skip
    assert len(preview(path).notes) == 2
    older = [{"id": 1, "data": "Rain all day", "labels": ["weather"]}]
    assert [r.label for r in records_of(written(tmp_path / "old.jsonl", json.dumps(older[0])))[0]] == ["weather"]


Files = dict[str, bytes | str]


def in_folder(tmp_path: Path, files: Files) -> Path:
    for name, content in files.items():
        written(tmp_path / "pool" / name, content)
    return tmp_path / "pool"


def in_zip(tmp_path: Path, files: Files) -> Path:
    with zipfile.ZipFile(tmp_path / "pool.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return tmp_path / "pool.zip"


both_places = pytest.mark.parametrize("make", [in_folder, in_zip])
Make = Callable[[Path, Files], Path]

COCO = {
    "images": [
        {"id": 1, "file_name": "a.png", "width": 5, "height": 5, "city": "Ulm"}, {"id": 2, "file_name": "sub/b.png"},
        {"id": 3, "file_name": "c.png"}, {"id": 4, "file_name": "d.png"}, {"id": 5, "file_name": "gone.png"},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 7}, {"id": 2, "image_id": 2, "category_id": 9},
        {"id": 3, "image_id": 2, "category_id": 9}, {"id": 4, "image_id": 3, "category_id": 7},
        {"id": 5, "image_id": 3, "category_id": 9},
    ],
    "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
}  # fmt: skip
IMAGES: Files = {"images/a.png": b"1", "images/sub/b.png": b"2", "images/c.png": b"3", "images/d.png": b"4"}


def read(record: Record) -> bytes:
    assert record.read is not None
    return record.read()


@both_places
@pytest.mark.parametrize("indent", [None, 1])
def test_coco_images_come_in_with_the_category_of_their_annotations(tmp_path: Path, make: Make, indent: int | None):
    place = make(tmp_path, {"annotations/instances_val2017.json": json.dumps(COCO, indent=indent), **IMAGES})
    records, refused = records_of(place)
    assert [(r.external_id, r.label, read(r)) for r in records] == [
        ("images/a.png", "cat", b"1"), ("images/sub/b.png", "dog", b"2"), ("images/c.png", None, b"3"),
        ("images/d.png", None, b"4"),
    ]  # fmt: skip
    assert records[0].meta == {"city": "Ulm", "split": "validation"}
    assert records[2].meta == {"labels": ["cat", "dog"], "split": "validation"}
    assert [(r.name, r.why) for r in refused] == [
        ("annotations/instances_val2017.json", "There is no image “gone.png” beside the table; check the name.")
    ]
    assert preview(place).reading.format == "coco"


@both_places
def test_several_tables_are_read_one_after_the_other_with_their_splits(tmp_path: Path, make: Make):
    first = {**COCO, "images": COCO["images"][:2]}
    second = {**COCO, "images": COCO["images"][2:4]}
    place = make(tmp_path, {"train.json": json.dumps(first), "val.json": json.dumps(second), **IMAGES})
    records, refused = records_of(place)
    assert refused == [] and [r.meta["split"] for r in records] == ["train", "train", "validation", "validation"]
    assert "2 tables are read one after the other, train.json first." in preview(place).notes


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "it is not valid JSON"),
        ('{"images": []}', "line 1: |No column|has no"),
        (json.dumps({**COCO, "images": []}), "has no images"),
        (json.dumps({**COCO, "images": [5]}), "is not complete COCO"),
        (json.dumps({**COCO, "images": [{"id": [], "file_name": "a"}]}), "is not complete COCO"),
        (json.dumps({**COCO, "annotations": [{"image_id": 1, "category_id": 99}]}), "is not complete COCO: 99"),
        ('{"images": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    ],
)
def test_broken_coco_has_its_sentence(tmp_path: Path, content: str, sentence: str):
    with pytest.raises(Invalid, match=sentence):
        records_of(written(tmp_path / "coco.json", content))
    with pytest.raises(Invalid):
        records_of(written(tmp_path / "coco.json", content), format="coco")


def test_a_table_alone_has_no_images(tmp_path: Path):
    written(tmp_path / "a.png", b"not to be found")
    for name, content in (
        ("coco.json", json.dumps({**COCO, "images": COCO["images"][:1]})), ("t.csv", "image,label\na.png,cat\n"),
        ("tasks.json", json.dumps([task(1, {"image": "/data/upload/a.png"}, answer("cat"))])),
    ):  # fmt: skip
        records, refused = records_of(written(tmp_path / name, content))
        assert records == []
        assert [r.why for r in refused] == [
            "It names an image, and the table came alone; give the folder or archive with both in it."
        ]


@both_places
def test_images_that_label_studio_kept_elsewhere_are_found_by_their_last_name(tmp_path: Path, make: Make):
    tasks = [
        task(1, {"image": "/data/upload/1/a.png"}, answer("cat")),
        task(2, {"image": "/data/local-files/?d=pets/sub/b.png"}, answer("dog")),
        task(3, {"image": "c.png"}, answer("dog")),
        task(4, {"image": "http://example.org/d.png"}, answer("dog")),
        task(5, {"image": "s3://bucket/d.png"}, answer("dog")),
        task(6, {"image": "/data/upload/../../d.png"}, answer("dog")),
    ]
    place = make(tmp_path, {"export.json": json.dumps(tasks), **IMAGES})
    records, refused = records_of(place)
    assert [(r.external_id, r.label, read(r)) for r in records] == [
        ("1", "cat", b"1"), ("2", "dog", b"2"), ("3", "dog", b"3")
    ]  # fmt: skip
    assert [r.why.partition(";")[0] for r in refused] == [
        "It names a web address, and the server fetches none",
        "It names a web address, and the server fetches none",
        "It names an image outside of what is imported",
        "export.json does not name it",
    ]


OUTSIDE = [
    "../secret.png", "/etc/secret.png", "sub/../../secret.png", "C:\\secret.png", "..\\secret.png", "//host/a.png",
    "file:///etc/secret.png", "https://example.org/a.png", "data:image/png;base64,aaaa",
]  # fmt: skip


@both_places
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_table_names_images_inside_its_place_only(tmp_path: Path, make: Make, name: str):
    written(tmp_path / "secret.png", b"secret")
    table = f'file,label\n"{name}",cat\nimages/a.png,cat\na.png,cat\n'
    records, refused = records_of(make(tmp_path, {"t.csv": table, "images/a.png": b"1"}))
    assert [(r.external_id, read(r)) for r in records] == [("images/a.png", b"1")] * 2
    assert [(r.name, r.line) for r in refused] == [("t.csv", 2)]
    assert "outside" in refused[0].why or "web address" in refused[0].why
