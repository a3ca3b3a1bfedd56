"""Datasets out, as streams."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.responses import Response, StreamingResponse

from labeling.db.values import Id
from labeling.delivery import exports
from labeling.web.routes.acting import Actor
from labeling.workspace import Workspace


def add_routes(api: FastAPI, workspace: Workspace) -> None:
    """Add the routes of this module."""

    @api.get("/projects/{project_id}/export")
    def export(
        actor: Actor,
        project_id: Id,
        format: str = "csv",
        rows: str | None = None,
        split: str = "",
        seed: int = 0,
        unlabeled: str | None = None,
        images: bool = True,
        at: Annotated[str | None, Query(description="the moment that a download is of: its ETag")] = None,
        skip: Annotated[int, Query(ge=0, description="how many bytes of it are there already")] = 0,
    ) -> Response:
        """A project's answers or labels.

        A download that was cut off goes on with `at`, the ETag of its first answer, and `skip`, the bytes that came:
        the same moment gives the same bytes.
        """
        delivery = exports.export_stream(
            workspace, actor, project_id, format, at=at,
            rows=rows, split=split, seed=seed, unlabeled=unlabeled, images=images,
        )  # fmt: skip
        headers = {
            "Content-Disposition": f'attachment; filename="{delivery.filename}"',
            "ETag": f'"{delivery.moment}"',
            "Accept-Ranges": "none",
        }
        chunks = _behind(delivery.chunks, skip) if skip else delivery.chunks
        return StreamingResponse(chunks, media_type=delivery.media_type, headers=headers)


def _behind(chunks: Iterator[bytes], skip: int) -> Iterator[bytes]:
    """What comes behind so many bytes."""
    for chunk in chunks:
        if skip < len(chunk):
            yield chunk[skip:]
        skip = max(0, skip - len(chunk))
