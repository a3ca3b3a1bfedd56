"""Two annotators and an expert, each in a browser of their own: who disagrees is settled, and the export tells how."""

import csv
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import col, func, select

from labeling import accounts
from labeling.annotation import team
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Item, Job, JobKind, JobState, Role
from labeling.users import local_user
from tests.browser.driving import Labeller
from tests.serving import Pool, Served, prepare, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ITEMS = 40
DISPUTED = 10
WORDS = "correct horse battery"
PEOPLE = {"Ann": Role.ANNOTATOR, "Bob": Role.ANNOTATOR, "Eve": Role.EXPERT}
SOON = 30_000  # ms


@dataclass
class Place:
    """The application with its worker on 40 digits that two people answer; the digit of each item by its id."""

    pool: Pool
    served: Served
    truth: dict[int, str]

    @property
    def address(self) -> str:
        return f"http://localhost:{self.served.port}"

    @property
    def disputed(self) -> set[int]:
        """The items that the second person is to take for something else."""
        return set(sorted(self.truth)[::4])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    root = tmp_path / "workspace"
    pool = prepare(root, items=ITEMS, annotators=0, overlap=2)
    owner = accounts.add_account(pool.workspace, local_user(pool.workspace), "Olga", WORDS)
    for name, role in PEOPLE.items():
        accounts.add_account(pool.workspace, owner, name, WORDS)
        team.add_member(pool.workspace, owner, pool.project_id, name, role)
    with reading(pool.workspace.engine) as session:
        names = session.exec(select(Item.id, Item.external_id)).all()
    pool.workspace.engine.dispose()
    with serving(root) as served:
        yield Place(pool, served, {item: name.split("-")[0] for item, name in names if item is not None})


@pytest.fixture
def people(browser: Browser, place: Place) -> Iterator[dict[str, Page]]:
    """Each of the three, signed in, in a browser of their own."""
    contexts = {name: browser.new_context(viewport={"width": 1280, "height": 900}) for name in PEOPLE}
    pages = {name: context.new_page() for name, context in contexts.items()}
    for name, page in pages.items():
        page.set_default_timeout(SOON)
        page.goto(f"{place.address}/sign-in")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Password", exact=True).fill(WORDS)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{place.address}/")
    yield pages
    for context in contexts.values():
        context.close()


def arrive(person: Labeller, place: Place, path: str) -> None:
    person.page.goto(f"{place.address}/{path}?project={place.pool.project_id}")
    person.wait_painted(1)


def label_everything(first: Labeller, second: Labeller, place: Place) -> None:
    """Both at once, item by item; the second takes some digits for another one."""
    for done in range(1, ITEMS + 1):
        for person in (first, second):
            item = person.item
            digit = place.truth[item]
            if person is second and item in place.disputed:
                digit = str((int(digit) + 1) % 10)
            person.page.keyboard.press(digit)
            if done < ITEMS:
                person.wait_other(item)
    for person in (first, second):
        expect(person.page.get_by_role("heading", name="Everything here is labeled")).to_be_visible(timeout=SOON)
        person.wait_saved()


def exported(page: Page, place: Place, rows: str) -> list[dict[str, str]]:
    answer = page.request.get(f"{place.address}/api/v1/projects/{place.pool.project_id}/export?format=csv&rows={rows}")
    assert answer.status == 200, answer.text()
    return list(csv.DictReader(io.StringIO(answer.text())))


def wait_until_weighed(page: Page, place: Place) -> None:
    """Wait until the worker has learned from all answers and weighed them."""
    until = time.monotonic() + 120
    undone = select(Job.kind).where(col(Job.state).in_([JobState.QUEUED, JobState.RUNNING]))
    failed = select(Job.kind, Job.error).where(Job.state == JobState.FAILED)
    weighed = select(Job.report).where(Job.kind == JobKind.WEIGH, Job.state == JobState.DONE)
    newest = select(func.max(Annotation.seq))
    while True:
        with reading(place.pool.workspace.engine) as session:
            assert session.exec(failed).all() == []
            left, seq = session.exec(undone).all(), session.exec(newest).one()
            report = session.exec(weighed.order_by(col(Job.id).desc()).limit(1)).first() or {}
        if not left and report.get("seq") == seq:
            return
        assert time.monotonic() < until, (left, report.get("seq"), seq)
        page.wait_for_timeout(200)


def test_ten_disagreements_and_no_others_reach_the_expert_who_settles_them_by_keys(
    place: Place, people: dict[str, Page]
) -> None:
    ann, bob, eve = (Labeller(page, place.address) for page in people.values())
    arrive(ann, place, "label")
    arrive(bob, place, "label")
    expect(ann.page.get_by_role("link", name="Review")).to_have_count(0)
    label_everything(ann, bob, place)
    wait_until_weighed(eve.page, place)

    arrive(eve, place, "review")
    count = eve.page.locator("[data-filter=all] .number")
    expect(count).to_have_text(str(DISPUTED))
    listed = eve.page.locator(".in-list").evaluate_all("(tiles) => tiles.map((tile) => Number(tile.dataset.item))")
    assert set(listed) == place.disputed and len(listed) == DISPUTED
    begun = time.monotonic()
    for left in range(DISPUTED, 0, -1):
        item = eve.item
        assert item in place.disputed
        eve.page.keyboard.press(place.truth[item])
        if left > 1:
            eve.wait_other(item)
    expect(eve.page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    print(f"ten decisions by keys, saved and the next on screen: {time.monotonic() - begun:.1f} s")
    eve.wait_saved()
    expect(eve.page.locator("[data-filter=decided] .number")).to_have_text(str(DISPUTED))

    labels = {int(row["item_id"]): row for row in exported(eve.page, place, "labels")}
    assert {item: row["label"] for item, row in labels.items()} == place.truth
    assert {item for item, row in labels.items() if row["adjudicator"] == "Eve"} == place.disputed
    assert {item for item, row in labels.items() if row["source"] == "adjudicated"} == place.disputed
    assert {item: float(row["agreement"]) for item, row in labels.items()} == {
        item: 0.5 if item in place.disputed else 1.0 for item in place.truth
    }
    assert {row["answers"] for row in labels.values()} == {"2"}

    given = exported(eve.page, place, "answers")
    said = {(int(row["item_id"]), row["annotator"]): row["class"] for row in given if row["origin"] != "review"}
    assert said == {
        (item, name): str((int(digit) + 1) % 10) if name == "Bob" and item in place.disputed else digit
        for item, digit in place.truth.items()
        for name in ("Ann", "Bob")
    }
    decisions = {int(row["item_id"]): row["annotator"] for row in given if row["origin"] == "review"}
    assert decisions == dict.fromkeys(place.disputed, "Eve")
    assert all(row["adjudicator"] == ("Eve" if int(row["item_id"]) in place.disputed else "") for row in given)


def test_what_the_expert_sends_back_is_answered_anew_in_the_labeller(place: Place, people: dict[str, Page]) -> None:
    ann, bob, eve = (Labeller(page, place.address) for page in people.values())
    arrive(ann, place, "label")
    arrive(bob, place, "label")
    label_everything(ann, bob, place)
    wait_until_weighed(eve.page, place)
    arrive(eve, place, "review")
    item = eve.item
    eve.page.keyboard.press("b")
    eve.page.get_by_role("checkbox", name="Ann").uncheck()
    eve.page.get_by_role("textbox", name="Remark").fill("Look at the loop: is it closed?")
    eve.page.keyboard.press("Enter")
    eve.wait_saved()

    remark = bob.page.locator(".sent-back")
    expect(remark).to_contain_text("Look at the loop: is it closed?", timeout=SOON)
    bob.page.wait_for_function(f"window.painted.at(-1).item === {item}")
    bob.page.keyboard.press(".")
    bob.page.keyboard.type("It is; I was wrong.")
    bob.page.keyboard.press("Enter")
    bob.page.keyboard.press(place.truth[item])
    bob.wait_saved()
    expect(remark).to_be_hidden()

    wait_until_weighed(eve.page, place)
    arrive(eve, place, "review")
    expect(eve.page.locator("[data-filter=all] .number")).to_have_text(str(DISPUTED - 1))
    expect(eve.page.locator("[data-filter=sent_back] .number")).to_have_text("0")
    labels = {int(row["item_id"]): row["label"] for row in exported(eve.page, place, "labels")}
    assert labels[item] == place.truth[item]
    notes = [row["note"] for row in exported(eve.page, place, "answers") if int(row["item_id"]) == item]
    assert "It is; I was wrong." in notes
