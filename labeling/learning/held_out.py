"""What heads like the live one say of labeled items that they did not learn from.

A model that has seen an item's label has little to say against it. So the labeled items are parted into folds, and each
is judged by a head of the other folds. That takes as long as some fits, and is done again when the labels have grown by
a tenth or so many have become others; labels that came since have no verdict until then.
"""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from sqlalchemy import Engine
from threadpoolctl import threadpool_limits

from labeling import jobs
from labeling.features.encoding import open_features
from labeling.learning.choice import GROWTH
from labeling.learning.snapshot import Snapshot, take_snapshot
from labeling.learning.training import refitting
from labeling.learning.versions import live_model
from labeling.workspace import Workspace

FOLDS = 5
FEWEST = 20  # labels
KNOWN = 2  # labels of a class from which on a head has something to say against it


@dataclass(frozen=True)
class HeldOut:
    """The verdict on labeled rows.

    Attributes
    ----------
    rows, targets : (l,) int
        Feature rows, ascending, and the class indices of their labels.
    class_ids : list of int
        What the columns of `probabilities` stand for.
    probabilities : (l, k) float32
        How likely each class is by a head that did not see the row's label. NaN where that head hardly knows the
        label's class: what it has not seen it takes for something else.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    class_ids: list[int]
    probabilities: NDArray[np.float32]
    made_of: tuple[Any, ...]  # feature version, head, and classes at the time

    def of_rows(self, rows: NDArray[np.int64], class_ids: list[int]) -> NDArray[np.float32]:
        """Probabilities (r, k) of rows for these classes; those of a row without a verdict are NaN."""
        found = np.full((len(rows), len(class_ids)), np.nan, dtype=np.float32)
        if not len(self.rows):
            return found
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        known = self.rows[at] == rows
        found[known] = 0
        columns = {class_id: column for column, class_id in enumerate(self.class_ids)}
        for column, class_id in enumerate(class_ids):
            if class_id in columns:
                found[known, column] = self.probabilities[at[known], columns[class_id]]
        return found

    def differs_by(self, snapshot: Snapshot) -> int:
        """How many labels came, went or became another class since."""
        _, mine, theirs = np.intersect1d(self.rows, snapshot.labeled, assume_unique=True, return_indices=True)
        same = int((self.targets[mine] == snapshot.targets[theirs]).sum())
        return max(len(self.rows), len(snapshot.labeled)) - same


_kept: WeakKeyDictionary[Engine, dict[int, HeldOut]] = WeakKeyDictionary()


def held_out(workspace: Workspace, project_id: int) -> HeldOut | None:
    """The verdict on a project's labeled rows; None where there is no model or there are too few labels."""
    matrix, live = open_features(workspace, project_id), live_model(workspace, project_id)
    if matrix is None or live is None or live.feature_version != matrix.version:
        return None
    snapshot = take_snapshot(workspace, project_id, matrix.rows)
    targets = snapshot.targets
    made_of = (matrix.version, snapshot.settings.head, tuple(snapshot.class_ids))
    kept = _kept.setdefault(workspace.engine, {})
    before = kept.get(project_id)
    if before and before.made_of == made_of and before.differs_by(snapshot) * GROWTH < len(before.rows):
        return before
    counts = np.bincount(targets, minlength=1)
    if len(targets) < FEWEST or np.count_nonzero(counts) < 2:
        return None
    with threadpool_limits(jobs.CORES):
        probabilities = _judge(workspace, matrix, snapshot, live)
    kept[project_id] = HeldOut(snapshot.labeled, targets, snapshot.class_ids, probabilities, made_of)
    return kept[project_id]


def _judge(workspace: Workspace, matrix: Any, snapshot: Any, live: Any) -> NDArray[np.float32]:
    fit, seen = refitting(workspace, matrix, snapshot, live)
    rows, targets = np.asarray(seen, dtype=np.float64), snapshot.targets
    k = len(snapshot.class_ids)
    probabilities = np.full((len(targets), k), np.nan, dtype=np.float32)
    # A class of fewer items than folds is in some of the folds only; that is as good as can be.
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    rare = np.bincount(targets)[targets] < FOLDS
    strata = np.where(rare, targets.max() + 1, targets)
    if rare.any() and rare.sum() < FOLDS:
        strata = np.where(rare, np.argmax(np.bincount(targets)), targets)
    for learned, kept in folds.split(rows, strata):
        if len(np.unique(targets[learned])) < 2:
            continue
        head = fit(rows[learned], targets[learned])
        # Laplace's rule of succession: after l labels none is surer than l labels can make it.
        probabilities[kept] = 1 / (len(learned) + k)
        probabilities[np.ix_(kept, head.classes)] += head.predict_proba(rows[kept]) * len(learned) / (len(learned) + k)
        known = np.bincount(targets[learned], minlength=k) >= KNOWN
        probabilities[kept[~known[targets[kept]]]] = np.nan
    return probabilities
