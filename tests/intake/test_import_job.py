"""An import as a job: how it is kept, cancelled, killed, resumed and told, and what becomes of its file."""

import csv
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlmodel import col, func, select

from labeling import jobs
from labeling.db.engine import reading, writing
from labeling.db.schema import Event, Item, Job, JobKind, JobState, Role
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.intake import import_job, importer, inbox, previewing
from labeling.intake.import_job import (
    cancel_import,
    preview_import,
    read_import,
    refused_file,
    request_import,
    resume_import,
)
from labeling.intake.records import Reading
from labeling.learning import worker
from labeling.learning.worker import run_worker, work_off
from labeling.users import grant
from labeling.workspace import Workspace
from tests.db.small_project import add_user

PATIENCE_SECONDS = 60.0


def quiet(_share: float, _line: str) -> None:
    pass


def count_items(workspace: Workspace, project: int) -> int:
    with reading(workspace.engine) as session:
        return session.exec(select(func.count()).select_from(Item).where(Item.project_id == project)).one()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Ninety texts and ten rows that cannot be taken, every tenth."""
    lines = ["text,topic", *('"",none' if i % 10 == 9 else f"text number {i} of many,t{i % 3}" for i in range(100))]
    path = tmp_path / "mails.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of ten."""
    monkeypatch.setitem(importer.BATCH_RECORDS, "text", 10)
    monkeypatch.setattr(importer, "MOST_RECORDS", 10)


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Have something done once, after so many batches that an import kept."""

    def stop(after: int, act: Callable[[], None]) -> None:
        kept = jobs.keep
        count = -1  # that it begins is kept first

        def keep(session: object, job: Job, report: dict[str, object]) -> None:
            nonlocal count
            kept(session, job, report)  # type: ignore[arg-type]
            count += 1
            if count == after:
                act()

        monkeypatch.setattr(jobs, "keep", keep)

    return stop


def test_an_import_ends_with_counts_and_everything_refused_in_a_file(
    workspace: Workspace, project: int, owner: int, table: Path
):
    job = request_import(workspace, owner, project, table, labels="imported")
    waiting = read_import(workspace, owner, job)
    assert (waiting.state, waiting.name, waiting.labels) == (JobState.QUEUED, "mails.csv", "imported")
    work_off(workspace, job, quiet)
    view = read_import(workspace, owner, job)
    assert (view.state, view.progress, view.error) == (JobState.DONE, 1.0, "")
    assert (view.read, view.added, view.labeled, view.refused_count) == (100, 90, 90, 10)
    assert view.refused[0]["line"] == 11 and view.refused[0]["name"] == "mails.csv"
    with refused_file(workspace, owner, job).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["line"]) for row in rows] == list(range(11, 102, 10))
    assert all(row["why"] for row in rows)


def test_beyond_those_kept_with_the_job_all_refused_are_in_the_file(
    workspace: Workspace, project: int, owner: int, tmp_path: Path
):
    path = tmp_path / "=1+2.csv"
    path.write_text("text,label\n" + '"",a\n' * 1500 + "good text here,a\n", encoding="utf-8")
    job = request_import(workspace, owner, project, path, reading=Reading(roles={"text": "text", "label": "label"}))
    work_off(workspace, job, quiet)
    view = read_import(workspace, owner, job)
    assert (view.added, view.refused_count, len(view.refused)) == (1, 1500, 1000)
    lines = refused_file(workspace, owner, job).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1501
    assert all(line.startswith("'=1+2.csv,") for line in lines[1:])  # what a spreadsheet would run is text


def test_an_import_that_refused_nothing_has_no_list(workspace: Workspace, project: int, owner: int):
    job = request_import(workspace, owner, project, workspace.root)
    with pytest.raises(NotFound, match="refused nothing"):
        refused_file(workspace, owner, job)


@pytest.mark.usefixtures("of_ten")
def test_a_cancelled_import_keeps_what_went_in_and_goes_on_where_it_stopped(
    workspace: Workspace, project: int, owner: int, table: Path, stopping
):
    job = request_import(workspace, owner, project, table)
    ready = threading.Event()

    def cancel_from_elsewhere() -> None:
        # A page's cancel waits for the transaction of the batch, and the next batch finds it.
        threading.Thread(target=lambda: (cancel_import(workspace, owner, job), ready.set())).start()

    stopping(3, cancel_from_elsewhere)
    seen = []

    def progress(_share: float, _line: str) -> None:
        seen.append(1)
        if len(seen) == 3:
            assert ready.wait(PATIENCE_SECONDS)

    ended = work_off(workspace, job, progress)
    view = read_import(workspace, owner, job)
    assert (ended.state, view.read, view.added, view.refused_count) == (JobState.CANCELLED, 30, 27, 3)
    assert count_items(workspace, project) == 27
    with reading(workspace.engine) as session:
        assert session.exec(select(Event).where(Event.kind == "import cancelled")).one().user_id == owner

    assert resume_import(workspace, owner, job).state is JobState.QUEUED
    work_off(workspace, job, quiet)
    view = read_import(workspace, owner, job)
    assert (view.state, view.read, view.added, view.duplicates) == (JobState.DONE, 100, 90, 0)
    assert view.refused_count == len(view.refused) == 10
    assert len(refused_file(workspace, owner, job).read_text().splitlines()) == 11
    with reading(workspace.engine) as session:
        rows = session.exec(select(Item.row).where(Item.project_id == project).order_by(col(Item.row))).all()
    assert list(rows) == list(range(90))


@pytest.mark.usefixtures("of_ten")
def test_what_went_into_a_cancelled_import_is_encoded(workspace: Workspace, project: int, owner: int, table: Path):
    job = request_import(workspace, owner, project, table)
    cancel_import(workspace, owner, job)
    with reading(workspace.engine) as session:
        assert [j.kind for j in jobs.unfinished(session, project)] == [JobKind.ENCODE]
    assert cancel_import(workspace, owner, job).state is JobState.CANCELLED  # once is as good as twice


@pytest.mark.usefixtures("of_ten")
def test_an_import_whose_worker_died_is_taken_up_where_it_stopped(
    workspace: Workspace, project: int, owner: int, table: Path, stopping
):
    job = request_import(workspace, owner, project, table)

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    stopping(4, die)  # before the fourth batch commits, with its refusal in the file already
    with pytest.raises(Killed):
        work_off(workspace, job, quiet)
    assert count_items(workspace, project) == 27
    with writing(workspace.engine) as session:
        stale = session.get_one(Job, job)
        assert stale.state is JobState.RUNNING
        stale.heartbeat = time.time() - jobs.STALE_SECONDS - 1
    work_off(workspace, job, quiet)
    view = read_import(workspace, owner, job)
    assert (view.read, view.added, view.duplicates, view.refused_count) == (100, 90, 0, 10)
    assert len(refused_file(workspace, owner, job).read_text().splitlines()) == 11


def test_a_file_that_kills_its_worker_is_given_up_after_a_few_workers(
    workspace: Workspace, project: int, owner: int, table: Path, monkeypatch: pytest.MonkeyPatch
):
    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(import_job, "import_records", kill)
    job = request_import(workspace, owner, project, table)
    for _ in range(import_job.MOST_STARTS):
        with pytest.raises(Killed):
            work_off(workspace, job, quiet)
        with writing(workspace.engine) as session:
            session.get_one(Job, job).heartbeat = 0.0
    work_off(workspace, job, quiet)
    view = read_import(workspace, owner, job)
    assert view.state is JobState.FAILED and "ended 3 times while it read mails.csv" in view.error
    monkeypatch.undo()
    resume_import(workspace, owner, job)
    work_off(workspace, job, quiet)
    assert read_import(workspace, owner, job).added == 90


@pytest.mark.usefixtures("of_ten")
def test_a_file_that_changed_meanwhile_is_read_from_its_beginning(
    workspace: Workspace, project: int, owner: int, table: Path, stopping
):
    job = request_import(workspace, owner, project, table)
    stopping(2, lambda: (_ for _ in ()).throw(Invalid("The disk is full.")))
    work_off(workspace, job, quiet)
    assert read_import(workspace, owner, job).error == "The disk is full."
    table.write_text("text,topic\na new first line,t0\n" + table.read_text().partition("\n")[2], encoding="utf-8")
    resume_import(workspace, owner, job)
    work_off(workspace, job, quiet)
    view = read_import(workspace, owner, job)
    assert (view.read, view.added, view.duplicates, view.refused_count) == (101, 82, 9, 10)
    assert count_items(workspace, project) == 91


def test_only_what_ended_early_is_resumed(workspace: Workspace, project: int, owner: int, table: Path):
    job = request_import(workspace, owner, project, table)
    with pytest.raises(Invalid, match="nothing to resume"):
        resume_import(workspace, owner, job)
    cancel_import(workspace, owner, job)
    table.unlink()
    with pytest.raises(Invalid, match=r"mails\.csv is not there any more"):
        resume_import(workspace, owner, job)


def test_an_upload_goes_when_it_is_in_and_stays_while_it_can_be_resumed(
    workspace: Workspace, project: int, owner: int, table: Path
):
    with inbox.begin_upload(workspace, owner, project, "My mails.CSV") as arriving:
        arriving.write(table.read_bytes())
    path = inbox.open_upload(workspace, owner, project, arriving.id)
    assert path.suffix == ".csv" and "mails" not in path.name
    job = request_import(workspace, owner, project, path, name="My mails.CSV")
    cancel_import(workspace, owner, job)
    assert path.exists()
    resume_import(workspace, owner, job)
    work_off(workspace, job, quiet)
    view = read_import(workspace, owner, job)
    assert (view.added, view.refused[0]["name"]) == (90, "My mails.CSV")
    assert list(workspace.uploads().iterdir()) == []


def test_an_upload_that_breaks_off_leaves_nothing(workspace: Workspace, project: int, owner: int):
    with pytest.raises(OSError), inbox.begin_upload(workspace, owner, project, "a.csv") as arriving:
        arriving.write(b"half")
        raise OSError
    assert list(workspace.uploads().iterdir()) == []


def test_an_upload_is_no_larger_than_agreed(
    workspace: Workspace, project: int, owner: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inbox, "MAX_UPLOAD", 10)
    with pytest.raises(Invalid, match="import folder"), inbox.begin_upload(workspace, owner, project) as arriving:
        arriving.write(b"0123456789")
        arriving.write(b"0")
    assert list(workspace.uploads().iterdir()) == []


def test_an_upload_is_swept_after_a_week(workspace: Workspace, project: int, owner: int):
    ids = []
    for age in (0.0, inbox.KEPT_SECONDS - 3600, inbox.KEPT_SECONDS + 3600):
        with inbox.begin_upload(workspace, owner, project, "a.csv") as arriving:
            arriving.write(b"x")
        os.utime(arriving.path, (time.time() - age, time.time() - age))
        ids.append(arriving.id)
    inbox.sweep(workspace)
    assert {path.name for path in workspace.uploads().iterdir()} == set(ids[:2])


@pytest.mark.parametrize(
    "upload", ["", "../askwise.db", "1-" + "0" * 32, "/etc/passwd", "x", "1-../../askwise.db", "1" * 400]
)
def test_only_an_upload_for_this_project_is_opened(workspace: Workspace, project: int, owner: int, upload: str):
    with pytest.raises(NotFound, match="no such upload"):
        inbox.open_upload(workspace, owner, project, upload)


def test_an_upload_for_one_project_is_none_for_another(workspace: Workspace, project: int, owner: int):
    from labeling.projects import create_project

    other = create_project(workspace, owner, "other", [])
    with inbox.begin_upload(workspace, owner, project, "a.csv") as arriving:
        arriving.write(b"x")
    with pytest.raises(NotFound):
        inbox.open_upload(workspace, owner, other, arriving.id)


@pytest.fixture
def folder(workspace: Workspace, tmp_path: Path) -> Path:
    made = workspace.root / "import"
    (made / "photos" / "cats").mkdir(parents=True)
    (made / "mails.csv").write_text("text\nx\n")
    (made / ".hidden").write_text("x")
    (made / "link.csv").symlink_to(tmp_path)
    (made / "photos" / "out").symlink_to(tmp_path)
    return made


def test_the_import_folder_lists_what_lies_in_it(workspace: Workspace, project: int, owner: int, folder: Path):
    assert inbox.list_folder(workspace, owner, project) == ["mails.csv", "photos"]
    assert inbox.find_in_folder(workspace, owner, project, "photos/cats") == folder / "photos" / "cats"


def test_the_import_folder_may_be_elsewhere(
    workspace: Workspace, project: int, owner: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert inbox.list_folder(workspace, owner, project) == []
    monkeypatch.setenv("ASKWISE_IMPORT_FOLDER", str(tmp_path / "shelf"))
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "a.csv").write_text("text\nx\n")
    assert inbox.list_folder(workspace, owner, project) == ["a.csv"]
    assert inbox.find_in_folder(workspace, owner, project, "a.csv") == tmp_path / "shelf" / "a.csv"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "path",
    [
        "..", "../askwise.db", "/etc/passwd", "link.csv", "photos/out", "photos/out/x", "photos/../../askwise.db",
        "a\0b",
        ".", "", "nothing",
    ],
)  # fmt: skip
def test_nothing_outside_the_import_folder_is_found(workspace: Workspace, project: int, owner: int, path: str):
    with pytest.raises(Invalid, match="import folder"):
        inbox.find_in_folder(workspace, owner, project, path)


def test_a_preview_changes_nothing_and_calls_the_file_by_its_own_name(
    workspace: Workspace, project: int, owner: int, table: Path
):
    found = preview_import(workspace, owner, project, table, rows=12, name="posts")
    assert (found.kind, found.reading.delimiter, len(found.rows)) == ("text", ",", 11)
    assert [(r.name, r.line) for r in found.refused] == [("posts", 11)]
    assert import_job.as_table(found)[0]["text"] == "text number 0 of many"
    assert count_items(workspace, project) == 0
    empty = table.with_name("8f3a.csv")
    empty.write_bytes(b"")
    with pytest.raises(Invalid) as refused:
        preview_import(workspace, owner, project, empty, name="mine.csv")
    assert "8f3a" not in str(refused.value)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of one process")
def test_a_few_bytes_that_stand_for_gigabytes_take_nothing_down(
    workspace: Workspace, project: int, owner: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["x" * 9_000_000]))
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"text": once}), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 10_000
    with pytest.raises(Invalid, match=r"^mine\.parquet cannot be read: its rows are too large"):
        preview_import(workspace, owner, project, path, name="mine.parquet")


def test_a_preview_that_takes_too_long_is_given_up(
    workspace: Workspace, project: int, owner: int, table: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(previewing, "SECONDS", 0.01)
    with pytest.raises(Invalid, match="takes longer than"):
        preview_import(workspace, owner, project, table)


@pytest.mark.parametrize("act", [read_import, cancel_import, resume_import, refused_file])
def test_another_projects_imports_are_not_there_for_a_stranger(
    workspace: Workspace, project: int, owner: int, table: Path, act: Callable[..., object]
):
    job = request_import(workspace, owner, project, table)
    stranger, annotator = add_user(workspace, "eve"), add_user(workspace, "bob")
    with writing(workspace.engine) as session:
        grant(session, project, annotator, Role.ANNOTATOR)
        encode = jobs.request(session, project, JobKind.ENCODE).id
    with pytest.raises(NotFound, match=f"^There is no import {job} in a project of yours"):
        act(workspace, stranger, job)
    with pytest.raises(NotAllowed):
        act(workspace, annotator, job)
    for missing in (encode, 999):
        with pytest.raises(NotFound):
            act(workspace, owner, missing)
    assert read_import(workspace, owner, job).state is JobState.QUEUED


@pytest.fixture
def working(workspace: Workspace) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=run_worker, args=(workspace, stop))
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.mark.usefixtures("working")
def test_a_new_model_does_not_wait_for_an_import(
    workspace: Workspace, project: int, owner: int, table: Path, monkeypatch: pytest.MonkeyPatch
):
    begun, go_on = threading.Event(), threading.Event()

    def take_long(*_: object) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)
        raise Invalid("Enough.")

    monkeypatch.setitem(worker._PERFORM, JobKind.IMPORT, take_long)
    request_import(workspace, owner, project, table)
    assert begun.wait(PATIENCE_SECONDS)
    with writing(workspace.engine) as session:
        training = jobs.request(session, project, JobKind.TRAIN).id
    until = time.monotonic() + PATIENCE_SECONDS
    while jobs.read(workspace, training or 0).state is not JobState.DONE:
        assert time.monotonic() < until
        time.sleep(0.02)
    go_on.set()
