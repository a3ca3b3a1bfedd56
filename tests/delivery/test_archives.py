"""Names in archives are safe to unpack anywhere, and an archive is written straight through."""

import io
import re
import zipfile
from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import example, given
from hypothesis import strategies as st

from labeling.delivery.archives import Archive, Sides, file_name

NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=40) | st.sampled_from(
    ["..", "../../etc/passwd", "/etc/passwd", "C:\\windows", "a/../b", "CON", "nul", ".hidden", "__x", "README.md", "",
     " ", "a.", "…"]
)  # fmt: skip


def is_safe(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return (
        ".." not in parts
        and not PurePosixPath(name).is_absolute()
        and PureWindowsPath(name).anchor == ""
        and not re.search(r'[\x00-\x1f\x7f<>:"|?*\\]', name)
        and all(part == part.strip(" .") and not part.startswith((".", "_")) for part in parts)
        and all(len(part.encode()) <= 255 for part in parts)
    )


@given(external_id=NAMES, item_id=st.integers(1, 2**40))
def test_a_file_of_any_item_has_a_safe_name(external_id: str, item_id: int):
    name = file_name(external_id, item_id, ".png")
    assert is_safe(name)
    assert "/" not in name
    assert name.endswith(f"{item_id}.png")


@given(st.lists(NAMES, unique=True, max_size=30))
@example(["", "0", "4", ":"])  # the last has no name of its own, and the number it would get is taken
def test_each_side_has_a_safe_folder_of_its_own(names: list[str]):
    sides = Sides()
    folders = [sides.folder(name) for name in names]
    assert folders == [sides.folder(name) for name in names]
    assert all(is_safe(folder) and folder.count("/") == 1 and folder.endswith("/") for folder in folders)
    assert len({folder.casefold() for folder in folders}) == len(names)
    assert not {"con/", "nul/", "readme.md/"} & {folder.casefold() for folder in folders}


def test_a_side_with_a_plain_name_keeps_it():
    sides = Sides()
    assert [sides.folder(name) for name in (None, "train", "Ulm 2", "ä-1", "Train")] == [
        "", "train/", "Ulm 2/", "ä-1/", "Train-4/",
    ]  # fmt: skip


def written() -> bytes:
    archive = Archive()
    archive.stored("images/ä.png", b"\x89PNG" * 10)
    parts = [archive.taken()]
    archive.text("README.md", "read me")
    parts += archive.copied("all.json", [io.BytesIO(b"[1,"), io.BytesIO(b"2]")])
    return b"".join([*parts, archive.closed()])


def test_an_archive_is_whole_and_the_same_each_time():
    assert written() == written()
    with zipfile.ZipFile(io.BytesIO(written())) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["images/ä.png", "README.md", "all.json"]
        assert archive.read("all.json") == b"[1,2]"
        assert archive.infolist()[0].compress_type == zipfile.ZIP_STORED


def test_what_was_written_is_there_before_the_archive_ends():
    archive = Archive()
    archive.stored("a", b"x" * 1000)
    assert len(archive.taken()) >= 1000
    assert archive.taken() == b""
