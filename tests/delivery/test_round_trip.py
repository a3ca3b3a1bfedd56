"""What an export holds comes back through our own import: names, texts, fields, metadata and labels, of any Unicode."""

import itertools
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlmodel import select

from labeling.db.engine import reading
from labeling.db.schema import Item
from labeling.delivery.exports import FORMATS, Wanted, export_rows, export_stream
from labeling.delivery.label_studio import NOT_XML
from labeling.intake.importer import import_records
from labeling.intake.records import Record, Source
from labeling.intake.sources import open_source
from labeling.projects import create_project
from labeling.users import local_user
from labeling.workspace import Workspace
from tests.delivery.exported import png

SAME = ("external_id", "label", "source", "text", "fields", "meta", "near_duplicate_of")
LONG = "ä\"\n,;\t\r'=😀" * 5000
FORMATS_OF_TEXT = ("csv", "jsonl", "parquet", "label-studio")
FORMATS_OF_IMAGES = tuple(name for name, about in FORMATS.items() if about.has_images)
ODD_TEXTS = [
    "=1+1", "'=1", "''@x", "'", "-5", "+49 30", "007", "1.50", "NaN", "null", "None", "true", "\\N", "[]", "{}", "{a",
    '"', '""', ",", ";", "a\nb", "a\rb", "a\r\nb", "\u2028\u2029\x85\x0b\x0c\x1c", " a ", "\ufeffa", "\u200b", "é",
    "e\u0301", "image.png", "../x", "C:\\x", "a\tb", "<b>&amp;", "\x01\x1b[31m", "\U0010ffff", LONG,
]  # fmt: skip
ODD = st.sampled_from(ODD_TEXTS)
ANY = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
WORDS = (ANY | ODD).filter(lambda text: bool(text.strip()))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = ANY | ODD | NUMBERS | st.booleans() | st.none()
VALUES = st.recursive(LEAVES, lambda of: st.lists(of, max_size=3) | st.dictionaries(ANY, of, max_size=3), max_leaves=4)
MAPPINGS = st.dictionaries(ANY | ODD.filter(lambda text: len(text) < 100), VALUES, max_size=4)
FIELDS = MAPPINGS.filter(lambda found: any(value is not None for value in found.values()))
LABELS = st.none() | WORDS.filter(lambda text: len(text) < 100)
NAMES = WORDS.filter(lambda text: len(text) < 100)
POOLS = st.lists(
    st.tuples(NAMES, WORDS, FIELDS, MAPPINGS, LABELS), min_size=1, max_size=6, unique_by=lambda row: row[0]
)

numbers = itertools.count()
any_pool = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def fill(workspace: Workspace, source: Source) -> int:
    """A new project with what a source holds, its labels as answers."""
    me = local_user(workspace)
    made = create_project(workspace, me, f"round {next(numbers)}", ())
    report = import_records(workspace, made, source, actor_id=me, labels="imported")
    assert not report.refused, report.refused
    return made


def exported(workspace: Workspace, project_id: int, format: str, to: Path) -> Path:
    """The file of an export of labels."""
    given = export_stream(workspace, local_user(workspace), project_id, format, rows="labels")
    path = to / given.filename
    path.write_bytes(b"".join(given.chunks))
    return path


def content(workspace: Workspace, project_id: int) -> list[dict[str, Any]]:
    rows = export_rows(workspace, local_user(workspace), project_id, Wanted(rows="labels"))
    return [{name: row[name] for name in SAME} for row in rows]


def returned(workspace: Workspace, path: Path) -> list[dict[str, Any]]:
    """What a new project holds into which a file was imported, exactly as it was guessed to be read."""
    with open_source(path) as source:
        return content(workspace, fill(workspace, source))


def for_label_studio(pool: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The same with labels that XML, of which the configuration is, can name at all."""
    return [(*row, None if label is None or NOT_XML.search(label) else label) for *row, label in pool]


def records(pool: Sequence[tuple[Any, ...]], kind: str) -> Source:
    made = [
        Record(name, meta=meta, label=label, **({"text": text} if kind == "text" else {"fields": fields}))
        for name, text, fields, meta, label in pool
    ]
    return Source(kind, made, len(made))  # type: ignore[arg-type]


@pytest.mark.parametrize("format", FORMATS_OF_TEXT)
@pytest.mark.parametrize("kind", ["text", "row"])
def test_odd_texts_come_back_as_they_were(workspace: Workspace, format: str, kind: str):
    pool = [
        (f"{text[:50]}{n}", text + "." * (not text.strip()), {text[:50]: text, "n": n}, {"m": text}, text[:50].strip())
        for n, text in enumerate(ODD_TEXTS)
    ]
    before = fill(workspace, records(for_label_studio(pool) if format == "label-studio" else pool, kind))
    assert returned(workspace, exported(workspace, before, format, workspace.root)) == content(workspace, before)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS_OF_TEXT)
@pytest.mark.parametrize("kind", ["text", "row"])
@given(pool=POOLS)
@example(pool=[("1", "2", {"a": "3"}, {}, "4"), ("2", "5", {"a": "6"}, {}, None)])
@example(pool=[("0.PNG", "1.png", {"": []}, {}, "2.jpg")])  # names of images, where there are none
@any_pool
def test_a_pool_comes_back_as_it_was(workspace: Workspace, format: str, kind: str, pool: list[tuple[Any, ...]]):
    before = fill(workspace, records(for_label_studio(pool) if format == "label-studio" else pool, kind))
    path = exported(workspace, before, format, workspace.root)
    assert returned(workspace, path) == content(workspace, before)


@pytest.mark.slow
@given(pool=POOLS)
@any_pool
def test_a_pool_comes_back_from_a_folder_too(workspace: Workspace, pool: list[tuple[Any, ...]]):
    """Unpacked, as people give it on."""
    before = fill(workspace, records(for_label_studio(pool), "text"))
    folder = workspace.root / f"unpacked-{next(numbers)}"
    with zipfile.ZipFile(BytesIO(exported(workspace, before, "label-studio", workspace.root).read_bytes())) as archive:
        archive.extractall(folder)
    assert returned(workspace, folder) == content(workspace, before)


def pictures(pool: Sequence[tuple[Any, ...]]) -> Source:
    """Images that differ, with these names, metadata and labels."""
    made = [
        Record(name, read=lambda n=n: png(n), label=label, meta=meta)
        for n, (name, meta, label) in enumerate(pool)
    ]  # fmt: skip
    return Source("image", made, len(made))


@pytest.mark.parametrize("format", FORMATS_OF_IMAGES)
def test_images_come_back_with_their_names_and_labels(workspace: Workspace, format: str, tmp_path: Path):
    pool: list[tuple[Any, ...]] = [
        ("a b/ü.png", {"site": "Ulm", "n": 1}, "cat/dog"), ("x.gif", {}, None), ("=1", {"a": [1, None]}, "ünï"),
        ("../y", {"b": {"c": "=d"}}, "cat/dog"), ("q.png", {}, "=x"), ("no ending", {}, None),
    ]  # fmt: skip
    before = fill(workspace, pictures(pool))
    path = exported(workspace, before, format, tmp_path)
    assert returned(workspace, path) == content(workspace, before)
    assert len([p for p in (workspace.root / "media").rglob("*") if p.is_file()]) == len(pool)


def pixels(workspace: Workspace, project_id: int) -> dict[str, bytes]:
    """What each image of a project shows, by its name."""
    with reading(workspace.engine) as session:
        found = session.exec(select(Item.external_id, Item.media).where(Item.project_id == project_id)).all()
    return {name: Image.open(workspace.media(str(media))).convert("RGB").tobytes() for name, media in found}


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS_OF_IMAGES)
@given(pool=st.lists(st.tuples(NAMES, MAPPINGS, LABELS), min_size=1, max_size=4, unique_by=lambda row: row[0]))
@example(pool=[("\U0002f800", {}, None)])  # a letter with two spellings
@any_pool
def test_a_pool_of_images_comes_back_as_it_was(workspace: Workspace, format: str, pool: list[tuple[Any, ...]]):
    before = fill(workspace, pictures(for_label_studio(pool) if format == "label-studio" else pool))
    path = exported(workspace, before, format, workspace.root)
    with open_source(path) as source:
        after = fill(workspace, source)
    assert content(workspace, after) == content(workspace, before)
    assert pixels(workspace, after) == pixels(workspace, before)
