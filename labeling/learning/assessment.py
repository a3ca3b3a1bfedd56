"""What a new model version can be trusted with: how sure it is of the open items, and how far that held for labels that
were kept from it. `labeling.learning.forecast` makes an estimate of it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import KFold

from labeling.learning.forecast import BINS, FEWEST, Assessed, count_confidence
from labeling.learning.head import LinearHead
from labeling.learning.predictions import PoolPredictions

GROWTH = 1.1  # a version is assessed when the labels have grown by a tenth since the last one that was
FOLDS = 5
ENOUGH = 500  # held-out items: with many labels not every fold is needed

Fit = Callable[..., LinearHead]  # of rows (l, k) and class indices (l,), and `weights` (l,) where they differ

KEY = "assessed"  # in `ModelVersion.metrics`


def is_due(labels: int, before: int) -> bool:
    """Whether a version with so many labels is assessed, when the version before it had `before`."""
    return labels >= FEWEST and _step(labels) > _step(before)


def _step(labels: int) -> int:
    """Which step of a geometric series a number of labels has reached; told from the numbers alone."""
    return math.floor(math.log(labels) / math.log(GROWTH) + 1e-9) if labels > 0 else -1


def assess(
    seen: NDArray[Any],
    targets: NDArray[np.integer],
    fit: Fit,
    predictions: PoolPredictions,
    fresh: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    """The assessment of a version, as `ModelVersion.metrics` keeps it.

    Parameters
    ----------
    seen : (l, k) array
        The labeled rows as the head sees them.
    targets : (l,) array
        Their class indices.
    fit
        Makes a head like the version's own of some of them.
    predictions
        What the version says of the pool.
    fresh : (l,) bool, optional
        Which labels the encoder was not tuned on: only these are held out.
    """
    held, right = np.zeros(BINS, dtype=np.int64), np.zeros(BINS, dtype=np.int64)
    folds = KFold(FOLDS, shuffle=True, random_state=0).split(seen)
    rows = np.asarray(seen, dtype=np.float64)
    for learned, kept in folds:
        if fresh is not None:
            kept = kept[fresh[kept]]
        if len(kept) == 0 or len(np.unique(targets[learned])) < 2:
            continue
        head = fit(rows[learned], targets[learned])
        likely = head.predict_proba(rows[kept])
        sure, hit = likely.max(axis=1), head.classes[likely.argmax(axis=1)] == targets[kept]
        held += count_confidence(sure)
        right += count_confidence(sure[hit])
        if held.sum() >= ENOUGH:
            break
    still_open = np.asarray(predictions.confidence)[np.asarray(predictions.open)]
    return {KEY: {"open": count_confidence(still_open), "held": held.tolist(), "right": right.tolist()}}


def assessed(labels: int, metrics: dict[str, Any], met: ArrayLike, met_right: ArrayLike) -> Assessed | None:
    """The assessment that a version kept; None where it kept none, or where nothing was open or held out.

    Parameters
    ----------
    met, met_right
        The confidence of the newest suggestions that were answered by then, and of those that were right.
    """
    kept = metrics.get(KEY)
    if kept is None or not sum(kept["open"]) or sum(kept["held"]) < FEWEST:
        return None
    counts = (kept["open"], kept["held"], kept["right"], count_confidence(met), count_confidence(met_right))
    return Assessed(labels, *map(tuple, counts))
