"""The REST interface, `/api/v1`: a thin layer that names the acting user and calls the modules that do the work."""

import threading
import time
from collections import defaultdict
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field

import labeling
from labeling import projects
from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer, EventId, Outcome, Undone
from labeling.annotation.claims import Claim
from labeling.annotation.queue import Queued
from labeling.db.values import Id
from labeling.delivery.media import media_file
from labeling.errors import AskwiseError, Invalid, NotAllowed, NotFound
from labeling.learning.status import Live, read_live, worker_heard
from labeling.web.routes import accounts, classes, exports, grid, history, imports, insights, review, tuning
from labeling.web.routes.acting import Actor
from labeling.workspace import Workspace

FRESH = 0.3
COUNTED = 50
STATUS = {NotFound: 404, NotAllowed: 403, Invalid: 422}


class NewProject(BaseModel):
    """A project to create."""

    name: str
    classes: list[str] = []
    guidelines: str = ""
    settings: dict[str, Any] = {}


class ProjectView(projects.ProjectDetail):
    """A project in full, and how things stand in it."""

    remaining: int  # items that could be leased to the acting user now
    model_version: int | None
    ranking_age: float | None  # seconds
    live: Live


class ClaimRequest(BaseModel):
    """What to lease."""

    count: int = 1
    client: str | None = Field(default=None, max_length=64)
    resume: bool = False
    release: list[Id] = Field(default=[], max_length=1000)


class Claims(BaseModel):
    """What was leased, and how things stand."""

    claims: list[Claim]
    live: Live
    remaining: int  # that could be leased beyond these: counted up to COUNTED


class Answers(BaseModel):
    """Answers to save."""

    annotations: list[Answer] = Field(max_length=1000)


class Saved(BaseModel):
    """What became of the answers, and how things stand in the last one's project."""

    annotations: list[Outcome]
    live: Live | None


class UndoneView(Undone):
    """What became of an undo, and how things stand."""

    live: Live


class UndoRequest(BaseModel):
    """How to withdraw an answer."""

    event_id: EventId | None = None
    client: str | None = Field(default=None, max_length=64)


class Leases(BaseModel):
    """Which leases; all of one's own when renewing without naming any."""

    assignment_ids: list[Id] | None = Field(default=None, max_length=1000)


def create_api(workspace: Workspace) -> FastAPI:
    """The API over one workspace. `labeling.web.auth` has named the acting user before a request comes here."""
    api = FastAPI(
        title="Askwise", version=labeling.__version__, openapi_url="/openapi.json", docs_url=None, redoc_url=None
    )

    recent: dict[int, tuple[float, Live]] = {}
    turns: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)

    def live_of(actor: int, project_id: int) -> Live:
        """How things stand, FRESH seconds old at most and read by one at a time: every answer asks for it."""
        read, live = recent.get(project_id, (-FRESH, None))
        if live is not None and (time.monotonic() - read < FRESH or not turns[project_id].acquire(blocking=False)):
            return live
        try:
            now = read_live(workspace, actor, project_id)
            recent[project_id] = (time.monotonic(), now)
            return now
        finally:
            if live is not None:
                turns[project_id].release()

    @api.exception_handler(AskwiseError)
    def in_one_sentence(_request: Request, error: AskwiseError) -> Response:
        return JSONResponse({"detail": str(error)}, STATUS.get(type(error), 400))

    @api.exception_handler(RequestValidationError)
    def name_the_field(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "the body"
        return JSONResponse({"detail": f"{where} cannot be taken: {first['msg']}."}, 422)

    @api.get("/health")
    def health() -> dict[str, Any]:
        """The database, the worker's heartbeat (seconds ago), the version."""
        heard = worker_heard(workspace)
        return {"status": "ok", "database": "ok", "worker_heartbeat": heard, "version": labeling.__version__}

    @api.get("/projects")
    def list_projects(actor: Actor) -> dict[str, list[projects.ProjectSummary]]:
        """Your projects: items, labels and classes of each."""
        return {"projects": projects.list_projects(workspace, actor)}

    @api.post("/projects", status_code=201)
    def create_project(actor: Actor, new: NewProject) -> ProjectView:
        """Make a project that you own."""
        made = projects.create_project(
            workspace, actor, new.name, new.classes, guidelines=new.guidelines, settings=new.settings
        )
        return read_project(actor, made)

    @api.get("/projects/{project_id}")
    def read_project(actor: Actor, project_id: Id) -> ProjectView:
        """One project: classes, settings, counts, the live model version and the age of its ranking."""
        detail = projects.read_project(workspace, actor, project_id)
        live = read_live(workspace, actor, project_id)
        return ProjectView(
            **detail.model_dump(),
            remaining=queue.count_remaining(workspace, actor, project_id),
            model_version=live.model_version,
            live=live,
            ranking_age=None if live.ranked is None else time.time() - live.ranked,
        )

    @api.post("/projects/{project_id}/claims")
    def claim(actor: Actor, project_id: Id, asked: ClaimRequest) -> Claims:
        """Lease up to `count` items, the most useful first; `release` gives others back in the same step."""
        leased = queue.claim(
            workspace, actor, project_id, asked.count, client=asked.client, resume=asked.resume, release=asked.release
        )
        left = queue.count_remaining(workspace, actor, project_id, at_most=COUNTED)
        return Claims(claims=leased, live=live_of(actor, project_id), remaining=left)

    @api.post("/projects/{project_id}/leases/renew")
    def renew(actor: Actor, project_id: Id, leases: Leases | None = None) -> dict[str, Any]:
        """Keep what is leased, and hear how things stand."""
        asked = leases.assignment_ids if leases is not None else None
        renewed, expires = queue.renew(workspace, actor, project_id, asked)
        live = live_of(actor, project_id)
        return {"renewed": renewed, "lost": sorted({*(asked or [])} - {*renewed}), "expires": expires, "live": live}

    @api.post("/projects/{project_id}/leases/release")
    def release(actor: Actor, project_id: Id, leases: Leases) -> dict[str, int]:
        """Give leases back unanswered."""
        return {"released": queue.release(workspace, actor, project_id, leases.assignment_ids or [])}

    @api.post("/annotations")
    def submit(actor: Actor, given: Answers) -> Saved:
        """Save answers, each exactly once; per event: saved, repeated, or refused with why."""
        outcomes = answers.submit(workspace, actor, given.annotations)
        project_id = next((o.project_id for o in reversed(outcomes) if o.project_id is not None), None)
        return Saved(annotations=outcomes, live=None if project_id is None else live_of(actor, project_id))

    @api.post("/annotations/{event_id}/undo")
    def undo(actor: Actor, event_id: str, how: UndoRequest | None = None) -> UndoneView:
        """Withdraw one of your answers and lease its item again."""
        how = how or UndoRequest()
        undone = answers.undo(workspace, actor, event_id, undo_id=how.event_id, client=how.client)
        return UndoneView(**undone.model_dump(), live=live_of(actor, undone.project_id))

    @api.get("/projects/{project_id}/queue")
    def upcoming(
        actor: Actor, project_id: Id, limit: Annotated[int, Query(ge=1, le=2000)] = 20
    ) -> dict[str, list[Queued]]:
        """The head of the live ranking, as far as it is open."""
        return {"queue": queue.upcoming(workspace, actor, project_id, limit)}

    @api.get("/items/{item_id}/media")
    def media(actor: Actor, item_id: Id, size: Annotated[int | None, Query(ge=16, le=4096)] = None) -> Response:
        """An item's image as it was encoded anew, or a copy of about `size` pixels."""
        found = media_file(workspace, actor, item_id, size)
        # The address names the item, whose content never changes.
        headers = {
            "Cache-Control": "private, max-age=31536000, immutable",
            "Content-Security-Policy": "default-src 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        }
        return FileResponse(found.path, media_type=found.type, headers=headers)

    for module in (accounts, imports, classes, grid, insights, exports, tuning, review, history):
        module.add_routes(api, workspace)
    return api
