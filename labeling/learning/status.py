"""How learning stands, as people see it: the live model version, how often it was right, how fresh the ranking is."""

import time
from collections.abc import Sequence

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Integer, cast
from sqlmodel import Session, col, exists, func, select

from labeling import jobs
from labeling.annotation.consensus import standing
from labeling.annotation.queue import live_ranking
from labeling.db.aliases import second
from labeling.db.engine import reading
from labeling.db.schema import (
    Annotation,
    JobKind,
    JobState,
    Label,
    ModelState,
    ModelVersion,
    Project,
    Verdict,
    Worker,
)
from labeling.learning.versions import find_live
from labeling.projects import count_items
from labeling.users import require
from labeling.workspace import Workspace

RECENT = 50  # answers that the running accuracy looks back on
LOOKED_THROUGH = 2000  # newest answers among which these are: others judge nothing, and this is asked with each claim
WORKER_SILENT_SECONDS = 15.0


class Live(BaseModel):
    """The state of learning in one project at this moment."""

    model_version: int | None  # its number; None before the first
    ranking: int | None
    strategy: str  # of the live ranking; empty before the first
    phase: str  # what the strategy was doing when it made the ranking, as in "coverage"
    accuracy: float | None  # of the suggestions on the last `accuracy_on` answers, before those were known
    accuracy_on: int
    labels: int
    items: int
    ranked: float | None
    learning: bool
    message: str
    words_only: bool = False  # whether the model knows nothing of its classes but the words for them
    schema_version: int = 1  # of the classes: it rises when one is added, renamed, moved, merged or retired


class VersionReport(BaseModel):
    """One model version, and how it did on answers that came in while it was live."""

    number: int
    state: ModelState
    labels: int
    created: float
    seconds: float
    answers: int
    right: int


_RIGHT = cast(col(Annotation.class_id) == col(Annotation.suggestion_class_id), Integer)
_earlier = second(Annotation)


def _judges_the_model() -> ColumnElement[bool]:
    """The condition that an `Annotation` is an answer on an item that nobody had labeled when the suggesting
    model version was trained.
    """
    trained_up_to = select(ModelVersion.annotation_seq).where(ModelVersion.id == Annotation.model_version_id)
    seen = exists().where(
        col(_earlier.item_id) == Annotation.item_id,
        col(_earlier.verdict) == Verdict.LABEL,
        col(_earlier.seq) <= trained_up_to.correlate(Annotation).scalar_subquery(),
    )
    suggested = col(Annotation.suggestion_class_id).is_not(None)
    return (col(Annotation.verdict) == Verdict.LABEL) & suggested & standing() & ~seen


def live_status(session: Session, project_id: int) -> Live:
    """How learning stands in a project, in the caller's transaction."""
    model, ranking = find_live(session, project_id), live_ranking(session, project_id)
    hits = _recent_hits(session, project_id) if model else []
    labels = session.exec(select(func.count()).select_from(Label).where(Label.project_id == project_id)).one()
    items = count_items(session, project_id)
    learning = any(job.kind is JobKind.TRAIN for job in jobs.unfinished(session, project_id))
    return Live(
        model_version=model.number if model else None,
        ranking=ranking.id if ranking else None,
        strategy=ranking.strategy if ranking else "",
        phase=ranking.phase if ranking else "",
        accuracy=sum(hits) / len(hits) if hits else None,
        accuracy_on=len(hits),
        labels=labels,
        items=items,
        ranked=ranking.created if ranking else None,
        learning=learning,
        message=_message(session, project_id, items),
        words_only=model is not None and model.labels == 0,
        schema_version=session.get_one(Project, project_id).schema_version,
    )


def _recent_hits(session: Session, project_id: int) -> Sequence[int]:
    """Whether the model was right (1) or not (0) on the newest answers that judge it."""
    of_project = select(Annotation.seq).where(Annotation.project_id == project_id).order_by(col(Annotation.seq).desc())
    before = func.coalesce(of_project.offset(LOOKED_THROUGH).limit(1).scalar_subquery(), 0)
    newest = (col(Annotation.project_id) == project_id) & (col(Annotation.seq) > before)
    judging = select(_RIGHT).where(newest, _judges_the_model()).order_by(col(Annotation.seq).desc())
    return session.exec(judging.limit(RECENT)).all()


def read_live(workspace: Workspace, actor_id: int, project_id: int) -> Live:
    """How learning stands in a project."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        return live_status(session, project_id)


def versions(workspace: Workspace, actor_id: int, project_id: int) -> list[VersionReport]:
    """Every model version, oldest first, with its record on answers it had not seen when they came in."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        record = (
            select(Annotation.model_version_id, func.count(), func.sum(_RIGHT))
            .where(Annotation.project_id == project_id, _judges_the_model())
            .group_by(col(Annotation.model_version_id))
        )
        on = {version: (answers, hits) for version, answers, hits in session.exec(record).all()}
        made = select(ModelVersion).where(ModelVersion.project_id == project_id).order_by(col(ModelVersion.number))
        return [
            VersionReport(
                number=v.number,
                state=v.state,
                labels=v.labels,
                created=v.created,
                seconds=v.seconds,
                answers=on.get(v.id, (0, 0))[0],
                right=on.get(v.id, (0, 0))[1],
            )
            for v in session.exec(made).all()
        ]


def worker_heard(workspace: Workspace) -> float | None:
    """Seconds since a worker was last heard of; None when there never was one (or it said goodbye)."""
    with reading(workspace.engine) as session:
        heard = session.exec(select(func.max(Worker.heartbeat))).one()
    return None if heard is None else max(0.0, time.time() - heard)


def _message(session: Session, project_id: int, items: int) -> str:
    """What people should know about learning right now, in one sentence; usually nothing."""
    open_jobs = {job.kind: job for job in jobs.unfinished(session, project_id)}
    if (running := open_jobs.get(JobKind.IMPORT)) or (running := open_jobs.get(JobKind.ENCODE)):
        doing = "Importing" if running.kind is JobKind.IMPORT else "Reading the items"
        return running.message or f"{doing}: {running.progress:.0%} done."
    heard = session.exec(select(func.max(Worker.heartbeat))).one()
    if open_jobs and (heard is None or heard < time.time() - WORKER_SILENT_SECONDS):
        return "No worker is running, so the model is not learning; answers are saved. Start one with `askwise worker`."
    if items == 0:
        return "There are no items yet; import some on the Projects page."
    last = jobs.latest(session, project_id, JobKind.TRAIN)
    if last is None or last.state is JobState.RUNNING:
        return ""
    return last.error or last.message
