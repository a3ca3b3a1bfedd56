"""Edges and colours: histograms of oriented gradients, beside the colours of a coarse grid.

References
----------
Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from labeling.features.base import Content, version_of
from labeling.features.rasters import Unlearned, in_threads, rasters

SIDE = 32  # pixels
CELL = 8  # pixels of a histogram's side
ORIENTATIONS = 9
BLOCK = 2  # cells over which contrast is evened out
EDGES = ORIENTATIONS * BLOCK**2 * (SIDE // CELL - BLOCK + 1) ** 2  # numbers that say where edges run
GRID = 4  # cells of the colour layout, along each side
COLOUR_WEIGHT = 0.5
PART = 64  # images to a thread at a time
CODE = 1


@dataclass(frozen=True)
class Hog(Unlearned):
    """Oriented gradients of an image of 32 by 32 pixels, and its colours on a grid of 4 by 4."""

    name: ClassVar[str] = "hog"
    chunk: ClassVar[int] = 512

    @property
    def version(self) -> str:
        """Name of the folder of its matrices."""
        return version_of(self.name, self.parameters, CODE)

    @property
    def width(self) -> int:
        """Length of a vector: 340 or 372."""
        return EDGES + GRID * GRID * self.channels

    def encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        """Vectors of n items with images: (n, width)."""
        return in_threads(self._encode, items, PART)

    def _encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        images = rasters(items, SIDE, self.channels)
        return np.concatenate([edges_of(images), COLOUR_WEIGHT * colours_of(images)], axis=1)


def edges_of(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Histograms of oriented gradients of images (n, 32, 32, c): (n, `EDGES`)."""
    from skimage.feature import hog  # imported when used: it takes long

    vectors = np.empty((len(images), EDGES), dtype=np.float32)
    for row, image in enumerate(images):
        vectors[row] = hog(
            image.astype(np.float32) / np.float32(255), ORIENTATIONS, (CELL, CELL), (BLOCK, BLOCK), channel_axis=-1
        )
    return vectors


def colours_of(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean colours, from -0.5 to 0.5, on a grid over images (n, 32, 32, c): (n, 4 * 4 * c)."""
    n, side, _, channels = images.shape
    cell = side // GRID
    cells = images.reshape(n, GRID, cell, GRID, cell, channels).mean(axis=(2, 4), dtype=np.float32)
    return cells.reshape(n, GRID * GRID * channels) / np.float32(255) - np.float32(0.5)
