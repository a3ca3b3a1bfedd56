"""Many classes, and classes that change while people label."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import Fake, Labeller
from tests.browser.fake_page import WORDS

pytestmark = pytest.mark.browser

NAMES = [f"{word} {number}" for number in range(1, 6) for word in WORDS]


def found(page: Page) -> list[str]:
    return page.locator(".found .option .name").all_inner_texts()


def chosen(fake: Fake) -> list[int]:
    return [answer["class_id"] - 100 for answer in fake.standing()]


def kinds(*names: str) -> list[dict[str, object]]:
    """Classes as the server tells them now; their ids stay with their names."""
    return [{"id": 100 + WORDS.index(name), "name": name, "key": None, "description": ""} for name in names]


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("orch", "Orchard 1"),
        ("4", "Meadow 4"),
        ("building ind 3", "Industrial building 3"),
        ("rb3", "River bank 3"),
        ("torw", "Motorway 1"),
        ("mtr", "Motorway 1"),
        ("SÉA or", "Sea or lake 1"),
    ],
)
def test_a_class_is_found_by_what_is_remembered_of_its_name(
    person: Labeller, page: Page, fake: Fake, typed: str, first: str
) -> None:
    fake.start(items=9)
    person.open("classes=many")
    page.keyboard.press("/")
    page.keyboard.type(typed)
    assert found(page)[0] == first
    page.keyboard.press("Enter")
    person.wait_painted(2)
    person.wait_saved()
    assert chosen(fake) == [NAMES.index(first)]


def test_arrows_choose_among_what_was_found_and_escape_leaves(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=9)
    person.open("classes=many")
    page.keyboard.press("/")
    page.keyboard.type("meadow")
    assert found(page)[:5] == [f"Meadow {number}" for number in range(1, 6)]
    page.keyboard.press("Escape")
    expect(page.locator(".found")).to_be_hidden()
    assert fake.standing() == []
    page.keyboard.press("/")
    page.keyboard.type("meadow")
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    person.wait_painted(2)
    person.press("1")
    person.wait_saved()
    assert chosen(fake) == [NAMES.index("Meadow 2"), 0]


def test_what_was_chosen_lately_comes_first(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=9)
    person.open("classes=many")
    for typed in ("orchard 4", "sea or lake 5", "orchard 4", "forest 2"):
        count = len(person.painted())
        page.keyboard.press("/")
        page.keyboard.type(typed)
        page.keyboard.press("Enter")
        person.wait_painted(count + 1)
    page.keyboard.press("/")
    assert found(page)[:4] == ["Forest 2", "Orchard 4", "Sea or lake 5", "Meadow 1"]
    page.keyboard.type("o")
    assert found(page)[0] == "Orchard 4"


def test_what_is_not_there_is_said_and_enter_does_nothing(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=9)
    person.open("classes=many")
    page.keyboard.press("/")
    page.keyboard.type("xylophone")
    expect(page.get_by_text("No class is called that.")).to_be_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    person.press("3")
    person.wait_saved()
    assert chosen(fake) == [2]


def test_help_shows_keys_guidelines_and_what_classes_mean(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=9, kind="photos")
    person.open("classes=words&about=1")
    page.keyboard.press("?")
    help = page.get_by_role("dialog", name="Keys and guidelines")
    expect(help.get_by_text("Zoom: fit, 100 %, 200 %")).to_be_visible()
    expect(help.get_by_text("Label what the picture shows")).to_be_visible()
    expect(help.get_by_text("What is called Orchard.")).to_be_visible()
    picture = help.get_by_alt_text("Example of Orchard").first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("(image) => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
    page.keyboard.press("1")
    page.keyboard.press("?")
    expect(help).to_be_hidden()
    person.press("2")
    person.wait_saved()
    assert chosen(fake) == [1]


def test_the_guide_stays_beside_the_item_until_the_same_key_closes_it(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=9, kind="photos")
    person.open("classes=words&about=1")
    guide, told = page.get_by_role("region", name="Guide"), page.get_by_role("group").filter(has_text="Guidelines")
    expect(guide).to_be_hidden()
    expect(told.first).to_be_visible()
    page.keyboard.press(";")
    expect(guide.get_by_text("Label what the picture shows")).to_be_visible()
    expect(guide.get_by_text("What is called Orchard.")).to_be_attached()
    picture = guide.get_by_alt_text("Example of Meadow").first
    page.wait_for_function("(image) => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
    item, beside = page.locator(".frame").bounding_box(), guide.bounding_box()
    assert item and beside and beside["x"] > item["x"] + item["width"]
    person.press("2", "3")  # the person goes on labeling beside it
    person.wait_saved()
    assert chosen(fake) == [1, 2]
    page.reload()
    expect(guide.get_by_text("What is called Orchard.")).to_be_attached()
    person.wait_painted(1)
    page.keyboard.press(";")
    expect(guide).to_be_hidden()
    page.reload()
    person.wait_painted(1)
    expect(guide).to_be_hidden()
    page.get_by_role("button", name="Guide beside the item").click()
    expect(guide).to_be_visible()
    guide.get_by_role("button", name="Close the guide").click()
    expect(guide).to_be_hidden()


def test_a_key_counts_as_soon_as_the_help_is_closed(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=9)
    person.open("classes=words")
    page.keyboard.press("?")
    help = page.get_by_role("dialog", name="Keys and guidelines")
    expect(help).to_be_visible()
    # Both in one turn: the browser has not yet moved the focus out of the closed dialog.
    help.evaluate(
        "(dialog) => [['?', 'Slash'], ['2', 'Digit2']].forEach(([key, code]) =>"
        " dialog.dispatchEvent(new KeyboardEvent('keydown', { key, code, bubbles: true, composed: true })))"
    )
    person.wait_painted(2)
    person.wait_saved()
    assert chosen(fake) == [1]


def test_classes_that_change_meanwhile_change_here_too_and_nothing_else_does(
    person: Labeller, page: Page, fake: Fake
) -> None:
    fake.start(items=30, kind="text", text="a long text. " * 400)
    person.open("classes=words")
    page.keyboard.press("Space")
    scrolled = page.locator(".frame").evaluate("(frame) => frame.scrollTop")
    page.keyboard.press("!")
    page.keyboard.press(".")
    page.keyboard.type("half a no")
    item = person.item
    changed = [
        *kinds("Meadow", "Forest", "Orchard"),
        {"id": 150, "name": "Quarry", "key": "q", "description": "", "colour": "#2ca02c"},
    ]
    changed[1]["name"] = "Woodland"
    fake.adjust(schema=changed, schema_version=2)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # asks how things stand
    expect(page.get_by_role("button", name="Quarry")).to_be_visible()
    expect(page.get_by_text("“Forest” is now “Woodland”")).to_be_visible()
    assert page.get_by_role("button", name="Motorway").count() == 0
    page.keyboard.type("te")
    page.keyboard.press("Enter")
    assert person.item == item
    assert page.locator(".frame").evaluate("(frame) => frame.scrollTop") == scrolled > 0
    person.press("q")
    person.wait_saved()
    (answer,) = fake.standing()
    assert (answer["class_id"], answer["note"], answer["flagged"]) == (150, "half a note", True)


def test_an_answer_whose_class_was_retired_meanwhile_comes_again_with_the_reason(
    person: Labeller, page: Page, fake: Fake
) -> None:
    fake.start(items=30)
    person.open("classes=words")
    first = person.item
    fake.adjust(schema=kinds("Meadow", "Forest", "Orchard"), schema_version=2)
    person.press("5")  # the motorway, which is no more
    expect(page.get_by_text("The class was retired; choose another. Its item comes again next.")).to_be_visible()
    person.press("1")
    assert person.item == first
    person.press("2")
    person.wait_saved()
    answers = fake.standing()
    assert [answer["class_id"] for answer in answers] == [100, 101]
    assert answers[1]["item"] == first


def test_answers_on_their_way_survive_a_change_of_the_classes(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30, delay={"annotations": 0.5})
    person.open("classes=words")
    person.press("1", "2", "3")
    fake.adjust(schema=kinds(*WORDS[:4]), schema_version=2)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("button", name="Orchard")).to_have_count(0)
    person.press("4")
    person.wait_saved()
    assert chosen(fake) == [0, 1, 2, 3]
