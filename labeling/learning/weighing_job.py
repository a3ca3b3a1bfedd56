"""One round of weighing: what all answers together say of every label, of every person, and of the suggestions.

Annotations are read as a whole and weighed without a transaction; what follows is written in short ones. An item that
somebody answered meanwhile is left to the next round, and so is everything where the classes were changed meanwhile, or
whose answers count.
"""

from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam
from sqlmodel import Session, col, delete, insert, select, update

from labeling import jobs
from labeling.annotation.need import Need, Step, Why, need
from labeling.annotation.review_order import LIKELY_WRONG
from labeling.annotation.weighing import Method as Wanted
from labeling.annotation.weighing import Weighed, weigh
from labeling.assurance.label_errors import LabelErrors, find_label_errors
from labeling.db.engine import writing
from labeling.db.schema import (
    Annotation,
    Doubt,
    Item,
    Job,
    JobKind,
    JobState,
    Label,
    Method,
    Source,
)
from labeling.jobs import Cancelled
from labeling.learning.gathered import Gathered, StoredLabel, gather, in_parts
from labeling.learning.held_out import held_out
from labeling.learning.people_records import People, keep_people, records_of
from labeling.learning.snapshot import ground_of
from labeling.workspace import Workspace

AT_ONCE = 1_000  # rows that one transaction changes
DOUBTED = 2_000  # items whose doubts are kept: the most doubtful, and as many of which another opinion is worth most
FAINT = 0.02  # a doubt below this probability is not kept
MOVED = 0.005  # of a label's confidence: less is not written
WORDS = {
    Why.DISAGREE: "people disagree",
    Why.UNRELIABLE: "only people answered who are often wrong",
    Why.MODEL: "the model objects",
    Why.FEW: "too few answered for such a class",
}
STILL = "it has all its answers, and its label is still less sure than the project wants"
SLIGHT = 0.01  # classes that are less likely have no place in a label's distribution

T = TypeVar("T")


class _Overtaken(Exception):
    """What labels rest on besides answers was changed since it was read."""


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
    read = gather(workspace, job.project_id)
    if not len(read.opinions):
        _forget(workspace, job)
        return
    found = held_out(workspace, job.project_id)
    predictions = None if found is None else found.of_rows(read.rows, read.class_ids).astype(np.float64)
    weighed = _weigh(read, predictions)
    needed = need(
        weighed, read.opinions, certainty=read.settings.certainty, most=read.settings.overlap, predictions=predictions
    )
    changes = _compare(read, weighed, needed)
    changes.doubts = _doubts(read, weighed, _errors(read, changes, predictions), needed, _objects(weighed, predictions))
    people = records_of(read, weighed)
    try:
        anew = _write(workspace, job, read, changes)
    except _Overtaken:
        with writing(workspace.engine) as session:
            jobs.request(session, job.project_id, JobKind.WEIGH)
        _finish(workspace, job, {})
        return
    keep_people(workspace, job.project_id, people)
    about = {"seq": read.seq, "ground": read.ground, "held_out": found is not None}
    _finish(workspace, job, {**people.report, **about}, learn=anew)


def _weigh(read: Gathered, predictions: NDArray[np.float64] | None) -> Weighed:
    """All answers weighed as the project wants it; as it is best where there is too little for that."""
    asked = None if read.settings.consensus == "auto" else Wanted(read.settings.consensus)
    try:
        return weigh(read.opinions, predictions=predictions, known=read.decided, method=asked)
    except ValueError:  # no model yet, say, or no two people who answered the same item
        return weigh(read.opinions, predictions=predictions, known=read.decided)


def _errors(read: Gathered, changes: _Changes, predictions: NDArray[np.float64] | None) -> LabelErrors:
    """Which labels, as they are to be, are doubted by all that is known. Where one came with an import, it is that one
    which is judged, whatever people made of it since: it is evidence of its own, and theirs speaks for or against it.
    """
    alone = read.imported >= 0
    given = read.imported.copy()
    places: dict[int | None, int] = {class_id: place for place, class_id in enumerate(read.class_ids)}
    gone = set(changes.gone)
    for at in np.flatnonzero(~alone).tolist():
        item_id = int(read.item_ids[at])
        label = read.labels.get(item_id)
        anew = changes.labels.get(item_id) or changes.made.get(item_id)
        class_id = anew["class_id"] if anew else label.class_id if label and item_id not in gone else None
        if class_id in places:
            given[at] = places[class_id]
    came = np.array([user < 0 for user in read.people], dtype=bool)
    spoken = read.opinions.where(~came[read.opinions.people])
    return find_label_errors(given, spoken, predictions, independent=alone)


def _compare(read: Gathered, weighed: Weighed, needed: Need) -> _Changes:
    """What has to be written: labels that weighing sees otherwise, and items that want more answers."""
    changes = _Changes()
    most, level = read.most_votes(), read.level
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
            if label is None:
                changes.made[item_id] = {**value, "source": Source.CONSENSUS, "answers": int(read.answers[at])}
            elif _differs(label, value):
                changes.labels[item_id] = value
        if by_need:
            asked = needed.steps[at] == Step.OPINION
            changes.wanted[item_id] = int(read.answers[at]) + 1 if asked else None
    return changes


def _differs(label: StoredLabel, value: dict[str, Any]) -> bool:
    moved = abs(label.confidence - value["confidence"]) > MOVED
    return moved or label.class_id != value["class_id"] or label.method is not value["method"]


def _distribution(probabilities: NDArray[np.float64], class_ids: list[int]) -> dict[str, float]:
    """How likely each class is, by its id, the likeliest first."""
    order = np.argsort(-probabilities, kind="stable")
    return {str(class_ids[c]): round(float(probabilities[c]), 4) for c in order if probabilities[c] >= SLIGHT}


def _objects(weighed: Weighed, predictions: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Whether the model finds another class likelier than the label, (n,)."""
    if predictions is None:
        return np.zeros(len(weighed.labels), dtype=bool)
    given = np.asarray(np.isfinite(predictions).all(axis=1))
    return np.asarray(given & (np.where(given[:, None], predictions, 0.0).argmax(axis=1) != weighed.labels))


def _doubts(
    read: Gathered, weighed: Weighed, errors: LabelErrors, needed: Need, objects: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """The doubts that are kept: the gravest, and those of items of which another opinion is worth most."""
    level = read.level & (read.imported < 0)
    by_need = read.settings.opinions == "by_need"
    asked, stuck = by_need & (needed.steps == Step.OPINION), by_need & (needed.steps == Step.EXPERT)
    score = np.where(level, 1 - weighed.confidence, errors.score)
    score = np.where(asked | stuck, np.maximum(score, 1 - weighed.confidence), score)
    score[(read.decided >= 0) | read.untold | (read.answers == 0)] = 0
    asked, stuck = asked & (score > 0), stuck & (score > 0)
    grave = np.argsort(-score - stuck, kind="stable")[:DOUBTED]
    grave = grave[(score[grave] >= FAINT) | stuck[grave]]
    wanted = np.flatnonzero(asked)
    wanted = wanted[np.argsort(-needed.worth[wanted], kind="stable")][:DOUBTED]
    names = read.history.class_names
    kept = []
    for at in dict.fromkeys([*grave.tolist(), *wanted.tolist()]):
        better = read.class_ids[int(errors.better[at])]
        why = f"fewer than half of people may say so; next comes “{names.get(better, '')}”"
        if read.imported[at] >= 0:
            why = f"it came as “{names.get(read.class_ids[int(read.imported[at])], '')}”, and {why}"
        if asked[at]:
            why = WORDS.get(Why(str(needed.reasons[at])), why)
        elif stuck[at] and score[at] <= LIKELY_WRONG:
            why = STILL
        kept.append(
            {
                "item_id": int(read.item_ids[at]), "score": float(score[at]), "class_id": better, "why": why,
                "worth": float(needed.worth[at]) if asked[at] else 0.0, "stuck": bool(stuck[at]),
                "objects": bool(objects[at]),
            }
        )  # fmt: skip
    return kept


def _write(workspace: Workspace, job: Job, read: Gathered, changes: _Changes) -> bool:
    """Write what has changed, a part at a time; whether labels or what is asked came out differently."""
    project_id, anew = job.project_id, False
    for part in in_parts(sorted({*changes.labels, *changes.made, *changes.gone, *changes.wanted})):
        with writing(workspace.engine) as session:
            _still_ours(session, job)
            if ground_of(session, project_id) != read.ground:
                raise _Overtaken
            newer = select(Annotation.item_id).where(
                Annotation.project_id == project_id, col(Annotation.seq) > read.seq, col(Annotation.item_id).in_(part)
            )
            left = set(part) - set(session.exec(newer).all())
            anew |= any(_moved(read.labels[i], changes.labels[i]) for i in left & changes.labels.keys())
            anew |= _write_labels(session, project_id, changes, left)
            anew |= _write_wanted(session, changes, left)
    with writing(workspace.engine) as session:
        _still_ours(session, job)
        session.exec(delete(Doubt).where(col(Doubt.project_id) == project_id))
        if changes.doubts:
            rows = [{"project_id": project_id, **doubt} for doubt in changes.doubts]
            session.connection().execute(insert(Doubt), rows)
    return anew


def _moved(label: StoredLabel, value: dict[str, Any]) -> bool:
    return bool(label.class_id != value["class_id"])


def _write_labels(session: Session, project_id: int, changes: _Changes, left: set[int]) -> bool:
    """Write the labels of the items in `left`; whether there are some that were not, or are none any more."""
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
    removed = delete(Label).where(col(Label.item_id).in_(gone), col(Label.source) != Source.ADJUDICATED)
    return session.exec(removed).rowcount > 0 or bool(made)


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


def _forget(workspace: Workspace, job: Job) -> None:
    """With no answer that counts, nothing is known of anybody, and nothing is doubted."""
    with writing(workspace.engine) as session:
        session.exec(delete(Doubt).where(col(Doubt.project_id) == job.project_id))
    keep_people(workspace, job.project_id, People([], {"pull": None}))
    _finish(workspace, job, {})


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
