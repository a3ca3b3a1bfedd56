"""The commands that change a project's classes while people label."""

from typing import Annotated, Any

import typer

from labeling.terminal import AsJson, Where, print_result, printable, table_of
from labeling.verbs import OpenWorkspace

class_app = typer.Typer(no_args_is_help=True, help="Change a project's classes while people label.")

Key = Annotated[str | None, typer.Option(help="Of the keyboard: one of 0 to 9 and a to z.")]
Colour = Annotated[str | None, typer.Option(help="As in #0f766e.")]
Description = Annotated[str | None, typer.Option(help="What people see beside it.")]
Prompts = Annotated[
    list[str] | None,
    typer.Option("--prompt", help="What the model may know it by, in the place of its name; may be repeated."),
]


@class_app.command("list")
def list_classes(project: str, workspace: Where = None, as_json: AsJson = False) -> None:
    """List a project's classes in their order."""
    _print_classes(OpenWorkspace(workspace, create=False).classes(project), as_json)


@class_app.command("add")
def add_class(
    project: str,
    name: str,
    key: Key = None,
    colour: Colour = None,
    description: Description = None,
    prompt: Prompts = None,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Add a class, which can be chosen at once."""
    more = _given(key=key, colour=colour, description=description, prompts=prompt)
    _print_classes([OpenWorkspace(workspace, create=False).add_class(project, name, **more)], as_json)


@class_app.command("edit")
def edit_class(
    project: str,
    name: Annotated[str, typer.Argument(help="Of the class, or its number.")],
    rename: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    key: Key = None,
    take_key: Annotated[bool, typer.Option("--take-key", help="From the class that has it.")] = False,
    colour: Colour = None,
    description: Description = None,
    prompt: Prompts = None,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Rename a class, or change its key, colour, description or prompts (one that is empty: none)."""
    more = _given(name=rename, key=key, colour=colour, description=description, prompts=prompt)
    edited = OpenWorkspace(workspace, create=False).edit_class(project, name, take_key=take_key, **more)
    _print_classes([edited], as_json)


@class_app.command("order")
def order_classes(project: str, names: list[str], workspace: Where = None, as_json: AsJson = False) -> None:
    """Put classes in this order; those that are not named follow."""
    _print_classes(OpenWorkspace(workspace, create=False).order_classes(project, names), as_json)


@class_app.command("merge")
def merge_class(project: str, name: str, into: str, workspace: Where = None, as_json: AsJson = False) -> None:
    """Let a class stand for another one; its answers count as that one's."""
    _print_classes([OpenWorkspace(workspace, create=False).merge_class(project, name, into)], as_json)


@class_app.command("split")
def split_class(project: str, name: str, parts: list[str], workspace: Where = None, as_json: AsJson = False) -> None:
    """Let several classes take the place of one; its items are asked anew."""
    _print_classes(OpenWorkspace(workspace, create=False).split_class(project, name, parts), as_json)


@class_app.command("retire")
def retire_class(project: str, name: str, workspace: Where = None, as_json: AsJson = False) -> None:
    """Take a class out of use; its labels stay, and are not learned."""
    _print_classes([OpenWorkspace(workspace, create=False).retire_class(project, name)], as_json)


@class_app.command("restore")
def restore_class(project: str, name: str, workspace: Where = None, as_json: AsJson = False) -> None:
    """Bring back a class that was retired, merged or split."""
    _print_classes([OpenWorkspace(workspace, create=False).restore_class(project, name)], as_json)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _print_classes(rows: list[dict[str, Any]], as_json: bool) -> None:
    names = {row["id"]: printable(row["name"]) for row in rows}
    shown = []
    for row in rows:
        into, state = row["merged_into"], "split" if row["split"] else "retired" if row["retired"] else ""
        state = f"merged into {names.get(into, into)}" if into is not None else state
        shown.append({**row, "name": names[row["id"]], "state": state})
    print_result({"classes": rows}, as_json, table_of(shown, "id", "name", "key", "colour", "labels", "state"))
