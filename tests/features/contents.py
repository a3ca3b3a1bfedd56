"""Items of each kind, as encoders see them."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from labeling.features.base import Content


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    out = BytesIO()
    image.save(out, kind)
    return out.getvalue()


def shapes(count: int, *, side: int = 32, colour: bool = True, seed: int = 0) -> list[Content]:
    """Noisy images with a bright square or cross somewhere, as PNG."""
    rng = np.random.default_rng(seed)
    items = []
    for number in range(count):
        pixels = rng.integers(0, 90, (side, side, 3 if colour else 1), dtype=np.uint8)
        down, across = rng.integers(0, side // 2, 2)
        part = pixels[down : down + side // 2, across : across + side // 2]
        if number % 2:
            part[...] = 200
        else:
            part[side // 4] = part[:, side // 4] = 200
        items.append(Content(image=encoded(Image.fromarray(pixels if colour else pixels[..., 0]))))
    return items


WORDS = {"sport": "goal match team player referee", "money": "bank share profit market price"}


def sentences(count: int, seed: int = 0) -> list[Content]:
    """Texts of two subjects, in turn."""
    rng = np.random.default_rng(seed)
    subjects = [words.split() for words in WORDS.values()]
    return [Content(text=" ".join(["the", *rng.choice(subjects[n % 2], 6), str(n)])) for n in range(count)]


def rows(count: int, seed: int = 0) -> list[Content]:
    """Rows with numbers, choices, truth and gaps."""
    rng = np.random.default_rng(seed)
    made = []
    for n in range(count):
        size = float(np.exp(rng.normal()))
        row: dict[str, Any] = {"id": f"r{n}", "size": size, "colour": ["red", "blue"][n % 2], "new": bool(n % 3)}
        made.append(Content(fields=row | ({} if n % 5 else {"size": None})))
    return made
