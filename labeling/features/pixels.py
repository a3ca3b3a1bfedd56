"""Small pixels: an image shrunk to 8 by 8, as a vector. Needs no download, and is enough for simple pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from PIL import Image, ImageChops

from labeling.features.base import version_of

# 16 by 16 is four times as wide and on CIFAR-10H no more accurate once there are 1,000 labels (33 % each).
SIDE = 8
CODE = 1


@dataclass(frozen=True)
class Pixels:
    """The pixels of an image squeezed to 8 by 8, each from 0 to 1, in 1 channel (gray) or 3 (red, green, blue)."""

    channels: int = 1
    name: ClassVar[str] = "pixels"

    @classmethod
    def suited_to(cls, images: Iterable[bytes | Path]) -> Self:
        """Three channels if any of these images has a colour, else one."""
        return cls(channels=3 if any(_has_colour(image) for image in images) else 1)

    @property
    def parameters(self) -> Mapping[str, int]:
        """All that it takes to make this encoder again."""
        return {"channels": self.channels}

    @property
    def version(self) -> str:
        """Name of the folder of its matrices."""
        return version_of(self.name, {**self.parameters, "side": SIDE}, CODE)

    @property
    def width(self) -> int:
        """Length of a vector: 64 or 192."""
        return SIDE * SIDE * self.channels

    def encode(self, images: Sequence[bytes | Path]) -> np.ndarray:
        """Vectors of n images that the safe opener wrote: (n, width) float32."""
        vectors = np.empty((len(images), self.width), dtype=np.float32)
        for row, source in enumerate(images):
            with _open(source) as image:
                small = _opaque(image).convert("L" if self.channels == 1 else "RGB")
                if small.size != (SIDE, SIDE):
                    small = small.resize((SIDE, SIDE), Image.Resampling.BOX)
                vectors[row] = np.asarray(small, dtype=np.float32).ravel()
        return vectors / np.float32(255)


def _open(source: bytes | Path) -> Image.Image:
    image = Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=("PNG", "JPEG", "WEBP"))
    image.draft(None, (4 * SIDE, 4 * SIDE))  # a JPEG is decoded at a fraction of its size
    return image


def _opaque(image: Image.Image) -> Image.Image:
    """What is transparent shows as white, as on a page; its hidden colours are noise."""
    if image.mode != "RGBA":
        return image
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    return page


def _has_colour(source: bytes | Path) -> bool:
    with _open(source) as image:
        if image.mode == "L":
            return False
        red, green, blue = _opaque(image).convert("RGB").split()
        differences = ImageChops.difference(red, green), ImageChops.difference(red, blue)
        return any(difference.getextrema() != (0, 0) for difference in differences)
