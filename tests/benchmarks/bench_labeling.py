"""Sixty digits by keyboard in real Chromium on the real application: from key press to the next item painted."""

import sys
import tempfile
from pathlib import Path
from statistics import quantiles

sys.path.insert(0, str(Path(__file__).parents[2]))

from playwright.sync_api import sync_playwright

from tests.benchmarks.report import machine
from tests.browser.driving import launch
from tests.browser.test_the_loop import DigitsExpert
from tests.serving import serve

LABELS = 60


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        served = serve(Path(folder) / "workspace", verb="demo")
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
    cuts = quantiles(times, n=20, method="inclusive")
    print(machine())
    print(f"key press to next item painted, {len(times)} presses, ms: p50 {cuts[9]:.1f}, p95 {cuts[18]:.1f} (bar 50)")
    print(f"worst {max(times):.1f} ms; {live['labels']} labels saved; {live['model_version']} model versions (bar 5)")


if __name__ == "__main__":
    main()
