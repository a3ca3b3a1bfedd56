"""What a model version sees: the labels that stood at one moment, and which items were open then."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, null
from sqlmodel import Session, col, func, select

from labeling.annotation.consensus import are_closed, is_decision, is_opinion, wants_more
from labeling.annotation.queue import is_asked
from labeling.classes import choices
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Assignment, Doubt, Item, Label, Lease, Membership, Project
from labeling.errors import NotFound
from labeling.projects import Settings, settings_of
from labeling.workspace import Workspace

LEVEL = 0.5  # worth of another opinion where people disagree and nothing else is known
READ_AT_ONCE = 5_000  # item ids in one transaction, so that it is short


@dataclass(frozen=True)
class AskedAgain:
    """An item of which another opinion is wanted."""

    row: int
    item_id: int
    worth: float  # labels that one more answer is expected to put right
    why: str


@dataclass(frozen=True)
class SoftLabels:
    """The classes that labels may be: one row for each class of a label that is likely at all.

    Attributes
    ----------
    places, classes : (s,) int
        Index into `Snapshot.labeled`, and class index.
    weights : (s,) float
        How likely that class is; of one label they sum to 1.
    """

    places: NDArray[np.int64]
    classes: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class Snapshot:
    """One project at one moment. Class index i stands for `class_ids[i]`.

    Attributes
    ----------
    class_prompts : list of list of str
        What each class is described by; nothing where its name does.
    labeled, targets : (l,) int
        Feature rows with a label, and its class index; in `soft` the classes that it may be, where the project learns
        from these.
    open_rows, open_items : (m,) int
        Feature rows of the items that may still be asked, and their item ids; without those that are asked again.
    asked_again
        Items of which another opinion is wanted, though people were to give one each.
    gold_rows, gold_items : (g,) int
        Feature rows of the gold items, and their item ids.
    held_rows : (h,) int
        Feature rows of the items that people are working on: what a browser tab shows, not what it fetched ahead, as
        that is exchanged for better items when there are any; and all that a client without a tab has leased.
    annotation_seq : int
        The newest annotation taken into account; 0 when there is none.
    annotation_hash : str
        SHA-256 of the event ids of the standing answers, in order.
    """

    project_id: int
    settings: Settings
    class_ids: list[int]
    class_names: list[str]
    class_prompts: list[list[str]]
    labeled: NDArray[np.int64]
    targets: NDArray[np.int64]
    open_rows: NDArray[np.int64]
    open_items: NDArray[np.int64]
    asked_again: list[AskedAgain]
    gold_rows: NDArray[np.int64]
    gold_items: NDArray[np.int64]
    held_rows: NDArray[np.int64]
    annotation_seq: int
    annotation_hash: str
    soft: SoftLabels | None = None


def take_snapshot(workspace: Workspace, project_id: int, rows: int) -> Snapshot:
    """Read a project as it stands, as far as its items have features (`rows` of them).

    People's answers may wait for a transaction that reads (`labeling.db.engine`): this one reads what is closed, which
    is mostly little, and never all that is open.
    """
    item_ids = _item_ids(workspace, project_id, rows)
    with reading(workspace.engine) as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotFound(f"There is no project {project_id}.")
        settings = settings_of(project)
        classes = choices(session, project_id)
        class_ids = [c.id for c in classes if c.id is not None]
        index = {class_id: i for i, class_id in enumerate(class_ids)}

        labels = select(Item.row, Label.class_id, Label.distribution if settings.soft_labels else null()).join(
            Label, col(Label.item_id) == Item.id
        )
        labels = labels.where(Item.project_id == project_id, Item.row < rows).order_by(col(Item.row))
        labels_read = session.exec(labels).all()
        closed_read = [
            session.exec(select(Item.row).where(Item.project_id == project_id, condition)).all()
            for condition in (*are_closed(settings), ~is_asked(settings))
        ]

        again = select(Item.row, Item.id, Item.answers, Doubt.worth, Doubt.why, Label.class_id)  # type: ignore[call-overload]
        again = again.outerjoin(Doubt, col(Doubt.item_id) == Item.id).outerjoin(Label, col(Label.item_id) == Item.id)
        again = again.where(Item.project_id == project_id, wants_more(settings), is_asked(settings))
        again_read = session.exec(again.where(Item.row < rows)).all()
        golden = select(Item.row, Item.id).where(Item.project_id == project_id, col(Item.gold))
        gold = session.exec(golden.where(Item.row < rows).order_by(col(Item.row))).all()

        leased = select(Item.row, Assignment.user_id, Assignment.client).join(Item, col(Item.id) == Assignment.item_id)
        leased = leased.where(
            Assignment.project_id == project_id,
            Assignment.state == Lease.LEASED,
            Assignment.expires > time.time(),
            Item.row < rows,
        )
        leased_read = session.exec(leased.order_by(col(Assignment.id))).all()

        seq = session.exec(select(func.max(Annotation.seq)).where(Annotation.project_id == project_id)).one() or 0
        counted = select(Annotation.id).where(
            Annotation.project_id == project_id,
            is_opinion() | is_decision(),
        )
        seen = session.exec(counted.order_by(col(Annotation.seq))).all()
    told = [(row, index[c], likely) for row, c, likely in labels_read if c in index]
    known = [(row, c) for row, c, _ in told]
    soft = _soft([(c, dict(likely or {})) for _, c, likely in told], index) if settings.soft_labels else None
    asked_again = [_asked_again(row, item_id, *about) for row, item_id, given, *about in again_read if given]
    labeled, targets = _columns(known)
    fresh = item_ids > 0
    fresh[[row for part in closed_read for row in part if row < len(item_ids)]] = False
    fresh[[one.row for one in asked_again]] = False
    open_rows = np.flatnonzero(fresh)
    gold_rows, gold_items = _columns(gold)
    return Snapshot(
        project_id,
        settings,
        class_ids,
        [c.name for c in classes],
        [c.prompts for c in classes],
        labeled,
        targets,
        open_rows,
        item_ids[open_rows],
        asked_again,
        gold_rows,
        gold_items,
        _held(leased_read),
        seq,
        hashlib.sha256("\n".join(seen).encode()).hexdigest(),
        soft,
    )


def _held(leased: Sequence[Any]) -> NDArray[np.int64]:
    """The rows that people work on, of leases (row, person, browser tab) in the order in which they were made."""
    held: list[int] = []
    tabs = set()
    for row, user_id, client in leased:
        if client is None or (user_id, client) not in tabs:
            tabs.add((user_id, client))
            held.append(row)
    return np.unique(np.array(held, dtype=np.int64))


def _asked_again(row: int, item_id: int, worth: float | None, why: str | None, label: int | None) -> AskedAgain:
    if worth is not None:
        return AskedAgain(row, item_id, worth, why or "")
    if label is None:  # it was answered a moment ago, and is yet to be weighed
        return AskedAgain(row, item_id, LEVEL, "people disagree")
    return AskedAgain(row, item_id, 0.0, "too few answered to be sure")


def ground_of(session: Session, project_id: int) -> list[Any]:
    """What labels rest on besides annotations: the version of the classes, and whose answers were set aside."""
    aside = select(Membership.user_id).where(
        Membership.project_id == project_id, col(Membership.set_aside).is_not(None)
    )
    return [session.get_one(Project, project_id).schema_version, sorted(session.exec(aside).all())]


def _soft(labels: Sequence[tuple[int, dict[str, float]]], index: dict[int, int]) -> SoftLabels | None:
    """Labels as the classes that they may be; None where each is one class alone."""
    rows = []
    for place, (target, likely) in enumerate(labels):
        shares = {index[int(c)]: p for c, p in likely.items() if int(c) in index} or {target: 1.0}
        whole = sum(shares.values())
        rows += [(place, c, p / whole) for c, p in shares.items()]
    if len(rows) == len(labels):
        return None
    places, classes, weights = zip(*rows, strict=True)
    return SoftLabels(np.array(places), np.array(classes), np.array(weights))


_known_ids: WeakKeyDictionary[Engine, dict[int, NDArray[np.int64]]] = WeakKeyDictionary()


def _item_ids(workspace: Workspace, project_id: int, rows: int) -> NDArray[np.int64]:
    """The ids of the items in the first `rows` rows of a project, 0 where there is none. They are kept: no item ever
    changes its row.
    """
    of_engine = _known_ids.setdefault(workspace.engine, {})
    known = of_engine.get(project_id, np.zeros(0, dtype=np.int64))
    while (start := len(known)) < rows:
        stop = min(start + READ_AT_ONCE, rows)
        some = select(Item.row, Item.id).where(Item.project_id == project_id, Item.row >= start, Item.row < stop)
        with reading(workspace.engine) as session:
            at, ids = _columns(session.exec(some).all())
        following = np.zeros(stop - start, dtype=np.int64)
        following[at - start] = ids
        known = of_engine[project_id] = np.concatenate([known, following])
    return known[:rows]


def _columns(pairs: Sequence[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two columns of so many pairs; numpy itself takes ten times as long to look at a database's rows."""
    flat = np.fromiter(chain.from_iterable(pairs), dtype=np.int64, count=2 * len(pairs))
    return flat[::2].copy(), flat[1::2].copy()
