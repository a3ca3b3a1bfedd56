"""The Simulate tab in a real browser, with the application's own worker: from a click to curves that stay."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.demo import demonstrating
from tests.browser.test_pages import visiting
from tests.serving import Served

pytestmark = pytest.mark.browser
LONG = 240_000  # ms: a simulation on a machine that is busy with other tests


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with demonstrating(tmp_path_factory.mktemp("simulate") / "workspace") as served:
        yield served


def test_the_demo_is_simulated_while_people_could_label_and_a_reload_keeps_the_result(browser: Browser, demo: Served):
    with visiting(browser, demo) as visit:
        page = visit.page
        visit.open("insights")
        page.get_by_role("tab", name="Simulate").click()
        page.get_by_role("spinbutton", name="Repetitions").fill("2")
        page.get_by_role("spinbutton", name="Labels").fill("30")
        page.get_by_role("button", name="Simulate", exact=True).click()
        expect(page.get_by_role("progressbar").first).to_be_visible()
        expect(page.get_by_text("What it means")).to_be_visible(timeout=LONG)
        page.reload()
        page.get_by_role("tab", name="Simulate").click()
        expect(page.get_by_text("What it means")).to_be_visible()
        expect(page.get_by_text("of random")).to_be_visible()
        expect(page.locator("svg.marks")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 900, 420])
def test_the_tab_fits(browser: Browser, demo: Served, width: int, scheme: str):
    with visiting(browser, demo, width, scheme) as visit:
        visit.open("insights")
        visit.page.get_by_role("tab", name="Simulate").click()
        expect(visit.page.get_by_role("button", name="Simulate", exact=True)).to_be_visible()
        visit.page.wait_for_timeout(500)
        too_wide = "(main) => main.scrollWidth - main.clientWidth"
        assert visit.page.get_by_test_id("stMain").evaluate(too_wide) <= 0
