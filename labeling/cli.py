"""The `askwise` command: the verbs of `labeling.verbs` for a terminal. `--json` on each that prints a result."""

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer
from rich.console import Console

from labeling.class_commands import class_app
from labeling.db.schema import Role
from labeling.errors import AskwiseError, Invalid
from labeling.history_commands import history_app
from labeling.people_commands import people_app
from labeling.review_commands import review_app
from labeling.terminal import (
    AsJson,
    Where,
    messages,
    offer_of_clip,
    print_result,
    printable,
    progress_bar,
    table_of,
)
from labeling.verbs import OpenWorkspace, compare

if TYPE_CHECKING:
    import pandas

    from labeling.intake.records import Preview

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Active-learning labeling.", pretty_exceptions_enable=False
)
project_app = typer.Typer(no_args_is_help=True, help="Make projects and list them.")
app.add_typer(project_app, name="project")
app.add_typer(class_app, name="class")
app.add_typer(people_app, name="people")
app.add_typer(review_app)
app.add_typer(history_app)

Place = Annotated[Path | None, typer.Argument(help="The workspace (default: ASKWISE_WORKSPACE).")]
Port = Annotated[int | None, typer.Option(help="The port (default: ASKWISE_PORT, then 8501).")]

LAST_SECONDS = 5.0  # that a worker may go on after its app has gone


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
    with progress_bar() as progress:
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
    print_result(
        {"id": made, "name": name}, as_json, f"Project {made}, “{name}”, is there; fill it with `askwise import`."
    )


@project_app.command("list")
def list_projects(workspace: Where = None, as_json: AsJson = False) -> None:
    """List your projects."""
    rows = OpenWorkspace(workspace, create=False).projects()
    print_result({"projects": rows}, as_json, table_of(rows, "id", "name", "items", "labels", "class_count", "role"))


@project_app.command("settings")
def project_settings(
    project: str,
    changes: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="What to change.")] = None,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Show a project's settings and guidelines, or change some."""
    given = [change.partition("=") for change in changes or []]
    if wrong := next((name for name, equals, _ in given if not equals), None):
        raise Invalid(f"“{wrong}” changes nothing; write NAME=VALUE, as in overlap=2.")
    named = {name: _value(name, text) for name, _, text in given}
    found = OpenWorkspace(workspace, create=False).settings(project, **named)
    rows = [{"setting": name, "value": str(value)} for name, value in found.items()]
    print_result(found, as_json, table_of(rows, "setting", "value"))


@app.command("import")
def import_items(
    project: str,
    path: Annotated[Path, typer.Argument(help="A folder, an archive, a table, or another tool's export.")],
    labels: Annotated[
        Literal["oracle", "imported", "ignore"],
        typer.Option(help="Known labels: an oracle for simulations, answers that the model learns from, or nothing."),
    ] = "oracle",
    format: Annotated[str | None, typer.Option(help="What it is, where the guess is wrong (see --preview).")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of a text file, such as utf-8 or cp1252.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between the cells of a text table.")] = None,
    header: Annotated[bool | None, typer.Option(help="Whether a table's first row names its columns.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Of a workbook.")] = None,
    role: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN=ROLE", help="id, text, image, label, field, meta or ignore.")
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Show the first rows as they would come in.")] = False,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Take images, texts or rows into a project."""
    from labeling.intake.records import Reading

    opened = OpenWorkspace(workspace, create=False)
    reading = Reading(
        format=format, encoding=encoding, delimiter=delimiter, header=header, sheet=sheet, roles=_roles(role or [])
    )
    if preview:
        _print_preview(opened.preview_items(project, path, reading=reading), as_json)
        return
    try:
        with progress_bar() as progress:
            report = opened.import_items(project, path, labels=labels, reading=reading, progress=progress)
    except KeyboardInterrupt:
        messages.print("Cancelled; what went in stays, and importing the same again goes on.")
        raise typer.Exit(130) from None
    counts = [f"{report['added']:,} added", f"{report['duplicates']:,} already there"]
    counts += [f"{report['labeled']:,} with their labels"] if report["labeled"] else []
    lines = [", ".join([*counts, f"{report['refused_count']:,} refused."])]
    lines += ["It was cancelled before its end."] if report["state"] == "cancelled" else []
    lines += [printable(f"{r['name']}{_line(r['line'])}: {r['why']}") for r in report["refused"]]
    if report["refused_count"] > len(report["refused"]):
        lines.append(f"All {report['refused_count']:,} are listed in {report['refused_list']}.")
    print_result(report, as_json, "\n".join(lines))


@app.command()
def export(
    project: str,
    format: Annotated[str, typer.Option(help="csv, jsonl, parquet, imagefolder, label-studio or coco.")] = "csv",
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
    rows: Annotated[
        Literal["answers", "labels"] | None,
        typer.Option(help="Every answer, or every item with its label (default: answers, in a table)."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Shares such as train=0.8,test=0.2, or a metadata column such as meta:site.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of a split by shares.")] = 0,
    unlabeled: Annotated[
        Literal["keep", "drop", "suggest"] | None,
        typer.Option(help="Items without a label: kept (the default), left out, or with the model's suggestion."),
    ] = None,
    images: Annotated[bool, typer.Option(help="Whether an archive holds the images.")] = True,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Write a project's answers or labels to a file; one that was cut off goes on where it was."""
    opened = OpenWorkspace(workspace, create=False)
    with progress_bar() as progress:
        target = opened.export(
            project, format, out, progress=progress,
            rows=rows, split=split, seed=seed, unlabeled=unlabeled, images=images,
        )  # fmt: skip
    print_result({"path": str(target), "bytes": target.stat().st_size}, as_json, f"Wrote {target}.")


@app.command()
def features(
    project: str,
    file: Annotated[Path, typer.Argument(help="A matrix, one row for each item: .npy or .parquet.")],
    words: Annotated[str, typer.Option(help="What made it and reads words, as in sentences:all-MiniLM-L6-v2.")] = "",
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """Bring features along that were made elsewhere, for a project's model to learn from."""
    opened = OpenWorkspace(workspace, create=False)
    with progress_bar() as progress:
        told = opened.import_features(project, file, words=words, progress=progress)
    words = f"{told['rows']:,} rows of {told['width']:,} numbers are the project's features now."
    print_result(told, as_json, words)


@app.command()
def find(
    project: str,
    text: Annotated[str | None, typer.Argument(help="What to look for, in words.")] = None,
    like: Annotated[str | None, typer.Option(help="An item, by name or number, to find others like it.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many items.")] = 20,
    unlabeled: Annotated[bool, typer.Option("--unlabeled", help="Only items without a label.")] = False,
    workspace: Where = None,
    as_json: AsJson = False,
) -> None:
    """List the items nearest to a description or to another item."""
    opened = OpenWorkspace(workspace, create=False)
    with progress_bar() as progress:
        rows = opened.find(project, text, like=like, count=count, labeled=not unlabeled, progress=progress)
    print_result({"items": rows}, as_json, table_of(rows, "id", "external_id", "score", "label"))


@app.command()
def predict(project: str, files: list[Path], workspace: Where = None, as_json: AsJson = False) -> None:
    """Label files with a project's live model: images, or tables of texts or rows."""
    rows = OpenWorkspace(workspace, create=False).predict(project, files)
    columns = ("file", *(["item"] if any("item" in row for row in rows) else []), "class", "confidence", "error")
    print_result({"predictions": rows}, as_json, table_of(rows, *columns))


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
    with progress_bar() as progress:
        curves = compare(
            labeled, names, progress, head=head, budget=budget, batch_size=batch, seeds=seeds, processes=processes
        )
    if out is not None:
        curves.to_csv(out, index=False)
    if plot is not None:
        plot.write_text(svg_plot(curves), encoding="utf-8")
    _print_comparison(curves, labeled.about, as_json)


@app.command()
def tune(project: str, workspace: Where = None, as_json: AsJson = False) -> None:
    """Tune a project's CLIP on its labels; it goes live only where it is better."""
    opened = OpenWorkspace(workspace, create=False)
    try:
        with progress_bar() as progress:
            report = opened.tune(project, progress=progress)
    except KeyboardInterrupt:
        messages.print("Stopped; nothing changed.")
        raise typer.Exit(130) from None
    print_result(report, as_json, report["message"])


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
        print_result({"name": name, "revoked": ended}, as_json, f"Ended {ended} of {name}'s tokens.")
        return
    made = opened.token(name, role)
    print_result({"name": name, "token": made, "role": role.value}, as_json, made)


@app.command()
def doctor(workspace: Where = None, as_json: AsJson = False) -> None:
    """Check this machine and the workspace."""
    checks = OpenWorkspace(workspace, create=False).doctor()
    print_result(checks, as_json, table_of([{"what": k, "found": v} for k, v in checks.items()], "what", "found"))


@app.command()
def backup(dest: Path, workspace: Where = None, as_json: AsJson = False) -> None:
    """Copy the workspace, consistent while the app is running."""
    opened = OpenWorkspace(workspace, create=False)
    with progress_bar() as progress:
        copied = opened.backup(dest, progress)
    print_result({"path": str(dest), "files": copied}, as_json, f"Copied the database and {copied:,} files to {dest}.")


def _roles(given: list[str]) -> dict[str, Any] | None:
    """What `COLUMN=ROLE`, any number of times, says."""
    from labeling.intake.records import Role as ColumnRole

    roles: dict[str, Any] = {}
    for pair in given:
        column, _, role = pair.rpartition("=")
        if not column or role not in get_args(ColumnRole):
            known = ", ".join(get_args(ColumnRole))
            raise Invalid(f"“{pair}” gives no column a role; write COLUMN=ROLE, the role being one of {known}.")
        roles[column] = role
    return roles or None


def _print_preview(found: "Preview", as_json: bool) -> None:
    from labeling.intake.import_job import as_table

    how = found.reading.model_dump(exclude_none=True)
    if as_json:
        print_result(found.model_dump(), True, "")
        return
    shown = Console(soft_wrap=True, highlight=False)
    roles = how.pop("roles", {})
    total = "" if found.total is None else f"{found.total:,} "
    about = ", ".join(f"{name} {value!r}" for name, value in how.items())
    shown.print(f"{total}{found.kind}s; {about or 'nothing to guess'}.", markup=False)
    if roles:
        shown.print(printable("Columns: " + ", ".join(f"{c}={role}" for c, role in roles.items())), markup=False)
    rows = [{name: printable(str(cell)) for name, cell in row.items()} for row in as_table(found)]
    if rows:
        shown.print(table_of(rows, *dict.fromkeys(name for row in rows for name in row)), markup=False)
    for refused in found.refused:
        shown.print(printable(f"{refused.name}{_line(refused.line)}: {refused.why}"), markup=False)
    for note in found.notes:
        shown.print(note, markup=False)


def _value(name: str, text: str) -> Any:
    """What a person typed for a setting, as far as it is no plain word or number; nothing means none."""
    if name in ("columns", "templates"):
        between = "," if name == "columns" else "|"  # a template may well have a comma
        return [part.strip() for part in text.split(between) if part.strip()]
    return text if text or name == "guidelines" else None


def _line(line: int | None) -> str:
    return "" if line is None else f", line {line:,}"


def _print_comparison(curves: "pandas.DataFrame", about: str, as_json: bool) -> None:
    from labeling.learning.curve_plot import text_plot
    from labeling.learning.curves import in_words, mean_curves, summary, table_in_words, target_of

    if as_json:
        target, whose = target_of(curves)
        tables = {"summary": summary(curves), "curves": mean_curves(curves)}
        rounds = {name: t.astype(object).where(t.notna(), None).to_dict("records") for name, t in tables.items()}
        print_result({"about": about, "target": target, "target_of": whose, **rounds}, True, "")
        return
    table = table_in_words(curves)
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    shown = Console(soft_wrap=True, highlight=False)
    shown.print(
        f"{about[0].upper()}{about[1:]}; {curves['seed'].nunique()} seeds, a part of them held out.", markup=False
    )
    shown.print(table_of(rows, *rows[0]))
    shown.print(text_plot(curves), markup=False)
    shown.print(in_words(curves), markup=False)


def _serve(opened: OpenWorkspace, port: int | None, address: str | None = None, with_worker: bool = True) -> None:
    from labeling.web.server import run

    messages.print(offer_of_clip(), markup=False)
    run(opened.workspace, port=port, address=address, with_worker=with_worker)
