"""Where files lie: a folder, a zip or a tar archive, listed at once and read one by one.

Nothing is ever unpacked to a name on disk, and no name from outside becomes a path: a name is only what an item is
called. A compressed tar is unpacked as a whole into a file without a name, so that its members can be read in any
order.
"""

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BufferedReader, FileIO
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from labeling.db.values import MAX_NAME
from labeling.errors import Invalid
from labeling.intake.images import MAX_BYTES, check_bytes, open_regular
from labeling.intake.records import Refused

MAX_UNPACKED = 1024**3  # an archive may unpack to so much, or to `MAX_RATIO` times its own size
MAX_RATIO = 100
MAX_PATH = 1000
CHUNK = 1024**2

CLUTTER = {"__macosx", "thumbs.db", "desktop.ini"}
UTF8_NAME = 0x800
ENCRYPTED = 0x1
COMPRESSED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open
}  # fmt: skip
# What the decompressors and archive readers of the standard library raise on damaged or hostile bytes.
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError
)  # fmt: skip
OUTSIDE = "Its name points outside the archive; make the archive again from inside the folder."
BROKEN = "It is damaged in the archive; make the archive again."
LINK = "This is a link; put the file itself into the archive."


@dataclass(frozen=True)
class File:
    """A file in a place: its size in bytes, as far as the place tells, and how to open it.

    `open` gives a stream that raises one of `DAMAGED` where it cannot go on, or itself raises `Invalid`.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]

    def read(self, most: int = MAX_BYTES) -> bytes:
        """All of it, if that is no more than `most` bytes.

        Raises
        ------
        Invalid
            With the sentence that says why not.
        """
        return check_bytes(self.start(most + 1), most)  # whatever size the place declares

    def start(self, size: int) -> bytes:
        """The first `size` bytes of it.

        Raises
        ------
        Invalid
            With the sentence that says why they cannot be read.
        """
        try:
            with self.open() as stream:
                return stream.read(size)
        except DAMAGED as error:
            raise Invalid(BROKEN) from error


class Place(NamedTuple):
    """Files by their names (POSIX, inside the place) in the order of these, and what was refused at sight."""

    name: str
    files: dict[str, File]
    refused: list[Refused]


Found = tuple[str, File | str]  # a name, and the file or the sentence that refuses it


@contextmanager
def open_place(path: Path) -> Iterator[Place]:
    """Open a folder, a zip or a tar archive (also one compressed by gzip, bzip2 or xz).

    Hidden files and the clutter that systems leave behind are passed over.

    Raises
    ------
    Invalid
        If it cannot be read as a whole, or there is nothing in it.
    """
    if path.is_dir():
        yield _place(_in_folder(path), path)
        return
    try:
        with zipfile.ZipFile(path) if zipfile.is_zipfile(path) else _open_tar(path) as archive:
            found = _in_zip(archive, path.stat().st_size) if isinstance(archive, zipfile.ZipFile) else _in_tar(archive)
            try:
                place = _place(found, path)
            except DAMAGED as error:
                raise _unreadable(path) from error
            yield place
    except (zipfile.BadZipFile, tarfile.TarError, NotImplementedError) as error:
        raise _unreadable(path) from error


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar archive, by its name or its first bytes."""
    name = path.name.lower()
    if name.endswith((".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")):
        return True
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"\x1f\x8b"):
        with suppress(*DAMAGED), gzip.open(path) as stream:
            start = stream.read(512)
    return start.startswith(b"PK\3\4") or start[257:262] == b"ustar"


def unpack_capped(source: IO[bytes], target: IO[bytes], size: int) -> None:
    """Copy a decompressed stream whose compressed form has `size` bytes.

    Raises
    ------
    Invalid
        If it turns out a bomb.
    """
    most = max(MAX_UNPACKED, MAX_RATIO * size)
    unpacked = 0
    while chunk := source.read(CHUNK):
        unpacked += len(chunk)
        if unpacked > most:
            raise Invalid(_bomb(unpacked))
        target.write(chunk)


def _bomb(unpacked: int) -> str:
    return f"The archive would unpack to {unpacked / 1024**3:,.1f} GB, far more than images do; give a folder instead."


def _unreadable(path: Path) -> Invalid:
    return Invalid(
        f"{path.name} is not a zip or tar archive that can be read; give a folder or a whole archive of images."
    )


def _place(found: Iterator[Found], path: Path) -> Place:
    """What was found, with names checked."""
    files: dict[str, File] = {}
    refused: list[Refused] = []
    for raw, file in found:
        name = unicodedata.normalize("NFC", raw)
        sentence = file if isinstance(file, str) else _wrong_name(name, files)
        if sentence:
            refused.append(Refused(readable(name), None, sentence))
        elif isinstance(file, File):
            files[name] = File(name, file.size, file.open)
    if not files and not refused:
        raise Invalid(f"There are no files in {path.name or path}; give a folder or an archive of images.")
    return Place(path.name or str(path), {name: files[name] for name in sorted(files)}, refused)


def _wrong_name(name: str, taken: dict[str, File]) -> str | None:
    if name in taken:
        return "Another file has the same name; rename one of them."
    if readable(name) != name or "\0" in name:
        return "Its name is not valid Unicode; rename it."
    if len(name) > MAX_PATH:
        return f"Its name is longer than {MAX_PATH} characters; shorten it."
    if len(PurePosixPath(name).parent.name) > MAX_NAME:
        return f"Its folder's name is longer than the {MAX_NAME} characters of a class name; shorten it."
    return None


def readable(name: str) -> str:
    """`name` with what no text may hold (bytes that are not UTF-8) written out, so that it can be shown and stored."""
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[: 2 * MAX_PATH]


def _is_clutter(part: str) -> bool:
    return part.startswith(".") or part.lower() in CLUTTER


def _inside(name: str) -> str | None:
    """A member's name without what says nothing, or None where it points outside the archive."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    outside = name.startswith("/") or ".." in parts or ":" in name.partition("/")[0] or not parts
    return None if outside else "/".join(parts)


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
                status = path.lstat()
            except OSError as gone:
                failed.append(gone)
                continue
            if stat.S_ISLNK(status.st_mode):
                yield inside, "This is a link; put the file itself here."
            elif stat.S_ISREG(status.st_mode):
                yield inside, File(inside, status.st_size, partial(open_regular, path))
            elif not stat.S_ISDIR(status.st_mode):
                yield inside, "This is not a regular file; copy the image itself here."
        folders[:] = [name for name in folders if not _is_clutter(name)]  # os.walk itself follows no links
    for error in failed:
        yield Path(error.filename).relative_to(root).as_posix(), f"It cannot be read ({error.strerror})."


def _in_zip(archive: zipfile.ZipFile, size: int) -> Iterator[Found]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    unpacked = sum(member.file_size for member in members)
    if unpacked > max(MAX_UNPACKED, MAX_RATIO * size):
        raise Invalid(_bomb(unpacked))
    for member in members:
        name = _member_name(member)
        inside = _inside(name)
        if inside is None:
            yield name, OUTSIDE
        elif any(_is_clutter(part) for part in inside.split("/")):
            continue
        elif stat.S_ISLNK(member.external_attr >> 16):
            yield name, LINK
        elif member.flag_bits & ENCRYPTED:
            yield name, "It is encrypted; make the archive without a password."
        else:
            yield inside, File(inside, member.file_size, partial(_open_member, archive, member))


def _open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(member)
    except NotImplementedError as error:
        raise Invalid(
            "It is compressed in a way that cannot be read; make the archive again as a plain zip."
        ) from error
    except DAMAGED as error:
        raise Invalid(BROKEN) from error


def _member_name(member: zipfile.ZipInfo) -> str:
    """The name as it was meant: many archivers write UTF-8 without saying so, and some write backslashes."""
    name = member.filename
    if not member.flag_bits & UTF8_NAME:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


class _ShortReads:
    """A tar as `tarfile` may read it: a header that claims to be longer than any is an error, not as much memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable, self.close = file.seek, file.tell, file.seekable, file.close

    def read(self, size: int) -> bytes:
        if size > MAX_BYTES + CHUNK:
            raise tarfile.ReadError("a header too long")
        return self._file.read(size)


@contextmanager
def _open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as file, tempfile.TemporaryFile() as unpacked:
        start = file.read(6)
        file.seek(0)
        plain: IO[bytes] = file
        for magic, decompress in COMPRESSED.items():
            if start.startswith(magic):
                try:
                    with decompress(file) as stream:
                        unpack_capped(stream, unpacked, path.stat().st_size)
                except DAMAGED as error:
                    raise _unreadable(path) from error
                unpacked.seek(0)
                plain = unpacked
        with tarfile.open(fileobj=_ShortReads(plain), mode="r:") as archive:  # type: ignore[call-overload]
            yield archive


def _in_tar(archive: tarfile.TarFile) -> Iterator[Found]:
    for member in archive:
        name = member.name.replace("\\", "/")
        inside = _inside(name)
        if member.isdir():
            continue
        if inside is None:
            yield name, OUTSIDE
        elif any(_is_clutter(part) for part in inside.split("/")):
            continue
        elif member.issym() or member.islnk():
            yield name, LINK
        elif not member.isreg():
            yield name, "This is a device or a pipe, not a regular file; leave it out of the archive."
        elif member.issparse():
            yield name, "It is stored as a sparse file; make the archive again without that."
        else:
            yield inside, File(inside, member.size, partial(_tar_member, archive, member))


def _tar_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    if stream is None:
        raise Invalid("This is not a regular file; leave it out of the archive.")
    return stream


def real_file(file: File) -> IO[bytes]:
    """A file of the system, to be read in any order and handed to another program: itself, or a copy without a name.

    Raises
    ------
    Invalid
        If it cannot be read.
    """
    stream = file.open()
    if isinstance(stream, BufferedReader) and isinstance(stream.raw, FileIO):
        return stream
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it is what is given back
    try:
        with stream:
            shutil.copyfileobj(stream, copy, CHUNK)
    except DAMAGED as error:
        copy.close()
        raise Invalid(BROKEN) from error
    copy.seek(0)
    return copy
