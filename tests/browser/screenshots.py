"""Pictures of each page, light and dark, of a demo that somebody has been labeling.

python tests/browser/screenshots.py                    # docs/images/<page>-<light|dark>.png
python tests/browser/screenshots.py --all-widths DIR   # DIR/<page>-<light|dark>-<width>.png
"""

import argparse
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from sklearn.datasets import load_digits

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PAGES = {"projects": "/", "label": "/label", "insights": "/insights", "export": "/export"}
SCHEMES = ("light", "dark")
WIDTHS = (1400, 900, 420)
LABELS = 60
COLORS = 255  # of a picture's palette: the pages are flat, and small files are kind to a repository


@contextmanager
def demo() -> Iterator[httpx.Client]:
    """A throwaway demo on a free port, as a client of its API; everything is gone afterwards."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "ASKWISE_PORT": str(port), "ASKWISE_WORKSPACE": folder}
        environment.pop("ASKWISE_DATABASE_URL", None)
        app = subprocess.Popen(
            [sys.executable, "-m", "labeling", "demo"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"X-Askwise": "1"}, timeout=30) as client:
                wait_until(lambda: client.get("/api/v1/health").is_success)
                yield client
        finally:
            app.terminate()
            app.wait(15)


def wait_until(reached, seconds: float = 90) -> None:
    """Wait until something is so; until the app listens, asking it raises."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if reached():
                return
        time.sleep(0.1)
    raise TimeoutError(f"not so within {seconds:.0f} s")


def label(client: httpx.Client, count: int, project: int = 1, pause: float = 0.3) -> None:
    """Answer `count` items of the digits project rightly, at a person's pace once there is a model to learn."""
    truth = load_digits().target
    read = f"/api/v1/projects/{project}"
    classes = {c["name"]: c["id"] for c in client.get(read).json()["classes"]}
    for done in range(count):
        (claim,) = client.post(f"{read}/claims", json={"count": 1}).json()["claims"]
        answer = {
            "event_id": str(uuid.uuid4()), "assignment_id": claim["assignment_id"], "token": claim["token"],
            "verdict": "skip" if done % 23 == 22 else "label", "seconds": 1.1,
        }  # fmt: skip
        if answer["verdict"] == "label":
            answer["class_id"] = classes[str(truth[int(claim["item"]["external_id"][-4:])])]
        (outcome,) = client.post("/api/v1/annotations", json={"annotations": [answer]}).json()["annotations"]
        assert outcome["status"] == "saved", outcome
        time.sleep(pause)
    wait_until(lambda: not client.get(read).json()["live"]["learning"])


def pictures(browser: Browser, address: str, widths: tuple[int, ...] = WIDTHS[:1]) -> Iterator[tuple[str, int, bytes]]:
    """Each page in each scheme and width: name, width, PNG."""
    for scheme in SCHEMES:
        for width in widths:
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
            )
            page = context.new_page()
            for name, path in PAGES.items():
                page.goto(address + path)
                page.get_by_test_id("stApp").wait_for()
                page.wait_for_timeout(4000)  # charts draw and items arrive by themselves
                height = page.get_by_test_id("stMain").evaluate("(main) => main.scrollHeight")
                page.set_viewport_size({"width": width, "height": min(max(height, 900), 2400)})
                page.wait_for_timeout(700)
                yield f"{name}-{scheme}", width, page.screenshot()
                page.set_viewport_size({"width": width, "height": 900})
            context.close()


def small(png: bytes) -> bytes:
    """The picture with a palette."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    return out.getvalue()


def main() -> None:
    """Take the pictures that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all-widths", type=Path, metavar="DIR", help="take every width, into this folder")
    parser.add_argument("--address", help="of an app that runs already, instead of a throwaway demo")
    given = parser.parse_args()
    folder = given.all_widths or ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        executable = str(CHROMIUM) if CHROMIUM.exists() else None
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)

        def take(address: str) -> None:
            for name, width, png in pictures(browser, address, WIDTHS if given.all_widths else WIDTHS[:1]):
                path = folder / (f"{name}-{width}.png" if given.all_widths else f"{name}.png")
                path.write_bytes(small(png))
                print(f"{path}: {path.stat().st_size // 1000} kB")

        if given.address:
            take(given.address)
        else:
            with demo() as client:
                label(client, LABELS)
                take(str(client.base_url).rstrip("/"))
        browser.close()


if __name__ == "__main__":
    main()
