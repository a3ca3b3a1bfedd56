"""All answers of a project, gathered for one round of weighing: read in short transactions, held without one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlmodel import Session, col, func, select

from labeling.annotation.opinions import Opinions
from labeling.classes import classes_of
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Event, Item, Label, Method, Origin, Project, Source, Verdict
from labeling.learning.history import History, catch_up, read_history
from labeling.learning.snapshot import ground_of
from labeling.projects import Settings, settings_of
from labeling.workspace import Workspace

HIDDEN = "suggestions hidden"  # the event that a project hides suggestions by itself
AT_ONCE = 1_000  # rows that one transaction reads or changes

T = TypeVar("T")


class StoredLabel(NamedTuple):
    """A label as it is stored."""

    item_id: int
    class_id: int
    confidence: float
    source: Source
    method: Method


@dataclass(frozen=True)
class Gathered:
    """A project's answers as they stood after annotation `seq`. Item index i stands for `item_ids[i]`, and so on.

    Attributes
    ----------
    ground
        See `labeling.learning.snapshot.ground_of`.
    said
        The answers of `opinions`, in the same order, as `History.answers` has them.
    randomised
        From when to when suggestions were hidden at random.
    opinions
        Everybody's answers; those that came with imports are those of a person of their own.
    people : list of int
        Whose they are; the negative id of a user for what they imported.
    decided, decided_by : (n,) int
        The class that an expert decided on, -1 for none; and the annotation (its `seq`) that says so.
    untold : (n,) bool
        Whether an expert decided that it cannot be told.
    imported : (n,) int
        The class that an item came with, where that counts as an answer; -1 for none.
    labels : dict
        The labels there are, by item id.
    """

    seq: int
    ground: list[Any]
    settings: Settings
    history: History
    said: pd.DataFrame
    randomised: list[tuple[float, float]]
    item_ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    class_ids: list[int]
    people: list[int]
    opinions: Opinions
    decided: NDArray[np.int64]
    decided_by: NDArray[np.int64]
    untold: NDArray[np.bool_]
    imported: NDArray[np.int64]
    golden: NDArray[np.bool_]
    answers: NDArray[np.int64]
    labels: dict[int, StoredLabel]

    def most_votes(self) -> NDArray[np.int64]:
        """How many chose the class that most chose, (n,)."""
        return self.opinions.votes().max(axis=1, initial=0)

    @cached_property
    def level(self) -> NDArray[np.bool_]:
        """Whether another class has as many votes, and nobody is the only one, (n,)."""
        votes = np.sort(self.opinions.votes(), axis=1)
        no = np.zeros(len(votes), dtype=bool)
        return (self.answers > 1) & (votes[:, -1] == votes[:, -2]) if votes.shape[1] > 1 else no


def gather(workspace: Workspace, project_id: int) -> Gathered:
    """Read all answers of a project, and what there is of its labels."""
    catch_up(workspace, project_id)
    with reading(workspace.engine) as session:
        history = read_history(session, project_id)
        settings = settings_of(session.get_one(Project, project_id))
        gone = {c.id for c in classes_of(session, project_id) if c.split}
        ground = ground_of(session, project_id)
        randomised = _hidden_at_random(session, project_id)
        # Not the newest that stands: an undo is no answer, but what it withdrew has been read.
        newest = select(func.max(Annotation.seq)).where(Annotation.project_id == project_id)
        seq = session.exec(newest).one() or 0
    _, ignored = ground
    said = history.answers
    decisions = said[said["origin"] == Origin.REVIEW]
    said = said[(said["verdict"] == Verdict.LABEL) & (said["origin"] != Origin.REVIEW)]
    said = said[~said["user"].isin(ignored) & ~said["class_id"].isin(gone)]
    who = said["user"].where(said["origin"] != Origin.IMPORTED, -said["user"])
    said = said.assign(who=who).drop_duplicates(["item", "who"], keep="last")
    class_ids = [class_id for class_id in history.class_names if class_id not in gone]
    item_ids = np.unique(np.concatenate([said["item"], decisions["item"]])).astype(np.int64)
    people = sorted(said["who"].unique().tolist(), key=lambda one: (one < 0, abs(one)))
    opinions = Opinions(
        np.searchsorted(item_ids, said["item"]), places_of(said["who"], people), places_of(said["class_id"], class_ids),
        len(item_ids), len(people), len(class_ids),
    )  # fmt: skip
    decided = np.full(len(item_ids), -1, dtype=np.int64)
    untold = np.isin(item_ids, decisions.loc[decisions["verdict"] == Verdict.UNSURE, "item"])
    decisions = decisions[decisions["class_id"].isin(class_ids)].drop_duplicates("item", keep="last")
    places = np.searchsorted(item_ids, np.asarray(decisions["item"], dtype=np.int64))
    decided[places] = places_of(decisions["class_id"], class_ids)
    decided_by = np.full(len(item_ids), seq + 1, dtype=np.int64)
    decided_by[places] = decisions["seq"]
    came = said[said["origin"] == Origin.IMPORTED]
    imported = np.full(len(item_ids), -1, dtype=np.int64)
    imported[np.searchsorted(item_ids, np.asarray(came["item"], dtype=np.int64))] = places_of(
        came["class_id"], class_ids
    )
    rows, golden = _rows(workspace, item_ids)
    answers = np.bincount(opinions.items, minlength=len(item_ids))
    return Gathered(
        seq, ground, settings, history, said, randomised, item_ids, rows, class_ids, people, opinions, decided,
        decided_by, untold, imported, golden, answers, _labels(workspace, item_ids),
    )  # fmt: skip


def _hidden_at_random(session: Session, project_id: int) -> list[tuple[float, float]]:
    """From when to when a project hid suggestions at random, in seconds since the epoch."""
    kinds = ["project created", "settings changed", HIDDEN]
    changed = select(Event.created, Event.kind, Event.detail).where(
        Event.project_id == project_id, col(Event.kind).in_(kinds)
    )
    events: list[tuple[float, Any]] = [
        (created, {"suggestions": "hide"} if kind == HIDDEN else detail)  # by the project itself, where they do harm
        for created, kind, detail in session.exec(changed.order_by(col(Event.id))).all()
    ]
    share, seen = Settings().hidden_share, Settings().suggestions
    spans: list[tuple[float, float]] = []
    since = None
    for moment, detail in [*events, (np.inf, {"hidden_share": 0})]:
        share, seen = detail.get("hidden_share", share), detail.get("suggestions", seen)
        running = share > 0 and seen != "hide"
        if running and since is None:
            since = moment
        elif not running and since is not None:
            spans.append((since, moment))
            since = None
    return spans


def places_of(ids: "pd.Series[int]", known: list[int]) -> NDArray[np.int64]:
    """The place of each id among those that are known; all of them are."""
    places = {one: place for place, one in enumerate(known)}
    return np.fromiter((places[one] for one in ids.tolist()), dtype=np.int64, count=len(ids))


def _rows(workspace: Workspace, item_ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The feature row of each item, and whether it is gold."""
    rows, golden = np.zeros(len(item_ids), dtype=np.int64), np.zeros(len(item_ids), dtype=bool)
    for part in in_parts(item_ids.tolist()):
        with reading(workspace.engine) as session:
            found = session.exec(select(Item.id, Item.row, Item.gold).where(col(Item.id).in_(part))).all()
        at = np.searchsorted(item_ids, np.array([item_id for item_id, *_ in found], dtype=np.int64))
        rows[at], golden[at] = [row for _, row, _ in found], [gold for *_, gold in found]
    return rows, golden


def _labels(workspace: Workspace, item_ids: NDArray[np.int64]) -> dict[int, StoredLabel]:
    """The labels of items, by their ids."""
    columns = (Label.item_id, Label.class_id, Label.confidence, Label.source, Label.method)
    found: dict[int, StoredLabel] = {}
    for part in in_parts(item_ids.tolist()):
        query = select(*columns).where(col(Label.item_id).in_(part))  # type: ignore[call-overload]
        with reading(workspace.engine) as session:
            found.update((row[0], StoredLabel(*row)) for row in session.exec(query).all())
    return found


def in_parts(things: Sequence[T]) -> Iterator[list[T]]:
    """So many at a time as one transaction reads or changes."""
    rest = iter(things)
    while part := list(islice(rest, AT_ONCE)):
        yield part
