"""Deny by default, at every door there is: those that are added later are found and tried like the others."""

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

import labeling.annotation
import labeling.assurance
import labeling.delivery
import labeling.features
import labeling.intake
import labeling.learning
from labeling import audit_log, classes, jobs, projects
from labeling.annotation.adjudication import Decision
from labeling.annotation.answers import Answer
from labeling.annotation.threads import Remark
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, JobKind, Membership, Role
from labeling.errors import AskwiseError, Invalid, NotAllowed, NotFound
from labeling.intake import import_job, inbox
from labeling.intake.records import Source
from labeling.learning import behind
from labeling.learning.simulation_job import Plan
from labeling.users import issue_token, local_user
from labeling.web.api import create_api
from labeling.web.auth import NameTheActor
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user, answer_to, new_event

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have the successor of httpx
    from starlette.testclient import TestClient

# They name no project.
OPEN_TO_ANY_USER = {"create_project", "list_projects", "find_project", "request_digits", "roles"}
REFUSALS = (NotFound, NotAllowed)
BATCH = "screen-1"


def modules(package: Any) -> Iterator[Any]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def doors() -> dict[str, Callable[..., Any]]:
    """Public functions of a workspace and the acting user; those of a session have a caller that asked already."""
    packages = (
        labeling.annotation, labeling.assurance, labeling.delivery, labeling.features, labeling.intake,
        labeling.learning,
    )  # fmt: skip
    places = [projects, classes, jobs, audit_log, *(module for package in packages for module in modules(package))]
    return {
        f"{place.__name__}.{name}": function
        for place in places
        for name, function in inspect.getmembers(place, inspect.isfunction)
        if function.__module__ == place.__name__ and not name.startswith("_") and name not in OPEN_TO_ANY_USER
        and {"workspace", "actor_id"} <= set(inspect.signature(function).parameters)
    }  # fmt: skip


DOORS = doors()


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    """A project at work: an answer, a lease, an image, and something that would be imported."""
    made = SmallProject.make(workspace)
    made.answer(made.people[0], made.items[0], batch=BATCH)
    (workspace.root / "pictures").mkdir()
    image = workspace.media("ab" * 32)
    image.parent.mkdir(parents=True)
    image.write_bytes(b"\x89PNG")
    with writing(workspace.engine) as session:
        session.get_one(Item, made.items[0]).media = "ab" * 32
    return made


@pytest.fixture
def sent(small: SmallProject) -> dict[str, object]:
    """What somebody who knows every number and secret of the project but is no member would send."""
    lease = small.lease(small.people[0], small.items[1])
    with reading(small.workspace.engine) as session:
        event = session.connection().execute(text("SELECT id FROM annotation")).scalar_one()
    with inbox.begin_upload(small.workspace, small.owner, small.id) as upload:
        upload.write(b"text")
    job_id = import_job.request_import(small.workspace, small.owner, small.id, small.workspace.root / "pictures")
    correction = Answer(event_id=new_event(), supersedes=event, verdict="label", class_id=small.classes[1])
    return {
        "workspace": small.workspace, "project_id": small.id, "item_id": small.items[0], "count": 1,
        "event_id": event, "batch": BATCH, "answers": [answer_to(lease, small.classes[0]), correction],
        "assignment_ids": [lease.assignment_id], "release": [lease.assignment_id], "format": "csv",
        "folder": small.workspace.root / "exports",
        "changes": {"overlap": 2}, "files": [], "path": small.workspace.root / "pictures",
        "source": Source("image", [], 0), "upload": upload.id, "job_id": job_id,
        "which": behind.OfClass(class_id=small.classes[0]), "number": 1,
        "class_id": small.classes[0], "into": small.classes[1], "class_ids": small.classes[::-1],
        "name_or_id": f"{small.id}-0000",
        "texts": {small.classes[0]: ["a cat"]},
        "decisions": [Decision(event_id=new_event(), item_id=small.items[0], class_id=small.classes[1])],
        "remarks": [Remark(event_id=new_event(), item_id=small.items[0], text="why?")],
        "item_ids": list(small.items[:1]), "parts": ["black cat", "white cat"], "guidelines": "none",
        "kind": JobKind.TRAIN, "oracle": "labels", "plan": Plan(strategies=["random"]),
        "user_id": small.people[0], "name": "animals person 1", "role": Role.OWNER,
    }  # fmt: skip


def contents(workspace: Workspace) -> dict[str, list[Any]]:
    """Every row of every table."""
    with reading(workspace.engine) as session:
        connection = session.connection()
        tables = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        return {table: list(connection.execute(text(f'SELECT * FROM "{table}"')).all()) for table in tables}


def try_door(function: Callable[..., Any], actor: int, sent: dict[str, object]) -> Any:
    needed = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty or name == "assignment_ids"
    ]
    unknown = set(needed) - {"actor_id"} - set(sent)
    assert not unknown, f"say in `sent` what a stranger would give as {unknown}"
    return function(**{name: actor if name == "actor_id" else sent[name] for name in needed})


def is_refused(function: Callable[..., Any], actor: int, sent: dict[str, object]) -> bool:
    try:
        outcome = try_door(function, actor, sent)
    except REFUSALS:
        return True
    return isinstance(outcome, list) and bool(outcome) and {getattr(o, "status", "") for o in outcome} == {"refused"}


def test_the_doors_that_we_know_of_are_among_those_tried():
    known = {
        "labeling.annotation.queue.claim", "labeling.annotation.queue.renew", "labeling.annotation.queue.release",
        "labeling.annotation.queue.upcoming", "labeling.annotation.answers.submit", "labeling.annotation.answers.undo",
        "labeling.delivery.exports.export_stream", "labeling.delivery.media.media_file",
        "labeling.projects.update_settings",
    }  # fmt: skip
    assert known <= set(DOORS)


@pytest.mark.parametrize("door", DOORS)
def test_a_stranger_is_refused_and_changes_nothing(small: SmallProject, sent: dict[str, object], door: str):
    stranger = add_user(small.workspace, "mallory")
    before = contents(small.workspace)
    assert is_refused(DOORS[door], stranger, sent)
    assert contents(small.workspace) == before


@pytest.mark.parametrize("door", DOORS)
def test_somebody_who_left_is_a_stranger(small: SmallProject, sent: dict[str, object], door: str):
    gone = small.people[0]
    with writing(small.workspace.engine) as session:
        session.delete(session.get_one(Membership, (small.id, gone)))
    before = contents(small.workspace)
    assert is_refused(DOORS[door], gone, sent)
    assert contents(small.workspace) == before


@pytest.mark.parametrize("door", DOORS)
def test_a_user_that_does_not_exist_is_a_stranger(small: SmallProject, sent: dict[str, object], door: str):
    before = contents(small.workspace)
    assert is_refused(DOORS[door], 999_999, sent)
    assert contents(small.workspace) == before


@pytest.mark.parametrize("door", DOORS)
def test_another_annotator_cannot_act_on_what_is_somebody_elses(
    small: SmallProject, sent: dict[str, object], door: str
):
    """Leases and answers belong to a person, not to the project."""
    other = small.people[1]
    owned = ("annotation", "label")
    before = contents(small.workspace)
    mine = [row for row in before["assignment"] if row.user_id == small.people[0]]
    with suppress(AskwiseError):
        try_door(DOORS[door], other, sent)
    after = contents(small.workspace)
    assert {table: after[table] for table in owned} == {table: before[table] for table in owned}
    assert [row for row in after["assignment"] if row.user_id == small.people[0]] == mine


@pytest.fixture
def app(workspace: Workspace) -> Starlette:
    local_user(workspace)  # known from the first request on
    return Starlette(
        routes=[Mount("/api/v1", app=create_api(workspace))],
        middleware=[Middleware(NameTheActor, workspace=workspace)],
    )


def every_request(workspace: Workspace, small: SmallProject, sent: dict[str, object]) -> Iterator[tuple[str, str]]:
    """Method and path of every route that the API has."""
    numbers = {
        "project_id": small.id, "item_id": small.items[0], "event_id": sent["event_id"], "job_id": sent["job_id"],
        "batch": BATCH, "class_id": small.classes[0], "user_id": small.people[0], "invitation_id": 1,
    }  # fmt: skip
    for route in create_api(workspace).routes:
        path = getattr(route, "path", "")
        methods = getattr(route, "methods", None) or {"GET"}
        for method in methods - {"HEAD"}:
            yield method, "/api/v1" + path.format(**numbers)


def needed_body(small: SmallProject, path: str) -> dict[str, object]:
    """What a write to this path cannot do without: one that cannot be understood would be refused to anybody."""
    bodies: dict[str, dict[str, object]] = {
        "merge": {"into": small.classes[1]}, "members": {"name": "animals person 1"}, "split": {"parts": ["a", "b"]},
        "decisions": {"decisions": []}, "remarks": {"remarks": []}, "gold": {"item_ids": []},
        "guidelines": {"guidelines": "none"},
    }  # fmt: skip
    return bodies.get(path.rpartition("/")[2], {})


def test_no_route_answers_somebody_elsewhere_without_a_token(
    app: Starlette, small: SmallProject, sent: dict[str, object]
):
    headers = {"X-Askwise": "1", "Content-Type": "application/json"}
    elsewhere = TestClient(app, base_url="http://localhost", client=("203.0.113.9", 50000), headers=headers)
    before = contents(small.workspace)
    tried = list(every_request(small.workspace, small, sent))
    assert len(tried) >= 12
    for method, path in tried:
        answer = elsewhere.request(method, path, json=None if method == "GET" else {})
        assert answer.status_code == 401, (method, path)
        assert set(answer.json()) == {"detail"}
    assert contents(small.workspace) == before


def test_no_write_is_taken_without_the_header_that_other_sites_cannot_send(
    app: Starlette, small: SmallProject, sent: dict[str, object]
):
    here = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50000))
    before = contents(small.workspace)
    writes = [(method, path) for method, path in every_request(small.workspace, small, sent) if method != "GET"]
    assert writes
    for method, path in writes:
        assert here.request(method, path, json={}).status_code == 403, (method, path)
        form = here.request(method, path, data={"a": "b"}, headers={"X-Askwise": "1"})
        assert form.status_code == 403, (method, path)
    assert contents(small.workspace) == before


def test_no_route_that_names_a_project_item_or_answer_opens_to_a_stranger(
    app: Starlette, small: SmallProject, sent: dict[str, object]
):
    token = issue_token(small.workspace, "mallory")
    with writing(small.workspace.engine) as session:
        session.connection().execute(
            text("DELETE FROM membership WHERE user_id = (SELECT id FROM user WHERE name = 'mallory')")
        )
    headers = {"X-Askwise": "1", "Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    stranger = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50000), headers=headers)
    named = [
        route.path
        for route in create_api(small.workspace).routes
        if isinstance(route, APIRoute) and "{" in route.path
    ]  # fmt: skip
    assert len(named) >= 8
    before = contents(small.workspace)
    for method, path in every_request(small.workspace, small, sent):
        named_parts = (f"/projects/{small.id}", "/items/", f"/annotations/{sent['event_id']}", "/imports/", "/batches/")
        if any(part in path for part in (*named_parts, f"/classes/{small.classes[0]}")):
            body = needed_body(small, path)
            answer = stranger.request(method, path, json=None if method == "GET" else body)
            assert answer.status_code == 404, (method, path)
            assert "animals" not in answer.text
    assert contents(small.workspace) == before


def test_every_path_that_comes_from_outside_stays_inside_the_workspace(workspace: Workspace, tmp_path: Path):
    (workspace.root / "link").symlink_to(tmp_path)
    for outside in ("../../secret", "/etc/passwd", "a/../../../..", "../link/x"):
        with pytest.raises(Invalid, match="outside the workspace"):
            workspace.head(outside)
    for outside in ("../../../secret", "/etc/passwd", "../../link/x"):
        with pytest.raises(Invalid, match="outside the workspace"):
            workspace.features(1, outside)
        with pytest.raises(Invalid, match="outside the workspace"):
            workspace.media(outside)


# What names a workspace and nobody who acts: it serves what somebody else has checked.
CHECKED_ELSEWHERE = {
    "labeling.annotation.claims.with_keywords",  # claims that were made for the acting user
    "labeling.delivery.archives.read_image",
    "labeling.delivery.moment.in_chunks",
}


def test_no_function_of_annotation_or_delivery_forgets_who_acts():
    found = {
        f"{module.__name__}.{name}"
        for package in (labeling.annotation, labeling.delivery)
        for module in modules(package)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
        and "workspace" in (parameters := set(inspect.signature(function).parameters)) and "actor_id" not in parameters
    }  # fmt: skip
    assert found == CHECKED_ELSEWHERE
