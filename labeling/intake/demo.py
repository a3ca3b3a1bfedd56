"""The demo pool: scikit-learn's 1,797 handwritten digits, 8 by 8 pixels, as PNG files."""

from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from labeling.intake.records import Record, Source

DIGITS = 1797


def digits_source() -> Source:
    """The digits as something to import: `digits-0000` to `digits-1796` in scikit-learn's order, classes `0` to `9`."""
    return Source("image", _records(), DIGITS)


def digits_folder(target: Path) -> None:
    """Write the digits as a folder of one's own would be: `target/7/digits-0007.png`."""
    for record in _records():
        assert record.read is not None
        folder = target / str(record.label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{record.external_id}.png").write_bytes(record.read())


def _records() -> list[Record]:
    from sklearn.datasets import load_digits  # imported when used: pages offer the demo, and must stay light

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), from 0..16
    return [
        Record(f"digits-{i:04d}", read=partial(_png, pixels[i]), label=str(target))
        for i, target in enumerate(digits.target)
    ]


def _png(pixels: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
