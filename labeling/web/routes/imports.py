"""Pools in: uploads, previews and import jobs."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from labeling.db.values import Id
from labeling.errors import Invalid
from labeling.intake import import_job, inbox
from labeling.intake.import_job import ImportView
from labeling.intake.importer import Labels
from labeling.intake.inbox import Upload
from labeling.intake.records import Preview, Reading
from labeling.web.routes.acting import Actor
from labeling.workspace import Workspace

COPIED = 1024**2  # bytes at a time

FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            },
        },
    }
}


class Uploaded(BaseModel):
    """A file that has come in."""

    upload: str
    bytes: int


class Origin(BaseModel):
    """What to read, and how: an upload of this project, or a path inside the server's import folder."""

    upload: str | None = None
    path: str | None = None
    name: str = ""  # what people call the upload
    reading: Reading | None = None


class NewImport(Origin):
    """What to import, how, and what known labels become."""

    labels: Labels = "oracle"


def add_routes(api: FastAPI, workspace: Workspace) -> None:
    """Add the routes of this module."""

    def place(actor: int, project_id: int, origin: Origin) -> Path:
        if origin.path is not None:
            return inbox.find_in_folder(workspace, actor, project_id, origin.path)
        return inbox.open_upload(workspace, actor, project_id, origin.upload or "")

    @api.post("/projects/{project_id}/uploads", status_code=201, openapi_extra=FILE_BODY)
    async def upload(actor: Actor, project_id: Id, request: Request, name: str = "") -> Uploaded:
        """Send a file; the answer's `upload` names it in a preview or an import."""
        arriving = await to_thread.run_sync(inbox.begin_upload, workspace, actor, project_id, name)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("application/octet-stream", "multipart/form-data"):
            raise Invalid("Send the file itself: as application/octet-stream, or as multipart/form-data.")
        if kind == "multipart/form-data":
            return await _from_form(request, arriving)
        with arriving:
            async for chunk in request.stream():
                await to_thread.run_sync(arriving.write, chunk)
        return Uploaded(upload=arriving.id, bytes=arriving.bytes)

    @api.post("/projects/{project_id}/imports/preview")
    def preview(actor: Actor, project_id: Id, origin: Origin) -> Preview:
        """The first records as they would come in, and every guess about the file."""
        path = place(actor, project_id, origin)
        return import_job.preview_import(workspace, actor, project_id, path, origin.reading, name=origin.name)

    @api.post("/projects/{project_id}/imports", status_code=202)
    def begin(actor: Actor, project_id: Id, new: NewImport) -> ImportView:
        """Ask for an import of an upload, or of a path inside the server's import folder."""
        path = place(actor, project_id, new)
        made = import_job.request_import(
            workspace, actor, project_id, path, labels=new.labels, reading=new.reading, name=new.name
        )
        return import_job.read_import(workspace, actor, made)

    @api.get("/imports/{job_id}")
    def read(actor: Actor, job_id: Id) -> ImportView:
        """How far an import is, or how it ended."""
        return import_job.read_import(workspace, actor, job_id)

    @api.post("/imports/{job_id}/cancel")
    def cancel(actor: Actor, job_id: Id) -> ImportView:
        """Stop an import; what went in stays."""
        return import_job.cancel_import(workspace, actor, job_id)

    @api.post("/imports/{job_id}/resume")
    def resume(actor: Actor, job_id: Id) -> ImportView:
        """Go on with an import that was stopped or that failed."""
        return import_job.resume_import(workspace, actor, job_id)

    @api.get("/imports/{job_id}/refused", response_class=FileResponse)
    def refused(actor: Actor, job_id: Id) -> FileResponse:
        """All that was refused, as CSV: name, line and why."""
        listed = import_job.refused_file(workspace, actor, job_id)
        return FileResponse(listed, media_type="text/csv; charset=utf-8", filename=f"refused-{job_id}.csv")


async def _from_form(request: Request, arriving: Upload) -> Uploaded:
    """Take the one file of a form, which is no larger than an upload may be."""

    async def capped() -> AsyncGenerator[bytes, None]:
        came = 0
        async for chunk in request.stream():
            came += len(chunk)
            if came > inbox.MAX_UPLOAD + COPIED:
                raise Invalid(inbox.TOO_LARGE)
            yield chunk

    parser = MultiPartParser(request.headers, capped(), max_files=1, max_fields=10)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Invalid(f"The form cannot be read: {error.message.rstrip('.')}.") from error
    try:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if not files:
            raise Invalid("There is no file in the form; send it in a field of its own, with its name.")
        arriving.named(files[0].filename or "")
        with arriving:
            while chunk := await files[0].read(COPIED):
                await to_thread.run_sync(arriving.write, chunk)
    finally:
        await form.close()
    return Uploaded(upload=arriving.id, bytes=arriving.bytes)
