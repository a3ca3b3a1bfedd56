"""The matrix on disk: whatever happens between two appends, what was appended is there, and nothing else."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labeling.errors import Invalid, NotFound
from labeling.features.matrix import FeatureMatrix


def new(folder: Path, width: int = 3, dtype="float32") -> FeatureMatrix:
    return FeatureMatrix.create(
        folder, width=width, encoder="pixels", version="pixels-1", parameters={"a": 1}, dtype=dtype
    )


BLOCKS = st.integers(0, 5).flatmap(
    lambda n: arrays.arrays(np.float32, (n, 3), elements=st.floats(-100, 100, width=16, allow_subnormal=False))
)
# What may happen: rows are appended; a kill leaves rows written and not counted, or a part of a row, or a temporary
# file; the process begins anew.
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), BLOCKS),
        st.tuples(st.just("torn"), st.binary(max_size=50)),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)  # each append waits for the disk
@given(happenings=HAPPENINGS, dtype=st.sampled_from(["float32", "float16"]))
def test_a_matrix_holds_what_was_appended_whatever_happens_in_between(happenings: list, dtype: str):
    folder = Path(tempfile.mkdtemp())
    try:
        matrix = new(folder, dtype=dtype)
        expected = np.empty((0, 3), dtype=dtype)
        for kind, value in happenings:
            if kind == "append":
                matrix.append(value)
                expected = np.concatenate([expected, value.astype(dtype)])
            elif kind == "torn":
                (folder / ".part-1").write_bytes(value)
                with next(folder.glob("matrix.f*")).open("r+b") as file:
                    file.seek(matrix.rows * 3 * np.dtype(dtype).itemsize)
                    file.write(value)
            else:
                matrix = FeatureMatrix.open(folder)
            for array in (matrix.array(), FeatureMatrix.open(folder).array()):
                assert array.shape == expected.shape and array.dtype == expected.dtype
                assert (np.asarray(array) == expected).all()
    finally:
        shutil.rmtree(folder)


def test_two_writers_do_no_harm(tmp_path: Path):
    rows = np.arange(30, dtype=np.float32).reshape(10, 3)
    one = new(tmp_path)
    two = FeatureMatrix.open(tmp_path)
    one.append(rows[:4])
    one.append(rows[4:8])
    two.append(rows[:2])  # slower, and in other chunks
    assert (FeatureMatrix.open(tmp_path).array() == rows[:2]).all()
    one.append(rows[8:])
    assert (FeatureMatrix.open(tmp_path).array() == rows).all()


def test_an_array_stays_as_it_was_when_it_was_asked_for(tmp_path: Path):
    matrix = new(tmp_path)
    matrix.append(np.ones((2, 3)))
    before = matrix.array()
    matrix.append(np.zeros((2, 3)))
    assert before.shape == (2, 3) and (before == 1).all()


@pytest.mark.parametrize("rows", [0, 2])
def test_an_array_is_read_only(tmp_path: Path, rows: int):
    matrix = new(tmp_path)
    matrix.append(np.ones((rows, 3)))
    array = matrix.array()
    assert array.shape == (rows, 3)
    with pytest.raises(ValueError, match="read-only"):
        array[:] = 0


def test_what_it_was_made_with_is_there_when_it_is_opened(tmp_path: Path):
    made = new(tmp_path, width=5, dtype="float16")
    opened = FeatureMatrix.open(tmp_path)
    assert opened.layout == made.layout
    assert (opened.width, opened.version, opened.layout.encoder, opened.layout.parameters) == (
        5,
        "pixels-1",
        "pixels",
        {"a": 1},
    )


@pytest.mark.parametrize("block", [np.ones((2, 4)), np.ones(3), np.full((1, 3), np.nan), np.full((1, 3), np.inf)])
def test_a_block_that_does_not_fit_changes_nothing(tmp_path: Path, block: np.ndarray):
    matrix = new(tmp_path)
    matrix.append(np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"does not fit|not a finite"):
        matrix.append(block)
    assert FeatureMatrix.open(tmp_path).rows == 1


def test_what_half_precision_cannot_hold_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="not a finite"):
        new(tmp_path, dtype="float16").append(np.full((1, 3), 1e6))


def test_missing_and_damaged_files_have_their_sentence(tmp_path: Path):
    with pytest.raises(NotFound):
        FeatureMatrix.open(tmp_path / "nowhere")
    new(tmp_path).append(np.ones((4, 3)))
    (tmp_path / "matrix.f32").write_bytes(bytes(40))
    with pytest.raises(Invalid, match="Rows are missing"):
        FeatureMatrix.open(tmp_path)
    for damaged in ("{", "[]", "{}", json.dumps({"rows": 1})):
        (tmp_path / "matrix.json").write_text(damaged)
        with pytest.raises(Invalid, match="is damaged"):
            FeatureMatrix.open(tmp_path)
