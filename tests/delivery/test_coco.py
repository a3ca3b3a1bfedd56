"""COCO, as its own tools read it."""

import contextlib
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from labeling.workspace import Workspace
from tests.db.small_project import SmallProject
from tests.delivery.exported import give, give_images, unpacked


@pytest.fixture
def pictures(workspace: Workspace) -> SmallProject:
    small = SmallProject.make(workspace, items=6, classes=("cat", 'd"ög'))
    give_images(small)
    give(small, meta=[{"site": n % 2} for n in range(6)])
    for at in range(4):
        small.answer(small.people[0], small.items[at], small.classes[at % 2])
    return small


def test_pycocotools_finds_the_images_of_a_category(pictures: SmallProject, tmp_path: Path):
    coco = pytest.importorskip("pycocotools.coco")
    folder = unpacked(pictures, "coco", tmp_path / "out")
    with contextlib.redirect_stdout(io.StringIO()):
        read = coco.COCO(str(folder / "annotations.json"))
    assert {c["id"]: c["name"] for c in read.loadCats(read.getCatIds())} == dict(
        zip(pictures.classes, ("cat", 'd"ög'), strict=True)
    )
    cats = read.getImgIds(catIds=[pictures.classes[0]])
    assert sorted(cats) == [pictures.items[0], pictures.items[2]]
    assert len(read.getImgIds()) == 6
    assert len(read.getAnnIds()) == 4
    for image in read.loadImgs(cats):
        with Image.open(folder / image["file_name"]) as opened:
            assert opened.size == (image["width"], image["height"]) == (8, 6)


def test_each_side_of_a_split_is_a_data_set_of_its_own(pictures: SmallProject, tmp_path: Path):
    folder = unpacked(pictures, "coco", tmp_path / "out", split="meta:site", unlabeled="drop")
    for side in ("0", "1"):
        data = json.loads((folder / side / "annotations.json").read_text())
        assert [image["meta"] for image in data["images"]] == [{"site": int(side)}] * 2
        assert {a["image_id"] for a in data["annotations"]} == {image["id"] for image in data["images"]}
        assert all((folder / side / image["file_name"]).is_file() for image in data["images"])


def test_the_annotations_come_without_the_images_where_they_are_not_wanted(pictures: SmallProject, tmp_path: Path):
    folder = unpacked(pictures, "coco", tmp_path / "out", images=False)
    assert [path.name for path in folder.iterdir()] == ["annotations.json"]
