"""Where an expert's decision is saved, and which decisions people are checked by.

A decision is an annotation like any other, only ever added, and undone in the same way (`labeling.annotation.answers`);
it beats all answers to its item. A gold item is one whose decision is the known answer that people are checked by.
"""

import time
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, Field
from sqlmodel import Session, col, select, update

from labeling import jobs
from labeling.annotation.answers import TAKEN, EventId
from labeling.annotation.consensus import decisions_on, live_class, settle
from labeling.annotation.threads import names_in_review
from labeling.db.engine import writing
from labeling.db.schema import (
    Annotation,
    Comment,
    Event,
    Item,
    JobKind,
    Label,
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
TOGETHER = 100  # decisions of one transaction: people's answers wait until it ends
PAUSE = 0.11  # seconds between two of them: SQLite sleeps up to 0.1 before it tries again for a lock
LOOKED_UP = 1000  # items that one query names


class Decision(BaseModel):
    """What an expert decides on one item: its class, or that it cannot be told.

    Attributes
    ----------
    gold : bool or None
        Whether people are to be checked by it; None leaves that as it is.
    seen : str or None
        The event id of the decision that stood when the expert looked, None where none did. Where it is given, a
        decision that somebody else made meanwhile is not overwritten; where it is left out, whatever stands is.
    """

    event_id: EventId
    item_id: Id
    verdict: Literal["label", "unsure"] = "label"
    class_id: Id | None = None
    note: str = Field(default="", max_length=MAX_NOTE)
    gold: bool | None = None
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    seen: EventId | None = None


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
    """Save an expert's decisions, each exactly once; returns one outcome each, in order.

    A decision takes the place of an earlier one, whoever made it, unless it says otherwise (`Decision.seen`). Many are
    saved in several transactions, so that nobody's answer waits for all of them.

    Raises
    ------
    NotFound, NotAllowed
        If the acting user is no expert of the project.
    """
    outcomes: list[Decided] = []
    for start in range(0, len(decisions) or 1, TOGETHER):
        if start:
            time.sleep(PAUSE)
        some = decisions[start : start + TOGETHER]
        with writing(workspace.engine) as session:
            require(session, actor_id, project_id, Role.EXPERT)
            turn = _Turn(session, actor_id, project_id, some, time.time() if now is None else now)
            outcomes += [turn.outcome(decision) for decision in some]
            turn.settle()
    return outcomes


def make_gold(workspace: Workspace, actor_id: int, project_id: int, item_ids: Sequence[int], gold: bool = True) -> int:
    """Let people be checked by these items, or no more; returns how many were changed.

    All or none.

    Raises
    ------
    Invalid
        If one of them has no class that an expert decided on: there would be nothing to check by.
    NotFound, NotAllowed
        If one is no item of the project, or the acting user is no expert of it.
    """
    wanted = list(dict.fromkeys(item_ids))
    with writing(workspace.engine) as session:
        require(session, actor_id, project_id, Role.EXPERT)
        changed = 0
        for start in range(0, len(wanted), LOOKED_UP):
            some = wanted[start : start + LOOKED_UP]
            _check_gold(session, project_id, some, gold)
            other = col(Item.id).in_(some) & (col(Item.gold) != gold)
            changed += session.exec(
                update(Item).where(other).values(gold=gold).execution_options(synchronize_session=False)
            ).rowcount
        if changed:
            detail = {"items": list(item_ids), "gold": gold}
            session.add(Event(project_id=project_id, user_id=actor_id, kind="gold items", detail=detail))
            jobs.request(session, project_id, JobKind.WEIGH)
        return changed


def _check_gold(session: Session, project_id: int, item_ids: Collection[int], gold: bool) -> None:
    """Say what to do where one of these cannot be gold."""
    named = select(Item.id, Item.external_id).where(Item.project_id == project_id, col(Item.id).in_(item_ids))
    names = dict(session.exec(named).all())
    decided = {item_id for item_id, made in decisions_on(session, item_ids).items() if made.class_id is not None}
    for item_id in item_ids:
        if item_id not in names:
            raise NotFound(f"There is no item {item_id} in this project.")
        if gold and item_id not in decided:
            raise Invalid(f"“{names[item_id]}” has no class that an expert decided on; decide on it first.")


class _Turn:
    """The decisions of one transaction, and what they are checked against, read at once.

    A session forgets, and reads anew one by one, what nobody holds.
    """

    def __init__(
        self, session: Session, actor_id: int, project_id: int, decisions: Sequence[Decision], now: float
    ) -> None:
        self.session, self.actor_id, self.project_id, self.now = session, actor_id, project_id, now
        ids = {decision.item_id for decision in decisions}
        events = select(Annotation).where(col(Annotation.id).in_({decision.event_id for decision in decisions}))
        self.saved = {earlier.id: earlier for earlier in session.exec(events).all()}
        items = select(Item).where(Item.project_id == project_id, col(Item.id).in_(ids))
        self.items = {item.id: item for item in session.exec(items).all()}
        self.labels = session.exec(select(Label).where(col(Label.item_id).in_(ids))).all()
        self.stand = decisions_on(session, ids, stale=True)
        chosen = {decision.class_id for decision in decisions} | {made.class_id for made in self.stand.values()}
        classes = session.exec(select(LabelClass).where(col(LabelClass.id).in_(chosen - {None}))).all()
        self.classes = {each.id: each for each in classes}
        self.decided: set[int] = set()  # items that are decided on in this turn

    @cached_property
    def names(self) -> dict[int, str]:
        """The names of people, as the acting user may know them."""
        return names_in_review(self.session, self.actor_id, self.project_id)

    def outcome(self, decision: Decision) -> Decided:
        """Save a decision, if it can stand."""
        given = {"event_id": decision.event_id, "item_id": decision.item_id}
        try:
            return Decided(**given, status=self._save(decision))
        except _Refused as refusal:
            return Decided(**given, status="refused", why=str(refusal))

    def _save(self, decision: Decision) -> Literal["saved", "repeated"]:
        item = self.items.get(decision.item_id)
        earlier = self.saved.get(decision.event_id)
        if earlier is not None:
            if earlier.user_id != self.actor_id or earlier.origin is not Origin.REVIEW:
                raise _Refused(TAKEN)
            return "repeated"
        if item is None:
            raise _Refused("This item is none of this project's; look at the queue again.")
        before = self.stand.get(decision.item_id)
        if before is not None and "seen" in decision.model_fields_set:
            self._check_seen(decision, before)
        made = Annotation(
            id=decision.event_id,
            project_id=self.project_id,
            item_id=decision.item_id,
            user_id=self.actor_id,
            verdict=Verdict(decision.verdict),
            class_id=self._class(decision),
            note=decision.note,
            origin=Origin.REVIEW,
            seconds=decision.seconds,
            supersedes=before.id if before else None,
            created=self.now,
        )
        self.session.add(made)
        self.saved[made.id] = self.stand[made.item_id] = made
        self.decided.add(made.item_id)
        gold = made.class_id is not None and (item.gold if decision.gold is None else decision.gold)
        if before is not None and item.gold != gold:  # kept for the undo: `answers` gives the flag back
            detail = {"items": [item.id], "gold": gold, "decision": made.id}
            self.session.add(Event(project_id=self.project_id, user_id=self.actor_id, kind="gold items", detail=detail))
        item.gold = gold
        return "saved"

    def settle(self) -> None:
        """Let everything follow from what was decided."""
        if not self.decided:
            return
        self.session.flush()
        for item_id in self.decided:
            settle(self.session, item_id)
        waiting = col(Comment.item_id).in_(self.decided) & col(Comment.done).is_(None)
        self.session.exec(update(Comment).where(waiting, col(Comment.returned_to).is_not(None)).values(done=self.now))
        jobs.request(self.session, self.project_id, JobKind.TRAIN)

    def _check_seen(self, decision: Decision, stands: Annotation) -> None:
        """Refuse to overwrite what somebody else decided since the expert looked.

        One that was given again because its change was undone is the one that was seen, whatever its id is now; one
        whose class was split since counts for nothing.
        """
        chosen = self.classes.get(stands.class_id)
        if decision.seen == stands.id or stands.user_id == self.actor_id or (chosen is not None and chosen.split):
            return
        seen = self.session.exec(select(Annotation).where(Annotation.id == decision.seen)).first()
        if seen is not None and _says(seen) == _says(stands):
            return
        says = "that it cannot be told"
        if stands.class_id is not None:
            says = f"“{self.session.get_one(LabelClass, live_class(self.session, stands.class_id)).name}”"
        raise _Refused(f"{self.names[stands.user_id]} decided on this item meanwhile: {says}. Look at it again.")

    def _class(self, decision: Decision) -> int | None:
        if decision.verdict != "label":
            return None
        chosen = self.classes.get(decision.class_id)
        if chosen is None or chosen.project_id != self.project_id:
            raise _Refused("That class is not one of this project's; choose another.")
        assert chosen.id is not None
        if self.session.get_one(LabelClass, live_class(self.session, chosen.id)).retired:
            raise _Refused(f"The class “{chosen.name}” was retired; choose another.")
        return chosen.id


def _says(decision: Annotation) -> tuple[object, ...]:
    return decision.item_id, decision.user_id, decision.verdict, decision.class_id, decision.note


def item_of(session: Session, project_id: int, item_id: int) -> Item:
    """An item of a project; raises `NotFound` where it is none."""
    item = session.get(Item, item_id)
    if item is None or item.project_id != project_id:
        raise NotFound(f"There is no item {item_id} in this project.")
    return item
