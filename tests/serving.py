"""The real application as other processes see it: started, asked over REST, killed; and a pool for it to serve."""

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from sklearn.datasets import load_digits

from labeling import jobs
from labeling.db.engine import writing
from labeling.db.schema import JobKind
from labeling.intake.importer import import_records
from labeling.intake.records import Record, Source
from labeling.learning.worker import work_off
from labeling.projects import create_project
from labeling.users import issue_token, local_user
from labeling.workspace import Workspace, open_workspace

START_SECONDS = 120.0  # far more than a start takes: machines of continuous integration are slow now and then
REQUEST_SECONDS = 60.0
COMMAND = (sys.executable, "-m", "labeling")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Connection:
    """One keep-alive connection of one user; raises `OSError` or `http.client.HTTPException` when it breaks."""

    def __init__(self, port: int, token: str | None = None) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_SECONDS)
        self._headers = {"X-Askwise": "1", "Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Send one request; returns the status and the body."""
        sent = None if body is None else json.dumps(body).encode()
        try:
            self._http.request(method, path, sent, self._headers)
            response = self._http.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def get(self, path: str) -> Any:
        """The JSON at a path of the API that has to be there."""
        return self._wanted("GET", path, None)

    def post(self, path: str, body: object) -> Any:
        """What the API answers to a write that has to succeed."""
        return self._wanted("POST", path, body)

    def close(self) -> None:
        """Hang up; the next request connects again."""
        self._http.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wanted(self, method: str, path: str, body: object) -> Any:
        status, answer = self.ask(method, f"/api/v1{path}", body)
        if status >= 300:
            raise AssertionError(f"{method} {path}: {status} {answer.decode(errors='replace')[:500]}")
        return json.loads(answer)


@dataclass
class Served:
    """The application, running on a workspace."""

    root: Path
    port: int
    process: subprocess.Popen[bytes]

    def connect(self, token: str | None = None) -> Connection:
        """A connection of a token's user, or of the local one."""
        return Connection(self.port, token)

    def kill(self) -> None:
        """`kill -9` of this one process; what it had started is left to notice."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the application and whatever is left of it."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        for left in processes_of(self.root):
            with suppress(psutil.NoSuchProcess):
                left.kill()
        self.process.wait()


def spawn(root: Path, *arguments: str, command: Sequence[str] = COMMAND) -> subprocess.Popen[bytes]:
    """An Askwise command as a process of its own; what it prints goes to `<workspace>.log`."""
    environment = {name: value for name, value in os.environ.items() if name != "ASKWISE_DATABASE_URL"}
    with root.with_name(f"{root.name}.log").open("ab") as log:
        return subprocess.Popen([*command, *arguments], stdout=log, stderr=log, env=environment)


def serve(
    root: Path,
    *options: str,
    verb: str = "serve",
    port: int | None = None,
    command: Sequence[str] = COMMAND,
) -> Served:
    """Start `askwise serve` (or another verb that serves) on a workspace and wait until it answers."""
    port = port or free_port()
    served = Served(root, port, spawn(root, verb, str(root), "--port", str(port), *options, command=command))
    try:
        wait_until_healthy(served)
    except BaseException:
        served.stop()
        raise
    return served


def wait_until_healthy(served: Served) -> None:
    """Wait until the application answers `GET /api/v1/health`."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if served.process.poll() is not None:
            log = served.root.with_name(f"{served.root.name}.log").read_text(errors="replace")
            raise AssertionError(f"the application ended with {served.process.returncode}:\n{log[-3000:]}")
        with suppress(OSError, http.client.HTTPException), served.connect() as connection:
            if connection.ask("GET", "/api/v1/health")[0] in (200, 401):  # where people sign in, it asks who this is
                return
        time.sleep(0.02)
    raise AssertionError(f"the application did not answer within {START_SECONDS:.0f} s")


@contextmanager
def serving(root: Path, *options: str, verb: str = "serve") -> Iterator[Served]:
    """The application while the block runs."""
    served = serve(root, *options, verb=verb)
    try:
        yield served
    finally:
        served.stop()


def processes_of(root: Path) -> list[psutil.Process]:
    """Every process of this machine that was started on a workspace, zombies aside."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            running = process.status() != psutil.STATUS_ZOMBIE
            if running and process.pid != os.getpid() and str(root) in process.cmdline():
                found.append(process)
    return found


@dataclass(frozen=True)
class Pool:
    """A project that is ready to be labeled, and who labels it."""

    workspace: Workspace
    project_id: int
    class_ids: dict[str, int]
    tokens: list[str]

    def truth(self, claim: dict[str, Any]) -> int:
        """The id of the class that a claimed item belongs to."""
        return self.class_ids[claim["item"]["external_id"].split("-")[0]]


def prepare(root: Path, *, items: int, annotators: int, **settings: object) -> Pool:
    """A workspace with a project of `items` noisy digits that have features, and tokens for its annotators."""
    workspace = open_workspace(root)
    me = local_user(workspace)
    project_id = create_project(workspace, me, "digits", [str(digit) for digit in range(10)], settings=settings)
    add_items(workspace, project_id, items)
    tokens = [issue_token(workspace, f"annotator {n}") for n in range(annotators)]
    return Pool(workspace, project_id, class_ids(workspace, project_id), tokens)


def add_items(workspace: Workspace, project_id: int, items: int) -> None:
    """Import noisy digits into a project and give them features."""
    import_records(workspace, project_id, noisy_digits(items), actor_id=local_user(workspace))
    with writing(workspace.engine) as session:
        job_id = jobs.request(session, project_id, JobKind.ENCODE).id
    assert job_id is not None
    work_off(workspace, job_id, lambda _fraction, _message: None)


def class_ids(workspace: Workspace, project_id: int) -> dict[str, int]:
    """The id of each class of a project by its name."""
    with workspace.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, id FROM labelclass WHERE project_id = ?", (project_id,))
        return {row[0]: row[1] for row in rows}


def noisy_digits(count: int) -> Source:
    """Digits with noise, so that there are as many different ones as wanted: `7-00042` is a seven."""
    digits = load_digits()
    rng = np.random.default_rng(0)
    records = []
    for number in range(count):
        at = number % len(digits.target)
        noisy = np.clip(digits.images[at] * (255 / 16) + rng.integers(0, 32, (8, 8)), 0, 255).astype(np.uint8)
        target = str(digits.target[at])
        records.append(Record(f"{target}-{number:05d}", read=partial(_png, noisy), label=target))
    random.Random(0).shuffle(records)
    return Source("image", records, count)


def _png(pixels: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
