"""Any source that intake can read, opened as records: what it is, is guessed, shown, and can be corrected."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from labeling.errors import Invalid
from labeling.intake.archives import File, Place, open_place
from labeling.intake.assembly import TABLES, Tables, names_images
from labeling.intake.formats import format_of, has_images, is_place, metadata_of, tables_of
from labeling.intake.imagefolder import images_of, split_level
from labeling.intake.images import open_regular
from labeling.intake.records import Preview, Reading, Record, Refused, Source

FORMATS = ("images", "imagefolder", *TABLES)
SHOWN = 500  # characters of a text in a preview


@contextmanager
def open_source(path: str | Path, reading: Reading | None = None) -> Iterator[Source]:
    """Open a file, folder or archive as records.

    Parameters
    ----------
    reading
        How it is to be read; what is None in it is guessed.

    Raises
    ------
    Invalid
        If it cannot be read as a whole, with the sentence that says why.
    """
    path, reading = Path(path), reading or Reading()
    if reading.format is not None and reading.format not in FORMATS:
        raise Invalid(f"There is no format “{reading.format}”; choose one of: {', '.join(FORMATS)}.")
    if not path.exists():
        raise Invalid(f"There is no file or folder at {path}; check the name.")
    with ExitStack() as stack:
        if is_place(path):
            place = stack.enter_context(open_place(path))
            yield _in_place(place, reading, stack)
        else:
            file = File(path.name, path.stat().st_size, partial(open_regular, path))
            format = reading.format or format_of(file, reading)
            if format not in TABLES:
                raise Invalid(f"{file.name} is a single file; give a folder or an archive of images.")
            yield Tables([file], None, reading.model_copy(update={"format": format}), stack).source


def preview(path: str | Path, reading: Reading | None = None, rows: int = 20) -> Preview:
    """The first rows of a source as they would come in, and how it would be read.

    Raises
    ------
    Invalid
        If it cannot be read as a whole, with the sentence that says why.
    """
    shown: list[Record] = []
    refused: list[Refused] = []
    with open_source(path, reading) as source:
        for record in source.records:
            if isinstance(record, Refused):
                refused.append(record)
            else:
                shown.append(record)
            if len(shown) + len(refused) >= rows:
                break
        return Preview(
            reading=source.reading,
            kind=source.kind,
            columns=source.columns,
            rows=[_shown(record) for record in shown],
            classes=sorted({record.label for record in shown if record.label is not None}),
            total=source.total,
            refused=refused,
            notes=source.notes,
        )


def _shown(record: Record) -> dict[str, Any]:
    if record.text is not None:
        what: dict[str, Any] = {"text": record.text if len(record.text) <= SHOWN else record.text[:SHOWN] + "…"}
    elif record.fields is not None:
        what = {"fields": dict(record.fields)}
    else:
        what = {"image": record.external_id}
    return {"id": record.external_id, **what, "label": record.label, "meta": dict(record.meta)}


def _in_place(place: Place, reading: Reading, stack: ExitStack) -> Source:
    """What a folder or archive is read as: its images alone, or the tables in it with the images they name."""
    format = reading.format
    metadata = metadata_of(place)
    files: list[File] = []
    if format in TABLES:
        files = [file for file in tables_of(place) if format_of(file, reading) == format]
        if not files:
            raise Invalid(f"There is no table of the format “{format}” in {place.name}; choose another format.")
    elif format == "imagefolder" or (format is None and metadata):
        format, files = "imagefolder", metadata
    elif format is None:
        format, files = _tables_inside(place, reading)
    if files:
        return Tables(files, place, reading.model_copy(update={"format": format}), stack).source
    format = format or ("images" if split_level(place) is None else "imagefolder")
    records = list(images_of(place, splits=format == "imagefolder"))
    return Source("image", records, len(records), reading.model_copy(update={"format": format}))


def _tables_inside(place: Place, reading: Reading) -> tuple[str | None, list[File]]:
    """The tables that say what a place holds, and their format: those that name its images, or all if it has none."""
    among_images = has_images(place)
    tables = tables_of(place)
    telling: dict[str, list[File]] = {}
    for file in tables:
        try:
            format = format_of(file, reading)
            if not among_images or names_images(file, place, reading.model_copy(update={"format": format})):
                telling.setdefault(format, []).append(file)
        except Invalid:
            if not among_images and len(tables) == 1:
                raise
    if len(telling) > 1:
        names = ", ".join(file.name for files in telling.values() for file in files[:2])
        raise Invalid(f"There are tables of several formats in {place.name} ({names}); choose one of the formats.")
    return next(iter(telling.items()), (None, []))
