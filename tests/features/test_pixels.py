"""Small pixels: exact where nothing is to be shrunk, fair where something is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labeling.features.base import Content
from labeling.features.pixels import Pixels

Encode = Callable[..., bytes]


def test_gray_images_of_eight_by_eight_are_taken_pixel_by_pixel(encode: Encode, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    files = [encode(Image.fromarray(p)) for p in pixels]
    (tmp_path / "c.png").write_bytes(files[2])
    vectors = Pixels(channels=1).encode([Content(image=image) for image in [*files[:2], tmp_path / "c.png"]])
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, pixels.reshape(3, 64) / 255)


def test_larger_images_are_averaged(encode: Encode):
    image = np.zeros((80, 160, 3), dtype=np.uint8)
    image[:10, :20] = (255, 0, 0)  # exactly the first of 8 by 8 cells
    image[10:20, :10] = (0, 0, 200)  # half of the first cell of the second line
    vector = Pixels(channels=3).encode([Content(image=encode(Image.fromarray(image)))])[0].reshape(8, 8, 3)
    assert vector[0, 0].tolist() == [1, 0, 0]
    assert np.allclose(vector[1, 0], [0, 0, 100 / 255])
    assert vector[0, 1:].sum() == vector[2:].sum() == 0


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "L"), ("PNG", "RGB"), ("PNG", "RGBA"), ("JPEG", "RGB"), ("WEBP", "RGBA")]
)
def test_everything_that_the_opener_writes_is_encoded(encode: Encode, kind: str, mode: str):
    data = encode(Image.new(mode, (300, 200), 128 if mode == "L" else (128,) * len(mode)), kind)
    for encoder in (Pixels(channels=1), Pixels(channels=3)):
        vectors = encoder.encode([Content(image=data)] * 2)
        assert vectors.shape == (2, encoder.width)
        shade = 128 if mode != "RGBA" else 255 - 128 * 127 / 255  # half transparent, on white
        assert np.abs(vectors * 255 - shade).max() < 3


def test_what_is_transparent_shows_as_white(encode: Encode):
    data = encode(Image.new("RGBA", (8, 8), (200, 0, 0, 0)))
    assert (Pixels(channels=3).encode([Content(image=data)]) == 1).all()


@pytest.mark.parametrize(
    ("images", "channels"),
    [
        ([Image.new("L", (9, 9), 7), Image.new("RGB", (9, 9), (7, 7, 7))], 1),
        ([Image.new("L", (9, 9), 7), Image.new("RGB", (9, 9), (7, 7, 8))], 3),
        ([Image.new("RGBA", (9, 9), (200, 0, 0, 0))], 1),
        ([], 1),
    ],
)
def test_three_channels_are_kept_where_there_is_a_colour(encode: Encode, images: list[Image.Image], channels: int):
    assert Pixels.fit([Content(image=encode(image)) for image in images]) == Pixels(channels=channels)


def test_the_version_says_which_vectors_they_are():
    gray, colour = Pixels(channels=1), Pixels(channels=3)
    assert gray.version == Pixels(channels=1).version != colour.version
    assert gray.version.startswith("pixels-")
    assert Pixels.restore(colour.parameters, {}) == colour
    assert (gray.width, colour.width) == (64, 192)


def test_no_images_are_no_rows():
    assert Pixels(channels=3).encode([]).shape == (0, 192)
