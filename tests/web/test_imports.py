"""Imports over REST: upload, look, import, follow, stop, go on, and the list of what was refused."""

import io
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from labeling.db.engine import writing
from labeling.db.schema import Role
from labeling.intake import inbox
from labeling.learning.worker import work_off
from labeling.projects import create_project
from labeling.users import grant, local_user
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user

FILE = {"Content-Type": "application/octet-stream"}
TABLE = b"text,topic\n" + b"".join(b"a text with the number %d,t%d\n" % (i, i % 2) for i in range(9)) + b'"",t1\n'


@pytest.fixture
def project(workspace: Workspace, small: SmallProject) -> int:
    return create_project(workspace, local_user(workspace), "mails", [])


def upload(client: TestClient, project: int, data: bytes = TABLE, name: str = "mails.csv") -> str:
    answer = client.post(f"/api/v1/projects/{project}/uploads?name={name}", content=data, headers=FILE)
    assert answer.status_code == 201, answer.text
    assert answer.json()["bytes"] == len(data)
    named: str = answer.json()["upload"]
    return named


def done(workspace: Workspace, client: TestClient, job: int) -> dict[str, Any]:
    work_off(workspace, job, lambda _share, _line: None)
    view: dict[str, Any] = client.get(f"/api/v1/imports/{job}").json()
    return view


def test_a_file_is_uploaded_looked_at_corrected_and_imported(workspace: Workspace, client: TestClient, project: int):
    origin = {"upload": upload(client, project), "name": "mails.csv"}
    looked = client.post(f"/api/v1/projects/{project}/imports/preview", json=origin).json()
    assert (looked["kind"], looked["reading"]["delimiter"]) == ("text", ",")
    assert (looked["rows"][0]["text"], looked["refused"][0][:2]) == ("a text with the number 0", ["mails.csv", 11])
    origin["reading"] = {"roles": {"text": "text", "topic": "meta"}}
    looked = client.post(f"/api/v1/projects/{project}/imports/preview", json=origin).json()
    assert (looked["rows"][0]["label"], looked["rows"][0]["meta"]) == (None, {"topic": "t0"})
    origin["reading"] = {"roles": {"text": "text", "topic": "label"}}
    begun = client.post(f"/api/v1/projects/{project}/imports", json={**origin, "labels": "imported"})
    assert (begun.status_code, begun.json()["state"], begun.json()["name"]) == (202, "queued", "mails.csv")
    view = done(workspace, client, begun.json()["id"])
    assert (view["state"], view["added"], view["labeled"], view["refused_count"]) == ("done", 9, 9, 1)
    listed = client.get(f"/api/v1/imports/{view['id']}/refused").text.splitlines()
    assert listed[0] == "name,line,why" and listed[1].startswith("mails.csv,11,")
    detail = client.get(f"/api/v1/projects/{project}").json()
    assert (detail["items"], detail["labels"], [c["name"] for c in detail["classes"]]) == (9, 9, ["t0", "t1"])


def test_a_form_is_as_good_as_a_body(workspace: Workspace, client: TestClient, project: int):
    form = {"file": ("mails.csv", io.BytesIO(TABLE), "text/csv")}
    del client.headers["Content-Type"]
    answer = client.post(f"/api/v1/projects/{project}/uploads", files=form)
    assert answer.status_code == 201, answer.text
    named = answer.json()["upload"]
    assert named.endswith(".csv") and (workspace.uploads() / named).read_bytes() == TABLE


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_form_that_is_none_is_one_sentence(client: TestClient, project: int, kind: str):
    answer = client.post(
        f"/api/v1/projects/{project}/uploads", content=b"no form at all", headers={"Content-Type": kind}
    )
    assert answer.status_code == 422 and answer.json()["detail"].endswith(".")


def test_an_upload_that_is_json_says_how_to_send_it(client: TestClient, project: int):
    answer = client.post(f"/api/v1/projects/{project}/uploads", json={})
    assert (answer.status_code, "application/octet-stream" in answer.json()["detail"]) == (422, True)


def test_an_upload_is_no_larger_than_agreed(
    workspace: Workspace, client: TestClient, project: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inbox, "MAX_UPLOAD", 20)
    answer = client.post(f"/api/v1/projects/{project}/uploads", content=TABLE, headers=FILE)
    assert (answer.status_code, "import folder" in answer.json()["detail"]) == (422, True)
    assert list(workspace.uploads().iterdir()) == []


def test_a_file_is_the_body_of_an_upload_only(client: TestClient, project: int):
    """Elsewhere a form still cannot be a write: another site's page could send it."""
    for path in (f"projects/{project}/imports", f"projects/{project}/uploads/x", "projects"):
        assert client.post(f"/api/v1/{path}", content=b"x", headers=FILE).status_code == 403


def test_an_upload_needs_the_header_that_other_sites_cannot_send(client: TestClient, project: int):
    answer = client.post(f"/api/v1/projects/{project}/uploads", content=b"x", headers={**FILE, "X-Askwise": ""})
    assert answer.status_code == 403


def test_a_path_is_one_of_the_import_folder(workspace: Workspace, client: TestClient, project: int):
    (workspace.root / "import").mkdir()
    (workspace.root / "import" / "mails.csv").write_bytes(TABLE)
    begun = client.post(f"/api/v1/projects/{project}/imports", json={"path": "mails.csv"}).json()
    assert done(workspace, client, begun["id"])["added"] == 9
    assert (workspace.root / "import" / "mails.csv").exists()
    for path in ("../askwise.db", "/etc/passwd", "no.csv"):
        answer = client.post(f"/api/v1/projects/{project}/imports/preview", json={"path": path})
        assert (answer.status_code, "import folder" in answer.json()["detail"]) == (422, True)


def test_an_import_is_cancelled_and_resumed(workspace: Workspace, client: TestClient, project: int):
    begun = client.post(f"/api/v1/projects/{project}/imports", json={"upload": upload(client, project)}).json()
    at = f"/api/v1/imports/{begun['id']}"
    assert client.post(f"{at}/cancel", json={}).json()["state"] == "cancelled"
    assert client.post(f"{at}/resume", json={}).json()["state"] == "queued"
    assert client.post(f"{at}/resume", json={}).status_code == 422
    assert done(workspace, client, begun["id"])["added"] == 9


@pytest.mark.parametrize(
    "asked", [{}, {"upload": "x"}, {"upload": "1-" + "0" * 32}, {"path": ""}, {"labels": "all"}, {"reading": {"x": 1}}]
)
def test_what_names_no_file_is_refused_in_a_sentence(client: TestClient, project: int, asked: dict[str, Any]):
    answer = client.post(f"/api/v1/projects/{project}/imports", json=asked)
    assert answer.status_code in (404, 422) and answer.json()["detail"].endswith(".")


def test_only_an_owner_imports(workspace: Workspace, connect: Any, client: TestClient, project: int):
    named = upload(client, project)
    job = client.post(f"/api/v1/projects/{project}/imports", json={"upload": named}).json()["id"]
    annotator = connect("bob")
    bob = add_user(workspace, "carol")
    with writing(workspace.engine) as session:
        grant(session, project, bob, Role.ANNOTATOR)
    assert annotator.post(f"/api/v1/projects/{project}/uploads", content=b"x", headers=FILE).status_code == 403
    assert annotator.post(f"/api/v1/projects/{project}/imports", json={"upload": named}).status_code == 403
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/resume"), ("GET", "/refused")):
        body = None if method == "GET" else {}
        assert annotator.request(method, f"/api/v1/imports/{job}{path}", json=body).status_code == 403


def test_what_was_half_sent_is_not_kept(workspace: Workspace, client: TestClient, project: int):
    def broken_off() -> Any:
        yield b"half"
        raise OSError("the line is dead")

    answer = client.post(f"/api/v1/projects/{project}/uploads", content=broken_off(), headers=FILE)
    assert answer.status_code == 500
    assert list(Path(workspace.uploads()).iterdir()) == []
