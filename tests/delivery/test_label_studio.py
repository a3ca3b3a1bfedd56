"""Label Studio: tasks and configuration, as its own SDK reads them."""

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest

from labeling.db.engine import writing
from labeling.db.schema import LabelClass
from labeling.errors import Invalid
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject
from tests.delivery.exported import export, give, give_images, unpacked

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-label-studio" / "bin" / "python"  # `label-studio-sdk` wants an older NumPy than ours
CLASSES = ("cat & <dog>", 'd"ög')

KINDS: dict[str, Any] = {
    "text": {"text": ["a", "b\n<b>", "ünï 😀", "d", "e", "f"]},
    "fields": {"fields": [{"a": n, "ü": "x"} for n in range(6)]},
    "image": {},
}


@pytest.fixture(params=KINDS)
def small(workspace: Workspace, request: pytest.FixtureRequest) -> SmallProject:
    made = SmallProject.make(workspace, classes=CLASSES, strategy="margin")
    made.add_features(np.array([[-3], [3], [-3], [3], [-3], [3]], dtype=np.float32))
    give(made, **KINDS[request.param])
    if request.param == "image":
        give_images(made)
    for at in (0, 1):
        made.answer(made.people[0], made.items[at], made.classes[at])
    return made


@pytest.mark.slow
def test_label_studio_reads_the_tasks_and_their_labels(small: SmallProject, tmp_path: Path):
    if not PYTHON.exists():
        pytest.skip("label-studio-sdk is not installed beside; `make test-long` installs it where it can")
    small.learn()
    folder = unpacked(small, "label-studio", tmp_path / "out", unlabeled="suggest")
    script = Path(__file__).with_name("read_with_label_studio.py")
    ran = subprocess.run([PYTHON, script, folder], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["choices"] == list(CLASSES)
    assert told["valid_tasks"] == [True] * 6
    assert told["valid_annotations"] == [True] * 2
    assert told["valid_predictions"] == [True] * 4
    assert told["converted"] == {"1-0000": CLASSES[0], "1-0001": CLASSES[1]}  # predictions are left to people


def test_images_lie_where_the_tasks_say(workspace: Workspace, tmp_path: Path):
    small = SmallProject.make(workspace)
    give(small, external_id=[f"a b/ü{n}+.png" for n in range(6)])
    give_images(small)
    folder = unpacked(small, "label-studio", tmp_path / "out")
    for task in json.loads((folder / "tasks.json").read_text(encoding="utf-8")):
        assert (folder / unquote(task["data"]["image"].removeprefix("/data/local-files/?d="))).is_file()
    bare = unpacked(small, "label-studio", tmp_path / "bare", images=False)
    assert {path.name for path in bare.iterdir()} == {"tasks.json", "labeling-config.xml", "README.md"}


def test_a_suggestion_is_a_prediction_and_no_annotation(small: SmallProject, tmp_path: Path):
    small.learn()
    folder = unpacked(small, "label-studio", tmp_path / "out", unlabeled="suggest", images=False)
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    assert [("annotations" in task, "predictions" in task) for task in tasks] == [(True, False)] * 2 + [
        (False, True)
    ] * 4


def test_the_configuration_names_the_classes_that_there_are(small: SmallProject, tmp_path: Path):
    with writing(small.workspace.engine) as session:
        session.get_one(LabelClass, small.classes[0]).merged_into = small.classes[1]
    folder = unpacked(small, "label-studio", tmp_path / "out", images=False)
    choices = ElementTree.parse(folder / "labeling-config.xml").iter("Choice")
    assert [choice.get("value") for choice in choices] == [CLASSES[1]]


def test_a_class_that_no_configuration_can_name_is_said_at_once(workspace: Workspace):
    small = SmallProject.make(workspace, classes=("a\x01b",))
    with pytest.raises(Invalid, match="rename it"):
        export(small, "label-studio")
