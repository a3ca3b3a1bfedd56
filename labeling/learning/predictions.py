"""What the live model believes of the whole pool: one class and one probability a row, kept beside the head.

Each head `heads/<stem>.npz` has a `<stem>.pool.npy`: structured rows that are mapped when read, in row order of the
feature matrix. Those of the live version and of the one before it are kept; older ones could be made again.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlmodel import col, select

from labeling.db.engine import reading
from labeling.db.schema import ModelVersion
from labeling.errors import Invalid
from labeling.learning.head import LinearHead, about_head
from labeling.workspace import Workspace

SUFFIX = ".pool.npy"
BLOCK = 2**22  # numbers held at once: 16 MiB of float32
KEPT = 2  # versions of a project whose predictions are kept
PRUNED = 10  # versions looked at for what is to be removed: more than one only where a round was cut short
MOVES = 20  # pairs of classes kept of what a version changed
EXAMPLES = 40  # rows kept of what a version changed

_ROW = np.dtype([("class", "<i4"), ("confidence", "<f4"), ("open", "?")])


@dataclass(frozen=True)
class PoolPredictions:
    """The likeliest class of each row of a pool.

    Attributes
    ----------
    classes : (n,) int
        Indices into `class_ids`.
    confidence : (n,) float32
        Its probability.
    class_ids : list of int
        The project's classes when the head was fitted.
    open : (n,) bool
        Whether the item could still be asked when the head was fitted.
    """

    classes: NDArray[np.integer]
    confidence: NDArray[np.float32]
    class_ids: list[int]
    open: NDArray[np.bool_]

    def save(self, head: Path) -> None:
        """Write the arrays beside the head at this path, whole or not at all; the class ids are in the head's JSON."""
        rows = np.empty(len(self.classes), dtype=_ROW)
        rows["class"], rows["confidence"], rows["open"] = self.classes, self.confidence, self.open
        path = pool_file(head)
        partial = path.with_name(f"{head.stem}.partial{SUFFIX}")
        with partial.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    @classmethod
    def load(cls, head: Path) -> "PoolPredictions":
        """Map what `save` wrote.

        Raises
        ------
        Invalid
            If the file is missing or damaged.
        """
        try:
            rows = np.load(pool_file(head), mmap_mode="r", allow_pickle=False)
            class_ids = about_head(head)["class_ids"]
        except (OSError, ValueError, KeyError) as error:
            raise Invalid("What the model believes of the pool is not at hand; the next labels bring it.") from error
        if rows.dtype != _ROW or rows.ndim != 1:
            raise Invalid("What the model believes of the pool is damaged; the next labels bring it anew.")
        return cls(rows["class"], rows["confidence"], class_ids, rows["open"])


def pool_file(head: Path) -> Path:
    """Where the predictions of the head at this path lie."""
    return head.with_suffix(SUFFIX)


def pool_predictions(workspace: Workspace, version: ModelVersion | None) -> PoolPredictions | None:
    """What a model version believes of the pool; None where that is not kept (any more)."""
    if version is None or version.path is None:
        return None
    try:
        return PoolPredictions.load(workspace.head(version.path))
    except Invalid:
        return None


def predict_pool(
    features: NDArray[np.floating[Any]], head: LinearHead, class_ids: list[int], open_rows: NDArray[np.integer]
) -> PoolPredictions:
    """Predict every row of ``features`` (n, d), as the head sees them, in blocks and in single precision.

    ``class_ids`` are those that the head's class indices stand for, ``open_rows`` the rows that may still be asked.
    """
    n = len(features)
    best, confidence = np.empty(n, dtype=np.intp), np.empty(n, dtype=np.float32)
    coef, intercept = head.coef.T.astype(np.float32), head.intercept.astype(np.float32)
    step = max(1, BLOCK // max(features.shape[1], 1))
    for start in range(0, n, step):
        block = slice(start, start + step)
        scores = np.asarray(features[block], dtype=np.float32) @ coef + intercept
        best[block] = scores.argmax(axis=1)
        # The softmax of the largest score is one over the sum of what the others are to it.
        confidence[block] = 1 / np.exp(scores - scores.max(axis=1, keepdims=True)).sum(axis=1)
    is_open = np.zeros(n, dtype=bool)
    is_open[open_rows] = True
    return PoolPredictions(head.classes[best].astype(np.int32), confidence, class_ids, is_open)


def what_changed(before: PoolPredictions | None, after: PoolPredictions) -> dict[str, Any]:
    """What a version believes otherwise than the one before it, as `ModelVersion.metrics` keeps it.

    Returns
    -------
    dict
        ``changed`` of ``of`` rows; ``moves``: ``[from class id, to class id, rows]``, the most frequent first;
        ``examples``: ``{"row", "from", "to"}``, the surest first. Empty where there is nothing to compare with.
    """
    if before is None or not before.class_ids or not after.class_ids:
        return {}
    n = min(len(before.classes), len(after.classes))
    then = np.array(before.class_ids)[before.classes[:n]]
    now = np.array(after.class_ids)[after.classes[:n]]
    rows = np.flatnonzero(then != now)
    pairs, counts = np.unique(np.stack([then[rows], now[rows]]), axis=1, return_counts=True)
    frequent = np.argsort(-counts, kind="stable")[:MOVES]
    surest = rows[np.argsort(-after.confidence[rows], kind="stable")[:EXAMPLES]]
    return {
        "changed": len(rows),
        "of": n,
        "moves": [[int(pairs[0, at]), int(pairs[1, at]), int(counts[at])] for at in frequent],
        "examples": [{"row": int(row), "from": int(then[row]), "to": int(now[row])} for row in surest],
    }


def prune(workspace: Workspace, project_id: int) -> None:
    """Remove the predictions of a project's versions before the newest two."""
    newest = select(ModelVersion.path).where(ModelVersion.project_id == project_id)
    newest = newest.order_by(col(ModelVersion.number).desc()).offset(KEPT).limit(PRUNED)
    with reading(workspace.engine) as session:
        paths = session.exec(newest).all()
    for path in filter(None, paths):
        with suppress(OSError):  # Windows keeps what somebody has mapped: a later round removes it
            pool_file(workspace.head(path)).unlink(missing_ok=True)
