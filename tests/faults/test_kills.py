"""`kill -9` of the web process and of the worker, at random moments while people label.

A few kills by default. All of them, in something like half an hour:

    ASKWISE_WEB_KILLS=200 ASKWISE_WORKER_KILLS=100 .venv/bin/python -m pytest -s tests/faults/test_kills.py
"""

import json
import os
import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labeling.projects import create_project
from labeling.users import local_user
from tests.faults.annotators import Annotator
from tests.faults.audit import audit
from tests.serving import Pool, Served, add_items, prepare, processes_of, serve, serving, spawn

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]

WEB_KILLS = int(os.environ.get("ASKWISE_WEB_KILLS", "6"))
WORKER_KILLS = int(os.environ.get("ASKWISE_WORKER_KILLS", "6"))
EARLY_KILLS = 5  # of the application that acknowledges too early: at most so many, until the loss is found
ITEMS_PER_KILL = 120  # more than people answer until the next one, on a quiet machine too
PEOPLE, OVERLAP, LEASE_SECONDS = 4, 2, 2
PAUSE = 0.03  # seconds between a person's answers, on average
SOON = (0.2, 1.5)  # seconds from being ready to being killed
PATIENCE = 60.0
LEFT_LYING = 5  # items that somebody claims and never answers

TOO_EARLY = (sys.executable, str(Path(__file__).with_name("acknowledge_early.py")))


def wait_for(what: Callable[[], Any], sentence: str, seconds: float = PATIENCE) -> Any:
    """The first true value of `what`."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, f"not within {seconds:.0f} s: {sentence}"
        time.sleep(0.02)
    return found


def ask(pool: Pool, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows of the workspace's database, read by a connection of our own."""
    with closing(sqlite3.connect(pool.workspace.root / "askwise.db", timeout=30)) as database:
        return database.execute(query, values).fetchall()


@contextmanager
def labeling(pool: Pool, port: int) -> Iterator[list[Annotator]]:
    """People at work while the block runs."""
    people = [Annotator(pool, port, number, PAUSE) for number in range(PEOPLE)]
    for person in people:
        person.start()
    try:
        yield people
    finally:
        for person in people:
            person.stop()
        for person in people:
            person.join()


def saved(people: list[Annotator]) -> int:
    return sum(len(person.saved) for person in people)


def wait_until_learned(pool: Pool) -> None:
    """Wait until the live ranking has seen the last answer."""
    given = "SELECT max(seq) FROM annotation WHERE project_id = ?"
    seen = "SELECT max(annotation_seq) FROM ranking WHERE project_id = ?"
    wait_for(
        lambda: ask(pool, given, pool.project_id) == ask(pool, seen, pool.project_id),
        "a ranking that has seen the last answer",
    )


def assert_exported(pool: Pool, served: Served, people: list[Annotator]) -> None:
    """The export has every acknowledged answer that was not withdrawn, once."""
    with served.connect() as connection:
        status, body = connection.ask("GET", f"/api/v1/projects/{pool.project_id}/export?format=jsonl")
    assert status == 200
    exported = [json.loads(line)["event_id"] for line in body.splitlines()]
    expected = {event for person in people for event in person.saved if event not in person.undone}
    assert len(exported) == len(set(exported))
    assert expected <= set(exported)


@dataclass
class LeftLying:
    """Items that somebody claims just before a kill and never answers: they have to come to somebody else in time."""

    project_id: int
    pool: Pool

    def claim(self, served: Served, number: int) -> list[dict[str, Any]]:
        """All that this person can get of them."""
        with served.connect(self.pool.tokens[number]) as connection:
            told = connection.post(f"/projects/{self.project_id}/claims", {"count": LEFT_LYING})
        claims: list[dict[str, Any]] = told["claims"]
        return claims

    def leave(self, served: Served) -> float:
        """Claim them and walk away; returns when the leases end."""
        claims = self.claim(served, 0)
        assert len(claims) == LEFT_LYING
        assert self.claim(served, 1) == [], "an item is leased to two people at overlap 1"
        until: float = max(claim["expires"] for claim in claims)
        assert until <= time.time() + LEASE_SECONDS
        return until

    def assert_back(self, served: Served, until: float) -> None:
        """Somebody else gets them all as soon as the leases have ended."""
        time.sleep(max(0.0, until - time.time()))
        claims = self.claim(served, 1)
        assert len(claims) == LEFT_LYING, f"only {len(claims)} of {LEFT_LYING} leases came back in time"
        given_back = {"assignment_ids": [claim["assignment_id"] for claim in claims]}
        with served.connect(self.pool.tokens[1]) as connection:
            connection.post(f"/projects/{self.project_id}/leases/release", given_back)


def left_lying(pool: Pool) -> LeftLying:
    """A project of a few items beside the one that people label."""
    me = local_user(pool.workspace)
    settings: dict[str, object] = {"lease_seconds": LEASE_SECONDS}
    project_id = create_project(pool.workspace, me, "left lying", ["a", "b"], settings=settings)
    add_items(pool.workspace, project_id, LEFT_LYING)
    return LeftLying(project_id, pool)


def prepared(tmp_path: Path, kills: int) -> Pool:
    items = max(400, kills * ITEMS_PER_KILL)
    pool = prepare(tmp_path / "workspace", items=items, annotators=PEOPLE, overlap=OVERLAP, lease_seconds=LEASE_SECONDS)
    pool.workspace.engine.dispose()
    return pool


def test_killing_the_web_process_loses_nothing(tmp_path: Path):
    pool, moments = prepared(tmp_path, WEB_KILLS), random.Random(1)
    root, lying = pool.workspace.root, left_lying(pool)
    served = serve(root)
    try:
        with labeling(pool, served.port) as people:
            for kill in range(1, WEB_KILLS + 1):
                until, before = lying.leave(served), saved(people)
                wait_for(lambda: saved(people) > before, "answers are saved again")  # noqa: B023
                time.sleep(moments.uniform(*SOON))
                served.kill()
                wait_for(lambda: not processes_of(root), "the worker ended with the web process")
                assert audit(root, pool.project_id, OVERLAP, people) == []
                print(f"web kill {kill}: {saved(people)} answers acknowledged, {saved(people) - before} since the last")
                served = serve(root, port=served.port)
                lying.assert_back(served, until)
        wait_until_learned(pool)
        assert audit(root, pool.project_id, OVERLAP, people) == []
        assert [wrong for person in people for wrong in person.wrong] == []
        assert saved(people) > WEB_KILLS
        assert_exported(pool, served, people)
    finally:
        served.stop()


def test_killing_the_worker_loses_nothing(tmp_path: Path):
    pool, moments = prepared(tmp_path, WORKER_KILLS), random.Random(2)
    root = pool.workspace.root
    pids = "SELECT count(*) FROM worker WHERE pid = ?"
    rankings = "SELECT count(*) FROM ranking"
    versions = "SELECT count(*) FROM modelversion"
    with serving(root, "--no-worker") as served:
        with labeling(pool, served.port) as people:
            for kill in range(1, WORKER_KILLS + 1):
                worker = spawn(root, "worker", str(root))
                wait_for(lambda: ask(pool, pids, worker.pid)[0][0], "the worker is heard of")  # noqa: B023
                if kill % 2:  # otherwise it may be killed before it has published anything
                    before = ask(pool, rankings)
                    wait_for(lambda: ask(pool, rankings) > before, "the worker publishes")  # noqa: B023
                time.sleep(moments.uniform(*SOON))
                worker.kill()
                worker.wait()
                assert audit(root, pool.project_id, OVERLAP, people) == []
                print(f"worker kill {kill}: {saved(people)} answers acknowledged, {ask(pool, versions)[0][0]} versions")
        last = spawn(root, "worker", str(root))
        wait_until_learned(pool)
        last.kill()
        last.wait()
        assert audit(root, pool.project_id, OVERLAP, people) == []
        assert [wrong for person in people for wrong in person.wrong] == []
        assert ask(pool, versions)[0][0] > 0
        assert_exported(pool, served, people)


def test_a_killed_worker_is_started_again_by_the_application(tmp_path: Path):
    pool = prepared(tmp_path, 0)
    with serving(pool.workspace.root) as served:
        workers = lambda: [p for p in processes_of(pool.workspace.root) if p.pid != served.process.pid]  # noqa: E731
        first = wait_for(lambda: workers() and ask(pool, "SELECT pid FROM worker"), "a worker is there")[0][0]
        for worker in workers():
            worker.kill()
        wait_for(lambda: ask(pool, "SELECT pid FROM worker WHERE pid <> ?", first), "another worker is there")
        with labeling(pool, served.port) as people:
            wait_for(lambda: saved(people) > 20, "answers are saved")
        wait_until_learned(pool)
        assert audit(pool.workspace.root, pool.project_id, OVERLAP, people) == []


def test_the_audit_finds_an_application_that_acknowledges_before_it_commits(tmp_path: Path):
    pool, moments = prepared(tmp_path, EARLY_KILLS), random.Random(3)
    root, found = pool.workspace.root, []
    served = serve(root, command=TOO_EARLY)
    try:
        with labeling(pool, served.port) as people:
            for _ in range(EARLY_KILLS):
                wait_for(lambda: saved(people) > 0, "answers are acknowledged")
                time.sleep(moments.uniform(*SOON))
                served.kill()
                found = audit(root, pool.project_id, OVERLAP, people)
                if found:
                    break
                served = serve(root, port=served.port, command=TOO_EARLY)
    finally:
        served.stop()
    assert [finding.split(":")[0] for finding in found] == ["lost"]
