"""What a project's people look at, as data."""

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from pydantic import TypeAdapter, ValidationError

from labeling import projects
from labeling.db.values import Id
from labeling.errors import Invalid
from labeling.learning import agreement_figures, behind, insights, people_records
from labeling.web.routes.acting import Actor
from labeling.workspace import Workspace

_WHICH: TypeAdapter[Any] = TypeAdapter(behind.Which)


def add_routes(api: FastAPI, workspace: Workspace) -> None:
    """Add the routes of this module."""

    @api.get("/projects/{project_id}/insights")
    def read(actor: Actor, project_id: Id) -> insights.Insights:
        """How labeling and learning went so far."""
        return insights.read_insights(workspace, actor, project_id)

    @api.get("/projects/{project_id}/agreement")
    def agreement(actor: Actor, project_id: Id) -> agreement_figures.Agreement:
        """How far people agree: alpha in all, by class and over time, kappa of pairs, and what is confused."""
        return agreement_figures.read_agreement(workspace, actor, project_id)

    @api.get("/projects/{project_id}/people")
    def people(actor: Actor, project_id: Id) -> people_records.Records:
        """How well each person answers, by what evidence, and how far suggestions pull them along."""
        return people_records.read_records(workspace, actor, project_id)

    @api.get("/projects/{project_id}/insights/items")
    def items(
        actor: Actor,
        project_id: Id,
        request: Request,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=behind.MOST)] = 24,
    ) -> behind.Behind:
        """The items behind a figure: `kind` and what it takes, as in `?kind=confused&suggested=3&answered=8`."""
        given = {name: value for name, value in request.query_params.items() if name not in ("offset", "limit")}
        projects.read_project(workspace, actor, project_id)  # a stranger learns nothing from what is wrong with a query
        try:
            which = _WHICH.validate_python(given)
        except ValidationError as error:
            first = error.errors()[0]
            raise Invalid(f"“{'.'.join(map(str, first['loc'])) or 'kind'}” cannot be taken: {first['msg']}.") from None
        return behind.items_behind(workspace, actor, project_id, which, offset, limit)
