"""The door of the exports: who may, which contents in which format, and as of when.

Two contents. `answers`: every standing answer with its provenance. `labels`: every item with its label. An export is
the state at the moment it began, streamed in short chunks: nothing is held, and no save is held up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sqlmodel import Session, col, func, select

from labeling.db.engine import reading
from labeling.db.schema import Item, ModelVersion, Role
from labeling.delivery import splits
from labeling.delivery.answer_rows import COLUMNS, AnswerRows
from labeling.delivery.coco import write_coco
from labeling.delivery.image_folder import write_image_folder
from labeling.delivery.label_rows import UNLABELED, LabelRows, Unlabeled
from labeling.delivery.label_studio import write_label_studio
from labeling.delivery.moment import Lookup, Moment
from labeling.delivery.tabular import Part, Rows, write_csv, write_jsonl, write_parquet
from labeling.errors import Invalid
from labeling.users import require
from labeling.workspace import Workspace

if TYPE_CHECKING:
    from labeling.learning.predictions import PoolPredictions

__all__ = [
    "COLUMNS",
    "CONTENTS",
    "FORMATS",
    "UNLABELED",
    "Delivery",
    "Wanted",
    "export_rows",
    "export_stream",
    "survey",
]

Contents = Literal["answers", "labels"]
CONTENTS: tuple[Contents, ...] = ("answers", "labels")
SURVEYED = 200  # items whose metadata is looked at
MOST_SIDES = 100  # of a split, in formats that have a folder for each


class Format(NamedTuple):
    """A format: its name for people, its file, and what it can do."""

    title: str
    about: str
    suffix: str
    media_type: str
    contents: tuple[Contents, ...]
    resumes: bool  # whether it can go on behind a row; the others have an end that tells of everything before it
    of_images: bool = False
    has_images: bool = False


TABLES: dict[str, Callable[[Rows, int], Iterator[Part]]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}
ARCHIVES: dict[str, Callable[[LabelRows, bool], Iterator[Part]]] = {
    "imagefolder": lambda items, _images: write_image_folder(items),
    "label-studio": write_label_studio,
    "coco": write_coco,
}
FORMATS: dict[str, Format] = {
    "csv": Format(
        "CSV", "For spreadsheets and pandas. Text that a spreadsheet would run as a formula is led by an apostrophe.",
        ".csv", "text/csv; charset=utf-8", CONTENTS, True,
    ),
    "jsonl": Format(
        "JSON Lines", "One JSON object per line, lossless: for programs.",
        ".jsonl", "application/x-ndjson", CONTENTS, True,
    ),
    "parquet": Format(
        "Parquet", "Columns with types, compressed: for pandas and for large pools. Fields and meta are JSON text.",
        ".parquet", "application/vnd.apache.parquet", CONTENTS, False,
    ),
    "imagefolder": Format(
        "Image folder", "A zip with the images and a metadata file; Hugging Face datasets loads the unpacked folder.",
        "-imagefolder.zip", "application/zip", ("labels",), False, of_images=True, has_images=True,
    ),
    "label-studio": Format(
        "Label Studio", "A zip with tasks and their labels as JSON, the labeling configuration, and any images.",
        "-label-studio.zip", "application/zip", ("labels",), False, has_images=True,
    ),
    "coco": Format(
        "COCO", "A zip with the images and COCO annotations: one category for each image.",
        "-coco.zip", "application/zip", ("labels",), False, of_images=True, has_images=True,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What is to be exported.

    Attributes
    ----------
    format : str
        One of `FORMATS`.
    rows : {"answers", "labels"}, optional
        Answers, where the format can hold them, unless told otherwise.
    split : str
        A rule (see `labeling.delivery.splits`); empty for none. Only labels are split.
    seed : int
        Of a split by shares.
    unlabeled : {"keep", "drop", "suggest"}, optional
        What becomes of items without a label: kept (the default), left out, or given the live model's guess.
    images : bool
        Whether a zip holds the images; the image folder always does.
    """

    format: str = "csv"
    rows: str | None = None
    split: str = ""
    seed: int = 0
    unlabeled: str | None = None
    images: bool = True

    @property
    def contents(self) -> Contents:
        """What the rows are."""
        return "labels" if "labels" in (self.rows, *FORMATS[self.format].contents[:1]) else "answers"

    def check(self) -> splits.Split | None:
        """The split, if all of this goes together.

        Raises
        ------
        Invalid
            If it does not.
        """
        if self.format not in FORMATS:
            raise Invalid(f"There is no export format “{self.format}”; choose one of: {', '.join(FORMATS)}.")
        about = FORMATS[self.format]
        if self.rows is not None and self.rows not in CONTENTS:
            raise Invalid(f"There are no rows “{self.rows}”; choose one of: {', '.join(CONTENTS)}.")
        if self.rows is not None and self.rows not in about.contents:
            raise Invalid(f"{about.title} holds labels, not answers; choose the rows “labels”, or another format.")
        if self.unlabeled is not None and self.unlabeled not in UNLABELED:
            raise Invalid(f"Unlabeled items are one of: {', '.join(UNLABELED)}; not “{self.unlabeled}”.")
        if self.contents == "answers" and (self.split.strip() or self.unlabeled):
            raise Invalid("Only labels can be split or say what becomes of unlabeled items; choose the rows “labels”.")
        if not self.images and self.format == "imagefolder":
            raise Invalid("An image folder without images is none; choose JSON Lines, CSV or Parquet.")
        return splits.parse(self.split, self.seed)


class Delivery(NamedTuple):
    """An export under way."""

    parts: Iterator[Part]
    media_type: str
    filename: str
    moment: Moment
    last: int  # the key behind which there is nothing

    @property
    def chunks(self) -> Iterator[bytes]:
        """Its bytes."""
        return (part.data for part in self.parts if part.data)


class Survey(NamedTuple):
    """What an export would hold, counted."""

    items: int
    images: int
    model: int  # the number of the live model version; 0 for none
    columns: list[str]  # of the metadata, as far as the first items show


def export_stream(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    format: str,
    *,
    rows: str | None = None,
    split: str = "",
    seed: int = 0,
    unlabeled: str | None = None,
    images: bool = True,
    at: str | None = None,
    after: int = 0,
) -> Delivery:
    """Stream a project; see `Wanted` for the options.

    Parameters
    ----------
    at
        The moment that the export is of, as an earlier one named it (`Delivery.moment`); the present when None. The
        same moment gives the same bytes.
    after
        The key behind which it goes on, in a format that resumes (`Part.after`).

    Raises
    ------
    Invalid
        If the format or an option is not known, they do not go together, or the project does not hold what it takes.
    NotAllowed
        If the acting user is neither expert nor owner.
    """
    wanted = Wanted(format, rows, split, seed, unlabeled, images)
    name, content = _open(workspace, actor_id, project_id, wanted, at)
    about = FORMATS[format]
    if format in TABLES:
        parts = TABLES[format](content, after)
        suffix = f"-labels{about.suffix}" if isinstance(content, LabelRows) else about.suffix
    else:
        assert isinstance(content, LabelRows)
        parts, suffix = ARCHIVES[format](content, images), about.suffix
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name)
    return Delivery(parts, about.media_type, stem + suffix, content.moment, content.last)


def export_rows(
    workspace: Workspace, actor_id: int, project_id: int, wanted: Wanted | None = None, count: int | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of an export (of the answers, unless told otherwise), one dictionary each: all, or the first `count`."""
    _, content = _open(workspace, actor_id, project_id, wanted or Wanted(), None)
    chunks = content.chunks(0) if count is None else content.chunks(0, count)
    rows = (dict(zip(content.columns, row, strict=True)) for chunk in chunks for row in chunk.rows)
    return islice(rows, count)


def _open(
    workspace: Workspace, actor_id: int, project_id: int, wanted: Wanted, at: str | None
) -> tuple[str, AnswerRows | LabelRows]:
    """The project's name and the rows that are wanted, as of a moment."""
    with reading(workspace.engine) as session:
        project = require(session, actor_id, project_id, Role.EXPERT)
        rule = wanted.check()
        _check_pool(session, project_id, wanted, rule)
        moment = Moment.of(session, project) if at is None else Moment.named(session, project, at)
        lookup = Lookup.read(session, actor_id, project_id)
        if wanted.contents == "answers":
            return project.name, AnswerRows(workspace, project_id, moment, lookup)
        unlabeled: Unlabeled = next((known for known in UNLABELED if known == wanted.unlabeled), "keep")
        beliefs = _beliefs(workspace, session, project_id, moment.model) if unlabeled == "suggest" else None
        return project.name, LabelRows(workspace, project_id, moment, lookup, rule, unlabeled, beliefs)


def survey(workspace: Workspace, actor_id: int, project_id: int) -> Survey:
    """What the exports of a project would hold.

    Raises
    ------
    NotAllowed
        If the acting user is neither expert nor owner.
    """
    with reading(workspace.engine) as session:
        project = require(session, actor_id, project_id, Role.EXPERT)
        items, images = session.exec(
            select(func.count(col(Item.id)), func.count(col(Item.media))).where(Item.project_id == project_id)
        ).one()
        first = select(col(Item.meta)).where(Item.project_id == project_id).order_by(col(Item.id)).limit(SURVEYED)
        columns = sorted({name for meta in session.exec(first).all() for name in meta})
        return Survey(items, images, Moment.of(session, project).model, columns)


def _check_pool(session: Session, project_id: int, wanted: Wanted, rule: splits.Split | None) -> None:
    """Hold that the pool is one that the format and the split can take, before the first byte is sent."""
    about, mine = FORMATS[wanted.format], col(Item.project_id) == project_id
    if about.of_images and session.exec(select(Item.id).where(mine, col(Item.media).is_(None)).limit(1)).first():
        raise Invalid(f"{about.title} holds images, and this project has other items; choose another format.")
    if isinstance(rule, splits.Column):
        value = col(Item.meta)[rule.name].as_string()
        values = session.exec(select(value).where(mine).distinct().limit(MOST_SIDES + 1)).all()
        if not any(values):
            raise Invalid(f"No item has the metadata column “{rule.name}”; split by another, or by shares.")
        if about.has_images and len(values) > MOST_SIDES:
            raise Invalid(f"“{rule.name}” has more than {MOST_SIDES} values; {about.title} has a folder for each.")


def _beliefs(workspace: Workspace, session: Session, project_id: int, model_id: int) -> "PoolPredictions":
    from labeling.learning.predictions import pool_predictions  # and with it scikit-learn, which few exports need

    version = select(ModelVersion).where(ModelVersion.project_id == project_id, ModelVersion.id == model_id)
    beliefs = pool_predictions(workspace, session.exec(version).first())
    if beliefs is None:
        raise Invalid("There is no model whose suggestions could fill the gaps; label items of two classes first.")
    return beliefs
