"""The command line: the same verbs, an answer in words or in JSON, and an error in one sentence."""

import json
import sqlite3
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from labeling import __version__, jobs
from labeling.cli import app, main
from labeling.db.schema import JobState
from labeling.features.clip import Clip
from labeling.intake import importer
from labeling.terminal import offer_of_clip
from labeling.users import bearer, local_user
from labeling.verbs import OpenWorkspace
from labeling.workspace import Workspace, open_workspace
from tests.db.small_project import SmallProject


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workspace that commands use by default."""
    monkeypatch.delenv("ASKWISE_DATABASE_URL", raising=False)
    monkeypatch.setenv("ASKWISE_WORKSPACE", str(tmp_path / "here"))
    return tmp_path / "here"


@pytest.fixture
def opened(here: Path) -> Workspace:
    return open_workspace(here)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of two images each, and a file that is none."""
    for name in ("cat/1", "cat/2", "dog/3", "dog/4"):
        path = tmp_path / "pictures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 40 * int(name[-1])).save(path)
    (tmp_path / "pictures" / "notes.png").write_text("not an image")
    return tmp_path / "pictures"


def told(*words: object) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def as_json(*words: object) -> Any:
    return json.loads(told(*words, "--json"))


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command that cannot be done says, on one line however narrow the terminal."""

    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["askwise", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert (ended.value.code, said.out) == (1, "")
        return " ".join(said.err.split())

    return run


def test_a_project_is_made_filled_and_exported(here: Path, pictures: Path, tmp_path: Path):
    made = as_json("project", "create", "pets", "--classes", "cat, dog", "--overlap", 2)
    assert made == {"id": 1, "name": "pets"}
    report = as_json("import", "pets", pictures)
    assert (report["added"], report["duplicates"], report["refused_count"]) == (4, 0, 1)
    assert "notes" in report["refused"][0]["name"] and report["refused"][0]["why"].endswith(".")
    assert as_json("import", "1", pictures)["duplicates"] == 4
    (listed,) = as_json("project", "list")["projects"]
    assert (listed["name"], listed["items"], listed["class_count"], listed["role"]) == ("pets", 4, 2, "owner")
    for format in ("csv", "jsonl"):
        exported = as_json("export", "pets", "--format", format, "--out", tmp_path / "new" / "folder")
        assert exported["path"].endswith(f"pets.{format}")
        assert Path(exported["path"]).stat().st_size == exported["bytes"]
    header = (tmp_path / "new" / "folder" / "pets.csv").read_text(encoding="utf-8")
    assert header.startswith("external_id,verdict,class,")
    assert not list((tmp_path / "new" / "folder").glob("*.partial"))


def test_an_import_leads_to_features_and_a_ranking(opened: Workspace, pictures: Path):
    told("project", "create", "pets", "--classes", "cat,dog")
    told("import", "pets", pictures)
    with sqlite3.connect(opened.root / "askwise.db") as database:
        jobs = database.execute("SELECT kind, state, error FROM job ORDER BY id").fetchall()
        ranked = database.execute("SELECT count(*) FROM queueentry").fetchone()
    database.close()
    assert [kind for kind, *_ in jobs] == ["import", "encode", "train"]
    assert {(state, error) for _, state, error in jobs} == {("done", "")}
    assert ranked == (4,)


def test_a_token_is_shown_once_and_can_be_ended(opened: Workspace):
    made = as_json("token", "zoë")
    assert set(made) == {"name", "token", "role"} and made["role"] == "annotator"
    assert bearer(opened, made["token"]) is not None
    plain = told("token", "bob", "--role", "expert")
    assert bearer(opened, plain.strip()) is not None  # nothing but the token, for a script
    assert as_json("token", "zoë", "--revoke") == {"name": "zoë", "revoked": 1}
    assert bearer(opened, made["token"]) is None


def test_the_doctor_says_what_is_there(here: Path, opened: Workspace):
    checks = as_json("doctor")
    assert checks["version"] == __version__
    assert checks["sqlite"] == sqlite3.sqlite_version
    assert checks["workspace"] == str(here.resolve())
    assert {"python", "database", "free_disk_gb", "worker_heartbeat"} <= set(checks)
    assert "open_clip_torch 3." in checks["clip"] and "sentence-transformers" in checks["text"]
    assert __version__ in told("doctor")


def test_the_doctor_says_how_to_get_what_is_not_installed(opened: Workspace, monkeypatch: pytest.MonkeyPatch):
    def nothing(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", nothing)
    assert "pip install 'askwise[clip]'" in as_json("doctor")["clip"]


def test_where_clip_is_or_how_to_get_it_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch):
    for installed, said in ((True, "Settings page"), (False, "pip install 'askwise[clip]'")):
        monkeypatch.setattr(Clip, "installed", classmethod(lambda cls, installed=installed: installed))
        assert said in offer_of_clip() and "\n" not in offer_of_clip()


def test_a_backup_is_a_workspace_of_its_own(opened: Workspace, tmp_path: Path, pictures: Path):
    told("project", "create", "pets", "--classes", "cat,dog")
    told("import", "pets", pictures)
    copied = as_json("backup", tmp_path / "copy")
    assert copied["files"] >= 4
    (listed,) = as_json("project", "list", "--workspace", tmp_path / "copy")["projects"]
    assert (listed["name"], listed["items"]) == ("pets", 4)
    originals = {p.relative_to(opened.root): p.read_bytes() for p in (opened.root / "media").rglob("*") if p.is_file()}
    assert {p: (tmp_path / "copy" / p).read_bytes() for p in originals} == originals


def test_a_backup_goes_to_a_place_of_its_own(opened: Workspace, pictures: Path, failed: Callable[..., str]):
    assert "is not empty" in failed("backup", pictures)


def test_the_workspace_can_be_named_on_the_command(here: Path, tmp_path: Path):
    told("project", "create", "birds", "--workspace", tmp_path / "other")
    assert not here.exists()
    assert [p["name"] for p in as_json("project", "list", "-w", tmp_path / "other")["projects"]] == ["birds"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["export", "none"], "There is no project “none”"),
        (["import", "none", "."], "There is no project “none”"),
        (["project", "create", " "], "needs a name"),
        (["project", "create", "x", "--classes", "a,a"], "named twice"),
        (["project", "create", "x", "--overlap", "0"], "overlap"),
        (["export", "[/red]"], "There is no project “[/red]”"),
    ],
)
def test_an_error_is_one_sentence_and_no_traceback(
    opened: Workspace, words: list[str], sentence: str, failed: Callable[..., str]
):
    assert sentence in failed(*words)


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    """A table of texts with their labels, and a row that is none; its second text would ring a terminal's bell."""
    rows = ["1;a text about the first thing;x", "2;the \a\x1b[31msecond thing;y", "3;;x"]
    path = tmp_path / "mails.csv"
    path.write_text("\n".join(["nr;words;verdict", *rows]), encoding="utf-8")
    return path


def test_a_table_is_previewed_corrected_and_imported_with_its_labels(opened: Workspace, mails: Path):
    told("project", "create", "mail")
    roles = ["--role", "verdict=label", "--role", "words=text", "--role", "nr=meta"]
    shown = told("import", "mail", mails, "--preview", *roles)
    assert "about the first thing" in shown and "verdict=label" in shown and "Its text is empty" in shown
    assert "\x1b[31m" not in shown and "\a" not in shown
    preview = as_json("import", "mail", mails, "--preview", *roles)
    assert (preview["kind"], preview["reading"]["delimiter"], preview["classes"]) == ("text", ";", ["x", "y"])
    report = as_json("import", "mail", mails, "--labels", "imported", *roles)
    assert (report["added"], report["labeled"], report["refused_count"]) == (2, 2, 1)
    assert (report["refused"][0]["line"], report["state"]) == (4, "done")
    assert "Its text is empty" in Path(report["refused_list"]).read_text(encoding="utf-8")
    assert "0 added, 2 already there, 1 refused." in told("import", "mail", mails, *roles)


@pytest.mark.parametrize("role", ["words", "words=", "=text", "words=sentence"])
def test_a_role_that_is_none_is_said_with_those_there_are(
    opened: Workspace, mails: Path, role: str, failed: Callable[..., str]
):
    told("project", "create", "mail")
    assert "the role being one of id, text, image, label" in failed("import", "mail", mails, "--role", role)


def test_an_interrupt_cancels_an_import_and_keeps_what_went_in(
    opened: Workspace, mails: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    told("project", "create", "mail")
    monkeypatch.setitem(importer.BATCH_RECORDS, "text", 1)
    monkeypatch.setattr(importer, "MOST_RECORDS", 1)
    kept, count = jobs.keep, iter(range(9))

    def interrupt(*given: Any) -> None:
        if next(count) == 2:  # it begins, one batch comes in, and now the second would
            raise KeyboardInterrupt
        kept(*given)

    monkeypatch.setattr(jobs, "keep", interrupt)
    monkeypatch.setattr(sys, "argv", ["askwise", "import", "mail", str(mails), "--role", "words=text"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert "Cancelled; what went in stays" in capsys.readouterr().err
    monkeypatch.undo()
    assert jobs.read(opened, 1).state is JobState.CANCELLED
    (project,) = OpenWorkspace(opened.root).projects()
    assert project["items"] == 1


def test_importing_nothing_is_an_error(here: Path, tmp_path: Path, failed: Callable[..., str]):
    told("project", "create", "pets")
    assert "There is nothing at" in failed("import", "pets", tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["[/]", "[red]x", "[/bold] \N{CAT}", "--odd--"])
def test_names_are_printed_as_they_are(here: Path, name: str):
    assert name in told("project", "create", "--", name)
    assert name in told("project", "list")
    assert as_json("project", "list")["projects"][0]["name"] == name


@pytest.mark.parametrize("words", [["project", "list"], ["export", "pets"], ["backup", "{}/copy"]])
def test_a_workspace_is_not_made_by_looking_for_it(
    here: Path, tmp_path: Path, words: list[str], failed: Callable[..., str]
):
    """A slip in its name would otherwise leave an empty one, and say that there is nothing."""
    words = [word.format(tmp_path) for word in words]
    assert "no workspace" in failed(*words, "--workspace", tmp_path / "slip")
    assert not (tmp_path / "slip").exists()


def test_the_demo_is_ready_to_label_and_a_second_start_adds_nothing(here: Path, monkeypatch: pytest.MonkeyPatch):
    for _ in range(2):
        told("demo", "--no-serve")
        (project,) = as_json("project", "list")["projects"]
        assert (project["name"], project["items"], project["class_count"], project["labels"]) == ("digits", 1797, 10, 0)
    with sqlite3.connect(here / "askwise.db") as database:
        first, last = database.execute("SELECT min(external_id), max(external_id) FROM item").fetchone()
        features = database.execute("SELECT count(*) FROM job WHERE kind = 'encode' AND state = 'done'").fetchone()
    database.close()
    assert (first, last) == ("digits-0000", "digits-1796") and features[0] >= 1


def test_every_documented_command_has_a_help_and_prints_json():
    commands = {
        "demo": False, "serve": False, "worker": False, "import": True, "export": True, "token": True, "doctor": True,
        "backup": True,
    }  # fmt: skip
    for command, prints in commands.items():
        words = told(command, "--help")
        assert ("--json" in words) == prints, command
    for command in ("create", "list"):
        assert "--json" in told("project", command, "--help")


def test_the_commands_act_as_the_user_of_this_machine(opened: Workspace, failed: Callable[..., str]):
    small = SmallProject.make(opened)
    assert as_json("project", "list")["projects"] == []
    assert local_user(opened) not in (small.owner, *small.people)
    assert "There is no project “animals”" in failed("export", "animals")
