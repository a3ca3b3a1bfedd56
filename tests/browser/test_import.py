"""Imports in a real browser: looked at, corrected, cancelled, resumed, and what is said of hostile files."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from labeling.users import local_user
from labeling.workspace import open_workspace
from tests.browser.driving import ROOT
from tests.browser.test_pages import Visit, visiting
from tests.security.hostile import HOSTILE, write
from tests.serving import Served, serve

pytestmark = pytest.mark.browser
SHOWN = {  # what the page says of some of the hostile files, before anything is imported or afterwards
    "zip-slip": (True, "points outside the archive"),
    "a zip bomb": (False, "would unpack to"),
    "a pixel bomb": (True, "more than 50 million pixels"),
    "an SVG in disguise": (True, "is an SVG drawing"),
    "a cell of ten million letters": (True, "characters"),
    "an archive in disguise": (False, "photos.zip is not"),
    "an empty file": (False, "empty.csv is empty"),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = serve(tmp_path_factory.mktemp("imports") / "workspace")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def visit(browser: Browser, served: Served) -> Iterator[Visit]:
    with visiting(browser, served) as visit:
        yield visit


def new_project(served: Served, name: str) -> int:
    with served.connect() as connection:
        made: int = connection.post("/projects", {"name": name})["id"]
        return made


def card(page: Page, name: str) -> Locator:
    """The innermost box around a project's heading."""
    heading = page.get_by_role("heading", name=name, exact=True)
    return page.get_by_test_id("stVerticalBlock").filter(has=heading).last


def choose(visit: Visit, project: str, path: Path) -> Locator:
    """Open the project's dialog and give it a file; returns the dialog."""
    visit.open("projects")
    card(visit.page, project).get_by_role("button", name="Import", exact=True).click()
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_test_id("stFileUploaderDropzoneInput").set_input_files([path])
    return dialog


def test_a_table_is_looked_at_corrected_and_imported_with_its_labels(
    visit: Visit, served: Served, tmp_path: Path
) -> None:
    new_project(served, "Pieces")
    rows = [f"{i};Größe und Länge von Stück {i};{'gut' if i % 2 else 'schlecht'}" for i in range(50)]
    path = tmp_path / "pieces.csv"
    path.write_text("\n".join(["Nr;Beschreibung;Klasse", *rows, "x;y"]), encoding="cp1252")
    dialog = choose(visit, "Pieces", path)
    expect(dialog.get_by_text("How it is read: CSV, cp1252, semicolon")).to_be_visible()
    dialog.get_by_role("combobox", name="Klasse").click()  # open already, as there are notes on the guess
    visit.page.get_by_role("option", name="Known label").click()
    dialog.get_by_text("It knows labels: gut, schlecht").wait_for()
    dialog.get_by_text("Answers", exact=True).click()
    dialog.get_by_role("button", name="Import texts").click()
    report = visit.page.get_by_text("Last import: 50 added, 1 refused")
    report.click()
    with served.connect() as connection:
        project = next(p for p in connection.get("/projects")["projects"] if p["name"] == "Pieces")
        detail = connection.get(f"/projects/{project['id']}")
    assert (project["labels"], [c["name"] for c in detail["classes"]]) == (50, ["schlecht", "gut"])


def test_a_file_of_the_import_folder_is_imported_where_it_lies(visit: Visit, served: Served) -> None:
    new_project(served, "Shelf")
    (served.root / "import").mkdir(exist_ok=True)
    (served.root / "import" / "mails.csv").write_text("text\n" + "".join(f"mail number {i}\n" for i in range(20)))
    visit.open("projects")
    card(visit.page, "Shelf").get_by_role("button", name="Import", exact=True).click()
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_text("Import folder", exact=True).click()
    dialog.get_by_role("combobox", name="A file or folder").click()
    visit.page.get_by_role("option", name="mails.csv").click()
    dialog.get_by_role("button", name=re.compile(r"^Import.* texts$")).click()
    expect(card(visit.page, "Shelf").get_by_text("of 20 items labeled")).to_be_visible()
    assert (served.root / "import" / "mails.csv").exists()


def test_an_import_is_cancelled_and_resumed_from_its_card(browser: Browser, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    me = local_user(open_workspace(root))
    assert me
    without_worker = serve(root, "--no-worker")
    try:
        new_project(without_worker, "Mails")
        path = tmp_path / "mails.csv"
        path.write_text("text\n" + "".join(f"mail number {i}\n" for i in range(20)))
        with visiting(browser, without_worker) as visit:
            dialog = choose(visit, "Mails", path)
            dialog.get_by_role("button", name=re.compile(r"^Import.* texts$")).click()
            mails = card(visit.page, "Mails")
            mails.get_by_role("button", name="Cancel the import").click()
            expect(mails.get_by_role("button", name="Cancel the import")).to_have_count(0)
            with without_worker.connect() as connection:
                assert connection.get("/imports/1")["state"] == "cancelled"
            expect(mails.get_by_text("was cancelled")).to_be_visible()
            mails.get_by_role("button", name="Resume the import").click()
            expect(mails.get_by_text("Waiting for the worker")).to_be_visible()
            with without_worker.connect() as connection:
                assert connection.get("/imports/1")["state"] == "queued"
    finally:
        without_worker.stop()


@pytest.mark.parametrize("what", SHOWN)
def test_a_hostile_file_is_told_on_the_page_and_the_page_goes_on(
    visit: Visit, served: Served, tmp_path: Path, what: str
) -> None:
    imported, says = SHOWN[what]
    new_project(served, what)
    dialog = choose(visit, what, write(tmp_path, HOSTILE[what]))
    if imported:
        dialog.get_by_role("button", name=re.compile(r"^Import")).click()
        report = card(visit.page, what).get_by_text(re.compile("^Last import"))
        expect(report).to_be_visible()
        with served.connect() as connection:
            last = max(i for i in range(1, 60) if connection.ask("GET", f"/api/v1/imports/{i}")[0] == 200)
            assert says in str(connection.get(f"/imports/{last}")["refused"])
    else:
        expect(dialog.get_by_text(re.compile(re.escape(says)))).to_be_visible()
    with served.connect() as connection:
        assert connection.ask("GET", "/api/v1/health")[0] == 200
    visit.open("projects")
    assert not list(ROOT.glob("slipped*"))
