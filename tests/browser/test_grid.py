"""The grid on the real application: screens confirmed, exceptions marked, a whole screen taken back, nothing lost."""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect
from sklearn.datasets import load_digits

from tests.browser.demo import demonstrating
from tests.serving import Served

pytestmark = pytest.mark.browser

LOOK = 350  # ms that a screen is looked at: who confirms sooner is taken to have pressed twice
STANDING = "verdict <> 'undo' AND id NOT IN (SELECT supersedes FROM annotation WHERE supersedes IS NOT NULL)"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The digits, 40 of them labeled rightly."""
    with demonstrating(tmp_path_factory.mktemp("grid") / "workspace", 40) as served:
        yield served


class GridExpert:
    """Somebody who reads digits without error, at the grid."""

    def __init__(self, page: Page, served: Served) -> None:
        self.page = page
        self.served = served
        self.address = f"http://127.0.0.1:{served.port}"
        self.truth = load_digits().target
        page.add_init_script(
            "window.screens = [];"
            "document.addEventListener('askwise:screen', (event) => window.screens.push(event.detail));"
        )
        with closing(sqlite3.connect(served.root / "askwise.db", timeout=30)) as database:
            self.digit_of: dict[int, str] = {
                item: str(self.truth[int(name.removeprefix("digits-"))])
                for item, name in database.execute("SELECT id, external_id FROM item").fetchall()
            }
            self.names: dict[int, str] = dict(database.execute("SELECT id, name FROM labelclass").fetchall())
        self.ids = {name: class_id for class_id, name in self.names.items()}

    def arrive(self) -> None:
        """Open the grid, or load it anew, and wait for the first screen."""
        self.page.goto(f"{self.address}/label?project=1&view=grid")
        self.wait_screen(0)

    def screens(self) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = self.page.evaluate("window.screens")
        return shown

    @property
    def screen(self) -> dict[str, Any]:
        return self.screens()[-1]

    def wait_screen(self, after: int) -> None:
        self.page.wait_for_function(f"window.screens.length > {after}")

    def tile(self, item: int) -> Any:
        return self.page.locator(f".tile[data-item='{item}']")

    def exceptions(self) -> list[int]:
        """The items on the screen that are not what the model believes."""
        believed = self.names[self.screen["class_id"]]
        return [item for item in self.screen["items"] if self.digit_of[item] != believed]

    def walk_to(self, item: int) -> None:
        """By arrows alone."""
        columns = self.page.locator(".tiles .row").first.locator(".tile").count()
        at = self.page.locator(".tile").evaluate_all("(tiles) => tiles.findIndex((tile) => tile.tabIndex === 0)")
        row, column = divmod(self.screen["items"].index(item), columns)
        down, across = row - at // columns, column - at % columns
        for key, times in (("ArrowRight", across), ("ArrowLeft", -across), ("ArrowDown", down), ("ArrowUp", -down)):
            for _ in range(times):
                self.page.keyboard.press(key)

    def confirm(self) -> None:
        """Press Enter and wait for the next screen; where the class is done, go on with the one that is offered."""
        before = len(self.screens())
        self.page.wait_for_timeout(LOOK)
        self.page.keyboard.press("Enter")
        done = self.page.get_by_role("heading", name="is done")
        for _ in range(600):
            if len(self.screens()) > before:
                return
            if done.count():
                self.page.keyboard.press("Enter")
            self.page.wait_for_timeout(50)
        raise TimeoutError("No other screen came.")

    def wait_saved(self) -> None:
        self.page.wait_for_function("!Object.keys(localStorage).some((key) => key.startsWith('askwise:outbox'))")

    def standing(self) -> dict[int, dict[str, Any]]:
        """The standing answers of the grid, by item."""
        columns = "item_id, verdict, class_id, batch, suggestion_class_id, suggestion_shown, seconds"
        query = f"SELECT {columns} FROM annotation WHERE {STANDING} AND origin = 'grid'"
        with closing(sqlite3.connect(self.served.root / "askwise.db", timeout=30)) as database:
            rows = database.execute(query).fetchall()
        found = {row[0]: dict(zip(columns.split(", "), row, strict=True)) for row in rows}
        assert len(found) == len(rows), "an item was answered twice"
        return found

    def leased(self) -> Counter[int]:
        query = "SELECT item_id FROM assignment WHERE state = 'leased' AND expires > unixepoch()"
        with closing(sqlite3.connect(self.served.root / "askwise.db", timeout=30)) as database:
            return Counter(item for (item,) in database.execute(query).fetchall())


@pytest.fixture
def person(page: Page, demo: Served) -> GridExpert:
    return GridExpert(page, demo)


def test_two_hundred_digits_in_screens_of_forty_are_two_hundred_right_answers_and_a_screen_can_be_taken_back(
    person: GridExpert, page: Page
) -> None:
    before = set(person.standing())
    person.arrive()
    left_out: set[int] = set()
    wanted: dict[int, str] = {}
    batches: list[list[int]] = []
    while sum(map(len, batches)) < 200:
        screen = person.screen
        assert len(screen["items"]) <= 40
        exceptions = person.exceptions()
        for number, item in enumerate(exceptions):
            if number % 3 == 0:  # by arrows and the digit's key
                person.walk_to(item)
                page.keyboard.press(person.digit_of[item])
            elif number % 3 == 1:  # by mouse, then the digit's key
                person.tile(item).click()
                page.keyboard.press(person.digit_of[item])
            else:  # left for later
                person.tile(item).click()
                left_out.add(item)
            expect(person.tile(item)).to_have_attribute("aria-selected", "true")
        answered = [item for item in screen["items"] if item not in left_out]
        expect(page.locator(".confirm")).to_contain_text(f"Confirm {len(screen['items']) - len(exceptions)} as")
        wanted |= {item: person.digit_of[item] for item in answered}
        batches.append(answered)
        person.confirm()
    person.wait_saved()
    saved = {item: answer for item, answer in person.standing().items() if item not in before}
    assert {item: person.names[answer["class_id"]] for item, answer in saved.items()} == wanted
    assert not left_out & set(saved)
    assert all(answer["verdict"] == "label" and answer["suggestion_shown"] for answer in saved.values())
    assert [len({saved[item]["batch"] for item in batch}) for batch in batches] == [1] * len(batches)
    assert len({answer["batch"] for answer in saved.values()}) == len(batches)

    # The last screen is taken back whole, with its marks, and can be confirmed again otherwise.
    shown = len(person.screens())
    page.keyboard.press("Backspace")
    person.wait_screen(shown)
    person.wait_saved()
    assert set(person.screen["items"]) >= set(batches[-1])
    assert set(person.standing()) == before | set(wanted) - set(batches[-1])
    believed = person.names[person.screen["class_id"]]
    marked = set(page.locator(".tile.marked").evaluate_all("(all) => all.map((each) => Number(each.dataset.item))"))
    assert marked == {i for i in person.screen["items"] if person.digit_of[i] != believed}
    person.confirm()
    person.wait_saved()
    assert set(person.standing()) == before | set(wanted)
    assert max(person.leased().values(), default=1) == 1


def test_dragging_over_tiles_marks_them_and_a_key_gives_them_all_a_class(person: GridExpert, page: Page) -> None:
    person.arrive()
    first, *_, last = over = person.screen["items"][:4]
    person.tile(first).hover()
    page.mouse.down()
    for item in over[1:]:
        person.tile(item).hover()
    page.mouse.up()
    expect(page.locator(".tile.marked")).to_have_count(4)
    expect(page.locator(".marks")).to_contain_text("4 left for later")
    page.keyboard.press("7" if person.names[person.screen["class_id"]] != "7" else "6")
    expect(page.locator(".marks")).to_contain_text("4 as “")
    person.tile(last).hover()  # dragging from a marked tile takes marks back
    page.mouse.down()
    person.tile(over[2]).hover()
    page.mouse.up()
    expect(page.locator(".tile.marked")).to_have_count(2)


def test_screens_confirmed_without_the_network_are_kept_and_sent_and_the_last_can_be_taken_back_before(
    person: GridExpert, page: Page, context: BrowserContext
) -> None:
    person.arrive()
    before = set(person.standing())
    page.wait_for_timeout(1000)  # the next screen comes
    context.set_offline(True)
    first = person.screen["items"]
    person.confirm()
    expect(page.locator(".saving")).to_contain_text("saving 40")
    second = person.screen["items"]
    assert not set(first) & set(second)
    page.wait_for_timeout(LOOK)
    page.keyboard.press("Enter")
    expect(page.locator(".saving")).to_contain_text("saving 80")
    context.set_offline(False)
    person.wait_saved()
    assert set(person.standing()) == before | set(first) | set(second)
    shown = len(person.screens())
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")  # a second press while the first is under way changes nothing
    person.wait_screen(shown)
    page.wait_for_function("(items) => items.every((i) => window.screens.at(-1).items.includes(i))", arg=second)
    person.wait_saved()
    assert set(person.standing()) == before | set(first)
    page.keyboard.press("Backspace")
    page.wait_for_function("(items) => items.every((i) => window.screens.at(-1).items.includes(i))", arg=first)
    person.wait_saved()
    assert set(person.standing()) == before


def test_a_screen_left_by_a_reload_or_for_one_by_one_is_given_back(person: GridExpert, page: Page) -> None:
    before = set(person.leased())
    person.arrive()
    person.arrive()
    page.wait_for_timeout(1500)
    assert len(set(person.leased()) - before) <= 80  # this screen and the next
    page.get_by_role("radio", name="One by one").click()
    expect(page.locator(".classes")).to_be_visible()
    expect(page.locator(".tiles")).to_have_count(0)
    page.wait_for_timeout(1500)
    assert len(set(person.leased()) - before) <= 8
    page.get_by_role("radio", name="Grid").click()
    expect(page.locator(".tile")).to_have_count(40)


def test_a_double_press_confirms_one_screen(person: GridExpert, page: Page) -> None:
    before = set(person.standing())
    person.arrive()
    page.wait_for_timeout(1000)
    items = person.screen["items"]
    for _ in range(3):
        page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    person.wait_saved()
    assert set(person.standing()) == before | set(items)
    page.keyboard.press("Control+z")
    page.wait_for_function("(items) => items.every((i) => window.screens.at(-1).items.includes(i))", arg=items)
    person.wait_saved()


def test_another_class_and_another_size_of_screen_can_be_chosen(person: GridExpert, page: Page) -> None:
    person.arrive()
    other = next(name for name in "0123456789" if name != person.names[person.screen["class_id"]])
    shown = len(person.screens())
    page.get_by_label("The class that the model believes these are").select_option(str(person.ids[other]))
    person.wait_screen(shown)
    assert person.names[person.screen["class_id"]] == other
    page.get_by_label("Tiles on a screen").select_option("24")
    person.wait_screen(shown + 1)
    assert len(person.screen["items"]) == 24 and person.names[person.screen["class_id"]] == other
    person.arrive()
    assert len(person.screen["items"]) == 24


def test_the_grid_works_by_keyboard_alone_and_says_what_it_shows(person: GridExpert, page: Page) -> None:
    person.arrive()
    before = set(person.standing())
    items = person.screen["items"]
    name = person.names[person.screen["class_id"]]
    assert page.locator(".tile:focus").get_attribute("data-item") == str(items[0])
    page.keyboard.press("End")
    expect(person.tile(items[-1])).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    expect(person.tile(items[1])).to_have_attribute("aria-selected", "true")
    expect(person.tile(items[1])).to_have_attribute("aria-label", re.compile(r"sure\. Left for later\.$"))
    page.keyboard.press(" ")
    expect(person.tile(items[1])).to_have_attribute("aria-selected", "false")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("-")
    expect(page.locator(".tile.marked")).to_have_count(2)
    expect(page.locator(".marks")).to_have_text("Marked: 2 skipped.")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(".")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    page.keyboard.press(name)  # its own class: to be confirmed after all
    expect(page.locator(".marks")).to_have_text("Marked: 2 skipped, 1 unsure, 1 left for later.")
    page.keyboard.press("Tab")
    expect(page.locator(".confirm")).to_be_focused()
    expect(page.locator(".confirm")).to_have_text(re.compile(f"^Confirm {len(items) - 4} as “{name}”"))
    person.confirm()
    expect(page.locator(".last")).to_have_text(
        f"Confirmed {len(items) - 4} as “{name}”, 3 answered otherwise, 1 left for later."
    )
    expect(page.locator(".speed")).to_have_text(re.compile(r"^[\d,]+ a minute$"))
    assert page.locator(".tile:focus").count() == 1
    person.wait_saved()
    verdicts = {item: answer["verdict"] for item, answer in person.standing().items() if item not in before}
    assert verdicts == {
        item: {1: "skip", 2: "skip", 3: "unsure"}.get(at, "label") for at, item in enumerate(items) if at != 4
    }
    page.keyboard.press("Backspace")
    page.wait_for_function("(items) => items.every((i) => window.screens.at(-1).items.includes(i))", arg=items)
    person.wait_saved()
    assert set(person.standing()) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_axe_finds_nothing_serious(person: GridExpert, page: Page, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    person.arrive()
    for key in (" ", "ArrowRight", "0", "ArrowRight", "."):
        page.keyboard.press(key)
    page.locator("summary", has_text="Keys").click()
    page.wait_for_timeout(400)  # what fades in has its colour
    found = Axe().run(page).response["violations"]
    assert [
        (v["id"], [n["html"] for n in v["nodes"]][:3]) for v in found if v["impact"] in ("serious", "critical")
    ] == []


def test_before_there_is_a_model_the_grid_says_so_and_leads_to_one_by_one(page: Page, demo: Served) -> None:
    with demo.connect() as connection:
        made = connection.post("/projects", {"name": "new", "classes": ["a", "b"]})
    with closing(sqlite3.connect(demo.root / "askwise.db", timeout=30)) as database, database:
        database.execute(
            "INSERT INTO item (project_id, external_id, content_hash, text, meta, row, answers, created)"
            " VALUES (?, 'one', 'one', 'A text.', '{}', 0, 0, 0)",
            (made["id"],),
        )
    page.goto(f"http://127.0.0.1:{demo.port}/label?project={made['id']}&view=grid")
    expect(page.locator(".empty h3")).to_have_text("The model has nothing to say yet")
    page.keyboard.press("Enter")
    expect(page.locator(".frame")).to_contain_text("A text.")
    expect(page.get_by_role("radio", name="One by one")).to_be_checked()
