"""What waits for an expert, in the order of what a decision would change."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from sqlmodel import Session, col, or_, select

from labeling.annotation.consensus import is_decision, is_opinion, places, standing
from labeling.classes import classes_of, stands_for
from labeling.db.schema import Annotation, Doubt, Item, Label, Membership, Method, Origin, Project, Role, User, Verdict
from labeling.projects import Settings, settings_of

LIKELY_WRONG = 0.5  # from this probability on that a label is wrong, an expert is to look at it
UNDOUBTED = 0.01  # of a label that weighing found nothing against
LOOKED_UP = 1000  # items that one query names


class Cause(StrEnum):
    """Why an item waits for an expert."""

    DISAGREEMENT = "disagreement"
    UNSURE = "unsure"
    FLAGGED = "flagged"
    LIKELY_ERROR = "likely_error"


class Entry(NamedTuple):
    """One place of the review queue."""

    item_id: int
    score: float  # the probability that a decision changes the item's label, as far as it is known
    causes: tuple[Cause, ...]
    why: str


def order(session: Session, project: Project) -> list[Entry]:
    """Everything that waits for an expert, in the caller's transaction: what a decision changes most likely first."""
    assert project.id is not None
    settings = settings_of(project)
    causes: dict[int, list[Cause]] = defaultdict(list)
    scores: dict[int, float] = {}
    whys: dict[int, str] = {}

    for item_id, score, why in _disagreements(session, project.id, settings):
        causes[item_id].append(Cause.DISAGREEMENT)
        scores[item_id], whys[item_id] = score, why
    for cause, condition, why in (
        (Cause.UNSURE, col(Annotation.verdict) == Verdict.UNSURE, "somebody was unsure"),
        (Cause.FLAGGED, col(Annotation.flagged), "flagged for a second look"),
    ):
        said = select(Annotation.item_id).where(Annotation.project_id == project.id, condition, standing()).distinct()
        for item_id in session.exec(said.where(Annotation.origin != Origin.REVIEW)).all():
            causes[item_id].append(cause)
            scores[item_id] = max(scores.get(item_id, 0.0), LIKELY_WRONG)
            whys.setdefault(item_id, why)
    doubts = session.exec(select(Doubt).where(Doubt.project_id == project.id)).all()
    likely = {doubt.item_id for doubt in doubts if doubt.score > LIKELY_WRONG or doubt.stuck}
    asked_out = set(_nobody_left(session, project.id, settings, likely - causes.keys()))
    for doubt in doubts:
        if doubt.item_id in likely and (doubt.item_id in causes or doubt.item_id in asked_out):
            causes[doubt.item_id].append(Cause.LIKELY_ERROR)
            whys.setdefault(doubt.item_id, doubt.why)
        if doubt.item_id in causes:
            scores[doubt.item_id] = doubt.score
    settled = {entry.item_id for entry in decided_items(session, project.id)}
    entries = [
        Entry(item_id, scores[item_id], tuple(why), whys[item_id])
        for item_id, why in causes.items()
        if item_id not in settled
    ]
    return sorted(entries, key=lambda entry: (-entry.score, entry.item_id))


def against_model(session: Session, project_id: int) -> list[Entry]:
    """Where people say one class and the model another, decided on or not; most doubtful first."""
    doubts = select(Doubt).where(Doubt.project_id == project_id, col(Doubt.objects))
    ordered = session.exec(doubts.order_by(col(Doubt.score).desc(), col(Doubt.item_id))).all()
    return [Entry(one.item_id, one.score, (), one.why) for one in ordered]


def _disagreements(session: Session, project_id: int, settings: Settings) -> list[tuple[int, float, str]]:
    """Items whose answers differ when nobody is left to ask, and whose label is less sure than the project wants or is
    not what they came with: the item, what is to be thought of it where nothing else is known, and the votes in words.
    """
    classes = classes_of(session, project_id)
    living, names = stands_for(classes), {c.id: c.name for c in classes}
    given = (
        select(Annotation.item_id, Annotation.class_id, Annotation.origin)
        .join(Item, col(Item.id) == Annotation.item_id)
        .where(Item.project_id == project_id, col(Item.disputed), is_opinion())
    )
    votes: dict[int, Counter[int]] = defaultdict(Counter)
    came: dict[int, int] = {}  # the class that an item was imported with
    for item_id, class_id, origin in session.exec(given).all():
        if class_id is not None:
            votes[item_id][living.get(class_id, class_id)] += 1
            if origin is Origin.IMPORTED:
                came[item_id] = living.get(class_id, class_id)
    split = {item_id: counted for item_id, counted in votes.items() if len(counted) > 1}
    of_items = select(Label.item_id, Label.confidence, Label.method).join(Item, col(Item.id) == Label.item_id)
    of_items = of_items.where(Item.project_id == project_id, col(Item.disputed))
    labels = {item_id: (confidence, method) for item_id, confidence, method in session.exec(of_items).all()}
    doubtful: dict[int, Counter[int]] = {}
    for item_id, counted in split.items():
        (_, first), (_, second), *_ = counted.most_common()
        confidence, _ = labels.get(item_id, (0.0, None))
        sure = first > second and confidence >= settings.certainty
        if not sure or item_id in came:
            doubtful[item_id] = counted
    found = []
    for item_id in _nobody_left(session, project_id, settings, doubtful):
        told = doubtful[item_id].most_common()
        why = ", ".join(f"{count} {'says' if count == 1 else 'say'} “{names[class_id]}”" for class_id, count in told)
        if item_id in came:
            why = f"it came as “{names[came[item_id]]}”; {why}"
        _, method = labels.get(item_id, (0.0, Method.MAJORITY))
        # Weighed and not doubted: who says otherwise is not relied on, say.
        score = 1 - told[0][1] / doubtful[item_id].total() if method is Method.MAJORITY else UNDOUBTED
        found.append((item_id, score, why))
    return found


def _nobody_left(session: Session, project_id: int, settings: Settings, item_ids: Iterable[int]) -> list[int]:
    """Those of the items that have their answers, or that everybody who could be asked has seen."""
    ids = list(item_ids)
    waiting = []
    for start in range(0, len(ids), LOOKED_UP):
        part = col(Item.id).in_(ids[start : start + LOOKED_UP])
        found = session.exec(select(Item.id, Item.answers, Item.wanted).where(part)).all()
        waiting += [item_id for item_id, answers, wanted in found if answers < places(wanted, settings)]
    if not waiting:
        return ids
    people, seen = _active_people(session, project_id), defaultdict[int | None, set[int]](set)
    for start in range(0, len(waiting), LOOKED_UP):
        part = col(Annotation.item_id).in_(waiting[start : start + LOOKED_UP])
        for item_id, user_id in session.exec(select(Annotation.item_id, Annotation.user_id).where(part, standing())):
            seen[item_id].add(user_id)
    asked = {item_id for item_id in waiting if people - seen[item_id]}
    return [item_id for item_id in ids if item_id not in asked]


def _active_people(session: Session, project_id: int) -> set[int]:
    """Who can be asked: annotators, and who else has answered what was asked; without those who were set aside, taken
    out or shut out.
    """
    answered = select(Annotation.user_id).where(
        Annotation.project_id == project_id, col(Annotation.origin).in_([Origin.ASKED, Origin.GRID])
    )
    asked = or_(col(Membership.role) == Role.ANNOTATOR, col(Membership.user_id).in_(answered))
    here = (col(Membership.project_id) == project_id) & col(Membership.removed).is_(None)
    active = select(Membership.user_id).join(User, col(User.id) == Membership.user_id)
    active = active.where(here, asked, col(Membership.set_aside).is_(None), col(User.disabled).is_(None))
    return set(session.exec(active).all())


def decided_items(session: Session, project_id: int) -> list[Entry]:
    """What experts have decided on, the newest first."""
    decisions = select(Annotation.item_id).where(Annotation.project_id == project_id, is_decision())
    newest = session.exec(decisions.order_by(col(Annotation.seq).desc())).all()
    return [Entry(item_id, 0.0, (), "") for item_id in dict.fromkeys(newest)]
