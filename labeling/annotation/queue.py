"""What people are asked next: leases on what an expert sent back, on gold items, and on the head of the live ranking.

An item may be asked of a person who has no standing answer to it, while its answers and the other people's live
leases are together fewer than it has places (`labeling.annotation.consensus`). Leases last minutes, are renewed by a
heartbeat, and carry a fencing token that is checked when the answer comes in.
"""

import secrets
import time
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import ColumnElement, true
from sqlmodel import Session, col, exists, func, select, update

from labeling.annotation.claims import Claim, as_claim, must_not_tell_gold, with_keywords
from labeling.annotation.consensus import chose_split, is_open, places, places_of, standing, wants_more
from labeling.annotation.routing import (
    RANDOM,
    Picked,
    as_ranked,
    gold_slots,
    hides_suggestion,
    holds,
    is_unseen_gold,
    sent_back,
    unseen_gold,
)
from labeling.db.engine import reading, writing
from labeling.db.schema import (
    Annotation,
    Assignment,
    Item,
    Lease,
    ModelVersion,
    Project,
    QueueEntry,
    Ranking,
    Reason,
)
from labeling.errors import Invalid, NotAllowed
from labeling.projects import Settings, settings_of
from labeling.users import require
from labeling.workspace import Workspace

MAX_CLAIMS = 200


class Queued(BaseModel):
    """One place of the live ranking."""

    item_id: int
    external_id: str
    utility: float
    reason: Reason
    why: str
    model_version: int | None
    ranking: int


def live_ranking(session: Session, project_id: int) -> Ranking | None:
    """The newest ranking of a project."""
    query = select(Ranking).where(Ranking.project_id == project_id)
    return session.exec(query.order_by(col(Ranking.id).desc()).limit(1)).first()


def claim(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    count: int = 1,
    *,
    client: str | None = None,
    resume: bool = False,
    release: Sequence[int] = (),
    now: float | None = None,
) -> list[Claim]:
    """Lease up to `count` items to the acting user, the most useful first.

    Parameters
    ----------
    client
        The browser tab that asks.
    resume
        Whether the leases that this tab still holds come first (after a reload). Where the pool has nothing else,
        the person's leases of other tabs are taken over too: "no work" is never said while there is some.
    release
        Assignments to give back in the same transaction, so that unshown items are exchanged for better ones.

    Raises
    ------
    Invalid
        If `count` is out of bounds.
    NotFound
        If the user is no member of the project.
    """
    if not 1 <= count <= MAX_CLAIMS:
        raise Invalid(f"Claim between 1 and {MAX_CLAIMS} items at a time.")
    with writing(workspace.engine) as session:
        now = time.time() if now is None else now
        project = require(session, actor_id, project_id)
        give_back(session, actor_id, release)
        held: list[Assignment] = []
        if resume and client:
            held = own_leases(session, actor_id, project_id, now, col(Assignment.client) == client)[:count]
        expires = now + settings_of(project).lease_seconds
        held += _lease_new(session, actor_id, project, count - len(held), client, now, expires)
        if resume and client and not held:
            held = own_leases(session, actor_id, project_id, now, col(Assignment.client).is_distinct_from(client))[
                :count
            ]
        for assignment in held:
            assignment.client, assignment.expires = client, expires
        session.flush()
        claims = [as_claim(session, assignment) for assignment in held]
    return with_keywords(workspace, claims)


def reclaim(session: Session, previous: Assignment, client: str | None, now: float) -> Claim | None:
    """Lease an item again to the person whose answer to it was just withdrawn, in the caller's transaction.

    None where others have filled the item meanwhile (it had been skipped, say).
    """
    project = session.get_one(Project, previous.project_id)
    if not has_room(session, previous, settings_of(project), now):
        return None
    fields = previous.model_dump(exclude={"id", "token", "state", "expires", "client", "created"})
    expires = now + settings_of(project).lease_seconds
    again = Assignment(**fields, token=secrets.token_urlsafe(12), expires=expires, client=client, created=now)
    session.add(again)
    session.flush()
    return as_claim(session, again)


def held_claim(session: Session, actor_id: int, item_id: int, now: float) -> Claim | None:
    """The person's live lease on an item, if there is one."""
    query = select(Assignment).where(
        Assignment.user_id == actor_id,
        Assignment.item_id == item_id,
        Assignment.state == Lease.LEASED,
        Assignment.expires > now,
    )
    assignment = session.exec(query).first()
    return as_claim(session, assignment) if assignment else None


def renew(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    assignment_ids: Sequence[int] | None = None,
    *,
    now: float | None = None,
) -> tuple[list[int], float]:
    """Extend the acting user's leases (all of them when no ids are given); returns those extended and till when.

    A lease that lapsed is extended too if its item was not given to somebody else meanwhile.
    """
    with writing(workspace.engine) as session:
        now = time.time() if now is None else now
        project = require(session, actor_id, project_id)
        settings = settings_of(project)
        expires = now + settings.lease_seconds
        query = select(Assignment).where(
            Assignment.user_id == actor_id, Assignment.project_id == project_id, Assignment.state == Lease.LEASED
        )
        if assignment_ids is not None:
            query = query.where(col(Assignment.id).in_(assignment_ids))
        renewed = []
        for assignment in session.exec(query.order_by(col(Assignment.id))).all():
            running = assignment.expires > now
            if running or (assignment_ids is not None and _may_return(session, assignment, settings, now)):
                assignment.expires = expires
                session.flush()
                assert assignment.id is not None
                renewed.append(assignment.id)
        return renewed, expires


def release(workspace: Workspace, actor_id: int, project_id: int, assignment_ids: Sequence[int]) -> int:
    """Give leases back unanswered; returns how many were held."""
    with writing(workspace.engine) as session:
        require(session, actor_id, project_id)
        return give_back(session, actor_id, assignment_ids)


def upcoming(workspace: Workspace, actor_id: int, project_id: int, limit: int = 20) -> list[Queued]:
    """The head of the live ranking, as far as it is still open.

    Raises
    ------
    NotFound
        If the user is no member of the project.
    NotAllowed
        If there are gold items and the user is no expert: what is claimed and not in the ranking is one of them.
    """
    with reading(workspace.engine) as session:
        project = require(session, actor_id, project_id)
        if must_not_tell_gold(session, actor_id, project_id):
            raise NotAllowed("Where people are checked by gold items, only experts and owners see what comes next.")
        ranking = live_ranking(session, project_id)
        if ranking is None or ranking.id is None:
            return []
        settings = settings_of(project)
        version = session.get(ModelVersion, ranking.model_version_id) if ranking.model_version_id else None
        query = (
            select(QueueEntry, Item.external_id)
            .join(Item, col(Item.id) == QueueEntry.item_id)
            .where(QueueEntry.ranking_id == ranking.id, is_open(settings), is_asked(settings))
            .order_by(col(QueueEntry.position))
            .limit(limit)
        )
        return [
            Queued(
                item_id=entry.item_id,
                external_id=external_id,
                utility=entry.utility,
                reason=entry.reason,
                why=entry.why,
                model_version=version.number if version else None,
                ranking=ranking.id,
            )
            for entry, external_id in session.exec(query).all()
        ]


def remaining(session: Session, actor_id: int, project: Project, now: float, *, at_most: int | None = None) -> int:
    """How many items could be leased to this person now; counting ends at `at_most`, which keeps it cheap.

    Gold items that the person has yet to be asked are among them, as long as there are others: a number that stayed as
    it was would tell which ones they are.
    """
    settings, left = settings_of(project), 0

    def count(*conditions: ColumnElement[bool]) -> int:
        counted = select(Item.id).where(*conditions).limit(None if at_most is None else at_most - left).subquery()
        return session.exec(select(func.count()).select_from(counted)).one()

    free = _is_free(actor_id, project, now)
    for part in _parts(settings):
        left += count(part, *free)
        if left == at_most:
            return left
    return left + count(*is_unseen_gold(actor_id, project, now)) if left and settings.gold_share else left


def count_remaining(workspace: Workspace, actor_id: int, project_id: int, *, at_most: int | None = None) -> int:
    """How many items could be leased to the acting user now; see `remaining`."""
    with reading(workspace.engine) as session:
        return remaining(session, actor_id, require(session, actor_id, project_id), time.time(), at_most=at_most)


def has_room(session: Session, assignment: Assignment, settings: Settings, now: float) -> bool:
    """Whether an answer under this assignment would find a place at its item.

    Gold items, and those that were sent back, have one for everybody.
    """
    if assignment.reason in (Reason.GOLD, Reason.REVIEW):
        return True
    others = (
        select(func.count())
        .select_from(Assignment)
        .where(
            Assignment.item_id == assignment.item_id,
            Assignment.user_id != assignment.user_id,
            Assignment.state == Lease.LEASED,
            Assignment.expires > now,
            takes_place(),
        )
    )
    item = session.get_one(Item, assignment.item_id)
    return item.answers + session.exec(others).one() < places(item.wanted, settings)


def _may_return(session: Session, lapsed: Assignment, settings: Settings, now: float) -> bool:
    """Whether a lapsed lease can run again: there is room, and the person has no newer lease of the item."""
    return has_room(session, lapsed, settings, now) and held_claim(session, lapsed.user_id, lapsed.item_id, now) is None


def takes_place() -> ColumnElement[bool]:
    """The condition that an `Assignment` holds one of its item's places."""
    return col(Assignment.reason).not_in([Reason.GOLD, Reason.REVIEW])


def eligible(actor_id: int, project: Project, now: float) -> list[ColumnElement[bool]]:
    """Conditions under which an `Item` may be leased to this person."""
    return [is_open(settings_of(project)), *_is_free(actor_id, project, now)]


def _is_free(actor_id: int, project: Project, now: float) -> list[ColumnElement[bool]]:
    """The conditions of `eligible`, given that the item is open."""
    settings = settings_of(project)
    live = (
        (col(Assignment.item_id) == Item.id) & (col(Assignment.state) == Lease.LEASED) & (col(Assignment.expires) > now)
    )
    conditions = [col(Item.project_id) == project.id, is_asked(settings), ~has_answered(actor_id)]
    if settings.overlap == 1:
        return [*conditions, ~exists().where(live)]
    held = select(func.count()).select_from(Assignment).where(live, takes_place()).correlate(Item).scalar_subquery()
    return [*conditions, ~holds(actor_id, now), col(Item.answers) + held < places_of(settings)]


def has_answered(actor_id: int) -> ColumnElement[bool]:
    """The condition that a person has an answer to an `Item` that stands; one that chose a class which was split since
    is none.
    """
    return exists().where(
        col(Annotation.item_id) == Item.id, col(Annotation.user_id) == actor_id, standing(), ~chose_split()
    )


def is_asked(settings: Settings) -> ColumnElement[bool]:
    """The condition that an `Item` is asked at all: of items that are nearly the same, perhaps only the first."""
    if settings.near_duplicates == "ask":
        return true()
    return col(Item.near_id).is_(None) | (col(Item.near_id) == col(Item.id))


def _lease_new(
    session: Session, actor_id: int, project: Project, count: int, client: str | None, now: float, expires: float
) -> list[Assignment]:
    """Lease up to `count` items: what was sent back first, then from the live ranking and the rest of the pool, with
    gold items among them.
    """
    if count < 1:
        return []
    settings = settings_of(project)
    leased: list[Assignment] = []

    def lease(item: Item, **chosen: Any) -> None:
        hidden = hides_suggestion(settings, actor_id, item)
        leased.append(lease_item(session, actor_id, item, client, now, expires, suggestion_shown=not hidden, **chosen))

    for item, chosen in sent_back(session, actor_id, project, now, count):
        lease(item, **chosen)
    session.flush()
    open_items = _open_items(session, actor_id, project, count - len(leased), now)
    gold = unseen_gold(session, actor_id, project, now, gold_slots(settings, count - len(leased)))
    for item, chosen in _mixed(open_items, gold, count - len(leased)):
        lease(item, **chosen)
    session.flush()
    return leased


def _mixed(open_items: Sequence[Picked], gold: Sequence[Picked], count: int) -> list[Picked]:
    """Gold items at random places among the others, `count` in all; nothing but gold is asked of nobody."""
    if not open_items:
        return []
    kept = list(open_items[: count - len(gold)])
    for picked in gold:
        kept.insert(RANDOM.randint(0, len(kept)), picked)
    return kept


def _open_items(session: Session, actor_id: int, project: Project, count: int, now: float) -> list[Picked]:
    """Up to `count` eligible items: from the live ranking, then from the rest of the pool."""
    if count < 1:
        return []
    settings, free = settings_of(project), _is_free(actor_id, project, now)
    ranking = live_ranking(session, project.id) if project.id is not None else None
    picked: list[Picked] = []
    if ranking is not None:
        ranked = (
            select(QueueEntry, Item)
            .join(Item, col(Item.id) == QueueEntry.item_id)
            .where(QueueEntry.ranking_id == ranking.id, is_open(settings), *free)
            .order_by(col(QueueEntry.position))
            .limit(count)
        )
        picked = [(item, as_ranked(entry, ranking)) for entry, item in session.exec(ranked).all()]
    for part in _parts(settings):
        if len(picked) < count:
            # Hashes of contents are as good as random, so their order is a spread-out one, and the same for everybody.
            besides = col(Item.id).not_in([item.id for item, _ in picked])
            rest = select(Item).where(part, *free, besides)
            rest = rest.order_by(col(Item.content_hash), col(Item.id)).limit(count - len(picked))
            picked += [(item, {"why": "not ranked yet"}) for item in session.exec(rest).all()]
    return [(item, {"reason": Reason.OVERLAP if item.answers else Reason.STRATEGY, **how}) for item, how in picked]


def _parts(settings: Settings) -> list[ColumnElement[bool]]:
    """The open items (`is_open`) in parts, in the order in which they are asked where no ranking says: those that want
    another opinion, those that were begun, new ones.

    Each part has an index in whose order it is read, as far as it is needed: while somebody claims, others wait.
    """
    begun = range(settings.overlap - 1, 0, -1) if settings.opinions == "fixed" else ()
    untold = [col(Item.wanted).is_(None) & (col(Item.answers) == answers) for answers in (*begun, 0)]
    return [wants_more(settings), *untold]


def lease_item(
    session: Session, actor_id: int, item: Item, client: str | None, now: float, expires: float, **chosen: Any
) -> Assignment:
    """Lease an eligible item in the caller's transaction; `chosen` are the assignment's columns that say why."""
    assert item.id is not None
    assignment = Assignment(
        project_id=item.project_id,
        item_id=item.id,
        user_id=actor_id,
        client=client,
        token=secrets.token_urlsafe(12),
        expires=expires,
        created=now,
        **{"reason": Reason.OVERLAP if item.answers else Reason.STRATEGY, **chosen},
    )
    session.add(assignment)
    return assignment


def own_leases(
    session: Session, actor_id: int, project_id: int, now: float, which: ColumnElement[bool]
) -> list[Assignment]:
    """A person's running leases in a project, oldest first."""
    query = select(Assignment).where(
        Assignment.user_id == actor_id,
        Assignment.project_id == project_id,
        Assignment.state == Lease.LEASED,
        Assignment.expires > now,
        which,
    )
    return list(session.exec(query.order_by(col(Assignment.id))).all())


def give_back(session: Session, actor_id: int, assignment_ids: Sequence[int]) -> int:
    """Give a person's leases back in the caller's transaction; returns how many were held."""
    if not assignment_ids:
        return 0
    mine = (
        (col(Assignment.user_id) == actor_id)
        & col(Assignment.id).in_(assignment_ids)
        & (col(Assignment.state) == Lease.LEASED)
    )
    return session.exec(update(Assignment).where(mine).values(state=Lease.RELEASED)).rowcount
