"""Tables: what all kinds of them have in common, and those that are lines of text (CSV and TSV)."""

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, NamedTuple

from labeling.errors import Invalid
from labeling.intake.archives import DAMAGED, File
from labeling.intake.lines import CUT_OFF, MAX_TEXT, Lines, TooLong, note_on, open_lines
from labeling.intake.records import Reading, Refused

MAX_COLUMNS = 2000
SAMPLE_ROWS = 1000
SAMPLE_CHARACTERS = 4_000_000
DELIMITERS = ",\t;|"
LONGEST_NAME = 200  # characters of a column's name

csv.field_size_limit(MAX_TEXT)  # of the whole process: the module has no other


class Row(NamedTuple):
    """One row: where it stands (from 1, None where rows have no place) and its cells by their columns."""

    line: int | None
    cells: dict[str, Any]


@dataclass
class Table:
    """An opened table; `rows` is read once.

    Attributes
    ----------
    written : bool
        Whether all cells are strings, as in CSV, so that numbers among them are to be told.
    sample : list
        The first rows, by which roles are guessed; they are also in `rows`.
    names : dict
        For a column of codes, what they mean: the class of code 0, of 1 and so on.
    """

    columns: list[str]
    rows: Iterator[Row | Refused]
    reading: Reading
    written: bool = False
    total: int | None = None
    share: Callable[[], float] | None = None
    sample: list[Row] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take the sample, and the columns from it where there is no header."""
        first: list[Row | Refused] = []
        seen = 0
        for row in islice(self.rows, SAMPLE_ROWS):
            first.append(row)
            if isinstance(row, Row):
                seen += sum(len(cell) if isinstance(cell, str) else 50 for cell in row.cells.values())
            if seen > SAMPLE_CHARACTERS:
                break
        self.rows = chain(first, self.rows)
        self.sample = [row for row in first if isinstance(row, Row)]
        if not self.columns:
            names = dict.fromkeys(chain(*(row.cells for row in self.sample)))
            self.columns = check_columns([name for name in names if name == storable(name)])


def storable(name: str) -> str:
    """A column's name without what a database cannot hold."""
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "")[:LONGEST_NAME]


def check_columns(columns: list[str]) -> list[str]:
    """Give back the columns of a table unless there are too many.

    Raises
    ------
    Invalid
        If there are.
    """
    if len(columns) > MAX_COLUMNS:
        raise Invalid(f"The table has {len(columns):,} columns; at most {MAX_COLUMNS:,} are taken, so leave some out.")
    return columns


def name_columns(header: Iterable[object], notes: list[str]) -> list[str]:
    """The names of a header's columns, made distinct: a second “text” is called “text (2)”."""
    names: list[str] = []
    twice: list[str] = []
    taken = set()
    for number, cell in enumerate(header, start=1):
        name = storable("" if cell is None else str(cell)).strip() or f"column {number}"
        distinct, count = name, 1
        while distinct in taken:
            count += 1
            distinct = f"{name} ({count})"
        if count > 1:
            twice.append(name)
        taken.add(distinct)
        names.append(distinct)
    for name in dict.fromkeys(twice):
        notes.append(f"Several columns are called “{name}”; the later ones are called “{name} (2)” and so on.")
    return check_columns(names)


def is_header(cells: list[str]) -> bool:
    """Whether the first row of a table seems to name its columns rather than to be a row of it."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    return bool(filled) and not any(_is_number(cell) or len(cell) > 60 or "\n" in cell for cell in filled)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@contextmanager
def open_text_table(file: File, reading: Reading) -> Iterator[Table]:
    """Open CSV or TSV, also compressed by gzip.

    Raises
    ------
    Invalid
        If it cannot be read as a whole.
    """
    with open_lines(file, reading.encoding) as lines:
        first = _start(file, lines.encoding)
        delimiter = reading.delimiter or ("\t" if reading.format == "tsv" else guess_delimiter(first))
        if len(delimiter) != 1 or delimiter in '\r\n"':
            raise Invalid(f"“{delimiter}” cannot stand between cells; give a single character such as a comma.")
        notes = note_on(lines.encoding, reading.encoding)
        rows = _rows(lines, delimiter, file.name)
        opening = next((row for row in rows if not isinstance(row, Refused)), None)
        if opening is None:
            raise Invalid(f"{file.name} has no rows that can be read as a table; check its delimiter and its quotes.")
        header = is_header(opening[1]) if reading.header is None else reading.header
        if header:
            columns = name_columns(opening[1], notes)
        else:
            columns = check_columns([f"column {number}" for number in range(1, len(opening[1]) + 1)])
            rows = chain([opening], rows)
            if reading.header is None:
                notes.append("The first row looks like data, so the columns are numbered.")
        found = reading.model_copy(update={"encoding": lines.encoding, "delimiter": delimiter, "header": header})
        yield Table(columns, _cells(rows, columns, file.name), found, written=True, share=lines.share, notes=notes)


def _start(file: File, encoding: str) -> list[str]:
    """The first lines of a file, by which its delimiter is guessed."""
    with open_lines(file, encoding) as lines:
        try:
            return list(islice(lines, 100))
        except (TooLong, *DAMAGED):
            return []


def guess_delimiter(lines: list[str]) -> str:
    """The delimiter by which most rows have as many cells as the first, and more than one."""
    best, most = ",", 0.0
    for delimiter in DELIMITERS:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            continue
        alike = sum(width == widths[0] for width in widths) / len(widths) if widths else 0.0
        if widths and widths[0] > 1 and alike > most + 0.05:
            best, most = delimiter, alike
    return best


def _rows(lines: Lines, delimiter: str, name: str) -> Iterator[tuple[int, list[str]] | Refused]:
    """Each row with the line it begins in; blank lines are passed over."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.number + 1
        lines.end_row()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Refused(name, line, _broken(str(error), line, lines.number))
        except TooLong:
            yield Refused(name, line, "The row is longer than 16 million characters; shorten it, or close its quote.")
        except DAMAGED:
            yield Refused(name, line, CUT_OFF)
            return
        else:
            if row and (len(row) > 1 or row[0].strip()):
                yield line, row


def _broken(error: str, first: int, last: int) -> str:
    """The sentence for what the csv module cannot read from line `first` to `last`."""
    if "field limit" in error and first == last:
        return f"A cell has more than {MAX_TEXT:,} characters; shorten it."
    if "field limit" in error or "unexpected end" in error:
        return (
            f"A quote that opens here is not closed (up to line {last:,}); close it, or write quotes in a text twice."
        )
    if "expected after" in error:
        return "A quote inside a quoted cell is not written twice; write it twice."
    return "It cannot be read as cells; check its quotes and line ends."


def _cells(rows: Iterable[tuple[int, list[str]] | Refused], columns: list[str], name: str) -> Iterator[Row | Refused]:
    width = len(columns)
    for found in rows:
        if isinstance(found, Refused):
            yield found
            continue
        line, row = found
        if len(row) > width and not any(row[width:]):
            row = row[:width]
        if len(row) == width:
            yield Row(line, dict(zip(columns, row, strict=True)))
        elif any(cell.strip() for cell in row):
            cells = "1 cell" if len(row) == 1 else f"{len(row):,} cells"
            yield Refused(
                name, line, f"It has {cells} where the header has {width:,}; check its delimiters and quotes."
            )
