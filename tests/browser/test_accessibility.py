"""Axe finds no serious fault on any page, with work on it or without, light and dark."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.demo import demonstrating
from tests.browser.screenshots import wait_until_still
from tests.serving import Served, serve

pytestmark = pytest.mark.browser
LABELS = 30
PAGES = ("", "label", "label?view=grid", "review", "insights", "settings", "export", "team")
TABS = {
    "insights": ("Classes", "People", "Agreement", "Simulate"),
    "settings": ("Words", "Labeling", "Near-duplicates", "History"),
}


@pytest.fixture(scope="module")
def worked_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with demonstrating(tmp_path_factory.mktemp("accessible") / "workspace", LABELS) as served:
        yield served


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = serve(tmp_path_factory.mktemp("accessible") / "empty")
    yield served
    served.stop()


def serious(page: Page) -> list[str]:
    """What axe calls serious or critical: the rule, and the first place."""
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {fault['nodes'][0]['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


def visit(browser: Browser, served: Served, path: str, scheme: Any) -> Iterator[Page]:
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{served.port}/{path}")
    wait_until_still(page)
    yield page
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious_on_a_page_at_work(
    browser: Browser, worked_on: Served, path: str, scheme: str
) -> None:
    for page in visit(browser, worked_on, path, scheme):
        found = serious(page)
        for tab in TABS.get(path, ()):
            page.get_by_role("tab", name=tab).click()
            wait_until_still(page)
            found += [f"{tab}: {fault}" for fault in serious(page)]
        assert found == []


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious_on_an_empty_page(browser: Browser, untouched: Served, path: str) -> None:
    for page in visit(browser, untouched, path, "light"):
        assert serious(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("dialog", ["New project", "Import"])
def test_axe_finds_nothing_serious_in_a_dialog(browser: Browser, worked_on: Served, dialog: str, scheme: str) -> None:
    for page in visit(browser, worked_on, "", scheme):
        page.get_by_role("button", name=dialog, exact=True).first.click()
        page.get_by_role("dialog").wait_for()
        wait_until_still(page)
        assert serious(page) == []
