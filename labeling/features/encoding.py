"""A project's items into its feature matrix, in chunks, going on where the last run ended.

An encoder that learns from the pool is fitted to a sample of it and saved beside its matrix, whose version follows from
what it learned. When a small pool has grown much, it learns anew into a matrix of another version; the old one is
learned from until the new one is as far.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeVar

import numpy as np
import sqlalchemy as sa
from sqlmodel import col, select
from threadpoolctl import threadpool_limits

from labeling.db.engine import reading
from labeling.db.schema import Item, Project
from labeling.errors import Invalid, NotFound
from labeling.features.arrays import load_arrays, save_arrays
from labeling.features.base import KIND_WORDS, Content, Encoder, Kind
from labeling.features.brought import Brought, count_rows
from labeling.features.hog import Hog
from labeling.features.matrix import COUNT_FILE, FeatureMatrix
from labeling.features.patches import Patches
from labeling.features.pixels import Pixels
from labeling.features.rasters import rasters, side_of
from labeling.features.table import Table
from labeling.features.tfidf import Tfidf
from labeling.projects import settings_of
from labeling.workspace import Workspace

_KINDS: tuple[type[Encoder], ...] = (Patches, Hog, Pixels, Tfidf, Table, Brought)
ENCODERS = {encoder.name: encoder for encoder in _KINDS}
AUTO = "auto"
STATE_FILE = "encoder.npz"
SMALL_SIDE = 12  # pixels: of images up to this, patches tell no more than edges, which are quicker
LOOKED_AT = 256  # items from which an encoder that learns nothing takes its few parameters
FIRST = 16  # items that tell what kind a project's are
GROWTH = 4  # a pool that was too small to learn all from is learned from again when it has grown so many times
SAMPLE_CHARACTERS = 50_000_000  # of texts that are learned from, held in memory at once
GROUP = 500  # items read in one transaction

T = TypeVar("T")


def encode_project(
    workspace: Workspace,
    project_id: int,
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> FeatureMatrix | None:
    """Encode the items that have no features yet; None while the project has no items.

    Parameters
    ----------
    progress
        Called after each chunk with the share done (0 to 1) and a line of text.
    cancelled
        Asked before each chunk; True ends the run, keeping what is done.

    Raises
    ------
    Invalid
        If an item's image is missing or damaged, or it is of another kind than the encoder's, naming it; or if the
        features were brought along and have no row for an item.
    """
    total = count_rows(workspace, project_id)
    if not total:
        return None
    kind = encoder_for(workspace, project_id)
    current = _newest(workspace, project_id, kind)
    if current is None or _outgrown(*current, total):
        if progress and kind.kind and kind.sample:
            progress(0.0, f"Learning from a sample of the {KIND_WORDS[kind.kind]}")
        current = _fit(workspace, project_id, kind, total)
    matrix, encoder = current
    began, first = time.monotonic(), matrix.rows
    while (start := matrix.rows) < total and not (cancelled and cancelled()):
        stop = min(start + encoder.chunk, total)
        items = _contents(workspace, project_id, kind, range(start, stop))
        block = np.zeros((stop - start, encoder.width), dtype=np.float32)  # a row whose item is gone stays zero
        if items:
            block[np.fromiter(items, int, len(items)) - start] = _naming(encoder.encode, list(items.values()))
        matrix.append(block)
        if progress:
            progress(stop / total, _how_far(encoder, stop, total, (stop - first) / (time.monotonic() - began)))
    return matrix


def open_features(workspace: Workspace, project_id: int) -> FeatureMatrix | None:
    """The features to learn from, or None: the matrix that is furthest; of several, that of the project's encoder, then
    the newest.

    It has a row for every item with a smaller `row` than its `rows`; items imported since are not in it yet.
    """
    _setting(workspace, project_id)
    matrices = [matrix for matrix in _matrices(workspace, project_id) if matrix.rows]
    rows = max((matrix.rows for matrix in matrices), default=0)
    furthest = [matrix for matrix in matrices if matrix.rows == rows]
    if len(furthest) < 2:
        return furthest[0] if furthest else None
    name = encoder_for(workspace, project_id).name
    return max(furthest, key=lambda m: (m.layout.encoder == name, m.layout.created))


def open_version(workspace: Workspace, project_id: int, version: str) -> FeatureMatrix:
    """The features of one version, whether or not they are those to learn from.

    Raises
    ------
    NotFound
        If they are gone.
    """
    return FeatureMatrix.open(workspace.features(project_id, version))


def encoder_of(matrix: FeatureMatrix) -> Encoder:
    """The encoder that fills a matrix; its version differs from the matrix's when the code has changed since.

    Raises
    ------
    Invalid
        If what it learned is missing or damaged.
    """
    path = matrix.folder / STATE_FILE
    state = load_arrays(path, "What the encoder learned") if ENCODERS[matrix.layout.encoder].sample else {}
    try:
        return ENCODERS[matrix.layout.encoder].restore(matrix.layout.parameters, state)
    except (TypeError, KeyError, ValueError) as error:
        raise Invalid(f"What the encoder learned at {path} is damaged; delete its folder.") from error


def encoder_for(workspace: Workspace, project_id: int) -> type[Encoder]:
    """The kind of encoder that a project has: the one that its settings name, or the best there is for its items.

    Raises
    ------
    NotFound
        If there is no such project.
    Invalid
        If its settings name an encoder that there is not.
    """
    name = _setting(workspace, project_id)
    return ENCODERS[name] if name != AUTO else best_encoder(first_items(workspace, project_id))


def best_encoder(items: Sequence[Content]) -> type[Encoder]:
    """The most accurate encoder for items such as these (`tests/benchmarks/bench_encoders.py`)."""
    kind = next((item.kind for item in items if item.kind), "image")
    if kind != "image":
        return Tfidf if kind == "text" else Table
    sides = [side for item in items if item.image is not None and (side := side_of(item.image))]
    return Hog if sides and median(sides) <= SMALL_SIDE else Patches


def _setting(workspace: Workspace, project_id: int) -> str:
    with reading(workspace.engine) as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotFound(f"There is no project {project_id}.")
        name = settings_of(project).encoder
    if name not in ENCODERS and name != AUTO:
        raise Invalid(f"There is no encoder “{name}”; there are: {', '.join([AUTO, *sorted(ENCODERS)])}.")
    return name


def _matrices(workspace: Workspace, project_id: int) -> list[FeatureMatrix]:
    found = workspace.features(project_id, "").glob(f"*/{COUNT_FILE}")
    return [m for path in found if (m := FeatureMatrix.open(path.parent)).layout.encoder in ENCODERS]


def _newest(workspace: Workspace, project_id: int, kind: type[Encoder]) -> tuple[FeatureMatrix, Encoder] | None:
    """The newest matrix of a kind of encoder that today's code would fill the same way."""
    mine = [m for m in _matrices(workspace, project_id) if m.layout.encoder == kind.name]
    for matrix in sorted(mine, key=lambda m: m.layout.created, reverse=True):
        encoder = encoder_of(matrix)
        if encoder.version == matrix.version:
            return matrix, encoder
    return None


def _outgrown(matrix: FeatureMatrix, encoder: Encoder, total: int) -> bool:
    """Whether an encoder learned from all of a small pool that is much larger now."""
    learned_from = matrix.layout.learned_from
    return learned_from < encoder.sample and total >= GROWTH * learned_from


def _fit(workspace: Workspace, project_id: int, kind: type[Encoder], total: int) -> tuple[FeatureMatrix, Encoder]:
    """Fit an encoder to the pool as it is; what it learned is on disk before its matrix is."""
    items = _sample(workspace, project_id, kind, kind.sample or LOOKED_AT)
    with threadpool_limits(1):  # threads of linear algebra wait for each other where the machine is busy
        encoder = _naming(kind.fit, items)
    folder = workspace.features(project_id, encoder.version)
    if (folder / COUNT_FILE).exists():  # the same was learned again
        matrix = FeatureMatrix.open(folder)
        matrix.renew(learned_from=total)
        return matrix, encoder
    if encoder.state:
        save_arrays(folder / STATE_FILE, encoder.state)
    matrix = FeatureMatrix.create(
        folder,
        width=encoder.width,
        encoder=encoder.name,
        version=encoder.version,
        parameters=encoder.parameters,
        learned_from=total,
    )
    return matrix, encoder


def _sample(workspace: Workspace, project_id: int, kind: type[Encoder], count: int) -> list[tuple[str, Content]]:
    """At most so many items of a pool with their names, drawn evenly: content hashes are in no order."""
    drawn = select(Item.row).where(Item.project_id == project_id).order_by(col(Item.content_hash), col(Item.id))
    with reading(workspace.engine) as session:
        rows = session.exec(drawn.limit(count)).all()
    items: list[tuple[str, Content]] = []
    characters = 0
    for start in range(0, len(rows), GROUP):
        items += _contents(workspace, project_id, kind, rows[start : start + GROUP]).values()
        characters += sum(len(content.text or "") for _, content in items[start:])
        if characters > SAMPLE_CHARACTERS:
            break
    return items


def _contents(
    workspace: Workspace, project_id: int, kind: type[Encoder], rows: Sequence[int]
) -> dict[int, tuple[str, Content]]:
    """Name and content of the items in some rows, by row.

    Raises
    ------
    Invalid
        If one is of another kind than the encoder's.
    """
    row = col(Item.row)
    wanted = (row >= rows.start) & (row < rows.stop) if isinstance(rows, range) else row.in_(rows)
    columns = sa.select(row, col(Item.external_id), col(Item.media), col(Item.text), col(Item.fields))
    query = columns.where(col(Item.project_id) == project_id, wanted).order_by(row)
    with reading(workspace.engine) as session:
        found = session.connection().execute(query).all()
    items = {}
    for at, name, media, text, fields in found:
        content = _content(workspace, media, text, fields)
        if kind.kind is not None and content.kind != kind.kind:
            raise Invalid(
                f"The item “{name}” has no {_ONE[kind.kind]}, and this project's encoder “{kind.name}” only knows "
                f"{KIND_WORDS[kind.kind]}; choose another encoder."
            )
        items[at] = (name, content)
    return items


_ONE: dict[Kind, str] = {"image": "image", "text": "text", "row": "fields"}


def first_items(workspace: Workspace, project_id: int) -> list[Content]:
    """The first few items of a project, which tell what kind all are."""
    query = select(Item.media, Item.text, Item.fields).where(Item.project_id == project_id)
    with reading(workspace.engine) as session:
        found = session.exec(query.order_by(col(Item.row)).limit(FIRST)).all()
    return [_content(workspace, *of_item) for of_item in found]


def _content(workspace: Workspace, media: str | None, text: str | None, fields: Mapping[str, object] | None) -> Content:
    """What an item holds; an image comes before the text or the fields that describe it."""
    if media is not None:
        return Content(image=workspace.media(media))
    return Content(text=text) if text is not None else Content(fields=fields)


def _naming(work: Callable[[list[Content]], T], items: Sequence[tuple[str, Content]]) -> T:
    """``work`` on named items; if an image is what stops it, name it."""
    try:
        return work([content for _, content in items])
    except (OSError, SyntaxError) as error:
        for name, content in items:
            try:
                rasters([content], 1, 1)
            except (OSError, SyntaxError):
                raise Invalid(f"The stored image of “{name}” is missing or damaged; import the file again.") from error
        raise


def _how_far(encoder: Encoder, done: int, total: int, rate: float) -> str:
    """So many of so many, at what rate, and how long it will take from here."""
    words = f"{done:,} of {total:,} {KIND_WORDS[encoder.kind] if encoder.kind else 'items'} encoded"
    if done == total:
        return words
    left = (total - done) / rate
    return f"{words}, {rate:,.0f} a second, {f'{left:.0f} s' if left < 90 else f'{left / 60:.0f} min'} left"
