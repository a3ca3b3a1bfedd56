"""What items look like or say, in 64 bits, so that near-duplicates differ in few of them; and the closer look.

Images have a perceptual hash: which of the lowest frequencies of a small grey picture are strong (Zauner,
"Implementation and Benchmarking of Perceptual Image Hash Functions", 2010). Texts have 64 one-bit minwise hashes of
their words and pairs of words (Li and König, "b-Bit Minwise Hashing", 2010): of texts that share a part J of these,
32 (1 - J) bits differ on average.

A fingerprint only nominates. `alike_images` and `alike_texts` decide.
"""

import re
import zlib
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dct

TOO_PLAIN = 0  # the fingerprint of what shows or says too little to be told from another
BITS = 64

FEWEST_PIXELS = 16  # on a side: in a smaller image, two of one class are as alike as two copies of one
PLAIN = 4.0  # standard deviation of grey values of 0 to 255 up to which there is nothing to see
HASHED_SIDE = 32
KEPT_SIDE = 64  # of the picture that is looked at closer
SEEN_SIDE = 16
ALIKE_COLOURS = 0.94  # correlation from which two images are one
ALIKE_GREYS = 0.985  # the same of images without colour, which have less to differ in
HOPELESS, CERTAIN = 0.6, 0.97  # correlations at which no other cut of the image is tried
CUTS = (0.94, 0.88)  # of a side's length, tried at nine places each
STRETCH = 1.25  # ratio of aspect ratios from which two images are not one

MOST_WORDS = 5000  # of a text that are looked at
ALIKE_TEXTS = 0.8  # share of words and pairs of words in common from which two texts are one

# Words; of scripts that put no blanks between them, characters.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_SIGN = re.compile(r"\S")
_BLOCK = 256  # texts hashed at once


def fingerprint_image(data: bytes) -> int:
    """The perceptual hash of an image that the safe opener wrote: 64 bits as a signed number.

    `TOO_PLAIN` for a tiny or an even image, and for one that cannot be opened.
    """
    picture = small_picture(data)
    if picture is None:
        return TOO_PLAIN
    grey = np.asarray(picture.convert("L").resize((HASHED_SIDE, HASHED_SIDE), Image.Resampling.BOX), dtype=np.float64)
    if grey.std() <= PLAIN:
        return TOO_PLAIN
    lowest = dct(dct(grey, axis=0, norm="ortho")[:8], axis=1, norm="ortho")[:, :8].ravel()
    return _signed(lowest > np.median(lowest[1:]))


def fingerprint_text(text: str) -> int:
    """The minwise hash of a text: 64 bits as a signed number. `TOO_PLAIN` where there is nothing but blanks."""
    return int(fingerprint_texts([text])[0])


def fingerprint_texts(texts: Sequence[str]) -> NDArray[np.int64]:
    """`fingerprint_text` of many texts (n,), in a tenth of the time."""
    blocks = [_of_block(texts[at : at + _BLOCK]) for at in range(0, len(texts), _BLOCK)]
    return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.int64)


def small_picture(data: bytes) -> Image.Image | None:
    """A small picture of an image that the safe opener wrote, in grey or colour; None where it is tiny or damaged."""
    try:
        with Image.open(BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as opened:
            if min(opened.size) < FEWEST_PIXELS:
                return None
            opened.draft(None, (2 * KEPT_SIDE, 2 * KEPT_SIDE))
            picture = opened.convert("RGBA") if opened.has_transparency_data else opened.convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None
    picture.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.BOX)
    if picture.mode == "RGBA":  # what is behind a transparent picture is not seen
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "grey"), picture).convert("RGB")
    return picture


def alike_images(one: Image.Image, other: Image.Image) -> bool:
    """Whether two small pictures show the same: brighter, darker, compressed again, or cut at the edges a little."""
    stretch = (one.width * other.height) / (one.height * other.width)
    if not 1 / STRETCH < stretch < STRETCH:
        return False
    wanted = ALIKE_GREYS if _is_grey(one) and _is_grey(other) else ALIKE_COLOURS
    whole, also = _seen(one), _seen(other)
    best = float(whole @ also)
    if best < HOPELESS or best >= CERTAIN:
        return best >= wanted
    for seen, cut in ((whole, other), (also, one)):
        if any(float(seen @ _seen(cut, box)) >= wanted for box in _boxes(*cut.size)):
            return True
    return best >= wanted


def shingles(text: str) -> frozenset[str]:
    """The words of a text and its pairs of words, whatever their case and what is between them."""
    words = _words(text)
    return frozenset([*words, *(f"{a} {b}" for a, b in pairwise(words))])


def alike_texts(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two texts, as `shingles`, have nearly all in common (their Jaccard similarity is high)."""
    common = len(one & other)
    return common > 0 and common >= ALIKE_TEXTS * (len(one) + len(other) - common)


def _words(text: str) -> list[str]:
    folded = text[: MOST_WORDS * 40].casefold()
    return (_WORD.findall(folded) or _SIGN.findall(folded))[:MOST_WORDS]


def _seen(picture: Image.Image, box: tuple[float, float, float, float] | None = None) -> NDArray[np.float32]:
    """A part of a picture as a vector of length one: what is left when each channel's mean is taken away."""
    seen = picture.resize((SEEN_SIDE, SEEN_SIDE), Image.Resampling.BILINEAR, box=box)
    values = np.asarray(seen, dtype=np.float32).reshape(SEEN_SIDE * SEEN_SIDE, -1)
    values = values - values.mean(axis=0)
    return (values / max(float(np.linalg.norm(values)), 1e-6)).ravel()


def _is_grey(picture: Image.Image) -> bool:
    channels = np.asarray(picture, dtype=np.int16)
    return int(np.ptp(channels, axis=2).max()) <= 8


@cache
def _boxes(width: int, height: int) -> list[tuple[float, float, float, float]]:
    """The cuts of a picture that are tried."""
    return [
        ((1 - cut) * width * x, (1 - cut) * height * y, (1 - cut) * width * x + cut * width,
         (1 - cut) * height * y + cut * height)
        for cut in CUTS for x in (0, 0.5, 1) for y in (0, 0.5, 1)
    ]  # fmt: skip


def _signed(bits: NDArray[np.bool_]) -> int:
    """64 bits as a signed number that is not `TOO_PLAIN`."""
    return int(np.packbits(bits).view(np.dtype(np.int64).newbyteorder(">"))[0]) or 1


class _Hashes(NamedTuple):
    """The 64 hash functions x -> a x + b modulo 2^64; the same for ever, as fingerprints are kept."""

    a: NDArray[np.uint64]
    b: NDArray[np.uint64]


@cache
def _hashes() -> _Hashes:
    numbers = _mixed(np.arange(1, 2 * BITS + 1, dtype=np.uint64))
    return _Hashes(numbers[:BITS] | np.uint64(1), numbers[BITS:])


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers as good as random, each from one: the finisher of SplitMix64 (Steele, Lea and Flood, 2014)."""
    x = numbers * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _of_block(texts: Sequence[str]) -> NDArray[np.int64]:
    """Fingerprints of a few texts: the words of all of them in one row, and the smallest hash of each stretch of it."""
    words = [_words(text) for text in texts]
    found, lengths = np.full(len(texts), TOO_PLAIN, dtype=np.int64), np.array([len(said) for said in words])
    if not lengths.any():
        return found
    flat = [zlib.crc32(word.encode("utf-8", "replace")) for said in words for word in said]
    single = _mixed(np.array(flat, dtype=np.uint64))
    ends = np.cumsum(lengths[lengths > 0])
    double = np.append(_mixed(single[:-1] * np.uint64(3) + single[1:]), single[-1])
    double[ends - 1] = single[ends - 1]  # no pair goes over the end of a text
    starts = np.concatenate([[0], ends[:-1]])
    a, b = _hashes()
    bits = np.empty((len(starts), BITS), dtype=np.bool_)
    for k in range(BITS):  # a function at a time: what is held stays as small as the texts
        smallest = np.minimum.reduceat(np.minimum(single * a[k] + b[k], double * a[k] + b[k]), starts)
        bits[:, k] = (smallest >> np.uint64(17)) & np.uint64(1)
    packed = np.packbits(bits, axis=1).view(np.dtype(np.int64).newbyteorder(">")).ravel().astype(np.int64)
    found[lengths > 0] = np.where(packed == TOO_PLAIN, 1, packed)
    return found
