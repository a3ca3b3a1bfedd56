"""Where images come from: a folder or a zip archive, listed at once and read one by one.

Nothing is ever unpacked to disk, and no name from outside becomes a path: a name is only what an item is called.
"""

import os
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

from labeling.db.values import MAX_NAME
from labeling.errors import Invalid
from labeling.intake.images import MAX_BYTES, TOO_LARGE, check_bytes, read_capped

MAX_UNPACKED = 1024**3  # an archive may unpack to so much, or to `MAX_RATIO` times its own size
MAX_RATIO = 100
MAX_PATH = 1000

CLUTTER = {"__macosx", "thumbs.db", "desktop.ini"}
UTF8_NAME = 0x800
ENCRYPTED = 0x1


@dataclass(frozen=True)
class Entry:
    """One file to come: what its item will be called, the class it is known to have, and how to read it.

    `read` gives its bytes or raises `labeling.errors.Invalid` with the sentence that says why not.
    """

    external_id: str
    class_name: str | None
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Source:
    """Entries in the order of their names, and what was refused at sight: `(name, sentence)`."""

    entries: list[Entry]
    refused: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def open_source(path: str | Path) -> Iterator[Source]:
    """Open a folder or a zip archive of images.

    An item is called by its path inside, as POSIX text; its class is the folder it lies in. A single such folder
    tells nothing apart, and then there are no classes. Hidden files and the clutter that systems leave behind are
    passed over.

    Raises
    ------
    Invalid
        If there is no folder or zip archive, or nothing in it.
    """
    path = Path(path)
    if path.is_dir():
        yield _source(_in_folder(path), path)
    elif not path.is_file():
        raise Invalid(f"There is no folder or zip archive at {path}; check the name.")
    else:
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise Invalid(
                f"{path.name} is not a zip archive that can be read; give a folder or a zip of images."
            ) from error
        with archive:
            yield _source(_in_zip(archive, path.stat().st_size), path)


Found = tuple[str, Callable[[], bytes] | str]  # a name, and how to read it or the sentence that refuses it


def _source(found: Iterator[Found], path: Path) -> Source:
    """What was found, with names checked and classes told from folders."""
    entries: dict[str, Entry] = {}
    refused: list[tuple[str, str]] = []
    for raw, read in found:
        name = unicodedata.normalize("NFC", raw)
        sentence = read if isinstance(read, str) else _wrong_name(name, entries)
        if sentence:
            refused.append((_readable(name), sentence))
        elif not isinstance(read, str):
            entries[name] = Entry(name, PurePosixPath(name).parent.name.strip() or None, read)
    if not entries and not refused:
        raise Invalid(f"There are no files in {path.name or path}; give a folder or a zip of images.")
    ordered = [entries[name] for name in sorted(entries)]
    if len({entry.class_name for entry in ordered if entry.class_name}) == 1:
        ordered = [replace(entry, class_name=None) for entry in ordered]
    return Source(ordered, refused)


def _wrong_name(name: str, taken: dict[str, Entry]) -> str | None:
    if name in taken:
        return "Another file has the same name; rename one of them."
    if _readable(name) != name or "\0" in name:
        return "Its name is not valid Unicode; rename it."
    if len(name) > MAX_PATH:
        return f"Its name is longer than {MAX_PATH} characters; shorten it."
    if len(PurePosixPath(name).parent.name) > MAX_NAME:
        return f"Its folder's name is longer than the {MAX_NAME} characters of a class name; shorten it."
    return None


def _readable(name: str) -> str:
    """`name` with what no text may hold (bytes that are not UTF-8) written out, so that it can be shown and stored."""
    return name.encode("utf-8", "backslashreplace").decode()[: 2 * MAX_PATH]


def _is_clutter(part: str) -> bool:
    return part.startswith(".") or part.lower() in CLUTTER


def _in_folder(root: Path) -> Iterator[Found]:
    failed: list[OSError] = []  # each names its file or folder
    for folder, folders, files in os.walk(root, onerror=failed.append):
        here = Path(folder)
        for name in sorted([*folders, *files]):
            path = here / name
            inside = path.relative_to(root).as_posix()
            if _is_clutter(name):
                continue
            try:
                mode = path.lstat().st_mode
            except OSError as gone:
                failed.append(gone)
                continue
            if stat.S_ISLNK(mode):
                yield inside, "This is a link; put the file itself here."
            elif stat.S_ISREG(mode):
                yield inside, partial(read_capped, path)
            elif not stat.S_ISDIR(mode):
                yield inside, "This is not a regular file; copy the image itself here."
        folders[:] = [name for name in folders if not _is_clutter(name)]  # os.walk itself follows no links
    for error in failed:
        yield Path(error.filename).relative_to(root).as_posix(), f"It cannot be read ({error.strerror})."


def _in_zip(archive: zipfile.ZipFile, size: int) -> Iterator[Found]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    unpacked = sum(member.file_size for member in members)
    if unpacked > max(MAX_UNPACKED, MAX_RATIO * size):
        raise Invalid(
            f"The archive would unpack to {unpacked / 1024**3:,.1f} GB, far more than images do; give a folder instead."
        )
    for member in members:
        name = _member_name(member)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or ":" in name.partition("/")[0]:
            yield name, "Its name points outside the archive; make the archive again from inside the folder."
        elif any(_is_clutter(part) for part in parts):
            continue
        elif stat.S_ISLNK(member.external_attr >> 16):
            yield name, "This is a link; put the file itself into the archive."
        elif member.flag_bits & ENCRYPTED:
            yield name, "It is encrypted; make the archive without a password."
        elif member.file_size > MAX_BYTES:
            yield name, TOO_LARGE
        else:
            yield "/".join(parts), partial(_read_member, archive, member)


def _member_name(member: zipfile.ZipInfo) -> str:
    """The name as it was meant: many archivers write UTF-8 without saying so, and some write backslashes."""
    name = member.filename
    if not member.flag_bits & UTF8_NAME:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(member) as file:
            return check_bytes(file.read(MAX_BYTES + 1))  # whatever size the archive declares
    except NotImplementedError as error:
        raise Invalid(
            "It is compressed in a way that cannot be read; make the archive again as a plain zip."
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise Invalid("It is damaged in the archive; make the archive again.") from error
