"""The one safe opener of media: bytes from anywhere in, a clean image out, or one sentence that says why not.

The bytes are decoded in a program of its own (`reencode`) with limits on memory, pixels and time. When it hangs or
dies, it is replaced, and the file it had in hand is refused by name. Nothing it answers is ever executed or
unpickled: answers are lengths, a small JSON header and an image.
"""

import json
import os
import queue
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from labeling.errors import AskwiseError, Invalid
from labeling.intake import reencode

MAX_BYTES = 64 * 1024**2
SECONDS = 20.0
START_SECONDS = 60.0
MAX_HEADER = 4096

MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WebP": "image/webp"}


@dataclass(frozen=True)
class OpenedImage:
    """An image encoded anew: its bytes (PNG, JPEG or WebP) and its size in pixels."""

    data: bytes
    width: int
    height: int


def media_type(data: bytes) -> str:
    """The content type of a re-encoded image, from its first bytes (16 are enough).

    Raises
    ------
    Invalid
        If these are not the first bytes of what the opener writes.
    """
    kind, _ = reencode.guess_kind(data)
    if kind not in MEDIA_TYPES:
        raise Invalid("The stored image is damaged; import the file again.")
    return MEDIA_TYPES[kind]


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file to read; links, pipes and devices are not followed.

    Raises
    ------
    Invalid
        With the sentence that says why not.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = open(os.open(path, flags), "rb")  # noqa: SIM115 - it is what is given back
    except OSError as error:
        raise Invalid(f"The file cannot be read ({error.strerror or error}).") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Invalid("This is not a regular file; copy the image itself here.")
    return file


def read_capped(path: Path) -> bytes:
    """Read a regular file of at most `MAX_BYTES`; links, pipes and devices are not followed.

    Raises
    ------
    Invalid
        With the sentence that says why not.
    """
    with open_regular(path) as file:
        try:
            return check_bytes(file.read(MAX_BYTES + 1))
        except OSError as error:
            raise Invalid(f"The file cannot be read ({error.strerror or error}).") from error


def check_bytes(data: bytes, most: int = MAX_BYTES) -> bytes:
    """Give back `data` unless it is larger than `most` bytes.

    Raises
    ------
    Invalid
        If it is.
    """
    if len(data) > most:
        raise Invalid(TOO_LARGE if most == MAX_BYTES else f"The file is larger than {most // 1024**2} MB; split it.")
    return data


TOO_LARGE = f"The file is larger than {MAX_BYTES // 1024**2} MB; make the image smaller."


class _Lost(Exception):
    """The child is gone or is to go; its text is the sentence for the file it had in hand."""


class _Child:
    """One running `reencode` and the thread that talks with it, so that no wait is without an end."""

    def __init__(self, program: Path, seconds: float) -> None:
        # Not multiprocessing: its children run the parent's main module again, which may be anybody's script,
        # and a daemonic parent may have none. Settings stay here: a database's password is not for a decoder.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(program), str(2 * seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith("ASKWISE_")},
        )  # fmt: skip
        self._batches: queue.SimpleQueue[Sequence[bytes] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[dict[str, Any], bytes] | None] = queue.SimpleQueue()
        threading.Thread(target=self._converse, name="image opener", daemon=True).start()
        try:
            self.answer(START_SECONDS)
        except _Lost as error:
            self.stop()
            raise AskwiseError("The image opener does not start; `askwise doctor` says what is missing.") from error

    def ask(self, files: Sequence[bytes]) -> None:
        self._batches.put(files)

    def answer(self, seconds: float) -> tuple[dict[str, Any], bytes]:
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise _Lost(
                f"Opening the image took longer than {seconds:g} seconds; save it again as PNG or JPEG."
            ) from None
        if answer is None:
            raise _Lost("The image made its decoder fail; save it again as PNG or JPEG.")
        return answer

    def stop(self) -> None:
        self._batches.put(None)
        self._process.kill()
        self._process.wait()

    def _converse(self) -> None:
        assert self._process.stdin and self._process.stdout
        try:
            with self._process.stdin as requests, self._process.stdout as answers:
                self._answers.put(_receive(answers))
                while (files := self._batches.get()) is not None:
                    requests.write(reencode.COUNT.pack(len(files)))
                    for data in files:
                        requests.write(reencode.COUNT.pack(len(data)))
                        requests.write(data)
                    requests.flush()
                    for _ in files:
                        self._answers.put(_receive(answers))
        except (OSError, ValueError, struct.error):  # a pipe closed, or an answer that is none
            pass
        finally:
            self._answers.put(None)


def _receive(answers: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    header_length, image_length = reencode.ANSWER.unpack(answers.read(reencode.ANSWER.size))
    if header_length > MAX_HEADER or image_length > MAX_BYTES:
        raise ValueError("not an answer")
    header = json.loads(answers.read(header_length))
    image = answers.read(image_length)
    if len(image) != image_length or not isinstance(header, dict):
        raise ValueError("not an answer")
    return header, image


class ImageOpener:
    """Opens images in a child process that can die; one at a time per opener, safe to share between threads.

    Parameters
    ----------
    seconds
        How long one image may take.
    program
        The child's program.

    Examples
    --------
    >>> with ImageOpener() as opener:  # doctest: +SKIP
    ...     image = opener.open(Path("cat.jpg"))
    """

    def __init__(self, *, seconds: float = SECONDS, program: Path = Path(reencode.__file__)) -> None:
        self._seconds = seconds
        self._program = program
        self._child: _Child | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child process; the next image starts another."""
        with self._lock:
            self._drop()

    def open(self, source: bytes | Path) -> OpenedImage:
        """Open one image.

        Raises
        ------
        Invalid
            With the sentence that says why it cannot be taken.
        """
        result = self.open_many([read_capped(source) if isinstance(source, Path) else source])[0]
        if isinstance(result, Invalid):
            raise result
        return result

    def open_many(self, files: Sequence[bytes]) -> list[OpenedImage | Invalid]:
        """Open a batch in one round trip; keep it to what fits in memory twice.

        Returns
        -------
        list
            For each file the image, or the error that `open` would have raised.
        """
        results: list[OpenedImage | Invalid] = []
        with self._lock:
            while len(results) < len(files):
                self._child = self._child or _Child(self._program, self._seconds)
                rest = files[len(results) :]
                # What is too large goes as nothing: it keeps its place in the batch and is refused here.
                self._child.ask([data if len(data) <= MAX_BYTES else b"" for data in rest])
                try:
                    for data in rest:
                        answer = self._child.answer(self._seconds)
                        results.append(_result(*answer) if len(data) <= MAX_BYTES else Invalid(TOO_LARGE))
                except _Lost as loss:
                    self._drop()
                    results.append(Invalid(str(loss)))
                except BaseException:  # Ctrl-C: answers still to come must not be taken for those to the next batch
                    self._drop()
                    raise
        return results

    def _drop(self) -> None:
        if self._child:
            self._child.stop()
            self._child = None


def _result(header: dict[str, Any], image: bytes) -> OpenedImage | Invalid:
    if "refused" in header:
        return Invalid(str(header["refused"]))
    try:
        media_type(image)  # even a child that was taken over can only answer with one of three kinds of image
        return OpenedImage(image, int(header["width"]), int(header["height"]))
    except (Invalid, KeyError, TypeError, ValueError):
        return Invalid("The image made its decoder fail; save it again as PNG or JPEG.")
