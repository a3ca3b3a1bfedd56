"""What a round of weighing says of each person, and of the pull of suggestions on them."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel
from sqlmodel import Session, col, delete, func, insert, select

from labeling.annotation.opinions import Opinions
from labeling.annotation.threads import names_seen
from labeling.annotation.weighing import Weighed
from labeling.assurance.carelessness import Carelessness, assess
from labeling.db.engine import reading, writing
from labeling.db.schema import (
    Event,
    Item,
    Job,
    JobKind,
    JobState,
    Membership,
    Project,
    Reason,
    Reliability,
    Role,
    Verdict,
)
from labeling.learning.gathered import HIDDEN, Gathered, places_of
from labeling.learning.pull_records import pull_of
from labeling.projects import settings_of
from labeling.users import require
from labeling.workspace import Workspace


class Record(BaseModel):
    """What is known of one person's answers."""

    user_id: int
    name: str
    answers: int
    accuracy: float | None  # how often an answer is right, as all answers together tell; None where nothing tells
    agreement: float | None  # how often it is what most others say, of items on which these are not level
    seconds: float | None  # an item, the median
    flagged: bool
    set_aside: float | None
    gold: (
        dict[str, Any] | None
    )  # a `labeling.assurance.carelessness.Carelessness`; None where no gold item was answered


class Records(BaseModel):
    """What is known of everybody, and of the pull of suggestions; as of the last weighing, `None` before the first."""

    computed: float | None
    people: list[Record]
    gold_items: int
    pull: dict[str, Any] | None


def read_records(workspace: Workspace, actor_id: int, project_id: int) -> Records:
    """What is known of the people of a project, for experts and owners: the flagged ones first.

    Raises
    ------
    NotFound, NotAllowed
        If the acting user is no expert of the project.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.EXPERT)
        names = names_seen(session, actor_id, project_id)
        known = session.exec(select(Reliability).where(Reliability.project_id == project_id)).all()
        members = session.exec(select(Membership).where(Membership.project_id == project_id)).all()
        gold = select(func.count()).select_from(Item).where(Item.project_id == project_id, col(Item.gold))
        gold_items = session.exec(gold).one()
        done = select(Job.report).where(
            Job.project_id == project_id, Job.kind == JobKind.WEIGH, Job.state == JobState.DONE
        )
        report = session.exec(done.order_by(col(Job.finished).desc()).limit(1)).first() or {}
    aside = {member.user_id: member.set_aside for member in members}
    people = [
        Record(
            user_id=one.user_id, name=names.get(one.user_id, ""), accuracy=one.accuracy, flagged=one.flagged,
            set_aside=aside.get(one.user_id),
            **{name: one.figures.get(name) for name in ("answers", "agreement", "seconds", "gold")},
        )
        for one in known
    ]  # fmt: skip
    people.sort(key=lambda one: (not one.flagged, one.name))
    computed = known[0].computed if known else None
    return Records(computed=computed, people=people, gold_items=gold_items, pull=report.get("pull"))


@dataclass(frozen=True)
class People:
    """The rows of `Reliability`, and what is told of the project as a whole."""

    rows: list[dict[str, Any]]
    report: dict[str, Any]


def records_of(read: Gathered, weighed: Weighed) -> People:
    """What is known of everybody who answered here, after all answers were weighed."""
    checked = {found.person: found for found in _careless(read)}
    agreed = _agreement(read.opinions)
    seconds = read.history.given.groupby("user")["seconds"].median()
    told = (read.answers >= 2) | (read.decided >= 0)  # items that tell how often people are right
    compared = set(read.opinions.people[told[read.opinions.items]].tolist())
    rows = []
    for at, user in enumerate(read.people):
        if user < 0:
            continue
        gold = checked.get(at)
        figures: dict[str, Any] = {
            "answers": int((read.opinions.people == at).sum()),
            "agreement": agreed[at],
            "seconds": None if np.isnan(seconds.get(user, np.nan)) else float(seconds[user]),
            "gold": None if gold is None else {**asdict(gold), "person": user},
        }
        flagged = gold is not None and gold.flagged
        accuracy = float(weighed.reliability[at]) if at in compared else None
        rows.append({"user_id": user, "accuracy": accuracy, "flagged": flagged, "figures": figures})
    return People(rows, {"pull": pull_of(read)})


def keep_people(workspace: Workspace, project_id: int, people: People) -> None:
    """Write the records, tell the audit log of who is flagged anew, and hide suggestions that were found to do harm."""
    with writing(workspace.engine) as session:
        mine = col(Reliability.project_id) == project_id
        before = set(session.exec(select(Reliability.user_id).where(mine, col(Reliability.flagged))).all())
        # Whoever was set aside is not looked at any more: why they were stays to be seen.
        aside = select(Membership.user_id).where(
            Membership.project_id == project_id, col(Membership.set_aside).is_not(None)
        )
        session.exec(delete(Reliability).where(mine, col(Reliability.user_id).not_in(aside)))
        if people.rows:
            now = time.time()
            rows = [{"project_id": project_id, "computed": now, **row} for row in people.rows]
            session.connection().execute(insert(Reliability), rows)
        for row in people.rows:
            if row["flagged"] and row["user_id"] not in before:
                detail = {"user": row["user_id"], **row["figures"]["gold"]}
                session.add(Event(project_id=project_id, kind="person flagged", detail=detail))
        _hide_harmful(session, project_id, people.report["pull"])


def _hide_harmful(session: Session, project_id: int, pull: dict[str, Any] | None) -> None:
    project = session.get_one(Project, project_id)
    if settings_of(project).suggestions == "auto" and pull and pull["harmful"]:
        project.settings = {**project.settings, "suggestions": "hide"}
        project.schema_version += 1  # pages that are open read whether suggestions are seen along with the classes
        session.add(Event(project_id=project_id, kind=HIDDEN, detail=pull))


def _agreement(opinions: Opinions) -> list[float | None]:
    """How often each person says what most of the others say, of the items where these prefer a class."""
    votes = opinions.votes()[opinions.items]  # of the others, behind each answer
    votes[np.arange(len(opinions)), opinions.classes] -= 1
    most = votes.max(axis=1, initial=0)
    prefer = (most > 0) & ((votes == most[:, None]).sum(axis=1) == 1)
    same = votes[np.arange(len(opinions)), opinions.classes] == most
    met = np.bincount(opinions.people[prefer], minlength=opinions.n_people)
    right = np.bincount(opinions.people[prefer & same], minlength=opinions.n_people)
    return [float(r / m) if m else None for r, m in zip(right, met, strict=True)]


def _careless(read: Gathered) -> list[Carelessness]:
    """What gold items say of people: those that each was asked to be checked by, in the order of their answers."""
    said = read.history.given
    said = said[(said["reason"] == Reason.GOLD) & (said["verdict"] == Verdict.LABEL)]
    golden = read.item_ids[read.golden & (read.decided >= 0)]
    said = said[said["item"].isin(golden) & said["class_id"].isin(read.class_ids) & said["user"].isin(read.people)]
    if said.empty:
        return []
    gold = Opinions(
        np.searchsorted(read.item_ids, said["item"].to_numpy(dtype=np.int64)),
        places_of(said["user"], read.people),
        places_of(said["class_id"], read.class_ids),
        len(read.item_ids),
        len(read.people),
        len(read.class_ids),
    )
    return assess(gold, read.decided, said["seq"].to_numpy(dtype=np.int64))
