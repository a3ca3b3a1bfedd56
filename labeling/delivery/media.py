"""Images as the browser gets them: the re-encoded file of an item, or a smaller copy of it made once."""

import os
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from sqlmodel import Session

from labeling.db.engine import reading
from labeling.db.schema import Item
from labeling.errors import NotFound
from labeling.intake.images import media_type
from labeling.users import require
from labeling.workspace import Workspace, resolve_inside

SIZES = (64, 128, 256, 512, 1024)  # longest side in pixels; a request gets the next larger one


class MediaFile(NamedTuple):
    """A file and its media type."""

    path: Path
    type: str


def media_file(workspace: Workspace, actor_id: int, item_id: int, size: int | None = None) -> MediaFile:
    """The image of an item, at most about `size` pixels on its longest side.

    Raises
    ------
    NotFound
        If the item has no image, its file is gone, or it is in no project of the acting user's.
    """
    with reading(workspace.engine) as session:
        content_hash = _content_hash(session, actor_id, item_id)
    path = workspace.media(content_hash)
    if not path.is_file():
        raise NotFound(f"The image file of item {item_id} is gone; import it again to put it back.")
    wanted = next((s for s in SIZES if size is not None and s >= size), None)
    if wanted is not None:
        path = _smaller(workspace, content_hash, path, wanted)
    with path.open("rb") as opened:
        return MediaFile(path, media_type(opened.read(16)))


def _content_hash(session: Session, actor_id: int, item_id: int) -> str:
    item = session.get(Item, item_id)
    if item is None or item.media is None:
        raise NotFound(f"There is no image of item {item_id}.")
    require(session, actor_id, item.project_id)
    return item.media


def _smaller(workspace: Workspace, content_hash: str, original: Path, size: int) -> Path:
    """The stored copy at this size; the original where it is no larger. Opens only what intake has re-encoded."""
    copy = resolve_inside(workspace.root, "thumbnails", content_hash[:2], f"{content_hash}-{size}")
    if copy.exists():
        return copy
    with Image.open(original) as image:
        if max(image.size) <= size:
            return original
        image_format = image.format
        image.thumbnail((size, size))
        copy.parent.mkdir(parents=True, exist_ok=True)
        partial = copy.with_name(f"{copy.name}.{os.getpid()}.partial")
        image.save(partial, format=image_format)
    partial.replace(copy)
    return copy
