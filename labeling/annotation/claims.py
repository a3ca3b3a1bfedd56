"""A leased item as the person who holds it sees it."""

from typing import Any

from pydantic import BaseModel
from sqlmodel import Session

from labeling.db.schema import Assignment, Item, ModelVersion, Reason


class ClaimedItem(BaseModel):
    """What a person needs to see of an item."""

    id: int
    external_id: str
    text: str | None
    fields: dict[str, Any] | None


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
    utility: float | None
    suggestion: Suggestion | None
    keywords: list[str] = []  # of a text: words that speak for the suggested class
    model_version: int | None
    ranking: int | None


def as_claim(session: Session, assignment: Assignment) -> Claim:
    """An assignment as the person who holds it sees it."""
    item = session.get_one(Item, assignment.item_id)
    assert assignment.id is not None and item.id is not None
    version = session.get(ModelVersion, assignment.model_version_id) if assignment.model_version_id else None
    suggestion = None
    if assignment.suggestion_shown and assignment.suggestion_class_id is not None:
        confidence = assignment.suggestion_confidence or 0.0
        suggestion = Suggestion(class_id=assignment.suggestion_class_id, confidence=confidence)
    return Claim(
        assignment_id=assignment.id,
        token=assignment.token,
        expires=assignment.expires,
        item=ClaimedItem(id=item.id, external_id=item.external_id, text=item.text, fields=item.fields),
        media_url=f"/api/v1/items/{item.id}/media" if item.media else None,
        reason=assignment.reason,
        why=assignment.why,
        utility=assignment.utility,
        suggestion=suggestion,
        model_version=version.number if version else None,
        ranking=assignment.ranking_id,
    )
