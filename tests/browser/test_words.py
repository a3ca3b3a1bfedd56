"""Words in the real application: class names sort a pool before anybody labels, by a real, small CLIP."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from labeling import jobs
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, JobKind
from labeling.intake.demo import digits_source
from labeling.intake.importer import import_records
from labeling.intake.records import Source
from labeling.learning.predictions import pool_predictions
from labeling.learning.versions import live_model
from labeling.projects import create_project
from labeling.users import local_user
from labeling.workspace import open_workspace
from tests.browser.demo import wait_until_learned
from tests.browser.screenshots import wait_until_still
from tests.browser.test_accessibility import serious
from tests.browser.test_pages import Visit, visiting
from tests.serving import Served, serving
from tests.tiny_clip import NAMES, held_out_rows

pytestmark = pytest.mark.browser

READ = 120_000  # ms that the worker may take to load an encoder and to read a small pool
TEMPLATE = "a handwritten {}"


def add_digits(root: Path, project: int) -> None:
    """Digits that the encoder has never seen, with nothing that says which they are."""
    workspace = open_workspace(root)
    records = list(digits_source().records)
    chosen = [replace(records[row], label=None) for row in held_out_rows()]
    import_records(workspace, project, Source("image", chosen, len(chosen)), actor_id=local_user(workspace))
    with writing(workspace.engine) as session:
        jobs.request(session, project, JobKind.ENCODE)
    workspace.engine.dispose()


def accuracy(root: Path, project: int) -> float:
    """How often the live model is right, by what it wrote down of the whole pool."""
    workspace = open_workspace(root)
    version = live_model(workspace, project)
    found = pool_predictions(workspace, version)
    assert version is not None and version.labels == 0 and found is not None
    classes = {c["id"]: c["name"] for c in _classes(root, project)}
    with reading(workspace.engine) as session:
        items = session.connection().execute(
            Item.__table__.select().where(Item.project_id == project).order_by(Item.row)  # type: ignore[attr-defined]
        )
        names = [row.external_id for row in items]
    workspace.engine.dispose()
    labels = [record.label for record in digits_source().records]
    truth = [NAMES[int(labels[int(name.removeprefix("digits-"))] or 0)] for name in names]
    said = [classes[found.class_ids[index]] for index in found.classes]
    assert len(said) == len(truth) > 800
    return float(np.mean([a == b for a, b in zip(said, truth, strict=True)]))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Iterator[Served]:
    """The application with a project that words have sorted already, which nobody has labeled."""
    root = tmp_path_factory.mktemp("words") / "workspace"
    workspace = open_workspace(root)
    settings = {"encoder": f"clip:{tiny_clip}", "templates": [TEMPLATE]}
    made = create_project(workspace, local_user(workspace), "sorted", NAMES, settings=settings)
    workspace.engine.dispose()
    add_digits(root, made)
    with serving(root) as served:
        with served.connect() as connection:
            until = time.monotonic() + READ / 1000
            while connection.get(f"/projects/{made}")["live"]["model_version"] is None:
                assert time.monotonic() < until, "no model came from words"
                time.sleep(0.2)
        yield served


@pytest.fixture
def visit(browser: Browser, served: Served) -> Iterator[Visit]:
    with visiting(browser, served) as visit:
        yield visit


def words_of(visit: Visit, project: int = 1) -> Page:
    """The page with the words of a project and their effect."""
    visit.open("settings", f"project={project}")
    visit.page.get_by_role("tab", name="Words").click()
    expect(visit.page.get_by_text("By words alone")).to_be_visible(timeout=READ)
    wait_until_still(visit.page)  # a picture that another one takes the place of before it has come is not found
    return visit.page


def test_class_names_sort_a_pool_before_the_first_label(visit: Visit, served: Served, tiny_clip: Path) -> None:
    page = visit.page
    visit.open("projects")
    page.get_by_role("button", name="New project").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill("typed")
    dialog.get_by_role("textbox", name="Classes").fill("\n".join(NAMES))
    dialog.get_by_role("button", name="Create project").click()
    expect(page.get_by_role("dialog", name="Import")).to_be_visible()
    page.keyboard.press("Escape")
    with served.connect() as connection:
        (project,) = [p["id"] for p in connection.get("/projects")["projects"] if p["name"] == "typed"]
    add_digits(served.root, project)

    visit.open("settings", f"project={project}")
    page.get_by_role("tab", name="Labeling").click()
    page.get_by_role("combobox", name="How items are told apart").click()
    page.get_by_role("option", name="clip").click()
    weights, use = page.get_by_role("textbox", name="Weights"), page.get_by_role("button", name="Use clip")
    weights.fill("/no/such/folder")
    use.click()
    expect(page.get_by_text("is neither a folder nor an architecture with a tag")).to_be_visible(timeout=READ)
    expect(page.get_by_text("The model goes on with hog.")).to_be_visible()
    with served.connect() as connection:
        assert connection.post(f"/projects/{project}/claims", {"count": 1})["claims"]
    weights.fill(str(tiny_clip))
    use.click()
    expect(page.get_by_text("in use")).to_be_visible(timeout=READ)
    expect(page.get_by_role("button", name="Go back")).to_be_visible()

    words_of(visit, project)
    page.get_by_role("textbox", name="Templates").fill(TEMPLATE)
    page.get_by_role("textbox", name="Templates").press("Tab")
    expect(page.get_by_text(re.compile("items? changes? (its|their) class"))).to_be_visible(timeout=READ)
    wait_until_still(page)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Discard")).not_to_be_visible()
    wait_until_still(page)
    with served.connect() as connection:
        wait_until_learned(connection, project)
        assert connection.get(f"/projects/{project}")["settings"]["templates"] == [TEMPLATE]

    visit.open("label", f"project={project}")
    expect(page.get_by_text(re.compile(r"Model \d+, from words"))).to_be_visible()
    expect(page.get_by_text(f"0 of {len(held_out_rows())} labeled")).to_be_visible()
    thinks = page.get_by_text("Model thinks")
    expect(thinks).to_be_visible()
    assert any(name in (thinks.inner_text()) for name in NAMES)
    assert accuracy(served.root, project) >= 0.9


def test_a_preview_changes_with_the_words_and_saving_them_is_not_needed_for_it(visit: Visit, served: Served) -> None:
    page = words_of(visit)
    expect(page.get_by_text("By words alone, on 899 items.")).to_be_visible()
    three = page.get_by_role("textbox", name="three")
    three.fill("a handwritten eight, and nothing like a three")
    three.press("Tab")
    changed = page.get_by_text("items change their class")
    expect(changed).to_be_visible(timeout=READ)
    expect(page.get_by_text("→").first).to_be_visible()
    wait_until_still(page)
    first = changed.inner_text()
    three.fill("a handwritten eight")
    three.press("Tab")
    expect(page.get_by_text("have the same texts")).to_be_visible()
    expect(changed).not_to_have_text(first)
    wait_until_still(page)
    page.get_by_role("button", name="Discard").click()
    expect(changed).not_to_be_visible()
    expect(three).to_have_value("")
    wait_until_still(page)
    assert [c["prompts"] for c in _classes(served.root, 1)] == [[]] * 10


def _classes(root: Path, project: int) -> list[dict[str, object]]:
    from labeling.verbs import OpenWorkspace

    return OpenWorkspace(root).classes(project)


def test_pages_say_that_the_model_knows_words_only_and_claim_no_accuracy(visit: Visit) -> None:
    page = visit.page
    visit.open("projects")
    expect(page.get_by_text("v0, from words").first).to_be_visible()
    expect(page.get_by_text("Right of last")).not_to_be_visible()
    visit.open("insights", "project=1")
    expect(page.get_by_text("Nothing to see yet")).to_be_visible()
    for tab in ("Classes", "People"):
        page.get_by_role("tab", name=tab).click()
        wait_until_still(page)
        assert page.get_by_test_id("stException").count() == 0


def test_the_worker_has_loaded_torch_and_the_web_process_has_not(visit: Visit, served: Served) -> None:
    words_of(visit)
    visit.page.get_by_role("tab", name="Labeling").click()
    expect(visit.page.get_by_role("textbox", name="Weights")).to_be_visible()
    web = psutil.Process(served.process.pid)
    assert any(has_torch(child) for child in web.children(recursive=True))
    assert not has_torch(web)


def has_torch(process: psutil.Process) -> bool:
    """Whether a library of torch is mapped into a process."""
    return any("torch" in region.path for region in process.memory_maps())


@contextmanager
def looking(browser: Browser, served: Served, scheme: str) -> Iterator[Page]:
    context = browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce",
        viewport={"width": 1280, "height": 900},
    )  # fmt: skip
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{served.port}/settings?project=1")
    yield page
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_where_words_and_weights_are_edited(
    browser: Browser, served: Served, scheme: str
) -> None:
    with looking(browser, served, scheme) as page:
        page.get_by_role("tab", name="Words").click()
        expect(page.get_by_text("By words alone")).to_be_visible()
        five = page.get_by_role("textbox", name="five")
        five.fill("a handwritten six")
        five.press("Tab")
        expect(page.get_by_text("have the same texts")).to_be_visible()
        wait_until_still(page)
        found = serious(page)
        page.get_by_role("tab", name="Labeling").click()
        expect(page.get_by_role("textbox", name="Weights")).to_be_visible()
        wait_until_still(page)
        assert found + serious(page) == []
