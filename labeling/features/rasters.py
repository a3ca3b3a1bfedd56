"""Stored images as arrays of one size, for encoders."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops
from threadpoolctl import threadpool_limits

from labeling.features.base import Content, Kind, State

FORMATS = ("PNG", "JPEG", "WEBP")  # that the safe opener writes
THREADS = min(8, os.cpu_count() or 1)

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Unlearned:
    """What encoders of images share that learn nothing of the pool but whether it has colours."""

    channels: int = 1
    kind: ClassVar[Kind | None] = "image"
    sample: ClassVar[int] = 0

    @classmethod
    def fit(cls, items: Sequence[Content]) -> Self:
        """Three channels if any of these images has a colour, else one."""
        return cls(channels=colour_of(items))

    @classmethod
    def restore(cls, parameters: Mapping[str, int | str], state: State) -> Self:
        """The encoder that once had these parameters; there is no state."""
        return cls(channels=int(parameters["channels"]))

    @property
    def parameters(self) -> Mapping[str, int | str]:
        """All that it takes to make this encoder again."""
        return {"channels": self.channels}

    @property
    def state(self) -> State:
        """Nothing is learned."""
        return {}


def open_image(source: bytes | Path, side: int) -> Image.Image:
    """Open an image that the safe opener wrote; a JPEG is decoded no larger than four times ``side`` needs."""
    image = Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    image.draft(None, (4 * side, 4 * side))
    return image


def rasters(
    items: Sequence[Content], side: int, channels: int, resample: Image.Resampling = Image.Resampling.BILINEAR
) -> NDArray[np.uint8]:
    """Images of n items, squeezed or stretched to squares: (n, side, side, channels), gray or red, green, blue."""
    images = np.empty((len(items), side, side, channels), dtype=np.uint8)
    mode = "L" if channels == 1 else "RGB"
    for row, item in enumerate(items):
        with open_image(source_of(item), side) as image:
            small = opaque(image).convert(mode)
            if small.size != (side, side):
                small = small.resize((side, side), resample)
            images[row] = np.asarray(small).reshape(side, side, channels)
    return images


def in_threads(work: Callable[[Sequence[Content]], NDArray[T]], items: Sequence[Content], part: int) -> NDArray[T]:
    """``work`` done on parts of the items side by side: decoding and linear algebra let other threads run.

    Linear algebra keeps to one thread meanwhile.
    """
    parts = [items[start : start + part] for start in range(0, len(items), part)] or [items]
    if len(parts) == 1:
        return work(items)
    with threadpool_limits(1), ThreadPoolExecutor(THREADS) as threads:
        return np.concatenate(list(threads.map(work, parts)))


def colour_of(items: Iterable[Content]) -> int:
    """Three channels if any of these images has a colour, else one."""
    return 3 if any(map(has_colour, map(source_of, items))) else 1


def has_colour(source: bytes | Path) -> bool:
    """Whether an image has a pixel that is not gray."""
    with open_image(source, side=8) as image:
        if image.mode == "L":
            return False
        red, green, blue = opaque(image).convert("RGB").split()
        differences = ImageChops.difference(red, green), ImageChops.difference(red, blue)
        return any(difference.getextrema() != (0, 0) for difference in differences)


def side_of(source: bytes | Path) -> int | None:
    """The longer side of an image, in pixels, from its header; None where it cannot be read."""
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
            return max(image.size)
    except (OSError, SyntaxError):
        return None


def opaque(image: Image.Image) -> Image.Image:
    """What is transparent shows as white, as on a page; its hidden colours are noise."""
    if image.mode != "RGBA":
        return image
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    return page


def source_of(item: Content) -> bytes | Path:
    """The image that an item of this kind has."""
    assert item.image is not None
    return item.image
