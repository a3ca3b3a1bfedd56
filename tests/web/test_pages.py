"""Each page as a script: what it shows, and that it never ends in an exception."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from labeling import jobs, projects
from labeling.classes import classes_of
from labeling.db.engine import reading, writing
from labeling.db.schema import Job, JobKind, JobState, Membership, Role
from labeling.delivery import exports
from labeling.delivery.label_rows import LabelRow
from labeling.intake.import_job import request_import
from labeling.learning.worker import work_off
from labeling.users import local_user
from labeling.web import current, frame
from labeling.web.frame import PAGES, plain
from labeling.web.server import app_options
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject

NAMES = ("projects", "label", "insights", "settings", "export")
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
        ("projects", "No items yet. Import images, texts or a table to begin."),
        ("label", "on the Projects page."),
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


def dialog(app: AppTest, name: str, project_id: int) -> AppTest:
    """Run the page with a dialog open: a test's run is one of the whole page, and would close it."""
    app.session_state["projects_dialog"] = (name, project_id)
    return ran(app.run())


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


def test_an_uploaded_zip_is_imported_and_what_was_refused_is_listed(show: Open, me: int, workspace: Workspace) -> None:
    pets = projects.create_project(workspace, me, "pets", [])
    image = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(image, "PNG")
    pool = io.BytesIO()
    with zipfile.ZipFile(pool, "w") as archive:
        archive.writestr("cat/one.png", image.getvalue())
        archive.writestr("=evil.txt", "not an image")
    app = dialog(show("projects"), "import", pets)
    app.file_uploader[0].upload("../pool.zip", pool.getvalue())
    dialog(app, "import", pets)
    assert list(app.dataframe[0].value["image"]) == ["=evil.txt", "cat/one.png"]
    app.session_state["projects_dialog"] = ("import", pets)
    ran(app.button(key="import_begin").click().run())
    job = frame.newest_import(pets)
    assert job is not None and job.id is not None
    assert len(list(workspace.uploads().iterdir())) == 1
    assert work_off(workspace, job.id, lambda _share, _line: None).error == ""
    assert list(workspace.uploads().iterdir()) == []
    app = show("projects")
    assert "Last import: 1 added, 1 refused" in [e.label for e in app.expander]
    assert list(app.dataframe[0].value["Name"]) == ["=evil.txt"]
    assert [b.url for b in app.link_button] == [f"/api/v1/imports/{job.id}/refused"]


def test_what_is_corrected_in_the_dialog_is_how_the_file_is_read(
    show: Open, workspace: Workspace, me: int, tmp_path: Path
) -> None:
    pieces = projects.create_project(workspace, me, "pieces", [])
    (workspace.root / "import").mkdir()
    rows = "".join(
        f"{i};a long sentence about the piece that has the number {i}, and more;{'good' if i % 2 else 'bad'}\n"
        for i in range(9)
    )
    (workspace.root / "import" / "pieces.csv").write_text(f"nr;words;verdict\n{rows}", encoding="utf-8")
    app = dialog(show("projects"), "import", pieces)
    app.segmented_control[0].set_value("Import folder")
    dialog(app, "import", pieces)
    app.selectbox(key=f"import_folder_{pieces}").set_value("pieces.csv")
    dialog(app, "import", pieces)
    roles = {box.label: box for box in app.selectbox if box.label in ("nr", "words", "verdict")}
    assert roles["words"].value == "text"
    roles["verdict"].set_value("label")
    roles["nr"].set_value("id")
    dialog(app, "import", pieces)
    assert list(app.dataframe[0].value["label"])[:2] == ["bad", "good"]
    assert list(app.dataframe[0].value["id"])[:2] == ["0", "1"]
    app.radio(key="import_labels").set_value("imported")
    app.session_state["projects_dialog"] = ("import", pieces)
    ran(app.button(key="import_begin").click().run())
    job = frame.newest_import(pieces)
    assert job is not None and job.id is not None
    work_off(workspace, job.id, lambda _share, _line: None)
    detail = projects.read_project(workspace, me, pieces)
    assert (detail.items, detail.labels, [c.name for c in detail.classes]) == (9, 9, ["bad", "good"])


def test_a_file_of_another_kind_than_the_items_there_is_said_at_once(show: Open, project: SmallProject) -> None:
    app = dialog(show("projects"), "import", project.id)
    app.file_uploader[0].upload("mails.csv", b"text\nshall we meet for lunch tomorrow at one\n")
    dialog(app, "import", project.id)
    assert plain("These are texts and the project has rows") in words(app)


def test_a_file_that_cannot_be_read_is_one_sentence_in_the_dialog(show: Open, project: SmallProject) -> None:
    app = dialog(show("projects"), "import", project.id)
    app.file_uploader[0].upload("half.zip", b"PK\3\4 and no more")
    dialog(app, "import", project.id)
    (error,) = app.error
    assert plain("half.zip") in error.value
    assert "import_begin" not in [b.key for b in app.button]


def test_an_import_is_cancelled_and_resumed_on_its_card(show: Open, project: SmallProject, me: int) -> None:
    (project.workspace.root / "a.csv").write_text("text\none two three\n")
    job = request_import(project.workspace, me, project.id, project.workspace.root / "a.csv")
    app = show("projects")
    ran(app.button(key=f"import_cancel_{job}").click().run())
    assert jobs.read(project.workspace, job).state is JobState.CANCELLED
    assert "was cancelled after 0" in words(app)
    ran(app.button(key=f"import_resume_{job}").click().run())
    assert jobs.read(project.workspace, job).state is JobState.QUEUED


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


def test_labels_are_exported_as_they_were_chosen(show: Open, project: SmallProject, me: int) -> None:
    project.answer(me, project.items[0])
    app = ran(show("export").radio(key="export_rows").set_value("labels").run())
    assert app.radio(key="export_format").options == ["CSV", "JSON Lines", "Parquet", "Label Studio"]  # no images here
    ran(app.radio(key="export_unlabeled").set_value("drop").run())
    ran(app.radio(key="export_split").set_value("shares").run())
    assert set(app.dataframe[0].value["split"]) <= {"train", "validation", "test"}
    assert len(app.dataframe[0].value) == 1
    wanted = "format=csv&rows=labels&unlabeled=drop&split=train%3D0.8%2Cvalidation%3D0.1%2Ctest%3D0.1"
    assert app.link_button[0].url == f"/api/v1/projects/{project.id}/export?{wanted}"
    assert "--rows=labels --unlabeled=drop --split=train=0.8,validation=0.1,test=0.1" in app.code[0].value
    explained = app.table[0].value
    assert [name.strip("`") for name in explained.index] == list(LabelRow._fields)
    ran(app.text_input(key="export_shares").set_value("train=2").run())
    assert "at most 1" in app.error[0].value
    assert len(app.link_button) == 0


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
