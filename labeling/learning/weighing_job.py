"""One round of weighing: what all answers together say of every label, of every person, and of the suggestions.

Annotations are read as a whole and weighed without a transaction; what follows is written in short ones. An item that
somebody answered meanwhile is left to the next round.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import bindparam
from sqlmodel import Session, col, delete, insert, select, update

from labeling import jobs
from labeling.annotation.need import Need, Step, Why, need
from labeling.annotation.opinions import Opinions
from labeling.annotation.weighing import Method as Wanted
from labeling.annotation.weighing import Weighed, weigh
from labeling.assurance.label_errors import LabelErrors, find_label_errors
from labeling.classes import classes_of
from labeling.db.engine import reading, writing
from labeling.db.schema import (
    Annotation,
    Doubt,
    Item,
    Job,
    JobKind,
    JobState,
    Label,
    Membership,
    Method,
    Origin,
    Project,
    Source,
    Verdict,
)
from labeling.jobs import Cancelled
from labeling.learning.held_out import held_out
from labeling.learning.history import History, catch_up, read_history
from labeling.learning.people_records import hidden_at_random, keep_people, records_of
from labeling.projects import Settings, settings_of
from labeling.workspace import Workspace

AT_ONCE = 1_000  # rows that one transaction changes
DOUBTED = 2_000  # items, the most doubtful, whose doubts are kept
FAINT = 0.02  # a doubt below this probability is not kept
MOVED = 0.005  # of a label's confidence: less is not written
TIE = 0.75  # how sure weighing must be of a class for which as many people spoke as for another
WORDS = {
    Why.DISAGREE: "people disagree",
    Why.UNRELIABLE: "only people answered who are often wrong",
    Why.MODEL: "the model objects",
    Why.FEW: "too few answered for such a class",
}
SLIGHT = 0.01  # classes that are less likely have no place in a label's distribution

T = TypeVar("T")


class _Label(NamedTuple):
    """A label as it is stored."""

    item_id: int
    class_id: int
    confidence: float
    source: Source
    method: Method


@dataclass(frozen=True)
class _Read:
    """A project's answers as they stood after annotation `seq`. Item index i stands for `item_ids[i]`, and so on.

    Attributes
    ----------
    said
        The answers of `opinions`, in the same order, as `History.answers` has them.
    randomised
        From when to when suggestions were hidden at random.
    opinions
        Everybody's answers; those that came with imports are those of a person of their own.
    people : list of int
        Whose they are; the negative id of a user for what they imported.
    decided : (n,) int
        The class that an expert decided on; -1 for none.
    untold : (n,) bool
        Whether an expert decided that it cannot be told.
    labels : dict
        The labels there are, by item id.
    """

    seq: int
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
    untold: NDArray[np.bool_]
    golden: NDArray[np.bool_]
    answers: NDArray[np.int64]
    labels: dict[int, _Label]

    def most_votes(self) -> NDArray[np.int64]:
        """How many chose the class that most chose, (n,)."""
        return self.opinions.votes().max(axis=1, initial=0)

    def level(self) -> NDArray[np.bool_]:
        """Whether another class has as many votes, and nobody is the only one, (n,)."""
        votes = np.sort(self.opinions.votes(), axis=1)
        no = np.zeros(len(votes), dtype=bool)
        return (self.answers > 1) & (votes[:, -1] == votes[:, -2]) if votes.shape[1] > 1 else no


@dataclass
class _Changes:
    """What a round comes to, item by item."""

    labels: dict[int, dict[str, Any]] = field(default_factory=dict)  # of a label that there is
    made: dict[int, dict[str, Any]] = field(default_factory=dict)  # labels that there were not
    gone: list[int] = field(default_factory=list)  # labels that nothing speaks for
    wanted: dict[int, int | None] = field(default_factory=dict)
    doubts: list[dict[str, Any]] = field(default_factory=list)


def run_weighing(workspace: Workspace, job: Job) -> None:
    """Run a weighing job; the model learns anew where labels or what is asked came out differently."""
    read = _read(workspace, job.project_id)
    if not len(read.opinions):
        _finish(workspace, job, {})
        return
    found = held_out(workspace, job.project_id)
    predictions = None if found is None else found.of_rows(read.rows, read.class_ids).astype(np.float64)
    weighed = _weigh(read, predictions)
    needed = need(
        weighed, read.opinions, certainty=read.settings.certainty, most=read.settings.overlap, predictions=predictions
    )
    changes = _compare(read, weighed, needed)
    changes.doubts = _doubts(read, weighed, _errors(read, changes, predictions), needed)
    people = records_of(
        read.history,
        read.said,
        read.class_ids,
        read.people,
        read.opinions,
        weighed,
        read.decided,
        read.item_ids,
        read.golden,
        read.randomised,
    )
    anew = _write(workspace, job, read, changes)
    keep_people(workspace, job.project_id, people)
    _finish(workspace, job, {**people.report, "seq": read.seq, "held_out": found is not None}, learn=anew)


def _weigh(read: _Read, predictions: NDArray[np.float64] | None) -> Weighed:
    """All answers weighed as the project wants it; as it is best where there is too little for that."""
    asked = None if read.settings.consensus == "auto" else Wanted(read.settings.consensus)
    try:
        return weigh(read.opinions, predictions=predictions, known=read.decided, method=asked)
    except ValueError:  # no model yet, say, or no two people who answered the same item
        return weigh(read.opinions, predictions=predictions, known=read.decided)


def _read(workspace: Workspace, project_id: int) -> _Read:
    catch_up(workspace, project_id)
    with reading(workspace.engine) as session:
        history = read_history(session, project_id)
        settings = settings_of(session.get_one(Project, project_id))
        gone = {c.id for c in classes_of(session, project_id) if c.split}
        aside = select(Membership.user_id).where(
            Membership.project_id == project_id, col(Membership.set_aside).is_not(None)
        )
        ignored = set(session.exec(aside).all())
        randomised = hidden_at_random(session, project_id)
    seq = int(history.answers["seq"].max()) if len(history.answers) else 0
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
        np.searchsorted(item_ids, said["item"]), _index(said["who"], people), _index(said["class_id"], class_ids),
        len(item_ids), len(people), len(class_ids),
    )  # fmt: skip
    decided = np.full(len(item_ids), -1, dtype=np.int64)
    untold = np.isin(item_ids, decisions.loc[decisions["verdict"] == Verdict.UNSURE, "item"])
    decisions = decisions[decisions["class_id"].isin(class_ids)].drop_duplicates("item", keep="last")
    places = np.searchsorted(item_ids, np.asarray(decisions["item"], dtype=np.int64))
    decided[places] = _index(decisions["class_id"], class_ids)
    rows, golden = _rows(workspace, item_ids)
    answers = np.bincount(opinions.items, minlength=len(item_ids))
    return _Read(
        seq, settings, history, said, randomised, item_ids, rows, class_ids, people, opinions, decided, untold, golden,
        answers, _labels(workspace, item_ids),
    )  # fmt: skip


def _index(ids: "pd.Series[int]", known: list[int]) -> NDArray[np.int64]:
    """The place of each id among those that are known; all of them are."""
    places = {one: place for place, one in enumerate(known)}
    return np.fromiter((places[one] for one in ids.tolist()), dtype=np.int64, count=len(ids))


def _rows(workspace: Workspace, item_ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The feature row of each item, and whether it is gold."""
    rows, golden = np.zeros(len(item_ids), dtype=np.int64), np.zeros(len(item_ids), dtype=bool)
    for part in _parts(item_ids.tolist()):
        with reading(workspace.engine) as session:
            found = session.exec(select(Item.id, Item.row, Item.gold).where(col(Item.id).in_(part))).all()
        at = np.searchsorted(item_ids, np.array([item_id for item_id, *_ in found], dtype=np.int64))
        rows[at], golden[at] = [row for _, row, _ in found], [gold for *_, gold in found]
    return rows, golden


def _labels(workspace: Workspace, item_ids: NDArray[np.int64]) -> dict[int, _Label]:
    """The labels of items, by their ids."""
    columns = (Label.item_id, Label.class_id, Label.confidence, Label.source, Label.method)
    found: dict[int, _Label] = {}
    for part in _parts(item_ids.tolist()):
        query = select(*columns).where(col(Label.item_id).in_(part))  # type: ignore[call-overload]
        with reading(workspace.engine) as session:
            found.update((row[0], _Label(*row)) for row in session.exec(query).all())
    return found


def _errors(read: _Read, changes: _Changes, predictions: NDArray[np.float64] | None) -> LabelErrors:
    """Which labels, as they are to be, are doubted by all that is known; one of an import is evidence of its own."""
    given = np.full(len(read.item_ids), -1, dtype=np.int64)
    alone = np.zeros(len(read.item_ids), dtype=bool)
    places: dict[int | None, int] = {class_id: place for place, class_id in enumerate(read.class_ids)}
    gone = set(changes.gone)
    for at, item_id in enumerate(read.item_ids.tolist()):
        label = read.labels.get(item_id)
        anew = changes.labels.get(item_id) or changes.made.get(item_id)
        class_id = anew["class_id"] if anew else label.class_id if label and item_id not in gone else None
        if class_id in places:
            given[at] = places[class_id]
            alone[at] = label is not None and label.source is Source.IMPORTED
    spoken = read.opinions.where(~alone[read.opinions.items])
    return find_label_errors(given, spoken, predictions, independent=alone)


def _compare(read: _Read, weighed: Weighed, needed: Need) -> _Changes:
    """What has to be written: labels that weighing sees otherwise, and items that want more answers."""
    changes = _Changes()
    most, level = read.most_votes(), read.level()
    by_need = read.settings.opinions == "by_need"
    for at, item_id in enumerate(read.item_ids.tolist()):
        if read.decided[at] >= 0 or read.untold[at] or not read.answers[at]:
            continue
        label = read.labels.get(item_id)
        if label is None and not level[at]:
            continue  # somebody answered or decided meanwhile
        class_id, confidence = read.class_ids[int(weighed.labels[at])], float(weighed.confidence[at])
        method = Method(str(weighed.method[at]))
        if method is Method.MAJORITY:
            if label is not None and label.method is not method:  # it was weighed in another way before
                share = float(most[at] / read.answers[at])
                value = {"class_id": class_id, "confidence": share, "method": method, "distribution": None}
                changes.labels[item_id] = value
                if level[at]:
                    changes.gone.append(item_id)
        else:
            value = {
                "class_id": class_id, "confidence": confidence, "method": method,
                "distribution": _distribution(weighed.probabilities[at], read.class_ids),
            }  # fmt: skip
            if level[at] and confidence < TIE:
                if label is not None:
                    changes.gone.append(item_id)
            elif label is None:
                changes.made[item_id] = {**value, "source": Source.CONSENSUS, "answers": int(read.answers[at])}
            elif _differs(label, value):
                changes.labels[item_id] = value
        if by_need:
            asked = needed.steps[at] == Step.OPINION
            changes.wanted[item_id] = int(read.answers[at]) + 1 if asked else None
    return changes


def _differs(label: _Label, value: dict[str, Any]) -> bool:
    moved = abs(label.confidence - value["confidence"]) > MOVED
    return moved or label.class_id != value["class_id"] or label.method is not value["method"]


def _distribution(probabilities: NDArray[np.float64], class_ids: list[int]) -> dict[str, float]:
    """How likely each class is, by its id, the likeliest first."""
    order = np.argsort(-probabilities, kind="stable")
    return {str(class_ids[c]): round(float(probabilities[c]), 4) for c in order if probabilities[c] >= SLIGHT}


def _doubts(read: _Read, weighed: Weighed, errors: LabelErrors, needed: Need) -> list[dict[str, Any]]:
    """The doubts that are kept: of items that are to be asked again, and the gravest of all others."""
    level = read.level()
    asked = (needed.steps == Step.OPINION) & (read.settings.opinions == "by_need")
    score = np.where(level, 1 - weighed.confidence, errors.score)
    score = np.where(asked, np.maximum(score, 1 - weighed.confidence), score)
    score[(read.decided >= 0) | read.untold | (read.answers == 0)] = 0
    asked &= score > 0
    names = read.history.class_names
    kept = []
    for at in np.argsort(-score - asked, kind="stable")[:DOUBTED].tolist():
        if score[at] < FAINT and not asked[at]:
            break
        better = read.class_ids[int(errors.better[at])]
        speaks = f"all that is known speaks for “{names.get(better, '')}”"
        why = WORDS.get(Why(str(needed.reasons[at])), speaks) if asked[at] else speaks
        kept.append({"item_id": int(read.item_ids[at]), "score": float(score[at]), "class_id": better, "why": str(why)})
    return kept


def _write(workspace: Workspace, job: Job, read: _Read, changes: _Changes) -> bool:
    """Write what has changed, a part at a time; whether labels or what is asked came out differently."""
    project_id, anew = job.project_id, bool(changes.made or changes.gone)
    for part in _parts(sorted({*changes.labels, *changes.made, *changes.gone, *changes.wanted})):
        with writing(workspace.engine) as session:
            _still_ours(session, job)
            newer = select(Annotation.item_id).where(
                Annotation.project_id == project_id, col(Annotation.seq) > read.seq, col(Annotation.item_id).in_(part)
            )
            left = set(part) - set(session.exec(newer).all())
            anew |= any(_moved(read.labels[i], changes.labels[i]) for i in left & changes.labels.keys())
            _write_labels(session, project_id, changes, left)
            anew |= _write_wanted(session, changes, left)
    with writing(workspace.engine) as session:
        _still_ours(session, job)
        session.exec(delete(Doubt).where(col(Doubt.project_id) == project_id))
        if changes.doubts:
            rows = [{"project_id": project_id, **doubt} for doubt in changes.doubts]
            session.connection().execute(insert(Doubt), rows)
    return anew


def _moved(label: _Label, value: dict[str, Any]) -> bool:
    return bool(label.class_id != value["class_id"])


def _write_labels(session: Session, project_id: int, changes: _Changes, left: set[int]) -> None:
    changed = [{"of": i, **changes.labels[i]} for i in left & changes.labels.keys()]
    if changed:
        columns = ("class_id", "confidence", "method", "distribution")
        values: dict[str, Any] = {column: bindparam(f"new_{column}") for column in columns}
        rows = [{"of": row["of"], **{f"new_{column}": row[column] for column in columns}} for row in changed]
        decided = (col(Label.item_id) == bindparam("of")) & (col(Label.source) != Source.ADJUDICATED)
        session.connection().execute(update(Label).where(decided).values(values), rows)
    there = set(session.exec(select(Label.item_id).where(col(Label.item_id).in_(left & changes.made.keys()))).all())
    made = [{"item_id": i, "project_id": project_id, **changes.made[i]} for i in left & changes.made.keys() - there]
    if made:
        session.connection().execute(insert(Label), made)
    gone = [i for i in changes.gone if i in left]
    session.exec(delete(Label).where(col(Label.item_id).in_(gone), col(Label.source) != Source.ADJUDICATED))


def _write_wanted(session: Session, changes: _Changes, left: set[int]) -> bool:
    """How many answers items should have; whether any of them came out differently."""
    asked = left & changes.wanted.keys()
    found = session.exec(select(Item.id, Item.wanted).where(col(Item.id).in_(asked))).all()
    moved = [i for i, wanted in found if i is not None and wanted != 0 and wanted != changes.wanted[i]]
    if moved:
        rows = [{"of": i, "new_wanted": changes.wanted[i]} for i in moved]
        wanted = update(Item).where(col(Item.id) == bindparam("of")).values(wanted=bindparam("new_wanted"))
        session.connection().execute(wanted, rows)
    return bool(moved)


def _finish(workspace: Workspace, job: Job, report: dict[str, Any], *, learn: bool = False) -> None:
    with writing(workspace.engine) as session:
        if learn:
            jobs.request(session, job.project_id, JobKind.TRAIN)
        jobs.finish(session, job, report=report)


def _still_ours(session: Session, job: Job) -> None:
    """Raise `Cancelled` where the job was taken away."""
    current = session.get(Job, job.id)
    if current is None or current.state is not JobState.RUNNING or current.worker_id != job.worker_id:
        raise Cancelled


def _parts(things: Sequence[T]) -> Iterator[list[T]]:
    rest = iter(things)
    while part := list(islice(rest, AT_ONCE)):
        yield part
