"""Near-duplicates: items that look or read alike, in groups, each named by its first item (`Item.near_id`).

Fingerprints that differ in few bits nominate pairs: of eight groups of eight bits, two that six differing bits leave
untouched are equal, so that one of 28 orders puts the two side by side (the tables of Manku, Jain and Das Sarma,
"Detecting Near-Duplicates for Web Crawling", 2007). A closer look decides. Found with the newest items only, so that a
second import is quick, and groups that are there stay as they are.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel
from sqlalchemy import bindparam
from sqlmodel import Session, col, func, select, update

from labeling import jobs
from labeling.annotation.consensus import labels_seen
from labeling.classes import classes_of
from labeling.db.engine import reading, writing
from labeling.db.schema import Event, Item, JobKind, Role
from labeling.intake.fingerprints import (
    TOO_PLAIN,
    alike_images,
    alike_texts,
    fingerprint_image,
    fingerprint_texts,
    shingles,
    small_picture,
)
from labeling.users import require
from labeling.workspace import Workspace

FAR = 10  # differing bits from which two fingerprints nominate nothing; up to 6, no pair is missed
WINDOW = 40  # neighbours in an order that are looked at: a crowd of equal fingerprints costs no more
CHUNK = 2048  # items fingerprinted, looked at or written down in one step
PAGE = 50_000  # items whose fingerprints are read in one transaction
MISSES = 12  # closer looks in vain after which an item is compared with others of that kind no more
FIRSTS = 20  # of a crowd, with which an item is compared
REMEMBERED = 5_000  # contents held for the closer look
LINKED = "near-duplicates linked"  # the event that says up to which item
SHOWN = 280  # characters of a text

_ID: Any = bindparam("item")
_NEAR: Any = bindparam("near")
_PRINT: Any = bindparam("print")

Progress = Callable[[float, str], None]


class Member(BaseModel):
    """An item of a group, as it is shown."""

    item_id: int
    external_id: str
    text: str | None
    media_url: str | None
    label: str | None


class Group(BaseModel):
    """Items that are nearly the same, the first one first; with ``near_duplicates: once`` only that one is asked."""

    items: int
    members: list[Member]  # the first of them


class NearDuplicates(BaseModel):
    """The near-duplicates of a project."""

    items: int  # in all groups together
    groups: int
    looked_at: int  # items, up to the newest when the last look was taken
    shown: list[Group]


def link_near_duplicates(
    workspace: Workspace,
    project_id: int,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> bool:
    """Find which of the items that came since the last time are nearly the same as others, and write it down.

    Whatever is not fingerprinted yet is fingerprinted first. It goes on where it ended when it is stopped or killed.
    The worker calls it when the features of an import are made.

    Parameters
    ----------
    progress
        Called with the share done (0 to 1) and a line of text.
    cancelled
        Asked between chunks of fingerprints; True ends the run, keeping what is done.

    Returns
    -------
    bool
        Whether all is done.
    """
    with reading(workspace.engine) as session:
        through, newest = _through(session, project_id), _newest(session, project_id)
    if newest <= through:
        return True
    if not _fingerprint(workspace, project_id, through, progress, cancelled):
        return False
    if progress:
        progress(0.9, "Looking for near-duplicates")
    ids, prints, near = _read(workspace, project_id, newest)
    linked = _link(workspace, ids, prints, near, int(np.searchsorted(ids, through, side="right")))
    changes = [
        {"item": int(ids[at]), "near": int(ids[first])} for at, first in linked.items() if near[at] != ids[first]
    ]
    for start in range(0, len(changes), CHUNK):
        with writing(workspace.engine) as session:
            linking = update(Item).where(col(Item.id) == _ID).values(near_id=_NEAR)
            session.connection().execute(linking, changes[start : start + CHUNK])
    with writing(workspace.engine) as session:
        detail = {"through": newest, "items": len(changes), "groups": len(set(linked.values()))}
        session.add(Event(project_id=project_id, kind=LINKED, detail=detail))
    return True


def request_look(workspace: Workspace, actor_id: int, project_id: int) -> None:
    """Have the worker look for near-duplicates among the items that it has not looked at.

    Raises
    ------
    NotFound, NotAllowed
        If the acting user may not change this project.
    """
    with writing(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
        jobs.request(session, project_id, JobKind.ENCODE)


def read_near_duplicates(
    workspace: Workspace, actor_id: int, project_id: int, offset: int = 0, limit: int = 20, members: int = 6
) -> NearDuplicates:
    """The groups of items of a project that are nearly the same, the largest first.

    Raises
    ------
    NotFound
        If the user is no member of the project.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        grouped = select(Item.near_id, func.count().label("size")).where(
            Item.project_id == project_id, col(Item.near_id).is_not(None)
        )
        groups = grouped.group_by(col(Item.near_id)).subquery()
        total, count = session.exec(select(func.coalesce(func.sum(groups.c.size), 0), func.count())
                                    .select_from(groups)).one()  # fmt: skip
        largest = select(groups.c.near_id, groups.c.size).order_by(groups.c.size.desc(), groups.c.near_id)
        shown = [
            Group(items=size, members=_members(session, actor_id, project_id, first, members))
            for first, size in session.exec(largest.offset(offset).limit(limit)).all()
        ]
        seen = select(func.count()).where(Item.project_id == project_id, col(Item.id) <= _through(session, project_id))
        return NearDuplicates(items=total, groups=count, looked_at=session.exec(seen).one(), shown=shown)


def _members(session: Session, actor_id: int, project_id: int, first: int, most: int) -> list[Member]:
    found = session.exec(select(Item).where(Item.near_id == first).order_by(col(Item.id)).limit(most)).all()
    labels = labels_seen(session, actor_id, project_id, [item.id for item in found if item.id is not None])
    names = {c.id: c.name for c in classes_of(session, project_id)}
    return [
        Member(
            item_id=item.id,
            external_id=item.external_id,
            text=_shown(item.text),
            media_url=f"/api/v1/items/{item.id}/media" if item.media else None,
            label=names.get(labels.get(item.id)),
        )
        for item in found
        if item.id is not None
    ]


def _shown(text: str | None) -> str | None:
    return text if text is None or len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _through(session: Session, project_id: int) -> int:
    """The newest item that was there when near-duplicates were looked for the last time; 0 where they never were."""
    last = select(Event).where(Event.project_id == project_id, Event.kind == LINKED).order_by(col(Event.id).desc())
    event = session.exec(last.limit(1)).first()
    return int(event.detail["through"]) if event is not None else 0


def _newest(session: Session, project_id: int) -> int:
    return session.exec(select(func.max(Item.id)).where(Item.project_id == project_id)).one() or 0


def _fingerprint(
    workspace: Workspace,
    project_id: int,
    through: int,
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> bool:
    """Fingerprint what has none yet of the items after one; False where it was cancelled before the end."""
    missing = (col(Item.project_id) == project_id) & col(Item.fingerprint).is_(None)
    missing &= col(Item.media).is_not(None) | col(Item.text).is_not(None)
    done, total, last = 0, None, through
    while True:
        if cancelled and cancelled():
            return False
        with reading(workspace.engine) as session:
            if total is None:
                total = session.exec(select(func.count()).where(missing, col(Item.id) > through)).one()
            query = select(Item.id, Item.media, Item.text).where(missing, col(Item.id) > last)
            found = session.exec(query.order_by(col(Item.id)).limit(CHUNK)).all()
        if not found:
            return True
        texts = fingerprint_texts([text for _, _, text in found if text is not None])
        of_texts = iter(texts.tolist())
        rows = [
            {"item": i, "print": next(of_texts) if text is not None else fingerprint_image(_media(workspace, media))}
            for i, media, text in found
        ]
        with writing(workspace.engine) as session:
            printing = update(Item).where(col(Item.id) == _ID).values(fingerprint=_PRINT)
            session.connection().execute(printing, rows)
        done, last = done + len(found), int(found[-1][0] or 0)
        if progress:
            progress(0.9 * done / max(total, 1), f"Fingerprints of {done:,} of {total:,} items")


def _media(workspace: Workspace, media: str | None) -> bytes:
    try:
        return workspace.media(media or "").read_bytes()
    except OSError:  # an encoder says so in its own sentence
        return b""


def _read(workspace: Workspace, project_id: int, newest: int) -> tuple[NDArray[np.int64], ...]:
    """Ids, fingerprints and near ids (0: none) of the items that have something to compare, in order of their ids."""
    pages = [np.empty((0, 3), dtype=np.int64)]
    last = 0
    while True:
        with reading(workspace.engine) as session:
            query = select(Item.id, Item.fingerprint, func.coalesce(Item.near_id, 0)).where(
                Item.project_id == project_id, col(Item.id) > last, col(Item.id) <= newest,
                col(Item.fingerprint).is_not(None), Item.fingerprint != TOO_PLAIN,
            )  # fmt: skip
            found = session.exec(query.order_by(col(Item.id)).limit(PAGE)).all()
        if not found:
            ids, prints, near = np.concatenate(pages).T
            return ids.copy(), prints.copy(), near.copy()
        pages.append(np.array([tuple(row) for row in found], dtype=np.int64))
        last = int(found[-1][0] or 0)


def _link(
    workspace: Workspace, ids: NDArray[np.int64], prints: NDArray[np.int64], near: NDArray[np.int64], new_from: int
) -> dict[int, int]:
    """For each item that is nearly the same as another, its place -> the place of its group's first, itself included.

    The items from place `new_from` on are new; those before stay in the group that they are in.
    """
    at = {int(item_id): place for place, item_id in enumerate(ids[:new_from])} if near.any() else {}
    groups = _Groups(len(ids), ((place, at[int(near[place])]) for place in np.flatnonzero(near).tolist()))
    look, misses = _Look(workspace, ids), np.zeros(len(ids), dtype=np.int64)
    for pairs in candidates(prints, new_from):
        one, other = pairs.T
        open_still = (groups.root[one] != groups.root[other]) & (np.minimum(misses[one], misses[other]) < MISSES)
        closest_first = np.argsort(np.bitwise_count((prints[one] ^ prints[other]).view(np.uint64)), kind="stable")
        apart = pairs[closest_first[open_still[closest_first]]]
        for start in range(0, len(apart), CHUNK):
            some = apart[start : start + CHUNK].tolist()
            look.fetch(place for pair in some for place in pair)
            for a, b in some:
                if groups.apart(a, b) and min(misses[a], misses[b]) < MISSES:
                    if look.alike(a, b):
                        groups.join(a, b)
                    else:
                        misses[[a, b]] += 1
        groups.settle()
    linked: dict[int, int] = {}
    for members in groups.members():
        linked |= _around_firsts(members, near, at, new_from, look)
    return linked


def candidates(prints: NDArray[np.int64], new_from: int = 0) -> Iterator[NDArray[np.int64]]:
    """Pairs of places (p, 2) whose fingerprints differ in at most `FAR` bits, one of them at `new_from` or later.

    Of crowds only neighbours are paired; see `WINDOW`. A pair may come more than once, in any of 28 batches.
    """
    by_value = np.argsort(prints, kind="stable")
    values = prints[by_value].view(np.uint64)
    octets = values.view(np.uint8).reshape(-1, 8)
    for one, other in combinations(range(8), 2):
        keys = octets[:, one].astype(np.uint16) << 8 | octets[:, other]
        order = np.argsort(keys, kind="stable")  # and within a key by value, so that the closest are neighbours
        keys, bits, places = keys[order], values[order], by_value[order]
        found = [np.empty(0, dtype=np.int64)]
        here = np.arange(len(order))
        for step in range(1, WINDOW + 1):
            here = here[here + step < len(order)]
            here = here[keys[here] == keys[here + step]]
            if not len(here):
                break
            close = here[np.bitwise_count(bits[here] ^ bits[here + step]) <= FAR]
            first, later = (
                np.minimum(places[close], places[close + step]),
                np.maximum(places[close], places[close + step]),
            )
            found.append((first * len(prints) + later)[later >= new_from])
        yield np.column_stack(np.divmod(np.unique(np.concatenate(found)), max(len(prints), 1)))


class _Groups:
    """Which places belong together: a disjoint-set forest over those that belong to anything."""

    def __init__(self, places: int, together: Iterable[tuple[int, int]]) -> None:
        self.root = np.arange(places)  # as it was at the last `settle`
        self._parent: dict[int, int] = {}
        for a, b in together:
            self.join(a, b)
        self.settle()

    def _find(self, place: int) -> int:
        while (above := self._parent.get(place, place)) != place:
            self._parent[place] = self._parent.get(above, above)
            place = above
        return place

    def apart(self, a: int, b: int) -> bool:
        return self._find(a) != self._find(b)

    def join(self, a: int, b: int) -> None:
        one, other = sorted((self._find(a), self._find(b)))
        self._parent.setdefault(one, one)
        self._parent[other] = one

    def settle(self) -> None:
        for place in self._parent:
            self.root[place] = self._find(place)

    def members(self) -> list[list[int]]:
        """The places of each group, in their order."""
        together: dict[int, list[int]] = {}
        for place in sorted(self._parent):
            together.setdefault(self._find(place), []).append(place)
        return list(together.values())


def _around_firsts(
    members: list[int], near: NDArray[np.int64], at: dict[int, int], new_from: int, look: "_Look"
) -> dict[int, int]:
    """Groups of which each member is nearly the same as the first: likeness handed on from one to the next would end
    with items that are not alike.
    """
    firsts: dict[int, list[int]] = {}
    for start in range(0, len(members), CHUNK):
        some = members[start : start + CHUNK]
        look.fetch([*some, *list(firsts)[:FIRSTS]])
        for place in some:
            if place < new_from:
                first = at.get(int(near[place]), place)
            else:
                first = next((f for f in list(firsts)[:FIRSTS] if look.alike(f, place)), place)
            firsts.setdefault(first, []).append(place)
    return {place: first for first, places in firsts.items() if len(places) > 1 for place in places}


class _Look:
    """The closer look at two items, whose contents are read for many at a time."""

    def __init__(self, workspace: Workspace, ids: NDArray[np.int64]) -> None:
        self._workspace = workspace
        self._ids = ids
        self._contents: dict[int, frozenset[str] | Image.Image | None] = {}
        self._answers: dict[tuple[int, int], bool] = {}

    def fetch(self, places: Iterable[int]) -> None:
        """Have the contents of these places at hand."""
        wanted = {int(self._ids[place]): place for place in places}
        if len(self._contents) > REMEMBERED:
            self._contents.clear()
        some = [item_id for item_id, place in wanted.items() if place not in self._contents]
        for start in range(0, len(some), CHUNK):
            with reading(self._workspace.engine) as session:
                query = select(Item.id, Item.text, Item.media).where(col(Item.id).in_(some[start : start + CHUNK]))
                found = session.exec(query).all()
            for item_id, text, media in found:
                opened = small_picture(_media(self._workspace, media)) if text is None else shingles(text)
                self._contents[wanted[item_id or 0]] = opened

    def alike(self, a: int, b: int) -> bool:
        """Whether the items at two places, whose contents are at hand, are nearly the same."""
        if (a, b) not in self._answers:
            if len(self._answers) > REMEMBERED * 50:
                self._answers.clear()
            match self._contents.get(a), self._contents.get(b):
                case frozenset() as one, frozenset() as other:
                    self._answers[a, b] = alike_texts(one, other)
                case Image.Image() as one, Image.Image() as other:
                    self._answers[a, b] = alike_images(one, other)
                case _:
                    self._answers[a, b] = False
        return self._answers[a, b]
