"""The outlook of a project: how right the model is on new items, and how long a target would take."""

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from sqlmodel import Session, col, select

from labeling.db.schema import ModelVersion
from labeling.learning.assessment import assessed, is_due
from labeling.learning.forecast import (
    CONFIDENCE,
    MET,
    Assessed,
    Belief,
    Interval,
    accuracy_with,
    believe,
    in_reach,
    interval,
    labels_needed,
    moved,
)
from labeling.learning.history import History
from labeling.learning.pace import Pace, draw_pace
from labeling.projects import Settings

TOLD_FROM = 80  # labels: what is estimated from fewer does not hold
HOLDS_WITH = {"adaptive", "uncertainty_herding", "coverage", "random"}  # others ask too little that is easy
POINTS = 30  # versions that the estimate is shown for
PATH = 24  # points of the forecast
AHEAD = 1.5, 2.5  # times as many labels as there are: how far a forecast is drawn, and at most
MOST_HOURS = 2000.0  # beyond a working year nothing is told


class Estimate(BaseModel):
    """How right the model is on new items with so many labels: estimated, with a 90 % interval."""

    labels: int
    middle: float
    low: float
    high: float


class Range(BaseModel):
    """A median, and the 90 % interval around it."""

    middle: float
    low: float
    high: float


Told = Literal["there", "told", "at least", "too few", "strategy", "no target", "beyond the pool"]


class Outlook(BaseModel):
    """What can be said of a target.

    Attributes
    ----------
    told : str
        ``there``: the target is reached. ``told``: `needed` holds. ``at least``: the interval is too wide to be worth
        anything, so only its lower end is given, `at_least`. ``too few``: fewer than `TOLD_FROM` labels, or no model
        that was assessed. ``strategy``: the project's is none of those that estimates were found to hold with. ``no
        target``: none is set. ``beyond the pool``: more labels than there are items.
    needed : Range or None
        More labels than today's.
    hours : Range or None
        Of one person's work at today's pace, with what is unsure of the pace and of the labels.
    now, path : estimates
        Today, and from today on.
    so_far : list of Estimate
        At model versions that kept how sure they were.
    """

    told: Told
    target: float | None
    needed: Range | None = None
    at_least: int | None = None
    hours: Range | None = None
    pace: Pace | None = None
    now: Estimate | None = None
    so_far: list[Estimate] = []
    path: list[Estimate] = []


def read_outlook(session: Session, history: History, settings: Settings, labels: int, items: int) -> Outlook:
    """The outlook of a project with so many labeled items of so many, in the caller's transaction."""
    if settings.strategy not in HOLDS_WITH:
        return Outlook(told="strategy", target=settings.target_accuracy)
    return _outlook(history, tuple(_assessed(session, history)), settings.target_accuracy, labels, items)


@lru_cache(maxsize=16)
def _outlook(
    history: History, versions: tuple[Assessed, ...], target: float | None, labels: int, items: int
) -> Outlook:
    drawn = draw_pace(history.given)
    pace = drawn[0] if drawn else None
    beliefs = [believe(versions[: at + 1]) for at, one in enumerate(versions) if one.labels >= TOLD_FROM]
    if not beliefs:
        return Outlook(told="too few", target=target, pace=pace)
    today = moved(beliefs[-1], max(labels, beliefs[-1].labels))
    so_far = [_estimate(belief, belief.labels) for belief in (*beliefs, today)]
    base = Outlook(told="no target", target=target, pace=pace, now=so_far[-1], so_far=so_far)
    if target is None:
        return base
    return base.model_copy(update=_aim(today, target, items, drawn and drawn[1]))


def _aim(belief: Belief, target: float, items: int, paces: NDArray[np.float64] | None) -> dict[str, Any]:
    needed, labels = labels_needed(belief, target), belief.labels
    found, least = in_reach(belief, needed), int(np.quantile(needed, (1 - CONFIDENCE) / 2))
    if accuracy_with(belief, labels).middle >= target:
        return {"told": "there"}
    if labels + least >= items:
        return {"told": "beyond the pool", "path": _path(belief, min(items, AHEAD[0] * labels))}
    if found is None:
        return {"told": "at least", "at_least": least, "path": _path(belief, min(items, AHEAD[0] * labels))}
    aim: dict[str, Any] = {
        "told": "told", "needed": _range(found),
        "path": _path(belief, min(items, max(1.1 * (labels + found.middle), AHEAD[0] * labels), AHEAD[1] * labels)),
    }  # fmt: skip
    if paces is not None:
        hours = interval(needed / np.random.default_rng(0).permutation(paces))
        if hours.high <= MOST_HOURS:
            aim["hours"] = _range(hours)
    return aim


def _path(belief: Belief, until: float) -> list[Estimate]:
    places = np.unique(np.linspace(belief.labels, max(until, belief.labels + 1), PATH).astype(int))
    return [_estimate(belief, int(at)) for at in places]


def _assessed(session: Session, history: History) -> list[Assessed]:
    """The newest versions that were assessed, oldest first, with the answers to suggestions that came before them."""
    labels = history.versions["labels"].tolist()
    due = [at for at, count in enumerate(labels) if is_due(count, labels[at - 1] if at else 0)][-POINTS:]
    ids = [int(history.versions["id"].iloc[at]) for at in due]
    query = select(ModelVersion.labels, ModelVersion.annotation_seq, ModelVersion.metrics)
    found = session.exec(query.where(col(ModelVersion.id).in_(ids)).order_by(col(ModelVersion.number))).all()
    told = history.judged[history.judged["confidence"].notna()]
    known = []
    for count, seen, metrics in found:
        met = told[told["seq"] <= seen].tail(MET)
        kept = assessed(count, dict(metrics), met["confidence"], met["confidence"][met["right"]])
        if kept is not None:
            known.append(kept)
    return known


def _estimate(belief: Belief, labels: int) -> Estimate:
    return Estimate(labels=labels, **accuracy_with(belief, labels)._asdict())


def _range(found: Interval) -> Range:
    return Range(**found._asdict())
