"""The grid beside one by one: answers a minute, in real Chromium on the real application, on the digits.

The person is a script that knows every digit, so how long it looks is a model of a person, stated here and in the
table: `ONE` seconds for an item asked by itself (to see it, to decide among ten keys, to press), `GLANCE` seconds for a
tile of a screen (to see whether it is one of the class in question), and `MARK` seconds more for each that is not
(to move there and press its key). Whatever the machine adds (waiting for the next item or screen, saving) is measured.
"""

import time
from collections import Counter

from playwright.sync_api import sync_playwright

from tests.benchmarks.report import in_ms, machine, print_table, scratch
from tests.browser.demo import wait_until_learned
from tests.browser.driving import launch
from tests.browser.test_grid import LOOK, GridExpert
from tests.browser.test_the_loop import DigitsExpert
from tests.serving import serve

ONE, GLANCE, MARK = 0.9, 0.25, 1.0  # seconds
SINGLES = 40  # items one by one before the grid, and to compare with
CONFIRMED = 200  # answers by screens
SCREEN = 40


def singly(person: DigitsExpert) -> dict[str, object]:
    """Items one by one, as fast as the script can."""
    person.arrive()
    person.label(SINGLES)
    person.wait_saved()
    waits = [(p["painted"] - p["pressed"]) / 1000 for p in person.painted() if p["pressed"] is not None]
    return row(SINGLES, waits, SINGLES * ONE, sum(waits))


def by_screens(person: GridExpert) -> tuple[dict[str, object], list[float]]:
    """Screens of `SCREEN`, each exception given its own class by arrows and key, the rest confirmed."""
    person.arrive()
    answers, looked, exceptions = 0, 0.0, []
    while answers < CONFIRMED:
        wrong = person.exceptions()
        for item in wrong:
            person.walk_to(item)
            person.page.keyboard.press(person.digit_of[item])
        shown = len(person.screen["items"])
        answers += shown
        looked += shown * GLANCE + len(wrong) * MARK
        exceptions.append(len(wrong) / shown)
        person.confirm()
    person.wait_saved()
    waits = [(s["painted"] - s["pressed"]) / 1000 for s in person.screens() if s["pressed"] is not None]
    standing = person.standing()
    right = sum(person.names[a["class_id"]] == person.digit_of[item] for item, a in standing.items())
    assert right == len(standing) == answers, (right, len(standing), answers)
    assert max(Counter(a["batch"] for a in standing.values()).values()) == SCREEN
    return row(answers, waits, looked, sum(waits)), exceptions


def row(answers: int, waits: list[float], looked: float, waited: float) -> dict[str, object]:
    """What a way of labeling comes to: the model of a person, and the machine's part in it."""
    return {
        "answers": answers,
        "confirmed to next painted, ms p50 / p95": in_ms(waits),
        "machine, s an answer": waited / answers,
        "a person looks and marks, s an answer": looked / answers,
        "answers a minute, with that person": 60 * answers / (looked + waited),
        "answers a minute, machine alone": 60 * answers / waited,
    }


def taken_back(person: GridExpert) -> float:
    """Seconds from the key that takes a screen back to the screen being there again."""
    shown = len(person.screens())
    began = time.perf_counter()
    person.page.keyboard.press("Backspace")
    person.wait_screen(shown)
    took = time.perf_counter() - began
    person.wait_saved()
    return took


def main() -> None:
    with scratch() as root, sync_playwright() as playwright:
        served = serve(root, verb="demo")
        browser = launch(playwright)
        try:
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            one = singly(DigitsExpert(page, served))
            page.close()
            with served.connect() as connection:
                wait_until_learned(connection)
            person = GridExpert(browser.new_page(viewport={"width": 1400, "height": 900}), served)
            many, exceptions = by_screens(person)
            undone = taken_back(person)
        finally:
            browser.close()
            served.stop()
    print_table(
        f"Grid of {SCREEN} and one by one: a script, with {ONE} s an item, {GLANCE} s a tile, {MARK} s an exception",
        {"one by one": one, "grid": many},
    )
    print(f"exceptions on each screen: {', '.join(f'{share:.0%}' for share in exceptions)}")
    print(f"a screen taken back: {1000 * undone:.0f} ms; each screen was looked at for {LOOK} ms at least; {machine()}")


if __name__ == "__main__":
    main()
