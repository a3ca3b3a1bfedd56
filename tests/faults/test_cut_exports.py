"""Exports that are cut off: a command killed midway goes on where it was, a download goes on behind what came."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling.classes import classes_of
from labeling.db.engine import writing
from labeling.db.schema import Annotation, Item, Verdict
from labeling.delivery.exports import export_stream
from labeling.projects import create_project
from labeling.users import local_user
from labeling.workspace import Workspace, open_workspace
from tests.db.small_project import new_event
from tests.serving import Served, serving, spawn

pytestmark = pytest.mark.faults

ITEMS = 60_000
CUT_AFTER = 2_000_000  # bytes
LAST_SECONDS = 60.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with so many answered texts that an export takes a few seconds."""
    root = tmp_path_factory.mktemp("exports") / "workspace"
    workspace = open_workspace(root)
    me = local_user(workspace)
    project = create_project(workspace, me, "texts", ["a", "b"])
    with writing(workspace.engine) as session:
        classes = [c.id for c in classes_of(session, project)]
        items = [
            {"id": n, "project_id": project, "external_id": f"text {n}", "content_hash": f"{n:064x}",
             "text": f"{n} " * 20, "meta": {}, "row": n, "answers": 1, "created": 0.0}
            for n in range(1, ITEMS + 1)
        ]  # fmt: skip
        answers = [
            {"seq": n, "id": f"event-{n}", "project_id": project, "item_id": n, "user_id": me, "note": "",
             "verdict": Verdict.LABEL, "class_id": classes[n % 2], "flagged": False, "suggestion_shown": False,
             "created": float(n)}
            for n in range(1, ITEMS + 1)
        ]  # fmt: skip
        session.connection().execute(Item.__table__.insert(), items)  # type: ignore[attr-defined]
        session.connection().execute(Annotation.__table__.insert(), answers)  # type: ignore[attr-defined]
    workspace.engine.dispose()
    return root


@pytest.fixture
def workspace(root: Path) -> Workspace:
    return open_workspace(root)


def whole(workspace: Workspace, format: str, rows: str) -> bytes:
    return b"".join(export_stream(workspace, local_user(workspace), 1, format, rows=rows).chunks)


def answer_one_more(workspace: Workspace) -> None:
    me = local_user(workspace)
    with writing(workspace.engine) as session:
        session.add(Annotation(id=new_event(), project_id=1, item_id=1, user_id=me, verdict=Verdict.SKIP))


@pytest.mark.parametrize("rows", ["answers", "labels"])
def test_a_killed_export_goes_on_where_it_was(workspace: Workspace, tmp_path: Path, rows: str):
    expected = whole(workspace, "jsonl", rows)
    words = ("export", "texts", "--format", "jsonl", "--rows", rows, "--out", str(tmp_path), "-w", str(workspace.root))
    note = tmp_path / f"texts{'-labels' if rows == 'labels' else ''}.jsonl.partial.json"
    process = spawn(workspace.root, *words)
    until = time.monotonic() + LAST_SECONDS
    while not (note.exists() and json.loads(note.read_text())["after"]) and time.monotonic() < until:
        assert process.poll() is None, "it was too quick to be killed"
        time.sleep(0.01)
    process.kill()
    process.wait()
    begun = json.loads(note.read_text())["size"]
    assert 0 < begun < len(expected)
    answer_one_more(workspace)
    again = spawn(workspace.root, *words)
    assert again.wait(LAST_SECONDS) == 0
    assert note.with_name(note.name.removesuffix(".partial.json")).read_bytes() == expected
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Served]:
    with serving(root, "--no-worker") as running:
        yield running


@pytest.mark.parametrize(("format", "rows"), [("jsonl", "labels"), ("csv", "answers"), ("parquet", "labels")])
def test_a_download_that_was_cut_goes_on_behind_what_came(workspace: Workspace, served: Served, format: str, rows: str):
    expected = whole(workspace, format, rows)
    path = f"/api/v1/projects/1/export?format={format}&rows={rows}"
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    came = response.read(min(CUT_AFTER, len(expected) // 2))
    moment = response.getheader("ETag", "").strip('"')
    connection.sock.close()  # type: ignore[union-attr]
    connection.close()
    answer_one_more(workspace)
    with served.connect() as other:
        status, rest = other.ask("GET", f"{path}&at={moment}&skip={len(came)}")
    assert status == 200
    assert came + rest == expected
