"""The whole loop on the real application: sixty digits by keyboard while the model learns, then the export."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page
from sklearn.datasets import load_digits

from tests.browser.demo import demonstrating
from tests.browser.driving import Labeller
from tests.serving import Served

pytestmark = pytest.mark.browser
PACE = 300  # ms between an item's appearing and its answer: three times as fast as sixty in a minute needs


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Served]:
    with demonstrating(tmp_path / "workspace") as served:
        yield served


class DigitsExpert(Labeller):
    """Somebody who reads digits without error, and notes what was on the screen."""

    def __init__(self, page: Page, served: Served) -> None:
        super().__init__(page, f"http://127.0.0.1:{served.port}")
        self.truth = load_digits().target
        self.answered: list[str] = []

    def arrive(self) -> None:
        """Open the Label page, or load it anew, and wait for the first item."""
        self.page.goto(f"{self.address}/label")
        self.wait_painted(1)

    def label(self, count: int) -> None:
        """Answer what is on the screen, `count` times, each with its own digit's key."""
        for _ in range(count):
            self.page.wait_for_timeout(PACE)
            shown = self.page.evaluate("window.painted.at(-1)")
            digit = self.page.locator(".external").inner_text()
            self.answered.append(digit)
            self.page.keyboard.press(str(self.truth[int(digit.removeprefix("digits-"))]))
            self.page.wait_for_function("(before) => window.painted.at(-1).item !== before", arg=shown["item"])


def test_sixty_digits_by_keyboard_are_sixty_right_rows_though_the_page_reloads_and_the_network_fails(
    demo: Served, page: Page, context: BrowserContext
) -> None:
    person = DigitsExpert(page, demo)
    person.arrive()
    person.label(20)
    person.arrive()  # a reload, with answers under way
    person.label(15)
    context.set_offline(True)
    person.label(3)
    context.set_offline(False)
    page.wait_for_timeout(1000)
    person.label(22)
    person.wait_saved()

    with demo.connect() as connection:
        exported = connection.ask("GET", "/api/v1/projects/1/export?format=csv")[1].decode()
        live = connection.get("/projects/1")["live"]
    rows = list(csv.DictReader(io.StringIO(exported)))
    named = [row["external_id"] for row in rows]
    assert sorted(named) == sorted(person.answered)
    assert len(set(named)) == 60
    assert all(row["class"] == str(person.truth[int(row["external_id"][-4:])]) for row in rows)
    assert len({row["event_id"] for row in rows}) == 60
    assert live["model_version"] >= 5
