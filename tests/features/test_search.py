"""Search is exact: what a plain product in double precision finds, in blocks, of either precision."""

from pathlib import Path

import numpy as np
import pytest

from labeling.features import search
from labeling.features.matrix import FeatureMatrix
from labeling.features.search import mapped, similarities


def plain(features: np.ndarray, query: np.ndarray) -> np.ndarray:
    rows = features.astype(np.float64)
    return rows @ query / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("rows_at_once", [1, 7, 1000])
def test_it_is_the_cosine_of_every_row_whatever_the_block(
    monkeypatch: pytest.MonkeyPatch, dtype: type, rows_at_once: int
):
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(50, 24)) * rng.uniform(0.1, 30, size=(50, 1))).astype(dtype)
    query = rng.normal(size=24)
    monkeypatch.setattr(search, "BLOCK", 24 * rows_at_once)
    found = similarities(features, query)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain(features, query), atol=1e-6)
    assert similarities(features, features[17]).argmax() == 17


def test_what_has_no_direction_is_like_nothing():
    features = np.array([[0, 0], [3, 4], [1e30, 1e30], [1e-30, 0]], dtype=np.float32)
    np.testing.assert_allclose(similarities(features, np.array([3.0, 4.0])), [0, 1, 0, 0], atol=1e-6)
    assert similarities(features, np.zeros(2)).tolist() == [0, 0, 0, 0]
    assert similarities(features[:0], np.ones(2)).shape == (0,)


def test_no_similarity_is_beyond_one():
    features = np.random.default_rng(1).normal(size=(300, 3)).astype(np.float32)
    for row in features:
        assert np.abs(similarities(features, row)).max() <= 1


def test_a_kept_mapping_grows_with_its_matrix_and_gives_way_to_another_in_its_place(tmp_path: Path):
    def made(value: float) -> FeatureMatrix:
        matrix = FeatureMatrix.create(tmp_path / "v", width=2, encoder="pixels", version="v")
        matrix.append(np.full((3, 2), value, dtype=np.float32))
        return matrix

    matrix = made(1.0)
    assert mapped(matrix) is mapped(FeatureMatrix.open(matrix.folder)) and mapped(matrix).shape == (3, 2)
    matrix.append(np.zeros((1, 2), dtype=np.float32))
    assert mapped(matrix).tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]
    for file in list(matrix.folder.iterdir()):
        file.unlink()
    assert mapped(made(2.0)).tolist() == [[2, 2]] * 3
