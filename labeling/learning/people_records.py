"""What a round of weighing says of each person, and of the pull of suggestions on them."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel
from sqlmodel import Session, col, delete, func, insert, select

from labeling.annotation.opinions import Opinions
from labeling.annotation.weighing import Weighed
from labeling.assurance.carelessness import Carelessness, assess
from labeling.assurance.suggestion_pull import measure_pull
from labeling.db.engine import reading, writing
from labeling.db.schema import (
    Event,
    Item,
    Job,
    JobKind,
    JobState,
    Membership,
    Origin,
    Project,
    Reason,
    Reliability,
    Role,
    Verdict,
)
from labeling.learning.behind import names_seen
from labeling.learning.history import NOBODY, History
from labeling.projects import settings_of
from labeling.users import require
from labeling.workspace import Workspace


class Record(BaseModel):
    """What is known of one person's answers."""

    user_id: int
    name: str
    answers: int
    accuracy: float  # how often an answer is the label, as all answers together have it
    agreement: float | None  # how often it is what the label says, of items that others have answered too
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
        gold = select(func.count()).select_from(Item).where(Item.project_id == project_id, col(Item.gold).is_(True))
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


def records_of(
    history: History,
    said: pd.DataFrame,
    class_ids: list[int],
    people: list[int],
    opinions: Opinions,
    weighed: Weighed,
    decided: NDArray[np.int64],
    item_ids: NDArray[np.int64],
    golden: NDArray[np.bool_],
    randomised: list[tuple[float, float]],
) -> People:
    """What is known of everybody who answered here.

    Parameters
    ----------
    said
        The answers of `opinions`, in the same order, as `History.answers` has them.
    people
        Whose answers those in `opinions` are: the id of a user; negative, of what a user imported.
    decided : (n,) int
        The class, as an index into `class_ids`, that an expert decided on; -1 for none.
    item_ids : (n,) int
        The ids of the items, ascending.
    golden : (n,) bool
        Which of them are gold.
    randomised
        From when to when suggestions were hidden at random.
    """
    checked = {found.person: found for found in _careless(history, class_ids, people, item_ids, decided, golden)}
    agreed = _agreement(opinions, weighed)
    seconds = history.given.groupby("user")["seconds"].median()
    pull = _pull(said, class_ids, people, opinions, decided, randomised)
    rows = []
    for at, user in enumerate(people):
        if user < 0:
            continue
        gold = checked.get(at)
        figures: dict[str, Any] = {
            "answers": int((opinions.people == at).sum()),
            "agreement": agreed[at],
            "seconds": None if np.isnan(seconds.get(user, np.nan)) else float(seconds[user]),
            "gold": None if gold is None else {**asdict(gold), "person": user},
        }
        flagged = gold is not None and gold.flagged
        accuracy = float(weighed.reliability[at])
        rows.append({"user_id": user, "accuracy": accuracy, "flagged": flagged, "figures": figures})
    return People(rows, {"pull": pull})


def keep_people(workspace: Workspace, project_id: int, people: People) -> None:
    """Write the records, tell the audit log of who is flagged anew, and hide suggestions that were found to do harm."""
    with writing(workspace.engine) as session:
        mine = col(Reliability.project_id) == project_id
        before = set(session.exec(select(Reliability.user_id).where(mine, col(Reliability.flagged).is_(True))).all())
        session.exec(delete(Reliability).where(mine))
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
        session.add(Event(project_id=project_id, kind="suggestions hidden", detail=pull))


def _agreement(opinions: Opinions, weighed: Weighed) -> list[float | None]:
    """How often each person says what the label says, of the items that others have answered too."""
    several = np.bincount(opinions.items, minlength=opinions.n_items)[opinions.items] > 1
    same = opinions.classes == weighed.labels[opinions.items]
    met = np.bincount(opinions.people[several], minlength=opinions.n_people)
    right = np.bincount(opinions.people[several & same], minlength=opinions.n_people)
    return [float(r / m) if m else None for r, m in zip(right, met, strict=True)]


def hidden_at_random(session: Session, project_id: int) -> list[tuple[float, float]]:
    """From when to when a project hid suggestions at random, in seconds since the epoch; in the caller's transaction.

    Before a setting was changed for the first time it is taken to have had its default.
    """
    now = settings_of(session.get_one(Project, project_id))
    changed = select(Event.created, Event.detail).where(
        Event.project_id == project_id, Event.kind == "settings changed"
    )
    events = session.exec(changed.order_by(col(Event.id))).all()
    share, seen = now.hidden_share, now.suggestions
    if any("hidden_share" in detail for _, detail in events):
        share = 0.0
    if any("suggestions" in detail for _, detail in events):
        seen = "show"
    spans, since = [], 0.0 if share > 0 and seen != "hide" else None
    for moment, detail in [*events, (np.inf, {"hidden_share": 0})]:
        share, seen = detail.get("hidden_share", share), detail.get("suggestions", seen)
        running = share > 0 and seen != "hide"
        if running and since is None:
            since = moment
        elif not running and since is not None:
            spans.append((since, moment))
            since = None
    return spans


def _pull(
    said: pd.DataFrame,
    class_ids: list[int],
    people: list[int],
    opinions: Opinions,
    decided: NDArray[np.int64],
    randomised: list[tuple[float, float]],
) -> dict[str, Any] | None:
    """The pull of suggestions where they were hidden at random, with the ids of people and classes; None if never."""
    created = said["created"].to_numpy(dtype=np.float64)
    during = np.zeros(len(said), dtype=bool)
    for start, end in randomised:
        during |= (created >= start) & (created < end)
    asked = (said["origin"] == Origin.ASKED).to_numpy() & (said["reason"] != Reason.REVIEW).to_numpy()
    suggested = (said["suggested"] != NOBODY).to_numpy()
    shown = said["shown"].to_numpy(dtype=bool) & suggested
    truth = _truth(opinions, decided, asked & ~shown)
    places = {class_id: place for place, class_id in enumerate(class_ids)}
    guess = np.array([places.get(one, -1) for one in said["suggested"]], dtype=np.int64)
    counted = during & asked & suggested
    order = np.flatnonzero(counted)[np.argsort(said["seq"].to_numpy()[counted], kind="stable")]
    if not len(order):
        return None
    found = asdict(
        measure_pull(shown[order], guess[order], opinions.classes[order], truth[order], opinions.people[order])
    )
    found["by_person"] = {str(people[at]): one for at, one in found["by_person"].items()}
    found["by_class"] = {str(class_ids[at]): one for at, one in found["by_class"].items()}
    return _finite(found)


def _finite(figures: Any) -> Any:
    """Figures as JSON has them: what is without bound is None."""
    if isinstance(figures, dict):
        return {name: _finite(one) for name, one in figures.items()}
    return None if isinstance(figures, float) and not np.isfinite(figures) else figures


def _truth(opinions: Opinions, decided: NDArray[np.int64], hidden: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The class of the item behind each answer (a,) that does not rest on this answer; -1 where nobody knows.

    It is what an expert decided, else what two others or more said, all alike and without having seen a suggestion:
    those who did may have followed it.
    """
    free = opinions.where(hidden)
    votes = free.votes()[opinions.items]
    own = np.zeros_like(votes)
    mine = np.flatnonzero(hidden)
    own[mine, opinions.classes[mine]] = 1
    votes -= own
    alike = (votes.sum(axis=1) >= 2) & (votes.max(axis=1) == votes.sum(axis=1))
    return np.where(decided[opinions.items] >= 0, decided[opinions.items], np.where(alike, votes.argmax(axis=1), -1))


def _careless(
    history: History,
    class_ids: list[int],
    people: list[int],
    item_ids: NDArray[np.int64],
    decided: NDArray[np.int64],
    golden: NDArray[np.bool_],
) -> list[Carelessness]:
    """What gold items say of people: those that each was asked to be checked by, in the order of their answers."""
    said = history.given
    said = said[(said["reason"] == Reason.GOLD) & (said["verdict"] == Verdict.LABEL)]
    said = said[said["item"].isin(item_ids[golden & (decided >= 0)]) & said["class_id"].isin(class_ids)]
    said = said[said["user"].isin(people)]
    if said.empty:
        return []
    classes = {class_id: place for place, class_id in enumerate(class_ids)}
    users = {user: place for place, user in enumerate(people)}
    gold = Opinions(
        np.searchsorted(item_ids, said["item"].to_numpy(dtype=np.int64)),
        np.array([users[one] for one in said["user"]], dtype=np.int64),
        np.array([classes[one] for one in said["class_id"]], dtype=np.int64),
        len(item_ids),
        len(people),
        len(class_ids),
    )
    return assess(gold, decided, said["seq"].to_numpy(dtype=np.int64))
