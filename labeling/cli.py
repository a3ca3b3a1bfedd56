"""The `askwise` command: the verbs of `labeling.verbs` for a terminal. `--json` on each that prints a result."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from labeling.db.schema import Role
from labeling.errors import AskwiseError
from labeling.verbs import OpenWorkspace, compare

if TYPE_CHECKING:
    import pandas

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Active-learning labeling.", pretty_exceptions_enable=False
)
project_app = typer.Typer(no_args_is_help=True, help="Make projects and list them.")
app.add_typer(project_app, name="project")

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Where = Annotated[Path | None, typer.Option("--workspace", "-w", help="The workspace (default: ASKWISE_WORKSPACE).")]
Place = Annotated[Path | None, typer.Argument(help="The workspace (default: ASKWISE_WORKSPACE).")]
Port = Annotated[int | None, typer.Option(help="The port (default: ASKWISE_PORT, then 8501).")]

LAST_SECONDS = 5.0  # that a worker may go on after its app has gone

messages = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command; an error is one sentence and exit status 1."""
    try:
        app()
    except AskwiseError as error:
        messages.print(str(error), style="red", markup=False)
        sys.exit(1)


@app.command()
def demo(
    workspace: Place = None,
    port: Port = None,
    serve: Annotated[bool, typer.Option(help="Serve the app on it.")] = True,
) -> None:
    """Make a workspace with the digits project, ready to label, and serve it."""
    opened = OpenWorkspace(workspace)
    with _bar() as progress:
        opened.demo(progress)
    messages.print(f"The digits project is ready in {opened.workspace.root}.", markup=False)
    if serve:
        _serve(opened, port)


@app.command()
def serve(
    workspace: Place = None,
    port: Port = None,
    address: Annotated[str | None, typer.Option(help="Where to listen (default: this machine only).")] = None,
    worker: Annotated[bool, typer.Option(help="Run a worker beside the app.")] = True,
) -> None:
    """Serve the app, with its worker."""
    _serve(OpenWorkspace(workspace), port, address, worker)


@app.command()
def worker(
    workspace: Place = None,
    until_stdin_closes: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run a worker alone, anywhere that reaches the database and the workspace."""
    from labeling.learning.worker import run_worker

    stop = threading.Event()
    if until_stdin_closes:

        def outlive_nobody() -> None:
            os.read(sys.stdin.fileno(), 1)  # unbuffered: a lock on stdin would be in the way of a clean exit
            stop.set()
            time.sleep(LAST_SECONDS)
            os._exit(0)  # what it still holds is taken up again by the next worker

        threading.Thread(target=outlive_nobody, daemon=True).start()
    try:
        run_worker(OpenWorkspace(workspace).workspace, stop)
    except KeyboardInterrupt:
        stop.set()


@project_app.command("create")
def create_project(
    name: str,
    classes: Annotated[str, typer.Option(help="Class names, separated by commas.")] = "",
    guidelines: Annotated[str, typer.Option(help="What annotators should know.")] = "",
    overlap: Annotated[int, typer.Option(help="How many people answer an item.")] = 1,
    strategy: Annotated[str, typer.Option(help="Which item next.")] = "adaptive",
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Make a project."""
    names = [c.strip() for c in classes.split(",") if c.strip()]
    opened = OpenWorkspace(workspace)
    made = opened.create_project(name, names, guidelines=guidelines, overlap=overlap, strategy=strategy)
    _print({"id": made, "name": name}, as_json, f"Project {made}, “{name}”, is there; fill it with `askwise import`.")


@project_app.command("list")
def list_projects(workspace: Where = None, as_json: AsJson = False) -> None:
    """List your projects."""
    rows = OpenWorkspace(workspace, create=False).projects()
    _print({"projects": rows}, as_json, _table(rows, "id", "name", "items", "labels", "class_count", "role"))


@app.command("import")
def import_items(
    project: str,
    path: Annotated[Path, typer.Argument(help="A folder or a zip of images.")],
    labels: Annotated[
        Literal["oracle", "ignore"], typer.Option(help="Subfolder names: known answers for simulations, or nothing.")
    ] = "oracle",
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Take images into a project."""
    opened = OpenWorkspace(workspace, create=False)
    with _bar() as progress:
        report = opened.import_items(project, path, labels=labels, progress=progress)
    words = f"{report['added']:,} added, {report['duplicates']:,} already there, {report['refused_count']:,} refused."
    _print(report, as_json, "\n".join([words, *(f"{r['name']}: {r['why']}" for r in report["refused"])]))


@app.command()
def export(
    project: str,
    format: Annotated[str, typer.Option(help="csv or jsonl.")] = "csv",
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Write a project's answers to a file."""
    opened = OpenWorkspace(workspace, create=False)
    with _bar() as progress:
        target = opened.export(project, format, out, progress=progress)
    _print({"path": str(target), "bytes": target.stat().st_size}, as_json, f"Wrote {target}.")


@app.command()
def predict(project: str, files: list[Path], workspace: Where = None, as_json: AsJson = False) -> None:
    """Label image files with a project's live model."""
    rows = OpenWorkspace(workspace, create=False).predict(project, files)
    _print({"predictions": rows}, as_json, _table(rows, "file", "class", "confidence", "error"))


@app.command()
def simulate(
    project: Annotated[str, typer.Argument(help="A project; or a labeled set in a file, .npz or .csv.")],
    strategy: Annotated[str, typer.Option(help="Strategies, separated by commas.")] = "adaptive,random",
    budget: Annotated[int, typer.Option(min=1, help="Labels in all.")] = 200,
    batch: Annotated[int, typer.Option(min=1, help="Labels between two fits.")] = 10,
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions: 10 for a first look, 20 or more to compare.")] = 10,
    head: Annotated[Literal["default", "logistic"], typer.Option(help="What learns.")] = "default",
    oracle: Annotated[
        Literal["labels", "known"] | None,
        typer.Option(help="Whose answers: people's labels, or the classes that came with the items."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write every round of every replay to this CSV file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the learning curves to this SVG file.")] = None,
    processes: Annotated[int | None, typer.Option(min=0, help="How many at once (default: all processors).")] = None,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Replay labeling with an oracle: the learning curve of each strategy."""
    from labeling.learning import labeled_sets
    from labeling.learning.curve_plot import svg_plot

    path = Path(project).expanduser()
    of_file = path.suffix in labeled_sets.FILES
    labeled = (
        labeled_sets.of_file(path) if of_file else OpenWorkspace(workspace, create=False).labeled_set(project, oracle)
    )
    names = [name.strip() for name in strategy.split(",") if name.strip()]
    with _bar() as progress:
        curves = compare(
            labeled, names, progress, head=head, budget=budget, batch_size=batch, seeds=seeds, processes=processes
        )
    if out is not None:
        curves.to_csv(out, index=False)
    if plot is not None:
        plot.write_text(svg_plot(curves), encoding="utf-8")
    _print_comparison(curves, labeled.about, as_json)


@app.command()
def token(
    name: str,
    role: Annotated[Role, typer.Option(help="The user's role in every project there is.")] = Role.ANNOTATOR,
    revoke: Annotated[bool, typer.Option("--revoke", help="End the user's tokens instead.")] = False,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Make an API token for a user; it is shown once."""
    opened = OpenWorkspace(workspace)
    if revoke:
        ended = opened.revoke_tokens(name)
        _print({"name": name, "revoked": ended}, as_json, f"Ended {ended} of {name}'s tokens.")
        return
    made = opened.token(name, role)
    _print({"name": name, "token": made, "role": role.value}, as_json, made)


@app.command()
def doctor(workspace: Where = None, as_json: AsJson = False) -> None:
    """Check this machine and the workspace."""
    checks = OpenWorkspace(workspace, create=False).doctor()
    _print(checks, as_json, _table([{"what": k, "found": v} for k, v in checks.items()], "what", "found"))


@app.command()
def backup(dest: Path, workspace: Where = None, as_json: AsJson = False) -> None:
    """Copy the workspace, consistent while the app is running."""
    opened = OpenWorkspace(workspace, create=False)
    with _bar() as progress:
        copied = opened.backup(dest, progress)
    _print({"path": str(dest), "files": copied}, as_json, f"Copied the database and {copied:,} files to {dest}.")


def _print_comparison(curves: "pandas.DataFrame", about: str, as_json: bool) -> None:
    from labeling.learning.curve_plot import text_plot
    from labeling.learning.curves import in_words, mean_curves, summary, table_in_words, target_of

    if as_json:
        target, whose = target_of(curves)
        tables = {"summary": summary(curves), "curves": mean_curves(curves)}
        rounds = {name: t.astype(object).where(t.notna(), None).to_dict("records") for name, t in tables.items()}
        _print({"about": about, "target": target, "target_of": whose, **rounds}, True, "")
        return
    table = table_in_words(curves)
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    shown = Console(soft_wrap=True, highlight=False)
    shown.print(
        f"{about[0].upper()}{about[1:]}; {curves['seed'].nunique()} seeds, a part of them held out.", markup=False
    )
    shown.print(_table(rows, *rows[0]))
    shown.print(text_plot(curves), markup=False)
    shown.print(in_words(curves), markup=False)


def _serve(opened: OpenWorkspace, port: int | None, address: str | None = None, with_worker: bool = True) -> None:
    from labeling.web.server import run

    run(opened.workspace, port=port, address=address, with_worker=with_worker)


@contextmanager
def _bar() -> Iterator[Callable[[float, str], None]]:
    """A progress bar on the terminal; a fraction of 0 only turns the spinner."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True) as shown:
        task = shown.add_task("Starting", total=None)

        def progress(fraction: float, message: str) -> None:
            shown.update(task, description=message, completed=fraction, total=1.0 if fraction else None)

        yield progress


def _print(result: dict[str, Any], as_json: bool, words: str | Table) -> None:
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        Console(soft_wrap=True, highlight=False).print(words, markup=False)


def _table(rows: list[dict[str, Any]], *columns: str) -> Table:
    table = Table(*columns, box=None)
    for row in rows:
        cells = (row.get(column) for column in columns)
        table.add_row(*("" if c is None else f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells))
    return table
