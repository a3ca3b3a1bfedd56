"""Who acts: members and their roles, tokens and their end."""

import getpass
import hashlib

import pytest
from sqlmodel import select

from labeling.db.engine import reading, writing
from labeling.db.schema import ApiToken, Membership, Role, User
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.projects import create_project, list_projects
from labeling.users import bearer, grant, issue_token, local_user, require, revoke_tokens
from labeling.workspace import Workspace
from tests.db.small_project import add_user


@pytest.fixture
def ada(workspace: Workspace) -> int:
    return add_user(workspace, "ada")


def role_of(workspace: Workspace, user: int, project: int) -> Role:
    with reading(workspace.engine) as session:
        return session.get_one(Membership, (project, user)).role


def test_a_token_is_its_users_and_only_its_digest_is_kept(workspace: Workspace, ada: int):
    token = issue_token(workspace, "ada")
    assert bearer(workspace, token) == ada
    with reading(workspace.engine) as session:
        (stored,) = session.exec(select(ApiToken)).all()
    assert stored.digest == hashlib.sha256(token.encode()).hexdigest()
    secret = token.removeprefix("askwise_").encode()
    for file in workspace.root.rglob("*"):
        assert not file.is_file() or secret not in file.read_bytes()


@pytest.mark.parametrize("change", [str.upper, lambda t: t[:-1], lambda t: t + "x", lambda t: "", lambda t: "'--"])
def test_a_token_that_is_not_quite_one_is_nobodys(workspace: Workspace, change: object):
    token = issue_token(workspace, "ada")
    assert callable(change) and bearer(workspace, change(token)) is None


def test_the_digest_is_no_token(workspace: Workspace):
    token = issue_token(workspace, "ada")
    assert bearer(workspace, hashlib.sha256(token.encode()).hexdigest()) is None


def test_a_revoked_token_is_nobodys_and_a_new_one_works(workspace: Workspace, ada: int):
    first, second = issue_token(workspace, "ada"), issue_token(workspace, "ada")
    other = issue_token(workspace, "bob")
    assert revoke_tokens(workspace, "ada") == 2
    assert (bearer(workspace, first), bearer(workspace, second)) == (None, None)
    assert bearer(workspace, other) is not None
    assert revoke_tokens(workspace, "ada") == 0
    assert bearer(workspace, issue_token(workspace, "ada")) == ada


def test_a_token_opens_the_projects_there_are_in_its_role(workspace: Workspace, ada: int):
    made = create_project(workspace, ada, "birds", [])
    bob = bearer(workspace, issue_token(workspace, "bob", Role.EXPERT))
    assert bob is not None and role_of(workspace, bob, made) is Role.EXPERT


def test_a_role_is_raised_and_never_lowered(workspace: Workspace, ada: int):
    made = create_project(workspace, ada, "birds", [])
    issue_token(workspace, "ada", Role.ANNOTATOR)
    assert role_of(workspace, ada, made) is Role.OWNER
    bob = bearer(workspace, issue_token(workspace, "bob"))
    issue_token(workspace, "bob", Role.OWNER)
    assert bob is not None and role_of(workspace, bob, made) is Role.OWNER


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "x" * 300])
def test_a_token_is_for_somebody_with_a_name(workspace: Workspace, name: str):
    with pytest.raises(Invalid):
        issue_token(workspace, name)


@pytest.mark.parametrize("has", Role)
@pytest.mark.parametrize("needs", Role)
def test_a_role_admits_to_what_needs_it_or_less(workspace: Workspace, ada: int, has: Role, needs: Role):
    made = create_project(workspace, ada, "birds", [])
    bob = add_user(workspace, "bob")
    with writing(workspace.engine) as session:
        grant(session, made, bob, has)
    order = list(Role)
    with reading(workspace.engine) as session:
        if order.index(has) >= order.index(needs):
            assert require(session, bob, made, needs).name == "birds"
        else:
            with pytest.raises(NotAllowed, match=needs.value):
                require(session, bob, made, needs)


def test_a_stranger_cannot_tell_a_project_from_none(workspace: Workspace, ada: int):
    made = create_project(workspace, ada, "birds", [])
    stranger = add_user(workspace, "mallory")
    with reading(workspace.engine) as session:
        with pytest.raises(NotFound) as hidden:
            require(session, stranger, made)
        with pytest.raises(NotFound) as missing:
            require(session, stranger, 999)
    assert str(hidden.value) == str(missing.value).replace("999", str(made))


def test_the_local_user_is_who_is_signed_in_to_this_machine(workspace: Workspace):
    me = local_user(workspace)
    assert local_user(workspace) == me
    with reading(workspace.engine) as session:
        assert [u.name for u in session.exec(select(User)).all()] == [getpass.getuser()]


def test_a_machine_user_without_a_name_is_local(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    def nameless() -> str:
        raise KeyError("uid 12345")

    monkeypatch.setattr(getpass, "getuser", nameless)
    me = local_user(workspace)
    with reading(workspace.engine) as session:
        assert session.get_one(User, me).name == "local"


def test_the_local_user_is_a_member_of_what_was_made_through_a_token(workspace: Workspace):
    me = local_user(workspace)
    bob = bearer(workspace, issue_token(workspace, "bob"))
    assert bob is not None
    create_project(workspace, bob, "birds", [])
    assert [p.role for p in list_projects(workspace, me)] == [Role.ANNOTATOR]
