"""What a model version sees: the labels that stood at one moment, and which items were open then."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlmodel import col, func, select

from labeling.annotation.consensus import standing
from labeling.annotation.queue import is_asked
from labeling.classes import choices
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Assignment, Item, Label, Lease, Project, Verdict
from labeling.errors import NotFound
from labeling.projects import Settings, settings_of
from labeling.workspace import Workspace


@dataclass(frozen=True)
class Snapshot:
    """One project at one moment. Class index i stands for `class_ids[i]`.

    Attributes
    ----------
    labeled, targets : (l,) int
        Feature rows with a label, and its class index.
    open_rows, open_items : (m,) int
        Feature rows of the items that may still be asked, and their item ids.
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
    labeled: NDArray[np.int64]
    targets: NDArray[np.int64]
    open_rows: NDArray[np.int64]
    open_items: NDArray[np.int64]
    held_rows: NDArray[np.int64]
    annotation_seq: int
    annotation_hash: str


def take_snapshot(workspace: Workspace, project_id: int, rows: int) -> Snapshot:
    """Read a project as it stands, as far as its items have features (`rows` of them)."""
    with reading(workspace.engine) as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotFound(f"There is no project {project_id}.")
        settings = settings_of(project)
        classes = choices(session, project_id)
        class_ids = [c.id for c in classes if c.id is not None]
        index = {class_id: i for i, class_id in enumerate(class_ids)}

        labels = select(Item.row, Label.class_id).join(Label, col(Label.item_id) == Item.id)
        labels = labels.where(Item.project_id == project_id, Item.row < rows).order_by(col(Item.row))
        known = [(row, index[class_id]) for row, class_id in session.exec(labels).all() if class_id in index]
        is_open = (col(Item.project_id) == project_id) & (col(Item.answers) < settings.overlap) & (col(Item.row) < rows)
        is_open &= is_asked(settings)
        waiting = session.exec(select(Item.row, Item.id).where(is_open).order_by(col(Item.row))).all()

        leased = select(Item.row, Assignment.user_id, Assignment.client).join(Item, col(Item.id) == Assignment.item_id)
        leased = leased.where(
            Assignment.project_id == project_id,
            Assignment.state == Lease.LEASED,
            Assignment.expires > time.time(),
            Item.row < rows,
        )
        held: list[int] = []
        tabs = set()
        for row, user_id, client in session.exec(leased.order_by(col(Assignment.id))).all():
            if client is None or (user_id, client) not in tabs:
                tabs.add((user_id, client))
                held.append(row)

        seq = session.exec(select(func.max(Annotation.seq)).where(Annotation.project_id == project_id)).one() or 0
        counted = select(Annotation.id).where(
            Annotation.project_id == project_id,
            Annotation.verdict == Verdict.LABEL,
            standing(),
        )
        seen = session.exec(counted.order_by(col(Annotation.seq))).all()
    labeled, targets = _columns(known)
    open_rows, open_items = _columns(waiting)
    return Snapshot(
        project_id,
        settings,
        class_ids,
        [c.name for c in classes],
        labeled,
        targets,
        open_rows,
        open_items,
        np.unique(np.array(held, dtype=np.int64)),
        seq,
        hashlib.sha256("\n".join(seen).encode()).hexdigest(),
    )


def _columns(pairs: Sequence[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two columns of so many pairs; numpy itself takes ten times as long to look at a database's rows."""
    flat = np.fromiter(chain.from_iterable(pairs), dtype=np.int64, count=2 * len(pairs))
    return flat[::2].copy(), flat[1::2].copy()
