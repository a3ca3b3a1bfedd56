"""The Review page on the real application: what waits is settled by keys, and everything can be taken back."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from labeling.annotation import adjudication, answers, queue
from labeling.annotation.adjudication import Decision
from labeling.classes import class_changes, edit_class, retire_class
from labeling.db.engine import writing
from labeling.db.schema import Role
from labeling.projects import read_project, update_guidelines
from labeling.users import grant, issue_token, local_user
from labeling.workspace import Workspace, open_workspace
from tests.browser.disputed import NAMES, Disputed, user_id
from tests.db.small_project import answer_to
from tests.serving import Served, serve

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return open_workspace(tmp_path_factory.mktemp("review") / "workspace")


@pytest.fixture(scope="module")
def served(opened: Workspace) -> Iterator[Served]:
    """Without a worker: what waits is what people said, whatever a model makes of it."""
    made = serve(opened.root, "--no-worker")
    yield made
    made.stop()


@pytest.fixture
def disputed(served: Served, opened: Workspace, request: pytest.FixtureRequest) -> Disputed:
    return Disputed.make(opened, request.node.name)


class Expert:
    """Somebody at the Review page: waits until an item is on screen, then presses."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        page.add_init_script(
            "window.painted = [];"
            "document.addEventListener('askwise:painted', (event) => window.painted.push(event.detail));"
        )

    def open(self, project: int) -> None:
        self.page.goto(f"{self.address}/review?project={project}")
        self.page.wait_for_function("window.painted.length > 0")

    @property
    def item(self) -> int:
        shown: int = self.page.evaluate("window.painted.at(-1).item")
        return shown

    def press(self, *keys: str) -> None:
        """Press each key once, each after a new item has been painted."""
        for key in keys:
            count = self.page.evaluate("window.painted.length")
            self.page.keyboard.press(key)
            self.page.wait_for_function(f"window.painted.length > {count}")

    def choose(self, name: str) -> None:
        """Open one of the lists."""
        chip = self.page.locator(f"[data-filter={name}]")
        chip.click()
        expect(chip).to_have_attribute("aria-pressed", "true")

    def count(self, name: str) -> Any:
        return self.page.locator(f"[data-filter={name}] .number")

    def wait_saved(self) -> None:
        self.page.wait_for_function("!Object.keys(localStorage).some((key) => key.startsWith('askwise:outbox'))")

    def hold(self, path: str) -> Callable[[], Route]:
        """Hold back what is asked of a path next; returns what waits for that request."""
        held: list[Route] = []
        self.page.route(path, lambda route: held.append(route), times=1)

        def first() -> Route:
            for _ in range(200):
                if not held:
                    self.page.wait_for_timeout(50)
            return held[0]

        return first

    def look_again(self) -> None:
        """Have the page look at once for what it would look for within seconds."""
        with self.page.expect_response("**/api/**/review?*"):
            self.page.evaluate("window.dispatchEvent(new Event('online'))")

    def tile(self, item: int) -> Any:
        return self.page.locator(f".in-list[data-item='{item}']")

    def on_screen(self, item: int) -> None:
        self.page.wait_for_function(f"window.painted.at(-1)?.item === {item}")


@pytest.fixture
def expert(page: Page, served: Served) -> Expert:
    return Expert(page, f"http://127.0.0.1:{served.port}")


def test_ten_disagreements_are_settled_by_ten_keys(expert: Expert, page: Page, disputed: Disputed) -> None:
    expert.open(disputed.id)
    expect(expert.count("all")).to_have_text("12")
    expect(expert.count("disagreement")).to_have_text("10")
    expert.choose("disagreement")
    expert.on_screen(disputed.disagreed[0])
    for left in range(9, -1, -1):
        key = disputed.truth[expert.item]
        if left:
            expert.press(key)
        else:
            page.keyboard.press(key)
        expect(expert.count("disagreement")).to_have_text(str(left))
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    expert.wait_saved()
    assert disputed.decisions() == {item: disputed.truth[item] for item in disputed.disagreed}
    expect(expert.count("decided")).to_have_text("10")
    expert.choose("all")
    expect(page.locator(".in-list")).to_have_count(2)
    expert.on_screen(disputed.unsure[0])


def test_the_page_shows_all_that_speaks_for_each_class(expert: Expert, page: Page, disputed: Disputed) -> None:
    expert.open(disputed.id)
    item = expert.item
    said, against = disputed.truth[item], disputed.wrong(item)
    expect(page.locator(".why-waiting")).to_contain_text(f"1 says “{min(said, against)}”")
    expect(page.locator(".contender")).to_have_count(2)
    card = page.locator(f".contender[data-class='{disputed.classes[against]}']")
    expect(card.get_by_role("button")).to_have_accessible_name(re.compile(f"^Decide on {against}. Said by Bob."))
    expect(page.locator(".opinion")).to_have_count(2)
    expect(page.locator(".opinion").nth(1)).to_contain_text(f"Bob{against}")
    card.get_by_role("button").click()
    page.wait_for_function(f"window.painted.at(-1).item !== {item}")
    expert.wait_saved()
    assert disputed.decisions() == {item: against}


def test_enter_takes_what_leads_and_other_keys_do_what_their_buttons_say(
    expert: Expert, page: Page, disputed: Disputed
) -> None:
    expert.open(disputed.id)
    expert.choose("unsure")
    expert.on_screen(disputed.unsure[0])
    expect(page.locator(".opinion q")).to_have_text("too faint")
    page.keyboard.press("Enter")  # the one answer that there is
    expect(expert.count("unsure")).to_have_text("0")
    expert.choose("disagreement")
    expert.on_screen(disputed.disagreed[0])
    first = expert.item
    expert.press("ArrowRight")  # later
    assert expert.item == disputed.disagreed[1]
    expert.press("u")
    expert.press("ArrowDown")
    expect(expert.count("disagreement")).to_have_text("8")
    expert.wait_saved()
    cannot = dict.fromkeys(disputed.disagreed[1:3])
    assert disputed.decisions() == {**cannot, disputed.unsure[0]: disputed.truth[disputed.unsure[0]]}
    last = page.locator(".in-list").last
    assert last.get_attribute("data-item") == str(first)
    for name in ("Cannot tell", "Later", "Gold", "Comment", "Send back", "Undo"):
        expect(page.get_by_role("button", name=name)).to_be_visible()


def test_a_decision_is_taken_back_whether_it_was_saved_or_not(expert: Expert, page: Page, disputed: Disputed) -> None:
    expert.open(disputed.id)
    first = expert.item
    expert.press(disputed.wrong(first))
    expert.wait_saved()
    expert.press("Backspace")
    assert expert.item == first
    expert.wait_saved()
    assert disputed.decisions() == {}
    page.route("**/decisions", lambda route: route.abort())
    expert.press(disputed.wrong(first), disputed.truth[expert.item])
    expect(page.get_by_text("2 answers are kept in this browser")).to_be_visible()
    expert.press("Control+z", "Control+z")
    assert expert.item == first
    page.unroute("**/decisions")
    expert.press(disputed.truth[first])
    expert.wait_saved()
    assert disputed.decisions() == {first: disputed.truth[first]}
    expect(expert.count("decided")).to_have_text("1")


def test_decisions_go_on_without_the_server_and_over_a_reload(expert: Expert, page: Page, disputed: Disputed) -> None:
    few = ("limit=20", "limit=1")
    page.route("**/api/**/review?*", lambda route: route.continue_(url=route.request.url.replace(*few)), times=1)
    page.route("**/decisions", lambda route: route.abort())
    expert.open(disputed.id)
    shown = [expert.item]  # and nothing else is at hand: the others are fetched once it is decided
    expert.press(disputed.truth[shown[0]])
    shown.append(expert.item)
    expert.press(disputed.truth[shown[1]])
    expect(page.locator(".saving")).to_have_text("saved 0 · saving 2")
    page.unroute("**/decisions")
    page.on("dialog", lambda dialog: dialog.accept())
    expert.open(disputed.id)
    expert.wait_saved()
    assert disputed.decisions() == {item: disputed.truth[item] for item in shown}
    assert expert.item not in shown


def test_an_item_is_discussed_sent_back_and_answered_anew(expert: Expert, page: Page, disputed: Disputed) -> None:
    opened = disputed.workspace
    expert.open(disputed.id)
    item = expert.item
    page.keyboard.press("c")
    page.keyboard.type("1 or 7? Look at the stroke.")  # digits are no answers here
    page.keyboard.press("Enter")
    expect(page.locator(".said li")).to_contain_text("You")
    expect(page.locator(".said li")).to_contain_text("1 or 7? Look at the stroke.")
    page.keyboard.press("b")
    page.get_by_role("checkbox", name=NAMES[0]).uncheck()
    page.get_by_role("textbox", name="Remark").fill("Mind the serif.")
    page.locator(".talk [type=submit]").click()
    page.wait_for_function(f"window.painted.at(-1).item !== {item}")
    expect(expert.count("sent_back")).to_have_text("1")
    expert.wait_saved()
    bob = user_id(opened, NAMES[1])
    (claim,) = queue.claim(opened, bob, disputed.id, 1)
    assert claim.item.id == item and claim.why.endswith("Mind the serif.")
    expert.choose("sent_back")
    expert.on_screen(item)
    expect(page.locator(".said .returned")).to_have_text("sent back to Bob")
    answers.submit(opened, bob, [answer_to(claim, disputed.classes[disputed.truth[item]])])
    expert.open(disputed.id)
    expect(expert.count("sent_back")).to_have_text("0")
    expect(expert.count("disagreement")).to_have_text("9")  # they agree now


def decided_by_ivan(disputed: Disputed, *items: int) -> None:
    """Another expert decides on items, and not as the local user would."""
    ivan = user_id(disputed.workspace, "Ivan")
    with writing(disputed.workspace.engine) as session:
        grant(session, disputed.id, ivan, Role.EXPERT)
    says = {item: disputed.classes[disputed.wrong(item)] for item in items}
    made = [Decision(event_id=f"ivan-{item}", item_id=item, class_id=said) for item, said in says.items()]
    assert {each.status for each in adjudication.decide(disputed.workspace, ivan, disputed.id, made)} == {"saved"}


def test_an_undo_that_cannot_be_done_holds_nothing_back(expert: Expert, page: Page, disputed: Disputed) -> None:
    expert.open(disputed.id)
    first, wrong = expert.item, disputed.wrong(expert.item)
    on_its_way, undo = expert.hold("**/decisions"), expert.hold("**/undo")
    expert.press(wrong)
    on_its_way()
    retire_class(disputed.workspace, local_user(disputed.workspace), disputed.classes[wrong])
    expert.press("Backspace")
    on_its_way().continue_()
    expect(page.get_by_text("A decision was not taken. The class")).to_be_visible()
    expert.wait_saved()  # what was never taken needs no undo
    assert expert.item == first
    expert.press(disputed.truth[first])
    expert.wait_saved()
    expert.press("Backspace")
    undo().fulfill(status=403, json={"detail": "Only an expert may do this."})
    expect(page.get_by_text("could not be taken back. Only an expert may do this.")).to_be_visible()
    expect(page.locator(".present")).to_contain_text(f"Decided: {disputed.truth[first]} by you")
    expert.wait_saved()
    assert disputed.decisions() == {first: disputed.truth[first]}


def test_what_another_expert_decided_is_not_overruled_unseen(expert: Expert, page: Page, disputed: Disputed) -> None:
    expert.open(disputed.id)
    first, _, third, *_ = disputed.disagreed
    decided_by_ivan(disputed, first, third)
    expert.look_again()
    expect(expert.tile(third)).to_have_count(0)
    expect(expert.tile(first)).to_be_visible()  # it is being looked at
    expert.press(disputed.truth[first])
    expect(page.get_by_text("Ivan decided on this item meanwhile: “")).to_be_visible()
    expect(page.locator(".present")).to_contain_text(f"Decided: {disputed.wrong(first)} by Ivan")
    page.wait_for_timeout(200)  # a press counts once the new order was painted
    assert disputed.decisions()[first] == disputed.wrong(first)
    expert.press(disputed.truth[first])
    expert.wait_saved()
    assert disputed.decisions() == {first: disputed.truth[first], third: disputed.wrong(third)}


def test_a_remark_half_written_stays_while_items_come_back(expert: Expert, page: Page, disputed: Disputed) -> None:
    first, second, *_ = disputed.disagreed
    broken = f"**/items/{second}/media"
    page.route(broken, lambda route: route.abort())
    expert.open(disputed.id)
    decided_by_ivan(disputed, first)
    on_its_way, remark = expert.hold("**/decisions"), page.get_by_role("textbox", name="Remark")
    page.keyboard.press(disputed.truth[first])
    expect(page.get_by_text("This picture could not be loaded.")).to_be_visible(timeout=20_000)
    page.keyboard.press("c")
    page.keyboard.type("1 or")
    on_its_way().continue_()
    expect(page.get_by_text("A decision was not taken. Ivan")).to_be_visible()
    page.unroute(broken)
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expert.on_screen(second)
    page.keyboard.type(" 7?")
    expect(remark).to_have_value("1 or 7?")
    assert disputed.decisions() == {first: disputed.wrong(first)}
    expert.tile(first).click()
    expert.on_screen(first)
    expert.tile(second).click()
    page.get_by_role("button", name="Go on with what you began to write: “1 or 7?”").click()
    expect(remark).to_have_value("1 or 7?")
    page.keyboard.press("Enter")
    expect(page.locator(".said li")).to_contain_text("1 or 7?")


def test_what_could_not_be_sent_back_is_there_with_its_remark(expert: Expert, page: Page, disputed: Disputed) -> None:
    expert.open(disputed.id)
    first, remark = expert.item, page.get_by_role("textbox", name="Remark")
    on_its_way = expert.hold("**/remarks")
    page.keyboard.press("b")
    page.get_by_role("checkbox", name=NAMES[0]).uncheck()
    remark.fill("Mind the serif.")
    expert.press("Enter")
    expect(expert.count("sent_back")).to_have_text("1")
    expert.look_again()
    expect(expert.tile(first)).to_have_count(0)  # the server does not know yet
    on_its_way().fulfill(status=400, json={"detail": "One of these answers was given anew meanwhile."})
    expert.on_screen(first)
    expect(remark).to_have_value("Mind the serif.")
    expect(page.get_by_role("checkbox", name=NAMES[0])).not_to_be_checked()
    expect(expert.count("sent_back")).to_have_text("0")
    expect(expert.count("all")).to_have_text("12")
    expert.press("Enter")
    expert.wait_saved()
    expert.choose("sent_back")
    expert.on_screen(first)
    page.route("**/decisions", lambda route: route.abort())
    page.keyboard.press(disputed.truth[first])
    for name, count in (("all", "11"), ("sent_back", "0"), ("decided", "1")):
        expect(expert.count(name)).to_have_text(count)


def test_news_of_an_item_move_neither_focus_nor_zoom(expert: Expert, page: Page, disputed: Disputed) -> None:
    expert.open(disputed.id)
    first = expert.item
    expert.press(disputed.truth[first])
    expert.wait_saved()
    looked_up = expert.hold(f"**/items/{first}/review")
    expert.press("Backspace")
    now, card = looked_up().fetch().json(), page.locator(".contender:not(.leads)")
    aimed = str(card.get_attribute("data-class"))
    page.keyboard.press("Space")
    card.get_by_role("button").focus()
    painted = page.evaluate("window.painted.length")
    now["label"] = {"class_id": int(aimed), "confidence": 0.9, "source": "people", "method": "majority"}
    looked_up().fulfill(json=now)
    page.wait_for_function(f"window.painted.length > {painted}")  # the new order has to be seen before a press counts
    leading = page.locator(f".contender.leads[data-class='{aimed}']").get_by_role("button")
    expect(leading).to_be_focused()
    expect(page.locator(".review.zoomed-in")).to_have_count(1)
    expert.press("Enter")
    expect(page.locator(".frame")).to_be_focused()
    expert.wait_saved()
    assert disputed.classes[str(disputed.decisions()[first])] == int(aimed)


def test_decisions_are_changed_taken_back_and_made_gold_in_their_list(
    expert: Expert, page: Page, disputed: Disputed
) -> None:
    expert.open(disputed.id)
    first = expert.item
    page.keyboard.press("g")
    expect(page.locator("[data-command=gold]")).to_have_attribute("aria-pressed", "true")
    expert.press(disputed.wrong(first))
    expect(page.locator("[data-command=gold]")).to_have_attribute("aria-pressed", "false")
    second = expert.item
    expert.press(disputed.truth[second])
    expert.wait_saved()
    assert disputed.gold() == [first]
    expert.choose("decided")
    expert.on_screen(second)
    expect(page.locator(".present")).to_contain_text(f"Decided: {disputed.truth[second]} by you")
    page.keyboard.press("g")
    expect(page.locator("[data-command=gold]")).to_have_attribute("aria-pressed", "true")
    expert.press("ArrowRight")
    assert expert.item == first
    expert.press(disputed.truth[first])
    expert.wait_saved()
    assert disputed.decisions() == {item: disputed.truth[item] for item in (first, second)}
    assert sorted(disputed.gold()) == sorted([first, second])
    expert.on_screen(second)
    page.get_by_role("button", name="Undo this decision").click()
    expert.wait_saved()
    expect(expert.count("decided")).to_have_text("1")
    assert disputed.decisions() == {first: disputed.truth[first]} and disputed.gold() == [first]


def test_the_guidelines_are_changed_where_they_are_missed(expert: Expert, page: Page, disputed: Disputed) -> None:
    opened, me = disputed.workspace, local_user(disputed.workspace)
    expert.open(disputed.id)
    page.keyboard.press(";")
    expect(page.locator(".guide .meanings li")).to_have_count(10)
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("textbox", name="Guidelines").fill("A nine has a loop: 9.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".guide p")).to_have_text("A nine has a loop: 9.")
    assert read_project(opened, me, disputed.id).guidelines == "A nine has a loop: 9."
    assert disputed.decisions() == {}
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("A nine has a loop: 9.")
    expect(page.get_by_role("dialog")).to_contain_text("Take the leading answer")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Edit").click()
    mine, save = page.get_by_role("textbox", name="Guidelines"), page.get_by_role("button", name="Save")
    mine.fill("A seven has a bar.")
    update_guidelines(opened, me, disputed.id, "A nine has a tail.")
    save.click()
    expect(page.get_by_text("Somebody changed the guidelines meanwhile")).to_be_visible()
    expect(page.locator(".guide p")).to_have_text("A nine has a tail.")
    expect(mine).to_have_value("A seven has a bar.")
    save.click()
    expect(mine).to_be_hidden()
    assert read_project(opened, me, disputed.id).guidelines == "A seven has a bar."
    expert.open(disputed.id)
    expect(page.locator(".guide p")).to_be_visible()  # until it is closed


def test_a_key_that_a_class_has_is_the_classes(expert: Expert, page: Page, disputed: Disputed) -> None:
    edit_class(disputed.workspace, local_user(disputed.workspace), disputed.classes["4"], class_changes(key="c"))
    expert.open(disputed.id)
    comment = page.get_by_role("button", name="Comment")
    expect(comment.locator("kbd")).to_have_text(".")
    item = expert.item
    expert.press("c")
    expert.wait_saved()
    assert disputed.decisions() == {item: "4"}
    page.keyboard.press(".")
    expect(page.get_by_role("textbox", name="Remark")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("textbox", name="Remark")).to_be_hidden()


def test_all_of_it_is_reached_by_tab(expert: Expert, page: Page, disputed: Disputed) -> None:
    expert.open(disputed.id)
    deepest = (
        "(function f(node) { const inner = node?.shadowRoot?.activeElement; return inner ? f(inner)"
        " : node?.getAttribute('aria-label') ?? node?.innerText ?? node?.tagName })(document.activeElement)"
    )
    reached = []
    for _ in range(70):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(deepest) or "")
    wanted = ["All", "Likely errors", "The item itself", "Decide on", "Cannot tell", "Send back", "Keys and guidelines"]
    assert [name for name in wanted if not any(name in each for each in reached)] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_axe_finds_nothing_serious(expert: Expert, page: Page, disputed: Disputed, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    expert.open(disputed.id)

    def serious() -> list[tuple[str, list[str]]]:
        page.wait_for_timeout(400)  # what fades in has its colour
        found = Axe().run(page).response["violations"]
        return [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in found if v["impact"] in ("serious", "critical")]

    assert serious() == []
    page.keyboard.press("c")
    page.keyboard.type("Hm.")
    page.keyboard.press("Enter")
    page.keyboard.press("b")
    assert serious() == []
    page.keyboard.press("Escape")
    page.locator(".guide summary").click()
    page.get_by_role("button", name="Edit").click()
    assert serious() == []
    expert.choose("likely_error")
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    assert serious() == []


def test_an_annotator_reads_one_sentence_and_is_not_offered_the_page(
    page: Page, served: Served, opened: Workspace, disputed: Disputed
) -> None:
    token = issue_token(opened, NAMES[0])
    page.context.set_extra_http_headers({"Authorization": f"Bearer {token}"})
    page.goto(f"http://127.0.0.1:{served.port}/review?project={disputed.id}")
    expect(page.get_by_text("is reviewed by its experts")).to_be_visible()
    expect(page.get_by_role("link", name="Label")).to_be_visible()
    expect(page.get_by_role("link", name="Review")).to_have_count(0)
    page.get_by_role("button", name="Go to Label").click()
    expect(page).to_have_url(re.compile(f"/label\\?project={disputed.id}$"))
