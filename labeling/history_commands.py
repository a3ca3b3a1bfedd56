"""The command that reads the audit log."""

import time
from typing import Annotated

import typer

from labeling.audit_log import MOST
from labeling.terminal import AsJson, Where, print_result, printable, table_of
from labeling.verbs import OpenWorkspace

history_app = typer.Typer()


@history_app.command()
def history(
    project: Annotated[
        str | None, typer.Argument(help="Of which project (default: accounts and signing in, of the workspace).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many, the newest first.")] = 50,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """List who did what, when."""
    told = OpenWorkspace(workspace, create=False).history(project, limit=limit)
    rows = [
        {
            "when": time.strftime("%Y-%m-%d %H:%M", time.localtime(event["created"])),
            "who": printable(event["who"]),
            "what": printable(event["sentence"]),
        }
        for event in told
    ]
    print_result({"events": told}, as_json, table_of(rows, "when", "who", "what") if rows else "Nothing happened yet.")
