"""The answers of a project as one table, from which every figure on Insights and the items behind it are taken.

Annotations are only ever added, and in the order of `seq`: what was read once is kept in this process, and only what
came after it is read the next time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from sqlalchemy import Engine
from sqlmodel import Session, col, select

from labeling.classes import classes_of
from labeling.db.aliases import second
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Assignment, LabelClass, ModelVersion, Origin, User, Verdict
from labeling.workspace import Workspace

READ_AT_ONCE = 5_000  # answers in one transaction
NOBODY = -1  # in a column of ids: none

_ANSWERS = {
    "seq": "int64", "item": "int64", "user": "int64", "verdict": "category", "class_id": "int64", "version": "int64",
    "suggested": "int64", "shown": "bool", "confidence": "float64", "reason": "category", "seconds": "float64",
    "created": "float64", "origin": "category", "superseded": "int64",
}  # fmt: skip
_VERSIONS = {"id": "int64", "number": "int64", "labels": "int64", "created": "float64", "seen": "int64"}


@dataclass(frozen=True, eq=False)
class History:
    """Everything that was answered in a project, and the model versions that came of it.

    As long as nothing changes, it is the same object that is read.

    Attributes
    ----------
    answers : DataFrame
        One row per standing answer, in the order they came: ``seq``, ``item``, ``user``, ``verdict``, ``class_id`` and
        ``suggested`` (through any merges; `NOBODY` where there is none), ``version`` (the number of the model version
        that suggested), ``confidence`` in the suggestion, whether it was ``shown``, the ``reason`` why the item was
        asked, ``seconds``, ``created``, ``origin``; ``right``, whether the
        suggestion is the answer; and ``judged``, whether that judges the model: nobody had labeled the item when the
        version was trained.
    versions : DataFrame
        One row per model version, oldest first: ``id``, ``number``, ``labels``, ``created``, ``seen`` (the newest
        annotation it took into account).
    classes : list of LabelClass
        Those that are not merged into others, in their order; retired ones too.
    people : dict
        The names of those who answered, by id.
    """

    project_id: int
    answers: pd.DataFrame
    versions: pd.DataFrame
    classes: list[LabelClass]
    people: dict[int, str]

    @cached_property
    def given(self) -> pd.DataFrame:
        """The answers that people gave here: all but imported ones and experts' decisions."""
        return self.answers[~self.answers["origin"].isin([Origin.IMPORTED, Origin.REVIEW])]

    @cached_property
    def labels(self) -> pd.DataFrame:
        """The answers that name a class."""
        return self.answers[self.answers["verdict"] == Verdict.LABEL]

    @cached_property
    def judged(self) -> pd.DataFrame:
        """The answers that judge the model."""
        return self.answers[self.answers["judged"]]

    @cached_property
    def class_names(self) -> dict[int, str]:
        """The names of the classes, by id, in their order."""
        return {c.id: c.name for c in self.classes if c.id is not None}


@dataclass(frozen=True)
class _Kept:
    """What was read of a project, as it is in the database, and the history that it came to."""

    answers: pd.DataFrame
    versions: pd.DataFrame
    classes: list[LabelClass]
    history: History | None  # None while there is more to read


_kept: WeakKeyDictionary[Engine, dict[int, _Kept]] = WeakKeyDictionary()


def read_history(session: Session, project_id: int) -> History:
    """The history of a project as it stands, in the caller's transaction; the caller has checked the role."""
    of_engine = _kept.setdefault(session.get_bind().engine, {})
    before = of_engine.get(project_id)
    answers = before.answers if before else _table([], _ANSWERS)
    versions = before.versions if before else _table([], _VERSIONS)
    new_answers = _new_answers(session, project_id, _last(answers, "seq"))
    new_versions = _new_versions(session, project_id, _last(versions, "number"))  # the first may be number 0
    classes = classes_of(session, project_id)
    unchanged = before and not new_answers and not new_versions and classes == before.classes
    if before and before.history and unchanged:
        return before.history
    answers, versions = _grown(answers, new_answers, _ANSWERS), _grown(versions, new_versions, _VERSIONS)
    found = select(User.id, User.name).where(col(User.id).in_(answers["user"].unique().tolist()))
    people = {user_id: name for user_id, name in session.exec(found).all() if user_id is not None}
    history = _derived(project_id, answers, versions, classes, people)
    of_engine[project_id] = _Kept(answers, versions, classes, history)
    return history


def catch_up(workspace: Workspace, project_id: int) -> None:
    """Read what `read_history` has not read yet, in short transactions: people's answers may wait for a long one."""
    of_engine = _kept.setdefault(workspace.engine, {})
    while True:
        before = of_engine.get(project_id)
        answers = before.answers if before else _table([], _ANSWERS)
        with reading(workspace.engine) as session:
            rows = _new_answers(session, project_id, _last(answers, "seq"), limit=READ_AT_ONCE)
        if len(rows) < READ_AT_ONCE:  # the rest is read along with the classes
            return
        versions = before.versions if before else _table([], _VERSIONS)
        of_engine[project_id] = _Kept(_grown(answers, rows, _ANSWERS), versions, [], None)


_earlier = second(Annotation)


def _new_answers(session: Session, project_id: int, after: int, limit: int | None = None) -> list[Any]:
    query = (
        select(  # type: ignore[call-overload,misc]
            Annotation.seq, Annotation.item_id, Annotation.user_id, Annotation.verdict, Annotation.class_id,
            Annotation.model_version_id, Annotation.suggestion_class_id, Annotation.suggestion_shown,
            Assignment.suggestion_confidence, Assignment.reason,
            Annotation.seconds, Annotation.created, Annotation.origin, _earlier.seq,
        )
        .outerjoin(Assignment, col(Assignment.id) == Annotation.assignment_id)
        .outerjoin(_earlier, col(_earlier.id) == Annotation.supersedes)
        .where(Annotation.project_id == project_id, col(Annotation.seq) > after)
        .order_by(col(Annotation.seq))
        .limit(limit)
    )  # fmt: skip
    return list(session.connection().execute(query).all())


def _new_versions(session: Session, project_id: int, after: int) -> list[Any]:
    query = (
        select(  # type: ignore[call-overload]
            ModelVersion.id, ModelVersion.number, ModelVersion.labels, ModelVersion.created, ModelVersion.annotation_seq
        )
        .where(ModelVersion.project_id == project_id, col(ModelVersion.number) > after)
        .order_by(col(ModelVersion.number))
    )
    return list(session.connection().execute(query).all())


def _last(table: pd.DataFrame, column: str) -> int:
    return int(table[column].iloc[-1]) if len(table) else -1


def _table(rows: list[Any], columns: dict[str, str]) -> pd.DataFrame:
    table = pd.DataFrame([tuple(row) for row in rows], columns=list(columns), dtype=object)
    for name, kind in columns.items():
        if kind == "int64":
            table[name] = table[name].fillna(NOBODY)
    return table.astype({name: kind for name, kind in columns.items() if kind != "category"})


def _grown(before: pd.DataFrame, rows: list[Any], columns: dict[str, str]) -> pd.DataFrame:
    if not rows:
        return before
    new = _table(rows, columns)
    return pd.concat([before, new], ignore_index=True) if len(before) else new


def _derived(
    project_id: int, answers: pd.DataFrame, versions: pd.DataFrame, classes: list[LabelClass], people: dict[int, str]
) -> History:
    """The standing answers, with what can be said of each."""
    label = (answers["verdict"] == Verdict.LABEL).to_numpy()
    first = answers[label].groupby("item")["seq"].min()  # ever given, withdrawn ones too: a model may have seen it
    gone = answers["superseded"].to_numpy()
    stands = ~np.isin(answers["seq"], gone[gone != NOBODY]) & (answers["verdict"] != Verdict.UNDO).to_numpy()
    table = answers[stands].drop(columns="superseded").reset_index(drop=True)
    into = {c.id: c.merged_into for c in classes if c.merged_into is not None}
    for column in ("class_id", "suggested"):
        table[column] = _through(table[column], into)
    by_id = versions.set_index("id")
    seen = table["version"].map(by_id["seen"]).fillna(np.inf)
    table["version"] = table["version"].map(by_id["number"]).fillna(NOBODY).astype("int64")
    answered = (table["verdict"] == Verdict.LABEL) & (table["suggested"] != NOBODY)
    table["right"] = answered & (table["suggested"] == table["class_id"])
    table["judged"] = answered & (table["item"].map(first).fillna(-np.inf) > seen)
    return History(project_id, table, versions, [c for c in classes if c.merged_into is None], people)


def _through(ids: "pd.Series[int]", into: Mapping[int | None, int | None]) -> "pd.Series[int]":
    """Class ids as they are today."""
    merged: dict[int, int] = {}
    for class_id in into:
        at = class_id
        while into.get(at) is not None:
            at = into[at]
        if class_id is not None and at is not None:
            merged[class_id] = at
    return ids.replace(merged) if merged else ids
