"""The commands of experts: what waits for one, a decision, and items that people are checked by."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from labeling.terminal import AsJson, Where, print_result, printable, table_of
from labeling.verbs import OpenWorkspace

review_app = typer.Typer()


@review_app.command()
def review(
    project: str,
    cause: Annotated[
        Literal["disagreement", "unsure", "flagged", "likely_error"] | None,
        typer.Option(help="Only what waits for this."),
    ] = None,
    decided: Annotated[bool, typer.Option("--decided", help="What experts have decided on instead.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many items.")] = 20,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """List what waits for an expert, what a decision would change most first."""
    found = OpenWorkspace(workspace, create=False).review(project, cause=cause, decided=decided, limit=limit)
    rows = [
        {
            "id": item["item_id"],
            "item": printable(item["external_id"]),
            "causes": ", ".join(item["causes"]),
            "why": printable(item["why"]),
            "label": item["label"],
            "decided": item["decided"],
        }
        for item in found["items"]
    ]
    columns = ("id", "item", "decided") if decided else ("id", "item", "causes", "why", "label")
    print_result(found, as_json, table_of(rows, *columns))


@review_app.command()
def decide(
    project: str,
    item: Annotated[str, typer.Argument(help="Its name, or its number.")],
    label_class: Annotated[
        str | None, typer.Argument(metavar="[CLASS]", help="Its class, by name or number; none: it cannot be told.")
    ] = None,
    note: Annotated[str, typer.Option(help="Why.")] = "",
    gold: Annotated[bool, typer.Option("--gold", help="Check people by it from now on.")] = False,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Decide on an item; the decision beats all answers."""
    made = OpenWorkspace(workspace, create=False).decide(project, item, label_class, note=note, gold=gold or None)
    words = f"“{item}” is {label_class}." if label_class else f"Nobody can tell what “{item}” is."
    print_result(made, as_json, f"Decided: {words}")


@review_app.command("gold")
def gold_items(
    project: str,
    file: Annotated[Path, typer.Argument(help="CSV with the columns external_id and class.")],
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Check people by items whose classes are known; their classes are decisions of yours."""
    count = OpenWorkspace(workspace, create=False).gold(project, file)
    print_result({"gold": count}, as_json, f"People are checked by {count:,} items from now on.")
