"""Features brought along: checked, put in the order of the items, and the project's from then on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlmodel import select

from labeling.db.engine import reading
from labeling.db.schema import Job, JobKind
from labeling.errors import Invalid, NotAllowed
from labeling.features import brought
from labeling.features.brought import import_features
from labeling.features.encoding import encode_project, encoder_of, open_features
from labeling.features.matrix import FeatureMatrix
from labeling.workspace import Workspace
from tests.db.small_project import add_user
from tests.features.contents import sentences

VECTORS = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
Bring = Callable[[Path], dict[str, Any]]


@pytest.fixture
def bring(workspace: Workspace, project: int, owner: int, add, monkeypatch: pytest.MonkeyPatch) -> Bring:
    """Bring features into a project of ten texts, in blocks of four rows."""
    monkeypatch.setattr(brought, "BLOCK", 4)
    add(sentences(10))
    return lambda path: import_features(workspace, owner, project, path)


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def table(path: Path, **columns: object) -> Path:
    parquet.write_table(pa.table(columns), path, row_group_size=3)
    return path


def live(workspace: Workspace, project: int) -> FeatureMatrix:
    matrix = open_features(workspace, project)
    assert matrix is not None and matrix.layout.encoder == "brought"
    return matrix


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int16"])
def test_an_array_in_the_order_of_the_items_becomes_their_features(
    workspace: Workspace, project: int, bring: Bring, tmp_path: Path, dtype: str
):
    vectors = (VECTORS * 10).astype(dtype)
    told = bring(saved(tmp_path / "v.npy", vectors))
    matrix = live(workspace, project)
    assert np.array_equal(matrix.array(), vectors.astype(told["dtype"]))
    assert told["dtype"] == ("float16" if dtype == "float16" else "float32")
    assert (told["rows"], told["width"], told["version"], told["unused"]) == (10, 3, matrix.version, 0)
    assert encode_project(workspace, project) is not None
    with reading(workspace.engine) as session:
        assert JobKind.TRAIN in session.exec(select(Job.kind).where(Job.project_id == project)).all()


def test_rows_that_name_their_items_may_be_in_any_order_and_more(
    workspace: Workspace, project: int, bring: Bring, tmp_path: Path
):
    order = np.random.default_rng(1).permutation(12)
    names = [f"i{n}" for n in order]
    vectors = np.concatenate([VECTORS, VECTORS[:2]])[order]
    as_lists = table(tmp_path / "lists.parquet", id=names, v=list(vectors))
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 3)
    as_vectors = table(tmp_path / "vectors.parquet", embedding=fixed, name=names)
    as_columns = tmp_path / "columns.parquet"
    pd.DataFrame(vectors, columns=["a", "b", "c"]).assign(key=names).to_parquet(as_columns)
    versions = set()
    for path in (as_lists, as_vectors, as_columns):
        told = bring(path)
        assert told["unused"] == 2
        versions.add(told["version"])
        assert np.array_equal(live(workspace, project).array(), VECTORS)
    assert len(versions) == 1


def test_a_table_without_names_is_in_the_order_of_the_items(
    workspace: Workspace, project: int, bring: Bring, tmp_path: Path
):
    bring(table(tmp_path / "v.parquet", v=list(VECTORS.astype(np.float64))))
    assert np.array_equal(live(workspace, project).array(), VECTORS)


def test_what_was_brought_last_counts(workspace: Workspace, project: int, bring: Bring, tmp_path: Path):
    for vectors in (VECTORS, -VECTORS, VECTORS):
        bring(saved(tmp_path / "v.npy", vectors))
        assert np.array_equal(live(workspace, project).array(), vectors)


def test_newer_items_are_missed_in_plain_words(
    workspace: Workspace, project: int, bring: Bring, tmp_path: Path, add, choose
):
    bring(saved(tmp_path / "v.npy", VECTORS))
    add(sentences(2), first=10)
    with pytest.raises(Invalid, match="no rows for newer items; bring a file with all of them"):
        encode_project(workspace, project)
    assert live(workspace, project).rows == 10
    with pytest.raises(Invalid, match="12 items; give one row for each"):
        bring(saved(tmp_path / "v.npy", VECTORS))
    bring(saved(tmp_path / "all.npy", np.concatenate([VECTORS, VECTORS[:2]])))
    assert live(workspace, project).rows == 12
    choose("tfidf")
    encode_project(workspace, project)
    matrix = open_features(workspace, project)
    assert matrix is not None and matrix.layout.encoder == "tfidf"


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    broken = VECTORS.copy()
    broken[6, 1] = np.nan
    (folder / "words.npy").write_bytes(b"not an array")
    (folder / "words.parquet").write_bytes(b"PAR1 not a table")
    (folder / "v.txt").write_text("1 2 3")
    names = [f"i{n}" for n in range(10)]
    return {
        "missing": (folder / "nowhere.npy", "There is no file"),
        "of another kind": (folder / "v.txt", "neither an .npy nor a .parquet"),
        "no array": (folder / "words.npy", "not an .npy file of numbers"),
        "no table": (folder / "words.parquet", "not a Parquet file"),
        "objects": (saved(folder / "objects.npy", np.array([{}, []], dtype=object)), "not an .npy file of numbers"),
        "text": (saved(folder / "text.npy", np.full((10, 2), "a")), "holds <U1"),
        "one row too few": (saved(folder / "short.npy", VECTORS[:9]), "9 rows and the project 10 items"),
        "flat": (saved(folder / "flat.npy", VECTORS[:, 0]), "has the shape 10;"),
        "no columns": (saved(folder / "thin.npy", VECTORS[:, :0]), "has the shape 10 × 0"),
        "not finite": (saved(folder / "nan.npy", broken), "Row 7 of nan.npy holds what is not a finite number"),
        "too large": (
            saved(folder / "large.npy", VECTORS.astype(float) * 1e60),
            "not a finite number of its precision",
        ),
        "an item short": (table(folder / "i.parquet", id=names[1:], v=list(VECTORS[1:])), "no row for 1 .*“i0”"),
        "an item twice": (table(folder / "t.parquet", id=["i1", *names[1:]], v=list(VECTORS)), "“i1” twice"),
        "uneven lists": (
            table(folder / "u.parquet", id=names, v=[[1.0, 2]] * 9 + [[1.0]]),
            "several lengths|another le",
        ),
        "gaps": (table(folder / "g.parquet", id=names, v=[[1.0]] * 9 + [None]), "empty cells|gaps"),
        "no numbers": (table(folder / "n.parquet", id=names), "no column of numbers"),
        "two lists": (table(folder / "l.parquet", v=list(VECTORS), w=list(VECTORS)), "several columns of lists"),
        "no rows": (table(folder / "e.parquet", v=pa.array([], pa.list_(pa.float32()))), "no rows in e.parquet"),
    }


def test_a_file_that_cannot_be_taken_is_told_why_and_changes_nothing(
    workspace: Workspace, project: int, bring: Bring, tmp_path: Path
):
    encode_project(workspace, project)
    before = open_features(workspace, project)
    for path, sentence in bad_files(tmp_path).values():
        with pytest.raises(Invalid, match=sentence):
            bring(path)
    after = open_features(workspace, project)
    assert before is not None and after is not None and after.layout == before.layout
    assert after.layout.encoder == "tfidf"


def test_copying_goes_on_where_it_was_stopped(workspace: Workspace, project: int, bring: Bring, tmp_path: Path):
    path = saved(tmp_path / "v.npy", VECTORS)
    told = bring(path)
    folder = workspace.features(project, told["version"])
    layout = FeatureMatrix.open(folder).layout
    matrix = FeatureMatrix.create(
        folder, width=3, encoder="brought", version=layout.version, parameters=layout.parameters
    )
    matrix.append(VECTORS[:4])
    bring(path)
    assert np.array_equal(live(workspace, project).array(), VECTORS)
    assert encoder_of(live(workspace, project)).version == layout.version


def test_only_an_owner_brings_features(workspace: Workspace, project: int, bring: Bring, tmp_path: Path):
    from labeling.db.engine import writing
    from labeling.db.schema import Role
    from labeling.users import grant

    expert = add_user(workspace, "eve")
    with writing(workspace.engine) as session:
        grant(session, project, expert, Role.EXPERT)
    with pytest.raises(NotAllowed):
        import_features(workspace, expert, project, saved(tmp_path / "v.npy", VECTORS))


def test_a_project_without_items_takes_no_features(workspace: Workspace, project: int, owner: int, tmp_path: Path):
    with pytest.raises(Invalid, match="no items yet"):
        import_features(workspace, owner, project, saved(tmp_path / "v.npy", VECTORS))
