"""What a project's people look at: how right the models were, how labels came in, which classes, by whom. Read-only."""

import math

import numpy as np
import pandas as pd
from pydantic import BaseModel
from sqlmodel import Session, col, func, select

from labeling.annotation.threads import names_seen
from labeling.db.engine import reading
from labeling.db.schema import Label, Verdict
from labeling.learning.history import History, read_history
from labeling.learning.outlook import Outlook, read_outlook
from labeling.learning.pace import Durations, Slot, durations, slots, work
from labeling.learning.status import RECENT, Live, live_status
from labeling.projects import settings_of
from labeling.users import require, sees_everyone
from labeling.workspace import Workspace
from strategies import available_strategies

DOTS = 40  # of the learning curve, at most: versions in a row share one where there are more
Z95 = 1.959963984540054  # the standard normal's 97.5th percentile


class CurvePoint(BaseModel):
    """The record of model versions `first` to `last` (mostly one), and the running figure: with that of those before.

    The intervals are Wilson's at 95 %.
    """

    first: int
    last: int
    labels: int  # that the last of them learned from
    answers: int
    right: int
    accuracy: float
    low: float
    high: float
    running: float
    running_on: int
    running_low: float
    running_high: float


class ClassRecord(BaseModel):
    """How many items carry a class as their label; and of the answers that name it, how many the model had right."""

    id: int
    name: str
    labels: int
    met: int
    right: int


class Cell(BaseModel):
    """How often the model suggested one class and people answered another (or the same), as class ids."""

    suggested: int
    answered: int
    answers: int


class Person(BaseModel):
    """What one person's standing answers are."""

    id: int
    name: str
    labels: int
    unsure: int
    skipped: int
    last: float
    median_seconds: float | None  # between two answers of one session
    per_hour: float | None  # answers that name a class


class Progress(BaseModel):
    """Where things stand, how right the model is, and how long a target would take."""

    live: Live
    learned: int | None  # labels that the newest version learned from
    answers: int
    curve: list[CurvePoint]
    outlook: Outlook
    slots: list[Slot]


class ClassFigures(BaseModel):
    """The classes, and what is taken for what."""

    classes: list[ClassRecord]
    confusion: list[Cell]


class PeopleFigures(BaseModel):
    """Who answered and how fast; annotators see themselves, and everybody together in `durations`."""

    people: list[Person]
    everybody: int  # people who answered
    durations: Durations


class Insights(BaseModel):
    """Everything on the Insights page."""

    progress: Progress
    classes: ClassFigures
    people: PeopleFigures


def read_insights(workspace: Workspace, actor_id: int, project_id: int) -> Insights:
    """How labeling and learning went so far.

    Raises
    ------
    NotFound
        If the user is no member of the project.
    """
    return Insights(
        progress=read_progress(workspace, actor_id, project_id),
        classes=read_classes(workspace, actor_id, project_id),
        people=read_people(workspace, actor_id, project_id),
    )


def read_progress(workspace: Workspace, actor_id: int, project_id: int) -> Progress:
    """Where things stand; raises as `read_insights`."""
    with reading(workspace.engine) as session:
        settings = settings_of(require(session, actor_id, project_id))
        history, live = read_history(session, project_id), live_status(session, project_id)
        return Progress(
            live=live, learned=int(history.versions["labels"].iloc[-1]) if len(history.versions) else None,
            answers=len(history.answers), curve=learning_curve(history.judged, history.versions),
            outlook=read_outlook(session, history, settings, live.labels, live.items), slots=slots(history.given),
        )  # fmt: skip


def read_classes(workspace: Workspace, actor_id: int, project_id: int) -> ClassFigures:
    """The classes; raises as `read_insights`."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        history = read_history(session, project_id)
        return ClassFigures(classes=_classes(session, project_id, history), confusion=confusion(history))


def read_people(workspace: Workspace, actor_id: int, project_id: int, only: int | None = None) -> PeopleFigures:
    """The people, and the time per item (of one person, where `only` names one); raises as `read_insights`."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        history, everyone = read_history(session, project_id), sees_everyone(session, actor_id, project_id)
        taken = durations(history, only if everyone or only in (None, actor_id) else actor_id)
        if not everyone:
            taken.by_person = [one for one in taken.by_person if one.of == actor_id]
        people = _people(history, names_seen(session, actor_id, project_id))
        people = [one for one in people if everyone or one.id == actor_id]
        return PeopleFigures(people=people, everybody=history.given["user"].nunique(), durations=taken)


def people(workspace: Workspace, actor_id: int, project_id: int) -> list[Person]:
    """Who answered how much, the most industrious first; an annotator sees themself. Raises as `read_insights`."""
    return read_people(workspace, actor_id, project_id).people


def strategy_names() -> list[str]:
    """The strategies that a project can be given, the default first."""
    return sorted(available_strategies(), key=lambda name: (name != "adaptive", name))


def learning_curve(judged: pd.DataFrame, versions: pd.DataFrame, window: int = RECENT) -> list[CurvePoint]:
    """The record of each version that met answers.

    The running figure reaches back over whole points until it rests on `window` answers or there are no more.

    Parameters
    ----------
    judged, versions
        Of a `History`.
    """
    if judged.empty:
        return []
    met = judged.groupby("version")["right"].agg(answers="size", right="sum").reset_index()
    met["labels"] = met["version"].map(versions.set_index("number")["labels"])
    if len(met) > DOTS:
        met["dot"] = (met["answers"].cumsum() - 1) * DOTS // met["answers"].sum()
    else:
        met["dot"] = np.arange(len(met))
    dots = met.groupby("dot").agg(
        first=("version", "first"), last=("version", "last"), labels=("labels", "last"), answers=("answers", "sum"),
        right=("right", "sum"),
    )  # fmt: skip
    rows = [{str(name): int(value) for name, value in row.items()} for row in dots.to_dict("records")]
    return [_point(rows, place, window) for place in range(len(rows))]


def _point(rows: list[dict[str, int]], place: int, window: int) -> CurvePoint:
    answers = right = 0
    for earlier in reversed(rows[: place + 1]):
        if answers >= window:
            break
        answers, right = answers + earlier["answers"], right + earlier["right"]
    row = rows[place]
    low, high = wilson(row["right"], row["answers"])
    running_low, running_high = wilson(right, answers)
    return CurvePoint(
        **row, accuracy=row["right"] / row["answers"], low=low, high=high,
        running=right / answers, running_on=answers, running_low=running_low, running_high=running_high,
    )  # fmt: skip


def wilson(right: int, answers: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion.

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212.
    """
    if answers == 0:
        return 0.0, 1.0
    share, z2 = right / answers, Z95**2
    centre = (share + z2 / (2 * answers)) / (1 + z2 / answers)
    half = Z95 * math.sqrt(share * (1 - share) / answers + z2 / (4 * answers**2)) / (1 + z2 / answers)
    return max(0.0, centre - half), min(1.0, centre + half)


def confusion(history: History) -> list[Cell]:
    """What the model suggested and what people then answered, where that judges the model; no cell without answers."""
    counted = history.judged.groupby(["suggested", "class_id"]).size().rename("answers").reset_index()
    return [Cell(suggested=row[0], answered=row[1], answers=row[2]) for row in counted.to_numpy().tolist()]


def _classes(session: Session, project_id: int, history: History) -> list[ClassRecord]:
    counted = select(Label.class_id, func.count()).where(Label.project_id == project_id).group_by(col(Label.class_id))
    on: dict[int | None, int] = dict(session.exec(counted).all())
    met = history.judged.groupby("class_id")["right"].agg(["size", "sum"])
    records = dict(zip(met.index, met.itertuples(index=False, name=None), strict=True))
    shown = [c for c in history.classes if c.id is not None and (not c.retired or on.get(c.id))]
    return [
        ClassRecord(
            id=c.id or 0, name=c.name, labels=on.get(c.id, 0), met=records.get(c.id, (0, 0))[0],
            right=records.get(c.id, (0, 0))[1],
        )
        for c in shown
    ]  # fmt: skip


def _people(history: History, names: dict[int, str]) -> list[Person]:
    done = work(history.given)
    found = []
    for user in history.given["user"].unique().tolist():
        given = history.given[history.given["user"] == user]
        verdicts = given["verdict"].value_counts()
        labels, mine = int(verdicts.get(Verdict.LABEL, 0)), done.users == user
        gaps, hours = done.seconds[mine & ~done.starts], done.seconds[mine].sum() / 3600
        found.append(
            Person(
                id=user, name=names.get(user, ""), labels=labels,
                unsure=int(verdicts.get(Verdict.UNSURE, 0)), skipped=int(verdicts.get(Verdict.SKIP, 0)),
                last=float(given["created"].max()), median_seconds=float(np.median(gaps)) if len(gaps) else None,
                per_hour=labels / hours if hours > 0 and len(gaps) else None,
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: (-one.labels, one.name))
