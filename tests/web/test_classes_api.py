"""Classes, settings and near-duplicates over REST: each route, and every refusal in one sentence."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from labeling.intake.near_duplicates import link_near_duplicates
from tests.db.small_project import SmallProject, new_event
from tests.web.conftest import Connect


def names(client: TestClient, small: SmallProject) -> list[str]:
    return [c["name"] for c in client.get(f"/api/v1/projects/{small.id}").json()["classes"]]


def post(client: TestClient, path: str, body: Any = None, status: int = 200) -> Any:
    answer = client.post(f"/api/v1{path}", json=body if body is not None else {})
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_class_is_added_edited_and_listed(client: TestClient, small: SmallProject):
    new = {"name": "owl", "key": "o", "colour": "#0F766E", "description": "round", "examples": [small.items[0]],
           "prompts": [" an owl ", "a bird by night", "an owl", ""]}  # fmt: skip
    made = post(client, f"/projects/{small.id}/classes", new, 201)
    assert made == {
        "id": made["id"], "name": "owl", "key": "o", "description": "round", "colour": "#0f766e",
        "examples": [small.items[0]], "prompts": ["an owl", "a bird by night"],
        "retired": False, "merged_into": None, "split": False, "part_of": None, "labels": 0,
    }  # fmt: skip
    answer = client.patch(
        f"/api/v1/classes/{made['id']}", json={"name": "owls", "key": "1", "take_key": True, "prompts": []}
    )
    assert answer.status_code == 200 and answer.json()["prompts"] == []
    listed = client.get(f"/api/v1/projects/{small.id}/classes").json()["classes"]
    assert [(c["name"], c["key"]) for c in listed] == [("cat", None), ("dog", "2"), ("owls", "1")]


def test_classes_are_ordered_merged_retired_and_brought_back(client: TestClient, small: SmallProject):
    cat, dog = small.classes
    assert [c["id"] for c in post(client, f"/projects/{small.id}/classes/order", {"class_ids": [dog]})["classes"]] == [
        dog, cat,
    ]  # fmt: skip
    small.answer(small.people[0], small.items[0], cat)
    assert post(client, f"/classes/{cat}/merge", {"into": dog})["labels"] == 1
    assert names(client, small) == ["dog"]
    assert post(client, f"/classes/{cat}/restore")["labels"] == 1
    assert post(client, f"/classes/{dog}/retire")["retired"] is True
    assert names(client, small) == ["cat"]
    post(client, f"/classes/{dog}/restore")
    assert names(client, small) == ["dog", "cat"]


def test_pages_that_are_open_see_by_the_version_that_classes_changed(client: TestClient, small: SmallProject):
    claims = f"/projects/{small.id}/claims"
    before = post(client, claims, {"count": 1})
    post(client, f"/projects/{small.id}/classes", {"name": "owl"}, 201)
    lease = before["claims"][0]
    given = {
        "event_id": new_event(), "assignment_id": lease["assignment_id"], "token": lease["token"], "verdict": "skip",
    }  # fmt: skip
    project = client.get(f"/api/v1/projects/{small.id}").json()
    assert post(client, "/annotations", {"annotations": [given]})["annotations"][0]["status"] == "saved"
    assert project["live"]["schema_version"] == before["live"]["schema_version"] + 1


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/projects/{project}/classes", {"name": "cat"}, "There is a class “cat” already; choose another name."),
        ("/projects/{project}/classes", {"name": ""}, "A class needs a name."),
        ("/projects/{project}/classes", {"name": "x", "colour": "red"}, "as in #0f766e."),
        ("/projects/{project}/classes", {"name": "x", "prompts": ["y" * 501]}, "at most 500 characters"),
        ("/projects/{project}/classes", {"name": "x", "prompts": ["y"] * 21}, "prompts cannot be taken"),
        ("/projects/{project}/classes", {"name": "x", "shape": "round"}, "shape cannot be taken"),
        ("/projects/{project}/classes/order", {"class_ids": [10**30]}, "class_ids.0 cannot be taken"),
        ("/projects/{project}/classes/order", {"class_ids": [9999]}, "at most once, and no other."),
        ("/classes/{cat}/merge", {"into": 9999}, "There is no class 9999"),
        ("/classes/{cat}/merge", {}, "into cannot be taken"),
        ("/classes/9999/retire", {}, "There is no class 9999"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    client: TestClient, small: SmallProject, path: str, body: dict[str, object], sentence: str
):
    answer = client.post(f"/api/v1{path.format(project=small.id, cat=small.classes[0])}", json=body)
    assert answer.status_code in (404, 422) and set(answer.json()) == {"detail"}
    assert sentence in answer.json()["detail"]
    assert names(client, small) == ["cat", "dog"]


def test_an_annotator_reads_classes_and_changes_none(connect: Connect, small: SmallProject):
    annotator = connect(user="animals person 0")
    assert len(annotator.get(f"/api/v1/projects/{small.id}/classes").json()["classes"]) == 2
    for answer in (
        annotator.patch(f"/api/v1/classes/{small.classes[0]}", json={"name": "x"}),
        annotator.post(f"/api/v1/classes/{small.classes[0]}/retire", json={}),
        annotator.patch(f"/api/v1/projects/{small.id}/settings", json={"overlap": 2}),
    ):
        assert answer.status_code == 403 and "owner" in answer.json()["detail"]


def test_settings_and_guidelines_change_one_by_one(client: TestClient, small: SmallProject):
    path = f"/api/v1/projects/{small.id}/settings"
    changed = client.patch(path, json={"overlap": 2, "guidelines": " Look twice. "}).json()
    assert (changed["settings"]["overlap"], changed["guidelines"]) == (2, "Look twice.")
    assert client.patch(path, json={"near_duplicates": "once"}).json()["settings"]["overlap"] == 2
    for wrong, sentence in (
        ({"strategy": "crystal ball"}, "there are: adaptive"), ({"encoder": "clap"}, "there are: auto"),
        ({"overlap": 0}, "“overlap”"), ({"guidelines": 3}, "Guidelines are a text"),
        ({"guidelines": "x" * 20_001}, "at most 20,000"), ({"templates": ["a photo"]}, "where the class name goes"),
        ({"encoder": "hog:somewhere"}, "there are: auto"),
    ):  # fmt: skip
        answer = client.patch(path, json=wrong)
        assert answer.status_code == 422 and sentence in answer.json()["detail"]
    assert client.get(f"/api/v1/projects/{small.id}").json()["settings"]["strategy"] == "random"


def test_near_duplicates_are_shown_in_groups(client: TestClient, small: SmallProject):
    story = "the pump in the northern hall rattled again this morning and nobody came to look at it"
    first, second = small.add_items(1, text=story) + small.add_items(1, text=story.upper() + "!", content_hash="x")
    link_near_duplicates(small.workspace, small.id)
    found = client.get(f"/api/v1/projects/{small.id}/near-duplicates").json()
    assert (found["items"], found["groups"], found["looked_at"]) == (2, 1, 8)
    assert [member["item_id"] for member in found["shown"][0]["members"]] == [first, second]
    assert client.get(f"/api/v1/projects/{small.id}/near-duplicates?limit=0").json()["shown"] == []
