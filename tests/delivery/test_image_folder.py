"""The image folder, as Hugging Face `datasets` reads it."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from labeling.errors import Invalid
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject
from tests.delivery.exported import export, give, give_images, png, unpacked

CLASSES = ("cat/dog", "../zebra", "ünï, “x”")


@pytest.fixture
def pictures(workspace: Workspace) -> SmallProject:
    small = SmallProject.make(workspace, items=10, classes=CLASSES)
    give_images(small)
    give(
        small,
        meta=[{"site": f"site {n % 2}", "n": n} for n in range(10)],
        external_id=[f"a/b{n}.gif" for n in range(10)],
    )
    for at in range(8):
        small.answer(small.people[0], small.items[at], small.classes[at % 3])
    return small


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`datasets.load_dataset`, without the network and with a cache of its own."""
    for name in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    datasets = pytest.importorskip("datasets")
    return lambda *args, **kwargs: datasets.load_dataset(*args, cache_dir=str(tmp_path / "cache"), **kwargs)


@pytest.mark.slow
def test_datasets_loads_images_with_their_classes(pictures: SmallProject, tmp_path: Path, load: Any):
    folder = unpacked(pictures, "imagefolder", tmp_path / "out")
    loaded = load("imagefolder", data_dir=str(folder))["train"]
    assert loaded.features["label"].names == list(CLASSES)
    assert [None if n is None else CLASSES[n] for n in loaded["label"]] == [CLASSES[n % 3] for n in range(8)] + [
        None
    ] * 2
    assert loaded["external_id"] == [f"a/b{n}.gif" for n in range(10)]
    for item, row in zip(pictures.items, loaded, strict=True):
        assert row["image"].tobytes() == Image.open(io.BytesIO(png(item))).tobytes()
        assert json.loads(row["meta"])["n"] == item - pictures.items[0]


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["train=0.4,test=0.6", "meta:site"])
def test_datasets_loads_each_side_of_a_split(pictures: SmallProject, tmp_path: Path, load: Any, rule: str):
    folder = unpacked(pictures, "imagefolder", tmp_path / "out", split=rule, unlabeled="drop")
    loaded = load(str(folder))
    assert set(loaded) == ({"train", "test"} if rule.startswith("train") else {"site_0", "site_1"})
    assert sum(map(len, loaded.values())) == 8
    assert {side.features["label"].names[0] for side in loaded.values()} == {CLASSES[0]}


def test_the_metadata_names_every_file_beside_it(pictures: SmallProject, tmp_path: Path):
    folder = unpacked(pictures, "imagefolder", tmp_path, split="meta:site")
    found = [(folder / side, pd.read_parquet(folder / side / "metadata.parquet")) for side in ("site 0", "site 1")]
    assert [len(table) for _, table in found] == [5, 5]
    for place, table in found:
        assert all((place / name).is_file() for name in table["file_name"])
        assert {path.name for path in (place / "images").iterdir()} == {Path(name).name for name in table["file_name"]}


def test_an_image_that_is_gone_is_named(pictures: SmallProject):
    for path in (pictures.workspace.root / "media").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(Invalid, match=r"stored image of “a/b0\.gif” is gone"):
        export(pictures, "imagefolder")


def test_an_empty_project_is_an_archive_without_images(workspace: Workspace):
    small = SmallProject.make(workspace, items=0)
    for format in ("imagefolder", "coco", "label-studio"):
        with zipfile.ZipFile(io.BytesIO(export(small, format))) as archive:
            assert archive.testzip() is None
            assert not [name for name in archive.namelist() if name.startswith("images/")]
