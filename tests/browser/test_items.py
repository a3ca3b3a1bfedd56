"""Texts, rows and pictures on the Label page: read whole, looked at closely, and by keys that are nobody's class."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import Fake, Labeller

pytestmark = pytest.mark.browser

NEWS = "Oil prices rose.\n\n  The oil minister spoke:\tprices would boil over. "
WIDE = {f"column {number}": number for number in range(1, 15)}
IMAGE = ".frame img"


def verdicts(fake: Fake) -> list[tuple[str, int | None]]:
    return [(answer["verdict"], answer["class_id"]) for answer in fake.standing()]


def frame(page: Page, what: str) -> Any:
    return page.locator(".frame").evaluate(f"(frame) => {what}")


def test_words_that_speak_for_the_suggestion_are_marked_whole_and_as_text(
    person: Labeller, page: Page, fake: Fake
) -> None:
    fake.start(items=5, kind="text", text=NEWS + "<b>oil</b>", keywords=["oil", "boil.", "would"], ranking=4, classes=8)
    person.open("classes=words")
    assert page.locator(".frame mark").all_inner_texts() == ["Oil", "oil", "would", "oil"]
    assert frame(page, "frame.querySelector('.text').textContent") == NEWS + "<b>oil</b>"
    assert page.locator(".frame b").count() == 0
    expect(page.get_by_text("Marked speaks for")).to_be_visible()


def test_nothing_is_marked_without_a_suggestion_on_screen(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=5, kind="text", text=NEWS, keywords=["oil"], ranking=1)
    person.open("classes=words")
    assert page.locator("mark:visible").count() == 0


def test_lines_and_spaces_are_kept_and_a_text_runs_in_its_own_direction(
    person: Labeller, page: Page, fake: Fake
) -> None:
    fake.start(items=5, kind="text", text=NEWS)
    person.open("classes=words")
    style = "(({whiteSpace, direction}) => [whiteSpace, direction])(getComputedStyle(frame.querySelector('.text')))"
    assert frame(page, style) == ["pre-wrap", "ltr"]
    fake.start(items=5, kind="text", text="مرحبا بالعالم")
    person.open("classes=words")
    assert frame(page, style)[1] == "rtl"


def test_a_long_text_is_read_by_keys_that_label_nothing(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=5, kind="text", text=NEWS, repeat=60)
    person.open("classes=words")
    places = [frame(page, "frame.scrollTop")]
    for key in ("Space", "PageDown", "ArrowDown", "End"):
        page.keyboard.press(key)
        places.append(frame(page, "frame.scrollTop"))
    assert places == sorted(set(places))
    for key in ("Shift+Space", "PageUp", "ArrowUp", "Home"):
        page.keyboard.press(key)
        places.append(frame(page, "frame.scrollTop"))
    assert places[4:] == sorted(set(places[4:]), reverse=True)
    page.keyboard.press("Space")
    person.press("2", "Shift+ArrowDown", "ArrowRight")
    assert frame(page, "frame.scrollTop") == 0  # the next text begins at its beginning
    person.wait_saved()
    assert verdicts(fake) == [("label", 101), ("unsure", None), ("skip", None)]


def test_an_arrow_answers_where_there_is_nothing_to_scroll(person: Labeller, fake: Fake) -> None:
    fake.start(items=5, kind="text", text="short")
    person.open("classes=words")
    person.press("ArrowDown")
    person.wait_saved()
    assert verdicts(fake) == [("unsure", None)]


def test_letters_grow_and_shrink_by_key_and_stay_so(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=5, kind="text", text=NEWS)
    person.open("classes=words")
    size = "parseFloat(getComputedStyle(frame.querySelector('.text')).fontSize)"
    before = frame(page, size)
    for _ in range(3):
        page.keyboard.press("+")
    grown = frame(page, size)
    assert grown == pytest.approx(1.3 * before, rel=0.01)
    page.reload()
    person.wait_painted(1)
    assert frame(page, size) == grown
    for _ in range(3):
        page.keyboard.press("-")
    assert frame(page, size) == before
    assert fake.standing() == []


def test_a_text_of_a_million_characters_is_shown_in_part_and_then_whole(
    person: Labeller, page: Page, fake: Fake
) -> None:
    fake.start(items=5, kind="text", text="The quick brown fox. " * 5 + "\n", repeat=9434)
    person.open("classes=words")
    whole = len(("The quick brown fox. " * 5 + "\n") * 9434)
    shown = "frame.querySelector('.text').textContent.length"
    assert frame(page, shown) <= 20_000
    expect(page.get_by_role("button", name=f"Show all {whole:,} characters")).to_be_visible()
    page.keyboard.press(",")
    assert frame(page, shown) == whole
    page.keyboard.press("End")
    person.press("1")
    person.wait_saved()
    assert verdicts(fake) == [("label", 100)]


def test_a_row_shows_what_matters_and_unfolds_by_key(person: Labeller, page: Page, fake: Fake) -> None:
    long = {"story": "word " * 200, "none": "", "much": 1234567.25, "year": 2024, "nested": {"a": [1]}}
    fake.start(items=5, kind="fields", fields={**long, **WIDE}, shown_first=9)
    person.open("classes=words")
    cells = page.locator(".fields dd:visible")
    assert cells.count() == 9
    assert cells.nth(1).inner_text() == "4.5"
    assert [cells.nth(at).inner_text() for at in (3, 5, 6, 7, 8)] == ["–", "–", "1,234,567.25", "2024", '{"a":[1]}']
    assert len(cells.nth(4).inner_text()) < 300
    expect(page.get_by_text("More columns (14)")).to_be_visible()
    page.keyboard.press(",")
    assert cells.count() == 23
    assert cells.nth(4).inner_text().strip() == long["story"].strip()
    page.keyboard.press(",")
    assert cells.count() == 9
    assert fake.standing() == []


def test_a_wide_row_is_folded_even_before_anybody_said_what_matters(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=5, kind="fields", fields=WIDE)
    person.open("classes=words")
    assert page.locator(".fields dd:visible").count() == 8
    fake.start(items=5, kind="fields")
    person.open("classes=words")
    assert page.locator(".fields dd:visible").count() == 4
    assert page.get_by_text("More columns").count() == 0


def width(page: Page) -> float:
    size: float = page.locator(IMAGE).bounding_box()["width"]  # type: ignore[index]
    return size


def test_space_zooms_to_100_and_200_percent_and_back_at_full_resolution(
    person: Labeller, page: Page, fake: Fake
) -> None:
    fake.start(items=5, kind="large")
    person.open("classes=words")
    fit = width(page)
    assert fit < 1000
    page.keyboard.press("Space")
    assert width(page) == 2048 == page.locator(IMAGE).evaluate("(image) => image.naturalWidth")
    expect(page.get_by_role("button", name="Zoom: fit")).to_have_text("100 %")
    page.keyboard.press("Space")
    assert width(page) == 4096
    page.keyboard.press("Space")
    assert width(page) == fit
    assert fake.standing() == []


def test_a_zoomed_picture_is_moved_by_arrows_and_by_dragging(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=5, kind="large")
    person.open("classes=words")
    page.keyboard.press("Space")
    left, top = frame(page, "[frame.scrollLeft, frame.scrollTop]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert frame(page, "[frame.scrollLeft, frame.scrollTop]") == [left + 60, top + 60]
    page.mouse.move(400, 300)
    page.mouse.down()
    page.mouse.move(500, 350)
    page.mouse.up()
    assert frame(page, "[frame.scrollLeft, frame.scrollTop]") == [left - 40, top + 10]
    assert fake.standing() == []
    page.keyboard.press("Escape")
    person.press("ArrowRight")
    person.wait_saved()
    assert verdicts(fake) == [("skip", None)]


def test_the_wheel_zooms_where_the_pointer_is(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=5, kind="large")
    person.open("classes=words")
    box = page.locator(IMAGE).bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    page.wait_for_function("document.querySelector('.zoomed') || true")
    expect(page.locator(".frame.zoomed")).to_have_count(1)
    grown = page.locator(IMAGE).bounding_box()
    assert grown is not None and grown["width"] > 2 * box["width"]
    assert (x - grown["x"]) / grown["width"] == pytest.approx(0.25, abs=0.01)
    assert (y - grown["y"]) / grown["height"] == pytest.approx(0.25, abs=0.01)


def test_plus_and_minus_zoom_and_the_next_picture_fits_again(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=5, kind="large")
    person.open("classes=words")
    fit = width(page)
    widths = []
    for key in "++-":
        page.keyboard.press(key)
        widths.append(width(page))
    assert widths[0] > 1.2 * fit
    assert widths[1:] == pytest.approx([1.25 * widths[0], widths[0]], abs=1)
    person.press("1")
    assert width(page) == pytest.approx(fit, abs=1)
    expect(page.get_by_role("button", name="Zoom: fit")).to_have_text("Fit")


def test_a_tiny_picture_is_smooth_until_somebody_looks_closer(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=5)
    person.open()
    rendering = "(image) => getComputedStyle(image).imageRendering"
    assert page.locator(IMAGE).evaluate(rendering) == "auto"
    page.keyboard.press("Space")
    assert page.locator(IMAGE).evaluate(rendering) == "pixelated"


def test_brightness_and_contrast_end_with_the_picture_unless_kept(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=9)
    person.open()
    tone = "(image) => image.style.filter"
    for key in ("]", "]", "{"):
        page.keyboard.press(key)
    assert page.locator(IMAGE).evaluate(tone) == "brightness(1.41) contrast(0.84)"
    assert page.get_by_role("slider", name="Brightness").input_value() == "0.5"
    person.press("1")
    assert page.locator(IMAGE).evaluate(tone) == ""
    page.keyboard.press("[")
    page.get_by_role("button", name="Keep brightness").click()
    person.press("2")
    assert page.locator(IMAGE).evaluate(tone) == "brightness(0.84) contrast(1)"
    page.get_by_role("button", name="Show it as it is").click()
    assert page.locator(IMAGE).evaluate(tone) == ""
    person.wait_saved()
    assert verdicts(fake) == [("label", 101), ("label", 102)]


def test_a_slider_that_was_dragged_does_not_keep_the_keys(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=9)
    person.open()
    page.get_by_role("slider", name="Contrast").click(position={"x": 60, "y": 8})
    assert "contrast(1)" not in page.locator(IMAGE).evaluate("(image) => image.style.filter")
    person.press("7")
    person.wait_saved()
    assert verdicts(fake) == [("label", 107)]
