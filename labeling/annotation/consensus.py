"""The label of an item, derived from what people said of it.

An expert's decision beats all answers. Without one it is what most people chose, at once; what the worker finds when it
weighs all answers of the project follows a moment later (`labeling.learning.weighing_job`).
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlmodel import Session, col, delete, exists, func, insert, select, update

from labeling.db.aliases import second
from labeling.db.schema import Annotation, Item, Label, LabelClass, Membership, Method, Origin, Project, Source, Verdict
from labeling.projects import Settings, settings_of
from labeling.users import sees_everyone

_later = second(Annotation)
_other = second(Item)


class Agreed(NamedTuple):
    """What people agree that an item is."""

    class_id: int
    confidence: float  # the share of them that says so
    source: Source


def standing(until: int | None = None) -> ColumnElement[bool]:
    """The condition that an `Annotation` counts: neither superseded nor itself an undo.

    As things stood after annotation `until`, where that is given; today otherwise.
    """
    supersedes = [col(_later.supersedes) == col(Annotation.id)]
    here = col(Annotation.verdict) != Verdict.UNDO
    if until is not None:
        supersedes.append(col(_later.seq) <= until)
        here &= col(Annotation.seq) <= until
    return here & ~exists().where(*supersedes)


def is_decision(until: int | None = None) -> ColumnElement[bool]:
    """The condition that an `Annotation` is an expert's decision that stands, and not on a class that was split."""
    return (col(Annotation.origin) == Origin.REVIEW) & standing(until) & ~chose_split()


def is_opinion(until: int | None = None) -> ColumnElement[bool]:
    """The condition that an `Annotation` is one of the answers that a label is derived from.

    Those of people whose answers were set aside are none, nor those that chose a class which was split since.
    """
    ignored = exists().where(
        col(Membership.project_id) == col(Annotation.project_id),
        col(Membership.user_id) == col(Annotation.user_id),
        col(Membership.set_aside).is_not(None),
    )
    says = (col(Annotation.verdict) == Verdict.LABEL) & (col(Annotation.origin) != Origin.REVIEW)
    return says & standing(until) & ~ignored & ~chose_split()


def chose_split() -> ColumnElement[bool]:
    """The condition that an `Annotation` chose a class that was split since."""
    return exists().where(col(LabelClass.id) == col(Annotation.class_id), col(LabelClass.split))


def is_open(settings: Settings) -> ColumnElement[bool]:
    """The condition that an `Item` has fewer answers than it should have.

    With a fixed overlap those that want none any more are few, and named by an index of their own: so that the other
    items need not be read one by one.
    """
    room = col(Item.answers) < settings.overlap
    if settings.opinions == "by_need":
        return room & (col(Item.answers) < func.coalesce(Item.wanted, 1))
    enough = sa.select(col(_other.id)).where(col(_other.wanted).is_not(None), col(_other.wanted) <= col(_other.answers))
    return room & col(Item.id).not_in(enough)


def wants_more(settings: Settings) -> ColumnElement[bool]:
    """The condition that an `Item` is open because another opinion on it is wanted; these are few, with an index."""
    # Said so that their index is read, and not that of the number of answers.
    room = settings.overlap - col(Item.answers) > 0
    return col(Item.wanted).is_not(None) & room & (col(Item.wanted) > col(Item.answers))


def are_closed(settings: Settings) -> list[ColumnElement[bool]]:
    """The conditions of which an `Item` meets one where it is not open; each has an index."""
    answers, wanted = col(Item.answers), col(Item.wanted)
    closed = [answers >= settings.overlap, wanted.is_not(None) & (wanted <= answers)]
    if settings.opinions == "by_need":
        closed.append((answers >= 1) & wanted.is_(None))
    return closed


def places(wanted: int | None, settings: Settings) -> int:
    """How many people's answers an item has room for that is to have so many (`Item.wanted`)."""
    at_first = settings.overlap if settings.opinions == "fixed" else 1
    return min(settings.overlap, at_first if wanted is None else wanted)


def places_of(settings: Settings) -> ColumnElement[int]:
    """The same (`places`) of an `Item`, in the database."""
    wanted = func.coalesce(Item.wanted, places(None, settings))
    return sa.case((wanted > settings.overlap, settings.overlap), else_=wanted)


def agreed(chosen: Sequence[int], *, imported: bool = False) -> Agreed | None:
    """The class that most people chose, of one class id each; None where nobody did, or two classes are level.

    `imported` says that all of these answers came with an import: then that is where the label is from.
    """
    ranked = Counter(chosen).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    class_id, votes = ranked[0]
    source = Source.IMPORTED if imported else Source.SINGLE if len(chosen) == 1 else Source.CONSENSUS
    return Agreed(class_id, votes / len(chosen), source)


def settle(session: Session, item_id: int) -> None:
    """Derive an item's label, its number of answers and how many it should have anew, in the caller's transaction."""
    query = select(Annotation.class_id, Annotation.origin).where(Annotation.item_id == item_id, is_opinion())
    given = session.exec(query).all()
    chosen = [live_class(session, class_id) for class_id, _ in given if class_id is not None]
    item, label = session.get_one(Item, item_id), session.get(Label, item_id)
    item.answers, item.disputed = len(chosen), len({class_id for class_id, _ in given}) > 1
    decision = decision_on(session, item_id)
    if decision is not None:
        decided = None if decision.class_id is None else live_class(session, decision.class_id)
        now = None if decided is None else Agreed(decided, 1.0, Source.ADJUDICATED)
        item.wanted, item.gold = 0, item.gold and decided is not None
    else:
        now = agreed(chosen, imported={origin for _, origin in given} == {Origin.IMPORTED})
        settings = settings_of(session.get_one(Project, item.project_id))
        level = now is None and len(chosen) > 0
        item.gold = False  # people are checked by what an expert decided
        item.wanted = len(chosen) + 1 if level and settings.opinions == "by_need" else None
    if now is None:
        if label is not None:
            session.delete(label)
    elif label is None:
        made = Label(item_id=item_id, project_id=item.project_id, answers=len(chosen), **now._asdict())
        session.add(made)
    else:
        label.class_id, label.confidence, label.source = now
        label.answers, label.method, label.distribution = len(chosen), Method.MAJORITY, None


def labels_seen(session: Session, actor_id: int, project_id: int, item_ids: Sequence[int]) -> dict[int, int]:
    """The class of each of these items as far as the acting user may know it, by item id.

    Experts and owners know the label. Whoever only answers knows their own answers: the label would tell what others
    said, and which items are gold.
    """
    if sees_everyone(session, actor_id, project_id):
        return dict(session.exec(select(Label.item_id, Label.class_id).where(col(Label.item_id).in_(item_ids))).all())
    own = select(Annotation.item_id, Annotation.class_id).where(
        col(Annotation.item_id).in_(item_ids), Annotation.user_id == actor_id, col(Annotation.class_id).is_not(None),
        standing(), ~chose_split(),
    )  # fmt: skip
    given = session.exec(own.order_by(col(Annotation.seq))).all()
    return {item_id: live_class(session, class_id) for item_id, class_id in given if class_id is not None}


def decision_on(session: Session, item_id: int) -> Annotation | None:
    """The expert's decision on an item that stands, if there is one."""
    decisions = select(Annotation).where(Annotation.item_id == item_id, is_decision())
    return session.exec(decisions.order_by(col(Annotation.seq).desc()).limit(1)).first()


def settle_person(session: Session, project_id: int, user_id: int) -> None:
    """Derive the labels of all items anew that a person has answered, in the caller's transaction."""
    answered = select(Annotation.item_id).where(Annotation.project_id == project_id, Annotation.user_id == user_id)
    settle_items(session, project_id, answered)


def settle_answers(session: Session, project_id: int, class_ids: Sequence[int]) -> None:
    """Derive the labels of all items anew that were ever answered with one of these classes, in the caller's
    transaction.
    """
    chose = col(Annotation.class_id).in_(class_ids)
    settle_items(session, project_id, select(Annotation.item_id).where(Annotation.project_id == project_id, chose))


def settle_items(session: Session, project_id: int, concerned: Any) -> None:
    """What `settle` does for one item, in a few statements of the database for any number.

    `concerned` selects their ids. How many answers an item should have is left to the next weighing, but for those
    that an expert has decided on.
    """
    session.flush()
    session.exec(delete(Label).where(col(Label.project_id) == project_id, col(Label.item_id).in_(concerned)))
    decided = sa.select(col(Annotation.item_id)).where(
        col(Annotation.project_id) == project_id, is_decision(), col(Annotation.item_id).in_(concerned)
    )
    alive = _alive(project_id)

    def of_item(what: Any) -> Any:
        return (
            sa.select(what).select_from(Annotation).where(col(Annotation.item_id) == col(Item.id), is_opinion())
            .correlate(Item).scalar_subquery()
        )  # fmt: skip

    answers, different = of_item(func.count()), of_item(func.count(sa.distinct(col(Annotation.class_id)))) > 1
    mine = (col(Item.project_id) == project_id) & col(Item.id).in_(concerned)
    is_decided = col(Item.id).in_(decided)
    wanted, gold = sa.case((is_decided, 0), else_=None), col(Item.gold) & is_decided
    session.exec(
        update(Item)
        .where(mine)
        .values(answers=answers, disputed=different, wanted=wanted, gold=gold)
        .execution_options(synchronize_session=False)
    )
    _label_decided(session, project_id, alive, concerned)
    _label_agreed(session, project_id, alive, concerned, decided)
    session.expire_all()


def _alive(project_id: int) -> Any:
    """Every class of a project, and the one that it stands for today."""
    alive = (
        sa.select(col(LabelClass.id), col(LabelClass.id).label("living"))
        .where(col(LabelClass.project_id) == project_id, col(LabelClass.merged_into).is_(None))
        .cte("alive", recursive=True)
    )
    return alive.union_all(
        sa.select(col(LabelClass.id), alive.c.living).join(alive, alive.c.id == col(LabelClass.merged_into))
    )


_COLUMNS = ["item_id", "project_id", "class_id", "confidence", "source", "answers"]


def _label_decided(session: Session, project_id: int, alive: Any, concerned: Any) -> None:
    """Label what an expert has decided on; of two decisions that stand, the newer one."""
    newest = (
        sa.select(func.max(col(Annotation.seq)))
        .where(col(Annotation.project_id) == project_id, is_decision(), col(Annotation.item_id).in_(concerned))
        .group_by(col(Annotation.item_id))
    )
    decisions = (
        sa.select(
            col(Annotation.item_id), sa.literal(project_id), alive.c.living, sa.literal(1.0),
            sa.literal(Source.ADJUDICATED.value), col(Item.answers),
        )
        .join(alive, alive.c.id == col(Annotation.class_id))
        .join(Item, col(Item.id) == col(Annotation.item_id))
        .where(col(Annotation.seq).in_(newest))
    )  # fmt: skip
    session.connection().execute(insert(Label).from_select(_COLUMNS, decisions))


def _label_agreed(session: Session, project_id: int, alive: Any, concerned: Any, decided: Any) -> None:
    """Label what most people agree on, where no expert has decided."""
    asked = sa.case((col(Annotation.origin) == Origin.IMPORTED, 0), else_=1)
    chosen = (
        sa.select(col(Annotation.item_id), alive.c.living, func.count().label("votes"), func.max(asked).label("asked"))
        .join(alive, alive.c.id == col(Annotation.class_id))
        .where(
            col(Annotation.project_id) == project_id,
            is_opinion(),
            col(Annotation.item_id).in_(concerned),
            col(Annotation.item_id).not_in(decided),
        )
        .group_by(col(Annotation.item_id), alive.c.living)
        .subquery()
    )
    tally = sa.select(
        chosen.c.item_id,
        chosen.c.living,
        chosen.c.votes,
        func.sum(chosen.c.votes).over(partition_by=chosen.c.item_id).label("answers"),
        func.max(chosen.c.asked).over(partition_by=chosen.c.item_id).label("asked"),
        func.max(chosen.c.votes).over(partition_by=chosen.c.item_id).label("most"),
        func.count().over(partition_by=[chosen.c.item_id, chosen.c.votes]).label("level"),
    ).subquery()
    source = sa.case(
        (tally.c.asked == 0, sa.literal(Source.IMPORTED.value)),
        (tally.c.answers == 1, sa.literal(Source.SINGLE.value)),
        else_=sa.literal(Source.CONSENSUS.value),
    )
    agreed_on = sa.select(
        tally.c.item_id,
        sa.literal(project_id),
        tally.c.living,
        sa.cast(tally.c.votes, sa.Float) / tally.c.answers,
        source,
        tally.c.answers,
    ).where(tally.c.votes == tally.c.most, tally.c.level == 1)
    session.connection().execute(insert(Label).from_select(_COLUMNS, agreed_on))


def live_class(session: Session, class_id: int) -> int:
    """The class that this one stands for today, through any merges."""
    found = session.get_one(LabelClass, class_id)
    while found.merged_into is not None:
        found = session.get_one(LabelClass, found.merged_into)
    assert found.id is not None
    return found.id


def decisions_on(session: Session, item_ids: Collection[int], *, stale: bool = False) -> dict[int, Annotation]:
    """The experts' decisions on these items that stand, by item id: of two, the newer one.

    With `stale` those too that count for nothing, because they are on a class that was split.
    """
    made = (col(Annotation.origin) == Origin.REVIEW) & standing() if stale else is_decision()
    query = select(Annotation).where(col(Annotation.item_id).in_(item_ids), made).order_by(col(Annotation.seq))
    return {decision.item_id: decision for decision in session.exec(query).all()}
