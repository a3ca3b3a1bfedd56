"""How far the people of a project agree: in all, by class, over time, two by two, and what they take for what."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel

from labeling.annotation.agreement import (
    alpha_interval,
    alpha_over_time,
    alpha_per_class,
    confusion_between,
    pairwise,
)
from labeling.annotation.opinions import Opinions
from labeling.annotation.threads import names_seen
from labeling.db.engine import reading
from labeling.db.schema import Role
from labeling.learning.behind import shared_answers
from labeling.learning.history import catch_up, read_history
from labeling.users import require
from labeling.workspace import Workspace

DRAWS = 500  # of the bootstrap
WINDOWS = 12
MOST_PAIRS = 200  # pairs of people, those with the most items first


class Alpha(BaseModel):
    """Krippendorff's alpha, with its interval at 95 %; none where nobody's answers meet."""

    value: float
    low: float
    high: float


class ClassAgreement(BaseModel):
    """How far people agree on one class against all others; none where it was never chosen."""

    class_id: int
    name: str
    alpha: float | None


class PairAgreement(BaseModel):
    """How far two people agree on the items that both have answered."""

    first: int
    second: int
    first_name: str
    second_name: str
    items: int
    agreement: float
    kappa: float | None


class Period(BaseModel):
    """How far people agreed on the items answered in a stretch of time."""

    start: float
    end: float
    items: int
    alpha: float | None


class Taken(BaseModel):
    """How often one person said the one class of an item and another person the other."""

    one: int
    other: int
    times: int


class Agreement(BaseModel):
    """How far people agree; on nothing where no item has two answers."""

    items: int  # that two people or more have answered
    alpha: Alpha | None
    classes: list[ClassAgreement]
    periods: list[Period]
    pairs: list[PairAgreement]
    confusion: list[Taken]


def read_agreement(workspace: Workspace, actor_id: int, project_id: int) -> Agreement:
    """How far people agree, for experts and owners.

    Answers of people who were set aside are left out, and so are imported ones and experts' decisions.

    Raises
    ------
    NotFound, NotAllowed
        If the acting user is no expert of the project.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.EXPERT)
    catch_up(workspace, project_id)
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.EXPERT)
        history = read_history(session, project_id)
        met = shared_answers(session, history)
        names = names_seen(session, actor_id, project_id)
    if met.empty:
        return Agreement(items=0, alpha=None, classes=[], periods=[], pairs=[], confusion=[])
    items, item_ids = pd.factorize(met["item"])
    people, users = pd.factorize(met["user"])
    class_ids = list(history.class_names)
    places = {class_id: place for place, class_id in enumerate(class_ids)}
    chosen = np.array([places[class_id] for class_id in met["class_id"]], dtype=np.int64)
    opinions = Opinions(
        np.asarray(items, dtype=np.int64),
        np.asarray(people, dtype=np.int64),
        chosen,
        len(item_ids),
        len(users),
        len(class_ids),
    )
    whole = alpha_interval(opinions, draws=DRAWS)
    when = met["created"].to_numpy(dtype=np.float64)
    return Agreement(
        items=len(item_ids),
        alpha=None if np.isnan(whole.value) else Alpha(value=whole.value, low=whole.low, high=whole.high),
        classes=[
            ClassAgreement(class_id=class_id, name=history.class_names[class_id], alpha=_number(alpha))
            for class_id, alpha in zip(class_ids, alpha_per_class(opinions), strict=True)
        ],
        periods=[
            Period(start=one.start, end=one.end, items=one.items, alpha=_number(one.alpha))
            for one in alpha_over_time(opinions, when, windows=WINDOWS)
        ],
        pairs=_pairs(opinions, [int(user) for user in users], names),
        confusion=_confusion(confusion_between(opinions), class_ids),
    )


def _pairs(opinions: Opinions, users: list[int], names: dict[int, str]) -> list[PairAgreement]:
    table = pairwise(opinions)
    met = [
        (int(table.items[a, b]), a, b)
        for a in range(len(users))
        for b in range(a + 1, len(users))
        if table.items[a, b]
    ]  # fmt: skip
    return [
        PairAgreement(
            first=users[a], second=users[b], first_name=names.get(users[a], ""), second_name=names.get(users[b], ""),
            items=items, agreement=float(table.agreement[a, b]), kappa=_number(table.kappa[a, b]),
        )
        for items, a, b in sorted(met, reverse=True)[:MOST_PAIRS]
    ]  # fmt: skip


def _confusion(counts: NDArray[np.int64], class_ids: list[int]) -> list[Taken]:
    """The pairs of different classes that people said of one item, the most frequent first."""
    found = [
        Taken(one=class_ids[a], other=class_ids[b], times=int(counts[a, b]))
        for a in range(len(class_ids))
        for b in range(a + 1, len(class_ids))
        if counts[a, b]
    ]
    return sorted(found, key=lambda one: -one.times)


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
