"""The pull of suggestions on the people of a project, as a round of weighing finds it."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.annotation.opinions import Opinions
from labeling.assurance.suggestion_pull import measure_pull
from labeling.db.schema import Origin, Reason
from labeling.learning.gathered import Gathered
from labeling.learning.history import NOBODY


def pull_of(read: Gathered) -> dict[str, Any] | None:
    """The pull of suggestions where they were hidden at random, with the ids of people and classes; None if never.

    What each item is must not depend on the answer that is judged. Experts look at what people disagree on, so
    decisions that came later tell more of those answers that were wrong; asked by need, so do other people's.
    """
    said, opinions = read.said, read.opinions
    created, seq = said["created"].to_numpy(dtype=np.float64), said["seq"].to_numpy(dtype=np.int64)
    during = np.zeros(len(said), dtype=bool)
    for start, end in read.randomised:
        during |= (created >= start) & (created < end)
    asked = (said["origin"] == Origin.ASKED).to_numpy() & (said["reason"] != Reason.REVIEW).to_numpy()
    suggested = (said["suggested"] != NOBODY).to_numpy()
    shown = said["shown"].to_numpy(dtype=bool) & suggested
    truth = np.where(read.decided_by[opinions.items] < seq, read.decided[opinions.items], -1)
    if read.settings.opinions == "fixed":
        truth = np.where(truth >= 0, truth, _by_others(opinions, asked & ~shown))
    places = {class_id: place for place, class_id in enumerate(read.class_ids)}
    guess = np.array([places.get(one, -1) for one in said["suggested"]], dtype=np.int64)
    counted = during & asked & suggested
    order = np.flatnonzero(counted)[np.argsort(seq[counted], kind="stable")]
    if not len(order):
        return None
    found = asdict(
        measure_pull(shown[order], guess[order], opinions.classes[order], truth[order], opinions.people[order])
    )
    found["by_person"] = {str(read.people[at]): one for at, one in found["by_person"].items()}
    found["by_class"] = {str(read.class_ids[at]): one for at, one in found["by_class"].items()}
    return _finite(found)


def _finite(figures: Any) -> Any:
    """Figures as JSON has them: what is without bound is None."""
    if isinstance(figures, dict):
        return {name: _finite(one) for name, one in figures.items()}
    return None if isinstance(figures, float) and not np.isfinite(figures) else figures


def _by_others(opinions: Opinions, hidden: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The class of the item behind each answer (a,) by what two others or more said, all alike; -1 where they did not.

    Only those count who saw no suggestion: the others may have followed it.
    """
    votes = opinions.where(hidden).votes()[opinions.items]
    mine = np.flatnonzero(hidden)
    votes[mine, opinions.classes[mine]] -= 1
    alike = (votes.sum(axis=1) >= 2) & (votes.max(axis=1) == votes.sum(axis=1))
    return np.where(alike, votes.argmax(axis=1), -1)
