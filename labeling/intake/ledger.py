"""What an import did: counts, the first of what it could not take, and all of that in a file beside the job.

The account is kept with the job in the very transaction that brings a batch in. An import that was killed or cancelled
therefore goes on where it stopped, and neither counts nor refuses anything twice.
"""

import csv
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self, TextIO

from sqlmodel import Session

from labeling import jobs
from labeling.db.schema import Job
from labeling.intake.records import Refused
from labeling.workspace import Workspace, resolve_inside

KEPT = 1000  # refused records, and duplicates, that are kept with the job itself
COLUMNS = ("name", "line", "why")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Duplicate(NamedTuple):
    """A record whose content is that of another item, and what that one is called."""

    name: str
    line: int | None
    item: str


@dataclass
class ImportReport:
    """What an import did.

    Attributes
    ----------
    read : int
        Records that are behind it, whatever became of them.
    duplicates : int
        Records whose content is in the project; the first of those that came in now, or under another name, are in
        `equal`.
    labeled : int
        Answers that were brought along.
    refused_count : int
        Records that could not be taken; the first are in `refused`.
    """

    read: int = 0
    added: int = 0
    duplicates: int = 0
    labeled: int = 0
    refused_count: int = 0
    refused: list[Refused] = field(default_factory=list)
    equal: list[Duplicate] = field(default_factory=list)
    cancelled: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The report as it is kept with a job."""
        shown = {"refused": [r._asdict() for r in self.refused], "equal": [e._asdict() for e in self.equal]}
        return {**asdict(self), **shown}

    @classmethod
    def of_dict(cls, kept: dict[str, Any]) -> "ImportReport":
        """The report that `as_dict` gave."""
        counts = {name: kept.get(name, 0) for name in ("read", "added", "duplicates", "labeled", "refused_count")}
        return cls(
            **counts,
            refused=[Refused(**r) for r in kept.get("refused", [])],
            equal=[Duplicate(**e) for e in kept.get("equal", [])],
        )


def refused_path(workspace: Workspace, job_id: int) -> Path:
    """Where everything that a job's import refused is listed, as CSV."""
    return resolve_inside(workspace.root, "imports", str(job_id), "refused.csv")


class Ledger:
    """The account of one import; without a job it lives in memory only.

    Parameters
    ----------
    job
        The job that this import is, held by its worker.
    mark
        What tells that the source is the one that an earlier run of this job read; that run is then continued.
    """

    def __init__(self, workspace: Workspace | None = None, job: Job | None = None, mark: str | None = None) -> None:
        self.job, self.mark = job, mark
        self._path = refused_path(workspace, job.id) if workspace and job and job.id is not None else None
        self._file: TextIO | None = None
        before = job.report if job is not None and mark is not None and job.report.get("mark") == mark else {}
        self.report = ImportReport.of_dict(before)
        self._bytes = int(before.get("refused_bytes", 0))

    @property
    def job_id(self) -> int | None:
        """Of the job that this import is."""
        return self.job.id if self.job else None

    def __enter__(self) -> Self:
        if self._path is not None and self._path.exists():
            with self._path.open("r+b") as file:  # what a batch that never came in had refused will be refused again
                file.truncate(self._bytes)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def refuse(self, refused: Refused) -> None:
        """Note a record that cannot be taken."""
        self.report.refused_count += 1
        if len(self.report.refused) < KEPT:
            self.report.refused.append(refused)
        if self._path is not None:
            self._write(refused)

    def equals(self, duplicate: Duplicate) -> None:
        """Note what a duplicate is a duplicate of."""
        if len(self.report.equal) < KEPT:
            self.report.equal.append(duplicate)

    def keep(self, session: Session) -> None:
        """Keep the account with the job, in the caller's transaction.

        Raises
        ------
        labeling.jobs.Cancelled
            If the job was cancelled or taken away: the transaction must not commit.
        """
        if self.job is None:
            return
        if self._file is not None:
            self._file.flush()
            self._bytes = self._file.tell()
        jobs.keep(session, self.job, self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The account as it is kept with the job."""
        return {**self.report.as_dict(), "mark": self.mark, "refused_bytes": self._bytes}

    def _write(self, refused: Refused) -> None:
        if self._file is None:
            assert self._path is not None
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Names of files can be bytes that are no text: whatever refused them is to be written all the same.
            self._file = self._path.open("a", encoding="utf-8", errors="backslashreplace", newline="")
            if self._bytes == 0:
                csv.writer(self._file).writerow(COLUMNS)
        csv.writer(self._file).writerow([_cell(refused.name), refused.line, _cell(refused.why)])


def _cell(text: str) -> str:
    """Text that a spreadsheet would take for a formula is led by an apostrophe."""
    return "'" + text if text.startswith(FORMULA_STARTS) else text
