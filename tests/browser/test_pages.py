"""The pages in a real browser, on the real application."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.demo import demonstrating, label
from tests.serving import Served, serve

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # ms: a first visit imports what draws the charts, on a machine that may be busy
expect.set_options(timeout=PATIENCE)

HEADINGS = {"projects": "Projects", "label": None, "insights": "Insights", "settings": "Settings", "export": "Export"}
# Below the root, Streamlit's client asks for these at the page's own path first, and then at the root.
PROBED = ("/_stcore/health", "/_stcore/host-config")
WATCH_FOR_REDRAWING = """() => {
    window.redrawn = 0;
    const chart = "svg.marks";
    const drawn = (node) => node.nodeType === 1 && (node.matches(chart) || node.querySelector(chart));
    new MutationObserver((changes) => {
        window.redrawn += changes.flatMap((change) => [...change.removedNodes]).filter(drawn).length;
    }).observe(document.querySelector("[data-testid=stMain]"), { childList: true, subtree: true });
}"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo, a dozen answers in."""
    with demonstrating(tmp_path_factory.mktemp("pages") / "workspace", 12) as served:
        yield served


class Visit:
    """A browser at the application, and what went wrong in it."""

    def __init__(self, page: Page, served: Served) -> None:
        self.page = page
        self.address = f"http://127.0.0.1:{served.port}"
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda said: self._console(said.type, said.text, said.location.get("url", "")))
        page.on("request", lambda request: self._request(request.url))

    def _console(self, kind: str, text: str, url: str) -> None:
        if kind == "error" and not url.endswith(PROBED):
            self.wrong.append(f"{text} {url}")

    def _request(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.wrong.append(f"something was fetched from elsewhere: {url}")

    def open(self, name: str, query: str = "") -> None:
        self.page.goto(f"{self.address}/{'' if name == 'projects' else name}?{query}")
        heading = HEADINGS[name]
        if heading is None:
            expect(self.page.get_by_test_id("stMain").get_by_text("labeled").first).to_be_visible()
        else:
            expect(self.page.get_by_role("heading", name=heading, exact=True)).to_be_visible()


@contextmanager
def visiting(browser: Browser, served: Served, width: int = 1400, scheme: str = "light") -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    visit = Visit(context.new_page(), served)
    visit.page.set_default_timeout(PATIENCE)
    yield visit
    assert visit.page.get_by_test_id("stException").count() == 0
    assert visit.wrong == []
    context.close()


@pytest.fixture
def visit(browser: Browser, demo: Served) -> Iterator[Visit]:
    with visiting(browser, demo) as visit:
        yield visit


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 900, 420])
def test_every_page_fits_and_logs_no_error(browser: Browser, demo: Served, width: int, scheme: str) -> None:
    with visiting(browser, demo, width, scheme) as visit:
        for name in HEADINGS:
            visit.open(name)
            visit.page.wait_for_timeout(500)
            too_wide = "(main) => main.scrollWidth - main.clientWidth"
            assert visit.page.get_by_test_id("stMain").evaluate(too_wide) <= 0, name


@pytest.mark.parametrize("name", ["label", "insights", "export"])
def test_the_first_visit_may_be_to_any_page(browser: Browser, demo: Served, tmp_path: Path, name: str) -> None:
    fresh = serve(tmp_path / "workspace")
    try:
        with visiting(browser, fresh) as visit:
            visit.page.goto(f"{visit.address}/{name}")
            expect(visit.page.get_by_role("button", name="Go to Projects")).to_be_visible()
            expect(visit.page.get_by_role("link", name="Projects", exact=True)).to_be_visible()
    finally:
        fresh.stop()


def test_new_answers_move_the_charts_without_drawing_them_anew(visit: Visit, demo: Served) -> None:
    visit.open("insights")
    page = visit.page
    expect(page.locator("svg.marks")).to_have_count(2)
    page.wait_for_timeout(3500)  # a refresh
    page.evaluate(WATCH_FOR_REDRAWING)
    labels = page.get_by_test_id("stMetric").first.get_by_test_id("stMetricValue")
    before = labels.inner_text()
    with demo.connect() as connection:
        label(connection, 2)
    expect(labels).not_to_have_text(before)
    page.wait_for_timeout(500)
    assert page.evaluate("window.redrawn") == 0


def test_the_download_is_the_stream_of_the_api(visit: Visit, demo: Served) -> None:
    visit.open("export")
    visit.page.get_by_text("JSON Lines", exact=True).click()
    link = visit.page.get_by_role("link", name="Download JSON Lines")
    with visit.page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "digits.jsonl"
    with demo.connect() as connection:
        _, expected = connection.ask("GET", "/api/v1/projects/1/export?format=jsonl")
    assert Path(download.value.path()).read_bytes() == expected


def pool_of_noise(images: int) -> bytes:
    rng = np.random.default_rng(0)
    pool = io.BytesIO()
    with zipfile.ZipFile(pool, "w") as archive:
        for number in range(images):
            out = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(out, "PNG")
            archive.writestr(f"{'cats' if number % 2 else 'dogs'}/{number}.png", out.getvalue())
        archive.writestr("notes.txt", "not an image")
    return pool.getvalue()


def test_a_newcomer_makes_a_project_fills_it_and_labels_it(visit: Visit, demo: Served) -> None:
    visit.open("projects")
    page = visit.page
    page.get_by_role("button", name="New project").click()
    page.get_by_role("textbox", name="Name").fill("Pets & <b>friends</b>")
    classes = page.get_by_role("textbox", name="Classes")
    classes.fill("cats, cats")
    page.get_by_role("button", name="Create project").click()
    expect(page.get_by_text("The class “cats” is named twice; name each class once.")).to_be_visible()
    page.wait_for_timeout(2500)  # the cards behind are refreshed meanwhile
    expect(classes).to_have_value("cats, cats")
    classes.fill("cats")
    page.get_by_role("button", name="Create project").click()
    zipped = {"name": "pool.zip", "mimeType": "application/zip", "buffer": pool_of_noise(30)}
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files([zipped])  # type: ignore[list-item]
    page.get_by_role("dialog").get_by_role("button", name="Import 31 images").click()
    report = page.get_by_text("Last import: 30 added, 1 refused")
    report.click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Everything refused (CSV)").click()
    assert "notes.txt" in Path(download.value.path()).read_text(encoding="utf-8")
    page.wait_for_timeout(2500)  # a refresh leaves the report open
    expect(page.get_by_role("link", name="Everything refused (CSV)")).to_be_visible()
    page.get_by_role("button", name="Label", exact=True).last.click()
    expect(page.get_by_text("0 of 30 labeled")).to_be_visible()

    # Back to the digits by the menu: the keys then are the labeller's, not the menu's.
    page.get_by_role("button", name="Pets & <b>friends</b>").click()
    page.get_by_role("menuitem", name="digits").click()
    expect(page.get_by_text("of 1,797 labeled")).to_be_visible()
    expect(page.get_by_text("Why this one:")).to_be_visible()
    page.wait_for_timeout(1000)  # the item is there; let it be painted
    with demo.connect() as connection:
        before = connection.get("/projects/1")["labels"]
        page.keyboard.press("3")
        expect(page.get_by_text("saved 1", exact=True)).to_be_visible()
        assert connection.get("/projects/1")["labels"] == before + 1
