"""Insights in a real browser: a click brings the items, keys do too, and a refresh takes nothing away."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.demo import demonstrating, label
from tests.serving import Served

pytestmark = pytest.mark.browser
PATIENCE = 30_000  # ms
expect.set_options(timeout=PATIENCE)
TWO_REFRESHES = 7_000  # ms
COUNTED = "the newest answers first"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo, forty answers in."""
    with demonstrating(tmp_path_factory.mktemp("insights") / "workspace", 40) as served:
        yield served


@pytest.fixture
def page(browser: Browser, demo: Served) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"http://127.0.0.1:{demo.port}/insights")
    expect(page.locator("svg.marks").first).to_be_visible(timeout=PATIENCE)
    yield page
    assert not errors
    context.close()


def open_tab(page: Page, name: str) -> Locator:
    """The choice of a figure in a tab, once that tab is there: the one before it has such a choice too."""
    page.get_by_role("tab", name=name).click()
    choice = page.get_by_role("tabpanel", name=name).get_by_role("combobox", name="Items behind")
    expect(choice).to_be_visible(timeout=PATIENCE)
    return choice


def click_until_it_counts(page: Page, marks: Locator) -> None:
    """Click one mark after the other until the items of one are there: a chart takes clicks a moment after it shows."""
    expect(marks.first).to_be_visible(timeout=PATIENCE)
    for place in range(marks.count()):
        marks.nth(place).click(force=True)
        with suppress(AssertionError):
            expect(page.get_by_text(COUNTED)).to_be_visible(timeout=PATIENCE / 5)
            return
    raise AssertionError("no click brought any items")


def press_until_it_is_open(page: Page, choice: Locator) -> None:
    """Open a list by key: of the lists of a page, the first that is opened may close again at once (Streamlit 1.67)."""
    for _ in range(3):
        choice.press("ArrowDown")
        page.wait_for_timeout(1000)
        if page.get_by_role("option").count():
            return
    raise AssertionError("no key opened the list")


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in ("serious", "critical")]


def test_a_click_on_a_dot_brings_its_items_and_a_refresh_leaves_them(page: Page, demo: Served) -> None:
    dots = page.locator("svg.marks .mark-symbol path[aria-roledescription=circle]")
    click_until_it_counts(page, dots)
    expect(page.get_by_test_id("stImage").first).to_be_visible()
    chosen = page.get_by_role("combobox", name="Items behind").first
    before = chosen.input_value() or chosen.inner_text()
    with demo.connect() as connection:
        label(connection, 2)
    page.wait_for_timeout(TWO_REFRESHES)
    expect(page.get_by_text(COUNTED)).to_be_visible()
    assert (chosen.input_value() or chosen.inner_text()) == before
    assert serious(page) == []


def test_a_click_on_a_cell_brings_what_was_taken_for_another_class(page: Page) -> None:
    open_tab(page, "Classes")
    cells = page.locator("svg.marks .mark-rect path[aria-roledescription='rect mark']")
    click_until_it_counts(page, cells)
    assert serious(page) == []


def test_keys_alone_bring_the_items_of_a_person(page: Page) -> None:
    press_until_it_is_open(page, open_tab(page, "People"))
    page.wait_for_timeout(TWO_REFRESHES)
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_text(COUNTED)).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Page 2").press("Enter")
    page.wait_for_timeout(TWO_REFRESHES)
    expect(page.get_by_role("button", name="Page 2")).to_have_attribute("aria-current", "page")
    assert serious(page) == []
