"""A project's items into its feature matrix, in chunks, going on where the last run ended.

An encoder that learns from the pool is fitted to a sample of it and saved beside its matrix, whose version follows from
what it learned. When a small pool has grown much, it learns anew into a matrix of another version; the old one is
learned from until the new one is as far. So it is when a project changes its encoder; and where the weights of one
cannot be had, the project goes on with the encoder that it had.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, TypeVar

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
from labeling.features.clip import Clip
from labeling.features.hog import Hog
from labeling.features.matrix import COUNT_FILE, FeatureMatrix
from labeling.features.patches import Patches
from labeling.features.pixels import Pixels
from labeling.features.pretrained import Pretrained, Unavailable
from labeling.features.rasters import rasters, side_of
from labeling.features.sentences import Sentences
from labeling.features.table import Table
from labeling.features.tfidf import Tfidf
from labeling.projects import settings_of
from labeling.workspace import Workspace

_KINDS: tuple[type[Any], ...] = (Patches, Hog, Pixels, Clip, Tfidf, Sentences, Table, Brought)
ENCODERS: dict[str, type[Encoder]] = {encoder.name: encoder for encoder in _KINDS}
AUTO = "auto"
STATE_FILE = "encoder.npz"
SMALL_SIDE = 12  # pixels: of images up to this, patches tell no more than edges, which are quicker
LOOKED_AT = 256  # items from which an encoder that learns nothing takes its few parameters
FIRST = 16  # items that tell what kind a project's are
GROWTH = 4  # a pool that was too small to learn all from is learned from again when it has grown so many times
SAMPLE_CHARACTERS = 50_000_000  # of texts that are learned from, held in memory at once
GROUP = 500  # items read in one transaction

T = TypeVar("T")


@dataclass(frozen=True)
class Chosen:
    """A kind of encoder, and the weights of one that is pretrained, as settings name them (`clip:SPEC`)."""

    kind: type[Encoder]
    spec: str = ""

    @classmethod
    def named(cls, name: str) -> "Chosen":
        """What a setting says, which is not `AUTO`."""
        encoder, _, spec = name.partition(":")
        kind = ENCODERS[encoder]
        return cls(kind, spec or kind.default if issubclass(kind, Pretrained) else "")

    def made(self, matrix: FeatureMatrix) -> bool:
        """Whether a matrix is of this encoder."""
        return matrix.layout.encoder == self.kind.name and matrix.spec == self.spec


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
    Unavailable
        If the weights of the encoder cannot be had; the items are encoded as they were before, or as is best without.
    Invalid
        If an item's image is missing or damaged, or it is of another kind than the encoder's, naming it; or if the
        features were brought along and have no row for an item.
    """
    total = count_rows(workspace, project_id)
    if not total:
        return None
    chosen = chosen_encoder(workspace, project_id)
    try:
        current = _ready(workspace, project_id, chosen, total, progress)
    except Unavailable:
        before = _before(workspace, project_id, chosen)
        _encode(workspace, project_id, _ready(workspace, project_id, before, total, progress), progress, cancelled)
        raise
    return _encode(workspace, project_id, current, progress, cancelled)


def _encode(
    workspace: Workspace,
    project_id: int,
    current: tuple[FeatureMatrix, Encoder],
    progress: Callable[[float, str], None] | None,
    cancelled: Callable[[], bool] | None,
) -> FeatureMatrix:
    """Fill a matrix with what it lacks."""
    total = count_rows(workspace, project_id)
    matrix, encoder = current
    kind = type(encoder)
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
    matrices = [matrix for matrix in matrices_of(workspace, project_id) if matrix.rows]
    rows = max((matrix.rows for matrix in matrices), default=0)
    furthest = [matrix for matrix in matrices if matrix.rows == rows]
    if len(furthest) < 2:
        return furthest[0] if furthest else None
    chosen = chosen_encoder(workspace, project_id)
    return max(furthest, key=lambda m: (chosen.made(m), m.layout.created))


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
        encoder = ENCODERS[matrix.layout.encoder].restore(matrix.layout.parameters, state)
        return replace(encoder, home=matrix.home) if isinstance(encoder, Pretrained | Brought) else encoder
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
    return chosen_encoder(workspace, project_id).kind


def best_encoder(items: Sequence[Content]) -> type[Encoder]:
    """The most accurate encoder for items such as these (`tests/benchmarks/bench_encoders.py`)."""
    kind = next((item.kind for item in items if item.kind), "image")
    if kind != "image":
        return Tfidf if kind == "text" else Table
    sides = [side for item in items if item.image is not None and (side := side_of(item.image))]
    return Hog if sides and median(sides) <= SMALL_SIDE else Patches


def chosen_encoder(workspace: Workspace, project_id: int) -> Chosen:
    """The encoder that a project's settings name, with its weights; raises what `encoder_for` does."""
    name = _setting(workspace, project_id)
    return Chosen(best_encoder(first_items(workspace, project_id))) if name == AUTO else Chosen.named(name)


def _before(workspace: Workspace, project_id: int, chosen: Chosen) -> Chosen:
    """What a project had before it chose an encoder that is not to be had: of all, what is furthest, then newest."""
    others = [matrix for matrix in matrices_of(workspace, project_id) if matrix.rows and not chosen.made(matrix)]
    if not others:
        return Chosen(best_encoder(first_items(workspace, project_id)))
    furthest = max(others, key=lambda m: (m.rows, m.layout.created))
    return Chosen(ENCODERS[furthest.layout.encoder], furthest.spec)


def _ready(
    workspace: Workspace,
    project_id: int,
    chosen: Chosen,
    total: int,
    progress: Callable[[float, str], None] | None,
) -> tuple[FeatureMatrix, Encoder]:
    """The matrix to fill, and what fills it: loaded, or learned from the pool, where that is needed."""
    current, kind = _newest(workspace, project_id, chosen), chosen.kind
    if issubclass(kind, Pretrained):
        if current is not None and current[0].rows == total:
            return current
        if progress:
            progress(0.0, f"Loading {chosen.spec}")
        return _matrix_of(workspace, project_id, kind.load(chosen.spec, workspace.root), total)
    if current is None or _outgrown(*current, total):
        if progress and kind.kind and kind.sample:
            progress(0.0, f"Learning from a sample of the {KIND_WORDS[kind.kind]}")
        return _matrix_of(workspace, project_id, _fit(workspace, project_id, kind), total)
    return current


def _setting(workspace: Workspace, project_id: int) -> str:
    with reading(workspace.engine) as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotFound(f"There is no project {project_id}.")
        name = settings_of(project).encoder
    if name.partition(":")[0] not in ENCODERS and name != AUTO:
        raise Invalid(f"There is no encoder “{name}”; there are: {', '.join([AUTO, *sorted(ENCODERS)])}.")
    return name


def matrices_of(workspace: Workspace, project_id: int) -> list[FeatureMatrix]:
    """Every matrix that a project has, whole or not, in no order."""
    found = workspace.features(project_id, "").glob(f"*/{COUNT_FILE}")
    return [m for path in found if (m := FeatureMatrix.open(path.parent)).layout.encoder in ENCODERS]


def _newest(workspace: Workspace, project_id: int, chosen: Chosen) -> tuple[FeatureMatrix, Encoder] | None:
    """The newest matrix of an encoder that today's code would fill the same way."""
    mine = [matrix for matrix in matrices_of(workspace, project_id) if chosen.made(matrix)]
    for matrix in sorted(mine, key=lambda m: m.layout.created, reverse=True):
        encoder = encoder_of(matrix)
        if encoder.version == matrix.version:
            return matrix, encoder
    return None


def _outgrown(matrix: FeatureMatrix, encoder: Encoder, total: int) -> bool:
    """Whether an encoder learned from all of a small pool that is much larger now."""
    learned_from = matrix.layout.learned_from
    return learned_from < encoder.sample and total >= GROWTH * learned_from


def _fit(workspace: Workspace, project_id: int, kind: type[Encoder]) -> Encoder:
    """Fit an encoder to the pool as it is."""
    items = _sample(workspace, project_id, kind, kind.sample or LOOKED_AT)
    with threadpool_limits(1):  # threads of linear algebra wait for each other where the machine is busy
        return _naming(kind.fit, items)


def _matrix_of(workspace: Workspace, project_id: int, encoder: Encoder, total: int) -> tuple[FeatureMatrix, Encoder]:
    """The matrix of an encoder; what it learned is on disk before its matrix is."""
    folder = workspace.features(project_id, encoder.version)
    if (folder / COUNT_FILE).exists():  # the same was learned again, or the same weights lie in another place
        matrix = FeatureMatrix.open(folder)
        matrix.renew(learned_from=total, parameters=encoder.parameters)
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
