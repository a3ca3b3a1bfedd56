"""Each page as a script: what it shows, and that it never ends in an exception."""

import io
import json
import zipfile
from collections.abc import Callable

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from labeling import jobs, projects
from labeling.classes import classes_of
from labeling.db.engine import reading, writing
from labeling.db.schema import Job, JobKind, Membership, Role
from labeling.delivery import exports
from labeling.learning.worker import work_off
from labeling.users import local_user
from labeling.web import current, frame
from labeling.web.frame import PAGES, plain
from labeling.web.server import app_options
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject

NAMES = ("projects", "label", "insights", "export")
HOSTILE = "a *b* [c](http://d) :red[e] $f$ <i>g</i> `h`"

Open = Callable[[str], AppTest]


@pytest.fixture
def me(workspace: Workspace) -> int:
    current.serve(workspace)
    return local_user(workspace)


@pytest.fixture
def show(workspace: Workspace, me: int) -> Open:
    """Open a page of the app as the local user."""
    main = app_options(workspace, with_worker=False)["script_path"]

    def show(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(main, default_timeout=30)
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        return ran(app.switch_page(str(PAGES / f"{name}.py")).run())

    return show


@pytest.fixture
def project(workspace: Workspace, me: int) -> SmallProject:
    """A project in which the local user is an owner."""
    made = SmallProject.make(workspace, people=1)
    with writing(workspace.engine) as session:
        session.get_one(Membership, (made.id, me)).role = Role.OWNER
    return made


def ran(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def words(app: AppTest) -> str:
    """Everything that the page says."""
    kinds = (app.title, app.header, app.subheader, app.markdown, app.caption, app.error, app.warning, app.info)
    said = [element.value for kind in kinds for element in kind]
    return "\n".join([*said, *(button.label for button in app.button), *(metric.label for metric in app.metric)])


def set_role(project: SmallProject, me: int, role: Role) -> None:
    with writing(project.workspace.engine) as session:
        session.get_one(Membership, (project.id, me)).role = role


@pytest.mark.parametrize("name", NAMES)
def test_every_page_of_an_empty_workspace_says_what_to_do_next(show: Open, name: str) -> None:
    said = words(show(name))
    assert ("Add the digits demo" if name == "projects" else "Go to Projects") in said


@pytest.mark.parametrize("name", NAMES)
def test_every_page_shows_a_project_that_is_being_labeled(
    show: Open, project: SmallProject, me: int, name: str
) -> None:
    for item in project.items[:3]:
        project.answer(me, item)
    show(name)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("projects", "No items yet. Import a zip of images to begin."),
        ("label", "Import a zip of images on the Projects page."),
        ("insights", "Nothing to see yet"),
        ("export", "Nothing to export yet"),
    ],
)
def test_every_page_says_what_a_project_without_items_needs(
    show: Open, workspace: Workspace, me: int, name: str, sentence: str
) -> None:
    projects.create_project(workspace, me, "bare", [])
    assert sentence in words(show(name))


def test_the_label_page_needs_classes(show: Open, workspace: Workspace, me: int, project: SmallProject) -> None:
    with writing(workspace.engine) as session:
        for label_class in classes_of(session, project.id):
            label_class.retired = True
    assert "has no classes yet" in words(show("label"))


@pytest.mark.parametrize("name", NAMES)
def test_peoples_text_is_shown_as_it_is(show: Open, workspace: Workspace, me: int, name: str) -> None:
    projects.create_project(workspace, me, HOSTILE, [HOSTILE], guidelines=HOSTILE)
    said = words(show(name))
    assert plain(HOSTILE) in said
    assert HOSTILE not in said


def test_the_digits_demo_is_one_click_away(show: Open, workspace: Workspace, me: int) -> None:
    app = show("projects")
    ran(app.button[0].click().run())
    (made,) = projects.list_projects(workspace, me)
    assert made.name == "digits"
    assert frame.newest_import(made.id) is not None


def new_project(app: AppTest, name: str, classes: str) -> AppTest:
    """Fill in and send the form of a new project."""
    app.session_state["projects_dialog"] = ("new", None)
    app.run()
    app.text_input[0].set_value(name)
    app.text_area[0].set_value(classes)
    app.session_state["projects_dialog"] = ("new", None)
    return ran(app.button(key="FormSubmitter:new_project-Create project").click().run())


def test_a_project_is_made_from_names_on_lines_and_between_commas(show: Open, workspace: Workspace, me: int) -> None:
    new_project(show("projects"), "pets", "cat\n dog, fish,\n\n")
    (made,) = projects.list_projects(workspace, me)
    with reading(workspace.engine) as session:
        assert [c.name for c in classes_of(session, made.id)] == ["cat", "dog", "fish"]


def test_a_project_that_cannot_be_made_is_one_sentence_and_no_input_is_lost(
    show: Open, workspace: Workspace, me: int
) -> None:
    app = new_project(show("projects"), "pets", "cat, cat")
    assert [error.value for error in app.error] == [plain("The class “cat” is named twice; name each class once.")]
    assert (app.text_input[0].value, app.text_area[0].value) == ("pets", "cat, cat")
    assert projects.list_projects(workspace, me) == []


def test_an_uploaded_zip_is_imported_and_what_was_refused_is_listed(
    show: Open, project: SmallProject, workspace: Workspace
) -> None:
    image = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(image, "PNG")
    pool = io.BytesIO()
    with zipfile.ZipFile(pool, "w") as archive:
        archive.writestr("cat/one.png", image.getvalue())
        archive.writestr("=evil.txt", "not an image")
    app = show("projects")
    app.session_state["projects_dialog"] = ("import", project.id)
    app.run()
    app.file_uploader[0].upload("../pool.zip", pool.getvalue())
    app.session_state["projects_dialog"] = ("import", project.id)
    app.run()
    app.session_state["projects_dialog"] = ("import", project.id)
    ran(next(b for b in app.button if b.label == "Import" and b.key is None).click().run())
    job = frame.newest_import(project.id)
    assert job is not None and job.id is not None
    assert len(list(workspace.uploads().iterdir())) == 1
    work_off(workspace, job.id, lambda _share, _line: None)
    assert list(workspace.uploads().iterdir()) == []
    app = show("projects")
    assert "Last import: 1 added, 1 refused" in [e.label for e in app.expander]
    assert list(app.dataframe[0].value["File"]) == ["=evil.txt"]


def test_an_annotator_is_not_offered_what_only_an_owner_may_do(show: Open, project: SmallProject, me: int) -> None:
    assert "Import" in words(show("projects"))
    set_role(project, me, Role.ANNOTATOR)
    assert "Import" not in [b.label for b in show("projects").button]


def test_an_import_shows_how_far_it_is(show: Open, project: SmallProject) -> None:
    with writing(project.workspace.engine) as session:
        jobs.request(session, project.id, JobKind.IMPORT)
    job = jobs.take(project.workspace, "worker")
    assert job is not None
    jobs.beat(project.workspace, job, 0.4, "40 of 100 files")
    (bar,) = show("projects").progress
    assert (bar.value, bar.text) == (40, "40 of 100 files")


def test_a_failed_import_says_why(show: Open, project: SmallProject) -> None:
    with writing(project.workspace.engine) as session:
        session.add(
            Job(project_id=project.id, kind=JobKind.IMPORT, started=1.0, finished=2.0, error="No zip *at all*.")
        )
    assert [error.value for error in show("projects").error] == [plain("No zip *at all*.")]


def test_the_project_that_the_address_names_is_carried_to_the_other_pages(
    show: Open, project: SmallProject, me: int
) -> None:
    other = projects.create_project(project.workspace, me, "other", ["a"])
    app = show("insights", project=str(other))
    assert app.query_params["project"] == str(other)
    app.switch_page(str(PAGES / "export.py")).run()
    assert app.query_params["project"] == str(other)
    assert app.session_state["project"] == other


def test_an_address_of_a_project_that_is_not_yours_says_so(show: Open, project: SmallProject) -> None:
    app = show("insights", project="99")
    assert "There is no project 99" in app.warning[0].value
    assert app.query_params["project"] == str(project.id)


def test_the_exports_first_rows_and_counts_are_those_of_the_file(show: Open, project: SmallProject, me: int) -> None:
    for item in project.items[:3]:
        project.answer(me, item)
    project.answer(me, project.items[3], verdict="skip")
    app = show("export")
    assert {m.label: m.value for m in app.metric} == {
        "Answers": "4", "Labels": "3", "Skipped or unsure": "1", "Labeled items": "3",
    }  # fmt: skip
    written = b"".join(exports.export_stream(project.workspace, me, project.id, "jsonl").chunks).splitlines()
    assert list(app.dataframe[0].value["event_id"]) == [json.loads(line)["event_id"] for line in written]
    assert app.link_button[0].url == f"/api/v1/projects/{project.id}/export?format=csv"
    assert "askwise export animals --format csv" in app.code[0].value


def test_every_column_of_the_export_is_explained(show: Open, project: SmallProject, me: int) -> None:
    project.answer(me, project.items[0])
    explained = show("export").table[0].value
    assert [name.strip("`") for name in explained.index] == list(exports.COLUMNS)


def test_an_annotator_is_told_who_may_export(show: Open, project: SmallProject, me: int) -> None:
    project.answer(me, project.items[0])
    set_role(project, me, Role.ANNOTATOR)
    app = show("export")
    assert "ask its owner" in words(app)
    assert len(app.link_button) == 0


def test_insights_show_what_was_read(show: Open, project: SmallProject, me: int) -> None:
    for item in project.items[:3]:
        project.answer(me, item)
    app = show("insights")
    assert {m.label: m.value for m in app.metric}["Labels"] == "3"
    assert len(app.get("vega_lite_chart")) == 1  # and no accuracy, for no model has made a suggestion yet


def test_plain_text_leaves_letters_and_escapes_the_rest() -> None:
    assert plain("Äb 1") == "Äb 1"
    assert plain("*a* :b:") == r"\*a\* \:b\:"
