"""Work for the worker, kept in the database: asked for, taken under a heartbeat, finished or handed on."""

import os
import socket
import time
from collections.abc import Collection
from typing import Any

import psutil
from sqlmodel import Session, col, select, update

from labeling.db.engine import reading, writing
from labeling.db.schema import Job, JobKind, JobState, Worker
from labeling.users import require
from labeling.workspace import Workspace

CORES = max(1, (os.cpu_count() or 1) - 1)  # that a job may use: one is left for people's answers
STALE_SECONDS = 10.0  # a running job that was not heard of for this long is another worker's to take
FORGET_SECONDS = 60.0  # a worker that was not heard of for this long is gone
_KINDS = (
    JobKind.EMBED, JobKind.TRAIN, JobKind.IMPORT, JobKind.ENCODE, JobKind.WEIGH, JobKind.SIMULATE, JobKind.TUNE
)  # fmt: skip
_ORDER = {kind: place for place, kind in enumerate(_KINDS)}
ALL = frozenset(_ORDER)  # in that order: people feel a waiting model most


class Cancelled(Exception):
    """A job was given up half done: it was stopped, or the worker was."""


def request(
    session: Session,
    project_id: int,
    kind: JobKind,
    *,
    user_id: int | None = None,
    payload: dict[str, Any] | None = None,
) -> Job:
    """Ask for a job in the caller's transaction.

    One job of a kind waits per project, but for imports: asking again while it waits returns that one.
    """
    if kind is not JobKind.IMPORT:
        waiting = select(Job).where(Job.project_id == project_id, Job.kind == kind, Job.state == JobState.QUEUED)
        if job := session.exec(waiting).first():
            return job
    job = Job(project_id=project_id, kind=kind, user_id=user_id, payload=payload or {})
    session.add(job)
    session.flush()
    return job


def take(
    workspace: Workspace,
    worker_id: str,
    *,
    only: int | None = None,
    project_id: int | None = None,
    kinds: Collection[JobKind] = ALL,
) -> Job | None:
    """Take the job that should run next, or None. Two jobs of one kind never run at once in a project.

    A job whose worker fell silent is queued again first, unless the same work waits already. `only` narrows the
    choice to one job, `project_id` to one project's, `kinds` to some kinds of job.
    """
    with reading(workspace.engine) as session:  # the usual answer is "nothing", and costs no write lock
        pending = select(Job.id).where(_pending(time.time()), col(Job.kind).in_(kinds))
        if session.exec(pending.limit(1)).first() is None:
            return None
    with writing(workspace.engine) as session:
        now = time.time()
        jobs = list(session.exec(select(Job).where(col(Job.state).in_([JobState.QUEUED, JobState.RUNNING]))).all())
        waiting = {(j.project_id, j.kind) for j in jobs if j.state is JobState.QUEUED}
        for job in jobs:
            if job.state is JobState.RUNNING and (job.heartbeat or 0) < now - STALE_SECONDS:
                replaced = job.kind is not JobKind.IMPORT and (job.project_id, job.kind) in waiting
                job.state = JobState.CANCELLED if replaced else JobState.QUEUED
                job.worker_id = None
                session.flush()
        running = {(j.project_id, j.kind) for j in jobs if j.state is JobState.RUNNING}
        ready = [j for j in jobs if j.state is JobState.QUEUED and (j.project_id, j.kind) not in running]
        ready = [j for j in ready if only in (None, j.id) and project_id in (None, j.project_id) and j.kind in kinds]
        if not ready:
            return None
        job = min(ready, key=lambda j: (_ORDER[j.kind], j.id or 0))
        job.state, job.worker_id = JobState.RUNNING, worker_id
        job.started = job.heartbeat = now
        return job


def _pending(now: float) -> Any:
    stale = (col(Job.state) == JobState.RUNNING) & (col(Job.heartbeat) < now - STALE_SECONDS)
    return (col(Job.state) == JobState.QUEUED) | stale


def beat(workspace: Workspace, job: Job, progress: float | None = None, message: str | None = None) -> bool:
    """Say that a job is alive and how far it is (0 to 1); False when it is no longer this worker's to run."""
    values: dict[str, Any] = {"heartbeat": time.time()}
    if progress is not None:
        values["progress"] = progress
    if message is not None:
        values["message"] = message
    with writing(workspace.engine) as session:
        return bool(session.exec(update(Job).where(_held(job)).values(**values)).rowcount)


def keep(session: Session, job: Job, report: dict[str, Any]) -> None:
    """Keep what a job has done so far, in the transaction of that very work.

    Raises
    ------
    Cancelled
        If the job is no longer this worker's to run: the transaction must not commit.
    """
    if not session.exec(update(Job).where(_held(job)).values(report=report)).rowcount:
        raise Cancelled


def finish(
    session: Session, job: Job, *, message: str = "", error: str = "", report: dict[str, Any] | None = None
) -> None:
    """End a job in the caller's transaction: done, or failed when there is an error; nothing if it was taken away."""
    values: dict[str, Any] = {
        "state": JobState.FAILED if error else JobState.DONE,
        "message": message,
        "error": error,
        "finished": time.time(),
    }
    if not error:
        values["progress"] = 1.0
    if report is not None:  # what was kept on the way stays otherwise
        values["report"] = report
    session.exec(update(Job).where(_held(job)).values(**values))


def cancel(session: Session, job_id: int) -> None:
    """Give up a job in the caller's transaction, unless it has ended; whoever runs it may publish nothing more."""
    is_open = (col(Job.id) == job_id) & col(Job.state).in_([JobState.QUEUED, JobState.RUNNING])
    session.exec(update(Job).where(is_open).values(state=JobState.CANCELLED, finished=time.time()))


def resume(session: Session, job_id: int) -> bool:
    """Queue a job again that was cancelled or failed, in the caller's transaction; False where it was neither."""
    ended = (col(Job.id) == job_id) & col(Job.state).in_([JobState.CANCELLED, JobState.FAILED])
    values = {"state": JobState.QUEUED, "error": "", "message": "", "finished": None, "worker_id": None}
    return bool(session.exec(update(Job).where(ended).values(**values)).rowcount)


def is_held(workspace: Workspace, job: Job) -> bool:
    """Whether a job that was taken is still the taker's to run."""
    with reading(workspace.engine) as session:
        return session.exec(select(Job.id).where(_held(job))).first() is not None


def _held(job: Job) -> Any:
    """The condition that a job still runs with the worker that took it."""
    return (col(Job.id) == job.id) & (col(Job.worker_id) == job.worker_id) & (col(Job.state) == JobState.RUNNING)


def reap(workspace: Workspace) -> None:
    """Let go at once of the jobs whose worker ran on this machine and is gone, without waiting for its silence."""
    with writing(workspace.engine) as session:
        for worker in session.exec(select(Worker)).all():
            silent = worker.heartbeat < time.time() - FORGET_SECONDS
            if silent or (worker.host == socket.gethostname() and not _alive(worker)):
                held = (col(Job.worker_id) == worker.id) & (col(Job.state) == JobState.RUNNING)
                session.exec(update(Job).where(held).values(heartbeat=0.0))
                session.delete(worker)


def _alive(worker: Worker) -> bool:
    try:  # a process of the same number that began later is another one
        return psutil.Process(worker.pid).create_time() <= worker.started
    except psutil.NoSuchProcess:
        return False


def read(workspace: Workspace, job_id: int) -> Job:
    """A job as it stands."""
    with reading(workspace.engine) as session:
        return session.get_one(Job, job_id)


def latest(session: Session, project_id: int, kind: JobKind) -> Job | None:
    """The newest job of a kind that has begun."""
    query = select(Job).where(Job.project_id == project_id, Job.kind == kind, col(Job.started).is_not(None))
    return session.exec(query.order_by(col(Job.started).desc()).limit(1)).first()


def newest(workspace: Workspace, actor_id: int, project_id: int, kind: JobKind) -> Job | None:
    """The job of a kind that runs or waits in a project of the acting user's, else the last that ended."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        waiting = [job for job in unfinished(session, project_id) if job.kind is kind]
        ended = select(Job).where(Job.project_id == project_id, Job.kind == kind, col(Job.finished).is_not(None))
        return waiting[0] if waiting else session.exec(ended.order_by(col(Job.finished).desc()).limit(1)).first()


def unfinished(session: Session, project_id: int) -> list[Job]:
    """The project's jobs that wait or run, oldest first."""
    open_states = [JobState.QUEUED, JobState.RUNNING]
    query = select(Job).where(Job.project_id == project_id, col(Job.state).in_(open_states))
    return list(session.exec(query.order_by(col(Job.id))).all())
