"""A comparison of strategies on a project as a job: asked for on the page, done by a worker, kept with the job."""

from collections.abc import Callable
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, Field
from sqlmodel import col, select

from labeling import jobs
from labeling.db.engine import reading, writing
from labeling.db.schema import Job, JobKind, JobState, Role
from labeling.errors import Invalid
from labeling.learning import labeled_sets
from labeling.learning.labeled_sets import Oracle
from labeling.learning.simulation import compare_strategies, default_test_size
from labeling.users import require
from labeling.workspace import Workspace
from strategies import available_strategies

PLACES = 6  # of an accuracy that is kept: more than any test set can tell


class Plan(BaseModel):
    """What is to be compared, and how."""

    strategies: list[str] = Field(min_length=1)
    budget: int = Field(default=200, ge=1)
    batch_size: int = Field(default=10, ge=1)
    seeds: int = Field(default=10, ge=1, le=1000)
    head: Literal["default", "logistic"] = "default"
    oracle: Oracle = "labels"


class Result(BaseModel):
    """A comparison that has ended: what was asked for, on what, and the curves."""

    plan: Plan
    finished: float
    about: str
    test_size: int
    table: dict[str, list[Any]]

    @property
    def curves(self) -> pd.DataFrame:
        """As `labeling.compare_strategies` gave them."""
        return pd.DataFrame(self.table)


def request(workspace: Workspace, actor_id: int, project_id: int, plan: Plan) -> int:
    """Ask for a simulation; returns the job's id.

    Raises
    ------
    Invalid
        If a strategy is unknown, there are too few labels, or a simulation of the project is not finished yet.
    NotAllowed
        If the acting user is neither an expert nor an owner of the project.
    """
    known = available_strategies()
    if unknown := [name for name in plan.strategies if name not in known]:
        raise Invalid(f"There is no strategy {unknown[0]!r}; the known ones are {', '.join(known)}.")
    count = labeled_sets.count_answers(workspace, actor_id, project_id)[plan.oracle]
    with writing(workspace.engine) as session:
        project = require(session, actor_id, project_id, Role.EXPERT)
        labeled_sets.require_enough(count, f"“{project.name}”")
        if any(job.kind is JobKind.SIMULATE for job in jobs.unfinished(session, project_id)):
            raise Invalid("A simulation of this project is not finished yet; wait for it, or stop it.")
        payload = plan.model_dump()
        job = jobs.request(session, project_id, JobKind.SIMULATE, user_id=actor_id, payload=payload)
        assert job.id is not None
        return job.id


def cancel(workspace: Workspace, actor_id: int, project_id: int) -> None:
    """Stop the project's simulations; what they found so far is gone."""
    with writing(workspace.engine) as session:
        require(session, actor_id, project_id, Role.EXPERT)
        for job in jobs.unfinished(session, project_id):
            if job.kind is JobKind.SIMULATE and job.id is not None:
                jobs.cancel(session, job.id)


def open_job(workspace: Workspace, actor_id: int, project_id: int) -> Job | None:
    """The project's simulation that waits or runs, or that was the last to end without a result."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        newest = select(Job).where(Job.project_id == project_id, Job.kind == JobKind.SIMULATE)
        job = session.exec(newest.order_by(col(Job.id).desc()).limit(1)).first()
        return None if job is None or job.state is JobState.DONE else job


def latest(workspace: Workspace, actor_id: int, project_id: int) -> Result | None:
    """The project's last simulation that came to its end."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        done = (Job.project_id == project_id, Job.kind == JobKind.SIMULATE, Job.state == JobState.DONE)
        job = session.exec(select(Job).where(*done).order_by(col(Job.id).desc()).limit(1)).first()
        if job is None:
            return None
        kept = {name: job.report[name] for name in ("about", "test_size", "table")}
        return Result(plan=Plan(**job.payload), finished=job.finished or 0.0, **kept)


def run_simulation(workspace: Workspace, job: Job, progress: Callable[[float, str], None]) -> dict[str, Any]:
    """Perform a simulation job; returns what is kept with it. One processor is left to the models people wait for."""
    plan = Plan(**job.payload)
    labeled = labeled_sets.of_project(workspace, job.user_id or 0, job.project_id, plan.oracle)
    progress(0.0, "Starting")
    curves = compare_strategies(
        labeled.features, labeled.targets, strategies=plan.strategies, head=plan.head, budget=plan.budget,
        batch_size=plan.batch_size, seeds=plan.seeds, processes=jobs.CORES,
        words=labeled.words if plan.head == "default" else None, progress=progress,
    )  # fmt: skip
    table = curves.round({"accuracy": PLACES, "seconds": PLACES}).to_dict("list")
    size = default_test_size(len(labeled.targets))
    return {"about": labeled.about, "test_size": size, "table": table, "message": f"{len(curves):,} rounds replayed."}
