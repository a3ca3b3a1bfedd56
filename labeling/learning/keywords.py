"""Which words speak for which class, and which columns weigh most: a linear head, told in the pool's own words."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labeling.annotation.keywords import Keywords
from labeling.features.encoding import encoder_of
from labeling.features.matrix import FeatureMatrix
from labeling.features.prior import View
from labeling.features.table import Table
from labeling.features.tfidf import Tfidf
from labeling.learning.head import LinearHead

PER_CLASS = 300  # words kept of a class
IN_ALL = 10_000  # words kept of all classes together, so that they are read in a moment


def keywords_of(matrix: FeatureMatrix, head: LinearHead, view: View | None, class_ids: list[int]) -> Keywords | None:
    """What a head reads from, as far as the matrix's encoder can name it; None of pictures, say."""
    if matrix.layout.encoder not in (Tfidf.name, Table.name):
        return None
    return tell(_encoder(matrix.folder), head, view, class_ids)


def tell(encoder: object, head: LinearHead, view: View | None, class_ids: list[int]) -> Keywords | None:
    """A head in the words of an encoder: of texts the words, of tables the columns.

    A head on φ (`labeling.features.prior`) is linear in the features up to the length of each row, so its weights go
    back through the view to the encoder's own space, where the encoder knows what each direction is.
    """
    coef = head.coef.astype(np.float32)
    directions = coef if view is None else coef @ view.prior.turn(view.power).T
    directions = directions - directions.mean(axis=0)  # what speaks for all classes alike speaks for none
    if isinstance(encoder, Tfidf):
        words, weights = encoder.term_weights(directions)
        count = min(PER_CLASS, IN_ALL // len(head.classes))
        strongest = [_strongest(words, row, count) for row in weights]
        return Keywords({class_ids[c]: terms for c, terms in zip(head.classes, strongest, strict=True)})
    if isinstance(encoder, Table):
        return Keywords({}, _heaviest(encoder.columns, directions))
    return None


def _strongest(words: list[str], weights: NDArray[np.float32], count: int) -> dict[str, float]:
    """The words that speak most for a class and how much, to four digits, the strongest first."""
    best = np.argpartition(-weights, count)[:count] if count < len(weights) else np.arange(len(weights))
    best = best[np.argsort(-weights[best], kind="stable")]
    return {words[at]: float(f"{weights[at]:.4g}") for at in best if weights[at] > 0}


def _heaviest(columns: list[str], directions: NDArray[np.float32]) -> list[str]:
    """Each column once, by the sum of what its numbers weigh over all classes."""
    total = dict.fromkeys(columns, 0.0)
    for column, weight in zip(columns, np.abs(directions).sum(axis=0), strict=True):
        total[column] += float(weight)
    return sorted(total, key=lambda column: -total[column])


@lru_cache(2)
def _encoder(folder: Path) -> object:
    """The encoder of the matrix in this folder, which is named after it: read once, and not with every model."""
    return encoder_of(FeatureMatrix.open(folder))
