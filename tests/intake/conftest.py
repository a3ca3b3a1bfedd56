"""Files as they come: good ones, odd ones, and ones that mean harm."""

import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from labeling.intake.images import ImageOpener

Encode = Callable[..., bytes]


@pytest.fixture(scope="module")
def opener() -> Iterator[ImageOpener]:
    with ImageOpener() as opened:
        yield opened


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="session")
def encode() -> Encode:
    return encoded


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + name + data + struct.pack("!I", zlib.crc32(name + data))


def _huge_png() -> bytes:
    """A few bytes that declare 2,500 million pixels."""
    header = struct.pack("!IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + _chunk(b"IEND", b"")
    )


def _noise(size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.effect_noise(size, 80).convert("RGB")


@pytest.fixture(scope="session")
def good_files() -> dict[str, bytes]:
    """Every kind that is taken, and the odd ones among them; all contents differ."""
    return {
        "plain.png": encoded(_noise()),
        "plain.jpg": encoded(_noise(), "JPEG"),
        "plain.webp": encoded(_noise(), "WEBP"),
        "plain.bmp": encoded(_noise(), "BMP"),
        "plain.tiff": encoded(_noise(), "TIFF"),
        "animated.gif": encoded(
            Image.new("P", (20, 10), 1),
            "GIF",
            save_all=True,
            append_images=[Image.new("P", (20, 10), i) for i in (2, 3)],
        ),
        "cmyk.jpg": encoded(_noise().convert("CMYK"), "JPEG"),
        "sixteen.png": encoded(Image.new("I;16", (9, 7), 30_000)),
        "float.tiff": encoded(Image.linear_gradient("L").convert("F"), "TIFF"),
        "one-bit.png": encoded(Image.new("1", (9, 7), 1)),
        "really-a-jpeg.png": encoded(_noise(), "JPEG"),
        "no-suffix": encoded(_noise()),
    }


@pytest.fixture(scope="session")
def bad_files() -> dict[str, tuple[bytes, str]]:
    """Each a file and a part of the sentence that refuses it."""
    svg = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    return {
        "empty.png": (b"", "is empty"),
        "truncated.jpg": (encoded(_noise(), "JPEG")[:1500], "JPEG image is damaged, incomplete"),
        "truncated.png": (encoded(_noise())[:1500], "PNG image is damaged, incomplete"),
        "truncated.gif": (encoded(_noise().convert("P"), "GIF")[:900], "GIF image is damaged, incomplete"),
        "truncated.webp": (encoded(_noise(), "WEBP")[:400], "WebP image is damaged, incomplete"),
        "truncated.tiff": (encoded(_noise(), "TIFF")[:3000], "TIFF image is damaged, incomplete"),
        "truncated.bmp": (encoded(_noise(), "BMP")[:3000], "BMP image is damaged, incomplete"),
        "only-a-head.png": (b"\x89PNG\r\n\x1a\n", "PNG image is damaged, incomplete"),
        "bomb.png": (_huge_png(), "more than 50 million pixels"),
        "svg.png": (svg, "is an SVG drawing"),
        "svg-with-bom.png": (b"\xef\xbb\xbf \n" + svg[22:], "is an SVG drawing"),
        "page.jpg": (b"<!DOCTYPE html><script>alert(1)</script>", "is a web page"),
        "text.jpg": (b"just words", "is not an image"),
        "zip.png": (b"PK\3\4 and so on", "is a zip archive"),
        "photo.heic": (b"\0\0\0\x18ftypheic\0\0\0\0", "is an HEIC image"),
        "document.pdf": (b"%PDF-1.7", "is a PDF document"),
        "nul.png": (b"\0" * 1000, "is not an image"),
    }


@pytest.fixture
def pool(tmp_path: Path, good_files: dict[str, bytes], bad_files: dict[str, tuple[bytes, str]]) -> Path:
    """A folder with the good files in `good/` and the bad ones in `bad/`."""
    root = tmp_path / "pool"
    for folder, files in (("good", good_files), ("bad", {name: data for name, (data, _) in bad_files.items()})):
        (root / folder).mkdir(parents=True)
        for name, data in files.items():
            (root / folder / name).write_bytes(data)
    return root
