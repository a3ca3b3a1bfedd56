"""What the commands share: options that many take, and how a result, a table and progress look on a terminal."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Where = Annotated[Path | None, typer.Option("--workspace", "-w", help="The workspace (default: ASKWISE_WORKSPACE).")]

messages = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar() -> Iterator[Callable[[float, str], None]]:
    """A progress bar on the terminal; a fraction of 0 only turns the spinner."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True) as shown:
        task = shown.add_task("Starting", total=None)

        def progress(fraction: float, message: str) -> None:
            shown.update(task, description=message, completed=fraction, total=1.0 if fraction else None)

        yield progress


def print_result(result: dict[str, Any], as_json: bool, words: str | Table) -> None:
    """Print what a command found: as JSON, or in words."""
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        Console(soft_wrap=True, highlight=False).print(words, markup=False)


def table_of(rows: list[dict[str, Any]], *columns: str) -> Table:
    """Rows as a table of these columns."""
    table = Table(*columns, box=None)
    for row in rows:
        cells = (row.get(column) for column in columns)
        table.add_row(*("" if c is None else f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells))
    return table


def offer_of_clip() -> str:
    """One line on where CLIP is to be chosen, or how to get it; torch is not imported."""
    from labeling.features.clip import Clip
    from labeling.features.pretrained import how_to_install

    if Clip.installed():
        return "CLIP is installed: choose it on the Settings page, and class names sort the images before any label."
    return f"To have CLIP sort images by class names before any label, {how_to_install(Clip.extra)}."


def printable(text: str) -> str:
    """Text from a file, without what a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
