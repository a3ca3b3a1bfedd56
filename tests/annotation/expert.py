"""An expert of a small project, and what they do."""

from typing import Any

from labeling.annotation.adjudication import Decided, Decision, decide
from labeling.db.engine import writing
from labeling.db.schema import Membership, Role
from tests.db.small_project import SmallProject, new_event


def give_role(small: SmallProject, user_id: int, role: Role) -> None:
    """Change a person's role in the project."""
    with writing(small.workspace.engine) as session:
        session.get_one(Membership, (small.id, user_id)).role = role


def set_aside(small: SmallProject, user_id: int, since: float | None = 1.0) -> None:
    """Let a person's answers count for nothing, without deriving labels anew."""
    with writing(small.workspace.engine) as session:
        session.get_one(Membership, (small.id, user_id)).set_aside = since


def decided(small: SmallProject, item_id: int, class_id: int | None = None, **more: Any) -> Decided:
    """The owner decides on an item: its class, or without one that it cannot be told."""
    verdict = "unsure" if class_id is None else "label"
    decision = Decision(**{"event_id": new_event(), "verdict": verdict, **more}, item_id=item_id, class_id=class_id)
    (outcome,) = decide(small.workspace, more.pop("actor_id", small.owner), small.id, [decision])
    return outcome
