"""What happened in a project, and what was ever said of an item."""

from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import BaseModel

from labeling import audit_log
from labeling.annotation.item_history import GivenOnce, read_item_history
from labeling.db.values import Id
from labeling.web.routes.acting import Actor
from labeling.workspace import Workspace


class ItemHistory(BaseModel):
    """The annotations of an item in the order in which they were saved."""

    annotations: list[GivenOnce]


def add_routes(api: FastAPI, workspace: Workspace) -> None:
    """Add the routes of this module."""

    @api.get("/projects/{project_id}/history")
    def history(
        actor: Actor,
        project_id: Id,
        before: Id | None = None,
        limit: Annotated[int, Query(ge=1, le=audit_log.MOST)] = 50,
    ) -> audit_log.Log:
        """Who did what, when, the newest first, for owners; `before`: the `earlier` of the page before."""
        return audit_log.read_events(workspace, actor, project_id, before=before, limit=limit)

    @api.get("/projects/{project_id}/items/{item_id}/history")
    def item_history(actor: Actor, project_id: Id, item_id: Id) -> ItemHistory:
        """Every answer and decision that the item was ever given, for experts: superseded and undone ones too."""
        return ItemHistory(annotations=read_item_history(workspace, actor, project_id, item_id))
