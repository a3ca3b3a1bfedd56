"""Where an expert's decision is saved, and which decisions people are checked by.

A decision is an annotation like any other, only ever added, and undone in the same way (`labeling.annotation.answers`);
it beats all answers to its item. A gold item is one whose decision is the known answer that people are checked by.
"""

import time
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field
from sqlmodel import Session, col, select, update

from labeling import jobs
from labeling.annotation.answers import TAKEN, EventId
from labeling.annotation.consensus import decision_on, live_class, settle
from labeling.db.engine import writing
from labeling.db.schema import (
    Annotation,
    Comment,
    Event,
    Item,
    JobKind,
    LabelClass,
    Origin,
    Role,
    Verdict,
)
from labeling.db.values import Id
from labeling.errors import Invalid, NotFound
from labeling.users import require
from labeling.workspace import Workspace

MAX_NOTE = 2_000  # characters


class Decision(BaseModel):
    """What an expert decides on one item: its class, or that it cannot be told."""

    event_id: EventId
    item_id: Id
    verdict: Literal["label", "unsure"] = "label"
    class_id: Id | None = None
    note: str = Field(default="", max_length=MAX_NOTE)
    gold: bool | None = None  # whether people are to be checked by it; None leaves that as it is
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class Decided(BaseModel):
    """What became of one decision."""

    event_id: str
    item_id: int
    status: Literal["saved", "repeated", "refused"]
    why: str = ""


class _Refused(Exception):
    """A decision that cannot stand, and why; the others that came with it are saved all the same."""


def decide(
    workspace: Workspace, actor_id: int, project_id: int, decisions: Sequence[Decision], *, now: float | None = None
) -> list[Decided]:
    """Save an expert's decisions, each exactly once, in one transaction; returns one outcome each, in order.

    A decision takes the place of an earlier one, whoever made it.

    Raises
    ------
    NotFound, NotAllowed
        If the acting user is no expert of the project.
    """
    outcomes = []
    with writing(workspace.engine) as session:
        now = time.time() if now is None else now
        require(session, actor_id, project_id, Role.EXPERT)
        for decision in decisions:
            given = {"event_id": decision.event_id, "item_id": decision.item_id}
            try:
                outcomes.append(Decided(**given, status=_decide(session, actor_id, project_id, decision, now)))
            except _Refused as refusal:
                outcomes.append(Decided(**given, status="refused", why=str(refusal)))
        if any(outcome.status == "saved" for outcome in outcomes):
            jobs.request(session, project_id, JobKind.TRAIN)
    return outcomes


def make_gold(workspace: Workspace, actor_id: int, project_id: int, item_ids: Sequence[int], gold: bool = True) -> int:
    """Let people be checked by these items, or no more; returns how many were changed.

    Raises
    ------
    Invalid
        If one of them has no class that an expert decided on: there would be nothing to check by.
    NotFound, NotAllowed
        If one is no item of the project, or the acting user is no expert of it.
    """
    with writing(workspace.engine) as session:
        require(session, actor_id, project_id, Role.EXPERT)
        changed = 0
        for item_id in dict.fromkeys(item_ids):
            item = item_of(session, project_id, item_id)
            decision = decision_on(session, item_id)
            if gold and (decision is None or decision.class_id is None):
                raise Invalid(f"“{item.external_id}” has no class that an expert decided on; decide on it first.")
            changed += item.gold != gold
            item.gold = gold
        if changed:
            detail = {"items": list(item_ids), "gold": gold}
            session.add(Event(project_id=project_id, user_id=actor_id, kind="gold items", detail=detail))
            jobs.request(session, project_id, JobKind.WEIGH)
        return changed


def _decide(
    session: Session, actor_id: int, project_id: int, decision: Decision, now: float
) -> Literal["saved", "repeated"]:
    earlier = session.exec(select(Annotation).where(Annotation.id == decision.event_id)).first()
    if earlier is not None:
        if earlier.user_id != actor_id or earlier.origin is not Origin.REVIEW:
            raise _Refused(TAKEN)
        return "repeated"
    item = session.get(Item, decision.item_id)
    if item is None or item.project_id != project_id:
        raise _Refused("This item is none of this project's; look at the queue again.")
    before = decision_on(session, decision.item_id)
    saved = Annotation(
        id=decision.event_id,
        project_id=project_id,
        item_id=decision.item_id,
        user_id=actor_id,
        verdict=Verdict(decision.verdict),
        class_id=_class(session, project_id, decision),
        note=decision.note,
        origin=Origin.REVIEW,
        seconds=decision.seconds,
        supersedes=before.id if before else None,
        created=now,
    )
    session.add(saved)
    session.flush()
    settle(session, decision.item_id)
    if decision.gold is not None and saved.class_id is not None:
        item.gold = decision.gold
    waiting = (col(Comment.item_id) == decision.item_id) & col(Comment.done).is_(None)
    session.exec(update(Comment).where(waiting, col(Comment.returned_to).is_not(None)).values(done=now))
    return "saved"


def _class(session: Session, project_id: int, decision: Decision) -> int | None:
    if decision.verdict != "label":
        return None
    chosen = session.get(LabelClass, decision.class_id) if decision.class_id is not None else None
    if chosen is None or chosen.project_id != project_id:
        raise _Refused("That class is not one of this project's; choose another.")
    assert chosen.id is not None
    if session.get_one(LabelClass, live_class(session, chosen.id)).retired:
        raise _Refused(f"The class “{chosen.name}” was retired; choose another.")
    return chosen.id


def item_of(session: Session, project_id: int, item_id: int) -> Item:
    """An item of a project; raises `NotFound` where it is none."""
    item = session.get(Item, item_id)
    if item is None or item.project_id != project_id:
        raise NotFound(f"There is no item {item_id} in this project.")
    return item
