"""Patches learned from the pool itself, beside edges: the best that images have here without a download.

Small patches of the pool's images are made equal in contrast, decorrelated and clustered; an image is told by how
strongly each cluster's centre answers in each part of it. That and the image's histogram of oriented gradients are
brought to one scale and projected on the directions in which the pool varies most.

References
----------
Coates, Ng and Lee, "An analysis of single-layer networks in unsupervised feature learning", AISTATS 2011.
Coates and Ng, "The importance of encoding versus training with sparse coding and vector quantization", ICML 2011 (the
soft threshold).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.linalg import eigh

from labeling.features.base import Content, Kind, State, version_of
from labeling.features.hog import EDGES, SIDE, edges_of
from labeling.features.rasters import colour_of, in_threads, rasters

SIZE = 6  # pixels of a patch's side
STEP = 2  # pixels from one patch to the next
CENTRES = 400
GRID = 3  # parts of an image, along each side, in each of which answers are averaged
PLACES = (SIDE - SIZE) // STEP + 1  # of patches, along each side
THRESHOLD = 0.5  # an answer below it counts as none
NOISE = 10.0  # added to a patch's variance (pixels from 0 to 255), so that flat patches stay flat
RIDGE = 0.1  # added to the variances of patches before they are made equal
LEARNED_FROM = 50_000  # patches
ROUNDS = 8  # of k-means
EDGE_WEIGHT = 0.6  # of the edges beside the answers
WIDTH = 192
PART = 16  # images to a thread at a time: their answers fit into its cache
CODE = 1
SEED = 0


@dataclass(frozen=True, eq=False)
class Patches:
    """How strongly an image of 32 by 32 pixels answers to each of the pool's patches, and where; and its edges.

    Attributes
    ----------
    filters : (6 * 6 * channels, centres) float32
        What a patch of even contrast is multiplied with for its answers.
    bias : (centres,) float32
        What they are lowered by.
    projection : (answers and edges, width) float32
    offset : (width,) float32
        What the projected pool has in the middle.
    """

    filters: NDArray[np.float32]
    bias: NDArray[np.float32]
    projection: NDArray[np.float32]
    offset: NDArray[np.float32]
    channels: int = 3
    name: ClassVar[str] = "patches"
    kind: ClassVar[Kind | None] = "image"
    sample: ClassVar[int] = 2000
    chunk: ClassVar[int] = 512

    @classmethod
    def fit(cls, items: Sequence[Content]) -> Self:
        """Learn patches, scales and directions from a sample of the pool."""
        channels = colour_of(items)
        images = rasters(items, SIDE, channels)
        filters, bias = _learn_filters(images)
        nothing = np.empty(0, dtype=np.float32)
        unprojected = cls(filters, bias, nothing, nothing, channels)
        answers = in_threads(unprojected._answers, items, PART)
        return cls(filters, bias, *_learn_projection(answers), channels)

    @classmethod
    def restore(cls, parameters: Mapping[str, int | str], state: State) -> Self:
        """The encoder that once had these parameters and this state."""
        return cls(state["filters"], state["bias"], state["projection"], state["offset"], int(parameters["channels"]))

    @property
    def parameters(self) -> Mapping[str, int | str]:
        """The number of channels: 1 (gray) or 3 (red, green, blue)."""
        return {"channels": self.channels}

    @property
    def state(self) -> State:
        """The arrays that were learned."""
        return {"filters": self.filters, "bias": self.bias, "projection": self.projection, "offset": self.offset}

    @property
    def version(self) -> str:
        """Name of the folder of its matrices."""
        return version_of(self.name, self.parameters, CODE, self.state)

    @property
    def width(self) -> int:
        """Length of a vector: 192, less where the pool had fewer items to learn from."""
        return len(self.offset)

    def encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        """Vectors of n items with images: (n, width)."""
        return in_threads(self._encode, items, PART)

    def _encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        return self._answers(items) @ self.projection - self.offset

    def _answers(self, items: Sequence[Content]) -> NDArray[np.float32]:
        """Mean answer of every part of an image to every centre, as square roots, then its edges: (n, k)."""
        images = rasters(items, SIDE, self.channels)
        n = len(images)
        # (n, places, places, c, size, size)
        windows = sliding_window_view(images, (SIZE, SIZE), axis=(1, 2))[:, ::STEP, ::STEP]
        answers = _even(windows.reshape(n * PLACES**2, SIZE**2 * self.channels)) @ self.filters
        answers -= self.bias
        np.maximum(answers, 0, out=answers)
        answers = answers.reshape(n, PLACES, PLACES, len(self.bias))
        edges = [round(part * PLACES / GRID) for part in range(GRID + 1)]
        parts = [slice(*pair) for pair in pairwise(edges)]
        pooled = np.stack([answers[:, down, across].mean(axis=(1, 2)) for down in parts for across in parts], axis=1)
        return np.concatenate([np.sqrt(pooled).reshape(n, GRID**2 * len(self.bias)), edges_of(images)], axis=1)


def _even(patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Patches (m, d) with mean 0 and, but for flat ones, variance 1 each."""
    even = patches.astype(np.float32)
    even -= even.mean(axis=1, keepdims=True)
    variances = np.einsum("md,md->m", even, even) / even.shape[1]
    even /= np.sqrt(variances + NOISE)[:, None]
    return even


def _learn_filters(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Filters and bias from images (n, side, side, c): decorrelated patches (ZCA), clustered by k-means."""
    from sklearn.cluster import MiniBatchKMeans  # imported when used: it takes long

    rng = np.random.default_rng(SEED)
    which = rng.integers(0, len(images), LEARNED_FROM)
    down, across = rng.integers(0, SIDE - SIZE + 1, (2, LEARNED_FROM))
    windows = sliding_window_view(images, (SIZE, SIZE), axis=(1, 2))
    patches = _even(windows[which, down, across].reshape(LEARNED_FROM, -1))
    mean = patches.mean(axis=0)
    patches -= mean
    variances, directions = eigh(patches.T @ patches / LEARNED_FROM)
    decorrelate = ((directions / np.sqrt(np.maximum(variances, 0) + RIDGE)) @ directions.T).astype(np.float32)
    clusters = MiniBatchKMeans(
        CENTRES, init="random", n_init=1, max_iter=ROUNDS, batch_size=2048, max_no_improvement=None, random_state=SEED
    ).fit(patches @ decorrelate)
    filters = decorrelate @ clusters.cluster_centers_.T.astype(np.float32)
    return filters, mean @ filters + np.float32(THRESHOLD)


def _learn_projection(answers: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Projection and offset from answers and edges (n, k): brought to one scale, the directions of most variance."""
    from sklearn.utils.extmath import randomized_svd

    n, k = answers.shape
    mean, spread = answers.mean(axis=0), answers.std(axis=0)
    counts = [k - EDGES, EDGES]
    weights = np.repeat(np.array([1.0, EDGE_WEIGHT]) / np.sqrt(counts), counts)
    scale = (weights / np.where(spread > 1e-6, spread, np.inf)).astype(np.float32)  # what never varies says nothing
    wanted = min(WIDTH, max(1, n - 1), k)
    scaled = (answers - mean) * scale
    _, _, directions = randomized_svd(scaled, wanted, n_oversamples=20, n_iter=3, random_state=SEED)
    projection = (scale[:, None] * directions.T).astype(np.float32)
    return projection, mean @ projection
