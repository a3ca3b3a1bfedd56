"""Find: the items of a pool that are nearest to a description in words, or to one of them."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from sqlmodel import Session, col, select

from labeling import jobs
from labeling.annotation.claims import with_keywords
from labeling.annotation.consensus import labels_seen
from labeling.classes import classes_of
from labeling.db.engine import reading, writing
from labeling.db.schema import Item
from labeling.db.values import clean_text
from labeling.errors import Invalid, NotFound
from labeling.features.encoding import open_features
from labeling.features.matrix import FeatureMatrix
from labeling.features.search import mapped, similarities
from labeling.features.words import ask_for_words, known_words, knows_words
from labeling.learning.predictions import PoolPredictions, pool_predictions
from labeling.learning.screens import OpenRows, Screen, check_count, classes_today, lease_rows, let_go
from labeling.learning.status import WORKER_SILENT_SECONDS, worker_heard
from labeling.learning.versions import find_live
from labeling.projects import settings_of
from labeling.users import require
from labeling.workspace import Workspace

POLL_SECONDS = 0.03
POLLS_A_CHECK = 16  # whether there is a worker is asked less often
PATIENCE_SECONDS = 30.0  # that the words may take: the worker may have to load its encoder first
START_SECONDS = 5.0  # that a worker may take to be heard of
WIDER = 4  # times as many rows are looked at where too few of the nearest are wanted
MOST_NAMED = 5000  # rows that one query names

# How the job of this number comes to be performed; see `find_items`.
Perform = Callable[[int], object]


class FoundItem(BaseModel):
    """An item, and how near it is."""

    id: int
    external_id: str
    score: float  # the cosine: 1 is the same direction
    label: str | None  # the name of its class, if it has one that the acting user may know


def find_items(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    *,
    text: str | None = None,
    item_id: int | None = None,
    count: int = 40,
    include_labeled: bool = True,
    perform: Perform | None = None,
) -> list[FoundItem]:
    """The items that are nearest to a text or to an item (which comes first), the nearest first.

    Parameters
    ----------
    include_labeled
        Whether those are wanted that have a label; of whoever only answers, those that they answered themselves.
    perform
        Performs the job that embeds the text; where None, a worker is waited for.

    Raises
    ------
    Invalid
        If neither a text nor an item is given or both are, `count` is out of bounds, there are no features yet, they
        know no words, or no worker embeds these in time.
    NotFound
        If the user is no member of the project, or the item is not in it.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
    if not 1 <= count <= MOST_NAMED:
        raise Invalid(f"Look for between 1 and {MOST_NAMED:,} items.")
    _, found = _look(workspace, project_id, text, item_id, perform)
    order = np.argsort(-found)
    wanted: list[FoundItem] = []
    with reading(workspace.engine) as session:
        looked, more = 0, count
        while len(wanted) < count and looked < len(order):
            rows = order[looked : looked + min(more, MOST_NAMED)].tolist()
            wanted += _items_of(session, actor_id, project_id, rows, found, include_labeled)
            looked, more = looked + len(rows), WIDER * more
    return wanted[:count]


def find_screen(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    *,
    text: str | None = None,
    item_id: int | None = None,
    count: int = 40,
    client: str | None = None,
    resume: bool = False,
    release: Sequence[int] = (),
    without: Sequence[int] = (),
    now: float | None = None,
) -> Screen:
    """Lease up to `count` open items that are nearest to a text or to an item to the acting user, the nearest first.

    The item itself comes first where it is open. Parameters are those of `find_items` and of
    `labeling.learning.screens.open_screen`; it raises what these do.
    """
    with reading(workspace.engine) as session:
        project = require(session, actor_id, project_id)
        shown = settings_of(project).suggestions != "hide"
        version = find_live(session, project_id)
    check_count(count)
    like, found = _look(workspace, project_id, text, item_id)
    order = np.argsort(-found)
    beliefs = pool_predictions(workspace, version) if shown else None
    with writing(workspace.engine) as session:
        now = time.time() if now is None else now
        project = require(session, actor_id, project_id)
        let_go(session, actor_id, project_id, client if resume else None, release, now)
        rows = OpenRows(session, actor_id, project, without, now).first(order, count)
        places = np.flatnonzero(np.isin(order, rows)) + 1
        guesses = _guesses(session, beliefs, rows)
        chosen = {
            row: {"why": f"like “{like}”: {_nth(int(place))}", "suggestion_shown": shown, **guess}
            for row, place, guess in zip(rows, places, guesses, strict=True)
        }
        claims = lease_rows(session, actor_id, project, version if shown else None, chosen, client, now)
    return Screen(
        class_id=_of_most([guess.get("suggestion_class_id") for guess in guesses]),
        claims=with_keywords(workspace, claims),
        believed=[],
        model_version=version.number if version else None,
        like=like,
        why="" if claims else "No item that is open to you now is left to be found.",
    )


def find_item(workspace: Workspace, actor_id: int, project_id: int, name_or_id: str) -> int:
    """The id of the item that a person means, by its name or else its number.

    Raises
    ------
    NotFound
        If there is none, or the user is no member of the project.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        mine = select(Item.id).where(Item.project_id == project_id)
        found = session.exec(mine.where(Item.external_id == name_or_id)).first()
        if found is None and name_or_id.isdecimal() and int(name_or_id) < 2**63:
            found = session.exec(mine.where(Item.id == int(name_or_id))).first()
    if found is None:
        raise NotFound(f"There is no item “{name_or_id}” in this project; give its name as an export has it.")
    return found


def _look(
    workspace: Workspace, project_id: int, text: str | None, item_id: int | None, perform: Perform | None = None
) -> tuple[str, NDArray[np.float32]]:
    """What is looked for, in a few words, and how like it each row of the pool is."""
    text = None if text is None else " ".join(clean_text(text).split())
    if bool(text) == (item_id is not None):
        raise Invalid("Describe what you are looking for, or pick one item to find others like it.")
    matrix = open_features(workspace, project_id)
    if matrix is None:
        raise Invalid("The items have no features yet; look again when the worker has read them.")
    if text:
        query = _words(workspace, project_id, matrix, text, perform)
        return (text if len(text) <= 60 else f"{text[:59]}…"), similarities(mapped(matrix), query)
    with reading(workspace.engine) as session:
        item = session.get(Item, item_id)
    if item is None or item.project_id != project_id:
        raise NotFound(f"There is no item {item_id} in this project; pick another.")
    if item.row >= matrix.rows:
        raise Invalid(f"“{item.external_id}” has no features yet; look again when the worker has read it.")
    features = mapped(matrix)
    return item.external_id, similarities(features, features[item.row])


def _words(
    workspace: Workspace, project_id: int, matrix: FeatureMatrix, text: str, perform: Perform | None
) -> NDArray[np.float32]:
    """The vector (d,) of a text, which the worker embeds where it is new."""
    if not knows_words(matrix):
        raise Invalid(
            "This project's features know no words; pick an item to find others like it, or choose CLIP (images) or "
            "sentences (texts) on the Settings page."
        )
    known = known_words(matrix, [text])
    if known is not None:
        return known[0]
    with writing(workspace.engine) as session:
        job_id = ask_for_words(session, project_id, [text]).id
    assert job_id is not None
    if perform is not None:
        perform(job_id)
    began = time.monotonic()
    polls = 0
    while (known := known_words(matrix, [text])) is None:
        if polls % POLLS_A_CHECK == 0:
            _check_worker(workspace, job_id, time.monotonic() - began)
        polls += 1
        time.sleep(POLL_SECONDS)
    return known[0]


def _check_worker(workspace: Workspace, job_id: int, waited: float) -> None:
    """Raise `Invalid` where there is no use in waiting longer for a job that embeds words."""
    if error := jobs.read(workspace, job_id).error:
        raise Invalid(error)
    heard = worker_heard(workspace)
    if waited > START_SECONDS and (heard is None or heard > WORKER_SILENT_SECONDS):
        raise Invalid("No worker is running that knows words; start one with `askwise worker`, then look again.")
    if waited > PATIENCE_SECONDS:
        raise Invalid("The worker is still busy loading what knows words; look again in a moment.")


def _items_of(
    session: Session,
    actor_id: int,
    project_id: int,
    rows: list[int],
    found: NDArray[np.float32],
    include_labeled: bool,
) -> list[FoundItem]:
    """The items in some rows, in their order."""
    query = select(Item.row, Item.id, Item.external_id).where(Item.project_id == project_id, col(Item.row).in_(rows))
    there = [(row, item_id, name) for row, item_id, name in session.exec(query).all() if item_id is not None]
    labels = labels_seen(session, actor_id, project_id, [item_id for _, item_id, _ in there])
    names = {c.id: c.name for c in classes_of(session, project_id)}
    items = {
        row: FoundItem(
            id=item_id, external_id=name, score=round(float(found[row]), 6), label=names.get(labels.get(item_id))
        )
        for row, item_id, name in there
        if include_labeled or item_id not in labels
    }
    return [items[row] for row in rows if row in items]


def _guesses(session: Session, beliefs: PoolPredictions | None, rows: Sequence[int]) -> list[dict[str, Any]]:
    """What the model believes of each row: the columns of its assignment, none where it does not know."""
    if beliefs is None:
        return [{} for _ in rows]
    today = classes_today(session, beliefs)

    def guess(row: int) -> dict[str, Any]:
        class_id = int(today[beliefs.classes[row]]) if row < len(beliefs.classes) else 0
        if not class_id:
            return {}
        return {"suggestion_class_id": class_id, "suggestion_confidence": float(beliefs.confidence[row])}

    return [guess(row) for row in rows]


def _of_most(class_ids: list[int | None]) -> int | None:
    """The class that more than half of them are, if there is one."""
    return next((each for each in set(class_ids) - {None} if 2 * class_ids.count(each) > len(class_ids)), None)


def _nth(place: int) -> str:
    """A place in words: the nearest, the 2nd nearest, the 11th nearest."""
    if place == 1:
        return "the nearest"
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"the {place:,}{ending} nearest"
