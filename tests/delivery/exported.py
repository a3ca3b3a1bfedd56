"""Projects to export, and what an export wrote."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from labeling.db.engine import writing
from labeling.db.schema import Item
from labeling.delivery.exports import export_stream
from tests.db.small_project import SmallProject


def png(seed: int, size: tuple[int, int] = (8, 6)) -> bytes:
    """A small image, another one for every seed."""
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def give_images(small: SmallProject) -> None:
    """Make each item of a project a stored image."""
    with writing(small.workspace.engine) as session:
        for item_id in small.items:
            item = session.get_one(Item, item_id)
            item.media = item.content_hash
            path = small.workspace.media(item.content_hash)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(item_id))


def give(small: SmallProject, **values: Sequence[Any]) -> None:
    """Set columns of a project's items, one value for each item in turn."""
    with writing(small.workspace.engine) as session:
        for name, given in values.items():
            for item_id, value in zip(small.items, given, strict=False):
                setattr(session.get_one(Item, item_id), name, value)


def export(small: SmallProject, format: str, **options: Any) -> bytes:
    """The bytes of an export."""
    return b"".join(export_stream(small.workspace, small.owner, small.id, format, **options).chunks)


def unpacked(small: SmallProject, format: str, to: Path, **options: Any) -> Path:
    """The folder that an exported archive unpacks to."""
    with zipfile.ZipFile(io.BytesIO(export(small, format, **options))) as archive:
        archive.extractall(to)
    return to
