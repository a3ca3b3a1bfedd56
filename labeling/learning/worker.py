"""The background worker: its own process, started with the application or by `askwise worker`.

It takes one job at a time from the database, and beside it one import, one simulation, which runs in processes of its
own, one tuning of an encoder, one weighing of all answers, and the words that somebody is looking for: a model must not
wait for them, nor those words for a model. Killing the worker at any instant loses nothing: what it had not published
was never visible, and the jobs it held are taken up again.
"""

import gc
import logging
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import psutil
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, delete, update

from labeling import jobs
from labeling.db.engine import writing
from labeling.db.schema import Job, JobKind, Worker
from labeling.errors import AskwiseError
from labeling.features.encoding import encode_project, open_features
from labeling.features.matrix import FeatureMatrix
from labeling.features.pretrained import Unavailable
from labeling.features.words import embed_words
from labeling.intake import inbox
from labeling.intake.import_job import in_words, run_import
from labeling.intake.near_duplicates import link_near_duplicates
from labeling.jobs import Cancelled
from labeling.learning.simulation_job import run_simulation
from labeling.learning.training import learn, sweep_heads
from labeling.learning.tuning_job import run_tuning, sweep_encoders
from labeling.learning.weighing_job import run_weighing
from labeling.projects import count_items
from labeling.workspace import Workspace
from strategies import StrategyError

GROWTH = 1.5  # of a pool that is being encoded, between two models of it
POLL_SECONDS = 0.05
POLL_ASIDE_SECONDS = 0.5  # people who asked for an import or a simulation are used to waiting
POLL_WORDS_SECONDS = 0.1
BEAT_SECONDS = 1.0
TURN_SECONDS = 5.0  # a long encoding gives way to a waiting model after this long

# Kinds of job that others do not wait for, and how often each is looked for.
ASIDE = {
    JobKind.IMPORT: POLL_ASIDE_SECONDS,
    JobKind.SIMULATE: POLL_ASIDE_SECONDS,
    JobKind.TUNE: POLL_ASIDE_SECONDS,
    JobKind.EMBED: POLL_WORDS_SECONDS,
    JobKind.WEIGH: POLL_ASIDE_SECONDS,
}
RESTS = {
    JobKind.WEIGH: 9.0
}  # kinds after which there is a rest, so many times as long: they are asked for all the time
AT_ONCE = jobs.ALL - ASIDE.keys()

log = logging.getLogger(__name__)

Progress = Callable[[float, str], None]


def run_worker(workspace: Workspace, stop: threading.Event) -> None:
    """Take and perform jobs until `stop` is set."""
    _give_way()
    gc.freeze()  # what is loaded by now stays: looking through it for garbage takes 0.1 s, also amid a transaction
    jobs.reap(workspace)
    sweep_heads(workspace)
    sweep_encoders(workspace)
    inbox.sweep(workspace)
    with _Heart(workspace, stop=stop) as heart:
        aside = [
            threading.Thread(target=_take_turns, args=(workspace, heart, stop, {kind}, seconds))
            for kind, seconds in ASIDE.items()
        ]
        for thread in aside:
            thread.start()
        _take_turns(workspace, heart, stop, AT_ONCE, POLL_SECONDS)
        for thread in aside:
            thread.join()


def _take_turns(
    workspace: Workspace, heart: "_Heart", stop: threading.Event, kinds: Collection[JobKind], poll_seconds: float
) -> None:
    """Take and perform jobs of some kinds, one after the other, until `stop` is set; it is set where this fails."""
    try:
        while not stop.is_set():
            job = jobs.take(workspace, heart.worker_id, kinds=kinds)
            if job is None:
                stop.wait(poll_seconds)
            else:
                began = time.monotonic()
                perform(workspace, job, heart)
                stop.wait(RESTS.get(job.kind, 0.0) * (time.monotonic() - began))
    finally:
        stop.set()


def _give_way() -> None:
    """Let people's saves come before the model where both want the same processor."""
    lowered = getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", 5)  # Windows has classes, others numbers
    psutil.Process().nice(lowered)


def work_off(workspace: Workspace, job_id: int, progress: Progress) -> Job:
    """Perform one waiting job, and what it leads to, in this process (for the command line); returns how it ended.

    A job that a worker elsewhere took first is waited for instead.
    """
    with _Heart(workspace, progress) as heart:
        while True:
            taken = jobs.take(workspace, heart.worker_id, only=job_id)
            if taken is not None:
                perform(workspace, taken, heart)
            job = jobs.read(workspace, job_id)
            if job.finished is not None:
                break
            time.sleep(POLL_SECONDS)
        follows = AT_ONCE | {JobKind.WEIGH}
        while following := jobs.take(workspace, heart.worker_id, project_id=job.project_id, kinds=follows):
            perform(workspace, following, heart)
    return job


def perform(workspace: Workspace, job: Job, heart: "_Heart") -> None:
    """Run one taken job to its end; a failure is recorded on it in plain words and changes nothing else."""
    try:
        with heart.holding(job) as progress:
            _PERFORM[job.kind](workspace, job, progress)
    except Cancelled:
        log.info("job %s (%s) was given up", job.id, job.kind)
    except (AskwiseError, StrategyError) as error:
        _fail(workspace, job, str(error))
    except MemoryError:
        _fail(workspace, job, "There was not enough memory for this; close other programs or use a smaller pool.")
    except Exception as error:  # the worker outlives any one job
        if job.kind in ASIDE and heart.given_up(job):  # an interrupt ends the processes that it had started, too
            return
        log.exception("job %s (%s) failed", job.id, job.kind)
        _fail(
            workspace,
            job,
            f"The {job.kind} job failed unexpectedly ({type(error).__name__}); the worker's log has the details.",
        )


def _import(workspace: Workspace, job: Job, progress: Progress) -> None:
    try:
        ledger = run_import(workspace, job, progress)
        with writing(workspace.engine) as session:
            jobs.finish(session, job, message=in_words(ledger.report), report=ledger.as_dict())
    finally:  # what went in is there to be labeled, however the import ended
        with writing(workspace.engine) as session:
            jobs.request(session, job.project_id, JobKind.ENCODE)


def _encode(workspace: Workspace, job: Job, progress: Progress) -> None:
    began = time.monotonic()

    def over() -> bool:
        return time.monotonic() - began > TURN_SECONDS

    problem, before = "", open_features(workspace, job.project_id)
    try:
        matrix = encode_project(workspace, job.project_id, progress=progress, cancelled=over)
    except Unavailable as error:
        matrix, problem = open_features(workspace, job.project_id), str(error)
    rows = matrix.rows if matrix is not None else 0
    live = open_features(workspace, job.project_id)
    linked = not over() and link_near_duplicates(workspace, job.project_id, progress=progress, cancelled=over)
    with writing(workspace.engine) as session:
        items = count_items(session, job.project_id)
        jobs.finish(session, job, message=f"{rows:,} of {items:,} items have features.", error=problem)
        if rows >= items or _is_news(before, live):
            jobs.request(session, job.project_id, JobKind.TRAIN)
        if rows < items or not linked:
            jobs.request(session, job.project_id, JobKind.ENCODE)


def _is_news(before: FeatureMatrix | None, live: FeatureMatrix | None) -> bool:
    """Whether a model should look at the pool again while it is still being encoded: at other features than before,
    or at a pool that has grown past another step, each half as large again as the one below it.
    """
    if before is None or live is None or before.version != live.version:
        return live is not None
    return int(math.log(max(live.rows, 1), GROWTH)) > int(math.log(max(before.rows, 1), GROWTH))


def _embed(workspace: Workspace, job: Job, _progress: Progress) -> None:
    matrix = open_features(workspace, job.project_id)
    if matrix is not None:
        embed_words(matrix, job.payload.get("texts", []))
    with writing(workspace.engine) as session:
        jobs.finish(session, job, message="" if matrix else "Waiting for the first features.")


def _train(workspace: Workspace, job: Job, _progress: Progress) -> None:
    learn(workspace, job)


def _simulate(workspace: Workspace, job: Job, progress: Progress) -> None:
    report = run_simulation(workspace, job, progress)
    with writing(workspace.engine) as session:
        jobs.finish(session, job, message=report["message"], report=report)


def _tune(workspace: Workspace, job: Job, progress: Progress) -> None:
    run_tuning(workspace, job, progress)  # which ends the job in the step that lets the tuned encoder take over


def _weigh(workspace: Workspace, job: Job, _progress: Progress) -> None:
    run_weighing(workspace, job)


_PERFORM: dict[JobKind, Callable[[Workspace, Job, Progress], None]] = {
    JobKind.IMPORT: _import,
    JobKind.ENCODE: _encode,
    JobKind.TRAIN: _train,
    JobKind.EMBED: _embed,
    JobKind.SIMULATE: _simulate,
    JobKind.TUNE: _tune,
    JobKind.WEIGH: _weigh,
}


def _fail(workspace: Workspace, job: Job, sentence: str) -> None:
    with writing(workspace.engine) as session:
        jobs.finish(session, job, error=sentence)


@dataclass
class _Held:
    """A job that is being performed, and how far it is."""

    job: Job
    progress: tuple[float, str] | tuple[None, None] = (None, None)


class _Heart(threading.Thread):
    """Beats for the worker and for the jobs it holds, so that all are known to be alive during a long fit."""

    def __init__(
        self, workspace: Workspace, on_progress: Progress | None = None, stop: threading.Event | None = None
    ) -> None:
        super().__init__(daemon=True)
        self.worker_id = uuid.uuid4().hex[:12]
        self._workspace = workspace
        self._on_progress = on_progress
        self._stop_asked = stop or threading.Event()
        self._done = threading.Event()
        self._held: list[_Held] = []

    def __enter__(self) -> "_Heart":
        with writing(self._workspace.engine) as session:
            session.add(Worker(id=self.worker_id, pid=os.getpid(), host=socket.gethostname()))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()
        with writing(self._workspace.engine) as session:
            session.exec(delete(Worker).where(col(Worker.id) == self.worker_id))

    @contextmanager
    def holding(self, job: Job) -> Iterator[Progress]:
        """Beat for this job too while the block runs; yields what is to be told how far it is.

        That is seen in the database within a beat. Where the job may be given up half done, and there is no use in
        going on, it raises `Cancelled`.
        """
        held = _Held(job)
        self._held.append(held)
        try:
            yield partial(self._note, held)
        finally:
            self._held.remove(held)

    def _note(self, held: "_Held", fraction: float, message: str) -> None:
        if held.job.kind in ASIDE and self.given_up(held.job):
            raise Cancelled
        held.progress = fraction, message
        if self._on_progress is not None:
            self._on_progress(fraction, message)

    def given_up(self, job: Job) -> bool:
        """Whether there is no use in going on: the worker is told to stop, or the job is not its own any more."""
        return self._stop_asked.is_set() or not jobs.is_held(self._workspace, job)

    def run(self) -> None:
        """Beat until the worker ends; a beat that fails (a locked database, say) is made up by the next."""
        while not self._done.wait(BEAT_SECONDS):
            try:
                for held in list(self._held):
                    jobs.beat(self._workspace, held.job, *held.progress)
                with writing(self._workspace.engine) as session:
                    beat = update(Worker).where(col(Worker.id) == self.worker_id).values(heartbeat=time.time())
                    session.exec(beat)
            except SQLAlchemyError:
                log.exception("a heartbeat failed")
