"""The REST interface: each route as it is documented, and every refusal in one sentence."""

import csv
import io
import json
import subprocess
import sys
import time
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from httpx import Response
from PIL import Image
from sqlmodel import select
from starlette.testclient import TestClient

from labeling import __version__
from labeling.db.engine import writing
from labeling.db.schema import Membership, User, Worker
from labeling.web.api import create_api
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, new_event

HUGE = 10**30  # more than any database keeps in an integer


def claim(client: TestClient, small: SmallProject, count: int = 1, **more: object) -> list[dict[str, Any]]:
    answer = client.post(f"/api/v1/projects/{small.id}/claims", json={"count": count, **more})
    assert answer.status_code == 200, answer.text
    claims: list[dict[str, Any]] = answer.json()["claims"]
    return claims


def label(leased: dict[str, Any], class_id: int | None, **more: object) -> dict[str, object]:
    lease = {"assignment_id": leased["assignment_id"], "token": leased["token"]}
    return {"event_id": new_event(), **lease, "verdict": "label", "class_id": class_id, "seconds": 1.0, **more}


def submit(client: TestClient, *given: dict[str, object]) -> list[dict[str, str]]:
    answer = client.post("/api/v1/annotations", json={"annotations": given})
    assert answer.status_code == 200, answer.text
    outcomes: list[dict[str, str]] = answer.json()["annotations"]
    return outcomes


def refusal(answer: Response, status: int) -> str:
    """The sentence of a refusal."""
    assert answer.status_code == status, answer.text
    (key,) = answer.json()
    sentence = answer.json()[key]
    assert key == "detail" and isinstance(sentence, str) and sentence.endswith(".")
    return sentence


def test_health_says_how_database_and_worker_are(client: TestClient, workspace: Workspace):
    assert client.get("/api/v1/health").json() == {
        "status": "ok", "database": "ok", "worker_heartbeat": None, "version": __version__,
    }  # fmt: skip
    with writing(workspace.engine) as session:
        session.add(Worker(id="w", pid=1, host="h", heartbeat=time.time() - 2))
    assert 2 <= client.get("/api/v1/health").json()["worker_heartbeat"] < 60


def test_projects_are_listed_created_and_read(client: TestClient, small: SmallProject):
    (listed,) = client.get("/api/v1/projects").json()["projects"]
    assert listed == {
        "id": small.id, "name": "animals", "role": "owner", "guidelines": "", "items": 6, "labels": 0, "class_count": 2,
    }  # fmt: skip
    new = {"name": "birds", "classes": ["wren", "robin"], "guidelines": "Look.", "settings": {"overlap": 2}}
    made = client.post("/api/v1/projects", json=new)
    assert made.status_code == 201
    view = client.get(f"/api/v1/projects/{made.json()['id']}").json()
    assert view == made.json()
    assert [(c["name"], c["key"], c["description"]) for c in view["classes"]] == [("wren", "1", ""), ("robin", "2", "")]
    assert (view["name"], view["guidelines"], view["settings"]["overlap"], view["role"]) == (
        "birds",
        "Look.",
        2,
        "owner",
    )
    assert (view["items"], view["labels"], view["remaining"]) == (0, 0, 0)
    assert (view["model_version"], view["ranking_age"]) == (None, None)


def test_a_project_tells_its_live_model_and_the_age_of_its_ranking(client: TestClient, small: SmallProject):
    small.add_features(np.eye(6, dtype=np.float32))
    for row in (0, 1):
        small.answer(small.people[0], small.items[row], small.classes[row])
    small.learn()
    view = client.get(f"/api/v1/projects/{small.id}").json()
    assert (view["model_version"], view["labels"], view["remaining"]) == (1, 2, 4)
    assert 0 <= view["ranking_age"] < 60
    assert view["live"] | {"ranked": 0, "message": ""} == {
        "model_version": 1, "ranking": 1, "accuracy": None, "accuracy_on": 0, "labels": 2, "items": 6, "ranked": 0,
        "learning": False, "message": "", "strategy": "random", "phase": "random", "schema_version": 1,
        "words_only": False,
    }  # fmt: skip
    queued = client.get(f"/api/v1/projects/{small.id}/queue", params={"limit": 2}).json()["queue"]
    assert len(queued) == 2
    assert set(queued[0]) == {"item_id", "external_id", "utility", "reason", "why", "model_version", "ranking"}
    (claimed,) = claim(client, small)
    assert claimed["item"]["id"] == queued[0]["item_id"] and claimed["suggestion"]["confidence"] >= 0.5


def test_a_claim_has_all_that_a_labeller_needs(client: TestClient, small: SmallProject):
    before = time.time()
    answer = client.post(f"/api/v1/projects/{small.id}/claims", json={"count": 6}).json()
    assert (answer["remaining"], answer["live"]["items"], len(answer["claims"])) == (0, 6, 6)
    first = next(c for c in answer["claims"] if c["item"]["id"] == small.items[0])
    named = {"id": small.items[0], "external_id": f"{small.id}-0000"}
    assert first["item"] == {**named, "text": None, "fields": None, "shown_first": None}
    assert first["media_url"] == f"/api/v1/items/{small.items[0]}/media"
    assert first["token"] and first["expires"] > before + 100
    assert (first["reason"], first["suggestion"], first["model_version"]) == ("strategy", None, None)
    assert [c["media_url"] for c in answer["claims"] if c is not first] == [None] * 5


def test_answers_are_saved_repeated_or_refused_each_by_its_event(client: TestClient, small: SmallProject):
    first, second, third = claim(client, small, 3)
    good, wrong = label(first, small.classes[0]), label(second, 999)
    skip = {**label(third, None), "verdict": "skip", "note": "dark", "flagged": True}
    assert [(o["event_id"], o["status"]) for o in submit(client, good, wrong, skip, good)] == [
        (good["event_id"], "saved"), (wrong["event_id"], "refused"), (skip["event_id"], "saved"),
        (good["event_id"], "repeated"),
    ]  # fmt: skip
    assert submit(client, label(second, 999))[0]["why"] == "That class is not one of this project's; choose another."
    assert client.get(f"/api/v1/projects/{small.id}").json()["labels"] == 1


def test_an_answer_is_withdrawn_and_its_item_comes_back(client: TestClient, small: SmallProject):
    (leased,) = claim(client, small)
    given = label(leased, small.classes[0])
    submit(client, given)
    undo_id = new_event()
    path = f"/api/v1/annotations/{given['event_id']}/undo"
    undone = client.post(path, json={"event_id": undo_id, "client": "tab"}).json()
    assert (undone["status"], undone["claim"]["item"]) == ("undone", leased["item"])
    again = client.post(path, json={"event_id": undo_id, "client": "tab"}).json()
    assert (again["status"], again["claim"]["token"]) == ("repeated", undone["claim"]["token"])
    assert client.post(path, json={"event_id": new_event()}).json()["status"] == "refused"
    assert submit(client, label(undone["claim"], small.classes[1]))[0]["status"] == "saved"


def test_an_undo_needs_no_body(client: TestClient, small: SmallProject):
    (leased,) = claim(client, small)
    given = label(leased, small.classes[0])
    submit(client, given)
    assert client.post(f"/api/v1/annotations/{given['event_id']}/undo").json()["status"] == "undone"


def test_leases_are_renewed_and_given_back(client: TestClient, small: SmallProject):
    ids = [c["assignment_id"] for c in claim(client, small, 2)]
    path = f"/api/v1/projects/{small.id}/leases"
    renewed = client.post(f"{path}/renew", json={"assignment_ids": [*ids, 999]}).json()
    assert (sorted(renewed["renewed"]), renewed["lost"]) == (sorted(ids), [999])
    assert renewed["expires"] > time.time() and renewed["live"]["items"] == 6
    assert sorted(client.post(f"{path}/renew").json()["renewed"]) == sorted(ids)
    assert client.post(f"{path}/release", json={"assignment_ids": ids[:1]}).json() == {"released": 1}
    assert client.post(f"{path}/renew", json={"assignment_ids": ids}).json()["lost"] == ids[:1]


def test_an_image_is_served_and_made_smaller_on_request(client: TestClient, small: SmallProject):
    path = f"/api/v1/items/{small.items[0]}/media"
    full, tiny, same = client.get(path), client.get(path, params={"size": 50}), client.get(path, params={"size": 4096})
    sizes = [Image.open(BytesIO(answer.content)).size for answer in (full, tiny, same)]
    assert sizes == [(100, 50), (64, 32), (100, 50)]
    assert full.headers["content-type"] == "image/png"
    assert (
        "private" in full.headers["cache-control"] and "default-src 'none'" in full.headers["content-security-policy"]
    )
    assert client.get(path, params={"size": 50}).content == tiny.content
    assert refusal(client.get(path, params={"size": 1}), 422)


def test_an_item_without_an_image_says_so(client: TestClient, small: SmallProject):
    assert "no image" in refusal(client.get(f"/api/v1/items/{small.items[1]}/media"), 404)


@pytest.mark.parametrize("query", ["", "?size=64"])
def test_an_image_whose_file_is_gone_says_so(client: TestClient, small: SmallProject, query: str):
    small.workspace.media("ab" * 32).unlink()
    assert refusal(client.get(f"/api/v1/items/{small.items[0]}/media{query}"), 404)


def test_an_export_is_a_download_in_either_format(client: TestClient, small: SmallProject):
    (leased,) = claim(client, small)
    given = label(leased, small.classes[0])
    submit(client, given)
    path = f"/api/v1/projects/{small.id}/export"
    lines = client.get(path, params={"format": "jsonl"})
    assert json.loads(lines.text)["event_id"] == given["event_id"]
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert lines.headers["content-disposition"] == 'attachment; filename="animals.jsonl"'
    cells = client.get(path)
    assert [row["event_id"] for row in csv.DictReader(io.StringIO(cells.text))] == [given["event_id"]]
    assert cells.headers["content-type"] == "text/csv; charset=utf-8"
    assert "csv, jsonl" in refusal(client.get(path, params={"format": "exe"}), 422)


def test_what_is_not_there_is_404_and_what_is_not_yours_too(connect: Any, small: SmallProject):
    stranger = connect("mallory")
    with writing(small.workspace.engine) as session:
        mallory = session.exec(select(User.id).where(User.name == "mallory")).one()
        session.delete(session.get_one(Membership, (small.id, mallory)))
    for path in ("", "/queue", "/export"):
        hidden = refusal(stranger.get(f"/api/v1/projects/{small.id}{path}"), 404)
        assert hidden.replace(str(small.id), "999") == refusal(stranger.get(f"/api/v1/projects/999{path}"), 404)
    for write in ("claims", "leases/renew", "leases/release"):
        assert refusal(stranger.post(f"/api/v1/projects/{small.id}/{write}", json={}), 404)
    assert refusal(stranger.get(f"/api/v1/items/{small.items[0]}/media"), 404)
    assert stranger.get("/api/v1/projects").json() == {"projects": []}


def test_a_weaker_role_is_403_with_the_role_it_needs(connect: Any, small: SmallProject):
    annotator = connect("animals person 0")
    assert "expert" in refusal(annotator.get(f"/api/v1/projects/{small.id}/export"), 403)


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("projects", {}, "name"),
        ("projects", {"name": "animals"}, "already there"),
        ("projects", {"name": "x", "classes": ["a", "a"]}, "“a”"),
        ("projects", {"name": "x", "settings": {"overlap": 0}}, "overlap"),
        ("projects", {"name": "\ud800"}, "name"),
        ("projects", [], "body"),
        ("projects/{id}/claims", {"count": 0}, "1 and 200"),
        ("projects/{id}/claims", {"count": "many"}, "count"),
        ("projects/{id}/claims", {"client": "x" * 65}, "client"),
        ("projects/x/claims", {}, "project_id"),
        ("annotations", {"annotations": [{"event_id": "a b", "verdict": "skip"}]}, "event_id"),
        ("annotations", {"annotations": [{"verdict": "skip"}]}, "event_id"),
        ("annotations", {}, "annotations"),
    ],
)
def test_what_cannot_be_taken_is_422_and_names_the_field(
    client: TestClient, small: SmallProject, path: str, body: object, names: str
):
    answer = client.post(f"/api/v1/{path.format(id=small.id)}", content=json.dumps(body))
    assert names in refusal(answer, 422)


def test_a_body_that_is_no_json_is_told_so(client: TestClient):
    assert refusal(client.post("/api/v1/projects", content=b"{nonsense"), 422)


def test_numbers_beyond_any_database_are_refused_and_hurt_nobody_else(client: TestClient, small: SmallProject):
    for path in (f"projects/{HUGE}", f"projects/{HUGE}/queue", f"items/{HUGE}/media"):
        assert client.get(f"/api/v1/{path}").status_code in (404, 422), path
    for path, body in (("claims", {"release": [HUGE]}), ("leases/renew", {"assignment_ids": [HUGE]})):
        assert client.post(f"/api/v1/projects/{small.id}/{path}", json=body).status_code < 500, path
    (leased,) = claim(client, small)
    for huge in (label(leased, HUGE), {**label(leased, small.classes[0]), "assignment_id": HUGE}):
        answer = client.post("/api/v1/annotations", json={"annotations": [huge]})
        assert answer.status_code in (200, 422), huge


def test_half_of_an_emoji_in_a_note_hurts_nobody_else(client: TestClient, small: SmallProject):
    """A browser sends one where a text was cut in the middle of a character of two."""
    first, second = claim(client, small, 2)
    torn, good = label(first, small.classes[0], note="so \ud83d"), label(second, small.classes[0])
    answer = client.post("/api/v1/annotations", content=json.dumps({"annotations": [torn, good]}))
    assert answer.status_code in (200, 422), answer.text
    assert submit(client, good)[0]["status"] in ("saved", "repeated")


def test_an_undo_with_a_taken_event_id_is_refused_in_a_sentence(client: TestClient, small: SmallProject):
    (leased,) = claim(client, small)
    given = label(leased, small.classes[0])
    submit(client, given)
    answer = client.post(f"/api/v1/annotations/{given['event_id']}/undo", json={"event_id": given["event_id"]})
    assert answer.status_code in (200, 422), answer.text


def test_the_documented_routes_are_all_there(workspace: Workspace):
    documented = {
        ("get", "/projects"), ("post", "/projects"), ("get", "/projects/{project_id}"),
        ("post", "/projects/{project_id}/claims"), ("post", "/annotations"), ("post", "/annotations/{event_id}/undo"),
        ("post", "/projects/{project_id}/leases/renew"), ("get", "/projects/{project_id}/queue"),
        ("get", "/items/{item_id}/media"), ("get", "/projects/{project_id}/export"), ("get", "/health"),
    }  # fmt: skip
    paths = create_api(workspace).openapi()["paths"]
    assert documented <= {(method, path) for path, methods in paths.items() for method in methods}


def test_the_web_process_loads_neither_torch_nor_the_worker():
    code = (
        "import sys, labeling.web.server\n"
        "heavy = {'torch', 'open_clip', 'labeling.learning.worker'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"


def test_no_request_fits_a_model(client: TestClient, small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    from labeling.features import pixels
    from labeling.learning import head, training

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the web process does not do this")

    for place, name in (
        (head, "LogisticRegression"),
        (training, "fit_head"),
        (training, "rank_pool"),
        (pixels.Pixels, "encode"),
    ):
        monkeypatch.setattr(place, name, never)
    small.add_features(np.eye(6, dtype=np.float32))
    claims = claim(client, small, 4)
    submit(client, *(label(c, small.classes[i % 2]) for i, c in enumerate(claims)))
    for path in ("", "/queue", "/export"):
        assert client.get(f"/api/v1/projects/{small.id}{path}").status_code == 200
