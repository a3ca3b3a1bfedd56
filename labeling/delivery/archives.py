"""Zip archives that are sent while they are written, and the names in them, which are safe to unpack anywhere."""

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from labeling.delivery.tabular import Sink
from labeling.errors import Invalid
from labeling.intake.images import media_type
from labeling.workspace import Workspace, resolve_inside

BLOCK = 2**20
LONGEST = 60  # characters of a readable part of a name
ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
# Names that some system keeps for itself, and those that an archive has at its top.
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)), "readme.md"}
_UNSAFE = re.compile(r"[^\w.\- ]+")


def plain(name: str) -> str:
    """What is left of a name when a file or folder is to be called by it on any system; perhaps nothing."""
    return _UNSAFE.sub("-", name)[:LONGEST].strip(" .-_")


def file_name(external_id: str, item_id: int, ending: str) -> str:
    """A file's name: what can be read of the item's own, and its number, which makes it unique."""
    stem = plain(external_id.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    return f"{stem}-{item_id}{ending}" if stem else f"{item_id}{ending}"


def read_image(workspace: Workspace, image: str, external_id: str) -> tuple[bytes, str]:
    """The bytes of an item's stored image, and the ending that says what they are.

    Raises
    ------
    Invalid
        If the file is gone.
    """
    try:
        data = resolve_inside(workspace.root, *image.split("/")).read_bytes()
    except OSError as error:
        raise Invalid(f"The stored image of “{external_id}” is gone; import the file again to put it back.") from error
    return data, ENDINGS[media_type(data[:16])]


class Archive:
    """A zip that is read while it is written; what was written is taken from `taken`.

    The same contents give the same bytes: every file is as old as the format itself.
    """

    def __init__(self) -> None:
        self._sink = _Unseekable()
        self._zip = zipfile.ZipFile(self._sink, "w", allowZip64=True)

    def stored(self, name: str, data: bytes) -> None:
        """Add a file that does not get smaller, such as an image."""
        self._zip.writestr(_entry(name), data, zipfile.ZIP_STORED)

    def text(self, name: str, text: str) -> None:
        """Add a short text."""
        self._zip.writestr(_entry(name), text.encode(), zipfile.ZIP_DEFLATED)

    def copied(self, name: str, files: Iterable[IO[bytes]]) -> Iterator[bytes]:
        """Add what these files hold, one behind the other, and give what has come of it now and then."""
        entry = _entry(name)
        entry.compress_type = zipfile.ZIP_DEFLATED
        with self._zip.open(entry, "w", force_zip64=True) as target:
            for file in files:
                file.seek(0)
                while block := file.read(BLOCK):
                    target.write(block)
                    yield self.taken()

    def closed(self) -> bytes:
        """End the archive."""
        self._zip.close()
        return self.taken()

    def taken(self) -> bytes:
        """What was written since it was last taken."""
        return self._sink.taken()


class _Unseekable(Sink):
    """A sink that says nothing of its position, so that the archive is written straight through."""

    def tell(self) -> int:
        """It has none."""
        raise io.UnsupportedOperation


def _alike(name: str) -> str:
    """What names have in common that some file system takes for the same."""
    return unicodedata.normalize("NFKC", name).casefold()


def _entry(name: str) -> zipfile.ZipInfo:
    assert not name.startswith("/") and ".." not in Path(name).parts
    entry = zipfile.ZipInfo(name)  # dated 1980
    entry.external_attr = 0o644 << 16
    return entry


class Scratch:
    """Files on disk, without names, for what has its place in an archive behind what is still to come."""

    def __init__(self) -> None:
        self._files: dict[str, IO[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def file(self, key: str) -> IO[bytes]:
        """The file of this key, made when it is first asked for."""
        if key not in self._files:
            self._files[key] = self._stack.enter_context(TemporaryFile())  # noqa: SIM115
        return self._files[key]


class Sides:
    """A folder for each side of a split; the top of the archive where nothing is split."""

    def __init__(self) -> None:
        self._folders: dict[str | None, str] = {None: ""}
        self._taken = set(RESERVED)

    def folder(self, side: str | None) -> str:
        """The folder of a side, with its slash: the side's own name where that is safe and not taken."""
        if side not in self._folders:
            own = name = plain(side or "")
            number = len(self._folders)
            while not name or _alike(name) in self._taken:
                name, number = f"{own}-{number}".lstrip("-"), number + 1
            self._taken.add(_alike(name))
            self._folders[side] = f"{name}/"
        return self._folders[side]

    @property
    def names(self) -> dict[str, str]:
        """The sides that there were, and their folders."""
        return {side: folder for side, folder in self._folders.items() if side is not None}
