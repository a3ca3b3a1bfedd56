"""Parquet, decoded in batches of bounded size by a program of its own (`unparquet`), which may die of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa

from labeling.errors import Invalid
from labeling.intake import unparquet
from labeling.intake.archives import MAX_RATIO, MAX_UNPACKED, File, real_file
from labeling.intake.lines import CUT_OFF
from labeling.intake.records import Reading, Refused
from labeling.intake.tables import Row, Table, check_columns, name_columns

SECONDS = 60.0  # for a batch, and for the start of the program
MAX_HEADER = 16 * 1024**2
BROKEN = (pa.ArrowException, OSError, ValueError, EOFError)  # what reading a stream that breaks off raises


@contextmanager
def open_parquet(file: File, reading: Reading) -> Iterator[Table]:
    """Open a Parquet file.

    Raises
    ------
    Invalid
        If it cannot be read as a whole.
    """
    with real_file(file) as stream, _decoding(stream) as process:
        assert process.stdout
        header = _header(process.stdout)
        if header is None:
            raise Invalid(f"{file.name} is not a Parquet file that can be read; it may be cut off.")
        if header["unpacked"] > max(MAX_UNPACKED, MAX_RATIO * file.size):
            size = f"{header['unpacked'] / 1024**3:,.1f} GB"
            raise Invalid(f"{file.name} would unpack to {size}, far more than tables do; split it.")
        check_columns(header["columns"])
        if not header["rows"] or not header["columns"]:
            raise Invalid(f"{file.name} is empty; give a file with something in it.")
        notes: list[str] = []
        columns = name_columns(header["columns"], notes)
        rows = _rows(process, columns, header["rows"], file.name)
        yield Table(columns, rows, reading, total=header["rows"], names=header["classes"], notes=notes)


@contextmanager
def _decoding(stream: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The program at work on a file."""
    limits = (SECONDS, unparquet.MAX_BATCH_ROWS, unparquet.MAX_MEMORY)
    process = subprocess.Popen(
        [sys.executable, "-P", unparquet.__file__, *map(str, limits)],
        stdin=stream, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if not name.startswith("ASKWISE_")},
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def _header(answers: IO[bytes]) -> dict[str, Any] | None:
    """What the program says of the file, or None if it died of it."""
    length = answers.read(unparquet.LENGTH.size)
    if len(length) < unparquet.LENGTH.size:
        return None
    text = answers.read(min(unparquet.LENGTH.unpack(length)[0], MAX_HEADER))
    try:
        header = json.loads(text)
    except ValueError:
        return None
    return header if isinstance(header, dict) else None


def _rows(process: subprocess.Popen[bytes], columns: list[str], total: int, name: str) -> Iterator[Row | Refused]:
    assert process.stdout
    line = 0
    try:
        for batch in pa.ipc.open_stream(process.stdout):
            cells = [_cells(column) for column in batch.columns]
            for line, row in enumerate(zip(*cells, strict=True), start=line + 1):  # noqa: B020
                yield Row(line, dict(zip(columns, row, strict=True)))
    except BROKEN:
        pass
    if line < total:  # a stream that ends between two batches looks whole
        if process.wait() != unparquet.TOO_LARGE:
            yield Refused(name, line + 1, CUT_OFF)
        elif line:
            yield Refused(name, line + 1, "The rows from here on are too large for the memory there is; shorten them.")
        else:
            raise Invalid(f"{name} cannot be read: its rows are too large for the memory there is; make them smaller.")


def _cells(column: pa.Array) -> list[Any]:
    """The values of a column; those that come more than once are one object."""
    if not pa.types.is_dictionary(column.type):
        return column.to_pylist()
    used = column.indices.unique()
    known = dict(zip(used.to_pylist(), column.dictionary.take(used).to_pylist(), strict=True))
    return [known[index] for index in column.indices.to_pylist()]
