"""The history of a project and of an item over REST."""

from typing import Any

from labeling.annotation.item_history import GivenOnce
from labeling.audit_log import Told
from labeling.classes import class_changes, edit_class
from labeling.db.schema import Role
from tests.annotation.expert import give_role
from tests.db.small_project import SmallProject
from tests.web.conftest import Connect, TestClient


def get(client: TestClient, path: str, status: int = 200) -> Any:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


def test_what_happened_is_told_page_by_page(client: TestClient, small: SmallProject):
    for name in ("feline", "pet"):
        edit_class(small.workspace, small.owner, small.classes[0], class_changes(name=name))
    first = get(client, f"/projects/{small.id}/history?limit=2")
    assert [set(event) for event in first["events"]] == [{*Told.model_fields}] * 2
    assert first["events"][0]["sentence"] == "The class “feline” was renamed “pet”."
    second = get(client, f"/projects/{small.id}/history?before={first['earlier']}")
    assert [event["kind"] for event in second["events"]] == ["project created"] and second["earlier"] is None


def test_what_was_said_of_an_item_is_told(client: TestClient, small: SmallProject):
    event = small.answer(small.people[0], small.items[0])
    (given,) = get(client, f"/projects/{small.id}/items/{small.items[0]}/history")["annotations"]
    assert set(given) == {*GivenOnce.model_fields}
    assert (given["event_id"], given["person"], given["class_name"]) == (event, "animals person 0", "cat")


def test_each_is_for_its_role(connect: Connect, small: SmallProject):
    ann = connect("animals person 0")
    of_project, of_item = f"/projects/{small.id}/history", f"/projects/{small.id}/items/{small.items[0]}/history"
    assert get(ann, of_project, 403)["detail"].endswith(".") and get(ann, of_item, 403)["detail"].endswith(".")
    give_role(small, small.people[0], Role.EXPERT)
    get(ann, of_project, 403)
    get(ann, of_item)


def test_what_cannot_be_asked_for_is_one_sentence(client: TestClient, small: SmallProject):
    for query in ("limit=0", "limit=1001", "before=-1", "before=yesterday"):
        assert get(client, f"/projects/{small.id}/history?{query}", 422)["detail"].endswith(".")
    assert get(client, f"/projects/{small.id}/items/999/history", 404)["detail"].endswith(".")
