"""What words for the classes would do: the zero-shot head of edited texts beside that of the saved ones, on a sample.

The vectors of new texts are made by the worker (`labeling.features.words`); the rest is a product of small matrices.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from sqlmodel import Session, col, select
from threadpoolctl import threadpool_limits

from labeling import jobs
from labeling.classes import choices
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, Job, JobKind, Label, LabelClass, ModelVersion, Role
from labeling.errors import Invalid
from labeling.features.base import Kind
from labeling.features.encoding import ENCODERS, open_features
from labeling.features.matrix import FeatureMatrix
from labeling.features.pretrained import Pretrained
from labeling.features.prior import View, open_view
from labeling.features.words import ask_for_words, known_words, knows_words
from labeling.learning.head import LinearHead, about_head
from labeling.learning.status import WORKER_SILENT_SECONDS, worker_heard
from labeling.learning.versions import live_model
from labeling.learning.zero_shot import TEMPLATES, Words, power_of_words, texts_of, zero_shot_head
from labeling.projects import Settings, count_items, settings_of
from labeling.users import require
from labeling.workspace import Workspace

SAMPLE = 2000  # rows of the pool, and of those with a label, that are looked at
SHOWN = 12  # items
PATIENCE_SECONDS = 0.5  # that a page may be kept waiting for new words: a worker that knows the encoder is quicker
POLL_SECONDS = 0.03
KEPT = 16  # heads: a page that is open asks for the same two again and again
NOT_YET = "The model has not looked at the pool through these features yet; that takes a moment."

Texts = Mapping[int, Sequence[str]]  # that stand for each class, by its id


class ClassWords(BaseModel):
    """A class and the words for it."""

    id: int
    name: str
    prompts: list[str]  # of its own; none where its name is put into the templates


class ProjectWords(BaseModel):
    """The words of a project, and whether they count."""

    templates: list[str]  # as they are set; none where those of the kind of item count
    usual: list[str]  # the templates of the kind of item
    classes: list[ClassWords]
    hindrance: str  # why words do nothing here, and the way out; empty where they do

    def texts(self, templates: Sequence[str] | None = None, prompts: Texts | None = None) -> dict[int, list[str]]:
        """The texts that stand for each class; with other templates, or prompts of some classes, where given."""
        used, own = list(self.templates if templates is None else templates) or self.usual, prompts or {}
        return {c.id: texts_of(c.name, list(own.get(c.id, c.prompts)), used, None) for c in self.classes}


class Waiting(BaseModel):
    """There is nothing to be seen yet."""

    why: str
    problem: bool = False  # whether it stays so unless somebody does something


class ClassShare(BaseModel):
    """How many of the sample a class takes."""

    id: int
    name: str
    before: int
    after: int


class PreviewItem(BaseModel):
    """An item, and what the words say it is."""

    id: int
    external_id: str
    text: str | None
    fields: dict[str, Any] | None
    pictured: bool
    before: str  # the name of its class by the saved words
    after: str  # and by the edited ones
    confidence: float  # of `after`


class WordPreview(BaseModel):
    """What edited words would do. They are taken alone: labels, which the model learns from besides, change nothing."""

    sample: int  # items looked at
    total: int  # items there are
    changed: int  # of the sample, that another class takes
    classes: list[ClassShare]
    labeled: int  # items with a label that were looked at
    right_before: int  # of those
    right_after: int
    items: list[PreviewItem]  # those that changed first


@dataclass(frozen=True)
class _Project:
    """What a preview reads of a project."""

    settings: Settings
    classes: list[LabelClass]
    labels: list[tuple[int, int]]  # feature row, class id
    items: int = 0

    @classmethod
    def read(cls, session: Session, project_id: int, settings: Settings) -> "_Project":
        labels = select(Item.row, Label.class_id).join(Label, col(Label.item_id) == Item.id)
        labels = labels.where(Item.project_id == project_id).order_by(col(Item.row))
        known = list(session.exec(labels).all())
        return cls(settings, choices(session, project_id), known, count_items(session, project_id))

    def words(self, matrix: FeatureMatrix | None) -> ProjectWords:
        kind = None if matrix is None else ENCODERS[matrix.layout.encoder].kind
        return ProjectWords(
            templates=self.settings.templates,
            usual=list(TEMPLATES.get(kind, ("{}",))),
            classes=[ClassWords(id=c.id or 0, name=c.name, prompts=c.prompts) for c in self.classes],
            hindrance=_hindrance(self, matrix, kind),
        )


def read_words(workspace: Workspace, actor_id: int, project_id: int) -> ProjectWords:
    """The words of a project.

    Raises
    ------
    NotFound
        If there is no such project, or the acting user is not a member of it.
    """
    with reading(workspace.engine) as session:
        settings = settings_of(require(session, actor_id, project_id))
        classes = choices(session, project_id)
    return _Project(settings, classes, []).words(open_features(workspace, project_id))


def alike(words: ProjectWords, texts: Texts) -> str:
    """A sentence about two classes with the same texts; nothing where each has its own."""
    seen: dict[frozenset[str], str] = {}
    for each in words.classes:
        said = frozenset(texts[each.id])
        if said in seen:
            return (
                f"“{seen[said]}” and “{each.name}” have the same texts, so words cannot tell them apart; "
                "describe one of them in other words."
            )
        seen[said] = each.name
    return ""


def preview_words(
    workspace: Workspace, actor_id: int, project_id: int, texts: Texts, *, again: bool = False
) -> WordPreview | Waiting:
    """What other texts for the classes would do; `Waiting` while the worker has their vectors to make.

    Parameters
    ----------
    texts
        Of the classes that get others; the rest keep theirs.
    again
        Whether the worker is asked once more for words that it could not read.

    Raises
    ------
    Invalid
        If words do nothing in this project, saying why, or a text is too long.
    NotFound, NotAllowed
        If the acting user is not an owner of the project.
    """
    with reading(workspace.engine) as session:
        settings = settings_of(require(session, actor_id, project_id, Role.OWNER))
        project = _Project.read(session, project_id, settings)
    matrix = open_features(workspace, project_id)
    words = project.words(matrix)
    if words.hindrance or matrix is None:
        raise Invalid(words.hindrance)
    saved = words.texts()
    edited = {class_id: list(texts.get(class_id, own)) for class_id, own in saved.items()}
    wanted = list(dict.fromkeys(text for of in (saved, edited) for said in of.values() for text in said))
    if waiting := _waiting(workspace, project_id, matrix, wanted, again):
        return waiting
    view = _view(workspace, live_model(workspace, project_id), matrix)
    if view is None:
        return Waiting(why=NOT_YET)
    with threadpool_limits(1):  # people are labeling on the other cores
        return _compared(workspace, project_id, project, matrix, view, saved, edited)


def _hindrance(project: _Project, matrix: FeatureMatrix | None, kind: Kind | None) -> str:
    """Why words do nothing in a project."""
    if matrix is None:
        return "Words begin to count when the items have features."
    if kind == "row":
        return "Words sort images and texts; no encoder here knows words for the rows of a table."
    if not knows_words(matrix):
        chosen = ENCODERS.get(project.settings.encoder.partition(":")[0])
        if chosen is not None and issubclass(chosen, Pretrained):
            return (
                f"Words begin to count when {chosen.name} has every item; how far it is stands under Labeling, What "
                "learns."
            )
        choose = {"image": "clip", "text": "sentences"}.get(kind or "", "clip (for images) or sentences (for texts)")
        return (
            f"The features that the model learns from ({matrix.layout.encoder}) know no words; choose {choose} under "
            "Labeling, What learns."
        )
    if project.settings.head != "default":
        return "The plain model knows no words; choose the one that is shaped by the pool under Labeling, What learns."
    if len(project.classes) < 2:
        return "Words begin to count with the second class; add it under Classes."
    return ""


def _waiting(
    workspace: Workspace, project_id: int, matrix: FeatureMatrix, texts: Sequence[str], again: bool
) -> Waiting | None:
    """None as soon as all texts have vectors; the worker is asked for those that are missing."""
    missing = _missing(matrix, texts)
    if not missing:
        return None
    with reading(workspace.engine) as session:
        asked = [job for job in jobs.unfinished(session, project_id) if job.kind is JobKind.EMBED]
        last = jobs.latest(session, project_id, JobKind.EMBED)
    if not set(missing) <= _texts(*asked):
        if last is not None and last.error and not again and set(missing) <= _texts(last):
            return Waiting(why=last.error, problem=True)
        with writing(workspace.engine) as session:
            ask_for_words(session, project_id, missing)
    until = time.monotonic() + PATIENCE_SECONDS
    while missing := _missing(matrix, missing):
        if time.monotonic() >= until:
            heard = worker_heard(workspace)
            if heard is None or heard > WORKER_SILENT_SECONDS:
                return Waiting(why="No worker is running, so new words are not read; start one with `askwise worker`.")
            return Waiting(why="Reading the words…")
        time.sleep(POLL_SECONDS)
    return None


def _missing(matrix: FeatureMatrix, texts: Sequence[str]) -> list[str]:
    if known_words(matrix, texts) is not None:
        return []
    return [text for text in texts if known_words(matrix, [text]) is None]


def _texts(*asked: Job) -> set[str]:
    return {text for job in asked for text in job.payload.get("texts", [])}


def _view(workspace: Workspace, live: ModelVersion | None, matrix: FeatureMatrix) -> View | None:
    """How the live model sees the pool; None where it learned from other features."""
    if live is None or live.path is None or live.feature_version != matrix.version:
        return None
    seen = about_head(workspace.head(live.path)).get("view")
    return open_view(matrix, *seen) if seen else None


def _compared(
    workspace: Workspace,
    project_id: int,
    project: _Project,
    matrix: FeatureMatrix,
    view: View,
    saved: Texts,
    edited: Texts,
) -> WordPreview:
    place = {c.id: at for at, c in enumerate(project.classes)}
    known = [(row, place[class_id]) for row, class_id in project.labels if class_id in place and row < matrix.rows]
    labeled = _steps(np.array(known, dtype=np.int64).reshape(-1, 2))
    rows = _steps(np.arange(matrix.rows))
    looked_at = np.asarray(matrix.array()[np.concatenate([rows, labeled[:, 0]])])
    heads = (_head(matrix.folder, view.name, matrix.rows, _frozen(texts)) for texts in (saved, edited))
    likely = [head.predict_proba(view.prior.see(looked_at, power)) for head, power in heads]
    was, now = (each.argmax(axis=1) for each in likely)
    sure, n, k = likely[1].max(axis=1), len(rows), len(project.classes)
    counts = np.bincount(was[:n], minlength=k), np.bincount(now[:n], minlength=k)
    shown = shown_first(was[:n], now[:n], sure[:n])
    found = _items(workspace, project_id, rows[shown].tolist())
    names = [c.name for c in project.classes]
    return WordPreview(
        sample=n,
        total=project.items,
        changed=int((was[:n] != now[:n]).sum()),
        classes=[
            ClassShare(id=c.id or 0, name=c.name, before=int(counts[0][at]), after=int(counts[1][at]))
            for at, c in enumerate(project.classes)
        ],
        labeled=len(labeled),
        right_before=int((was[n:] == labeled[:, 1]).sum()),
        right_after=int((now[n:] == labeled[:, 1]).sum()),
        items=[
            PreviewItem(
                pictured=item.media is not None, before=names[was[at]], after=names[now[at]],
                confidence=float(sure[at]), **item.model_dump(include={"id", "external_id", "text", "fields"}),
            )
            for at in shown.tolist()
            if (item := found.get(int(rows[at]))) is not None
        ],
    )  # fmt: skip


def shown_first(was: NDArray[np.integer], now: NDArray[np.integer], sure: NDArray[np.floating]) -> NDArray[np.intp]:
    """Which few of the sample to show: those whose class changed, then others; the surest of each kind take turns.

    Parameters
    ----------
    was, now : (n,) int
        The class of each by the saved and by the edited words; the two together are its kind.
    sure : (n,)
        Probability of the latter.
    """
    turn = np.zeros(len(was), dtype=np.intp)
    _, kinds = np.unique(np.stack([was, now]), axis=1, return_inverse=True)
    for kind in np.unique(kinds):
        mine = np.flatnonzero(kinds == kind)
        turn[mine[np.argsort(-sure[mine], kind="stable")]] = np.arange(len(mine))
    return np.lexsort((-sure, turn, was == now))[:SHOWN]


@lru_cache(maxsize=KEPT)
def _head(folder: Path, view: str, rows: int, texts: tuple[tuple[str, ...], ...]) -> tuple[LinearHead, float]:
    """The head that texts with vectors make alone, and the power of the prior with which it sees items."""
    matrix = FeatureMatrix.open(folder)
    prior = open_view(matrix, view, 0.0).prior
    vectors = [known_words(matrix, of_class) for of_class in texts]
    words = Words(np.stack([each.mean(axis=0) for each in vectors if each is not None]))
    power = power_of_words(prior, matrix.array()[:rows], words)
    return zero_shot_head(words.see(prior, power)), power


def _frozen(texts: Texts) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(of_class) for of_class in texts.values())


def _steps(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `SAMPLE` of them, at even steps."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, SAMPLE).astype(np.intp))] if len(rows) else rows


def _items(workspace: Workspace, project_id: int, rows: list[int]) -> dict[int, Item]:
    with reading(workspace.engine) as session:
        found = session.exec(select(Item).where(Item.project_id == project_id, col(Item.row).in_(rows))).all()
    return {item.row: item for item in found}
