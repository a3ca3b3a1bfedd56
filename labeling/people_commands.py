"""The commands for people: accounts, links by which others come in, and their roles in projects."""

import sys
import time
from typing import Annotated

import typer

from labeling.db.schema import Role
from labeling.errors import Invalid
from labeling.terminal import AsJson, Where, print_result, printable, table_of
from labeling.verbs import OpenWorkspace

people_app = typer.Typer(no_args_is_help=True, help="Who can sign in, and what they may do.")

Whom = Annotated[str, typer.Argument(help="The person's name.")]
InRole = Annotated[Role, typer.Option(help="Their role in the project.")]


@people_app.command("list")
def list_people(
    project: Annotated[str | None, typer.Argument(help="Only this project's.")] = None,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """List everybody in the workspace, or the people of a project."""
    rows = OpenWorkspace(workspace, create=False).people(project)
    shown = [{**row, "name": printable(row["name"])} for row in rows]
    if project is None:
        named = [
            {
                **row,
                "is": _what(row),
                "seen": "" if row["seen"] is None else time.strftime("%Y-%m-%d", time.gmtime(row["seen"])),
            }
            for row in shown
        ]
        columns = table_of(named, "id", "name", "is", "projects", "seen")
    else:
        named = [{**row, "is": _state(row)} for row in shown]
        columns = table_of(named, "user_id", "name", "role", "answers", "is")
    print_result({"people": rows}, as_json, columns)


@people_app.command("add")
def add_account(
    name: Whom,
    owner: Annotated[bool, typer.Option("--owner", help="They own the workspace, as the first account does.")] = False,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Make an account; the password is asked for, or read from the input where that is no terminal."""
    opened = OpenWorkspace(workspace)
    password = _password()
    made = opened.add_account(name, password, administers=owner)
    print_result({"id": made, "name": name}, as_json, printable(f"{name} can sign in. From now on everybody has to."))


@people_app.command("invite")
def invite(
    project: Annotated[str | None, typer.Argument(help="Into which project (default: none yet).")] = None,
    role: InRole = Role.ANNOTATOR,
    note: Annotated[str, typer.Option(help="For whom it is, for your own list.")] = "",
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Make a link by which one person may join; it is shown once."""
    made = OpenWorkspace(workspace, create=False).invite(project, role, note=note)
    print_result(made, as_json, made["link"])


@people_app.command("reset")
def reset(name: Whom, workspace: Where = None, as_json: AsJson = False) -> None:
    """Make a link by which a person chooses a new password; it is shown once."""
    made = OpenWorkspace(workspace, create=False).reset_link(name)
    print_result(made, as_json, made["link"])


@people_app.command("shut")
def shut_out(
    name: Whom,
    back: Annotated[bool, typer.Option("--back", help="Let them in again instead.")] = False,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Shut a person out of the workspace at once: browsers and tokens end, answers stay."""
    OpenWorkspace(workspace, create=False).shut_out(name, out=not back)
    done = f"{name} may come in again." if back else f"{name} may do nothing here any more."
    print_result({"name": name, "disabled": not back}, as_json, printable(done))


@people_app.command("role")
def role_of(project: str, name: Whom, role: Role, workspace: Where = None, as_json: AsJson = False) -> None:
    """Give a person a role in a project, whether they were in it or not."""
    OpenWorkspace(workspace, create=False).set_role(project, name, role)
    said = printable(f"{name} is {role.value} in {project}.")
    print_result({"project": project, "name": name, "role": role.value}, as_json, said)


@people_app.command("remove")
def remove(project: str, name: Whom, workspace: Where = None, as_json: AsJson = False) -> None:
    """Take a person out of a project; their answers stay."""
    OpenWorkspace(workspace, create=False).remove_member(project, name)
    said = printable(f"{name} is out of {project}; the answers stay.")
    print_result({"project": project, "name": name}, as_json, said)


@people_app.command("aside")
def aside(
    project: str,
    name: Whom,
    back: Annotated[bool, typer.Option("--back", help="Let them count again instead.")] = False,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Set a person's answers in a project aside: they count for nothing until they are taken back."""
    OpenWorkspace(workspace, create=False).set_aside(project, name, aside=not back)
    said = printable(f"{name}'s answers {'count again' if back else 'are set aside'}.")
    print_result({"project": project, "name": name, "set_aside": not back}, as_json, said)


@people_app.command("own")
def own(
    project: Annotated[int, typer.Argument(help="Its number.")], workspace: Where = None, as_json: AsJson = False
) -> None:
    """Become an owner of a project that others made, as whoever has this machine's shell."""
    OpenWorkspace(workspace, create=False).take_over(project)
    print_result({"project": project}, as_json, f"You own project {project} too.")


def _password() -> str:
    """A new password, typed twice where somebody types; never an argument, which others on the machine can read."""
    if sys.stdin.isatty():
        given: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return given
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise Invalid("There is no password in the input; write one line there, or run this in a terminal.")
    return line


def _what(row: dict[str, object]) -> str:
    said = ["shut out"] if row["disabled"] else []
    said += ["owns the workspace"] if row["administers"] else []
    said += [] if row["account"] else ["does not sign in"]
    return ", ".join(said)


def _state(row: dict[str, object]) -> str:
    said = ["removed"] if row["removed"] else []
    said += ["answers set aside"] if row["set_aside"] else []
    said += ["shut out"] if row["disabled"] else []
    return ", ".join(said)
