"""The labeller in a real browser: no label is lost, doubled, or given to an item that was not on screen."""

from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Request, Route, expect

from tests.browser.driving import Fake, Labeller, press_to_painted

pytestmark = pytest.mark.browser

DIGITS = "0123456789"


def classes_of(answers: list[dict[str, Any]]) -> list[int]:
    return [answer["class_id"] - 100 for answer in answers]


def test_sixty_labels_by_keyboard_are_sixty_saved_and_no_item_twice(person: Labeller, fake: Fake) -> None:
    fake.start(items=80, kind="photos")
    person.open()
    timing = press_to_painted(person, 60)
    print("press to painted, ms:", {name: round(value, 1) for name, value in timing.items()})
    person.wait_saved()
    answers = fake.standing()
    assert len(answers) == 60
    assert len({answer["item"] for answer in answers}) == 60
    assert classes_of(answers) == [i % 10 for i in range(60)]


def test_each_label_goes_to_the_item_that_was_on_screen(person: Labeller, fake: Fake) -> None:
    fake.start(items=40, ranked_every=3)
    person.open()
    person.press(*"01234567890123456789")
    person.wait_saved()
    shown = [entry["item"] for entry in person.painted()][:20]
    assert [answer["item"] for answer in fake.standing()] == shown


def test_overlapping_presses_are_one_label_each(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open()
    held = None
    for count, key in enumerate("1212345", start=2):
        page.keyboard.down(key)
        person.wait_painted(count)
        if held:
            page.keyboard.up(held)
        held = key
    person.wait_saved()
    assert classes_of(fake.standing()) == [1, 2, 1, 2, 3, 4, 5]


def test_a_held_key_labels_once(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open()
    for _ in range(12):  # the second and later ones arrive as repeats
        page.keyboard.down("5")
        page.wait_for_timeout(40)
    page.keyboard.up("5")
    person.press("6")
    person.wait_saved()
    assert classes_of(fake.standing()) == [5, 6]


def test_nothing_is_labeled_before_it_is_on_screen(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=12)
    person.open()
    fake.adjust(media_delay=1.0)
    person.press(*"1111")
    for _ in range(30):  # the prefetched ones run out: from here on most presses meet an empty screen
        page.keyboard.press("2")
        page.wait_for_timeout(60)
    person.wait_saved()
    painted = {entry["item"] for entry in person.painted()}
    answers = fake.standing()
    assert len(answers) < 34
    assert {answer["item"] for answer in answers} <= painted
    assert len(answers) == len({answer["item"] for answer in answers})


def test_presses_before_the_first_item_label_nothing(page: Page, person: Labeller, fake: Fake) -> None:
    fake.start(items=12, media_delay=1.5)
    page.goto(fake.address)
    page.get_by_role("button", name="7", exact=True).wait_for()
    page.keyboard.press("7")
    person.wait_painted(1)
    assert fake.standing() == []


def test_a_reload_midway_loses_nothing_and_repeats_nothing(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30, delay={"annotations": 0.4})
    person.open()
    person.press(*"12345")
    page.reload()
    person.wait_painted(1)
    person.press(*"67890")
    person.wait_saved()
    answers = fake.standing()
    assert sorted(classes_of(answers)) == list(range(10))
    assert len({answer["item"] for answer in answers}) == 10


def test_answers_of_a_page_that_vanished_are_sent_by_the_next_one(
    person: Labeller, page: Page, context: BrowserContext, fake: Fake
) -> None:
    fake.start(items=30)
    person.open()
    page.route("**/annotations", lambda route: route.abort())
    person.press(*"123")
    page.goto("about:blank")
    page.unroute("**/annotations")
    person.open()
    person.press("4")
    person.wait_saved()
    assert sorted(classes_of(fake.standing())) == [1, 2, 3, 4]


def test_losing_the_connection_midway_loses_nothing(
    person: Labeller, page: Page, context: BrowserContext, fake: Fake
) -> None:
    fake.start(items=30)
    person.open()
    person.press(*"12")
    person.wait_saved()
    context.set_offline(True)
    person.press(*"345")
    expect(page.get_by_text("The server cannot be reached. 3 answers are kept in this browser.")).to_be_visible()
    assert page.get_by_text("saved 2 · saving 3").is_visible()
    context.set_offline(False)
    person.press(*"67")
    person.wait_saved()
    expect(page.get_by_text("The server cannot be reached.")).to_be_hidden()
    assert classes_of(fake.standing()) == [1, 2, 3, 4, 5, 6, 7]


def test_leaving_is_guarded_only_while_answers_are_unsaved(
    person: Labeller, page: Page, context: BrowserContext, fake: Fake
) -> None:
    fake.start(items=30)
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    person.open()
    person.press("1")
    person.wait_saved()
    page.reload()
    person.wait_painted(1)
    assert asked == []
    page.route("**/annotations", lambda route: route.abort())
    person.press("2")
    page.reload()
    assert asked == ["beforeunload"]


def test_an_acknowledgement_that_is_lost_does_not_double_the_label(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open()

    def save_but_do_not_say(route: Route, request: Request) -> None:
        route.fetch()
        route.abort()

    page.route("**/annotations", save_but_do_not_say, times=2)
    person.press(*"123")
    person.wait_saved()
    assert classes_of(fake.standing()) == [1, 2, 3]


def test_server_errors_are_retried_until_saved(person: Labeller, fake: Fake) -> None:
    fake.start(items=30, fail={"annotations": 3, "claims": 1})
    person.open()
    person.press(*"1234567")
    person.wait_saved()
    assert classes_of(fake.standing()) == [1, 2, 3, 4, 5, 6, 7]


def test_a_refused_answer_says_why_and_does_not_count(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30, refuse=1)
    person.open()
    person.press("1")
    expect(page.get_by_text("An answer was not taken. This item has been answered by somebody else.")).to_be_visible()
    person.press("2")
    person.wait_saved()
    expect(page.get_by_text("saved 1", exact=True)).to_be_visible()
    expect(page.locator(".count")).to_have_text("1 of 30 labeled")
    assert classes_of(fake.standing()) == [2]


def test_undo_brings_the_item_back_with_the_earlier_choice_marked(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open()
    first = person.item
    person.press("3")
    second = person.item
    person.wait_saved()
    person.press("Backspace")
    assert person.item == first
    assert page.get_by_role("button", name="3", exact=True).get_attribute("aria-description") == "Your earlier answer"
    fake.eventually(lambda state: state["standing"] == [])
    person.press("8")
    assert person.item == second
    person.wait_saved()
    assert [(answer["item"], answer["class_id"]) for answer in fake.standing()] == [(first, 108)]


def test_undo_goes_several_steps_back(person: Labeller, fake: Fake) -> None:
    fake.start(items=30)
    person.open()
    person.press(*"123", "Control+z", "Backspace", *"89")
    person.wait_saved()
    items = [entry["item"] for entry in person.painted()]
    assert items == [items[0], items[1], items[2], items[3], items[2], items[1], items[2], items[3]]
    standing = {answer["item"]: answer["class_id"] - 100 for answer in fake.standing()}
    assert standing == {items[0]: 1, items[1]: 8, items[2]: 9}


def test_an_answer_that_was_never_sent_is_taken_back_at_once(
    person: Labeller, page: Page, context: BrowserContext, fake: Fake
) -> None:
    fake.start(items=30, delay={"annotations": 0.6})
    person.open()
    person.press(*"12")  # the second waits in the outbox while the first is on its way
    person.press("Backspace", "5")
    person.wait_saved()
    assert classes_of(fake.standing()) == [1, 5]
    assert "undo" not in fake.state()["seen"]


def test_undo_without_a_connection_is_done_when_it_is_back(
    person: Labeller, page: Page, context: BrowserContext, fake: Fake
) -> None:
    fake.start(items=30)
    person.open()
    first = person.item
    person.press("1")
    person.wait_saved()
    context.set_offline(True)
    person.press("Backspace")  # after some seconds the next item is shown again, and the work goes on
    expect(page.get_by_text("taken back as soon as the server can be reached")).to_be_visible()
    context.set_offline(False)
    person.press("2")
    person.wait_saved()
    if person.item != first:
        person.press("3")
    assert person.item == first
    assert first not in {answer["item"] for answer in fake.standing()}


def test_an_undo_of_what_the_server_never_took_holds_nothing_back(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30, delay={"annotations": 0.8})
    person.open()
    left = '{"at": 1, "tried": true, "undoes": "gone", "body": {"event_id": "left"}}'
    page.evaluate("(left) => localStorage.setItem('askwise:outbox::1:left', left)", left)
    person.open()
    expect(page.get_by_text("That answer could not be taken back. There is no answer")).to_be_visible()
    first = person.item
    person.press("9")
    second = person.item
    fake.adjust(schema=[{"id": 100 + n, "name": str(n), "key": str(n)} for n in range(9)], schema_version=2)
    person.press("Backspace")  # while the answer is on its way: what it was to take back is refused
    expect(page.get_by_text("The class was retired; choose another. Its item comes again next.")).to_be_visible()
    assert person.item == second
    person.press("1", "2")
    person.wait_saved()
    assert [(answer["item"], answer["class_id"]) for answer in fake.standing()] == [(second, 101), (first, 102)]
    assert fake.state()["seen"].count("undo") == 1


def test_keys_typed_into_an_input_do_not_label(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open("input=1")
    page.get_by_label("Elsewhere").click()
    page.keyboard.type("1234 . !")
    page.keyboard.press("Backspace")
    page.get_by_label("Elsewhere").blur()
    person.press("7")
    person.wait_saved()
    assert classes_of(fake.standing()) == [7]
    assert page.get_by_label("Elsewhere").input_value() == "1234 . "


def test_keys_with_modifiers_do_not_label(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open("classes=letters")
    for key in ("Control+c", "Alt+r", "Meta+y"):
        page.keyboard.press(key)
    person.press("y")
    person.wait_saved()
    assert classes_of(fake.standing()) == [2]


def test_class_letters_come_before_the_shortcuts_of_the_page(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open("classes=letters")
    person.press("c", "r", "R", "y")
    person.wait_saved()
    assert classes_of(fake.standing()) == [0, 1, 1, 2]
    assert page.get_by_role("dialog").count() == 0


def test_skip_unsure_note_and_flag_travel_with_the_answer(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open()
    person.press("ArrowRight", "ArrowDown")
    page.keyboard.press("!")
    page.keyboard.press(".")
    page.keyboard.type("smudged 3.")
    page.keyboard.press("Enter")
    person.press("3", "4")
    person.wait_saved()
    answers = [(a["verdict"], a["class_id"], a["note"], a["flagged"]) for a in fake.standing()]
    assert answers == [
        ("skip", None, "", False),
        ("unsure", None, "", False),
        ("label", 103, "smudged 3.", True),
        ("label", 104, "", False),
    ]


def test_enter_takes_the_suggestion_that_is_shown(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30, ranking=4)
    person.open()
    item = person.item
    assert page.get_by_role("button", name=f"Model thinks {item % 10}").is_visible()
    person.press("Enter")
    person.wait_saved()
    assert classes_of(fake.standing()) == [item % 10]


def test_everything_can_be_reached_by_tab_and_pressed_by_space(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30, ranking=2)
    person.open()
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "(function f(node) { const inner = node?.shadowRoot?.activeElement; return inner ? f(inner)"
            " : node?.innerText ?? '' })(document.activeElement)"
        )
        reached.append(name.split("\n")[-1])
        if reached[-1] == "4":
            person.press("Space")
            person.press("Enter")
    person.wait_saved()
    assert {*DIGITS, "Skip", "Unsure", "Undo", "Note", "Flag", "Guidelines"} <= set(reached)
    assert classes_of(fake.standing())[:2] == [4, 4]


def test_a_click_labels_and_does_not_keep_the_focus(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30, ranking=2)
    person.open()
    page.get_by_role("button", name="9", exact=True).click()
    person.wait_painted(2)
    second = person.item
    person.press("Enter")  # takes the suggestion and does not press 9 again
    person.wait_saved()
    assert classes_of(fake.standing()) == [9, second % 10]


def test_many_classes_are_found_by_typing(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30, kind="text")
    person.open("classes=many")
    page.keyboard.press("/")
    page.keyboard.type("orchard 3")
    page.keyboard.press("Enter")
    person.wait_painted(2)
    person.press("1")
    person.wait_saved()
    assert classes_of(fake.standing()) == [21, 0]


def test_text_and_fields_are_shown_as_they_are_and_never_as_markup(person: Labeller, page: Page, fake: Fake) -> None:
    for kind in ("text", "fields"):
        fake.start(items=5, kind=kind)
        person.open("classes=words")
        expect(page.get_by_text("<b>The pump</b> rattled again").first).to_be_visible()
        assert page.locator(".frame b").count() == 0


def test_prefetched_items_are_exchanged_when_a_new_ranking_is_live(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=40, ranked_every=2)
    person.open()
    person.press(*"12")
    person.wait_saved()
    fake.eventually(lambda state: state["rankings"].count(1) == 2)  # the one on screen and the next are kept
    expect(page.get_by_text("Model 2")).to_be_visible()
    person.press(*"34")
    expect(page.get_by_text("torn between 3 and 8")).to_be_visible()


def test_a_few_labels_cost_few_requests(person: Labeller, fake: Fake) -> None:
    fake.start(items=60)
    person.open()
    person.press(*"12345678901234567890")
    person.wait_saved()
    assert fake.state()["seen"].count("claims") <= 8


def test_items_on_lease_are_given_back_when_the_page_goes(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open()
    person.press("1")
    person.wait_saved()
    assert fake.state()["leased"]
    page.goto("about:blank")
    fake.eventually(lambda state: state["leased"] == [])


def test_leases_that_were_not_given_back_are_taken_up_again(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open()
    leased = fake.state()["leased"]
    fake.adjust(fail={"release": 5})
    page.reload()
    person.wait_painted(1)
    assert person.item in leased
    assert fake.state()["leased"] == leased


def test_the_end_of_the_pool_says_what_to_do(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=2)
    person.open()
    person.press("1")
    page.keyboard.press("2")
    expect(page.get_by_text("Everything here is labeled")).to_be_visible()
    page.keyboard.press("Backspace")
    person.wait_painted(3)
    page.keyboard.press("4")
    person.wait_saved()
    assert classes_of(fake.standing()) == [1, 4]


def test_a_server_that_is_away_is_said_and_waited_for(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=9, fail={"claims": 2})
    page.goto(fake.address)
    expect(page.get_by_text("Waiting for the server")).to_be_visible()
    person.wait_painted(1)
    person.press("1")
    person.wait_saved()
    assert classes_of(fake.standing()) == [1]


def test_a_picture_that_cannot_be_loaded_can_be_skipped_but_not_labeled(
    person: Labeller, page: Page, fake: Fake
) -> None:
    fake.start(items=1)
    page.route("**/media*", lambda route: route.abort())
    person.open()
    expect(page.get_by_text("This picture could not be loaded.")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("ArrowRight")
    state = fake.eventually(lambda state: len(state["standing"]) == 1)
    assert state["standing"][0]["verdict"] == "skip"


def test_an_item_that_went_to_somebody_else_is_replaced(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open()
    fake.adjust(leases={})
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_text("That item has gone to somebody else in the meantime")).to_be_visible()
    person.wait_painted(2)
    person.press("3")
    person.wait_saved()
    assert classes_of(fake.standing()) == [3]


def test_new_data_from_the_page_keeps_the_item_on_screen(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open("input=1")
    item = person.item
    page.get_by_label("Elsewhere").fill("Mind the gap.")
    page.get_by_label("Elsewhere").press("Enter")
    expect(page.get_by_text("is unsure.Mind the gap.")).to_be_visible()
    assert person.item == item
    page.get_by_label("Elsewhere").blur()
    person.press("4", "5")
    person.wait_saved()
    assert classes_of(fake.standing()) == [4, 5]


def test_leaving_the_view_gives_the_items_back_and_returning_goes_on(person: Labeller, page: Page, fake: Fake) -> None:
    fake.start(items=30)
    person.open("toggle=1")
    person.press("1")
    person.wait_saved()
    switch = page.get_by_text("Labeller", exact=True)
    switch.click()
    fake.eventually(lambda state: state["leased"] == [])
    page.keyboard.press("2")
    count = len(person.painted())
    switch.click()
    person.wait_painted(count + 1)
    person.press("3")
    person.wait_saved()
    assert classes_of(fake.standing()) == [1, 3]
