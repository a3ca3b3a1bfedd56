"""Imports into a project: what goes in, what is refused by name, and what happens when it is done again, or at once."""

import re
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlmodel import col, select

from labeling.db.engine import reading, writing
from labeling.db.schema import Event, Item, LabelClass, Membership, Role, User
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.intake import importer
from labeling.intake.importer import ImportReport, import_records
from labeling.intake.records import Record, Source
from labeling.intake.sources import open_source
from labeling.projects import create_project
from labeling.workspace import Workspace

ROOT = Path(__file__).parents[2]
Encode = Callable[..., bytes]


def import_images(workspace: Workspace, project: int, source: Path | Source, **how: Any) -> ImportReport:
    """Import a source, or what lies at a path."""
    with nullcontext(source) if isinstance(source, Source) else open_source(source) as opened:
        return import_records(workspace, project, opened, **how)


def items_of(workspace: Workspace, project: int) -> list[Item]:
    with reading(workspace.engine) as session:
        return list(session.exec(select(Item).where(Item.project_id == project).order_by(col(Item.row))).all())


def classes_by_id(workspace: Workspace, project: int) -> dict[int | None, str]:
    with reading(workspace.engine) as session:
        return {c.id: c.name for c in session.exec(select(LabelClass).where(LabelClass.project_id == project)).all()}


@pytest.fixture
def shades(encode: Encode) -> Callable[..., Source]:
    """A source of n gray images, each of its own shade."""

    def make(n: int, prefix: str = "s", start: int = 0) -> Source:
        def record(i: int) -> Record:
            return Record(f"{prefix}{i}", read=lambda: encode(Image.new("RGB", (2, 2), (i % 256, i // 256, start))))

        return Source("image", [record(i) for i in range(n)], n)

    return make


def together(*sources: Source) -> Source:
    records = [record for source in sources for record in source.records]
    return Source(sources[0].kind, records, len(records))


def test_bad_files_are_reported_by_name_and_the_others_go_in(
    workspace: Workspace,
    project: int,
    owner: int,
    pool: Path,
    tmp_path: Path,
    good_files: dict[str, bytes],
    bad_files: dict[str, tuple[bytes, str]],
):
    archive = tmp_path / "pool.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(pool.rglob("*")):
            file.write(path, path.relative_to(pool))
    other = create_project(workspace, owner, "the same from a zip", ())
    for project_id, path in ((project, pool), (other, archive)):
        report = import_images(workspace, project_id, path, actor_id=owner)
        assert (report.added, report.duplicates) == (len(good_files), 0)
        refused = {name: why for name, _, why in report.refused}
        assert set(refused) == {f"bad/{name}" for name in bad_files}
        for name, (_, part) in bad_files.items():
            assert part in refused[f"bad/{name}"]
        items = items_of(workspace, project_id)
        assert [item.external_id for item in items] == sorted(f"good/{name}" for name in good_files)
        assert [item.row for item in items] == list(range(len(good_files)))
        for item in items:
            assert item.content_hash == item.media == sha256(good_files[Path(item.external_id).name]).hexdigest()
            assert workspace.media(item.content_hash).stat().st_size > 0
    stored = [path for path in (workspace.root / "media").rglob("*") if path.is_file()]
    assert len(stored) == len(good_files)  # nothing of the bad files, no file half written


def test_known_classes_are_kept_for_the_oracle_or_ignored(
    workspace: Workspace, project: int, owner: int, tmp_path: Path, encode: Encode
):
    for i, name in enumerate(["dogs/1.png", "cats/2.png", "cats/3.png", "4.png"]):
        (tmp_path / "pool" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pool" / name).write_bytes(encode(Image.new("L", (2, 2), i)))
    with writing(workspace.engine) as session:
        session.add(LabelClass(project_id=project, name="dogs"))
    import_images(workspace, project, tmp_path / "pool", actor_id=owner)
    names = classes_by_id(workspace, project)
    assert sorted(names.values()) == ["cats", "dogs"]
    known = {item.external_id: names.get(item.known_class_id) for item in items_of(workspace, project)}
    assert known == {"4.png": None, "cats/2.png": "cats", "cats/3.png": "cats", "dogs/1.png": "dogs"}


def test_ignored_labels_leave_no_trace(workspace: Workspace, project: int, owner: int, pool: Path):
    import_images(workspace, project, pool, actor_id=owner, labels="ignore")
    assert classes_by_id(workspace, project) == {}
    assert {item.known_class_id for item in items_of(workspace, project)} == {None}


def test_importing_again_adds_nothing(
    workspace: Workspace, project: int, owner: int, pool: Path, good_files: dict[str, bytes]
):
    first = import_images(workspace, project, pool, actor_id=owner)
    items = items_of(workspace, project)
    again = import_images(workspace, project, pool, actor_id=owner)
    assert (again.added, again.duplicates, again.refused) == (0, len(good_files), first.refused)
    assert items_of(workspace, project) == items


def test_the_same_content_under_another_name_is_a_duplicate(workspace: Workspace, project: int, owner: int, shades):
    one, two = shades(3), shades(3, prefix="other")
    report = import_images(workspace, project, together(one, two), actor_id=owner)
    assert (report.read, report.added, report.duplicates) == (6, 3, 3)
    assert report.equal == [(f"other{i}", None, f"s{i}") for i in range(3)]


def test_other_content_under_a_known_name_is_refused_and_not_lost_silently(
    workspace: Workspace, project: int, owner: int, shades
):
    import_images(workspace, project, shades(3), actor_id=owner)
    report = import_images(workspace, project, shades(4, start=9), actor_id=owner)
    assert (report.added, report.duplicates) == (1, 0)
    assert [refused.name for refused in report.refused] == ["s0", "s1", "s2"]
    assert "other content is already in the project" in report.refused[0].why


def test_a_stored_image_that_went_missing_is_put_back_by_importing_again(
    workspace: Workspace, project: int, owner: int, shades
):
    import_images(workspace, project, shades(3), actor_id=owner)
    media = workspace.media(items_of(workspace, project)[1].content_hash)
    before = media.read_bytes()
    media.unlink()
    assert import_images(workspace, project, shades(3), actor_id=owner).duplicates == 3
    assert media.read_bytes() == before


def test_rows_go_on_over_batches_and_imports_and_projects_count_for_themselves(
    workspace: Workspace, project: int, owner: int, shades, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(importer.BATCH_RECORDS, "image", 4)
    seen: list[tuple[float, str]] = []
    report = import_images(workspace, project, shades(10), actor_id=owner, progress=lambda *args: seen.append(args))
    assert report.added == 10
    assert [share for share, _ in seen] == [0.4, 0.8, 1.0]
    assert re.fullmatch(r"4 of 10 images, [\d,]+ a second", seen[0][1])
    import_images(workspace, project, shades(5, prefix="t", start=1), actor_id=owner)
    items = items_of(workspace, project)
    assert [item.row for item in items] == list(range(15))
    assert [item.external_id for item in items] == [f"s{i}" for i in range(10)] + [f"t{i}" for i in range(5)]


def test_a_cancelled_import_keeps_what_went_in_and_can_go_on(
    workspace: Workspace, project: int, owner: int, shades, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(importer.BATCH_RECORDS, "image", 4)
    report = import_images(workspace, project, shades(10), actor_id=owner, cancelled=lambda: True)
    assert (report.read, report.added, report.cancelled) == (4, 4, True)
    report = import_images(workspace, project, shades(10), actor_id=owner)
    assert (report.added, report.duplicates, report.cancelled) == (6, 4, False)
    assert [item.external_id for item in items_of(workspace, project)] == [f"s{i}" for i in range(10)]


def test_large_files_are_read_a_few_at_a_time(
    workspace: Workspace, project: int, owner: int, shades, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importer, "BATCH_BYTES", 1)
    seen: list[float] = []
    import_images(workspace, project, shades(3), actor_id=owner, progress=lambda share, _: seen.append(share))
    assert len(seen) == 3


def test_only_an_owner_imports(workspace: Workspace, project: int, shades):
    with writing(workspace.engine) as session:
        annotator, stranger = User(name="bob"), User(name="eve")
        session.add_all([annotator, stranger])
        session.flush()
        session.add(Membership(project_id=project, user_id=annotator.id, role=Role.ANNOTATOR))
    with pytest.raises(NotAllowed):
        import_images(workspace, project, shades(1), actor_id=annotator.id)
    with pytest.raises(NotFound):
        import_images(workspace, project, shades(1), actor_id=stranger.id)
    assert items_of(workspace, project) == []


def test_an_import_is_in_the_audit_log(workspace: Workspace, project: int, owner: int, shades):
    import_images(workspace, project, shades(2), actor_id=owner)
    with reading(workspace.engine) as session:
        event = session.exec(select(Event).where(Event.kind == "import")).one()
    assert (event.user_id, event.project_id) == (owner, project)
    assert event.detail == {"job": None, "added": 2, "duplicates": 0, "refused": 0, "labeled": 0}


def test_an_unreadable_source_changes_nothing(workspace: Workspace, project: int, owner: int, tmp_path: Path):
    with pytest.raises(Invalid):
        import_images(workspace, project, tmp_path / "nothing.zip", actor_id=owner)
    assert items_of(workspace, project) == []


def test_imports_at_once_never_share_a_row(workspace: Workspace, project: int, owner: int, shades, monkeypatch):
    monkeypatch.setitem(importer.BATCH_RECORDS, "image", 5)
    mine, yours = shades(60), shades(60, prefix="t", start=1)
    shared = shades(60, start=2, prefix="u")
    jobs = [together(mine, shared), together(yours, shared)]
    with ThreadPoolExecutor(2) as threads:
        reports = list(threads.map(lambda source: import_images(workspace, project, source, actor_id=owner), jobs))
    assert sum(report.added for report in reports) == 180
    assert sum(report.duplicates for report in reports) == 60
    assert all(report.refused == [] for report in reports)
    assert [item.row for item in items_of(workspace, project)] == list(range(180))


@pytest.mark.slow
def test_six_thousand_photos_come_in_from_a_zip(workspace: Workspace, project: int, owner: int):
    photos = ROOT.parent / "shared" / "data" / "cifar10h.zip"
    if not photos.exists():
        pytest.skip("needs ../shared/data/cifar10h.zip")
    report = import_images(workspace, project, photos, actor_id=owner)
    assert (report.added, report.duplicates) == (6000, 0)
    assert report.refused == []
    assert len(classes_by_id(workspace, project)) == 10  # the table beside the photos names them


IMPORT = """
    import sys
    sys.path.insert(0, {root!r})
    from labeling.intake import importer
    from labeling.intake.sources import open_source
    from labeling.workspace import open_workspace
    importer.BATCH_RECORDS["image"] = 10
    workspace = open_workspace({workspace!r})
    say = lambda *_: print("+", flush=True)
    with open_source({source!r}) as source:
        importer.import_records(workspace, {project}, source, actor_id={owner}, progress=say)
"""


@pytest.fixture
def importing(workspace: Workspace, project: int, owner: int) -> Callable[[Path], "subprocess.Popen[str]"]:
    """Start an import of a folder in a process of its own, which says "+" after each batch of ten."""

    def start(source: Path) -> "subprocess.Popen[str]":
        program = IMPORT.format(
            root=str(ROOT), workspace=str(workspace.root), project=project, source=str(source), owner=owner
        )
        return subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)

    return start


def folder_of(path: Path, source: Source) -> Path:
    path.mkdir()
    for record in source.records:
        (path / f"{record.external_id}.png").write_bytes(record.read())
    return path


@pytest.mark.faults
def test_imports_of_two_processes_never_share_a_row(
    workspace: Workspace, project: int, tmp_path: Path, shades, importing
):
    one = folder_of(tmp_path / "one", shades(200))
    two = folder_of(tmp_path / "two", shades(200, prefix="t", start=1))
    processes = [importing(one), importing(two)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert [item.row for item in items_of(workspace, project)] == list(range(400))


@pytest.mark.faults
def test_an_import_that_was_killed_goes_on(
    workspace: Workspace, project: int, owner: int, tmp_path: Path, shades, importing
):
    source = folder_of(tmp_path / "one", shades(300))
    for batches, pause in ((1, 0.0), (3, 0.01), (2, 0.02)):
        with importing(source) as process:
            for _ in range(batches):
                assert process.stdout.readline() == "+\n"
            time.sleep(pause)
            process.kill()
    items = items_of(workspace, project)
    assert 20 <= len(items) < 300
    assert [item.row for item in items] == list(range(len(items)))
    assert all(Image.open(BytesIO(workspace.media(item.content_hash).read_bytes())).size == (2, 2) for item in items)
    report = import_images(workspace, project, source, actor_id=owner)
    assert (report.added, report.duplicates, report.refused) == (300 - len(items), len(items), [])
    assert [item.row for item in items_of(workspace, project)] == list(range(300))
