"""Real pools through the real page: photos and news, imported in Chromium, a hundred of each labeled by key."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.driving import ROOT, Labeller
from tests.browser.test_import import choose
from tests.browser.test_pages import visiting
from tests.serving import Served, serve

pytestmark = [pytest.mark.browser, pytest.mark.slow]
DATA = ROOT.parent / "shared" / "data"
LABELS = 100
PACE = 100  # ms between an item's appearing and its answer
MINUTES = 4  # that an import and its features may take on a busy machine


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    running = serve(tmp_path / "workspace")
    yield running
    running.stop()


class Knowing(Labeller):
    """Somebody who knows the classes that came with the items."""

    def __init__(self, page: Page, served: Served) -> None:
        super().__init__(page, f"http://127.0.0.1:{served.port}")
        with closing(sqlite3.connect(served.root / "askwise.db")) as database:
            known = "SELECT item.id, key FROM item JOIN labelclass ON labelclass.id = known_class_id"
            self.keys: dict[int, str] = dict(database.execute(known).fetchall())

    def label(self, count: int) -> None:
        self.page.goto(f"{self.address}/label")
        self.wait_painted(1)
        for _ in range(count):
            self.page.wait_for_timeout(PACE)
            shown = self.item
            self.page.keyboard.press(self.keys[shown])
            self.page.wait_for_function("(before) => window.painted.at(-1).item !== before", arg=shown)
        self.wait_saved()


@pytest.mark.parametrize(
    ("file", "kind", "items", "classes"),
    [("cifar10h.zip", "images", 6000, 10), ("agnews.csv.gz", "texts", 7600, 4)],
)
def test_a_real_pool_is_imported_and_a_hundred_of_its_items_are_labeled(
    browser: Browser, served: Served, file: str, kind: str, items: int, classes: int
) -> None:
    if not (DATA / file).exists():
        pytest.skip(f"{file} is not on this machine")
    with served.connect() as connection:
        made = connection.post("/projects", {"name": "Pool"})["id"]
    with visiting(browser, served) as visit:
        dialog = choose(visit, "Pool", DATA / file)
        dialog.get_by_role("button", name=f"Import {kind}").click()
        with served.connect() as connection:
            until = time.monotonic() + MINUTES * 60
            while connection.get(f"/projects/{made}")["live"]["ranking"] is None:  # the pool is in, encoded and ranked
                assert time.monotonic() < until, connection.get(f"/projects/{made}")
                visit.page.wait_for_timeout(500)
    with closing(sqlite3.connect(served.root / "askwise.db")) as database:
        assert database.execute("SELECT count(*), count(DISTINCT known_class_id) FROM item").fetchone() == (
            items,
            classes,
        )
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    person = Knowing(context.new_page(), served)
    person.label(LABELS)
    context.close()
    with closing(sqlite3.connect(served.root / "askwise.db")) as database:
        agreeing = "SELECT count(*), sum(class_id = known_class_id) FROM annotation JOIN item ON item.id = item_id"
        assert database.execute(agreeing).fetchone() == (LABELS, LABELS)
    with served.connect() as connection:
        live = connection.get(f"/projects/{made}")["live"]
    assert (live["labels"], live["items"]) == (LABELS, items)
    assert live["model_version"] >= 2
