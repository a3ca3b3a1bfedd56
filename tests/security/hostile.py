"""Files that mean harm, or are broken in ways that files are, and what is said of each."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import openpyxl
from PIL import Image

SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
TEXTS = "text,topic\na first plain text,x\na second plain text,y\n"


@dataclass(frozen=True)
class Hostile:
    """A file: its name, its bytes, what the import of it says, and how many items come in all the same.

    `says` is a part of the sentence: of what was refused where something comes in, else of the whole.
    """

    name: str
    make: Callable[[], bytes]
    says: str
    comes_in: int = 0


def png(shade: int = 1, size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    Image.new("L", size, shade).save(out, "PNG")
    return out.getvalue()


def noise(kind: str) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((64, 48), 80).save(out, kind)
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def with_link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("passwd.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("fine.png", png())
    return out.getvalue()


def tar_with_links() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, kind in (
            ("soft.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        fine = tarfile.TarInfo("fine.png")
        fine.size = len(png())
        archive.addfile(fine, io.BytesIO(png()))
    return out.getvalue()


def zip_bomb() -> bytes:
    """A few megabytes that say they unpack to thousands of times as many."""
    data = zipped({f"{i}.png": b"\0" * 2**20 for i in range(8)})
    # The sizes that the directory declares, each turned into 2 GB.
    declared = struct.pack("<I", 2**20)
    return data.replace(declared, struct.pack("<I", 2**31 - 1))


def pixel_bomb() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + name + data + struct.pack("!I", zlib.crc32(name + data))

    header = struct.pack("!IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def beside(name: str, data: bytes) -> Callable[[], bytes]:
    """A zip with this image and a good one."""
    return lambda: zipped({name: data, "fine.png": png()})


def workbook() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (["text", "topic"], ['=WEBSERVICE("http://127.0.0.1:9/x")', "x"], ["a plain text of words", "y"]):
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


HOSTILE = {
    "zip-slip": Hostile(
        "slip.zip", lambda: zipped({"../../../slipped.png": png(), "/slipped.png": png(2), "fine.png": png(3)}),
        "points outside the archive", 1,
    ),
    "a link in a zip": Hostile("link.zip", with_link, "This is a link", 1),
    "links in a tar": Hostile("links.tar.gz", tar_with_links, "is a link", 1),
    "a zip bomb": Hostile("bomb.zip", zip_bomb, "would unpack to"),
    "a pixel bomb": Hostile("pixels.zip", beside("bomb.png", pixel_bomb()), "more than 50 million pixels", 1),
    "a truncated image": Hostile("cut.zip", beside("cut.jpg", noise("JPEG")[:1500]), "damaged, incomplete", 1),
    "an image that is none": Hostile("pdf.zip", beside("photo.png", b"%PDF-1.7"), "is a PDF document", 1),
    "an SVG in disguise": Hostile("svg.zip", beside("drawing.png", SVG), "is an SVG drawing", 1),
    "a web page in disguise": Hostile("page.zip", beside("a.jpg", b"<!DOCTYPE html><script>"), "is a web page", 1),
    "an archive in disguise": Hostile("photos.zip", lambda: b"<html>not found</html>", "photos.zip"),
    "an archive cut off": Hostile("half.zip", lambda: zipped({"a.png": noise("PNG")})[:300], "half.zip"),
    "a wrong encoding": Hostile(
        "mixed.csv", lambda: b"text\n" + "".join(f"größer als {i}\n" for i in range(4_000)).encode()
        + b"caf\xe9\n", "not utf-8", 4_000,
    ),
    "a NUL": Hostile("nul.csv", lambda: (TEXTS + "with a \0 in it,x\n").encode(), "NUL", 2),
    "a cell of ten million letters": Hostile(
        "long.csv", lambda: (TEXTS + "x" * 10_000_000 + ",x\n").encode(), "characters", 2
    ),
    "duplicate columns": Hostile("twice.csv", lambda: b"text,text,n\na first text,other,1\n", "", 1),
    "formula cells": Hostile("formula.csv", lambda: (TEXTS + "=cmd|' /C calc'!A0,x\n").encode(), "", 3),
    "formulas in a workbook": Hostile("formula.xlsx", workbook, "Its text is empty", 1),
    "an empty file": Hostile("empty.csv", lambda: b"", "empty.csv is empty"),
    "an empty archive": Hostile("empty.zip", lambda: zipped({}), "There are no files in empty.zip"),
    "only a header": Hostile("header.csv", lambda: b"text,topic\n", "header.csv has no rows"),
    "a compressed bomb": Hostile("zeros.csv.gz", lambda: gzip.compress(b"text\n" + b"\0" * 50_000_000), ""),
}  # fmt: skip


def write(folder: Path, hostile: Hostile) -> Path:
    """The file, in a folder."""
    path = folder / hostile.name
    path.write_bytes(hostile.make())
    return path
