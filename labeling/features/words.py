"""Vectors of words beside a feature matrix: `words/<hash of the text>.npy`, each made once by the worker.

Other processes read them, and ask for those that are missing (`ask_for_words`).
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from labeling import jobs
from labeling.db.schema import Job, JobKind
from labeling.errors import Invalid
from labeling.features.base import WORDS_FOLDER, Worded
from labeling.features.brought import Brought
from labeling.features.encoding import ENCODERS, encoder_of
from labeling.features.matrix import FeatureMatrix

LONGEST = 1000  # characters of a text
MOST = 10_000  # texts that one job embeds


def knows_words(matrix: FeatureMatrix) -> bool:
    """Whether the encoder that filled a matrix understands words; nothing is loaded."""
    if matrix.layout.encoder == Brought.name:
        return bool(matrix.layout.parameters.get("reader"))
    return issubclass(ENCODERS[matrix.layout.encoder], Worded)


def known_words(matrix: FeatureMatrix, texts: Sequence[str]) -> NDArray[np.float32] | None:
    """Vectors (t, width) of texts, of unit length; None while one of them has none yet."""
    vectors = np.empty((len(texts), matrix.width), dtype=np.float32)
    for row, text in enumerate(texts):
        try:
            vectors[row] = np.load(_path(matrix, text), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
    return vectors


def embed_words(matrix: FeatureMatrix, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors (t, width) of texts, of unit length; those that are missing are made, and kept.

    Raises
    ------
    Invalid
        If the encoder understands no words.
    Unavailable
        If its weights cannot be had.
    """
    known = known_words(matrix, texts)
    if known is not None:
        return known
    encoder = encoder_of(matrix)
    if not knows_words(matrix) or not isinstance(encoder, Worded):
        raise Invalid(f"The features of the encoder “{encoder.name}” know no words; choose CLIP or sentences.")
    missing = [text for text in dict.fromkeys(texts) if known_words(matrix, [text]) is None]
    for text, vector in zip(missing, encoder.embed(missing), strict=True):
        keep_word(matrix, text, vector)
    known = known_words(matrix, texts)
    assert known is not None
    return known


def ask_for_words(session: Session, project_id: int, texts: Sequence[str]) -> Job:
    """Have the worker embed texts, in the caller's transaction; what waits already is not forgotten.

    Returns the job that does so.

    Raises
    ------
    Invalid
        If a text is too long.
    """
    if any(len(text) > LONGEST for text in texts):
        raise Invalid(f"A description has at most {LONGEST:,} characters; shorten it.")
    job = jobs.request(session, project_id, JobKind.EMBED)
    job.payload = {"texts": list(dict.fromkeys([*job.payload.get("texts", []), *texts]))[-MOST:]}
    session.add(job)
    return job


def _path(matrix: FeatureMatrix, text: str) -> Path:
    return matrix.folder / WORDS_FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"


def keep_word(matrix: FeatureMatrix, text: str, vector: NDArray[np.float32]) -> None:
    """Keep the vector of a text, (width,), whole or not at all."""
    path = _path(matrix, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    with open(descriptor, "wb") as file:
        np.save(file, vector)
        file.flush()
        os.fsync(file.fileno())
    Path(partial).replace(path)
