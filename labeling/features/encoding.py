"""A project's items into its feature matrix, in chunks, going on where the last run ended."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from sqlmodel import col, func, select

from labeling.db.engine import reading
from labeling.db.schema import Item, Project
from labeling.errors import Invalid, NotFound
from labeling.features.base import Encoder
from labeling.features.matrix import COUNT_FILE, FeatureMatrix
from labeling.features.pixels import Pixels
from labeling.projects import settings_of
from labeling.workspace import Workspace

CHUNK = 256

T = TypeVar("T")

ENCODERS = {Pixels.name: Pixels}


def encode_project(
    workspace: Workspace,
    project_id: int,
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> FeatureMatrix | None:
    """Encode the items that have no features yet; None while the project has no items.

    The first chunk decides on the encoder's parameters, which then stay with the matrix.

    Parameters
    ----------
    progress
        Called after each chunk with the share done (0 to 1) and a line of text.
    cancelled
        Asked before each chunk; True ends the run, keeping what is done.

    Raises
    ------
    Invalid
        If an item's image is missing or damaged, naming it.
    """
    kind = _encoder_kind(workspace, project_id)
    current = [m for m in _matrices(workspace, project_id, kind.name) if encoder_of(m).version == m.version]
    matrix = max(current, key=lambda m: m.layout.created, default=None)
    encoder = encoder_of(matrix) if matrix else None
    with reading(workspace.engine) as session:
        last = session.exec(select(func.max(Item.row)).where(Item.project_id == project_id)).one()
    total = 0 if last is None else last + 1
    while (start := matrix.rows if matrix else 0) < total and not (cancelled and cancelled()):
        stop = min(start + CHUNK, total)
        images = _images(workspace, project_id, start, stop)
        if encoder is None or matrix is None:
            encoder = _encode(kind.suited_to, images)
            matrix = FeatureMatrix.create(
                workspace.features(project_id, encoder.version),
                width=encoder.width,
                encoder=encoder.name,
                version=encoder.version,
                parameters=encoder.parameters,
            )
        block = np.zeros((stop - start, encoder.width), dtype=np.float32)  # a row whose item is gone stays zero
        block[np.fromiter(images, int, len(images)) - start] = _encode(encoder.encode, images)
        matrix.append(block)
        if progress:
            progress(stop / total, f"{stop:,} of {total:,} images encoded")
    return matrix


def open_features(workspace: Workspace, project_id: int) -> FeatureMatrix | None:
    """The features to learn from: of the project's encoder, the matrix that is furthest, then the newest; or None.

    It has a row for every item with a smaller `row` than its `rows`; items imported since are not in it yet.
    """
    kind = _encoder_kind(workspace, project_id)
    return max(_matrices(workspace, project_id, kind.name), key=lambda m: (m.rows, m.layout.created), default=None)


def encoder_of(matrix: FeatureMatrix) -> Encoder:
    """The encoder that fills a matrix; its version differs from the matrix's when the code has changed since."""
    return ENCODERS[matrix.layout.encoder](**matrix.layout.parameters)


def _encoder_kind(workspace: Workspace, project_id: int) -> type[Pixels]:
    with reading(workspace.engine) as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotFound(f"There is no project {project_id}.")
        name = settings_of(project).encoder
    if name not in ENCODERS:
        raise Invalid(f"There is no encoder “{name}”; there are: {', '.join(sorted(ENCODERS))}.")
    return ENCODERS[name]


def _matrices(workspace: Workspace, project_id: int, encoder: str) -> list[FeatureMatrix]:
    found = workspace.features(project_id, "").glob(f"*/{COUNT_FILE}")
    return [matrix for path in found if (matrix := FeatureMatrix.open(path.parent)).layout.encoder == encoder]


def _images(workspace: Workspace, project_id: int, start: int, stop: int) -> dict[int, tuple[str, Path]]:
    """External id and stored image of the items in rows from `start` to before `stop`, by row."""
    query = select(Item.row, Item.external_id, Item.media).where(
        Item.project_id == project_id, col(Item.row) >= start, col(Item.row) < stop
    )
    with reading(workspace.engine) as session:
        rows = session.exec(query.order_by(col(Item.row))).all()
    images = {}
    for row, name, media in rows:
        if media is None:
            raise Invalid(
                f"The item “{name}” has no image, and this project's encoder only knows images; choose another encoder."
            )
        images[row] = (name, workspace.media(media))
    return images


def _encode(encode: Callable[[list[Path]], T], images: Mapping[int, tuple[str, Path]]) -> T:
    """`encode` the images; if it cannot, find the one it stumbles over and name it."""
    try:
        return encode([path for _, path in images.values()])
    except (OSError, SyntaxError) as error:
        for name, path in images.values():
            try:
                encode([path])
            except (OSError, SyntaxError):
                raise Invalid(f"The stored image of “{name}” is missing or damaged; import the file again.") from error
        raise
