"""Features of an encoder that understands words, and vectors of words beside them, without any weights."""

from collections.abc import Mapping, Sequence

import numpy as np

from labeling.features import words
from labeling.features.matrix import FeatureMatrix
from tests.db.small_project import SmallProject


def add_worded_features(small: SmallProject, rows: np.ndarray, said: Mapping[str, Sequence[float]]) -> FeatureMatrix:
    """Give a project's items vectors (n, d), in row order, and texts theirs (d,), as CLIP would have made them."""
    version = "clip-test"
    matrix = FeatureMatrix.create(
        small.workspace.features(small.id, version), width=rows.shape[1], encoder="clip", version=version
    )
    matrix.append(rows.astype(np.float32))
    for text, vector in said.items():
        keep_word(matrix, text, vector)
    return matrix


def keep_word(matrix: FeatureMatrix, text: str, vector: Sequence[float]) -> None:
    """Put the vector of a text where the worker puts it."""
    words.keep_word(matrix, text, np.array(vector, dtype=np.float32) / np.linalg.norm(vector))
