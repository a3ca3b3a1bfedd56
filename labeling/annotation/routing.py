"""What comes before the ranking, and beside it: items that were sent back, gold items that nobody can tell from others,
and for which items a suggestion is hidden.
"""

import hashlib
import random
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, exists, select

from labeling.annotation.consensus import standing
from labeling.db.schema import Annotation, Assignment, Comment, Item, Lease, Project, QueueEntry, Ranking, Reason
from labeling.projects import Settings

Picked = tuple[Item, dict[str, Any]]  # an item to lease, and the columns of the assignment that say why

RANDOM = random.SystemRandom()
_DRAWS = 2**32


def as_ranked(entry: QueueEntry, ranking: Ranking) -> dict[str, Any]:
    """What an assignment keeps of a place of the ranking."""
    return {
        "why": entry.why,
        "utility": entry.utility,
        "ranking_id": ranking.id,
        "model_version_id": ranking.model_version_id,
        "suggestion_class_id": entry.suggestion_class_id,
        "suggestion_confidence": entry.suggestion_confidence,
    }


def sent_back(session: Session, actor_id: int, project: Project, now: float, count: int) -> list[Picked]:
    """Items that an expert sent back to this person, who has not answered anew; the oldest first."""
    query = (
        select(Item, Comment.text)
        .join(Comment, col(Comment.item_id) == Item.id)
        .where(
            Comment.project_id == project.id,
            Comment.returned_to == actor_id,
            col(Comment.done).is_(None),
            ~holds(actor_id, now),
        )
        .order_by(col(Comment.id))
        .limit(count)
    )
    found = {
        item.id: (item, {"reason": Reason.REVIEW, "why": f"sent back by an expert: {text}"})
        for item, text in session.exec(query).all()
    }
    return list(found.values())


def gold_slots(settings: Settings, count: int) -> int:
    """How many of `count` items are gold this time: each is with the project's share as its probability."""
    return sum(RANDOM.random() < settings.gold_share for _ in range(count))


def unseen_gold(session: Session, actor_id: int, project: Project, now: float, count: int) -> list[Picked]:
    """Gold items that this person has never answered, in an order of their own for each person.

    They look like any other item: with the reason, the utility and the suggestion that the ranking has for them.
    """
    if count < 1:
        return []
    items = session.exec(select(Item).where(*is_unseen_gold(actor_id, project, now))).all()
    if not items:
        return []
    newest = select(Ranking).where(Ranking.project_id == project.id).order_by(col(Ranking.id).desc()).limit(1)
    ranking = session.exec(newest).first()
    entries: dict[int, QueueEntry] = {}
    if ranking is not None:
        gold = select(QueueEntry).where(QueueEntry.ranking_id == ranking.id, QueueEntry.reason == Reason.GOLD)
        entries = {entry.item_id: entry for entry in session.exec(gold).all()}
    # Of many gold items a ranking holds some; another would come without a suggestion, and be known by that.
    chosen = sorted(items, key=lambda item: (item.id not in entries, draw("gold", actor_id, item)))[:count]
    picked: list[Picked] = []
    for item in chosen:
        entry = entries.get(item.id or 0)
        how = as_ranked(entry, ranking) if entry is not None and ranking is not None else {"why": "not ranked yet"}
        picked.append((item, {**how, "reason": Reason.GOLD}))
    return picked


def is_unseen_gold(actor_id: int, project: Project, now: float) -> list[ColumnElement[bool]]:
    """The conditions under which an `Item` is a gold one that this person has neither answered nor holds."""
    answered = exists().where(col(Annotation.item_id) == Item.id, col(Annotation.user_id) == actor_id, standing())
    return [col(Item.project_id) == project.id, col(Item.gold) & ~answered, ~holds(actor_id, now)]


def hides_suggestion(settings: Settings, actor_id: int, item: Item) -> bool:
    """Whether this person is asked this item without the model's guess: as the project is set, or by a draw that comes
    out the same whenever it is asked again.
    """
    return settings.suggestions == "hide" or draw("suggestion", actor_id, item) < settings.hidden_share


def draw(what: str, actor_id: int, item: Item) -> float:
    """A number from 0 to 1 that is as good as random, and the same for one person and one item."""
    seed = f"{what} {actor_id} {item.id} {item.content_hash}".encode()
    return int.from_bytes(hashlib.sha256(seed).digest()[:4], "big") / _DRAWS


def holds(actor_id: int, now: float) -> ColumnElement[bool]:
    """The condition that this person holds a running lease on an `Item`."""
    return exists().where(
        col(Assignment.item_id) == Item.id,
        col(Assignment.user_id) == actor_id,
        col(Assignment.state) == Lease.LEASED,
        col(Assignment.expires) > now,
    )
