"""Insights over REST."""

import pytest
from starlette.testclient import TestClient

from tests.db.small_project import SmallProject
from tests.web.conftest import Connect


def test_insights_are_what_the_page_reads(client: TestClient, small: SmallProject) -> None:
    small.answer(small.people[0], small.items[0])
    seen = client.get(f"/api/v1/projects/{small.id}/insights").json()
    assert seen["progress"]["answers"] == 1
    assert [c["labels"] for c in seen["classes"]["classes"]] == [1, 0]
    assert [p["name"] for p in seen["people"]["people"]] == ["animals person 0"]
    assert seen["progress"]["outlook"]["told"] == "too few"


def test_the_items_behind_a_figure_are_named_by_its_kind(client: TestClient, small: SmallProject) -> None:
    small.answer(small.people[0], small.items[0])
    path = f"/api/v1/projects/{small.id}/insights/items"
    found = client.get(path, params={"kind": "class", "class_id": small.classes[0], "limit": 5}).json()
    assert found["total"] == 1
    assert found["items"][0]["media_url"] == f"/api/v1/items/{small.items[0]}/media"
    assert found["items"][0]["answers"][0]["person"] == "animals person 0"
    assert client.get(path, params={"kind": "by", "user_id": small.people[1]}).json()["total"] == 0


@pytest.mark.parametrize(
    "query",
    ["", "kind=colour", "kind=by", "kind=by&user_id=x", "kind=by&user_id=1&more=2", f"kind=by&user_id={10**20}"],
)  # fmt: skip
def test_a_figure_that_there_is_not_is_one_sentence(client: TestClient, small: SmallProject, query: str) -> None:
    answer = client.get(f"/api/v1/projects/{small.id}/insights/items?{query}")
    assert answer.status_code == 422
    assert "cannot be taken" in answer.json()["detail"]


def test_an_annotator_gets_their_own_items_only(connect: Connect, small: SmallProject) -> None:
    small.answer(small.people[0], small.items[0])
    other = connect("animals person 1")
    items = f"/api/v1/projects/{small.id}/insights/items"
    found = other.get(items, params={"kind": "class", "class_id": small.classes[0]})
    assert found.json() == {"items": [], "total": 0, "hidden": 1}
    assert other.get(items, params={"kind": "by", "user_id": small.people[0]}).status_code == 403
