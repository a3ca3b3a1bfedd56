"""Small pixels: an image shrunk to 8 by 8, as a vector. Needs no download, and is enough for simple pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labeling.features.base import Content, version_of
from labeling.features.rasters import Unlearned, rasters

# 16 by 16 is four times as wide and on CIFAR-10H no more accurate once there are 1,000 labels (33 % each).
SIDE = 8
CODE = 1


@dataclass(frozen=True)
class Pixels(Unlearned):
    """The pixels of an image squeezed to 8 by 8, each from 0 to 1, in 1 channel (gray) or 3 (red, green, blue)."""

    name: ClassVar[str] = "pixels"
    chunk: ClassVar[int] = 256

    @property
    def version(self) -> str:
        """Name of the folder of its matrices."""
        return version_of(self.name, {**self.parameters, "side": SIDE}, CODE)

    @property
    def width(self) -> int:
        """Length of a vector: 64 or 192."""
        return SIDE * SIDE * self.channels

    def encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        """Vectors of n items with images: (n, width)."""
        images = rasters(items, SIDE, self.channels, Image.Resampling.BOX)
        return images.reshape(len(items), self.width).astype(np.float32) / np.float32(255)
