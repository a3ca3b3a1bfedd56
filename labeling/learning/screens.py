"""Screens of items that the live model believes are one class, the most doubtful first, to be confirmed together.

What `labeling.learning.find` has found comes as a screen, too.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from sqlmodel import Session, col, select

from labeling.annotation.claims import Claim, as_claim, with_keywords
from labeling.annotation.consensus import are_closed, live_class
from labeling.annotation.queue import MAX_CLAIMS, eligible, give_back, lease_item, live_ranking, own_leases
from labeling.db.engine import reading, writing
from labeling.db.schema import Assignment, Item, LabelClass, ModelVersion, Project
from labeling.errors import Invalid
from labeling.learning.predictions import PoolPredictions, pool_predictions
from labeling.learning.versions import find_live
from labeling.projects import settings_of
from labeling.users import require
from labeling.workspace import Workspace

LOOKED_AT = 20_000  # rows whose state is asked for by number; beyond that, all that are open are read at once
NAMED = 1000  # rows that one query names


class Believed(BaseModel):
    """How many open items the model believes are a class."""

    class_id: int
    items: int


class Screen(BaseModel):
    """Leased items: believed to be one class, the most doubtful first, or found, the nearest first."""

    class_id: int | None  # of what was found: the class that the model believes most of it is, if there is one
    claims: list[Claim]
    believed: list[Believed]  # of every class that has any; of what was found, nothing
    model_version: int | None
    like: str | None = None  # what it was found by: a description, or the name of an item
    why: str = ""  # there is nothing, in one sentence


def open_screen(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    class_id: int | None = None,
    count: int = 40,
    *,
    client: str | None = None,
    resume: bool = False,
    release: Sequence[int] = (),
    without: Sequence[int] = (),
    now: float | None = None,
) -> Screen:
    """Lease up to `count` items that the live model believes are a class to the acting user.

    Parameters
    ----------
    class_id
        Which class; where None, the one of which the most open items are expected.
    client
        The browser tab that asks.
    resume
        Whether this tab has just been loaded: what it still holds from before is given back first.
    release
        Assignments to give back in the same transaction.
    without
        Items that are not wanted: those that were left out of earlier screens.

    Raises
    ------
    Invalid
        If `count` is out of bounds, the class is not one to choose, or the project hides the model's guesses.
    NotFound
        If the user is no member of the project.
    """
    check_count(count)
    with reading(workspace.engine) as session:
        project = require(session, actor_id, project_id)
        if settings_of(project).suggestions == "hide":
            raise Invalid("This project hides what the model believes, so its items are labeled one by one.")
        if class_id is not None:
            _check(session, project_id, class_id)
        version = find_live(session, project_id)
        beliefs = pool_predictions(workspace, version)
        if version is not None and beliefs is not None:
            classes = classes_today(session, beliefs)[beliefs.classes]
            is_open = _open_today(session, project, len(beliefs.classes))
    if version is None:
        why = "There is no model yet. Label some items of two classes one by one first."
        return Screen(class_id=class_id, claims=[], believed=[], model_version=None, why=why)
    if beliefs is None:
        why = "The model has not looked at the pool yet. Label an item one by one, and it will."
        return Screen(class_id=class_id, claims=[], believed=[], model_version=version.number, why=why)

    ids, counts = np.unique(classes[is_open & (classes > 0)], return_counts=True)
    by_count = [int(ids[at]) for at in np.argsort(-counts, kind="stable")]
    believed = [Believed(class_id=int(i), items=int(n)) for i, n in zip(ids, counts, strict=True)]
    with writing(workspace.engine) as session:
        now = time.time() if now is None else now
        project = require(session, actor_id, project_id)
        let_go(session, actor_id, project_id, client if resume else None, release, now)
        open_rows = OpenRows(session, actor_id, project, without, now)
        claims: list[Claim] = []
        for wanted in by_count if class_id is None else [class_id]:
            rows = np.flatnonzero((classes == wanted) & is_open)
            least_sure = rows[np.argsort(beliefs.confidence[rows], kind="stable")]
            if found := open_rows.first(least_sure, count):
                name = session.get_one(LabelClass, wanted).name
                chosen = {row: _why(name, wanted, float(beliefs.confidence[row])) for row in found}
                claims = lease_rows(session, actor_id, project, version, chosen, client, now)
                class_id = wanted
                break
    why = "" if claims else "No item that is open to you now is believed to be of this class."
    claims = with_keywords(workspace, claims)
    return Screen(class_id=class_id, claims=claims, believed=believed, model_version=version.number, why=why)


def check_count(count: int) -> None:
    """Raise `Invalid` unless so many items may be on a screen."""
    if not 1 <= count <= MAX_CLAIMS:
        raise Invalid(f"A screen has between 1 and {MAX_CLAIMS} items.")


def let_go(
    session: Session, actor_id: int, project_id: int, client: str | None, release: Sequence[int], now: float
) -> None:
    """Give back, in the caller's transaction, what a person names, and all that a browser tab holds where one is."""
    if client:
        before = own_leases(session, actor_id, project_id, now, col(Assignment.client) == client)
        release = [*release, *(each.id for each in before if each.id is not None)]
    give_back(session, actor_id, release)


class OpenRows:
    """Which rows a person may be asked now, without reading the whole pool where that can be helped.

    Parameters
    ----------
    without
        Items that are not wanted.
    """

    def __init__(self, session: Session, actor_id: int, project: Project, without: Sequence[int], now: float) -> None:
        self._session = session
        self._project_id = project.id
        self._open_rows = select(Item.row).where(*eligible(actor_id, project, now), col(Item.id).not_in(without))
        self._all: set[int] | None = None

    def first(self, rows: NDArray[np.integer], count: int) -> list[int]:
        """The first `count` of some rows that are open, in their order."""
        found: list[int] = []
        looked, most = 0, min(LOOKED_AT + 2 * count, len(rows))
        while len(found) < count and looked < most:
            part = rows[looked : min(looked + (NAMED if looked else 2 * count), most)].tolist()
            found += self._among(part)
            looked += len(part)
        if len(found) < count and looked < len(rows):
            if self._all is None:
                self._all = set(self._session.exec(self._open_rows).all())
            found += [row for row in rows[looked:].tolist() if row in self._all]
        return found[:count]

    def _among(self, rows: list[int]) -> list[int]:
        # The limit keeps the rows apart from the conditions: the database would else go through all open items.
        these = select(Item.id).where(Item.project_id == self._project_id, col(Item.row).in_(rows)).limit(len(rows))
        wanted = these.subquery()
        free = set(self._session.exec(self._open_rows.join(wanted, wanted.c.id == Item.id)).all())
        return [row for row in rows if row in free]


def _check(session: Session, project_id: int, class_id: int) -> None:
    chosen = session.get(LabelClass, class_id)
    if chosen is None or chosen.project_id != project_id or chosen.retired or chosen.merged_into is not None:
        raise Invalid("That class is not one to choose in this project; choose another.")


def classes_today(session: Session, beliefs: PoolPredictions) -> NDArray[np.int64]:
    """The class ids (k,) that `PoolPredictions.classes` stand for today, through merges; 0 for one that was retired."""
    today = []
    for class_id in beliefs.class_ids:
        living = live_class(session, class_id)
        today.append(0 if session.get_one(LabelClass, living).retired else living)
    return np.array(today, dtype=np.int64)


def _open_today(session: Session, project: Project, rows: int) -> NDArray[np.bool_]:
    """Whether each of so many rows may still be asked."""
    is_open = np.ones(rows, dtype=bool)
    for condition in are_closed(settings_of(project)):
        closed = select(Item.row).where(Item.project_id == project.id, condition, Item.row < rows)
        is_open[np.array(session.exec(closed).all(), dtype=np.intp)] = False
    return is_open


def _why(name: str, class_id: int, confidence: float) -> dict[str, Any]:
    return {
        "why": f"one of those believed to be “{name}”, {confidence:.0%} sure",
        "suggestion_class_id": class_id,
        "suggestion_confidence": confidence,
        "suggestion_shown": True,
    }


def lease_rows(
    session: Session,
    actor_id: int,
    project: Project,
    version: ModelVersion | None,
    chosen: Mapping[int, dict[str, Any]],
    client: str | None,
    now: float,
) -> list[Claim]:
    """Lease the items in some rows, in their order, in the caller's transaction.

    Parameters
    ----------
    version
        The model version that suggests.
    chosen
        By row, the columns of its assignment that say why it was chosen.
    """
    assert project.id is not None
    found = select(Item).where(Item.project_id == project.id, col(Item.row).in_(chosen))
    items = {item.row: item for item in session.exec(found).all()}
    ranking = live_ranking(session, project.id)
    of_all: dict[str, Any] = {"ranking_id": ranking.id if ranking else None, "model_version_id": None}
    if version is not None:
        version = session.get_one(ModelVersion, version.id)  # held, so that a claim each does not read it anew
        of_all["model_version_id"] = version.id
    expires = now + settings_of(project).lease_seconds
    leased = [
        lease_item(session, actor_id, items[row], client, now, expires, **of_all, **why) for row, why in chosen.items()
    ]
    session.flush()
    return [as_claim(session, assignment) for assignment in leased]
