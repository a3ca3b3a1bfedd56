"""Jobs: asked for once, done by one worker at a time, and never lost with it."""

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import select

from labeling import jobs
from labeling.db.engine import reading, writing
from labeling.db.schema import Job, JobKind, JobState, Worker
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace, items=0)


def ask(small: SmallProject, kind: JobKind = JobKind.TRAIN) -> int:
    with writing(small.workspace.engine) as session:
        made = jobs.request(session, small.id, kind)
        assert made.id is not None
        return made.id


def finish(small: SmallProject, job: Job, **how: str) -> None:
    with writing(small.workspace.engine) as session:
        jobs.finish(session, job, **how)


def all_jobs(small: SmallProject) -> list[Job]:
    with reading(small.workspace.engine) as session:
        return list(session.exec(select(Job).order_by(Job.id)).all())


def fall_silent(small: SmallProject, job: Job) -> None:
    with writing(small.workspace.engine) as session:
        session.get_one(Job, job.id).heartbeat = time.time() - jobs.STALE_SECONDS - 1


@pytest.mark.parametrize("kind", [JobKind.TRAIN, JobKind.ENCODE])
def test_ten_requests_while_one_runs_make_one_more(small: SmallProject, kind: JobKind):
    first = ask(small, kind)
    running = jobs.take(small.workspace, "a")
    assert running is not None and running.id == first
    assert len({ask(small, kind) for _ in range(10)}) == 1
    assert [j.state for j in all_jobs(small)] == [JobState.RUNNING, JobState.QUEUED]


def test_requests_from_many_threads_make_one_job(small: SmallProject):
    threads = [threading.Thread(target=ask, args=(small,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(all_jobs(small)) == 1


def test_imports_line_up_instead_of_becoming_one(small: SmallProject):
    assert ask(small, JobKind.IMPORT) != ask(small, JobKind.IMPORT)


def test_two_jobs_of_one_kind_never_run_at_once_in_a_project(small: SmallProject):
    ask(small)
    assert jobs.take(small.workspace, "a") is not None
    ask(small)
    assert jobs.take(small.workspace, "b") is None


def test_a_model_that_people_wait_for_goes_before_imports_and_encodings(small: SmallProject):
    for kind in (JobKind.ENCODE, JobKind.IMPORT, JobKind.TRAIN):
        ask(small, kind)
    taken = [jobs.take(small.workspace, "a") for _ in range(3)]
    assert [job.kind for job in taken if job] == [JobKind.TRAIN, JobKind.IMPORT, JobKind.ENCODE]
    assert jobs.take(small.workspace, "a") is None


def test_many_workers_that_reach_for_one_job_give_it_to_one(small: SmallProject):
    ask(small)
    start, got = threading.Barrier(6), []

    def reach(name: str) -> None:
        start.wait()
        got.append(jobs.take(small.workspace, name))

    threads = [threading.Thread(target=reach, args=(str(i),)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(job is not None for job in got) == 1


def test_a_silent_workers_job_is_taken_over_and_no_longer_its_own(small: SmallProject):
    ask(small)
    lost = jobs.take(small.workspace, "silent")
    assert lost is not None and jobs.take(small.workspace, "other") is None
    fall_silent(small, lost)
    again = jobs.take(small.workspace, "other")
    assert again is not None and again.id == lost.id
    assert jobs.beat(small.workspace, again) and not jobs.beat(small.workspace, lost)
    finish(small, lost, error="too late")
    assert [(j.state, j.error) for j in all_jobs(small)] == [(JobState.RUNNING, "")]
    finish(small, again, message="done")
    assert [(j.state, j.message, j.progress) for j in all_jobs(small)] == [(JobState.DONE, "done", 1.0)]


def test_a_silent_workers_job_that_waits_again_cannot_be_ended_by_it(small: SmallProject):
    """Another kind of job goes first, so the silent worker's job waits in the queue for a while."""
    ask(small, JobKind.ENCODE)
    lost = jobs.take(small.workspace, "silent")
    assert lost is not None
    fall_silent(small, lost)
    ask(small, JobKind.TRAIN)
    first = jobs.take(small.workspace, "other")
    assert first is not None and first.kind is JobKind.TRAIN
    finish(small, lost, error="too late")
    assert jobs.read(small.workspace, lost.id or 0).state is JobState.QUEUED


def test_a_silent_workers_job_gives_way_where_the_same_work_waits(small: SmallProject):
    ask(small)
    lost = jobs.take(small.workspace, "silent")
    assert lost is not None
    waiting = ask(small)
    fall_silent(small, lost)
    taken = jobs.take(small.workspace, "other")
    assert taken is not None and taken.id == waiting
    assert jobs.read(small.workspace, lost.id or 0).state is JobState.CANCELLED


def test_a_beat_notes_how_far_the_job_is(small: SmallProject):
    ask(small)
    job = jobs.take(small.workspace, "a")
    assert job is not None
    assert jobs.beat(small.workspace, job, 0.5, "half of it")
    stored = jobs.read(small.workspace, job.id or 0)
    assert (stored.progress, stored.message) == (0.5, "half of it")


def test_a_failed_job_keeps_its_sentence_and_its_progress(small: SmallProject):
    ask(small)
    job = jobs.take(small.workspace, "a")
    assert job is not None
    finish(small, job, error="The disk is full.")
    stored = jobs.read(small.workspace, job.id or 0)
    assert (stored.state, stored.error, stored.progress) == (JobState.FAILED, "The disk is full.", 0.0)
    assert stored.finished is not None


def test_the_jobs_of_a_worker_that_is_gone_from_this_machine_are_free_at_once(small: SmallProject):
    with writing(small.workspace.engine) as session:
        for name, pid, started in (
            ("gone", 2**22 + 1, 0.0),
            ("reborn", os.getpid(), 1.0),
            ("here", os.getpid(), time.time()),
        ):
            session.add(Worker(id=name, pid=pid, host=socket.gethostname(), started=started))
        session.add(Worker(id="elsewhere", pid=1, host="another machine"))
    ask(small)
    lost = jobs.take(small.workspace, "gone")
    jobs.reap(small.workspace)
    again = jobs.take(small.workspace, "here")
    assert lost is not None and again is not None and again.id == lost.id
    with reading(small.workspace.engine) as session:
        assert {w.id for w in session.exec(select(Worker)).all()} == {"here", "elsewhere"}


def test_nothing_to_do_takes_no_write_lock(small: SmallProject):
    with writing(small.workspace.engine), ThreadPoolExecutor(1) as another:
        assert another.submit(jobs.take, small.workspace, "a").result() is None


def test_a_choice_of_jobs_can_be_narrowed(small: SmallProject):
    other = SmallProject.make(small.workspace, items=0, name="other")
    theirs, mine = ask(other), ask(small)
    assert jobs.take(small.workspace, "a", only=999) is None
    taken = jobs.take(small.workspace, "a", project_id=small.id)
    assert taken is not None and taken.id == mine
    taken = jobs.take(small.workspace, "a", only=theirs)
    assert taken is not None and taken.id == theirs
