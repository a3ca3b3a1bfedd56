"""Review over REST: what waits, decisions, threads, gold items and guidelines."""

from typing import Any

import pytest

from labeling.annotation.review import ReviewItem
from labeling.db.schema import Role
from labeling.projects import update_settings
from labeling.users import issue_token
from labeling.web.routes.review import ReviewView
from labeling.workspace import Workspace
from tests.annotation.expert import give_role
from tests.db.small_project import SmallProject, new_event
from tests.web.conftest import Connect, TestClient


@pytest.fixture
def small(workspace: Workspace, small: SmallProject) -> SmallProject:
    """Two people disagree on its first item."""
    update_settings(workspace, small.owner, small.id, {"overlap": 2, "gold_share": 0.0})
    for person, class_id in zip(small.people, small.classes, strict=True):
        small.answer(person, small.items[0], class_id, note="I am sure")
    return small


def post(client: TestClient, path: str, body: object, status: int = 200) -> Any:
    answer = client.post(f"/api/v1{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def get(client: TestClient, path: str, status: int = 200) -> Any:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


def decision(small: SmallProject, **more: object) -> dict[str, object]:
    return {"event_id": new_event(), "item_id": small.items[0], "class_id": small.classes[1], **more}


def test_what_waits_is_told_in_full_and_settled(client: TestClient, small: SmallProject):
    found = get(client, f"/projects/{small.id}/review")
    assert set(found) == {*ReviewView.model_fields}
    (item,) = found["items"]
    assert set(item) == {*ReviewItem.model_fields}
    assert (item["item_id"], item["causes"], item["media_url"]) == (
        small.items[0], ["disagreement"], f"/api/v1/items/{small.items[0]}/media",
    )  # fmt: skip
    assert [opinion["note"] for opinion in item["opinions"]] == ["I am sure"] * 2
    given = decision(small, seconds=1.2, gold=True)
    saved = post(client, f"/projects/{small.id}/decisions", {"decisions": [given]})
    assert [outcome["status"] for outcome in saved["decisions"]] == ["saved"]
    assert saved["live"]["items"] == len(small.items)
    again = post(client, f"/projects/{small.id}/decisions", {"decisions": [given]})
    assert [outcome["status"] for outcome in again["decisions"]] == ["repeated"]
    assert get(client, f"/projects/{small.id}/review")["waiting"] == 0
    (settled,) = get(client, f"/projects/{small.id}/review?decided=true")["items"]
    assert settled["gold"] and settled["label"]["source"] == "adjudicated"
    assert settled["decision"]["event_id"] == given["event_id"] and settled["decision"]["mine"]
    undone = post(client, f"/annotations/{given['event_id']}/undo", {})
    assert undone["status"] == "undone" and undone["claim"] is None
    assert get(client, f"/projects/{small.id}/review?cause=disagreement")["total"] == 1
    assert get(client, f"/projects/{small.id}/review?cause=unsure")["total"] == 0


def test_one_item_is_told_like_those_that_wait(client: TestClient, small: SmallProject):
    alone = get(client, f"/projects/{small.id}/items/{small.items[0]}/review")
    assert alone == get(client, f"/projects/{small.id}/review")["items"][0]
    assert get(client, f"/projects/{small.id}/items/{small.items[1]}/review")["causes"] == []


def test_a_thread_is_written_and_an_item_sent_back(client: TestClient, connect: Connect, small: SmallProject):
    (item,) = get(client, f"/projects/{small.id}/review")["items"]
    event = new_event()
    back = {"event_id": event, "item_id": small.items[0], "text": "Look again."}
    back["return_to"] = [opinion["event_id"] for opinion in item["opinions"]][:1]
    said = post(client, f"/projects/{small.id}/remarks", {"remarks": [back]})["remarks"]
    assert [(each["event_id"], each["returned_to"]) for each in said] == [(event, "animals person 0")]
    assert post(client, f"/projects/{small.id}/remarks", {"remarks": [back]})["remarks"] == said
    assert get(client, f"/projects/{small.id}/review?sent_back=true")["sent_back"] == 1
    person = connect("animals person 0")
    (claim,) = post(person, f"/projects/{small.id}/claims", {"count": 1})["claims"]
    assert (claim["reason"], claim["item"]["id"]) == ("review", small.items[0]) and "Look again." in claim["why"]
    thread = get(person, f"/projects/{small.id}/items/{small.items[0]}/thread")["remarks"]
    assert [each["text"] for each in thread] == ["Look again."]
    get(connect("animals person 1"), f"/projects/{small.id}/items/{small.items[1]}/thread", 404)


def test_gold_items_are_made_of_what_was_decided(client: TestClient, small: SmallProject):
    path = f"/projects/{small.id}/gold"
    assert post(client, path, {"item_ids": [small.items[0]]}, 422)["detail"].endswith("decide on it first.")
    post(client, f"/projects/{small.id}/decisions", {"decisions": [decision(small)]})
    assert post(client, path, {"item_ids": [small.items[0]]}) == {"changed": 1}
    assert post(client, path, {"item_ids": [small.items[0]], "gold": False}) == {"changed": 1}


def test_experts_change_the_guidelines_and_open_pages_hear_of_it(
    client: TestClient, connect: Connect, small: SmallProject
):
    path = f"/projects/{small.id}/guidelines"
    before = get(client, f"/projects/{small.id}")["schema_version"]
    give_role(small, small.people[0], Role.EXPERT)
    expert, annotator = connect("animals person 0"), connect("animals person 1")
    told = post(expert, path, {"guidelines": "Mind the ears."})
    assert told == {"guidelines": "Mind the ears.", "schema_version": before + 1}
    assert post(expert, path, {"guidelines": "Mind the ears."})["schema_version"] == before + 1
    shown = get(annotator, f"/projects/{small.id}")
    assert (shown["guidelines"], shown["live"]["schema_version"]) == ("Mind the ears.", before + 1)
    assert post(annotator, path, {"guidelines": "None."}, 403)["detail"].endswith(".")
    assert post(expert, path, {"guidelines": "x" * 20_001}, 422)["detail"].endswith(".")


def test_somebody_elses_new_guidelines_are_not_overwritten(client: TestClient, connect: Connect, small: SmallProject):
    path = f"/projects/{small.id}/guidelines"
    give_role(small, small.people[0], Role.EXPERT)
    expert = connect("animals person 0")
    before = get(client, f"/projects/{small.id}")["guidelines"]
    first = post(client, path, {"guidelines": "Mind the ears.", "before": before})
    assert post(client, path, {"guidelines": "Mind the ears.", "before": before}) == first  # sent twice
    late = post(expert, path, {"guidelines": "Mind the tail.", "before": before}, 400)
    assert "meanwhile" in late["detail"] and late["detail"].endswith(".")
    assert get(client, f"/projects/{small.id}")["guidelines"] == "Mind the ears."
    told = post(expert, path, {"guidelines": "Mind both.", "before": "Mind the ears."})
    assert told == {"guidelines": "Mind both.", "schema_version": first["schema_version"] + 1}


def test_a_decision_that_somebody_overtook_is_refused_with_who_and_what(
    client: TestClient, connect: Connect, small: SmallProject
):
    path = f"/projects/{small.id}/decisions"
    give_role(small, small.people[0], Role.EXPERT)
    post(connect("animals person 0"), path, {"decisions": [decision(small, seen=None)]})
    (late,) = post(client, path, {"decisions": [decision(small, seen=None)]})["decisions"]
    assert late["status"] == "refused"
    assert late["why"] == "animals person 0 decided on this item meanwhile: “dog”. Look at it again."
    (shown,) = get(client, f"/projects/{small.id}/review?decided=true")["items"]
    seen = shown["decision"]["event_id"]
    (outcome,) = post(client, path, {"decisions": [decision(small, seen=seen)]})["decisions"]
    assert outcome["status"] == "saved"


def test_an_annotator_and_a_stranger_are_refused_in_one_sentence(
    connect: Connect, workspace: Workspace, small: SmallProject
):
    annotator = connect("animals person 0")
    here = f"/projects/{small.id}"
    for path in (f"{here}/review", f"{here}/items/{small.items[0]}/review"):
        assert get(annotator, path, 403)["detail"].endswith(".")
        assert get(annotator, path.replace(here, "/projects/999"), 404)["detail"].endswith(".")
    assert post(annotator, f"{here}/decisions", {"decisions": [decision(small)]}, 403)["detail"].endswith(".")
    assert post(annotator, f"{here}/gold", {"item_ids": [small.items[0]]}, 403)["detail"].endswith(".")
    issue_token(workspace, "somebody")  # a member, who has answered nothing
    get(connect("somebody"), f"{here}/items/{small.items[0]}/thread", 404)


def test_what_cannot_be_asked_for_is_one_sentence(client: TestClient, small: SmallProject):
    for query in ("limit=0", "limit=101", "offset=-1", "cause=boredom"):
        assert get(client, f"/projects/{small.id}/review?{query}", 422)["detail"].endswith(".")
    wrong = decision(small, verdict="skip")
    assert post(client, f"/projects/{small.id}/decisions", {"decisions": [wrong]}, 422)["detail"].endswith(".")
    empty = {"event_id": new_event(), "item_id": small.items[0], "text": " "}
    assert post(client, f"/projects/{small.id}/remarks", {"remarks": [empty]}, 422)["detail"].endswith(".")
