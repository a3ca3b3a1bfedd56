"""A project's matrix: filled in row order, gone on with, and right after a kill."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlmodel import select

from labeling.db.engine import writing
from labeling.db.schema import Item
from labeling.errors import Invalid, NotFound
from labeling.features import encoding, pixels
from labeling.features.encoding import encode_project, encoder_of, open_features
from labeling.features.pixels import Pixels
from labeling.workspace import Workspace

ROOT = Path(__file__).parents[2]


def grays(n: int, first: int = 0) -> list[Image.Image]:
    """n images of 8 by 8 whose first two pixels count."""
    images = []
    for i in range(first, first + n):
        image = Image.new("L", (8, 8))
        image.putpixel((0, 0), i // 256)
        image.putpixel((1, 0), i % 256)
        images.append(image)
    return images


def counted(array: np.ndarray) -> list[int]:
    whole = np.rint(array * 255).astype(int)
    return (whole[:, 0] * 256 + whole[:, 1]).tolist()


def test_a_project_without_items_has_no_features(workspace: Workspace, project: int):
    assert encode_project(workspace, project) is None
    assert open_features(workspace, project) is None


def test_rows_of_the_matrix_are_rows_of_the_items(workspace: Workspace, project: int, add_images, monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK", 4)
    add_images(grays(10))
    seen: list[tuple[float, str]] = []
    matrix = encode_project(workspace, project, progress=lambda *args: seen.append(args))
    assert matrix is not None and counted(matrix.array()) == list(range(10))
    assert seen[-1] == (1.0, "10 of 10 images encoded") and len(seen) == 3
    opened = open_features(workspace, project)
    assert opened is not None and opened.layout == matrix.layout
    assert matrix.folder == workspace.features(project, matrix.version)
    assert encoder_of(opened) == Pixels(channels=1)


def test_only_what_is_new_is_encoded(workspace: Workspace, project: int, add_images):
    add_images(grays(5))
    encode_project(workspace, project)
    for path in (workspace.root / "media").rglob("*"):
        if path.is_file():
            path.unlink()  # what is encoded already is not looked at again
    add_images(grays(3, first=5), first=5)
    matrix = encode_project(workspace, project)
    assert matrix is not None and counted(matrix.array()) == list(range(8))
    again = encode_project(workspace, project)
    assert again is not None and again.layout == matrix.layout


def test_the_first_chunk_decides_on_colour_and_later_images_follow(workspace: Workspace, project: int, add_images):
    add_images([Image.new("RGB", (8, 8), "red")])
    first = encode_project(workspace, project)
    add_images(grays(2), first=1)
    second = encode_project(workspace, project)
    assert first is not None and second is not None
    assert (first.width, second.width, second.rows, first.version) == (192, 192, 3, second.version)


def test_projects_have_matrices_of_their_own(workspace: Workspace, project: int, add_images):
    add_images(grays(2))
    encode_project(workspace, project)
    with pytest.raises(NotFound):
        open_features(workspace, project + 1)


def test_a_cancelled_run_keeps_what_is_done(workspace: Workspace, project: int, add_images, monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK", 4)
    add_images(grays(10))
    answers = iter([False, True])
    matrix = encode_project(workspace, project, cancelled=lambda: next(answers))
    assert matrix is not None and counted(matrix.array()) == list(range(4))
    matrix = encode_project(workspace, project)
    assert matrix is not None and counted(matrix.array()) == list(range(10))


def test_a_row_whose_item_is_gone_is_zero(workspace: Workspace, project: int, add_images):
    add_images(grays(4, first=1))
    with writing(workspace.engine) as session:
        session.delete(session.exec(select(Item).where(Item.row == 1)).one())
    matrix = encode_project(workspace, project)
    assert matrix is not None and counted(matrix.array()) == [1, 0, 3, 4]


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_an_image_that_is_lost_is_named(workspace: Workspace, project: int, add_images, damage: str):
    add_images(grays(4))
    with writing(workspace.engine) as session:
        media = workspace.media(session.exec(select(Item.content_hash).where(Item.row == 2)).one())
    data = media.read_bytes()
    media.unlink()
    if damage == "damaged":
        media.write_bytes(data[:50])
    with pytest.raises(Invalid, match="“i2” is missing or damaged"):
        encode_project(workspace, project)
    media.write_bytes(data)
    matrix = encode_project(workspace, project)
    assert matrix is not None and counted(matrix.array()) == list(range(4))


def test_an_item_without_an_image_is_named(workspace: Workspace, project: int):
    with writing(workspace.engine) as session:
        session.add(Item(project_id=project, external_id="words", content_hash="0", text="some words", row=0))
    with pytest.raises(Invalid, match="“words” has no image"):
        encode_project(workspace, project)


def test_features_of_an_older_code_serve_until_the_new_ones_have_caught_up(
    workspace: Workspace, project: int, add_images, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(encoding, "CHUNK", 4)
    add_images(grays(8))
    old = encode_project(workspace, project)
    monkeypatch.setattr(pixels, "CODE", 2)
    answers = iter([False, True])
    encode_project(workspace, project, cancelled=lambda: next(answers))
    live = open_features(workspace, project)
    assert old is not None and live is not None and live.version == old.version
    new = encode_project(workspace, project)
    live = open_features(workspace, project)
    assert new is not None and live is not None and live.version == new.version != old.version


ENCODE = """
    import sys
    sys.path.insert(0, {root!r})
    from labeling.features import encoding
    from labeling.workspace import open_workspace
    encoding.CHUNK = 10
    encoding.encode_project(open_workspace({workspace!r}), {project}, progress=lambda *_: print("+", flush=True))
"""


@pytest.fixture
def encoding_elsewhere(workspace: Workspace, project: int) -> Callable[[], "subprocess.Popen[str]"]:
    """Encode in a process of its own, which says "+" after each chunk of ten."""

    def start() -> "subprocess.Popen[str]":
        program = textwrap.dedent(ENCODE.format(root=str(ROOT), workspace=str(workspace.root), project=project))
        return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)

    return start


@pytest.mark.faults
def test_encoding_goes_on_after_a_kill(workspace: Workspace, project: int, add_images, encoding_elsewhere):
    add_images(grays(2000))
    rows = 0
    for chunks, pause in ((1, 0.0), (5, 0.002), (3, 0.005), (7, 0.001)):
        with encoding_elsewhere() as process:
            for _ in range(chunks):
                assert process.stdout.readline() == "+\n"
            time.sleep(pause)
            process.kill()
        matrix = open_features(workspace, project)
        assert matrix is not None and rows < matrix.rows < 2000
        rows = matrix.rows
        assert counted(matrix.array()) == list(range(rows))
    matrix = encode_project(workspace, project)
    assert matrix is not None and counted(matrix.array()) == list(range(2000))
