"""Excel workbooks: the values that were saved, never a formula."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from labeling.errors import Invalid
from labeling.intake.archives import DAMAGED, File, real_file
from labeling.intake.lines import CUT_OFF
from labeling.intake.records import Reading, Refused
from labeling.intake.tables import MAX_COLUMNS, Row, Table, is_header, name_columns

MAX_UNPACKED = 512 * 1024**2  # bytes of XML; texts that cells share are held in memory
MAX_ROWS = 1_048_576  # of a sheet, as Excel has it; a hostile sheet may claim any number
# What openpyxl raises on damaged or hostile workbooks, of which it knows no end. Errors of its XML parsers are
# SyntaxErrors; entities, which defusedxml refuses wherever it is installed, are ValueErrors.
BROKEN = (
    *DAMAGED, KeyError, TypeError, AttributeError, IndexError, SyntaxError, AssertionError, NotImplementedError
)  # fmt: skip


@contextmanager
def open_workbook(file: File, reading: Reading) -> Iterator[Table]:
    """Open a sheet of an Excel workbook (.xlsx): the named one, else the first.

    Raises
    ------
    Invalid
        If it cannot be read as a whole, or has no such sheet.
    """
    import openpyxl  # imported when used: pages offer imports, and must stay light

    with real_file(file) as stream:
        try:
            _check_size(stream)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what else is in the workbook: styles, filters, charts
                book = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
        except Invalid:
            raise
        except BROKEN as error:
            raise Invalid(
                f"{file.name} is not an Excel workbook that can be read; save it again as .xlsx, or as CSV."
            ) from error
        try:
            yield _table(book, file.name, reading)
        finally:
            book.close()


def _check_size(stream: IO[bytes]) -> None:
    with zipfile.ZipFile(stream) as parts:
        unpacked = sum(part.file_size for part in parts.infolist())
    stream.seek(0)
    if unpacked > MAX_UNPACKED:
        raise Invalid(
            f"The workbook would unpack to {unpacked / 1024**2:,.0f} MB, more than can be held; save it as CSV."
        )


def _table(book: Any, name: str, reading: Reading) -> Table:
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    sheet = next(iter(sheets), "") if reading.sheet is None else reading.sheet
    if sheet not in sheets:
        there = ", ".join(f"“{title}”" for title in sheets) or "none"
        raise Invalid(f"There is no sheet “{sheet}” in {name}; there are: {there}.")
    notes = [f"Of {len(sheets)} sheets, “{sheet}” is read."] if len(sheets) > 1 and reading.sheet is None else []
    # One column more than is taken, to be seen if it is there.
    opening = next(
        (row for row in _rows(sheets[sheet], name, 1, MAX_COLUMNS + 1) if not isinstance(row, Refused)), None
    )
    if opening is None:
        raise Invalid(f"The sheet “{sheet}” of {name} is empty or damaged; give one with rows.")
    line, first = opening[0], _without_end(opening[1])
    header = (
        is_header(["" if cell is None else str(cell) for cell in first]) if reading.header is None else reading.header
    )
    columns = name_columns(first if header else [None] * len(first), notes)
    rows = _rows(sheets[sheet], name, line + 1 if header else line, len(columns) + 1)
    found = reading.model_copy(update={"sheet": sheet, "header": header})
    return Table(columns, _cells(rows, columns, name), found, notes=notes)


Numbered = tuple[int, tuple[Any, ...]]


def _rows(sheet: Any, name: str, first: int, width: int) -> Iterator[Numbered | Refused]:
    """Each row from number `first` on with its number and `width` cells; blank ones are passed over."""
    sheet.reset_dimensions()  # what it says of its size need not be so
    line = first - 1
    try:
        for line, row in enumerate(sheet.iter_rows(first, MAX_ROWS, 1, width, values_only=True), first):
            if any(cell is not None for cell in row):
                yield line, row
    except BROKEN:
        yield Refused(name, line + 1, CUT_OFF)


def _without_end(row: tuple[Any, ...]) -> list[Any]:
    cells = list(row)
    while cells and cells[-1] is None:
        cells.pop()
    return cells


def _cells(rows: Iterator[Numbered | Refused], columns: list[str], name: str) -> Iterator[Row | Refused]:
    width = len(columns)
    for found in rows:
        if isinstance(found, Refused):
            yield found
        elif any(cell is not None for cell in found[1][width:]):
            yield Refused(name, found[0], f"It has more cells than the header's {width:,}; name every column.")
        else:
            yield Row(found[0], dict(zip(columns, found[1], strict=False)))
