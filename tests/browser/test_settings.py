"""Classes changed on the Settings page while somebody labels in another window."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.demo import demonstrating
from tests.browser.test_pages import Visit, visiting
from tests.serving import Served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo, a dozen answers in."""
    with demonstrating(tmp_path_factory.mktemp("settings") / "workspace", 12) as served:
        yield served


@pytest.fixture
def visit(browser: Browser, demo: Served) -> Iterator[Visit]:
    with visiting(browser, demo) as visit:
        yield visit


def row(page: Page, name: str) -> int:
    """The place of a class among the rows, by its name."""
    names = page.get_by_test_id("stMain").locator("strong").all_inner_texts()
    return names.index(name)


def test_a_class_added_renamed_and_merged_is_so_for_who_is_labeling(visit: Visit, demo: Served) -> None:
    page = visit.page
    annotator = page.context.new_page()
    annotator.goto(f"{visit.address}/label")
    expect(annotator.get_by_text("of 1,797 labeled")).to_be_visible()

    visit.open("settings")
    page.get_by_role("textbox", name="New class").fill("not a digit")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("not a digit", exact=True)).to_be_visible()
    # A digit is its own key, so the next free one is a letter; the annotator presses it.
    with demo.connect() as connection:
        added = connection.get("/projects/1")["classes"][-1]
    assert (added["name"], added["key"]) == ("not a digit", "a")

    page.get_by_role("button", name="Edit").nth(row(page, "not a digit")).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill("3")
    dialog.get_by_role("textbox", name="Description").click()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("There is a class “3” already")).to_be_visible()
    dialog.get_by_role("textbox", name="Name").fill("scribble")
    dialog.get_by_role("textbox", name="Description").fill("No digit at all.")
    dialog.get_by_role("textbox", name="Description").press("Tab")
    page.wait_for_timeout(1000)
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("No digit at all.")).to_be_visible()

    annotator.bring_to_front()
    annotator.keyboard.press("3")  # with its answer comes the news of the classes
    expect(annotator.get_by_role("button", name="scribble")).to_be_visible()
    annotator.wait_for_timeout(1000)
    annotator.keyboard.press("a")
    annotator.wait_for_timeout(2000)
    with demo.connect() as connection:
        counts = {c["name"]: c["labels"] for c in connection.get("/projects/1/classes")["classes"]}
    assert counts["scribble"] == 1

    page.bring_to_front()
    page.get_by_role("button", name="More").nth(row(page, "scribble")).click()
    page.get_by_text("Merge into another class").click()
    expect(dialog.get_by_text("1 label of it will count as “0”")).to_be_visible()
    dialog.get_by_role("button", name="Merge").click()
    page.get_by_text("Out of use: 1").click()
    expect(page.get_by_text("merged into 0")).to_be_visible()
    with demo.connect() as connection:
        merged = {c["name"]: c["labels"] for c in connection.get("/projects/1/classes")["classes"]}
    assert (merged["scribble"], merged["0"]) == (0, counts["0"] + 1)
    page.get_by_role("button", name="Bring back").click()
    expect(page.get_by_text("merged into 0")).not_to_be_visible()
    annotator.close()


def test_settings_are_saved_and_survive_a_reload(visit: Visit, demo: Served) -> None:
    visit.open("settings")
    page = visit.page
    page.get_by_role("tab", name="Labeling").click()
    guidelines = page.get_by_role("textbox", name="Guidelines")
    guidelines.fill("Look twice.")
    guidelines.press("Tab")
    expect(page.get_by_text("Saved")).to_be_visible()
    page.get_by_role("tab", name="People and answers").click()
    page.get_by_text("Hidden", exact=True).click()
    page.wait_for_timeout(1500)
    with demo.connect() as connection:
        seen = connection.get("/projects/1")
    assert (seen["guidelines"], seen["settings"]["suggestions"]) == ("Look twice.", "hide")
    page.reload()
    page.get_by_role("tab", name="Labeling").click()
    expect(page.get_by_role("textbox", name="Guidelines")).to_have_value("Look twice.")
