"""What looks or reads alike has nearly the same 64 bits; what only resembles is told apart by the closer look."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from sklearn.datasets import load_digits

from labeling.intake.fingerprints import (
    TOO_PLAIN,
    alike_images,
    alike_texts,
    fingerprint_image,
    fingerprint_text,
    fingerprint_texts,
    shingles,
    small_picture,
)

STORY = (
    "The pump in the northern hall rattled again this morning, and nobody came to look at it until the evening, when "
    "two engineers took it apart, found a worn bearing, and put in another one that had been lying in the store."
)


def apart(one: int, other: int) -> int:
    """In how many bits two fingerprints differ."""
    return ((one ^ other) & (2**64 - 1)).bit_count()


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def scene(seed: int, width: int = 96, height: int = 64) -> Image.Image:
    """A picture with large shapes and some detail, as photos have them."""
    rng = np.random.default_rng(seed)
    rough = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    noise = rng.normal(0, 6, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(rough) + noise, 0, 255).astype(np.uint8))


def variants(picture: Image.Image) -> dict[str, bytes]:
    trimmed = picture.crop((2, 1, picture.width - 1, picture.height - 2))
    return {
        "darker": encoded(ImageEnhance.Brightness(picture).enhance(0.7)),
        "compressed again": encoded(picture, "JPEG", quality=60),
        "smaller": encoded(picture.resize((picture.width // 2, picture.height // 2))),
        "trimmed": encoded(trimmed),
    }


@pytest.mark.parametrize("seed", range(4))
def test_the_same_picture_otherwise_encoded_is_found_and_confirmed(seed: int):
    picture = scene(seed)
    whole = small_picture(encoded(picture))
    for how, data in variants(picture).items():
        other = small_picture(data)
        assert apart(fingerprint_image(encoded(picture)), fingerprint_image(data)) <= 10, how
        assert whole is not None and other is not None and alike_images(whole, other), how


def test_different_pictures_are_far_apart():
    prints = [fingerprint_image(encoded(scene(seed))) for seed in range(30)]
    assert min(apart(a, b) for i, a in enumerate(prints) for b in prints[:i]) > 10


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.new("RGB", (64, 64), "teal")), encoded(Image.new("L", (64, 64), 3)), b"", b"no image",
        encoded(scene(1))[:60], encoded(scene(0, 12, 12)), encoded(scene(0, 200, 8)),
    ],
)  # fmt: skip
def test_what_is_even_tiny_or_damaged_is_too_plain_to_compare(data: bytes):
    assert fingerprint_image(data) == TOO_PLAIN


def test_digits_of_eight_pixels_are_never_compared():
    for image in load_digits().images[:40]:
        assert fingerprint_image(encoded(Image.fromarray((image * 15.9).astype(np.uint8)))) == TOO_PLAIN


def test_two_hands_writing_one_digit_are_not_one_image():
    """Strokes without colour have less to differ in, so they must agree more."""
    digits = load_digits()
    ones = [Image.fromarray((i * 15.9).astype(np.uint8)).resize((32, 32)) for i in digits.images[digits.target == 1]]
    pictures = [small_picture(encoded(image)) for image in ones[:25]]
    pairs = [(a, b) for i, a in enumerate(pictures) for b in pictures[:i] if a is not None and b is not None]
    assert sum(alike_images(a, b) for a, b in pairs) <= len(pairs) / 200


def test_what_is_behind_a_transparent_picture_does_not_count():
    rng = np.random.default_rng(0)
    shape = np.zeros((40, 40, 4), dtype=np.uint8)
    shape[8:30, 12:28] = [*rng.integers(0, 255, 3), 255]
    hidden = shape.copy()
    hidden[..., :3][shape[..., 3] == 0] = 200
    assert fingerprint_image(encoded(Image.fromarray(shape))) == fingerprint_image(encoded(Image.fromarray(hidden)))


@pytest.mark.parametrize(
    "other",
    [STORY.upper(), STORY.replace(",", " ,").replace(" ", "\n"), "UPDATE: " + STORY, STORY.replace("rattled", "shook"),
     STORY.replace("worn ", "")],
)  # fmt: skip
def test_an_edited_text_is_found_and_confirmed(other: str):
    assert apart(fingerprint_text(STORY), fingerprint_text(other)) <= 10
    assert alike_texts(shingles(STORY), shingles(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the capital of France?", "What is the capital of Spain?"), ("yes", "no"), (":-)", ":-("),
        (STORY, " ".join(reversed(STORY.split()))), ("这部电影很好看", "这部电影不好看"),
    ],
)  # fmt: skip
def test_texts_of_one_pattern_are_not_one(one: str, other: str):
    assert not alike_texts(shingles(one), shingles(other))


def test_a_text_of_signs_alone_is_told_by_its_signs_and_an_empty_one_by_nothing():
    assert fingerprint_text(":-)") != fingerprint_text(":-(")
    assert fingerprint_text("") == fingerprint_text(" \n\t") == TOO_PLAIN
    assert not alike_texts(shingles(""), shingles(""))


@given(st.lists(st.text(max_size=60), max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_texts_have_fingerprints_one_by_one_as_together(texts: list[str]):
    together = fingerprint_texts(texts)
    assert together.tolist() == [fingerprint_text(text) for text in texts]
    assert all((found == TOO_PLAIN) == (not text.split()) for found, text in zip(together, texts, strict=True))


def test_a_text_without_end_costs_no_more_than_its_beginning():
    assert fingerprint_text(STORY * 50_000) == fingerprint_text(STORY * 40_000)
