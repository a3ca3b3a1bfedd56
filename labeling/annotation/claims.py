"""A leased item as the person who holds it sees it."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, PrivateAttr
from sqlmodel import Session, col, select

from labeling.annotation.keywords import load_keywords
from labeling.db.schema import Assignment, Item, ModelVersion, Project, Reason
from labeling.projects import settings_of
from labeling.users import sees_everyone
from labeling.workspace import Workspace


class ClaimedItem(BaseModel):
    """What a person needs to see of an item."""

    id: int
    external_id: str
    text: str | None
    fields: dict[str, Any] | None  # of a row, those that matter first
    shown_first: int | None = None  # how many of the fields are shown at once; the others are folded


class Suggestion(BaseModel):
    """The live model's guess."""

    class_id: int
    confidence: float


class Claim(BaseModel):
    """One leased item, and why it was chosen."""

    assignment_id: int
    token: str
    expires: float
    item: ClaimedItem
    media_url: str | None
    reason: Reason
    why: str
    utility: float | None  # None where gold items could be told by it
    suggestion: Suggestion | None
    keywords: list[str] = []  # of a text: words that speak for the suggested class
    model_version: int | None
    ranking: int | None
    _head: str | None = PrivateAttr(None)  # path of the head that the suggestion comes from


def as_claim(session: Session, assignment: Assignment) -> Claim:
    """An assignment as the person who holds it sees it."""
    item = session.get_one(Item, assignment.item_id)
    assert assignment.id is not None and item.id is not None
    version = session.get(ModelVersion, assignment.model_version_id) if assignment.model_version_id else None
    suggestion = None
    if assignment.suggestion_shown and assignment.suggestion_class_id is not None:
        confidence = assignment.suggestion_confidence or 0.0
        suggestion = Suggestion(class_id=assignment.suggestion_class_id, confidence=confidence)
    claim = Claim(
        assignment_id=assignment.id,
        token=assignment.token,
        expires=assignment.expires,
        item=ClaimedItem(id=item.id, external_id=item.external_id, text=item.text, fields=item.fields),
        media_url=f"/api/v1/items/{item.id}/media" if item.media else None,
        reason=Reason.STRATEGY if assignment.reason is Reason.GOLD else assignment.reason,  # nobody is to know
        why=_why(assignment),
        utility=None if must_not_tell_gold(session, assignment.user_id, item.project_id) else assignment.utility,
        suggestion=suggestion,
        model_version=version.number if version else None,
        ranking=assignment.ranking_id,
    )
    claim._head = version.path if version else None
    if item.fields:
        _show_first(claim.item, settings_of(session.get_one(Project, item.project_id)).columns)
    return claim


def must_not_tell_gold(session: Session, actor_id: int, project_id: int) -> bool:
    """Whether nothing may be shown by which gold items could be told: where there are any, to whoever only answers."""
    gold = select(Item.id).where(Item.project_id == project_id, col(Item.gold)).limit(1)
    return session.exec(gold).first() is not None and not sees_everyone(session, actor_id, project_id)


def _why(assignment: Assignment) -> str:
    """Why the item was chosen. Where the suggestion is hidden, so is what the model is torn between."""
    if assignment.suggestion_shown or assignment.suggestion_class_id is None or assignment.ranking_id is None:
        return assignment.why
    return "another opinion" if assignment.reason is Reason.OVERLAP else "one of those that teach the model most"


def with_keywords(workspace: Workspace, claims: Sequence[Claim]) -> list[Claim]:
    """The claims, with what the model reads from: words that speak for the suggestion that is shown, and the columns
    that weigh most where the project names none.

    Better called when the transaction of `as_claim` is over: it may read a file.
    """
    for claim in claims:
        if claim._head is None or (claim.item.text is None and claim.item.fields is None):
            continue
        known = load_keywords(workspace.head(claim._head))
        if claim.item.text is not None and claim.suggestion is not None:
            claim.keywords = known.found_in(claim.item.text, claim.suggestion.class_id)
        if claim.item.fields and claim.item.shown_first is None:
            _show_first(claim.item, known.leading_in(claim.item.fields))
    return list(claims)


def _show_first(item: ClaimedItem, columns: Sequence[str]) -> None:
    """Put these columns first, as far as the row has them."""
    assert item.fields is not None
    leading = {column: item.fields[column] for column in columns if column in item.fields}
    if leading:
        item.fields = {**leading, **item.fields}
        item.shown_first = len(leading)
