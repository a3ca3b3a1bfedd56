"""Finding in the grid on the real application: by an item where there is no model yet, and by words."""

import http.client
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from labeling import jobs
from labeling.db.engine import writing
from labeling.db.schema import JobKind
from labeling.intake.demo import digits_source
from labeling.intake.importer import import_records
from labeling.intake.records import Source
from labeling.projects import create_project
from labeling.users import local_user
from labeling.workspace import open_workspace
from tests.browser.demo import demonstrating
from tests.browser.test_accessibility import serious
from tests.browser.test_grid import LOOK, GridExpert
from tests.serving import Served, serving
from tests.tiny_clip import held_out_rows

pytestmark = pytest.mark.browser

DIGITS = [str(digit) for digit in range(10)]
READ_SECONDS = 120.0  # that the worker may take to load an encoder and to read a small pool


def wait_until_read(served: Served) -> None:
    """Wait until every item of the project has features and the worker is done with them."""
    until = time.monotonic() + READ_SECONDS
    with served.connect() as connection:
        while time.monotonic() < until:
            with suppress(OSError, http.client.HTTPException):
                found = connection.ask("GET", "/api/v1/projects/1/find?item_id=1&count=1")[0] == 200
                live = connection.get("/projects/1")["live"]
                if found and not live["learning"] and not live["message"].endswith("left"):
                    return
            time.sleep(0.2)
    raise AssertionError("the pool was not read in time")


@pytest.fixture(scope="module")
def unlabeled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The digits demo as it comes: no label, no model, and features that know no words."""
    with demonstrating(tmp_path_factory.mktemp("find") / "workspace") as served:
        wait_until_read(served)
        yield served


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Iterator[Served]:
    """Digits that a real, small CLIP has never seen, with its features."""
    root = tmp_path_factory.mktemp("find-words") / "workspace"
    workspace = open_workspace(root)
    me = local_user(workspace)
    project_id = create_project(workspace, me, "digits", DIGITS, settings={"encoder": f"clip:{tiny_clip}"})
    records = list(digits_source().records)
    held_out = [records[row] for row in held_out_rows()[:400]]
    import_records(workspace, project_id, Source("image", held_out, len(held_out)), actor_id=me)
    with writing(workspace.engine) as session:
        jobs.request(session, project_id, JobKind.ENCODE)
    workspace.engine.dispose()
    with serving(root) as served:
        wait_until_read(served)
        yield served


class Finder(GridExpert):
    """Somebody who looks for digits."""

    def open(self, path: str = "label?project=1&view=grid") -> None:
        self.page.goto(f"{self.address}/{path}")

    def describe(self, text: str) -> None:
        self.page.keyboard.press(":")
        expect(self.page.get_by_label("Describe what you are looking for")).to_be_focused()
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def most(self) -> str:
        """The digit that most of the screen is."""
        shown = [self.digit_of[item] for item in self.screen["items"]]
        return max(sorted(set(shown)), key=shown.count)

    def verdicts(self) -> dict[int, tuple[str, str | None]]:
        return {item: (a["verdict"], self.names.get(a["class_id"])) for item, a in self.standing().items()}


def looked(page: Page) -> Any:
    return page.locator(".looked")


def test_without_a_model_the_neighbours_of_a_digit_are_labeled_at_once_and_taken_back(
    page: Page, unlabeled: Served
) -> None:
    person = Finder(page, unlabeled)
    person.open()
    expect(page.get_by_role("heading", name="The model has nothing to say yet")).to_be_visible()
    expect(page.locator(".empty")).to_contain_text("describe them above")
    page.get_by_role("radio", name="One by one").click()
    page.locator(".external").wait_for()
    name = page.locator(".external").inner_text()
    page.keyboard.press("*")
    person.wait_screen(0)

    first = person.screen
    assert (first["like"], first["class_id"], len(first["items"])) == (name, None, 40)
    assert name.removeprefix("digits-").lstrip("0") == str(first["items"][0] - 1).lstrip("0")  # it is its own neighbour
    expect(page.locator(".lead")).to_have_text(f"Nearest to “{name}”. These are")
    page.wait_for_timeout(LOOK)
    page.keyboard.press("Enter")  # nobody has said what they are
    expect(page.locator(".exceptions .notice").last).to_contain_text("Say what these are first")
    assert person.standing() == {} and len(person.screens()) == 1

    digit = person.most()
    page.keyboard.press(digit)
    wrong = [item for item in first["items"] if person.digit_of[item] != digit]
    expect(page.locator(".confirm")).to_contain_text(f"Confirm 40 as “{digit}”")
    wanted = {item: ("label", person.digit_of[item]) for item in first["items"]}
    for item in wrong[1:]:
        person.tile(item).click()
        page.keyboard.press(person.digit_of[item])
    for item in wrong[:1]:
        person.tile(item).click()
        del wanted[item]
    page.wait_for_timeout(LOOK)
    page.keyboard.press("Enter")
    person.wait_screen(1)
    person.wait_saved()
    assert person.verdicts() == wanted
    assert len({answer["batch"] for answer in person.standing().values()}) == 1
    following = person.screen
    assert following["like"] == name and not set(following["items"]) & set(first["items"])

    page.keyboard.press("Backspace")
    page.wait_for_function("(items) => items.every((i) => window.screens.at(-1).items.includes(i))", arg=first["items"])
    person.wait_saved()
    assert person.verdicts() == {}
    assert set(page.locator(".tile.marked").evaluate_all("(all) => all.map((each) => Number(each.dataset.item))")) == {
        *wrong
    }
    assert page.get_by_label("The class that these are").input_value() == str(person.ids[digit])
    assert max(person.leased().values()) == 1


def test_single_tiles_of_what_was_found_are_answered_alone(page: Page, unlabeled: Served) -> None:
    person = Finder(page, unlabeled)
    person.open("label?project=1&view=single")
    page.locator(".external").wait_for()
    page.get_by_role("button", name="Find like this").click()
    person.wait_screen(0)
    before, items = person.verdicts(), person.screen["items"]
    for item in items[3:6]:
        person.tile(item).click()
    page.keyboard.press("7")
    person.tile(items[8]).click()
    page.keyboard.press("-")
    expect(page.locator(".confirm")).to_contain_text("Save 4, leave 36")
    page.wait_for_timeout(LOOK)
    page.keyboard.press("Enter")
    person.wait_screen(1)
    person.wait_saved()
    new = {item: answer for item, answer in person.verdicts().items() if item not in before}
    assert new == {**dict.fromkeys(items[3:6], ("label", "7")), items[8]: ("skip", None)}
    expect(page.locator(".last")).to_have_text("Saved 4, 36 left for later.")
    assert not set(person.screen["items"]) & set(items)
    page.keyboard.press("Control+z")
    page.wait_for_function("(items) => items.every((i) => window.screens.at(-1).items.includes(i))", arg=items)
    person.wait_saved()
    assert person.verdicts() == before


def test_more_comes_below_what_there_is_and_another_item_leads_elsewhere(page: Page, unlabeled: Served) -> None:
    person = Finder(page, unlabeled)
    person.open("label?project=1&view=single")
    page.locator(".external").wait_for()
    page.keyboard.press("*")
    person.wait_screen(0)
    items = person.screen["items"]
    person.tile(items[2]).click()
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".tile")).to_have_count(80)
    expect(page.locator(".tile").nth(40)).to_be_focused()
    expect(person.tile(items[2])).to_have_attribute("aria-selected", "true")
    other = page.locator(".tile").nth(70)
    item = int(other.get_attribute("data-item") or 0)
    other.hover()
    other.get_by_role("button", name=re.compile("^Find like digits-")).click()
    person.wait_screen(1)
    assert person.screen["items"][0] == item and len(person.screen["items"]) == 40
    assert page.locator(".tile.marked").count() == 0  # the press was for the button, not for its tile


def test_words_that_the_features_do_not_know_are_refused_in_one_sentence_and_nothing_is_lost(
    page: Page, unlabeled: Served
) -> None:
    person = Finder(page, unlabeled)
    person.open()
    page.get_by_role("heading", name="The model has nothing to say yet").wait_for()
    person.describe("a handwritten three")
    expect(looked(page)).to_contain_text("know no words; pick an item")
    expect(page.get_by_label("Describe what you are looking for")).to_have_value("a handwritten three")
    page.keyboard.press("Escape")
    page.get_by_role("radio", name="One by one").click()
    page.locator(".external").wait_for()
    page.keyboard.press("*")
    person.wait_screen(0)
    items = person.screen["items"]
    person.tile(items[1]).click()
    person.describe("a handwritten three")
    expect(looked(page)).to_contain_text("know no words; pick an item")
    expect(person.tile(items[1])).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    page.keyboard.press("4")
    expect(page.locator(".confirm")).to_contain_text("Save 1, leave 39")


def test_what_is_described_is_found_and_labeled_at_once(page: Page, worded: Served) -> None:
    person = Finder(page, worded)
    person.arrive()  # the words for the classes have made a model already
    before = len(person.screens())
    person.describe("a handwritten three")
    expect(looked(page)).to_have_text("Looking…")
    person.wait_screen(before)
    found = person.screen
    assert found["like"] == "a handwritten three" and person.most() == "3"
    right = [item for item in found["items"] if person.digit_of[item] == "3"]
    assert len(right) >= 0.8 * len(found["items"])
    assert person.names[found["class_id"]] == "3"  # the model believes it of most
    for item in set(found["items"]) - set(right):
        person.tile(item).click()
    page.wait_for_timeout(LOOK)
    page.keyboard.press("Enter")
    person.wait_screen(before + 1)
    person.wait_saved()
    assert person.verdicts() == dict.fromkeys(right, ("label", "3"))
    assert person.screen["like"] == "a handwritten three"
    with worded.connect() as connection:
        listed = connection.get("/projects/1/find?text=a%20handwritten%20three&count=40")["items"]
    assert {item["id"] for item in listed} == set(found["items"])
    assert {item["id"]: item["label"] for item in listed if item["label"]} == dict.fromkeys(right, "3")

    shown = len(person.screens())
    page.get_by_role("button", name="Back to the model's screens").click()
    person.wait_screen(shown)
    assert person.screen["like"] is None and person.screen["class_id"] is not None
    expect(page.get_by_label("Describe what you are looking for")).to_have_value("")
    page.keyboard.press("Backspace")
    page.wait_for_function("(items) => items.every((i) => window.screens.at(-1).items.includes(i))", arg=right)
    person.wait_saved()
    assert person.verdicts() == {}
    expect(page.get_by_label("Describe what you are looking for")).to_have_value("a handwritten three")


def test_a_project_that_hides_guesses_has_only_what_is_found(page: Page, worded: Served) -> None:
    with worded.connect() as connection:
        connection.ask("PATCH", "/api/v1/projects/1/settings", {"suggestions": "hide"})
    try:
        person = Finder(page, worded)
        person.open()
        expect(page.get_by_role("heading", name="Find something")).to_be_visible()
        person.describe("the digit seven")
        person.wait_screen(0)
        assert person.most() == "7" and person.screen["class_id"] is None
        assert page.locator(".tile[aria-label*=' sure']").count() == 0
        page.get_by_role("button", name="Back", exact=True).click()
        expect(page.get_by_role("heading", name="Find something")).to_be_visible()
    finally:
        with worded.connect() as connection:
            connection.ask("PATCH", "/api/v1/projects/1/settings", {"suggestions": "show"})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_axe_finds_nothing_serious(page: Page, unlabeled: Served, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    person = Finder(page, unlabeled)
    person.open()
    page.get_by_role("heading", name="The model has nothing to say yet").wait_for()
    assert serious(page) == []
    person.describe("a red bus")
    expect(looked(page)).to_contain_text("know no words")
    assert serious(page) == []
    person.open("label?project=1&view=single")
    page.get_by_role("button", name="Find like this").click()
    person.wait_screen(0)
    assert serious(page) == []
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    page.keyboard.press("3")
    assert serious(page) == []
