"""An import as a job: looked at first, asked for on a page, at the terminal or over REST, performed by a worker."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlmodel import Session

from labeling import jobs
from labeling.db.engine import reading as db_reading
from labeling.db.engine import writing
from labeling.db.schema import Event, Job, JobKind, JobState, Role
from labeling.errors import AskwiseError, Invalid, NotFound
from labeling.intake import demo, inbox, sources
from labeling.intake.importer import Labels, import_records, mixes_kinds
from labeling.intake.ledger import ImportReport, Ledger, refused_path
from labeling.intake.previewing import preview_apart
from labeling.intake.records import Preview, Reading, Record, Refused
from labeling.projects import create_project, list_projects
from labeling.users import require
from labeling.workspace import Workspace

DIGITS = "digits"
PREVIEWED = 20  # rows
SHOWN = 500  # characters of a cell
MOST_STARTS = 3  # without anything coming in

Found = TypeVar("Found", Record | Refused, Refused)


class ImportView(BaseModel):
    """An import as people see it."""

    id: int
    project_id: int
    name: str  # of the file or folder
    state: JobState
    progress: float  # 0 to 1; 0 while it is not known
    message: str
    error: str
    labels: str
    read: int = 0
    added: int = 0
    duplicates: int = 0
    labeled: int = 0
    refused_count: int = 0
    refused: list[dict[str, Any]] = []  # the first of them; all are in the list that can be downloaded
    equal: list[dict[str, Any]] = []  # the first duplicates within the import, and what they are duplicates of


def preview_import(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    path: Path,
    reading: Reading | None = None,
    *,
    rows: int = PREVIEWED,
    name: str = "",
) -> Preview:
    """The first rows of a file or folder as they would come into a project.

    Parameters
    ----------
    name
        What people call the file, where that is not what it is called here.

    Raises
    ------
    Invalid
        If it cannot be read as a whole.
    NotAllowed
        If the acting user is not an owner of the project.
    """
    _require_owner(workspace, actor_id, project_id)
    with _called(path, name):
        found = preview_apart(path, reading, rows)
    with db_reading(workspace.engine) as session:
        notes = [note for note in [mixes_kinds(session, project_id, found.kind), *found.notes] if note]
    refused = [_renamed(refused, path, name) for refused in found.refused]
    return found.model_copy(update={"refused": refused, "notes": notes})


def as_table(preview: Preview) -> list[dict[str, Any]]:
    """A preview's rows as a table of short cells: the item, its label, then what else is known of it.

    What an item is called is shown where a column says it: a name that was made up says nothing.
    """
    rows, with_id = [], "id" in (preview.reading.roles or {}).values()
    for row in preview.rows:
        what = row.get("fields") or {name: row[name] for name in ("text", "image") if name in row}
        label = {} if row.get("label") is None else {"label": row["label"]}
        named = {"id": row.get("id")} if with_id else {}
        cells = {**named, **what, **label, **row.get("meta", {})}
        rows.append({name: _short(value) for name, value in cells.items()})
    return rows


def request_import(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    path: Path,
    *,
    labels: Labels = "oracle",
    reading: Reading | None = None,
    name: str = "",
) -> int:
    """Ask for what a file or folder holds; returns the job's id.

    Parameters
    ----------
    labels
        What known classes become; see `labeling.intake.importer.import_records`.
    reading
        How it is to be read; what is None in it is guessed.
    name
        What people call the file, where that is not what it is called here.

    Raises
    ------
    Invalid
        If there is nothing at `path`.
    NotAllowed
        If the acting user is not an owner of the project.
    """
    if not path.exists():
        raise Invalid(f"There is nothing at {path}; give a file or a folder.")
    how = reading.model_dump(exclude_none=True) if reading is not None else {}
    payload = {"path": str(path.resolve()), "labels": labels, "reading": how, "name": name or path.name}
    return _request(workspace, actor_id, project_id, payload)


def request_digits(workspace: Workspace, actor_id: int) -> tuple[int, int | None]:
    """The digits project, made where it is missing; returns its id, and its import job's unless it is full."""
    there = next((p for p in list_projects(workspace, actor_id) if p.name == DIGITS), None)
    guidelines = "Which digit is it? Choose what the writer meant; skip what cannot be read."
    classes = [str(digit) for digit in range(10)]
    project_id = there.id if there else create_project(workspace, actor_id, DIGITS, classes, guidelines=guidelines)
    if there is not None and there.items == demo.DIGITS:
        return project_id, None
    return project_id, _request(workspace, actor_id, project_id, {"demo": DIGITS})


def run_import(workspace: Workspace, job: Job, progress: Callable[[float, str], None]) -> Ledger:
    """Perform an import job; an uploaded file is gone when all of it is in.

    Raises
    ------
    Invalid
        If the source cannot be read as a whole, or workers have died of it.
    labeling.jobs.Cancelled
        If the job was cancelled meanwhile, or `progress` raises it.
    """
    given = job.payload
    path, name = Path(given["path"]) if "path" in given else None, given.get("name", "")
    how = Reading.model_validate(given.get("reading", {}))
    _note_start(workspace, job)
    ledger = Ledger(workspace, job, mark_of(path) if path is not None else None)
    with (
        _called(path, name) if path is not None else nullcontext(),
        sources.open_source(path, how) if path is not None else nullcontext(demo.digits_source()) as source,
    ):
        if path is not None and name:
            source = replace(source, records=(_renamed(record, path, name) for record in source.records))
        import_records(
            workspace,
            job.project_id,
            source,
            actor_id=job.user_id or 0,
            labels=given.get("labels", "oracle"),
            ledger=ledger,
            progress=progress,
        )
    if path is not None and inbox.is_upload(workspace, path):
        path.unlink(missing_ok=True)
    return ledger


def read_import(workspace: Workspace, actor_id: int, job_id: int) -> ImportView:
    """How an import stands.

    Raises
    ------
    NotFound, NotAllowed
        If there is no such import in a project that the acting user owns.
    """
    with db_reading(workspace.engine) as session:
        return _view(_own(session, actor_id, job_id))


def cancel_import(workspace: Workspace, actor_id: int, job_id: int) -> ImportView:
    """Stop an import, keeping what went in; one that has ended stays as it is. See `read_import` for the errors."""
    with writing(workspace.engine) as session:
        job = _own(session, actor_id, job_id)
        if job.state in (JobState.QUEUED, JobState.RUNNING):
            jobs.cancel(session, job_id)
            jobs.request(session, job.project_id, JobKind.ENCODE)
            detail = {"job": job_id, "added": job.report.get("added", 0)}
            session.add(Event(project_id=job.project_id, user_id=actor_id, kind="import cancelled", detail=detail))
            session.flush()
            session.refresh(job)
        return _view(job)


def resume_import(workspace: Workspace, actor_id: int, job_id: int) -> ImportView:
    """Go on with an import that was cancelled or failed.

    Raises
    ------
    Invalid
        If it is neither, or its file is gone.
    NotFound, NotAllowed
        If there is no such import in a project that the acting user owns.
    """
    with writing(workspace.engine) as session:
        job = _own(session, actor_id, job_id)
        if "path" in job.payload and not Path(job.payload["path"]).exists():
            raise Invalid(f"{job.payload.get('name') or 'The file'} is not there any more; import it anew.")
        if not jobs.resume(session, job_id):
            raise Invalid("This import was neither cancelled nor did it fail; there is nothing to resume.")
        job.report = {**job.report, "starts": 0}
        session.flush()
        session.refresh(job)
        return _view(job)


def refused_file(workspace: Workspace, actor_id: int, job_id: int) -> Path:
    """The list of everything that an import refused, as CSV.

    Raises
    ------
    NotFound, NotAllowed
        If there is no such import in a project that the acting user owns, or it refused nothing.
    """
    with db_reading(workspace.engine) as session:
        _own(session, actor_id, job_id)
    path = refused_path(workspace, job_id)
    if not path.is_file():
        raise NotFound("This import has refused nothing.")
    return path


def in_words(report: ImportReport) -> str:
    """An import's outcome in one sentence."""
    parts = [f"{report.added:,} added"]
    if report.duplicates:
        parts.append(f"{report.duplicates:,} already there")
    if report.labeled:
        parts.append(f"{report.labeled:,} with their labels")
    if report.refused:
        first = report.refused[0]
        parts.append(f"{report.refused_count:,} refused, the first being {first.name}: {first.why.rstrip('.')}")
    return ", ".join(parts) + "."


def mark_of(path: Path) -> str | None:
    """What tells that a file is the same as before; None for a folder, which would have to be read for that."""
    about = path.stat() if path.is_file() else None
    return f"{about.st_size} bytes of {about.st_mtime_ns}" if about is not None else None


def _note_start(workspace: Workspace, job: Job) -> None:
    """Count how often this job was begun since a batch came in: a file that kills its worker must not kill the next."""
    starts = job.report.get("starts", 0)
    if starts >= MOST_STARTS:
        way_out = "it may be too large for the memory there is; split it, then import the parts"
        raise Invalid(f"The worker ended {starts} times while it read {job.payload.get('name') or 'this'}: {way_out}.")
    with writing(workspace.engine) as session:
        jobs.keep(session, job, {**job.report, "starts": starts + 1})


def _short(value: Any) -> Any:
    return value[: SHOWN - 1] + "…" if isinstance(value, str) and len(value) > SHOWN else value


@contextmanager
def _called(path: Path, name: str) -> Iterator[None]:
    """Let sentences about an upload use the name that people know it by."""
    try:
        yield
    except AskwiseError as error:
        if not name or name == path.name or path.name not in str(error):
            raise
        raise type(error)(str(error).replace(path.name, name)) from error


def _renamed(record: Found, path: Path, name: str) -> Found:
    """The same, with the name that people know the file by."""
    if not isinstance(record, Refused) or not name or name == path.name:
        return record
    return record._replace(name=record.name.replace(path.name, name), why=record.why.replace(path.name, name))


def _view(job: Job) -> ImportView:
    counted = {*ImportReport.__dataclass_fields__} & {*ImportView.model_fields} & {*job.report}
    return ImportView(
        id=job.id or 0,
        project_id=job.project_id,
        name=job.payload.get("name") or job.payload.get("demo", ""),
        labels=job.payload.get("labels", "oracle"),
        **job.model_dump(include={"state", "progress", "message", "error"}),
        **{name: job.report[name] for name in counted},
    )


def _own(session: Session, actor_id: int, job_id: int) -> Job:
    job = session.get(Job, job_id)
    try:
        if job is not None and job.kind is JobKind.IMPORT:
            require(session, actor_id, job.project_id, Role.OWNER)
            return job
    except NotFound:  # to a stranger, a project's imports are not there either
        pass
    raise NotFound(f"There is no import {job_id} in a project of yours.")


def _require_owner(workspace: Workspace, actor_id: int, project_id: int) -> None:
    with db_reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)


def _request(workspace: Workspace, actor_id: int, project_id: int, payload: dict[str, Any]) -> int:
    with writing(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
        job = jobs.request(session, project_id, JobKind.IMPORT, user_id=actor_id, payload=payload)
        assert job.id is not None
        return job.id
