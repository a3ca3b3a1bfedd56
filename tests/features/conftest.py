"""A project with images, without the way they came in."""

from collections.abc import Callable
from hashlib import sha256
from io import BytesIO

import pytest
from PIL import Image

from labeling.db.engine import writing
from labeling.db.schema import Item, Project
from labeling.workspace import Workspace


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    out = BytesIO()
    image.save(out, kind)
    return out.getvalue()


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    return encoded


@pytest.fixture
def project(workspace: Workspace) -> int:
    with writing(workspace.engine) as session:
        made = Project(name="pictures")
        session.add(made)
    assert made.id is not None
    return made.id


@pytest.fixture
def add_images(workspace: Workspace, project: int) -> Callable[..., None]:
    """Add images as items, from row `first` on."""

    def add(images: list[Image.Image], first: int = 0) -> None:
        items = []
        for row, image in enumerate(images, start=first):
            data = encoded(image)
            content_hash = sha256(data).hexdigest()
            path = workspace.media(content_hash)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            items.append(
                Item(project_id=project, external_id=f"i{row}", content_hash=content_hash, media=content_hash, row=row)
            )
        with writing(workspace.engine) as session:
            session.add_all(items)

    return add
