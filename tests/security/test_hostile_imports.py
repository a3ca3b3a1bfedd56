"""Every hostile file through every door: its sentence, nothing else changed, and the server still answers."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from labeling import projects
from labeling.cli import main
from labeling.db.engine import reading
from labeling.errors import AskwiseError
from labeling.intake import inbox
from labeling.intake.import_job import preview_import, read_import, request_import
from labeling.learning.worker import work_off
from labeling.users import local_user
from labeling.web import current, import_dialog
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject
from tests.security.hostile import HOSTILE, Hostile, write
from tests.web.conftest import Connect, connect

__all__ = ["connect"]

SENTINEL = "nobody may change this"


@dataclass
class Outcome:
    """What a door said of a file: of the whole, or of what could not be taken; and how many items came in."""

    whole: str
    refused: list[str]
    added: int


class Server:
    """A workspace with a project for the file, another project, and files around it."""

    def __init__(self, workspace: Workspace, outside: Path, client: TestClient) -> None:
        self.workspace, self.outside, self.client = workspace, outside, client
        self.me = local_user(workspace)
        self.project = projects.create_project(workspace, self.me, "target", [])
        self.other = SmallProject.make(workspace)
        self.other.answer(self.other.people[0], self.other.items[0])
        (workspace.root / "import").mkdir()
        (outside / "sentinel").write_text(SENTINEL)
        self._before = self._untouched()

    def _untouched(self) -> dict[str, Any]:
        """Everything that an import of somebody else's file has no business with."""
        with reading(self.workspace.engine) as session:
            tables = ("item", "annotation", "label", "labelclass", "assignment", "membership")
            rows = {}
            for table in tables:
                query = text(f'SELECT * FROM "{table}" WHERE project_id = {self.other.id}')
                rows[table] = list(session.connection().execute(query).all())
        around = {p.relative_to(self.outside): p.read_bytes() for p in self.outside.rglob("*") if p.is_file()}
        mine = {"workspace", "arriving"}
        return rows | {"around": {p: data for p, data in around.items() if p.parts[0] not in mine}}

    def check(self) -> None:
        """Nothing else has changed, and the server answers."""
        assert self._untouched() == self._before
        inside = {path.name for path in self.workspace.root.iterdir()}
        known = {"askwise.db", "askwise.db-journal", "askwise.db-wal", "askwise.db-shm"}
        assert inside <= known | {"media", "features", "heads", "uploads", "imports", "import", "thumbnails"}
        assert not list(self.workspace.root.rglob("slipped*"))
        assert self.client.get("/api/v1/health").status_code == 200
        assert self.client.get(f"/api/v1/projects/{self.other.id}").status_code in (200, 404)

    def work(self, job: int) -> Outcome:
        work_off(self.workspace, job, lambda _share, _line: None)
        view = read_import(self.workspace, self.me, job)
        return Outcome(view.error, [f"{r['name']}: {r['why']}" for r in view.refused], view.added)


@pytest.fixture
def server(workspace: Workspace, tmp_path: Path, connect: Connect) -> Iterator[Server]:
    (tmp_path / "arriving").mkdir()
    yield Server(workspace, tmp_path, connect())


def by_the_page(server: Server, path: Path) -> Outcome:
    """What the page does with an upload: put it on disk, look at it, ask for its import."""
    current.serve(server.workspace)

    class Upload(io.BytesIO):
        name = path.name

    stored = import_dialog.receive(Upload(path.read_bytes()), server.project)  # type: ignore[arg-type]
    try:
        preview_import(server.workspace, server.me, server.project, stored, name=path.name)
    except AskwiseError as error:
        return Outcome(str(error), [], 0)
    return server.work(request_import(server.workspace, server.me, server.project, stored, name=path.name))


def by_path(server: Server, path: Path) -> Outcome:
    """A file of the server's import folder, as the page and REST take it; imported without a look."""
    (server.workspace.root / "import" / path.name).write_bytes(path.read_bytes())
    found = inbox.find_in_folder(server.workspace, server.me, server.project, path.name)
    return server.work(request_import(server.workspace, server.me, server.project, found))


def by_command(server: Server, path: Path) -> Outcome:
    """`askwise import`."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [
            "askwise", "import", "target", str(path), "--json", "--workspace", str(server.workspace.root),
        ])  # fmt: skip
        patch.setattr(sys, "stdout", out)
        patch.setattr("labeling.cli.messages.file", err)
        with pytest.raises(SystemExit) as ended:
            main()
    if ended.value.code:
        said = " ".join(err.getvalue().split())
        assert "Traceback" not in said
        return Outcome(said, [], 0)
    report = json.loads(out.getvalue())
    return Outcome("", [f"{r['name']}: {r['why']}" for r in report["refused"]], report["added"])


def by_rest(server: Server, path: Path) -> Outcome:
    """Upload, look, import."""
    at = f"/api/v1/projects/{server.project}"
    sent = {"Content-Type": "application/octet-stream"}
    stored = server.client.post(f"{at}/uploads?name={path.name}", content=path.read_bytes(), headers=sent)
    assert stored.status_code == 201
    origin = {"upload": stored.json()["upload"], "name": path.name}
    looked = server.client.post(f"{at}/imports/preview", json=origin)
    if looked.status_code != 200:
        assert looked.status_code == 422
        return Outcome(looked.json()["detail"], [], 0)
    begun = server.client.post(f"{at}/imports", json=origin)
    assert begun.status_code == 202
    server.work(begun.json()["id"])
    view = server.client.get(f"/api/v1/imports/{begun.json()['id']}").json()
    return Outcome(view["error"], [f"{r['name']}: {r['why']}" for r in view["refused"]], view["added"])


DOORS: dict[str, Callable[[Server, Path], Outcome]] = {
    "page": by_the_page, "path": by_path, "command": by_command, "REST": by_rest,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_gets_its_sentence_and_changes_nothing_else(
    server: Server, tmp_path: Path, what: str, door: str
):
    hostile = HOSTILE[what]
    outcome = DOORS[door](server, write(tmp_path / "arriving", hostile))
    check_said(hostile, outcome)
    server.check()


@pytest.mark.parametrize("what", ["zip-slip", "a zip bomb", "a NUL"])
def test_a_few_of_them_over_rest(server: Server, tmp_path: Path, what: str):
    hostile = HOSTILE[what]
    check_said(hostile, by_rest(server, write(tmp_path / "arriving", hostile)))
    server.check()


def check_said(hostile: Hostile, outcome: Outcome) -> None:
    assert outcome.added == hostile.comes_in, outcome
    if hostile.comes_in:
        assert outcome.whole == ""
        said = outcome.refused
        assert bool(said) == bool(hostile.says), outcome
    else:
        said = [outcome.whole]
    if hostile.says:
        assert any(hostile.says in sentence for sentence in said), outcome
    for sentence in said:
        assert sentence.endswith(".") and "\n" not in sentence and "Error" not in sentence, sentence


@pytest.mark.parametrize("door", ["page", "REST"])
def test_a_link_in_the_import_folder_leads_nowhere(server: Server, tmp_path: Path, door: str):
    (server.workspace.root / "import" / "out").symlink_to(tmp_path)
    (server.workspace.root / "import" / "sentinel.csv").symlink_to(tmp_path / "sentinel")
    for path in ("out", "out/sentinel", "sentinel.csv", "../askwise.db", str(tmp_path / "sentinel")):
        if door == "page":
            with pytest.raises(AskwiseError, match="outside the server's import folder"):
                inbox.find_in_folder(server.workspace, server.me, server.project, path)
        else:
            asked = server.client.post(f"/api/v1/projects/{server.project}/imports", json={"path": path})
            assert (asked.status_code, "import folder" in asked.json()["detail"]) == (422, True)
    server.check()


def test_what_a_spreadsheet_would_run_is_text_in_the_list_of_refusals(server: Server, tmp_path: Path):
    path = tmp_path / "arriving" / "=cmd.zip"
    path.write_bytes(HOSTILE["an SVG in disguise"].make().replace(b"drawing.png", b"=2+5+cmd.pn"))
    at = f"/api/v1/projects/{server.project}"
    sent = {"Content-Type": "application/octet-stream"}
    stored = server.client.post(f"{at}/uploads?name=x.zip", content=path.read_bytes(), headers=sent).json()
    job = server.client.post(f"{at}/imports", json={"upload": stored["upload"], "name": "=x"}).json()["id"]
    server.work(job)
    listed = server.client.get(f"/api/v1/imports/{job}/refused")
    assert listed.headers["content-type"].startswith("text/csv")
    assert "attachment" in listed.headers["content-disposition"]
    assert listed.text.splitlines()[1].startswith("'=2+5+cmd.pn,")
