"""Pictures of each page, light and dark, of a demo that somebody has been labeling.

python tests/browser/screenshots.py                     docs/images/<page>-<light|dark>.png
python tests/browser/screenshots.py --all-widths DIR    DIR/<page>-<light|dark>-<width>.png
"""

import argparse
import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.demo import demonstrating
from tests.browser.driving import ROOT, launch

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
COLORS = 255  # of a picture's palette: the pages are flat, and small files are kind to a repository


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
    with (
        tempfile.TemporaryDirectory() as scratch,
        demonstrating(Path(scratch) / "workspace", LABELS) as served,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        address = f"http://127.0.0.1:{served.port}"
        for name, width, png in pictures(browser, address, WIDTHS if everywhere else WIDTHS[:1]):
            path = folder / (f"{name}-{width}.png" if everywhere else f"{name}.png")
            path.write_bytes(small(png))
            print(f"{path}: {path.stat().st_size // 1000} kB")
        browser.close()


if __name__ == "__main__":
    main()
