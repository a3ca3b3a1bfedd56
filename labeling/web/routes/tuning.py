"""Tuning of a project's encoder: begun, stopped, and how it stands."""

from fastapi import FastAPI

from labeling.db.values import Id
from labeling.learning import tuning_job
from labeling.learning.tuning_job import Standing
from labeling.web.routes.acting import Actor
from labeling.workspace import Workspace


def add_routes(api: FastAPI, workspace: Workspace) -> None:
    """Add the routes of this module."""

    @api.get("/projects/{project_id}/tuning")
    def read(actor: Actor, project_id: Id) -> Standing:
        """Whether CLIP can be tuned on the labels, how far that is, and how the last tuning ended."""
        return tuning_job.read_standing(workspace, actor, project_id)

    @api.post("/projects/{project_id}/tuning", status_code=202)
    def begin(actor: Actor, project_id: Id) -> Standing:
        """Tune CLIP on the labels; it goes live only where it is better on answers that it has not seen."""
        tuning_job.request(workspace, actor, project_id)
        return tuning_job.read_standing(workspace, actor, project_id)

    @api.post("/projects/{project_id}/tuning/stop")
    def stop(actor: Actor, project_id: Id) -> Standing:
        """Stop it, and leave everything as it was."""
        tuning_job.cancel(workspace, actor, project_id)
        return tuning_job.read_standing(workspace, actor, project_id)
