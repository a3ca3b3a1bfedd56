"""Which format a file or a place of files has: told from names, and from what the files begin with."""

import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from labeling.errors import Invalid
from labeling.intake.archives import File, Place, is_archive
from labeling.intake.exchange import is_coco, is_doccano, is_label_studio
from labeling.intake.imagefolder import pictures
from labeling.intake.jsonlines import open_objects
from labeling.intake.records import Reading, Refused
from labeling.intake.roles import IMAGE_NAME
from labeling.intake.tables import Row

SUFFIXES = {
    ".csv": "csv", ".txt": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet", ".xlsx": "excel", ".xlsm": "excel",
}  # fmt: skip
TELLING = {suffix: format for suffix, format in SUFFIXES.items() if suffix != ".txt"}  # of tables among other files
UNREADABLE = {".xls": "an old Excel workbook", ".ods": "an OpenDocument sheet", ".numbers": "a Numbers sheet"}
MOST_TABLES = 100
TAKEN = (
    "CSV, TSV, JSON Lines, Parquet, Excel (.xlsx), exports of Label Studio, doccano and COCO, and folders, zip and tar "
    "archives of images are taken"
)


def is_place(path: Path) -> bool:
    """Whether a path holds files (a folder or an archive) rather than being one."""
    if path.is_dir():
        return True
    if suffix_of(path.name) in SUFFIXES.keys() | UNREADABLE or not is_archive(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" not in archive.NameToInfo
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return True  # a tar, or broken: to be said where it is opened


def suffix_of(name: str) -> str:
    """The suffix that tells a file's format, without that of its compression."""
    return PurePosixPath(name.lower().removesuffix(".gz")).suffix


def suffix_format(name: str) -> str | None:
    """The format that a file's suffix tells."""
    return SUFFIXES.get(suffix_of(name))


def format_of(file: File, reading: Reading) -> str:
    """The format of a file.

    Raises
    ------
    Invalid
        If it has none that is read.
    """
    suffix = suffix_of(file.name)
    if suffix in UNREADABLE:
        raise Invalid(f"{file.name} is {UNREADABLE[suffix]}; save it as .xlsx or as CSV.")
    start = file.start(8)
    if IMAGE_NAME.fullmatch(file.name):
        raise Invalid(f"{file.name} is a single image; give the folder or archive that it lies in.")
    format = "parquet" if start[:4] == b"PAR1" else "excel" if start[:4] == b"PK\3\4" else SUFFIXES.get(suffix)
    if format == "jsonl":
        return _json_format(file, reading)
    if format is None:
        raise Invalid(f"What {file.name} is, cannot be told by its name; {TAKEN}.")
    return format


def _json_format(file: File, reading: Reading) -> str:
    """Whose JSON it is, by its first object."""
    with open_objects(file, reading) as (rows, _, _):
        first = next(rows, None)
    if isinstance(first, Refused) and suffix_of(file.name) == ".json":
        # An object over many lines, or one too long to be a row: of the formats that are read, only COCO is that.
        return "coco" if file.start(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{" else "jsonl"
    if not isinstance(first, Row):
        return "jsonl"
    cells: dict[str, Any] = first.cells
    return (
        "coco" if is_coco(cells)
        else "label-studio" if is_label_studio(cells)
        else "doccano" if is_doccano(cells)
        else "jsonl"
    )  # fmt: skip


def metadata_of(place: Place) -> list[File]:
    """The tables of a Hugging Face image folder."""
    return [
        f for name, f in place.files.items() if PurePosixPath(name).stem == "metadata" and suffix_of(name) in TELLING
    ]


def tables_of(place: Place) -> list[File]:
    """All that could be tables among the files of a place; so many that there is one to each image are none."""
    tables = [file for name, file in place.files.items() if suffix_of(name) in TELLING]
    return tables if len(tables) <= MOST_TABLES else []


def has_images(place: Place) -> bool:
    """Whether there are files that are images by their names."""
    return bool(pictures(place))
