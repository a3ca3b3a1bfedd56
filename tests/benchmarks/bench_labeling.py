"""Sixty digits by keyboard in real Chromium on the real application: from key press to the next item painted."""

from playwright.sync_api import sync_playwright

from tests.benchmarks.report import in_ms, machine, scratch
from tests.browser.driving import launch
from tests.browser.test_the_loop import DigitsExpert
from tests.serving import serve

LABELS = 60


def main() -> None:
    with scratch() as root, sync_playwright() as playwright:
        served = serve(root, verb="demo")
        browser = launch(playwright)
        try:
            person = DigitsExpert(browser.new_page(viewport={"width": 1400, "height": 900}), served)
            person.arrive()
            person.label(LABELS)
            person.wait_saved()
            times = [p["painted"] - p["pressed"] for p in person.painted() if p["pressed"] is not None]
            with served.connect() as connection:
                live = connection.get("/projects/1")["live"]
        finally:
            browser.close()
            served.stop()
    print(machine())
    print(f"key press to next item painted, {len(times)} presses, median / 95th percentile in ms: ", end="")
    print(in_ms([milliseconds / 1000 for milliseconds in times]), "(bar 50)")
    print(f"worst {max(times):.1f} ms; {live['labels']} labels saved; {live['model_version']} model versions (bar 5)")


if __name__ == "__main__":
    main()
