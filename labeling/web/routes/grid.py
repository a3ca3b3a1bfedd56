"""Screens of items that the model believes are one class, or that were found, and the undo of a whole one."""

from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from labeling.annotation import answers
from labeling.annotation.answers import BatchUndone
from labeling.db.values import Id
from labeling.learning.find import FoundItem, find_items, find_screen
from labeling.learning.screens import Screen, open_screen
from labeling.learning.status import Live, read_live
from labeling.web.routes.acting import Actor
from labeling.workspace import Workspace


class Leasing(BaseModel):
    """How a screen is leased."""

    count: int = 40
    client: str | None = Field(default=None, max_length=64)
    resume: bool = False
    release: list[Id] = Field(default=[], max_length=1000)
    without: list[Id] = Field(default=[], max_length=10_000)


class ScreenRequest(Leasing):
    """Which screen to lease."""

    class_id: Id | None = None


class FindRequest(Leasing):
    """What to look for: a description, or an item that others are like."""

    text: str | None = None
    item_id: Id | None = None


class ScreenView(Screen):
    """What was leased, and how things stand."""

    live: Live


class BatchUndo(BaseModel):
    """Who withdraws a batch."""

    client: str | None = Field(default=None, max_length=64)


class BatchUndoneView(BatchUndone):
    """What became of the undo of a batch, and how things stand."""

    live: Live


def add_routes(api: FastAPI, workspace: Workspace) -> None:
    """Add the routes of this module."""

    @api.post("/projects/{project_id}/screens")
    def lease_screen(actor: Actor, project_id: Id, asked: ScreenRequest) -> ScreenView:
        """Lease a screen of items that the live model believes are one class, most doubtful first."""
        screen = open_screen(workspace, actor, project_id, **asked.model_dump())
        return ScreenView(**screen.model_dump(), live=read_live(workspace, actor, project_id))

    @api.post("/projects/{project_id}/find")
    def find_and_lease(actor: Actor, project_id: Id, asked: FindRequest) -> ScreenView:
        """Lease a screen of the open items that are nearest to a text or to an item, nearest first."""
        screen = find_screen(workspace, actor, project_id, **asked.model_dump())
        return ScreenView(**screen.model_dump(), live=read_live(workspace, actor, project_id))

    @api.get("/projects/{project_id}/find")
    def find(
        actor: Actor,
        project_id: Id,
        text: str | None = None,
        item_id: Annotated[Id | None, Query()] = None,
        count: int = 40,
    ) -> dict[str, list[FoundItem]]:
        """The items that are nearest to a text or to an item, labeled ones too, nearest first."""
        return {"items": find_items(workspace, actor, project_id, text=text, item_id=item_id, count=count)}

    @api.post("/annotations/batches/{batch}/undo")
    def undo_batch(actor: Actor, batch: str, how: BatchUndo | None = None) -> BatchUndoneView:
        """Withdraw all answers of a batch in one step and lease its items again."""
        undone = answers.undo_batch(workspace, actor, batch, client=how.client if how else None)
        return BatchUndoneView(**undone.model_dump(), live=read_live(workspace, actor, undone.project_id))
