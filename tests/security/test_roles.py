# ruff: noqa: F811 - fixtures are taken from another module
"""Every function and every route, with each role and with ids of other projects: the least role that each needs.

A door that is new fails here until the tables say what it needs.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlmodel import col, select, update
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from labeling import accounts, invitations, signing_in, users
from labeling.db.engine import reading, writing
from labeling.db.schema import ApiToken, Item, LabelClass, Membership, Role, SignIn, User
from labeling.errors import AskwiseError, NotAllowed, NotFound
from labeling.users import grant, issue_token, local_user, make_token
from labeling.web.api import create_api
from labeling.web.auth import NameTheActor
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user
from tests.security.test_entry_points import (
    DOORS,
    contents,
    is_refused,
    needed_body,
    sent,  # noqa: F401
    small,  # noqa: F401
    try_door,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have the successor of httpx
    from starlette.testclient import TestClient

pytestmark = pytest.mark.usefixtures("quick_passwords")
WORDS = "correct horse battery"
ANNOTATOR, EXPERT, OWNER = Role
BOTH = "an owner who owns the workspace too"

# The least role for each function that names something of a project; an annotator's where it is not said.
LEAST: dict[str, Role | str] = {
    **dict.fromkeys(
        (
            "annotation.adjudication.decide", "annotation.adjudication.make_gold", "annotation.review.read_item",
            "annotation.item_history.read_item_history",
            "learning.labeled_sets.of_project",
            "annotation.review.read_review", "delivery.exports.export_rows", "delivery.exports.export_stream",
            "delivery.exports.survey", "delivery.files.export_file", "delivery.prediction.predict",
            "projects.update_guidelines", "annotation.gold_file.gold_from_file",
            "learning.agreement_figures.read_agreement", "learning.model_view.read_item",
            "learning.model_view.read_review", "learning.people_records.read_records",
            "learning.simulation_job.cancel", "learning.simulation_job.request",
        ),
        EXPERT,
    ),
    **dict.fromkeys(
        (
            "annotation.merging.merge_class", "annotation.merging.restore_class", "annotation.splitting.split_class",
            "annotation.team.change_role", "annotation.team.list_team", "annotation.team.remove_member",
            "annotation.team.set_aside", "audit_log.read_events", "classes.add_class", "classes.edit_class",
            "classes.items_of_class", "classes.order_classes", "classes.retire_class", "features.choices.encode_again",
            "intake.import_job.cancel_import", "intake.import_job.preview_import", "intake.import_job.read_import",
            "intake.import_job.refused_file", "intake.import_job.request_import", "intake.import_job.resume_import",
            "intake.importer.import_records", "intake.inbox.begin_upload", "intake.inbox.find_in_folder",
            "intake.inbox.list_folder", "intake.inbox.open_upload", "intake.near_duplicates.request_look",
            "features.brought.import_features", "learning.tuning_job.cancel",
            "learning.tuning_job.request", "learning.word_preview.preview_words",
            "projects.update_settings", "invitations.invite", "invitations.list_invitations",
            "invitations.revoke_invitation",
        ),
        OWNER,
    ),
    "annotation.team.add_member": BOTH,
}  # fmt: skip
FOR_ANNOTATORS = {
    "annotation.answers.submit", "annotation.answers.undo", "annotation.answers.undo_batch", "annotation.queue.claim",
    "annotation.queue.count_remaining", "annotation.queue.release", "annotation.queue.renew",
    "annotation.queue.upcoming", "annotation.team.list_owners", "annotation.threads.read_thread",
    "annotation.threads.remark", "classes.find_class", "classes.list_classes", "delivery.media.media_file",
    "jobs.newest", "learning.labeled_sets.count_answers",
    "learning.simulation_job.latest", "learning.simulation_job.open_job",
    "features.choices.encoder_choices", "features.choices.feature_state",
    "intake.near_duplicates.read_near_duplicates", "learning.behind.items_behind", "learning.changes.read_changes",
    "learning.changes.versions_with_changes", "learning.find.find_item", "learning.find.find_items",
    "learning.find.find_screen", "learning.insights.people", "learning.insights.read_classes",
    "learning.insights.read_insights", "learning.insights.read_people", "learning.insights.read_progress",
    "learning.screens.open_screen", "learning.status.read_live", "learning.status.versions",
    "learning.tuning_job.read_standing", "learning.word_preview.read_words", "projects.columns_of",
    "projects.read_project",
}  # fmt: skip
# Functions of the workspace: for its owner; or for anybody, about what is their own.
FOR_ITS_OWNER = {
    "accounts.add_account", "accounts.disable_user", "accounts.enable_user", "accounts.find_user",
    "accounts.list_people", "accounts.take_over", "invitations.reset_link",
}  # fmt: skip
ABOUT_ONESELF = {
    "accounts.change_password", "invitations.join", "signing_in.end_sign_in", "signing_in.list_sign_ins",
    "users.end_token", "users.list_tokens", "users.make_token", "users.read_me",
}  # fmt: skip

# The same for each route.
ROUTES: dict[str, Role | str] = {
    **dict.fromkeys(
        (
            "GET /projects/{project_id}/review", "GET /projects/{project_id}/items/{item_id}/review",
            "GET /projects/{project_id}/items/{item_id}/history",
            "POST /projects/{project_id}/decisions", "POST /projects/{project_id}/gold",
            "GET /projects/{project_id}/agreement", "GET /projects/{project_id}/people",
            "GET /projects/{project_id}/export", "POST /projects/{project_id}/guidelines",
        ),
        EXPERT,
    ),
    **dict.fromkeys(
        (
            "POST /projects/{project_id}/classes", "POST /projects/{project_id}/classes/order",
            "PATCH /classes/{class_id}", "POST /classes/{class_id}/merge", "POST /classes/{class_id}/retire",
            "POST /classes/{class_id}/restore", "POST /classes/{class_id}/split",
            "PATCH /projects/{project_id}/settings", "POST /projects/{project_id}/uploads",
            "POST /projects/{project_id}/imports", "POST /projects/{project_id}/imports/preview",
            "GET /imports/{job_id}", "POST /imports/{job_id}/cancel", "POST /imports/{job_id}/resume",
            "GET /imports/{job_id}/refused", "GET /projects/{project_id}/history", "POST /projects/{project_id}/tuning",
            "POST /projects/{project_id}/tuning/stop", "GET /projects/{project_id}/team",
            "POST /projects/{project_id}/invitations", "POST /invitations/{invitation_id}/revoke",
            "PATCH /projects/{project_id}/members/{user_id}", "POST /projects/{project_id}/members/{user_id}/remove",
        ),
        OWNER,
    ),
    **dict.fromkeys(
        (
            "GET /items/{item_id}/media", "GET /projects/{project_id}", "GET /projects/{project_id}/classes",
            "GET /projects/{project_id}/find", "GET /projects/{project_id}/insights",
            "GET /projects/{project_id}/insights/items", "GET /projects/{project_id}/items/{item_id}/thread",
            "GET /projects/{project_id}/near-duplicates", "GET /projects/{project_id}/queue",
            "GET /projects/{project_id}/tuning", "POST /annotations/batches/{batch}/undo",
            "POST /annotations/{event_id}/undo", "POST /projects/{project_id}/claims",
            "POST /projects/{project_id}/find", "POST /projects/{project_id}/leases/release",
            "POST /projects/{project_id}/leases/renew", "POST /projects/{project_id}/remarks",
            "POST /projects/{project_id}/screens",
        ),
        ANNOTATOR,
    ),
    "POST /projects/{project_id}/members": BOTH,
}  # fmt: skip
ROUTES_FOR_ITS_OWNER = {"GET /people", "PATCH /people/{user_id}", "POST /people/{user_id}/reset"}
ROUTES_FOR_ANYBODY = {"GET /health", "GET /projects", "POST /projects", "GET /me", "POST /annotations"}


def more_doors() -> dict[str, Callable[..., Any]]:
    """Public functions about people."""
    return {
        f"labeling.{place.__name__.rpartition('.')[2]}.{name}": function
        for place in (accounts, invitations, signing_in, users)
        for name, function in inspect.getmembers(place, inspect.isfunction)
        if function.__module__ == place.__name__ and not name.startswith("_")
        and {"workspace", "actor_id"} <= set(inspect.signature(function).parameters)
    }  # fmt: skip


ALL = {name.removeprefix("labeling."): function for name, function in {**DOORS, **more_doors()}.items()}
ANYWHERE = FOR_ITS_OWNER | ABOUT_ONESELF
OF_A_PROJECT = {name: f for name, f in ALL.items() if name not in ANYWHERE and name != "projects.roles"}


def test_the_tables_name_every_function_and_no_other() -> None:
    named = set(LEAST) | FOR_ANNOTATORS | ANYWHERE
    assert set(ALL) - {"projects.roles"} == named
    assert not set(LEAST) & FOR_ANNOTATORS and not (set(LEAST) | FOR_ANNOTATORS) & ANYWHERE


@pytest.fixture
def cast(small: SmallProject, sent: dict[str, object]) -> dict[str, int]:
    """Somebody of each kind, in a workspace where people sign in; and what they would send for the functions here."""
    workspace = small.workspace
    shell = local_user(workspace)
    with writing(workspace.engine) as session:  # as in a workspace that had accounts from the beginning
        session.delete(session.get_one(Membership, (small.id, shell))) if session.get(
            Membership, (small.id, shell)
        ) else None
    root = accounts.add_account(workspace, shell, "root account", WORDS)
    with writing(workspace.engine) as session:
        session.delete(session.get_one(Membership, (small.id, root)))
    roles = {"an annotator": ANNOTATOR, "an expert": EXPERT, "an owner": OWNER, BOTH: OWNER}
    cast = {kind: add_user(workspace, kind) for kind in (*roles, "somebody shut out", "somebody removed")}
    with writing(workspace.engine) as session:
        for kind, role in roles.items():
            grant(session, small.id, cast[kind], role)
        for kind in ("somebody shut out", "somebody removed"):
            grant(session, small.id, cast[kind], OWNER)
        session.get_one(User, cast[BOTH]).administers = True
        session.get_one(User, cast["somebody shut out"]).disabled = 1.0
        session.get_one(Membership, (small.id, cast["somebody removed"])).removed = 1.0
    cast["a stranger"] = add_user(workspace, "a stranger")
    cast["the workspace's owner"] = root
    cast["an owner elsewhere"] = SmallProject.make(workspace, name="plants", people=0).owner
    cast["nobody"] = 999_999
    link = invitations.invite(workspace, cast["an owner"], small.id)
    sent |= {
        "password": WORDS, "invitation_id": link.id, "secret": "made up", "old": "x", "new": WORDS,
        "sign_in_id": 999, "token_id": 999, "note": "", "role": OWNER,
    }  # fmt: skip
    return cast


STRONG = {"an annotator": 0, "an expert": 1, "an owner": 2, BOTH: 3}
NEEDS = {ANNOTATOR: 0, EXPERT: 1, OWNER: 2, BOTH: 3}
OUTSIDE = (
    "somebody shut out",
    "somebody removed",
    "a stranger",
    "the workspace's owner",
    "an owner elsewhere",
    "nobody",
)


def refused_for_who_they_are(function: Callable[..., Any], actor: int, sent: dict[str, object]) -> bool:
    try:
        try_door(function, actor, sent)
    except NotAllowed as refusal:
        return "needs the role" in str(refusal) or "owner of the workspace" in str(refusal)
    except NotFound as refusal:
        return "that you are a member of" in str(refusal)
    except (AskwiseError, AttributeError):  # it was let in, and found something else to say
        return False
    return False


@pytest.mark.parametrize("who", [*OUTSIDE, *STRONG])
def test_whoever_has_not_the_role_is_refused_everywhere_and_changes_nothing(
    small: SmallProject,
    sent: dict[str, object],
    cast: dict[str, int],
    who: str,
) -> None:
    before = contents(small.workspace)
    closed = [n for n in OF_A_PROJECT if STRONG.get(who, -1) < NEEDS[LEAST.get(n, ANNOTATOR)]]
    closed += [n for n in FOR_ITS_OWNER if who not in ("the workspace's owner", BOTH)]
    closed += [n for n in ABOUT_ONESELF if who in ("somebody shut out", "nobody")]
    assert [name for name in closed if not is_refused(ALL[name], cast[who], sent)] == []
    assert contents(small.workspace) == before


def test_whoever_has_the_role_is_let_in(small: SmallProject, sent: dict[str, object], cast: dict[str, int]) -> None:
    wrongly = [
        (name, who)
        for who, strength in STRONG.items()
        for name, function in OF_A_PROJECT.items()
        if strength >= NEEDS[LEAST.get(name, ANNOTATOR)] and refused_for_who_they_are(function, cast[who], sent)
    ]
    wrongly += [
        (name, who)
        for who in ("the workspace's owner", BOTH)
        for name in FOR_ITS_OWNER
        if refused_for_who_they_are(ALL[name], cast[who], sent)
    ]
    assert wrongly == []


def test_ids_of_another_project_open_nothing_in_ones_own(
    small: SmallProject,
    sent: dict[str, object],
    cast: dict[str, int],
) -> None:
    """An owner names their own project, and of another one everything else: items, classes, people, leases, answers."""
    workspace, mallory = small.workspace, cast["an owner elsewhere"]
    with writing(workspace.engine) as session:
        theirs = session.exec(select(Membership.project_id).where(Membership.user_id == mallory)).one()
        for item_id in small.items:
            session.get_one(Item, item_id).text = "animals in a text"
        for class_id, name in zip(small.classes, ("animals that purr", "animals that bark"), strict=True):
            session.get_one(LabelClass, class_id).name = name

    def of_the_other() -> dict[str, list[Any]]:
        return {
            table: [row for row in rows if not hasattr(row, "project_id") or row.project_id == small.id]
            for table, rows in contents(workspace).items()
            if table
            in {"item", "label", "labelclass", "annotation", "assignment", "membership", "invitation", "comment"}
        }

    before, leaked = of_the_other(), []
    for name, function in OF_A_PROJECT.items():
        if "project_id" in inspect.signature(function).parameters:
            try:
                outcome = try_door(function, mallory, {**sent, "project_id": theirs})
            except (AskwiseError, AttributeError) as error:
                outcome = error
            if "animals" in repr(outcome):
                leaked.append(name)
    assert of_the_other() == before
    assert leaked == []


def test_what_is_ones_own_is_nobody_elses(small: SmallProject, cast: dict[str, int]) -> None:
    workspace, ann, bob = small.workspace, cast["an annotator"], cast["an owner"]
    make_token(workspace, ann)
    with writing(workspace.engine) as session:
        signing_in.begin(session, ann, "")
        session.flush()
        sign_in = session.exec(select(SignIn.id).where(SignIn.user_id == ann)).one()
        token = session.exec(select(ApiToken.id).where(ApiToken.user_id == ann)).one()
    for end, key in ((signing_in.end_sign_in, sign_in), (users.end_token, token)):
        assert key is not None
        for other in (bob, cast["the workspace's owner"]):
            with pytest.raises(NotFound):
                end(workspace, other, key)
    assert signing_in.list_sign_ins(workspace, bob) == users.list_tokens(workspace, bob) == []
    assert len(signing_in.list_sign_ins(workspace, ann)) == len(users.list_tokens(workspace, ann)) == 1


# Over REST


def routes(workspace: Workspace) -> Iterator[tuple[str, str]]:
    for route in create_api(workspace).routes:
        if isinstance(route, APIRoute):
            for method in route.methods - {"HEAD"}:
                yield method, route.path


def test_the_tables_name_every_route_and_no_other(workspace: Workspace) -> None:
    served = {f"{method} {path}" for method, path in routes(workspace)}
    assert set(ROUTES) | ROUTES_FOR_ITS_OWNER | ROUTES_FOR_ANYBODY == served


@pytest.mark.parametrize("who", [*OUTSIDE, *STRONG])
def test_every_route_asks_for_the_role_that_it_needs(
    small: SmallProject,
    sent: dict[str, object],
    cast: dict[str, int],
    who: str,
) -> None:
    workspace = small.workspace
    with reading(workspace.engine) as session:
        name = {user.id: user.name for user in session.exec(select(User)).all()}.get(cast[who], "")
    token = issue_token(workspace, name) if name else "askwise_made_up"
    app = Starlette(
        routes=[Mount("/api/v1", app=create_api(workspace))],
        middleware=[Middleware(NameTheActor, workspace=workspace)],
    )
    headers = {"X-Askwise": "1", "Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    client = TestClient(app, base_url="http://localhost", headers=headers, raise_server_exceptions=False)
    numbers = {
        "project_id": small.id, "item_id": small.items[0], "event_id": sent["event_id"], "job_id": sent["job_id"],
        "batch": sent["batch"], "class_id": small.classes[0], "user_id": small.people[0],
        "invitation_id": sent["invitation_id"],
    }  # fmt: skip

    def asked(method: str, path: str) -> Any:
        filled = path.format(**numbers)
        body = {"disabled": False} if path == "/people/{user_id}" else needed_body(small, filled)
        return client.request(method, f"/api/v1{filled}", json=None if method == "GET" else body)

    before = contents(workspace)
    opened, shut = [], []
    everywhere = sorted(routes(workspace))
    for method, path in everywhere:
        route = f"{method} {path}"
        least = ROUTES.get(route)
        may = STRONG.get(who, -1) >= NEEDS[least] if least is not None else route in ROUTES_FOR_ANYBODY
        may = may or (route in ROUTES_FOR_ITS_OWNER and who in ("the workspace's owner", BOTH))
        may = may and who not in ("somebody shut out", "nobody")
        if not may and asked(method, path).status_code not in (401, 403, 404):
            opened.append(route)
    assert opened == []
    assert contents(workspace) == before
    for method, path in everywhere:
        route = f"{method} {path}"
        least = ROUTES.get(route)
        if who in STRONG and least is not None and STRONG[who] >= NEEDS[least]:
            answer = asked(method, path)
            if answer.status_code in (401, 403) or "that you are a member of" in answer.text:
                shut.append((route, answer.text[:100]))
    assert shut == []


def test_a_token_made_before_its_user_was_shut_out_opens_nothing(small: SmallProject, cast: dict[str, int]) -> None:
    workspace = small.workspace
    token = make_token(workspace, cast["an owner"])
    assert users.bearer(workspace, token) == cast["an owner"]
    accounts.disable_user(workspace, cast["the workspace's owner"], cast["an owner"])
    assert users.bearer(workspace, token) is None
    with writing(workspace.engine) as session:  # even one that was not ended
        session.exec(update(ApiToken).where(col(ApiToken.user_id) == cast["an owner"]).values(revoked=None))
    assert users.bearer(workspace, token) is None
