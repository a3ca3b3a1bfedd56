"""What a model version believes otherwise than the one before it: which classes lost items to which, and examples."""

from typing import Any

from pydantic import BaseModel
from sqlmodel import Session, col, select

from labeling.classes import classes_of
from labeling.db.engine import reading
from labeling.db.schema import Item, LabelClass, ModelVersion
from labeling.users import require
from labeling.workspace import Workspace

LISTED = 30  # versions to choose from, the newest first


class Move(BaseModel):
    """So many items went from one class to another in the model's belief."""

    before: str
    after: str
    items: int


class Example(BaseModel):
    """An item of which the model now believes something else."""

    item_id: int
    external_id: str
    media_url: str | None
    text: str | None
    fields: dict[str, Any] | None
    before: str
    after: str


class Changes(BaseModel):
    """What one version changed; the moves and examples are the most frequent and the surest."""

    number: int
    labels: int
    created: float
    changed: int
    of: int
    moves: list[Move]
    examples: list[Example]


def versions_with_changes(workspace: Workspace, actor_id: int, project_id: int) -> list[int]:
    """The numbers of the newest versions, the newest first.

    Raises
    ------
    NotFound
        If the user is no member of the project.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        query = select(ModelVersion.number).where(ModelVersion.project_id == project_id)
        return list(session.exec(query.order_by(col(ModelVersion.number).desc()).limit(LISTED)).all())


def read_changes(workspace: Workspace, actor_id: int, project_id: int, number: int) -> Changes | None:
    """What a version changed; None for the first, and for versions that did not keep it.

    Raises
    ------
    NotFound
        If the user is no member of the project.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        query = select(ModelVersion).where(ModelVersion.project_id == project_id, ModelVersion.number == number)
        version = session.exec(query).first()
        if version is None or "changed" not in version.metrics:
            return None
        names = _names(classes_of(session, project_id))
        moves = [
            Move(before=names.get(before, "?"), after=names.get(after, "?"), items=items)
            for before, after, items in version.metrics["moves"]
        ]
        return Changes(
            number=number, labels=version.labels, created=version.created, changed=version.metrics["changed"],
            of=version.metrics["of"], moves=moves, examples=_examples(session, version, names),
        )  # fmt: skip


def _examples(session: Session, version: ModelVersion, names: dict[int, str]) -> list[Example]:
    kept = version.metrics["examples"]
    rows = [example["row"] for example in kept]
    found = select(Item).where(Item.project_id == version.project_id, col(Item.row).in_(rows))
    items = {item.row: item for item in session.exec(found).all()}
    return [
        Example(
            item_id=item.id, external_id=item.external_id,
            media_url=f"/api/v1/items/{item.id}/media" if item.media else None, text=item.text, fields=item.fields,
            before=names.get(example["from"], "?"), after=names.get(example["to"], "?"),
        )
        for example in kept
        if (item := items.get(example["row"])) is not None and item.id is not None
    ]  # fmt: skip


def _names(classes: list[LabelClass]) -> dict[int, str]:
    """The name of every class, merged and retired ones too, by id."""
    return {c.id: c.name for c in classes if c.id is not None}
