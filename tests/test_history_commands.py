"""`askwise history` and the verb behind it."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from labeling.cli import app
from labeling.db.schema import Role
from labeling.errors import Invalid, NotAllowed
from labeling.users import local_user, make_token
from labeling.verbs import OpenWorkspace
from labeling.workspace import Workspace
from tests.annotation.expert import give_role
from tests.db.small_project import SmallProject, not_waiting_for_the_disk


@pytest.fixture
def small(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """A project of which this machine's user is an owner."""
    monkeypatch.setenv("ASKWISE_WORKSPACE", str(workspace.root))
    me = local_user(not_waiting_for_the_disk(workspace))
    made = SmallProject.make(workspace)
    give_role(made, me, Role.OWNER)
    return made


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(result.stdout)


def told(*arguments: str) -> str:
    return CliRunner().invoke(app, [*arguments], catch_exceptions=False).stdout


def test_the_history_of_a_project_is_listed_the_newest_first(small: SmallProject):
    opened = OpenWorkspace(small.workspace.root)
    opened.edit_class("animals", "cat", name="feline\x1b[31m")
    opened.settings("animals", overlap=2)
    newest, renamed, made = run("history", "animals")["events"]
    assert newest["sentence"] == "Settings were changed (answers of an item: 2)."
    assert (renamed["kind"], made["who"]) == ("class changed", "animals owner")
    shown = told("history", "animals", "--limit", "2")
    assert newest["sentence"] in shown and "The project" not in shown
    assert "\x1b[31m" not in shown and "was renamed “feline\N{REPLACEMENT CHARACTER}[31m”" in shown
    assert opened.history("animals", limit=1) == [newest]


def test_without_a_project_it_is_what_belongs_to_none(small: SmallProject):
    assert told("history") == "Nothing happened yet.\n"
    make_token(small.workspace, small.people[0])
    assert [event["sentence"] for event in run("history")["events"]] == ["“animals person 0” made an API token."]


def test_who_is_no_owner_is_told_whom_to_ask(small: SmallProject):
    give_role(small, local_user(small.workspace), Role.EXPERT)
    with pytest.raises(NotAllowed, match="ask its owner"):
        run("history", "animals")
    with pytest.raises(Invalid, match="There is no project “plants”"):
        run("history", "plants")
