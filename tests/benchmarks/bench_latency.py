"""From an accepted answer to a live ranking that has seen it, on the digits, while labeling goes on.

The clock of an answer starts when its annotator is told that it is saved, and stops when another process (this one,
reading every 10 ms) sees a ranking whose `annotation_seq` is that answer's or a later one.
"""

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from labeling.intake.import_job import request_digits
from labeling.learning.worker import work_off
from labeling.users import local_user
from labeling.workspace import open_workspace
from tests.benchmarks.report import in_ms, percentiles, print_table, scratch
from tests.serving import Connection, serving

READ_EVERY = 0.01
LAST_SECONDS = 60.0


class Watch(threading.Thread):
    """Sees each ranking go live: `(annotation_seq, monotonic time)`, the first sight of each."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[int, float]] = []
        self.done = threading.Event()
        self._path = root / "askwise.db"

    def run(self) -> None:
        newest = "SELECT id, annotation_seq FROM ranking ORDER BY id DESC LIMIT 1"
        last = None
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30)) as database:
            while not self.done.wait(READ_EVERY):
                row = database.execute(newest).fetchone()
                if row is not None and row != last:
                    last = row
                    self.seen.append((row[1], time.monotonic()))


@contextmanager
def watching(root: Path) -> Iterator[Watch]:
    """A watch while the block runs."""
    watch = Watch(root)
    watch.start()
    try:
        yield watch
    finally:
        watch.done.set()
        watch.join()


def label(connection: Connection, root: Path, answers: int, every: float) -> dict[str, object]:
    """Answer so many items rightly, one every so many seconds (0: as fast as may be), and time their rankings."""
    truth, last = _known(root)
    accepted: dict[str, float] = {}
    with watching(root) as watch:
        began = time.monotonic()
        while len(accepted) < answers:
            for claim in connection.post("/projects/1/claims", {"count": 1})["claims"]:
                event = str(uuid.uuid4())
                answer = {
                    "event_id": event, "assignment_id": claim["assignment_id"], "token": claim["token"],
                    "verdict": "label", "class_id": truth[claim["item"]["id"]], "seconds": every,
                }  # fmt: skip
                told = connection.post("/annotations", {"annotations": [answer]})["annotations"][0]
                assert told["status"] == "saved", told
                accepted[event] = time.monotonic()
            time.sleep(max(0.0, began + len(accepted) * every - time.monotonic()))
        labeled = time.monotonic() - began
        until = time.monotonic() + LAST_SECONDS
        seqs = _seqs(root, last)
        while watch.seen[-1:] == [] or watch.seen[-1][0] < max(seqs.values()):
            assert time.monotonic() < until, "the last answer was never learned"
            time.sleep(READ_EVERY)
    waits = [next(at for seq, at in watch.seen if seq >= seqs[event]) - told for event, told in accepted.items()]
    return {
        "answers": len(accepted),
        "labels before": last,
        "answers/s": len(accepted) / labeled,
        "answer to live ranking, s p50": percentiles(waits)[0],
        "p95": percentiles(waits)[1],
        "most": max(waits),
        **_where_the_time_goes(root, last),
    }


def _known(root: Path) -> tuple[dict[int, int], int]:
    """The id of each item's true class, and the newest answer so far."""
    with closing(sqlite3.connect(root / "askwise.db", timeout=30)) as database:
        truth = dict(database.execute("SELECT id, known_class_id FROM item").fetchall())
        return truth, database.execute("SELECT coalesce(max(seq), 0) FROM annotation").fetchone()[0]


def _seqs(root: Path, after: int) -> dict[str, int]:
    with closing(sqlite3.connect(root / "askwise.db", timeout=30)) as database:
        return dict(database.execute("SELECT id, seq FROM annotation WHERE seq > ?", (after,)).fetchall())


def _where_the_time_goes(root: Path, after: int) -> dict[str, object]:
    """The stages of the training jobs that saw these answers, in ms, median / 95th percentile."""
    jobs = (
        "SELECT started - created, finished - started FROM job WHERE kind = 'train' AND state = 'done'"
        " AND created >= (SELECT created FROM annotation WHERE seq > ? ORDER BY seq LIMIT 1)"
    )
    fits = "SELECT seconds FROM modelversion WHERE annotation_seq > ?"
    with closing(sqlite3.connect(root / "askwise.db", timeout=30)) as database:
        waited, ran = zip(*database.execute(jobs, (after,)).fetchall(), strict=True)
        fitted = [row[0] for row in database.execute(fits, (after,)).fetchall()]
    rest = [max(0.0, percentiles(ran)[0] - percentiles(fitted)[0])]
    return {
        "model versions": len(fitted),
        "job waits, ms p50 / p95": in_ms(waited),
        "job runs": in_ms(ran),
        "of that, the fit": in_ms(fitted),
        "the rest (snapshot, rank, publish), p50": in_ms(rest).split(" ")[0],
    }


if __name__ == "__main__":
    with scratch() as root:
        workspace = open_workspace(root)
        _, job_id = request_digits(workspace, local_user(workspace))
        assert job_id is not None
        work_off(workspace, job_id, lambda _fraction, _message: None)
        workspace.engine.dispose()
        with serving(root) as served, served.connect() as connection:
            while connection.get("/health")["worker_heartbeat"] is None:  # it starts a little after the pages
                time.sleep(READ_EVERY)
            runs = {
                "one a second": label(connection, root, 60, 1.0),
                "full speed": label(connection, root, 500, 0.0),
                "one a second, later": label(connection, root, 30, 1.0),
            }
    print_table("Accepted answer to live ranking, on the digits", runs)
