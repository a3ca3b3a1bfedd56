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
from tests.browser.team_at_work import EXPERT, OWNER, sign_in, team_at_work

PAGES = {
    "projects": "",
    "label": "label",
    "grid": "label?view=grid",
    "insights": "insights",
    "settings": "settings",
    "export": "export",
}
# Of a team's project: who looks at it, where, and which tab.
TEAM_PAGES = {
    "review": (EXPERT, "review", ""),
    "agreement": (OWNER, "insights", "Agreement"),
    "people": (OWNER, "insights", "People"),
    "team": (OWNER, "team", ""),
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
                yield f"{name}-{scheme}", width, whole(page)
            context.close()


def pictures_of_a_team(browser: Browser, address: str, widths: Sequence[int]) -> Iterator[tuple[str, int, bytes]]:
    """The same of what only teams see, each signed in."""
    for scheme in SCHEMES:
        for name, (who, path, tab) in TEAM_PAGES.items():
            context = browser.new_context(color_scheme=scheme, reduced_motion="reduce")
            page = context.new_page()
            sign_in(page, address, who)
            for width in widths:
                page.set_viewport_size({"width": width, "height": HEIGHT})
                page.goto(f"{address}/{path}")
                if tab:
                    wait_until_still(page)
                    page.get_by_role("tab", name=tab).click()
                yield f"{name}-{scheme}", width, whole(page)
            context.close()


def whole(page: Page) -> bytes:
    """A picture of the page as far as it reaches down, when it is still."""
    wait_until_still(page)
    height = page.get_by_test_id("stMain").evaluate("(main) => main.scrollHeight")
    width = (page.viewport_size or {"width": WIDTHS[0]})["width"]
    page.set_viewport_size({"width": width, "height": min(max(height, HEIGHT), TALLEST)})
    wait_until_still(page)
    return page.screenshot()


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
    widths = WIDTHS if everywhere else WIDTHS[:1]
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = launch(playwright)
        with demonstrating(Path(scratch) / "workspace", LABELS) as served:
            keep(pictures(browser, f"http://127.0.0.1:{served.port}", widths), folder, named=everywhere is not None)
        with team_at_work(Path(scratch) / "team") as served:
            address = f"http://127.0.0.1:{served.port}"
            keep(pictures_of_a_team(browser, address, widths), folder, named=everywhere is not None)
        browser.close()


def keep(made: Iterator[tuple[str, int, bytes]], folder: Path, *, named: bool) -> None:
    """Write pictures into a folder, named by their width too where there are several."""
    for name, width, png in made:
        path = folder / (f"{name}-{width}.png" if named else f"{name}.png")
        path.write_bytes(small(png))
        print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
