"""Agreement and the quality of people in a real browser: clicks bring the items, and answers are set aside."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sklearn.datasets import load_digits

from labeling.users import issue_token
from labeling.workspace import open_workspace
from tests.browser.demo import demonstrating, wait_until_learned
from tests.browser.test_insights import PATIENCE, TWO_REFRESHES, click_until_it_counts, serious
from tests.serving import Connection, Served

pytestmark = pytest.mark.browser
ANSWERS = 30  # of each
OFTEN = 5  # every so many answers, Eve says the next digit


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo with two people who answered the same items, not always alike, and a worker that weighed them."""
    root = tmp_path_factory.mktemp("agreement") / "workspace"
    with demonstrating(root) as served:
        opened = open_workspace(root)
        tokens = {name: issue_token(opened, name) for name in ("Ann", "Eve")}
        opened.engine.dispose()
        with served.connect() as me:
            status, _ = me.ask("PATCH", "/api/v1/projects/1/settings", {"overlap": 2, "strategy": "random"})
            assert status == 200
            wait_until_learned(me)
        people = {name: served.connect(token) for name, token in tokens.items()}
        # Before anybody answers, so that both are asked the same: the head of one ranking.
        claims = {name: person.post("/projects/1/claims", {"count": ANSWERS}) for name, person in people.items()}
        for name, person in people.items():
            with person:
                answer(person, claims[name]["claims"], wrong=name == "Eve")
        with served.connect() as me:
            until = time.monotonic() + PATIENCE / 500
            while len(me.get("/projects/1/people")["people"]) < len(tokens):
                assert time.monotonic() < until, "nobody weighs the answers"
                time.sleep(0.2)
        yield served


def answer(person: Connection, claims: list[dict[str, Any]], *, wrong: bool) -> None:
    """Answer what was claimed, some of it wrongly where wanted."""
    truth = load_digits().target
    classes = [c["id"] for c in person.get("/projects/1")["classes"]]
    given = []
    for place, claim in enumerate(claims):
        digit = truth[int(claim["item"]["external_id"].removeprefix("digits-"))]
        said = (digit + (wrong and place % OFTEN == 0)) % 10
        held = {name: claim[name] for name in ("assignment_id", "token")}
        given.append(
            {"event_id": str(uuid.uuid4()), "seconds": 1.0, "verdict": "label", "class_id": classes[said], **held}
        )
    outcomes = person.post("/annotations", {"annotations": given})["annotations"]
    assert [outcome["status"] for outcome in outcomes] == ["saved"] * ANSWERS


@pytest.fixture
def page(browser: Browser, demo: Served) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"http://127.0.0.1:{demo.port}/insights")
    yield page
    assert not errors
    context.close()


def test_a_click_on_what_two_people_confuse_brings_the_items(page: Page, demo: Served) -> None:
    page.get_by_role("tab", name="Agreement").click()
    expect(page.get_by_text("Krippendorff’s alpha")).to_be_visible(timeout=PATIENCE)
    with demo.connect() as connection:
        shared = connection.get("/projects/1/agreement")["items"]
    expect(page.get_by_text(f"On {shared} items that several people answered")).to_be_visible()
    (kappa,) = page.get_by_text("Two by two").all()
    kappa.scroll_into_view_if_needed()
    cells = page.locator("svg.marks .mark-rect path[aria-roledescription='rect mark']")
    click_until_it_counts(page, cells)
    expect(page.get_by_text("Ann, ").first).to_be_visible()
    expect(page.get_by_text("Eve, ").first).to_be_visible()
    page.wait_for_timeout(TWO_REFRESHES)
    expect(page.get_by_test_id("stImage").first).to_be_visible()
    assert serious(page) == []


def test_answers_are_set_aside_after_saying_what_follows_and_come_back(page: Page, demo: Served) -> None:
    page.get_by_role("tab", name="People").click()
    expect(page.get_by_text("How well people answer")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Set somebody’s answers aside").click()
    page.get_by_role("combobox", name="Whose").last.click()
    page.get_by_role("option", name="Eve").click()
    expect(page.get_by_text("labels are derived anew without them")).to_be_visible()
    page.wait_for_timeout(TWO_REFRESHES)  # a refresh leaves open what somebody reads
    assert serious(page) == []
    page.get_by_role("button", name="Set their answers aside").click()
    expect(page.get_by_text("are set aside: they count for nothing")).to_be_visible(timeout=PATIENCE)
    assert shared_items(demo) == 0
    page.get_by_role("button", name="Let them count again").click()
    expect(page.get_by_text("are set aside: they count for nothing")).to_be_hidden(timeout=PATIENCE)
    assert shared_items(demo) > 0


def shared_items(demo: Served) -> int:
    with demo.connect() as connection:
        items: int = connection.get("/projects/1/agreement")["items"]
        return items
