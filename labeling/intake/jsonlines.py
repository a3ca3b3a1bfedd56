"""Objects in JSON: one a line (JSON Lines), or the elements of one array, read one by one."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from labeling.intake.archives import DAMAGED, File
from labeling.intake.lines import CUT_OFF, MAX_ROW, UNDECODABLE, Lines, TooLong, note_on, open_lines, undecodable
from labeling.intake.records import Reading, Refused
from labeling.intake.tables import Row, Table

NOT_JSON = "It is not valid JSON ({why}); correct it."
TOO_DEEP = "It is nested too deeply; flatten it."
TOO_LONG = "The row is longer than 16 million characters; shorten it."
NOT_AN_OBJECT = "It is not an object with names and values; write one object a row, in braces."


class _NotANumber(ValueError):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _NotANumber(name)


_CHUNK = 65_536
_BETWEEN = re.compile(r"[\s,]*")
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def explain(error: Exception) -> str:
    """The sentence for JSON that cannot be read."""
    if isinstance(error, _NotANumber):
        return f"It has {error}, which is no number in JSON; write null where a number is missing."
    if isinstance(error, RecursionError):
        return TOO_DEEP
    return NOT_JSON.format(why=error.msg.lower() if isinstance(error, json.JSONDecodeError) else "a number too long")


@contextmanager
def open_json_table(file: File, reading: Reading) -> Iterator[Table]:
    """Open JSON Lines (also compressed by gzip), or an array of objects.

    Raises
    ------
    Invalid
        If it cannot be read as a whole.
    """
    with open_objects(file, reading) as (rows, found, lines):
        yield Table([], rows, found, share=lines.share, notes=note_on(lines.encoding, reading.encoding))


@contextmanager
def open_objects(file: File, reading: Reading) -> Iterator[tuple[Iterator[Row | Refused], Reading, Lines]]:
    """The objects of a file, each with the line it begins in; how the file was read; and its lines.

    Raises
    ------
    Invalid
        If it is no text.
    """
    with open_lines(file, reading.encoding, newline="\n") as lines:
        found = reading.model_copy(update={"encoding": lines.encoding})
        try:
            while (first := lines.read(1)).isspace():
                pass
        except DAMAGED:
            first = ""
        rows = _elements(lines, file.name) if first == "[" else _objects(first, lines, file.name)
        yield rows, found, lines


def _objects(first: str, lines: Lines, name: str) -> Iterator[Row | Refused]:
    """One object a line; `first` is what was read of the first line."""
    while True:
        lines.end_row()
        try:
            line = first + next(lines, "")
        except TooLong:
            yield Refused(name, lines.number, TOO_LONG)
        except DAMAGED:
            yield Refused(name, lines.number + 1, CUT_OFF)
            return
        else:
            if not line:
                return
            if not line.isspace():
                yield _row(line, lines, name)
        first = ""


def _row(line: str, lines: Lines, name: str) -> Row | Refused:
    if UNDECODABLE in line:
        return Refused(name, lines.number, undecodable(lines.encoding))
    try:
        found: Any = _decoder.decode(line)
    except (ValueError, RecursionError) as error:
        return Refused(name, lines.number, explain(error))
    return Row(lines.number, found) if isinstance(found, dict) else Refused(name, lines.number, NOT_AN_OBJECT)


def _elements(lines: Lines, name: str) -> Iterator[Row | Refused]:
    """The elements of one array, however its lines are broken; what cannot be read ends it."""
    text, at = "", 0
    line = lines.number + 1  # in which `text[at]` stands
    while True:
        try:
            while (start := _BETWEEN.match(text, at).end()) == len(text) and (more := lines.read(_CHUNK)):  # type: ignore[union-attr]
                text += more
            line += text.count("\n", at, start)
            if text.startswith("]", start):
                return
            if start == len(text):
                yield Refused(name, line, "The array is not closed; the file may be cut off.")
                return
            found, at, text, start = _decode(text, start, lines)
        except TooLong:
            yield Refused(name, line, TOO_LONG)
            return
        except (_NotANumber, json.JSONDecodeError, RecursionError) as error:
            yield Refused(name, line, f"{explain(error)} The rest of the file is left out.")
            return
        except DAMAGED:
            yield Refused(name, line, CUT_OFF)
            return
        if text.find(UNDECODABLE, start, at) >= 0:
            yield Refused(name, line, undecodable(lines.encoding))
        else:
            yield Row(line, found) if isinstance(found, dict) else Refused(name, line, NOT_AN_OBJECT)
        line += text.count("\n", start, at)


def _decode(text: str, start: int, lines: Lines) -> tuple[Any, int, str, int]:
    """The element that begins at `start`, where it ends, and both the text and the start, as more may have been read.

    The text at least doubles between two tries, so that an element is parsed a few times, however long it is.
    """
    stuck = -1
    while True:
        try:
            return *_decoder.raw_decode(text, start), text, start
        except json.JSONDecodeError as error:
            here = error.pos - start
            # An error that more text did not move is one; but for a string, which is told by where it begins.
            if here == stuck and "Unterminated" not in error.msg:
                raise
            if len(text) - start > MAX_ROW:
                raise TooLong from None
            text, start, stuck = text[start:], 0, here
            more = lines.read(max(len(text), _CHUNK))
            if not more:
                raise
            text += more
