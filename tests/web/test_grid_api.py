"""Screens over REST: leased, confirmed in one request, and taken back in one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from labeling.learning.screens import Screen
from labeling.web.routes.grid import ScreenView
from tests.db.small_project import SmallProject, new_event
from tests.web.conftest import Connect, TestClient

ITEMS = 24


@pytest.fixture
def small(small: SmallProject) -> SmallProject:
    """With a model that has seen one item of each class."""
    small = replace(small, items=small.items + small.add_items(ITEMS - 6))
    small.add_features(np.where(np.arange(ITEMS) % 2, 3, -3)[:, None].astype(np.float32))
    for row in (0, 1):
        small.answer(small.people[0], small.items[row], small.classes[row])
    small.learn()
    return small


def post(client: TestClient, path: str, body: object, status: int = 200) -> Any:
    answer = client.post(f"/api/v1{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_screen_is_leased_confirmed_and_taken_back(client: TestClient, small: SmallProject):
    screen = post(client, f"/projects/{small.id}/screens", {"class_id": small.classes[0], "count": 5, "client": "tab"})
    assert set(screen) == {*ScreenView.model_fields} and {*Screen.model_fields} < {*ScreenView.model_fields}
    assert len(screen["claims"]) == 5 and screen["live"]["model_version"] == screen["model_version"] == 1
    given = [
        {
            "event_id": new_event(), "assignment_id": claim["assignment_id"], "token": claim["token"],
            "verdict": "label", "class_id": small.classes[0], "batch": "screen-1",
        }
        for claim in screen["claims"]
    ]  # fmt: skip
    outcomes = post(client, "/annotations", {"annotations": given})["annotations"]
    assert {outcome["status"] for outcome in outcomes} == {"saved"}
    undone = post(client, "/annotations/batches/screen-1/undo", {"client": "tab"})
    assert undone["status"] == "undone" and undone["live"]["labels"] == 2
    assert [c["item"]["id"] for c in undone["claims"]] == [c["item"]["id"] for c in screen["claims"]]
    again = post(client, "/annotations/batches/screen-1/undo", {})
    assert again["status"] == "repeated" and again["claims"] == undone["claims"]


def test_what_is_left_out_or_given_back_is_not_in_the_way(client: TestClient, small: SmallProject):
    path = f"/projects/{small.id}/screens"
    first = post(client, path, {"class_id": small.classes[0], "count": 2, "client": "tab"})["claims"]
    left, back = first
    ask = {
        "class_id": small.classes[0], "count": 2, "client": "tab", "without": [left["item"]["id"]],
        "release": [back["assignment_id"]],
    }  # fmt: skip
    assert post(client, path, ask)["claims"][0]["item"]["id"] == back["item"]["id"]
    resumed = post(client, path, {"class_id": small.classes[0], "count": 2, "client": "tab", "resume": True})
    assert [c["item"]["id"] for c in resumed["claims"]] == [c["item"]["id"] for c in first]


def test_refusals_are_one_sentence(client: TestClient, connect: Connect, small: SmallProject):
    path = f"/projects/{small.id}/screens"
    for body, status in (({"count": 0}, 422), ({"class_id": 999}, 422), ({"class_id": -1}, 422), ({"count": "x"}, 422)):
        assert post(client, path, body, status)["detail"].endswith(".")
    assert post(client, "/projects/999/screens", {}, 404)["detail"].endswith(".")
    assert post(client, "/annotations/batches/none/undo", {}, 404)["detail"].endswith(".")
    assert post(connect("another"), f"/projects/{small.id}/screens", {"count": 1})["claims"]


def test_the_nearest_of_an_item_are_leased_and_listed(client: TestClient, small: SmallProject):
    path = f"/projects/{small.id}/find"
    screen = post(client, path, {"item_id": small.items[3], "count": 6, "client": "tab"})
    assert set(screen) == {*ScreenView.model_fields} and screen["like"] == f"{small.id}-0003"
    assert {c["item"]["id"] for c in screen["claims"]} <= set(small.items[1::2]) and len(screen["claims"]) == 6
    assert screen["class_id"] == small.classes[1] and screen["live"]["model_version"] == 1
    again = post(client, path, {"item_id": small.items[3], "count": 6, "client": "tab", "resume": True})
    assert [c["item"]["id"] for c in again["claims"]] == [c["item"]["id"] for c in screen["claims"]]
    found = client.get(f"/api/v1{path}?item_id={small.items[3]}&count={ITEMS // 2}").json()["items"]
    assert {item["id"] for item in found} == set(small.items[1::2])
    assert {item["id"]: item["label"] for item in found if item["label"]} == {small.items[1]: "dog"}
    assert found[0].keys() == {"id", "external_id", "score", "label"}


def test_what_cannot_be_found_is_one_sentence(client: TestClient, small: SmallProject):
    path = f"/projects/{small.id}/find"
    both = {"text": "a", "item_id": small.items[0]}
    for body in ({}, both, {"text": "a red bus"}, {"text": 3}, {"item_id": small.items[0], "count": 0}):
        assert post(client, path, body, 422)["detail"].endswith(".")
    assert post(client, path, {"item_id": 999}, 404)["detail"].endswith(".")
    for query, status in (("", 422), ("?text=a%20red%20bus", 422), ("?item_id=999", 404), ("?item_id=1&count=0", 422)):
        answer = client.get(f"/api/v1{path}{query}")
        assert answer.status_code == status and answer.json()["detail"].endswith(".")
