"""Small pixels: an image shrunk to 8 by 8, as a vector. Needs no download, and is enough for simple pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labeling.features.base import Content, Kind, State, version_of
from labeling.features.rasters import colour_of, rasters

# 16 by 16 is four times as wide and on CIFAR-10H no more accurate once there are 1,000 labels (33 % each).
SIDE = 8
CODE = 1


@dataclass(frozen=True)
class Pixels:
    """The pixels of an image squeezed to 8 by 8, each from 0 to 1, in 1 channel (gray) or 3 (red, green, blue)."""

    channels: int = 1
    name: ClassVar[str] = "pixels"
    kind: ClassVar[Kind | None] = "image"
    sample: ClassVar[int] = 0
    chunk: ClassVar[int] = 256

    @classmethod
    def fit(cls, items: Sequence[Content]) -> Self:
        """Three channels if any of these images has a colour, else one."""
        return cls(channels=colour_of(items))

    @classmethod
    def restore(cls, parameters: Mapping[str, int], state: State) -> Self:
        """The encoder that once had these parameters; there is no state."""
        return cls(**parameters)

    @property
    def parameters(self) -> Mapping[str, int]:
        """All that it takes to make this encoder again."""
        return {"channels": self.channels}

    @property
    def state(self) -> State:
        """Nothing is learned."""
        return {}

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
