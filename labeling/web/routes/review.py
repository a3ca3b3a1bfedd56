"""What waits for an expert, decisions, threads, gold items, and the guidelines."""

from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from labeling import projects
from labeling.annotation import adjudication, threads
from labeling.annotation.adjudication import Decided, Decision
from labeling.annotation.review import MOST, ReviewItem, ReviewQueue
from labeling.annotation.review_order import Cause
from labeling.annotation.threads import Remark, Said
from labeling.db.values import Id
from labeling.learning import model_view
from labeling.learning.status import Live, read_live
from labeling.web.routes.acting import Actor
from labeling.workspace import Workspace


class ReviewView(ReviewQueue):
    """What waits, and how things stand."""

    live: Live


class Decisions(BaseModel):
    """Decisions to save."""

    decisions: list[Decision] = Field(max_length=1000)


class DecidedView(BaseModel):
    """What became of the decisions, and how things stand."""

    decisions: list[Decided]
    live: Live


class Remarks(BaseModel):
    """Remarks to write into threads."""

    remarks: list[Remark] = Field(max_length=100)


class Thread(BaseModel):
    """Contributions to threads, the oldest first."""

    remarks: list[Said]


class Gold(BaseModel):
    """Which items people are to be checked by, or no more."""

    item_ids: list[Id] = Field(max_length=10_000)
    gold: bool = True


class Guidelines(BaseModel):
    """What people are to be told; where `before` is given, only if that is what they are told now."""

    guidelines: str
    before: str | None = None


class GuidelinesView(BaseModel):
    """What people are told, and the version that open pages follow."""

    guidelines: str
    schema_version: int


def add_routes(api: FastAPI, workspace: Workspace) -> None:
    """Add the routes of this module."""

    @api.get("/projects/{project_id}/review")
    def review(
        actor: Actor,
        project_id: Id,
        cause: Cause | None = None,
        sent_back: bool = False,
        decided: bool = False,
        against: bool = False,
        offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 20,
    ) -> ReviewView:
        """The items that wait for an expert, in the order of what a decision would change, with all that is known."""
        queue = model_view.read_review(
            workspace, actor, project_id,
            cause=cause, sent_back=sent_back, decided=decided, against=against, offset=offset, limit=limit,
        )  # fmt: skip
        return ReviewView(**queue.model_dump(), live=read_live(workspace, actor, project_id))

    @api.get("/projects/{project_id}/items/{item_id}/review")
    def review_item(actor: Actor, project_id: Id, item_id: Id) -> ReviewItem:
        """One item as an expert sees it, whether it waits for one or not."""
        return model_view.read_item(workspace, actor, project_id, item_id)

    @api.post("/projects/{project_id}/decisions")
    def decide(actor: Actor, project_id: Id, given: Decisions) -> DecidedView:
        """Save an expert's decisions, each exactly once; per event: saved, repeated, or refused with why."""
        outcomes = adjudication.decide(workspace, actor, project_id, given.decisions)
        return DecidedView(decisions=outcomes, live=read_live(workspace, actor, project_id))

    @api.post("/projects/{project_id}/remarks")
    def remark(actor: Actor, project_id: Id, given: Remarks) -> Thread:
        """Write into the threads of items, each remark exactly once; experts may send items back with it."""
        return Thread(remarks=threads.remark(workspace, actor, project_id, given.remarks))

    @api.get("/projects/{project_id}/items/{item_id}/thread")
    def thread(actor: Actor, project_id: Id, item_id: Id) -> Thread:
        """The thread of an item that you answered, or are an expert for."""
        return Thread(remarks=threads.read_thread(workspace, actor, project_id, item_id))

    @api.post("/projects/{project_id}/gold")
    def gold(actor: Actor, project_id: Id, chosen: Gold) -> dict[str, int]:
        """Check people by these items, which experts decided on, or no more."""
        changed = adjudication.make_gold(workspace, actor, project_id, chosen.item_ids, chosen.gold)
        return {"changed": changed}

    @api.post("/projects/{project_id}/guidelines")
    def guidelines(actor: Actor, project_id: Id, new: Guidelines) -> GuidelinesView:
        """Change what people are told; open pages show it within seconds. 400 where somebody else did meanwhile."""
        version = projects.update_guidelines(workspace, actor, project_id, new.guidelines, before=new.before)
        return GuidelinesView(guidelines=new.guidelines, schema_version=version)
