"""Eight annotators at once over REST against the real application, and submissions that are repeated.

The clients are threads of this process, each with one keep-alive connection of the standard library; the share of a
core that they took is printed beside the figures, since on a small machine they compete with the application.
"""

import json
import random
import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.benchmarks.report import in_ms, print_table, scratch
from tests.serving import Pool, Served, prepare, serving

PEOPLE = 8
ANSWERS = 500
CLAIMED_AT_ONCE = 8
SUBMISSIONS = 10_000
REPEATED = 0.3
SENT_AT_ONCE = 10


@dataclass
class Seen:
    """What one client saw."""

    claims: list[float] = field(default_factory=list)  # seconds each
    submits: list[float] = field(default_factory=list)
    outcomes: list[tuple[str, str]] = field(default_factory=list)  # event id, status
    wrong: list[str] = field(default_factory=list)  # anything but a 200


def annotate(pool: Pool, served: Served, number: int, start: threading.Barrier, answers: int) -> Seen:
    """Claim and answer, one submission for each answer, until so many are saved or there is nothing left."""
    seen = Seen()
    with served.connect(pool.tokens[number]) as connection:

        def ask(path: str, body: object, took: list[float]) -> Any:
            began = time.perf_counter()
            status, answer = connection.ask("POST", f"/api/v1{path}", body)
            took.append(time.perf_counter() - began)
            if status != 200:
                seen.wrong.append(f"{path}: {status} {answer[:300]!r}")
            return json.loads(answer)

        start.wait()
        saved = 0
        while saved < answers:
            count = min(CLAIMED_AT_ONCE, answers - saved)
            claims = ask(f"/projects/{pool.project_id}/claims", {"count": count}, seen.claims)["claims"]
            if not claims:
                break
            for claim in claims:
                told = ask("/annotations", {"annotations": [answer_to(pool, claim)]}, seen.submits)["annotations"][0]
                seen.outcomes.append((told["event_id"], told["status"]))
                saved += told["status"] == "saved"
    return seen


def answer_to(pool: Pool, claim: dict[str, Any]) -> dict[str, Any]:
    """The right answer to a claimed item, as it is sent."""
    return {
        "event_id": str(uuid.uuid4()), "assignment_id": claim["assignment_id"], "token": claim["token"],
        "verdict": "label", "class_id": pool.truth(claim), "seconds": 1.0,
    }  # fmt: skip


@dataclass(frozen=True)
class Effort:
    """How long something took, and how much of it each side was computing (seconds of one core)."""

    seconds: float
    clients: float
    web: float


def together(count: int, served: Served, work: Callable[[int, threading.Barrier], Seen]) -> tuple[list[Seen], Effort]:
    """Run `work` in so many threads at once; returns what they saw and what it took."""
    start, seen = threading.Barrier(count + 1), [Seen() for _ in range(count)]

    def run(number: int) -> None:
        seen[number] = work(number, start)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    web = psutil.Process(served.process.pid)
    before = sum(web.cpu_times()[:2])
    start.wait()
    began, busy = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.join()
    effort = Effort(time.perf_counter() - began, time.process_time() - busy, sum(web.cpu_times()[:2]) - before)
    return seen, effort


def check(pool: Pool, served: Served, overlap: int, saved: Sequence[str]) -> dict[str, object]:
    """What the database and the export say of the answers that were saved."""
    with closing(sqlite3.connect(pool.workspace.root / "askwise.db", timeout=30)) as database:
        stored = [row[0] for row in database.execute("SELECT id FROM annotation")]
        per_item = database.execute(
            "SELECT count(*), count(DISTINCT user_id) FROM annotation GROUP BY item_id"
        ).fetchall()
        versions = database.execute("SELECT count(*) FROM modelversion").fetchone()[0]
        whole = database.execute("PRAGMA integrity_check").fetchone()[0]
    with served.connect() as connection:
        status, body = connection.ask("GET", f"/api/v1/projects/{pool.project_id}/export?format=jsonl")
    assert status == 200, body
    exported = Counter(json.loads(line)["event_id"] for line in body.splitlines())
    return {
        "lost": len(set(saved) - set(stored)) + len(set(saved) - set(exported)),
        "more than once": sum(n > 1 for n in [*Counter(stored).values(), *exported.values()]),
        "beyond overlap": sum(n > overlap or n != people for n, people in per_item),
        "versions": versions,
        "integrity": whole,
    }


def lock_errors(served: Served) -> int:
    """How often the application's log speaks of a locked database."""
    log = served.root.with_name(f"{served.root.name}.log").read_text(errors="replace")
    return log.count("database is locked") + log.count("OperationalError")


def synchronous(pool: Pool) -> str:
    """What the application's own connections are set to."""
    with pool.workspace.engine.connect() as connection:
        level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    return f"{ {0: 'OFF', 1: 'NORMAL', 2: 'FULL', 3: 'EXTRA'}[level] }, journal {journal}"


def bench_annotators(overlap: int, items: int, answers: int = ANSWERS) -> dict[str, object]:
    """All annotators at once, the worker learning at the same time."""
    with scratch() as root:
        pool = prepare(root, items=items, annotators=PEOPLE, overlap=overlap)
        journal = synchronous(pool)
        pool.workspace.engine.dispose()
        with serving(root) as served:
            seen, effort = together(PEOPLE, served, lambda n, start: annotate(pool, served, n, start, answers))
            saved = [event for one in seen for event, status in one.outcomes if status == "saved"]
            wrong = [what for one in seen for what in one.wrong]
            for what in wrong[:5]:
                print(what)
            return {
                "saved": len(saved),
                "refused": sum(status == "refused" for one in seen for _, status in one.outcomes),
                "not 200": len(wrong),
                "lock errors": lock_errors(served),
                **check(pool, served, overlap, saved),
                "submit ms p50 / p95": in_ms([s for one in seen for s in one.submits]),
                "claim ms p50 / p95": in_ms([s for one in seen for s in one.claims]),
                "answers/s": len(saved) / effort.seconds,
                "web process, ms of one core per answer": 1000 * effort.web / len(saved),
                "clients, share of one core": effort.clients / effort.seconds,
                "synchronous": journal,
            }


def bench_repeats(submissions: int = SUBMISSIONS) -> dict[str, object]:
    """So many submissions, three in ten of them sent again on another connection, in any order and at the same time."""
    answers = round(submissions * (1 - REPEATED))
    with scratch() as root:
        pool = prepare(root, items=answers, annotators=PEOPLE, lease_seconds=3600)
        pool.workspace.engine.dispose()
        with serving(root) as served:
            shares = [claimed(pool, served, number, answers // PEOPLE) for number in range(PEOPLE)]
            rng = random.Random(0)
            sendings = []
            for share in shares:
                again = [rng.choice(share) for _ in range(round(submissions / PEOPLE) - len(share))]
                both = rng.sample(share + again, len(share) + len(again))
                sendings += [both[: len(both) // 2], both[len(both) // 2 :]]  # the two connections of one person
            seen, effort = together(2 * PEOPLE, served, lambda n, start: send(pool, served, n // 2, sendings[n], start))
            told: dict[str, list[str]] = {}
            for one in seen:
                for event, status in one.outcomes:
                    told.setdefault(event, []).append(status)
            statuses = Counter(status for outcomes in told.values() for status in outcomes)
            once = sum(sorted(outcomes) == ["repeated"] * (len(outcomes) - 1) + ["saved"] for outcomes in told.values())
            return {
                "submissions": sum(statuses.values()),
                **{status: statuses[status] for status in ("saved", "repeated", "refused")},
                "events": len(told),
                "saved once, else repeated": once,
                "not 200": sum(len(one.wrong) for one in seen),
                "lock errors": lock_errors(served),
                **check(pool, served, 1, list(told)),
                f"ms per {SENT_AT_ONCE} p50 / p95": in_ms([s for one in seen for s in one.submits]),
                "submissions/s": sum(statuses.values()) / effort.seconds,
                "web process, ms of one core per submission": 1000 * effort.web / sum(statuses.values()),
                "clients, share of one core": effort.clients / effort.seconds,
            }


def claimed(pool: Pool, served: Served, number: int, count: int) -> list[dict[str, Any]]:
    """Answers of one person to so many items, ready to be sent."""
    answers: list[dict[str, Any]] = []
    with served.connect(pool.tokens[number]) as connection:
        while len(answers) < count:
            asked = {"count": min(200, count - len(answers))}
            claims = connection.post(f"/projects/{pool.project_id}/claims", asked)["claims"]
            answers += [answer_to(pool, claim) for claim in claims]
    return answers


def send(pool: Pool, served: Served, number: int, answers: list[dict[str, Any]], start: threading.Barrier) -> Seen:
    """Send one connection's share, a few answers in each request."""
    seen = Seen()
    with served.connect(pool.tokens[number]) as connection:
        start.wait()
        for at in range(0, len(answers), SENT_AT_ONCE):
            began = time.perf_counter()
            body = {"annotations": answers[at : at + SENT_AT_ONCE]}
            status, answer = connection.ask("POST", "/api/v1/annotations", body)
            seen.submits.append(time.perf_counter() - began)
            if status == 200:
                seen.outcomes += [(one["event_id"], one["status"]) for one in json.loads(answer)["annotations"]]
            else:
                seen.wrong.append(f"{status} {answer[:300]!r}")
    return seen


if __name__ == "__main__":
    # At overlap 2 there are hardly more places than answers, so that nearly every item is shared.
    runs = {"overlap 1": bench_annotators(1, 4100), "overlap 2": bench_annotators(2, 2100)}
    print_table(f"{PEOPLE} annotators x {ANSWERS} answers at once over REST, the worker learning meanwhile", runs)
    print_table("Repeated submissions", {"overlap 1": bench_repeats()})
