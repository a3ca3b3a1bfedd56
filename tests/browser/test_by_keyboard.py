"""The Label page without a mouse, and without a fault that keeps somebody out."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.driving import Fake, Labeller
from tests.browser.test_many_classes import NAMES

pytestmark = pytest.mark.browser

WIDE = {f"column {number}": "word " * number * 9 for number in range(1, 15)}
KINDS = {
    "text": {"kind": "text", "text": "Oil prices rose. " * 200, "keywords": ["oil"]},
    "rows": {"kind": "fields", "fields": WIDE, "shown_first": 6},
    "short row": {"kind": "fields", "fields": {"Remark": "none"}},
    "digit": {"kind": "digits"},
    "picture": {"kind": "large"},
}


def test_a_working_day_by_keys_alone(person: Labeller, page: Page, fake: Fake) -> None:
    """Ten labels, a skip, an unsure, a note, an undo, a class that was searched, and closer looks."""
    fake.start(items=30, kind="large", ranking=4, classes=40)
    person.open("classes=many")
    for key in ("Space", "+", "ArrowLeft", "ArrowDown", "]", "}", "Escape"):
        page.keyboard.press(key)
    assert page.locator(".frame.zoomed").count() == 0
    person.press("1", "2", "3", "a")
    person.press("ArrowRight", "ArrowDown")
    page.keyboard.press(".")
    page.keyboard.type("two fields, one of them mown")
    page.keyboard.press("Enter")
    person.press("4", "5")
    page.keyboard.press("/")
    page.keyboard.type("sea or 5")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    count = len(person.painted())
    page.keyboard.press("Enter")
    person.wait_painted(count + 1)
    person.press("6", "Control+z", "7")
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    person.press("8", "Enter")
    person.wait_saved()
    answers = fake.standing()
    labels = [NAMES[answer["class_id"] - 100] for answer in answers if answer["verdict"] == "label"]
    suggested = NAMES[answers[-1]["item"] % 40]
    assert labels == [*(NAMES[at] for at in (0, 1, 2, 10, 3, 4)), "Sea or lake 5", NAMES[6], NAMES[7], suggested]
    assert [answer["verdict"] for answer in answers].count("skip") == 1
    assert [answer["verdict"] for answer in answers].count("unsure") == 1
    assert [answer["note"] for answer in answers if answer["note"]] == ["two fields, one of them mown"]
    assert len({answer["item"] for answer in answers}) == 12


@pytest.mark.parametrize("kind", KINDS)
def test_tab_reaches_every_control_and_none_is_a_trap(person: Labeller, page: Page, fake: Fake, kind: str) -> None:
    fake.start(items=9, ranking=4, **KINDS[kind])
    person.open("classes=words")
    deepest = (
        "(function f(node) { const inner = node?.shadowRoot?.activeElement; return inner ? f(inner)"
        " : node?.getAttribute('aria-label') ?? node?.innerText ?? node?.tagName })(document.activeElement)"
    )
    reached = []
    for _ in range(45):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(deepest) or "")
    wanted = ["The item itself", "Meadow", "Sea or lake", "Skip", "Flag", "Keys and guidelines"]
    wanted += ["Zoom in", "Brightness", "Contrast"] if kind in ("digit", "picture") else ["Larger letters"]
    missing = [name for name in wanted if not any(name in each for each in reached)]
    assert missing == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", [*KINDS, "help", "search", "narrow"])
def test_there_is_no_serious_accessibility_fault(browser: Browser, fake: Fake, kind: str, scheme: str) -> None:
    fake.start(items=9, ranking=4, **KINDS.get(kind, KINDS["text"]))
    size = {"width": 400 if kind == "narrow" else 1280, "height": 860}
    context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    Labeller(page, fake.address).open("classes=many&about=1")
    key = {"help": "?", "search": "/", "rows": ",", "picture": "Space"}.get(kind)
    if key:
        page.keyboard.press(key)
    expect(page.get_by_text("labeled").first).to_be_visible()
    page.wait_for_timeout(400)  # what fades in has its colour
    findings = Axe().run(page).response["violations"]
    serious = {
        finding["id"]: [node["target"] for node in finding["nodes"]][:5]
        for finding in findings
        if finding["impact"] in ("serious", "critical")
    }
    context.close()
    assert serious == {}, json.dumps(serious, indent=1)
