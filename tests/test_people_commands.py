"""`askwise people` at a terminal, from the first account to the end of one."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labeling import invitations, signing_in
from labeling.cli import app
from labeling.errors import AskwiseError, Invalid, NotFound
from labeling.workspace import Workspace, open_workspace

pytestmark = pytest.mark.usefixtures("quick_passwords")
WORDS = "correct horse battery"
Run = Any


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASKWISE_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("ASKWISE_DATABASE_URL", raising=False)
    monkeypatch.delenv("ASKWISE_URL", raising=False)
    return tmp_path / "workspace"


@pytest.fixture
def run(root: Path) -> Run:
    """Run a command in a workspace with one project; what it prints as JSON."""

    def run(*arguments: str, typed: str = "", as_json: bool = True) -> Any:
        given = [*arguments, *(["--json"] if as_json else [])]
        result = CliRunner().invoke(app, given, input=typed, catch_exceptions=False)
        return json.loads(result.stdout) if as_json else result.stdout

    run("project", "create", "birds", "--classes", "wren,robin")
    return run


def opened(root: Path) -> Workspace:
    return open_workspace(root)


def test_the_first_account_and_those_who_follow(run: Run, root: Path) -> None:
    assert run("people", "add", "ada", typed=f"{WORDS}\n")["name"] == "ada"
    made = run("people", "invite", "birds", "--role", "expert", "--note", "for Bob")
    assert made["link"] == made["path"]
    secret = made["path"].removeprefix("/join/")
    workspace = opened(root)
    assert invitations.read_link(workspace, secret).project == "birds"
    invitations.accept(workspace, secret, "bob", WORDS)
    rows = {row["name"]: row for row in run("people", "list")["people"]}
    assert rows["ada"]["administers"] and not rows["bob"]["administers"]
    members = {row["name"]: row["role"] for row in run("people", "list", "birds")["people"]}
    assert (members["ada"], members["bob"]) == ("owner", "expert")
    assert "owns the workspace" in run("people", "list", as_json=False)
    workspace.engine.dispose()


def test_a_link_has_the_address_of_the_app_where_it_is_known(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("people", "add", "ada", typed=WORDS)
    monkeypatch.setenv("ASKWISE_URL", "https://askwise.example/")
    assert run("people", "invite", as_json=False).strip().startswith("https://askwise.example/join/")


def test_roles_are_given_lowered_and_taken(run: Run) -> None:
    for name in ("ada", "bob"):
        run("people", "add", name, typed=WORDS)

    def role() -> str | None:
        rows = {row["name"]: row for row in run("people", "list", "birds")["people"]}
        return rows["bob"]["role"] if "bob" in rows and not rows["bob"]["removed"] else None

    assert role() is None
    for given in ("expert", "annotator", "owner"):
        run("people", "role", "birds", "bob", given)
        assert role() == given
    run("people", "remove", "birds", "bob")
    assert role() is None
    run("people", "aside", "birds", "bob")
    assert "answers set aside" in run("people", "list", "birds", as_json=False)
    run("people", "aside", "birds", "bob", "--back")
    assert "set aside" not in run("people", "list", "birds", as_json=False)


def test_somebody_is_shut_out_and_let_in_and_gets_a_new_password(run: Run, root: Path) -> None:
    for name in ("ada", "bob"):
        run("people", "add", name, typed=WORDS)
    workspace = opened(root)

    def enters(password: str = WORDS) -> bool:
        try:
            return bool(signing_in.sign_in(workspace, "bob", password, address="192.0.2.1"))
        except AskwiseError:
            return False

    assert enters()
    run("people", "shut", "bob")
    assert not enters() and "shut out" in run("people", "list", as_json=False)
    run("people", "shut", "bob", "--back")
    assert enters()
    secret = run("people", "reset", "bob")["path"].removeprefix("/join/")
    invitations.accept(workspace, secret, "", "entirely new words")
    assert not enters() and enters("entirely new words")
    workspace.engine.dispose()


def test_a_project_that_others_made_can_be_had_by_number(run: Run, root: Path) -> None:
    from labeling.projects import create_project

    bob = run("people", "add", "bob", typed=WORDS)["id"]
    workspace = opened(root)
    made = create_project(workspace, bob, "cats", [])
    workspace.engine.dispose()
    with pytest.raises(Invalid, match="no project"):
        run("people", "list", "cats")
    run("people", "own", str(made))
    assert {row["name"] for row in run("people", "list", "cats")["people"]} >= {"bob"}


@pytest.mark.parametrize(
    ("arguments", "typed", "sentence"),
    [
        (("add", "ada"), "", "no password in the input"), (("add", "ada"), "short\n", "at least 10"),
        (("add", ""), WORDS, "needs a name"), (("invite", "birds"), "", "account for yourself first"),
        (("reset", "nobody"), "", "nobody named"), (("shut", "nobody"), "", "nobody named"),
        (("role", "birds", "nobody", "owner"), "", "nobody named"), (("own", "99"), "", "no project 99"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(run: Run, arguments: tuple[str, ...], typed: str, sentence: str) -> None:
    with pytest.raises((Invalid, NotFound), match=sentence):
        run("people", *arguments, typed=typed)


def test_a_password_is_no_argument_and_is_not_printed(run: Run) -> None:
    assert WORDS not in run("people", "add", "ada", typed=WORDS, as_json=False)
    assert "--password" not in run("people", "add", "--help", as_json=False)
