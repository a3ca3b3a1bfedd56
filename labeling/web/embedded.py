"""The worker that comes with the app: a process of its own, started again if it dies, gone when the app goes."""

import logging
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType

from labeling.workspace import Workspace

PATIENCE_SECONDS = 5.0
BACKOFF_SECONDS = (0.2, 1.0, 5.0)

log = logging.getLogger(__name__)


class EmbeddedWorker:
    """Runs `askwise worker` beside the app while the context is open.

    The worker holds the other end of a pipe and ends when that closes, so it does not outlive a killed app.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._command = [sys.executable, "-m", "labeling", "worker", str(workspace.root), "--until-stdin-closes"]
        self._closing = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._supervisor = threading.Thread(target=self._supervise, daemon=True, name="worker supervisor")

    def __enter__(self) -> "EmbeddedWorker":
        self._supervisor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        self._supervisor.join(PATIENCE_SECONDS)

    def _supervise(self) -> None:
        short_lives = 0
        while not self._closing.is_set():
            began = time.monotonic()
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE)
            self._process.wait()
            if self._closing.is_set():
                return
            short_lives = short_lives + 1 if time.monotonic() - began < PATIENCE_SECONDS else 0
            pause = BACKOFF_SECONDS[min(short_lives, len(BACKOFF_SECONDS) - 1)]
            log.warning("the worker ended with %s; starting it again", self._process.returncode)
            self._closing.wait(pause)
