"""Chromium at the labeller: the server with the fake API, the test's side of it, and a person at the keyboard."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, Playwright

from tests.serving import free_port

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.contextmanager
def serving(script: Path) -> Iterator[str]:
    """Serve an app by `streamlit run` and yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    command += ["--server.headless", "true", "--server.address", "127.0.0.1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(300):
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(f"{address}/api/v1/fake").status_code == 200:
                        break
                time.sleep(0.1)
            else:
                raise TimeoutError("The test server did not start within 30 seconds.")
            yield address
        finally:
            server.terminate()


def launch(playwright: Playwright) -> Browser:
    executable = str(CHROMIUM) if CHROMIUM.exists() else None
    return playwright.chromium.launch(executable_path=executable, headless=True, args=FLAGS)


class Fake:
    """The test's side of the fake API."""

    def __init__(self, address: str) -> None:
        self.address = address

    def start(self, **settings: Any) -> None:
        httpx.post(f"{self.address}/api/v1/fake", json=settings).raise_for_status()

    def adjust(self, **settings: Any) -> None:
        httpx.patch(f"{self.address}/api/v1/fake", json=settings).raise_for_status()

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = httpx.get(f"{self.address}/api/v1/fake").json()
        return state

    def standing(self) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = self.state()["standing"]
        return answers

    def eventually(self, reached: Callable[[dict[str, Any]], bool], within: float = 15.0) -> dict[str, Any]:
        """Wait until the state is as `reached` says; fail with the last state if it never is."""
        deadline = time.monotonic() + within
        state = self.state()
        while not reached(state):
            assert time.monotonic() < deadline, f"not reached: {state}"
            time.sleep(0.05)
            state = self.state()
        return state


class Labeller:
    """A person at the labeller: waits until an item is on screen, then presses."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        page.add_init_script(
            "window.painted = [];"
            "document.addEventListener('askwise:painted', (event) => window.painted.push(event.detail));"
        )

    def open(self, query: str = "") -> None:
        self.page.goto(f"{self.address}/?{query}")
        self.wait_painted(1)

    def painted(self) -> list[dict[str, Any]]:
        painted: list[dict[str, Any]] = self.page.evaluate("window.painted")
        return painted

    def wait_painted(self, count: int) -> None:
        self.page.wait_for_function(f"window.painted.length >= {count}")

    def wait_other(self, item: int) -> None:
        """Wait until another item than this one is on screen: painting the same one again is none."""
        self.page.wait_for_function("(before) => window.painted.at(-1).item !== before", arg=item)

    def press(self, *keys: str) -> None:
        """Press each key once, each after a new item has been painted (not so after the last)."""
        for key in keys:
            count = len(self.painted())
            self.page.keyboard.press(key)
            self.wait_painted(count + 1)

    def wait_saved(self) -> None:
        self.page.wait_for_function("!Object.keys(localStorage).some((key) => key.startsWith('askwise:outbox'))")

    @property
    def item(self) -> int:
        item: int = self.painted()[-1]["item"]
        return item


def press_to_painted(person: Labeller, presses: int) -> dict[str, float]:
    """Label `presses` items and return the milliseconds from key press to the next item painted: p50, p95, worst."""
    person.press(*(str(i % 10) for i in range(presses)))
    times = [entry["painted"] - entry["pressed"] for entry in person.painted() if entry["pressed"] is not None]
    cuts = quantiles(times, n=20, method="inclusive")
    return {"p50": cuts[9], "p95": cuts[18], "worst": max(times)}
