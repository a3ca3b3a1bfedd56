"""What a project's people look at: how labels came in, how right the models were, which classes, by whom. Read-only."""

import math
from collections.abc import Sequence

from pydantic import BaseModel
from sqlalchemy import Integer, case, cast
from sqlmodel import Session, col, func, select

from labeling.annotation.consensus import standing
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Label, LabelClass, User, Verdict
from labeling.learning.status import RECENT, Live, VersionReport, live_status, versions
from labeling.projects import classes_of
from labeling.users import require
from labeling.workspace import Workspace
from strategies import available_strategies

PACE_POINTS = 120  # points of the curve of labels over time, however many answers there are
Z95 = 1.959963984540054  # the standard normal's 97.5th percentile


class Pace(BaseModel):
    """How many labels there were at a moment (seconds since the epoch)."""

    at: float
    labels: int


class ClassCount(BaseModel):
    """How many items carry a class as their label."""

    name: str
    labels: int


class Person(BaseModel):
    """What one person's standing answers are."""

    name: str
    labels: int
    unsure: int
    skipped: int
    last: float


class CurvePoint(BaseModel):
    """A model version's record, and the running figure: its last answers and those of the versions before it.

    The intervals are Wilson's at 95 %.
    """

    number: int
    labels: int  # that the version learned from
    answers: int
    right: int
    accuracy: float
    low: float
    high: float
    running: float
    running_on: int
    running_low: float
    running_high: float


class Insights(BaseModel):
    """Everything on the Insights page."""

    live: Live
    newest: VersionReport | None
    pace: list[Pace]
    classes: list[ClassCount]
    people: list[Person]
    curve: list[CurvePoint]


def read_insights(workspace: Workspace, actor_id: int, project_id: int) -> Insights:
    """How labeling and learning went so far.

    Raises
    ------
    NotFound
        If the user is no member of the project.
    """
    reports = versions(workspace, actor_id, project_id)
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        return Insights(
            live=live_status(session, project_id), newest=reports[-1] if reports else None,
            pace=_pace(session, project_id), classes=_classes(session, project_id), people=_people(session, project_id),
            curve=learning_curve(reports),
        )  # fmt: skip


def people(workspace: Workspace, actor_id: int, project_id: int) -> list[Person]:
    """Who answered how much, the most industrious first."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        return _people(session, project_id)


def strategy_names() -> list[str]:
    """The strategies that a project can be given, the default first."""
    return sorted(available_strategies(), key=lambda name: (name != "adaptive", name))


def learning_curve(reports: Sequence[VersionReport], window: int = RECENT) -> list[CurvePoint]:
    """The record of each version that met answers.

    The running figure reaches back over whole versions until it rests on `window` answers or there are no more.
    """
    met = [report for report in reports if report.answers]
    return [_point(report, met[: place + 1], window) for place, report in enumerate(met)]


def _point(report: VersionReport, until: Sequence[VersionReport], window: int) -> CurvePoint:
    answers = right = 0
    for earlier in reversed(until):
        if answers >= window:
            break
        answers, right = answers + earlier.answers, right + earlier.right
    low, high = wilson(report.right, report.answers)
    running_low, running_high = wilson(right, answers)
    return CurvePoint(
        number=report.number, labels=report.labels, answers=report.answers, right=report.right,
        accuracy=report.right / report.answers, low=low, high=high,
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


def _pace(session: Session, project_id: int) -> list[Pace]:
    """Labels in all, at up to `PACE_POINTS` moments: the last of each slot of time in which any came in."""
    labeled = (Annotation.project_id == project_id, Annotation.verdict == Verdict.LABEL, standing())
    created = col(Annotation.created)
    span = select(func.count(), func.min(created), func.max(created)).where(*labeled)
    count, first, last = session.exec(span).one()
    if count == 0:
        return []
    width = (last - first) / PACE_POINTS or 1.0
    slot = cast((created - first) / width, Integer)
    slots = select(func.max(created), func.count()).where(*labeled).group_by(slot).order_by(slot)
    labels, pace = 0, []
    for at, count in session.exec(slots).all():
        labels += count
        pace.append(Pace(at=at, labels=labels))
    return pace


def _classes(session: Session, project_id: int) -> list[ClassCount]:
    counted = select(Label.class_id, func.count()).where(Label.project_id == project_id).group_by(col(Label.class_id))
    on: dict[int | None, int] = dict(session.exec(counted).all())
    shown: list[LabelClass] = [c for c in classes_of(session, project_id) if not c.retired or on.get(c.id)]
    return [ClassCount(name=c.name, labels=on.get(c.id, 0)) for c in shown]


def _people(session: Session, project_id: int) -> list[Person]:
    def count(verdict: Verdict) -> object:
        return func.sum(case((col(Annotation.verdict) == verdict, 1), else_=0))

    labels = count(Verdict.LABEL)
    query = (
        select(User.name, labels, count(Verdict.UNSURE), count(Verdict.SKIP), func.max(Annotation.created))  # type: ignore[call-overload]
        .join(User, col(User.id) == Annotation.user_id)
        .where(Annotation.project_id == project_id, standing())
        .group_by(col(User.id), col(User.name))
        .order_by(labels.desc(), col(User.name))  # type: ignore[attr-defined]
    )
    return [
        Person(name=name, labels=labeled, unsure=unsure, skipped=skipped, last=last)
        for name, labeled, unsure, skipped, last in session.exec(query).all()
    ]
