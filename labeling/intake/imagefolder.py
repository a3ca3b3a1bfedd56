"""Images in a folder or archive: their classes and splits by the folders they lie in, and those that tables name."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from labeling.errors import Invalid
from labeling.intake.archives import File, Place, readable
from labeling.intake.images import MAX_BYTES, TOO_LARGE
from labeling.intake.records import Record, Refused
from labeling.intake.roles import IMAGE_NAME

SPLITS = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
}  # fmt: skip
WEB = "It names a web address, and the server fetches none; put the image beside the table and name it there."
OUTSIDE = "It names an image outside of what is imported; put it inside, and name it from there."


def images_of(place: Place, *, splits: bool) -> Iterator[Record | Refused]:
    """Every file as an image; its class is the folder it lies in.

    Parameters
    ----------
    splits
        Whether folders such as `train` and `test` are splits, kept in the metadata, and not classes.
    """
    yield from place.refused
    level = split_level(place) if splits else None
    labels = folder_labels(place, level)
    for file in place.files.values():
        if file.size > MAX_BYTES:
            yield Refused(file.name, None, TOO_LARGE)
            continue
        split = split_of(file.name, level)
        yield Record(file.name, read=file.read, label=labels.get(file.name), meta={"split": split} if split else {})


def pictures(place: Place) -> list[str]:
    """The names of the files that are images by their names."""
    return [name for name in place.files if IMAGE_NAME.fullmatch(name)]


def folder_labels(place: Place, level: int | None) -> dict[str, str]:
    """The class of each file: the folder it lies in, below that of its split; a single folder tells nothing apart."""
    labels = {}
    for name in place.files:
        folders = PurePosixPath(name).parts[:-1]
        if len(folders) > (0 if level is None else level + 1) and (label := folders[-1].strip()):
            labels[name] = label
    return labels if len(set(labels.values())) > 1 else {}


def split_level(place: Place) -> int | None:
    """At which depth folders are the splits of Hugging Face's image folders, or None if they are not."""
    folders = [PurePosixPath(name).parts[:-1] for name in pictures(place)]
    for level in range(min(map(len, folders), default=0)):
        here = {parts[level] for parts in folders}
        if {folder.lower() for folder in here} <= set(SPLITS):
            return level
        if len(here) > 1:
            return None
    return None


def split_of(name: str, level: int | None) -> str | None:
    """The split that a file belongs to."""
    folders = PurePosixPath(name).parts[:-1]
    return SPLITS.get(folders[level].lower()) if level is not None and len(folders) > level else None


class Finder:
    """Finds the images that a table names, only among the files of its place.

    A name without a folder is also found anywhere in the place, if only one file is called so.

    Parameters
    ----------
    place
        Where images may lie; None where a table came alone.
    folder
        The folder that the table lies in.
    moved
        Whether the table names images as they lay on another server: then only their last names count.

    Attributes
    ----------
    found : set
        The names of all files found so far.
    last : str or None
        The name of the file that was found by the last call.
    """

    def __init__(self, place: Place | None, folder: str = "", *, moved: bool = False) -> None:
        self._files = place.files if place else None
        self._refused = {refused.name: refused.why for refused in place.refused} if place else {}
        self._folder = PurePosixPath(folder)
        self._moved = moved
        last_names = Counter(PurePosixPath(name).name for name in self._files or {})
        self._only = {last: name for name in self._files or {} if last_names[last := PurePosixPath(name).name] == 1}
        self.found: set[str] = set()
        self.last: str | None = None

    def __call__(self, given: str) -> File:
        """The file of an image.

        Raises
        ------
        Invalid
            If it is not there, lies outside, or on the web.
        """
        self.last = None
        name = given.replace("\\", "/")
        if "://" in name or name.startswith(("//", "data:")):
            raise Invalid(WEB)
        if self._files is None:
            raise Invalid("It names an image, and the table came alone; give the folder or archive with both in it.")
        if self._moved:
            name = _on_a_server(name)
        name = unicodedata.normalize("NFC", name)  # as the names in a place are
        parts = PurePosixPath(name).parts
        if ".." in parts or (not self._moved and (name.startswith("/") or ":" in name.partition("/")[0])):
            raise Invalid(OUTSIDE)
        for candidate in ((self._folder / name).as_posix(), PurePosixPath(name).as_posix()):
            if candidate in self._files:
                return self._take(candidate)
            if candidate in self._refused:
                raise Invalid(self._refused[candidate])
        if parts and (self._moved or len(parts) == 1) and parts[-1] in self._only:
            return self._take(self._only[parts[-1]])
        raise Invalid(f"There is no image “{readable(given)[:200]}” beside the table; check the name.")

    def _take(self, name: str) -> File:
        assert self._files
        self.found.add(name)
        self.last = name
        return self._files[name]


def _on_a_server(name: str) -> str:
    """Where Label Studio kept an image: `/data/local-files/?d=a/b.png`, or `/data/upload/1/b%20c.png`."""
    if not name.startswith("/"):
        return name
    parts = urlsplit(name)
    return parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
