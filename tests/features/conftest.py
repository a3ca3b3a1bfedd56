"""A project with items of any kind, without the way they came in."""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

import pytest
from PIL import Image

from labeling.db.engine import writing
from labeling.db.schema import Item, Project
from labeling.features import patches
from labeling.features.base import Content
from labeling.projects import settings_of
from labeling.workspace import Workspace
from tests.features.contents import encoded


@pytest.fixture(scope="session", autouse=True)
def few_patches() -> Iterator[None]:
    """Learn from fewer patches, which takes a moment and not seconds."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"CENTRES": 40, "LEARNED_FROM": 3000, "ROUNDS": 2}.items():
            patched.setattr(patches, name, value)
        yield


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    return encoded


@pytest.fixture
def choose(workspace: Workspace, project: int) -> Callable[[str], None]:
    """Choose the project's encoder."""

    def set_it(encoder: str) -> None:
        with writing(workspace.engine) as session:
            found = session.get_one(Project, project)
            found.settings = (
                settings_of(found).model_copy(update={"encoder": encoder}).model_dump(exclude_defaults=True)
            )

    return set_it


@pytest.fixture
def add(workspace: Workspace, project: int) -> Callable[..., None]:
    """Add items, from row `first` on, called i0, i1 and so on."""

    def add_them(contents: Sequence[Content], first: int = 0) -> None:
        items = []
        for row, content in enumerate(contents, start=first):
            media = None
            if isinstance(content.image, bytes):
                media = sha256(content.image).hexdigest()
                path = workspace.media(media)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.image)
            said = media or sha256(repr((content.text, content.fields)).encode()).hexdigest()
            fields = None if content.fields is None else dict(content.fields)
            items.append(
                Item(
                    project_id=project, external_id=f"i{row}", content_hash=said, media=media, text=content.text,
                    fields=fields, row=row,
                )
            )  # fmt: skip
        with writing(workspace.engine) as session:
            session.add_all(items)

    return add_them


@pytest.fixture
def add_images(add: Callable[..., None]) -> Callable[..., None]:
    """Add images as items, from row `first` on."""

    def add_them(images: list[Image.Image], first: int = 0) -> None:
        add([Content(image=encoded(image)) for image in images], first)

    return add_them
