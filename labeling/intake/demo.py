"""The demo pool: scikit-learn's 1,797 handwritten digits, 8 by 8 pixels, as PNG files."""

from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from labeling.intake.sources import Entry, Source

DIGITS = 1797


def digits_source() -> Source:
    """The digits as something to import: `digits-0000` to `digits-1796` in scikit-learn's order, classes `0` to `9`."""
    from sklearn.datasets import load_digits  # imported when used: pages offer the demo, and must stay light

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), from 0..16
    return Source(
        [Entry(f"digits-{i:04d}", str(target), partial(_png, pixels[i])) for i, target in enumerate(digits.target)]
    )


def digits_folder(target: Path) -> None:
    """Write the digits as a folder of one's own would be: `target/7/digits-0007.png`."""
    for entry in digits_source().entries:
        folder = target / str(entry.class_name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{entry.external_id}.png").write_bytes(entry.read())


def _png(pixels: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
