"""Tables as a source of records: one table, or several of one format that are read one after the other."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import PurePosixPath

from labeling.errors import Invalid
from labeling.intake.archives import File, Place
from labeling.intake.exchange import LABEL, open_exchange
from labeling.intake.formats import suffix_format
from labeling.intake.imagefolder import SPLITS, Finder, folder_labels, pictures, split_level, split_of
from labeling.intake.jsonlines import open_json_table
from labeling.intake.parquet import open_parquet
from labeling.intake.records import Reading, Record, Refused, Role, Source
from labeling.intake.roles import check_roles, guess_roles, kind_of
from labeling.intake.rows import records_of
from labeling.intake.tables import Table, open_text_table
from labeling.intake.workbooks import open_workbook

TABLES: dict[str, Callable[[File, Reading], AbstractContextManager[Table]]] = {
    "csv": open_text_table,
    "tsv": open_text_table,
    "jsonl": open_json_table,
    "parquet": open_parquet,
    "excel": open_workbook,
    "label-studio": open_exchange,
    "doccano": open_exchange,
    "coco": open_exchange,
}
ELSEWHERE = ("coco", "label-studio", "doccano")  # formats that name images as they lay on another server


class Tables:
    """The tables of a source; only the first is open from the beginning.

    Parameters
    ----------
    files
        In the order in which they are read.
    place
        The folder or archive that they and their images lie in; None where a table came alone.
    reading
        How they are to be read; its format is known.
    stack
        Closes the first table.

    Raises
    ------
    Invalid
        If the first table cannot be read as a whole, or the roles of its columns cannot be.
    """

    def __init__(self, files: list[File], place: Place | None, reading: Reading, stack: ExitStack) -> None:
        self._files = files
        self._place = place
        self._given = reading
        self._now = first = stack.enter_context(_open(files[0], reading))
        self._turn = self._rows = 0
        if not first.sample:
            raise _nothing_in(first, files[0])
        check_roles(reading.roles or {}, first.columns)
        guessed: list[str] = []
        roles = _roles(first, reading, guessed)
        if len(files) > 1:
            guessed.append(f"{len(files)} tables are read one after the other, {files[0].name} first.")
        first.notes[:0] = guessed
        self.source = Source(
            kind=kind_of(roles),
            records=self._records(first, roles),
            total=first.total if place is None else None,
            reading=first.reading.model_copy(update={"format": reading.format, "roles": roles}),
            columns=list(first.columns),
            share=self._share,
            notes=first.notes,
        )

    def _share(self) -> float:
        now = self._now
        part = min(1.0, self._rows / now.total) if now.total else now.share() if now.share else 0.0
        return (self._turn + part) / len(self._files)

    def _records(self, first: Table, roles: Mapping[str, Role]) -> Iterator[Record | Refused]:
        named: set[str] = set()
        if self._place:
            yield from self._place.refused
        for self._turn, file in enumerate(self._files):  # noqa: B020
            if self._turn == 0:
                yield from self._of(first, roles, file, named)
                continue
            try:
                with _open(file, self._given) as table:
                    guessed = _roles(table, self._given, [])
                    if kind_of(guessed) != self.source.kind:
                        raise Invalid(f"It does not have the columns of {self._files[0].name}; import it by itself.")
                    table.notes, own = first.notes, table.notes
                    first.notes.extend(note for note in own if note not in first.notes)
                    yield from self._of(table, guessed, file, named)
            except Invalid as error:
                yield Refused(file.name, None, str(error))
        if self._place and self.source.kind == "image":
            for name in pictures(self._place):
                if name not in named:
                    yield Refused(name, None, f"{self._files[-1].name} does not name it; add a row for it.")

    def _of(self, table: Table, roles: Mapping[str, Role], file: File, named: set[str]) -> Iterator[Record | Refused]:
        """The records of one table, with what the place of their files tells of them."""
        self._now, self._rows = table, 0
        finder = _finder(self._place, file, self._given)
        level = split_level(self._place) if self._place and self._given.format == "imagefolder" else None
        split = _split_of_table(file) if self._place else None
        labels: Mapping[str, str] = {}
        if self._place and self.source.kind == "image" and "label" not in roles.values():
            labels = folder_labels(self._place, level)
        for record in records_of(table, roles, file.name, finder):
            self._rows += 1
            if isinstance(record, Refused) or self._place is None:
                yield record
                continue
            known = (split_of(finder.last, level) if finder.last else None) or split
            meta = {"split": known, **record.meta} if known else record.meta
            yield replace(record, meta=meta, label=record.label or labels.get(finder.last or ""))
        named |= finder.found


def _nothing_in(table: Table, file: File) -> Invalid:
    """The sentence for a table none of whose first rows can be read."""
    for row in table.rows:
        if isinstance(row, Refused):
            where = "" if row.line is None else f", line {row.line:,}"
            return Invalid(f"{file.name}{where}: {row.why}")
    return Invalid(f"{file.name} has no rows; give a file with something in it.")


def names_images(file: File, place: Place, reading: Reading) -> bool:
    """Whether a table names images of its place.

    Raises
    ------
    Invalid
        If the table cannot be read as a whole.
    """
    with _open(file, reading) as table:
        roles = _roles(table, Reading(), [])
        finder = _finder(place, file, reading)
        for column in (column for column, role in roles.items() if role == "image"):
            for row in table.sample[:50]:
                try:
                    finder(str(row.cells.get(column)))
                except Invalid:
                    continue
                return True
    return False


def _open(file: File, reading: Reading) -> AbstractContextManager[Table]:
    """Open a table by its format; that of an image folder's metadata is told by its suffix."""
    format = suffix_format(file.name) if reading.format == "imagefolder" else reading.format
    if format not in TABLES:
        raise Invalid(f"{file.name} is not a table of a format that is read; save it as CSV.")
    return TABLES[format](file, reading)


def _finder(place: Place | None, file: File, reading: Reading) -> Finder:
    return Finder(place, PurePosixPath(file.name).parent.as_posix(), moved=reading.format in ELSEWHERE)


def _roles(table: Table, reading: Reading, notes: list[str]) -> dict[str, Role]:
    given = {column: role for column, role in (reading.roles or {}).items() if column in table.columns}
    if table.reading.format in ELSEWHERE and LABEL in table.columns and "label" not in given.values():
        given.setdefault(LABEL, "label")
    return guess_roles(table.columns, table.sample, given, notes)


def _split_of_table(file: File) -> str | None:
    """The split that a table is called by, as in `train-00000-of-00001.parquet` or `instances_val2017.json`."""
    path = PurePosixPath(file.name.lower())
    words = [*re.findall(r"[a-z]+", path.name), path.parent.name]
    return next((SPLITS[word] for word in words if word in SPLITS), None)
