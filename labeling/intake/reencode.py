"""The inside of the safe opener: a program of its own that decodes hostile bytes and may die of it.

It reads batches of files from standard input and answers each file on standard output, as an image encoded anew
or as the sentence that says why not. It imports nothing of Askwise: it starts in a moment, and holds nothing that
a hostile file could want. What it is sent, and what it answers:

    batch    count, then for each file its length and its bytes
    answer   length of the header, length of the image, the header (JSON), the image

The first answer is given before anything is asked: it says that the program is ready.
"""

import faulthandler
import json
import os
import signal
import struct
import sys
import warnings
from collections.abc import Callable
from io import BytesIO
from math import isfinite
from typing import Any, BinaryIO

# Naming these two plugins here keeps Pillow from loading its forty others to find them.
from PIL import Image, ImageCms, TiffImagePlugin, WebPImagePlugin  # noqa: F401

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 50_000_000
MAX_SIDE = 2048
MAX_MEMORY = 2 * 1024**3
QUALITY = 90
TINY = 256 * 256  # pixels up to which PNG costs nothing, so that nothing is lost either
SMALL = 1024 * 1024  # pixels up to which a lossless image stays lossless

COUNT = struct.Struct("!I")
ANSWER = struct.Struct("!II")

TAKEN = "PNG, JPEG, WebP, GIF, BMP and TIFF are taken"
ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Refused(Exception):
    """The file cannot be taken; its text is the sentence that says why."""


def guess_kind(data: bytes) -> tuple[str, bool]:
    """What a file seems to be by its first bytes, and whether that is a kind that is taken; ("", False) if unknown."""
    start = data[:4096]
    for signature, kind in (
        (b"\x89PNG\r\n\x1a\n", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"BM", "BMP"),
        (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"),
    ):  # fmt: skip
        if start.startswith(signature):
            return kind, True
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP", True
    for signature, kind in (
        (b"%PDF", "a PDF document"), (b"PK\3\4", "a zip archive"), (b"\x1f\x8b", "a gzip archive"),
        (b"8BPS", "a Photoshop file"), (b"\0\0\1\0", "an icon"), (b"\0\0\0\x0cjP", "a JPEG 2000 image"),
    ):  # fmt: skip
        if start.startswith(signature):
            return kind, False
    if start[4:8] == b"ftyp":
        brand = start[8:12]
        known = {b"heic": "an HEIC image", b"heix": "an HEIC image", b"mif1": "an HEIC image", b"avif": "an AVIF image"}
        return known.get(brand, "a video"), False
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<") and b"<svg" in text:
        return "an SVG drawing", False
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page", False
    return "", False


def reencode(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Decode an image and encode it anew as a browser would show it, with nothing of the file but its pixels.

    Returns
    -------
    header : dict
        `format` ("PNG", "JPEG" or "WEBP"), `width`, `height`.
    image : bytes

    Raises
    ------
    Refused
        With the sentence that says why.
    """
    if not data:
        raise Refused("The file is empty.")
    kind, taken = guess_kind(data)
    if not taken:
        raise Refused(
            f"This is {kind}, not an image that can be opened; {TAKEN}." if kind else f"This is not an image; {TAKEN}."
        )
    try:
        lossless = kind not in ("JPEG", "WebP") or data[12:16] == b"VP8L"
        return _encode(_decode(data), lossless=lossless)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Refused(f"The image has more than {MAX_PIXELS // 1_000_000} million pixels; make it smaller.") from error
    except MemoryError as error:
        raise Refused("Opening the image needs too much memory; make it smaller or save it as PNG or JPEG.") from error
    except Refused:
        raise
    except Exception as error:  # on hostile bytes Pillow's decoders raise nearly every kind there is
        raise Refused(
            f"The {kind} image is damaged, incomplete or of an unusual kind; save it again as PNG or JPEG."
        ) from error


def _decode(data: bytes) -> Image.Image:
    """The first frame of an image: L, RGB or RGBA in sRGB, upright, no side longer than `MAX_SIDE`."""
    with Image.open(BytesIO(data), formats=FORMATS) as opened:
        opened.draft(None, (2 * MAX_SIDE, 2 * MAX_SIDE))  # a huge JPEG is decoded at a fraction of its size
        opened.load()
        profile = opened.info.get("icc_profile")
        turn = _turn(opened)
        image = _eight_bits(opened)
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    image = _srgb(image, profile)
    if turn is not None:
        image = image.transpose(turn)
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    return image


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How EXIF says the image is to be turned; broken EXIF says nothing."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # hostile EXIF fails in many ways, and none is a reason to refuse the pixels
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Any mode of Pillow's to L, RGB, RGBA or CMYK."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        return image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if mode in ("I", "F"):  # 32 bits have no white of their own: darkest to black, brightest to white
        low, high = image.getextrema()
        if not (isinstance(low, int | float) and isinstance(high, int | float) and isfinite(low) and isfinite(high)):
            raise Refused("The image has values that are not finite numbers; save it again as 8-bit PNG.")
        scale = 255 / (high - low) if high > low else 0.0
        return image.convert("F").point(lambda value: value * scale + (0.5 - low * scale)).convert("L")
    if mode == "1":
        return image.convert("L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    if mode in ("L", "RGB", "CMYK"):
        return image.copy()
    if mode == "LAB":
        raise Refused("The image is in Lab colours, which a browser cannot show; save it as RGB.")
    return image.convert("RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours as the image's own profile means them; a broken or absent profile means sRGB."""
    if profile and image.mode != "L":
        try:
            own = ImageCms.ImageCmsProfile(BytesIO(profile))
            mode = "RGB" if image.mode == "CMYK" else image.mode
            converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode=mode)
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB") if image.mode == "CMYK" else image


def _encode(image: Image.Image, *, lossless: bool) -> tuple[dict[str, Any], bytes]:
    pixels = image.width * image.height
    options: dict[str, Any]
    if pixels <= TINY or (pixels <= SMALL and (lossless or image.mode == "RGBA")):
        kind, options = "PNG", {}
    elif image.mode == "RGBA":
        kind, options = "WEBP", {"quality": QUALITY}
    else:
        kind, options = "JPEG", {"quality": QUALITY, "subsampling": 0}
    bare = Image.new(image.mode, image.size)  # a new image carries no comment, profile, EXIF or thumbnail over
    bare.paste(image)
    out = BytesIO()
    bare.save(out, kind, **options)
    return {"format": kind, "width": image.width, "height": image.height}, out.getvalue()


def _limit() -> None:
    """Keep a hostile file from taking the machine along; where a system lacks these limits, the deadline remains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes our input
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def serve(seconds: float, decode: Callable[[bytes], tuple[dict[str, Any], bytes]] = reencode) -> None:
    """Answer batches until the parent closes our input or is gone.

    Parameters
    ----------
    seconds
        After so long on one file the program ends itself: the parent has its own, earlier deadline and may be dead.
    decode
        What is done with each file.
    """
    requests: BinaryIO = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library that prints must not print into an answer
    _limit()

    def answer(header: dict[str, Any], image: bytes) -> None:
        text = json.dumps(header).encode()
        answers.write(ANSWER.pack(len(text), len(image)) + text + image)
        answers.flush()

    try:
        answer({"ready": True}, b"")
        while head := requests.read(COUNT.size):
            # All of a batch is read before the first answer: else both sides could wait with full pipes.
            files = [requests.read(COUNT.unpack(requests.read(COUNT.size))[0]) for _ in range(COUNT.unpack(head)[0])]
            for data in files:
                faulthandler.dump_traceback_later(seconds, exit=True)
                try:
                    answer(*decode(data))
                except Refused as refusal:
                    answer({"refused": str(refusal)}, b"")
            faulthandler.cancel_dump_traceback_later()
    except (BrokenPipeError, struct.error):  # the parent is gone
        pass


if __name__ == "__main__":
    serve(float(sys.argv[1]))
