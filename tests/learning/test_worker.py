"""The worker: it outlives its jobs, is heard while it works, and goes when it is told to."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from sqlmodel import select

from labeling import jobs
from labeling.db.engine import reading, writing
from labeling.db.schema import JobKind, JobState, Project, Worker
from labeling.learning import worker
from labeling.learning.status import worker_heard
from labeling.learning.training import live_model
from labeling.learning.worker import run_worker, work_off
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject

PATIENCE_SECONDS = 60.0


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    made = SmallProject.make(workspace, strategy="margin")
    made.add_features(np.eye(6, dtype=np.float32))
    return made


@contextmanager
def working(workspace: Workspace) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=run_worker, args=(workspace, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def wait_until(true: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def waiting(small: SmallProject) -> list[JobKind]:
    with reading(small.workspace.engine) as session:
        return [job.kind for job in jobs.unfinished(session, small.id)]


def ask(small: SmallProject, kind: JobKind, **payload: str) -> int:
    with writing(small.workspace.engine) as session:
        made = jobs.request(session, small.id, kind, payload=payload, user_id=small.owner)
        assert made.id is not None
        return made.id


def quiet(_fraction: float, _message: str) -> None:
    """Progress that nobody watches."""


def test_answers_become_a_live_model_without_anybody_asking(small: SmallProject):
    with working(small.workspace):
        small.answer(small.people[0], small.items[0], small.classes[0])
        small.answer(small.people[0], small.items[1], small.classes[1])
        wait_until(lambda: live_model(small.workspace, small.id))
    live = live_model(small.workspace, small.id)
    assert live is not None and live.labels == 2


def test_a_job_that_fails_is_told_in_plain_words_and_the_next_one_runs(
    small: SmallProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def explode(*_: object) -> None:
        raise RuntimeError("secret /home/ada")

    monkeypatch.setitem(worker._PERFORM, JobKind.ENCODE, explode)
    failed, trained = ask(small, JobKind.ENCODE), ask(small, JobKind.TRAIN)
    with working(small.workspace):
        wait_until(lambda: not waiting(small))
    ended = jobs.read(small.workspace, failed)
    assert ended.state is JobState.FAILED and "RuntimeError" in ended.error and "secret" not in ended.error
    assert "secret" in caplog.text
    assert jobs.read(small.workspace, trained).state is JobState.DONE


def test_too_little_memory_is_told_with_a_way_out(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    def need_more(*_: object) -> None:
        raise MemoryError

    monkeypatch.setitem(worker._PERFORM, JobKind.TRAIN, need_more)
    assert "memory" in work_off(small.workspace, ask(small, JobKind.TRAIN), quiet).error


def test_a_strategy_that_is_not_installed_is_told_by_its_name(workspace: Workspace):
    small = SmallProject.make(workspace)
    with writing(workspace.engine) as session:  # as when it was uninstalled since
        session.get_one(Project, small.id).settings = {"strategy": "crystal ball"}
    small.add_features(np.eye(6, dtype=np.float32))
    ended = work_off(workspace, ask(small, JobKind.TRAIN), quiet)
    assert ended.state is JobState.FAILED and "crystal ball" in ended.error


def test_an_import_of_what_is_gone_is_told_in_a_sentence(small: SmallProject):
    ended = work_off(small.workspace, ask(small, JobKind.IMPORT, path="/nowhere"), quiet)
    assert ended.state is JobState.FAILED and "/nowhere" in ended.error and "unexpectedly" not in ended.error


def test_a_job_is_heard_of_while_it_runs(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker, "BEAT_SECONDS", 0.02)
    seen: list[tuple[float, str]] = []

    def take_long(workspace: Workspace, job: jobs.Job, progress: worker.Progress) -> None:
        progress(0.25, "a quarter")
        began = job.heartbeat or 0
        wait_until(lambda: (jobs.read(workspace, job.id or 0).heartbeat or 0) > began)
        stored = jobs.read(workspace, job.id or 0)
        seen.append((stored.progress, stored.message))
        with writing(workspace.engine) as session:
            jobs.finish(session, job)

    monkeypatch.setitem(worker._PERFORM, JobKind.TRAIN, take_long)
    told: list[tuple[float, str]] = []
    work_off(small.workspace, ask(small, JobKind.TRAIN), lambda *progress: told.append(progress))
    assert seen == told == [(0.25, "a quarter")]


def test_a_worker_says_goodbye(small: SmallProject):
    with working(small.workspace):
        wait_until(lambda: worker_heard(small.workspace) is not None)
    assert worker_heard(small.workspace) is None


def test_working_a_job_off_leads_on_to_what_it_asks_for_in_its_project_only(small: SmallProject):
    other = SmallProject.make(small.workspace, name="other")
    ask(other, JobKind.TRAIN)
    small.answer(small.people[0], small.items[0])
    with reading(small.workspace.engine) as session:
        (job,) = jobs.unfinished(session, small.id)
    assert work_off(small.workspace, job.id or 0, quiet).state is JobState.DONE
    assert (waiting(small), waiting(other)) == ([], [JobKind.TRAIN])


def test_the_embedded_worker_ends_when_its_app_lets_go_of_it(workspace: Workspace):
    command = [sys.executable, "-m", "labeling", "worker", str(workspace.root), "--until-stdin-closes"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        wait_until(lambda: worker_heard(workspace) is not None)
        with reading(workspace.engine) as session:
            assert [w.pid for w in session.exec(select(Worker)).all()] == [process.pid]
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    assert worker_heard(workspace) is None
