"""The whole pool in order of utility, and what the model thinks of its head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.learning.head import LinearHead
from labeling.learning.snapshot import Snapshot
from strategies import Pool, get_strategy, phase, reasons, select, variety
from strategies.base import Model
from strategies.committee import Committee

QUEUE_LENGTH = 500  # items kept of a ranking: far more than people answer before the next; answers wait for the writing
SPREAD = 10  # items at the head of the queue that differ from each other, where the strategy wants variety


@dataclass(frozen=True)
class Ranked:
    """A ranking on its way to the database; `entries` are the values of `QueueEntry` rows."""

    entries: list[dict[str, Any]]
    candidates: int
    phase: str


def rank_pool(
    features: NDArray[np.floating],
    snapshot: Snapshot,
    head: LinearHead | None,
    *,
    seed: int,
    voters: Sequence[Model] = (),
) -> Ranked:
    """Score every open item under `head` (None: before there is one) with the project's strategy.

    ``features`` (n, k) are the pool as the head sees it; ``voters`` sit beside the members of a committee.
    """
    name = snapshot.settings.strategy
    strategy = get_strategy(name, members=tuple(voters)) if voters and name == Committee.name else get_strategy(name)
    pool = Pool(
        features,
        snapshot.labeled,
        snapshot.targets,
        snapshot.open_rows,
        len(snapshot.class_ids),
        held=snapshot.held_rows,
    )
    utilities = strategy.utilities(pool, head, np.random.default_rng(seed))
    chosen = _order(utilities, pool, variety(strategy, pool, head), seed)
    rows = snapshot.open_rows[chosen]
    whys = reasons(strategy, pool, head, rows, snapshot.class_names)
    guesses, confidences = _guess(features, rows, snapshot, head)
    entries = [
        {
            "position": position,
            "item_id": int(snapshot.open_items[at]),
            "utility": float(utilities[at]),
            "why": why,
            "suggestion_class_id": guess,
            "suggestion_confidence": confidence,
        }
        for position, (at, why, guess, confidence) in enumerate(zip(chosen, whys, guesses, confidences, strict=True))
    ]
    return Ranked(entries, len(utilities), phase(strategy, pool, head))


def _order(utilities: NDArray[np.float64], pool: Pool, diversity: int, seed: int) -> NDArray[np.intp]:
    """Positions of the queue's candidates: `SPREAD` that differ, also from what people hold, then by utility."""
    by_utility = select(utilities, pool.candidates, QUEUE_LENGTH, np.random.default_rng(seed))
    if diversity <= 1:
        return by_utility
    free = np.flatnonzero(~np.isin(pool.candidates, pool.held))
    rng = np.random.default_rng(seed)
    spread = select(utilities[free], pool.candidates[free], SPREAD, rng, pool.features, diversity, pool.held)
    first = free[spread]
    return np.concatenate([first, by_utility[~np.isin(by_utility, first)]])[:QUEUE_LENGTH]


def _guess(
    features: NDArray[np.floating], rows: NDArray[np.int64], snapshot: Snapshot, head: LinearHead | None
) -> tuple[list[int | None], list[float | None]]:
    """The likeliest class of each row, as a class id, and its probability."""
    if head is None or len(rows) == 0:
        return [None] * len(rows), [None] * len(rows)
    probabilities = head.predict_proba(np.asarray(features[rows]))
    best = probabilities.argmax(axis=1)
    guesses: list[int | None] = [snapshot.class_ids[int(head.classes[b])] for b in best]
    return guesses, [float(p) for p in probabilities.max(axis=1)]
