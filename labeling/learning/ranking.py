"""The whole pool in order of utility, and what the model thinks of its head."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.db.schema import Reason
from labeling.learning.head import LinearHead
from labeling.learning.snapshot import Snapshot
from strategies import Pool, get_strategy, phase, reasons, select, variety
from strategies.base import Model
from strategies.committee import Committee

QUEUE_LENGTH = 500  # items kept of a ranking: far more than people answer before the next; answers wait for the writing
GOLD = 100  # gold items that have a place in the queue, so that they look like others
SAMPLED = 1000  # items from which the model's doubt is taken
SPREAD = 10  # items at the head of the queue that differ from each other, where the strategy wants variety


Entry = dict[str, Any]  # the values of a `QueueEntry`


@dataclass(frozen=True)
class Ranked:
    """A ranking on its way to the database."""

    entries: list[Entry]
    candidates: int
    phase: str


def rank_pool(
    features: NDArray[np.floating],
    snapshot: Snapshot,
    head: LinearHead | None,
    *,
    seed: int,
    voters: Sequence[Model] = (),
    without_gold: LinearHead | None = None,
) -> Ranked:
    """Score every open item under `head` (None: before there is one) with the project's strategy.

    ``features`` (n, k) are the pool as the head sees it; ``voters`` sit beside the members of a committee. What is
    suggested for gold items comes from `without_gold`, if it can be had: a head that learned from them knows.
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

    def entries(
        rows: NDArray[np.int64],
        items: Iterable[int],
        worth: Iterable[float],
        by: LinearHead | None = head,
        **fields: Any,
    ) -> list[Entry]:
        whys = reasons(strategy, pool, by, rows, snapshot.class_names)
        guesses, confidences = _guess(features, rows, snapshot, by)
        columns = zip(items, worth, whys, guesses, confidences, strict=True)
        return [
            {
                "item_id": int(item), "utility": float(utility), "why": why, "suggestion_class_id": guess,
                "suggestion_confidence": confidence, "reason": Reason.STRATEGY, **fields,
            }
            for item, utility, why, guess, confidence in columns
        ]  # fmt: skip

    new = entries(snapshot.open_rows[chosen], snapshot.open_items[chosen], utilities[chosen])
    again = sorted(snapshot.asked_again, key=lambda one: -one.worth)[:QUEUE_LENGTH]
    opinions = entries(
        np.array([one.row for one in again], dtype=np.int64), [one.item_id for one in again],
        [one.worth for one in again], reason=Reason.OVERLAP,
    )  # fmt: skip
    for entry, one in zip(opinions, again, strict=True):
        entry["why"] = f"another opinion: {one.why}"
    model_doubt = _doubt(features, snapshot, head)
    first = sum(one.worth > model_doubt for one in again)
    gold = np.random.default_rng(seed).permutation(len(snapshot.gold_rows))[:GOLD]
    worth = utilities[chosen[:1]].tolist() * len(gold) if len(chosen) else [0.0] * len(gold)
    by = without_gold or head
    known = entries(snapshot.gold_rows[gold], snapshot.gold_items[gold], worth, by, reason=Reason.GOLD)
    ranked = [*opinions[:first], *new, *opinions[first:], *known]
    for position, entry in enumerate(ranked):
        entry["position"] = position
    return Ranked(ranked, len(utilities) + len(again), phase(strategy, pool, head))


def _doubt(features: NDArray[np.floating], snapshot: Snapshot, head: LinearHead | None) -> float:
    """The probability that the model is wrong about an item that nobody has answered, on average; 1 without a model.

    It is what another opinion is measured by: both say how many labels an answer is expected to put right.
    """
    if head is None or not len(snapshot.open_rows):
        return 1.0 if len(snapshot.open_rows) else 0.0
    sample = snapshot.open_rows[:: max(1, len(snapshot.open_rows) // SAMPLED)]
    return float(1 - head.predict_proba(np.asarray(features[sample])).max(axis=1).mean())


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
