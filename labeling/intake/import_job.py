"""An import as a job: asked for on a page or at the terminal, performed by a worker."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from labeling import jobs
from labeling.db.engine import writing
from labeling.db.schema import Job, JobKind, Role
from labeling.errors import Invalid
from labeling.intake import demo
from labeling.intake.importer import ImportReport, import_images
from labeling.projects import create_project, list_projects
from labeling.users import require
from labeling.workspace import Workspace

DIGITS = "digits"
REPORTED = 1000  # refused files kept with the job


def request_import(
    workspace: Workspace, actor_id: int, project_id: int, path: Path, *, labels: Literal["oracle", "ignore"] = "oracle"
) -> int:
    """Ask for the images of a folder or zip; returns the job's id.

    Raises
    ------
    Invalid
        If there is nothing at `path`.
    NotAllowed
        If the acting user is not an owner of the project.
    """
    if not path.exists():
        raise Invalid(f"There is nothing at {path}; give a folder or a zip of images.")
    return _request(workspace, actor_id, project_id, {"path": str(path.resolve()), "labels": labels})


def request_digits(workspace: Workspace, actor_id: int) -> tuple[int, int | None]:
    """The digits project, made where it is missing; returns its id, and its import job's unless it is full."""
    there = next((p for p in list_projects(workspace, actor_id) if p.name == DIGITS), None)
    guidelines = "Which digit is it? Choose what the writer meant; skip what cannot be read."
    classes = [str(digit) for digit in range(10)]
    project_id = there.id if there else create_project(workspace, actor_id, DIGITS, classes, guidelines=guidelines)
    if there is not None and there.items == demo.DIGITS:
        return project_id, None
    return project_id, _request(workspace, actor_id, project_id, {"demo": DIGITS})


def run_import(workspace: Workspace, job: Job, progress: Callable[[float, str], None]) -> ImportReport:
    """Perform an import job; an uploaded file is gone afterwards."""
    given = job.payload
    source = demo.digits_source() if given.get("demo") == DIGITS else Path(given["path"])
    report = import_images(
        workspace,
        job.project_id,
        source,
        actor_id=job.user_id or 0,
        labels=given.get("labels", "oracle"),
        job_id=job.id,
        progress=progress,
    )
    if isinstance(source, Path) and source.is_relative_to(workspace.uploads()):
        source.unlink(missing_ok=True)
    return report


def in_words(report: ImportReport) -> str:
    """An import's outcome in one sentence."""
    parts = [f"{report.added:,} added"]
    if report.duplicates:
        parts.append(f"{report.duplicates:,} already there")
    if report.refused:
        name, sentence = report.refused[0]
        parts.append(f"{len(report.refused):,} refused, the first being {name}: {sentence.rstrip('.')}")
    return ", ".join(parts) + "."


def as_dict(report: ImportReport) -> dict[str, Any]:
    """An import's outcome as it is kept with its job."""
    refused = [{"name": name, "why": why} for name, why in report.refused[:REPORTED]]
    return {
        "added": report.added,
        "duplicates": report.duplicates,
        "refused_count": len(report.refused),
        "refused": refused,
    }


def _request(workspace: Workspace, actor_id: int, project_id: int, payload: dict[str, Any]) -> int:
    with writing(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
        job = jobs.request(session, project_id, JobKind.IMPORT, user_id=actor_id, payload=payload)
        assert job.id is not None
        return job.id
