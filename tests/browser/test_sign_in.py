"""People in Chromium: the first account, a link, labeling as an annotator, the end of it, as each of them sees it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from labeling import accounts, signing_in
from labeling.annotation import team
from labeling.users import local_user
from labeling.workspace import Workspace, open_workspace
from tests.browser.driving import Labeller
from tests.serving import Served, prepare, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]
WORDS = "correct horse battery"
SOON = 20_000  # ms


@dataclass
class Place:
    """A workspace where ada has the first account, and the application on it."""

    workspace: Workspace
    served: Served
    project: int
    ada: int

    @property
    def address(self) -> str:
        return f"http://localhost:{self.served.port}"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    root = tmp_path / "workspace"
    pool = prepare(root, items=30, annotators=0)
    ada = accounts.add_account(pool.workspace, local_user(pool.workspace), "ada", WORDS)
    pool.workspace.engine.dispose()
    with serving(root, "--no-worker") as served:
        workspace = open_workspace(root)
        yield Place(workspace, served, pool.project_id, ada)
        workspace.engine.dispose()


@pytest.fixture
def visit(browser: Browser) -> Iterator[object]:
    """Make the page of another person: a browser of their own."""
    contexts = []

    def visit(**options: object) -> Page:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))  # type: ignore[arg-type]
        page: Page = contexts[-1].new_page()
        page.set_default_timeout(SOON)
        return page

    yield visit
    for context in contexts:
        context.close()


def enter(page: Page, place: Place, name: str = "ada", password: str = WORDS, path: str = "/") -> None:
    page.goto(place.address + path)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


def says(page: Page, sentence: str) -> None:
    expect(page.get_by_text(sentence).first).to_be_visible(timeout=SOON)


def invited_link(page: Page, place: Place) -> str:
    """A link into the project that the owner at this page makes."""
    page.goto(f"{place.address}/team?project={place.project}")
    page.get_by_label("For whom").fill("for Bob")
    page.get_by_label("For whom").press("Tab")
    page.get_by_role("button", name="Make a link").click()
    code = page.get_by_test_id("stCode")
    expect(code).to_contain_text("/join/", timeout=SOON)
    says(page, "for Bob")
    return code.inner_text().strip()


def come(page: Page, link: str, name: str = "bob") -> None:
    page.goto(link)
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Password", exact=True).fill(WORDS)
    page.get_by_label("The same once more").fill(WORDS)
    page.get_by_role("button", name="Make my account").click()


def test_an_owner_invites_somebody_who_labels_and_is_taken_out_again(place: Place, visit) -> None:  # type: ignore[no-untyped-def]
    owner, newcomer = visit(), visit()
    enter(owner, place, path=f"/team?project={place.project}")
    says(owner, "People")
    assert "/team" in owner.url  # where she wanted to go
    link = invited_link(owner, place)
    assert link.startswith(place.address)

    labeller = Labeller(newcomer, place.address)
    newcomer.goto(link)
    says(newcomer, "“ada” invites you to label.")
    come(newcomer, link)
    newcomer.wait_for_url("**/label?project=*")
    labeller.wait_painted(1)
    labeller.press("1")
    labeller.wait_saved()
    bob = accounts.find_user(place.workspace, place.ada, "bob")
    answers = {m.user_id: m.answers for m in team.list_team(place.workspace, place.ada, place.project)}
    assert answers[bob] == 1

    newcomer.goto(f"{place.address}/settings?project={place.project}")
    says(newcomer, "These are for you to read")
    newcomer.goto(f"{place.address}/team?project={place.project}")
    says(newcomer, "You are an annotator in this project.")
    assert newcomer.get_by_role("button", name="Make a link").count() == 0

    newcomer.goto(f"{place.address}/label?project={place.project}")
    labeller.wait_painted(1)
    owner.goto(f"{place.address}/team?project={place.project}")
    owner.get_by_role("button", name="More").last.click()  # owners come first
    owner.get_by_text("Remove from the project").click()
    says(owner, "Their answers stay and count as before.")
    owner.get_by_role("button", name="Remove", exact=True).click()
    says(owner, "removed")
    newcomer.keyboard.press("2")
    says(newcomer, "that you are a member of")
    newcomer.goto(f"{place.address}/label?project={place.project}")
    says(newcomer, "There is no project yet")


def test_a_page_that_is_open_ends_with_the_signing_in(place: Place, visit) -> None:  # type: ignore[no-untyped-def]
    page = visit()
    enter(page, place, path=f"/insights?project={place.project}")
    says(page, "Insights")
    (mine,) = signing_in.list_sign_ins(place.workspace, place.ada)
    signing_in.end_sign_in(place.workspace, place.ada, mine.id or 0)
    page.wait_for_url("**/sign-in?*", timeout=SOON)
    says(page, "You were signed out; sign in to go on.")
    page.get_by_label("Name", exact=True).fill("ada")
    page.get_by_label("Password", exact=True).fill(WORDS)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/insights?*")


def test_signing_out_is_one_press_and_the_next_page_asks_again(place: Place, visit) -> None:  # type: ignore[no-untyped-def]
    page = visit()
    enter(page, place)
    page.get_by_role("link", name="ada").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in?out=1", timeout=SOON)
    says(page, "You are signed out.")
    page.go_back()
    page.goto(place.address)
    page.wait_for_url("**/sign-in")


def test_a_password_is_changed_on_the_account_page(place: Place, visit) -> None:  # type: ignore[no-untyped-def]
    page, elsewhere = visit(), visit()
    for each in (page, elsewhere):
        enter(each, place)
        says(each, "Projects")
    page.get_by_role("link", name="ada").click()
    page.get_by_label("The old one").fill(WORDS)
    page.get_by_label("The new one", exact=True).fill("entirely new words")
    page.get_by_label("The new one once more").fill("entirely new words")
    page.get_by_role("button", name="Change password").click()
    says(page, "Changed. Your other browsers have to sign in again; your API tokens have ended.")
    elsewhere.wait_for_url("**/sign-in?*", timeout=SOON)
    assert "/account" in page.url
    enter(elsewhere, place)
    says(elsewhere, "do not go together")


def test_a_streamlit_session_is_nobody_elses(place: Place, visit) -> None:  # type: ignore[no-untyped-def]
    """Somebody who signs in at the same browser next starts from nothing."""
    accounts.add_account(place.workspace, place.ada, "bob", WORDS)
    page = visit()
    enter(page, place)
    says(page, "digits")
    page.goto(f"{place.address}/sign-out")
    page.get_by_role("button", name="Sign out").click()
    enter(page, place, "bob")
    says(page, "What shall we label?")
    assert page.get_by_text("digits", exact=True).count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_pages_of_signing_in_can_be_used_by_everybody(place: Place, visit, scheme: str, width: int) -> None:  # type: ignore[no-untyped-def]
    from labeling import invitations

    page = visit(color_scheme=scheme, viewport={"width": width, "height": 800})
    link = invitations.invite(place.workspace, place.ada, place.project)
    for path in ("/sign-in", link.path, "/join/made-up"):
        page.goto(place.address + path)
        broken = Axe().run(page).response["violations"]
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in broken] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.goto(f"{place.address}/sign-in")
    for typed in ("ada", WORDS):
        page.keyboard.press("Tab")
        page.keyboard.type(typed)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{place.address}/")


def test_a_websocket_of_the_real_server_is_closed_when_its_user_is_shut_out(place: Place, visit) -> None:  # type: ignore[no-untyped-def]
    accounts.add_account(place.workspace, place.ada, "bob", WORDS)
    page = visit()
    closed: list[float] = []
    page.on("websocket", lambda socket: socket.on("close", lambda _: closed.append(time.monotonic())))
    enter(page, place, "bob")
    says(page, "What shall we label?")
    bob = accounts.find_user(place.workspace, place.ada, "bob")
    page.route("**/api/v1/me", lambda route: route.fulfill(status=200, body="{}"))  # so that the page itself stays
    accounts.disable_user(place.workspace, place.ada, bob)
    before = len(closed)
    for _ in range(100):
        page.wait_for_timeout(100)
        if len(closed) > before:
            break
    assert len(closed) > before
