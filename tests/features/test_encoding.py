"""A project's matrix: filled in row order, gone on with, and right after a kill."""

import re
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
from labeling.features import pixels
from labeling.features.base import Content
from labeling.features.encoding import encode_project, encoder_for, encoder_of, open_features
from labeling.features.hog import Hog
from labeling.features.pixels import Pixels
from labeling.features.tfidf import Tfidf
from labeling.workspace import Workspace
from tests.features.contents import rows, sentences, shapes

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def pixels_unless_told(choose: Callable[[str], None]) -> None:
    """Vectors that can be read: pixel by pixel."""
    choose("pixels")


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
    monkeypatch.setattr(Pixels, "chunk", 4)
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
    monkeypatch.setattr(Pixels, "chunk", 4)
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


def test_an_item_of_another_kind_is_named(workspace: Workspace, project: int, add_images):
    add_images(grays(2))
    with writing(workspace.engine) as session:
        session.add(Item(project_id=project, external_id="words", content_hash="0", text="some words", row=2))
    with pytest.raises(Invalid, match="“words” has no image, and this project's encoder “pixels” only knows images"):
        encode_project(workspace, project)


def test_features_of_an_older_code_serve_until_the_new_ones_have_caught_up(
    workspace: Workspace, project: int, add_images, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Pixels, "chunk", 4)
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


KINDS = {"patches": shapes(2 * 16), "hog": shapes(2 * 16, side=10), "tfidf": sentences(2 * 16), "table": rows(2 * 16)}


@pytest.mark.parametrize("name", KINDS)
def test_the_best_encoder_for_a_kind_of_item_is_the_default(workspace: Workspace, project: int, add, choose, name: str):
    choose("auto")
    add(KINDS[name])
    matrix = encode_project(workspace, project)
    assert matrix is not None and matrix.layout.encoder == name and matrix.rows == 32
    assert encoder_for(workspace, project) is type(encoder_of(matrix))
    assert np.allclose(matrix.array(), encoder_of(matrix).encode(KINDS[name]), atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_what_was_learned_serves_items_that_come_later(workspace: Workspace, project: int, add, choose, name: str):
    choose("auto")
    add(KINDS[name][:20])
    first = encode_project(workspace, project)
    add(KINDS[name][20:], first=20)
    second = encode_project(workspace, project)
    assert first is not None and second is not None
    assert (second.version, second.rows) == (first.version, 32)
    assert np.allclose(second.array(), encoder_of(first).encode(KINDS[name]), atol=1e-5)


def test_a_pool_that_has_grown_much_is_learned_from_again_and_the_old_features_serve_meanwhile(
    workspace: Workspace, project: int, add, choose, monkeypatch: pytest.MonkeyPatch
):
    choose("tfidf")
    monkeypatch.setattr(Tfidf, "chunk", 4)
    items = sentences(44)
    add(items[:10])
    old = encode_project(workspace, project)
    add(items[10:39], first=10)
    still = encode_project(workspace, project)
    assert old is not None and still is not None and still.version == old.version
    add(items[39:], first=39)
    answers = iter([False] * 3 + [True])
    encode_project(workspace, project, cancelled=lambda: next(answers))
    live = open_features(workspace, project)
    assert live is not None and (live.version, live.rows) == (old.version, 39)
    new = encode_project(workspace, project)
    live = open_features(workspace, project)
    assert new is not None and live is not None
    assert live.version == new.version != old.version and new.layout.learned_from == 44
    again = encode_project(workspace, project)
    assert again is not None and again.layout == new.layout


def test_a_pool_large_enough_to_learn_from_is_learned_from_once(
    workspace: Workspace, project: int, add, choose, monkeypatch: pytest.MonkeyPatch
):
    choose("tfidf")
    monkeypatch.setattr(Tfidf, "sample", 8)
    items = sentences(48)
    add(items[:10])
    first = encode_project(workspace, project)
    add(items[10:], first=10)
    second = encode_project(workspace, project)
    assert first is not None and second is not None and second.version == first.version


def test_a_pool_that_grew_without_news_keeps_its_features(workspace: Workspace, project: int, add, choose):
    choose("table")
    row = Content(fields={"size": 1, "colour": "red"})
    add([row] * 3)
    first = encode_project(workspace, project)
    add([row] * 20, first=3)
    second = encode_project(workspace, project)
    assert first is not None and second is not None
    assert (second.version, second.rows, second.layout.learned_from) == (first.version, 23, 23)


def test_the_features_of_another_encoder_serve_until_the_chosen_ones_have_caught_up(
    workspace: Workspace, project: int, add_images, choose, monkeypatch: pytest.MonkeyPatch
):
    def served() -> str:
        live = open_features(workspace, project)
        return live.layout.encoder if live else ""

    add_images(grays(8))
    encode_project(workspace, project)
    choose("hog")
    monkeypatch.setattr(Hog, "chunk", 4)
    answers = iter([False, True])
    encode_project(workspace, project, cancelled=lambda: next(answers))
    assert served() == "pixels"
    encode_project(workspace, project)
    assert served() == "hog"
    choose("pixels")
    assert served() == "pixels"


def test_what_an_encoder_learned_is_missed_in_plain_words(workspace: Workspace, project: int, add, choose):
    choose("tfidf")
    add(sentences(5))
    matrix = encode_project(workspace, project)
    assert matrix is not None
    for damage in (b"", b"PK\3\4", None):
        path = matrix.folder / "encoder.npz"
        path.unlink() if damage is None else path.write_bytes(damage)
        with pytest.raises(Invalid, match="What the encoder learned at"):
            encoder_of(matrix)


def test_the_time_left_is_told(workspace: Workspace, project: int, add_images, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Pixels, "chunk", 4)
    add_images(grays(6))
    seen: list[str] = []
    encode_project(workspace, project, progress=lambda _, words: seen.append(words))
    assert re.fullmatch(r"4 of 6 images encoded, [\d,]+ a second, \d+ s left", seen[0])


ENCODE = """
    import sys
    sys.path.insert(0, {root!r})
    from labeling.features import encoding
    from labeling.workspace import open_workspace
    for encoder in encoding.ENCODERS.values():
        encoder.chunk = 10
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
@pytest.mark.parametrize("name", ["patches", "tfidf", "table"])
def test_what_is_learned_from_the_pool_survives_kills(
    workspace: Workspace, project: int, add, choose, encoding_elsewhere, name: str
):
    """Killed before, while and after it learned, and in the middle of chunks: every row is of one encoder."""
    items = {"patches": shapes(300), "tfidf": sentences(300), "table": rows(300)}[name]
    choose(name)
    add(items)
    for chunks, pause in ((0, 0.5), (0, 2.0), (1, 0.0), (3, 0.002), (5, 0.005)):
        with encoding_elsewhere() as process:
            for _ in range(chunks + (chunks > 0)):  # the first says that it learns, where it does
                process.stdout.readline()
            time.sleep(pause)
            process.kill()
    matrix = encode_project(workspace, project)
    assert matrix is not None and matrix.rows == 300
    assert np.allclose(matrix.array(), encoder_of(matrix).encode(items), atol=1e-4)


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
