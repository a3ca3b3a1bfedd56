"""A million answered texts to JSON Lines and Parquet, by the command line and over REST: time, and peak memory.

The memory is that of the exporting process alone: of the command, and of the web process that serves the download.
"""

import http.client
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil

from labeling.classes import classes_of
from labeling.db.engine import reading
from labeling.projects import create_project
from labeling.users import local_user
from labeling.workspace import open_workspace
from tests.benchmarks.report import print_table, scratch
from tests.serving import serving, spawn

ROWS = 1_000_000
RUNS = (("jsonl", "answers"), ("jsonl", "labels"), ("parquet", "answers"), ("parquet", "labels"))
LOOK_SECONDS = 0.02  # between two looks at the memory
BLOCK = 2**20

WORDS = ("the", "markets", "rose", "on", "news", "that", "a", "team", "of", "players", "would", "move", "to", "Ulm")


def fill(root: Path, rows: int) -> int:
    """A project with so many texts of about 180 characters, each with metadata and one answer; returns its id."""
    workspace = open_workspace(root)
    me = local_user(workspace)
    project = create_project(workspace, me, "texts", ["world", "sports", "business", "science"])
    with reading(workspace.engine) as session:
        classes = [c.id for c in classes_of(session, project)]
    items = (
        (n, project, f"news-{n}", f"{n:064x}", " ".join(WORDS[(n * 7 + k) % len(WORDS)] for k in range(40)) + f" {n}",
         f'{{"site": "site {n % 7}"}}', n, 1, 0.0)
        for n in range(1, rows + 1)
    )  # fmt: skip
    answers = (
        (
            n,
            f"00000000-0000-4000-8000-{n:012x}",
            project,
            n,
            me,
            "label",
            classes[n % 4],
            "",
            0,
            0,
            2.5,
            float(n),
            "asked",
        )
        for n in range(1, rows + 1)
    )
    with closing(workspace.engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=OFF")
        cursor.execute("BEGIN IMMEDIATE")
        cursor.executemany(
            "INSERT INTO item (id, project_id, external_id, content_hash, text, meta, row, answers, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", items,
        )  # fmt: skip
        cursor.executemany(
            "INSERT INTO annotation (seq, id, project_id, item_id, user_id, verdict, class_id, note, flagged,"
            " suggestion_shown, seconds, created, origin) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", answers,
        )  # fmt: skip
        cursor.execute("COMMIT")
    workspace.engine.dispose()
    return project


def peak(process: psutil.Process) -> float:
    """The most memory that a process has held so far, in MB, where the system keeps count; what it holds, elsewhere."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1000
    return process.memory_info().rss / 1e6


def by_command(root: Path, out: Path, format: str, rows: str) -> dict[str, object]:
    """`askwise export`, from its start to its end."""
    words = ("export", "texts", "--format", format, "--rows", rows, "--out", str(out), "--json", "-w", str(root))
    began, most, busy = time.perf_counter(), 0.0, 0.0
    with spawn(root, *words) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                most, busy = max(most, peak(watched)), sum(watched.cpu_times()[:2])
            except (OSError, StopIteration, psutil.NoSuchProcess):  # it has ended
                break
            time.sleep(LOOK_SECONDS)
        took = time.perf_counter() - began
    assert process.returncode == 0
    (file,) = out.iterdir()
    size = file.stat().st_size
    file.unlink()
    return {"seconds": took, "of one core": busy, "peak MB": most, "file MB": size / 1e6}


def over_rest(root: Path, project: int, format: str, rows: str) -> dict[str, object]:
    """A download, from the request to the last byte; the memory includes the pages' own."""
    with serving(root, "--no-worker") as served:
        web = psutil.Process(served.process.pid)
        before, busy = peak(web), sum(web.cpu_times()[:2])
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=600)
        began, size = time.perf_counter(), 0
        connection.request("GET", f"/api/v1/projects/{project}/export?format={format}&rows={rows}")
        response = connection.getresponse()
        assert response.status == 200
        while block := response.read(BLOCK):
            size += len(block)
        took = time.perf_counter() - began
        connection.close()
        busy = sum(web.cpu_times()[:2]) - busy
        most = {"peak MB": peak(web), "peak MB before": before}
        return {"seconds": took, "of one core": busy, **most, "file MB": size / 1e6}


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with scratch() as root:
        made = fill(root, count)
        out = root.with_name("out")
        out.mkdir()
        commands = {f"{format}, {rows}": by_command(root, out, format, rows) for format, rows in RUNS}
        print_table(f"askwise export of {count:,} texts with an answer each", commands)
        downloads = {f"{format}, {rows}": over_rest(root, made, format, rows) for format, rows in RUNS}
        print_table(f"GET …/export of {count:,} texts with an answer each", downloads)
