"""Lines of text files whose encoding nobody told: guessed, decoded as they are read, none longer than memory."""

import codecs
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from charset_normalizer import from_bytes
from charset_normalizer.constant import IANA_SUPPORTED

from labeling.errors import Invalid
from labeling.intake.archives import CHUNK, DAMAGED, MAX_RATIO, MAX_UNPACKED, File

MAX_TEXT = 1_000_000  # characters of one cell
MAX_ROW = 16_000_000  # characters of one row
SAMPLE = 4 * CHUNK  # bytes by which an encoding is guessed

BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
WESTERN = frozenset("àáâãäåæçèéêëìíîïñòóôõöøœùúûüýÿßÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØŒÙÚÛÜÝŸ‘’‚“”„«»‹›–—…•€£§°·¡¿ªº©®™\xa0")
UNDECODABLE = "\udcff"  # stands where bytes are not of the encoding; no text has it by itself


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return UNDECODABLE, error.end


codecs.register_error("askwise.mark", _mark)

CUT_OFF = "The file is damaged or cut off from here on; what stands before went in."


class TooLong(Exception):
    """A line, or the lines of one row, are longer than `MAX_ROW`."""


class Lines:
    """The lines of an open file, with their ends; an iterator that can go on after it raised `TooLong`.

    Attributes
    ----------
    encoding : str
    number : int
        Of the last line, from 1.
    """

    def __init__(self, stream: IO[bytes], encoding: str, *, size: int, most: int | None, newline: str) -> None:
        self.encoding = encoding
        self.number = 0
        self._raw = stream
        self._size = size
        self._left = most
        self._in_row = 0
        unpacked = stream if most is None else gzip.GzipFile(fileobj=stream)
        self._text = io.TextIOWrapper(unpacked, encoding, errors="askwise.mark", newline=newline)

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(MAX_ROW)
        if not line:
            raise StopIteration
        self.number += 1
        self._in_row += len(line)
        self._count(line)
        if len(line) == MAX_ROW and line[-1] not in "\r\n":
            while (rest := self._text.readline(MAX_ROW)) and rest[-1] not in "\r\n":
                self._count(rest)
            raise TooLong
        if self._in_row > MAX_ROW:
            raise TooLong
        return line

    def read(self, most: int) -> str:
        """Up to `most` characters, whatever lines they are; `number` counts the ends of lines among them."""
        text = self._text.read(most)
        self.number += text.count("\n")
        self._count(text)
        return text

    def _count(self, text: str) -> None:
        if self._left is not None:
            self._left -= len(text)
            if self._left < 0:
                raise OSError("unpacks to far more than its size")

    def end_row(self) -> None:
        """Say that the next line begins another row."""
        self._in_row = 0

    def share(self) -> float:
        """How much of the file was read, from 0 to 1."""
        return min(1.0, self._raw.tell() / self._size) if self._size and not self._raw.closed else 1.0


@contextmanager
def open_lines(file: File, encoding: str | None, newline: str = "") -> Iterator[Lines]:
    """Open a text file, also one compressed by gzip; `newline` is that of `open`.

    Raises
    ------
    Invalid
        If it is empty, cannot be read, or is not text; or if there is no such encoding.
    """
    sample, zipped = _sample(file)
    if not sample.strip(b"\xef\xbb\xbf \t\r\n\0"):
        raise Invalid(f"{file.name} is empty; give a file with something in it.")
    known = check_encoding(encoding) if encoding else guess_encoding(sample)
    if known is None:
        raise Invalid(f"{file.name} is not text in any encoding that is known; save it as UTF-8, or name its encoding.")
    with file.open() as stream:
        most = max(MAX_UNPACKED, MAX_RATIO * file.size) if zipped else None
        yield Lines(stream, known, size=file.size, most=most, newline=newline)


def _sample(file: File) -> tuple[bytes, bool]:
    """The first bytes of a file, unpacked, and whether it is compressed."""
    try:
        with file.open() as stream:
            start = stream.read(2)
            if start != b"\x1f\x8b":
                return start + _read(stream.read, SAMPLE), False
        with file.open() as stream, gzip.GzipFile(fileobj=stream) as unpacked:
            return _read(unpacked.read, SAMPLE), True
    except DAMAGED as error:
        raise Invalid(f"{file.name} is damaged; make it again.") from error


def _read(read: Callable[[int], bytes], most: int) -> bytes:
    """Up to `most` bytes, fewer where a stream ends or breaks: what is there may still be worth having."""
    parts = []
    try:
        while most > 0 and (part := read(min(most, CHUNK // 4))):
            parts.append(part)
            most -= len(part)
    except DAMAGED:
        if not parts:
            raise
    return b"".join(parts)


def check_encoding(name: str) -> str:
    """The codec of an encoding that text files have.

    Raises
    ------
    Invalid
        If there is none of this name.
    """
    try:
        codec = codecs.lookup(name).name
    except (LookupError, ValueError):
        codec = ""
    if codec.replace("-", "_") not in {"utf_8_sig", *(codecs.lookup(known).name.replace("-", "_") for known in _KNOWN)}:
        raise Invalid(f"There is no encoding “{name}”; utf-8, utf-16 and cp1252 are the most usual.")
    return codec


_KNOWN = [name for name in IANA_SUPPORTED if name != "utf_7"]


def guess_encoding(sample: bytes) -> str | None:
    """The encoding of a file that begins with `sample`, or None if it is not text.

    A byte order mark decides; else it is UTF-8 if it can be, for what is not seldom happens to be valid; else the
    lines that are not ASCII do: cp1252 where that makes them words of a Western language, or what they look like most.
    """
    for mark, encoding in BOMS.items():
        if sample.startswith(mark):
            return encoding
    wide = _without_mark(sample)
    if wide:
        return wide
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # which lets the last character be cut off
        return "utf-8"
    except UnicodeDecodeError:
        pass
    telling = b"\n".join(line for line in sample.split(b"\n") if not line.isascii())[: CHUNK // 16]
    if _is_western(telling):
        return "cp1252"
    best = from_bytes(telling).best()
    return check_encoding(best.encoding) if best and best.encoding in _KNOWN else None


def _is_western(sample: bytes) -> bool:
    """Whether bytes are words in cp1252: mostly plain letters, with accents that Western languages have among them."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    odd = [character for character in text if not character.isascii()]
    letters = sum(character.isalpha() for character in text)
    accented = sum(character.isalpha() for character in odd)
    return all(character in WESTERN for character in odd) and accented < 0.35 * letters


def _without_mark(sample: bytes) -> str | None:
    """UTF-16 without a byte order mark, told by the zero bytes of ASCII in it."""
    start = sample[: len(sample) // 2 * 2][:CHUNK]
    odd, even = start[1::2].count(0), start[::2].count(0)
    if odd > 0.3 * len(start) / 2 and even < 0.05 * len(start) / 2:
        return "utf-16-le"
    if even > 0.3 * len(start) / 2 and odd < 0.05 * len(start) / 2:
        return "utf-16-be"
    return None


def note_on(encoding: str, given: str | None) -> list[str]:
    """What to say of an encoding that was guessed and could be another."""
    if given or encoding.startswith("utf"):
        return []
    return [f"The encoding is guessed to be {encoding}; choose another if letters look wrong."]


def undecodable(encoding: str) -> str:
    """The sentence for a row with bytes that are not of its encoding."""
    return f"It has bytes that are not {encoding}; save the file as UTF-8, or choose the encoding it is in."
