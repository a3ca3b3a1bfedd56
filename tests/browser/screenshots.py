"""Pictures of each page, light and dark, of a demo that somebody has been labeling.

python tests/browser/screenshots.py                     docs/images/<page>-<light|dark>.png
python tests/browser/screenshots.py --all-widths DIR    DIR/<page>-<light|dark>-<width>.png
"""

import argparse
import io
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from sklearn.datasets import load_digits

from tests.browser.driving import ROOT, launch
from tests.serving import Connection, serve

PAGES = {
    "projects": "",
    "label": "label",
    "grid": "label?view=grid",
    "insights": "insights",
    "settings": "settings",
    "export": "export",
}
SCHEMES = ("light", "dark")
WIDTHS = (1400, 900, 420)
HEIGHT, TALLEST = 900, 2400
LABELS = 120
LEARNING_SECONDS = 60.0  # that a new model may take
COLORS = 255  # of a picture's palette: the pages are flat, and small files are kind to a repository


def label(connection: Connection, count: int, project: int = 1) -> None:
    """Answer items of the digits project rightly, each after the model has learned from those before it."""
    truth = load_digits().target
    read = f"/projects/{project}"
    classes = {c["name"]: c["id"] for c in connection.get(read)["classes"]}
    for done in range(1, count + 1):
        (claim,) = connection.post(f"{read}/claims", {"count": 1})["claims"]
        digit = str(truth[int(claim["item"]["external_id"].removeprefix("digits-"))])
        verdict = {"verdict": "skip"} if done % 20 == 0 else {"verdict": "label", "class_id": classes[digit]}
        answer = {"event_id": str(uuid.uuid4()), **{k: claim[k] for k in ("assignment_id", "token")}, "seconds": 1.1}
        (outcome,) = connection.post("/annotations", {"annotations": [{**answer, **verdict}]})["annotations"]
        assert outcome["status"] == "saved", outcome
        wait_until_learned(connection, project)


def wait_until_learned(connection: Connection, project: int = 1) -> None:
    """Wait until the model has learned from every answer there is."""
    until = time.monotonic() + LEARNING_SECONDS
    while connection.get(f"/projects/{project}")["live"]["learning"]:
        assert time.monotonic() < until, "the model is still learning"
        time.sleep(0.05)


def wait_until_still(page: Page) -> None:
    """Wait until charts and items have come and nothing moves any more."""
    before = b""
    for _ in range(40):
        page.wait_for_timeout(400)
        now = page.screenshot()
        if now == before and page.get_by_test_id("stMain").count():
            return
        before = now


def pictures(browser: Browser, address: str, widths: Sequence[int]) -> Iterator[tuple[str, int, bytes]]:
    """Each page in each scheme and width: its name, the width, a PNG."""
    for scheme in SCHEMES:
        for width in widths:
            context = browser.new_context(color_scheme=scheme, reduced_motion="reduce")
            page = context.new_page()
            page.goto(address)
            for name, path in PAGES.items():
                page.set_viewport_size({"width": width, "height": HEIGHT})
                page.goto(f"{address}/{path}")
                wait_until_still(page)
                height = page.get_by_test_id("stMain").evaluate("(main) => main.scrollHeight")
                page.set_viewport_size({"width": width, "height": min(max(height, HEIGHT), TALLEST)})
                wait_until_still(page)
                yield f"{name}-{scheme}", width, page.screenshot()
            context.close()


def small(png: bytes) -> bytes:
    """The picture with a palette."""
    flat = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    out = io.BytesIO()
    flat.save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> None:
    """Take the pictures that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all-widths", type=Path, metavar="DIR", help="every width, into this folder")
    everywhere: Path | None = parser.parse_args().all_widths
    folder = everywhere or ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        served = serve(Path(scratch) / "workspace", verb="demo")
        try:
            with served.connect() as connection:
                wait_until_learned(connection)
                label(connection, LABELS)
            with sync_playwright() as playwright:
                browser = launch(playwright)
                address = f"http://127.0.0.1:{served.port}"
                for name, width, png in pictures(browser, address, WIDTHS if everywhere else WIDTHS[:1]):
                    path = folder / (f"{name}-{width}.png" if everywhere else f"{name}.png")
                    path.write_bytes(small(png))
                    print(f"{path}: {path.stat().st_size // 1000} kB")
                browser.close()
        finally:
            served.stop()


if __name__ == "__main__":
    main()
