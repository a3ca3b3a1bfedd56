"""Datasets out, as streams."""

from fastapi import FastAPI
from fastapi.responses import Response, StreamingResponse

from labeling.db.values import Id
from labeling.delivery import exports
from labeling.web.routes.acting import Actor
from labeling.workspace import Workspace


def add_routes(api: FastAPI, workspace: Workspace) -> None:
    """Add the routes of this module."""

    @api.get("/projects/{project_id}/export")
    def export(actor: Actor, project_id: Id, format: str = "csv") -> Response:
        delivery = exports.export_stream(workspace, actor, project_id, format)
        disposition = {"Content-Disposition": f'attachment; filename="{delivery.filename}"'}
        return StreamingResponse(delivery.chunks, media_type=delivery.media_type, headers=disposition)
