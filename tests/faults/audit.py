"""What has to hold in a workspace after anything was killed at any instant."""

import hashlib
import json
import sqlite3
import zipfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np

from labeling.learning.head import LinearHead
from tests.faults.annotators import Annotator

SHOWN = 5  # of the findings of one kind


def audit(root: Path, project_id: int, overlap: int, annotators: Iterable[Annotator]) -> list[str]:
    """Everything that is wrong with a workspace, given what its annotators were told; empty when all is well."""
    told = [(dict(a.saved), dict(a.undone)) for a in annotators]  # before the database is read: it may only know more
    with closing(sqlite3.connect(root / "askwise.db", timeout=30)) as database:
        found = [f"integrity_check: {line}" for (line,) in database.execute("PRAGMA integrity_check") if line != "ok"]
        found += _lost(database, told)
        found += _beyond(database, project_id, overlap)
        found += _torn(root, database, project_id)
    return found


def _lost(
    database: sqlite3.Connection, told: list[tuple[dict[str, tuple[int, int | None]], dict[str, str]]]
) -> list[str]:
    """Acknowledged answers that are not there exactly once, as they were given."""
    stored: dict[str, list[tuple[object, ...]]] = {}
    for event_id, *row in database.execute("SELECT id, item_id, class_id, verdict, supersedes FROM annotation"):
        stored.setdefault(event_id, []).append(tuple(row))
    expected = {
        event_id: (item_id, class_id, "skip" if class_id is None else "label", None)
        for saved, _ in told
        for event_id, (item_id, class_id) in saved.items()
    }
    wrong = [f"answer {event}: {stored.get(event)}" for event, row in expected.items() if stored.get(event) != [row]]
    withdrawn = {
        undo_id: (expected[event][0], None, "undo", event) for _, undone in told for event, undo_id in undone.items()
    }
    wrong += [f"undo {event}: {stored.get(event)}" for event, row in withdrawn.items() if stored.get(event) != [row]]
    return [f"lost: {len(wrong)} acknowledged answers, such as {'; '.join(wrong[:SHOWN])}"] if wrong else []


def _beyond(database: sqlite3.Connection, project_id: int, overlap: int) -> list[str]:
    """Items answered by too many, or twice by one person, or whose count of answers is not what stands."""
    standing = "NOT EXISTS (SELECT 1 FROM annotation later WHERE later.supersedes = given.id)"
    counts = database.execute(
        "SELECT item.id, item.answers, count(given.id), count(DISTINCT given.user_id) FROM item LEFT JOIN annotation"
        f" given ON given.item_id = item.id AND given.verdict = 'label' AND {standing}"
        " WHERE item.project_id = ? GROUP BY item.id",
        (project_id,),
    ).fetchall()
    wrong = [row for row in counts if not (row[1] == row[2] == row[3] <= overlap)]
    return [f"item, answers noted, standing, people: {wrong[:SHOWN]} ({len(wrong)} in all)"] if wrong else []


def _torn(root: Path, database: sqlite3.Connection, project_id: int) -> list[str]:
    """Model versions, rankings and queues that do not fit together, or heads that are not whole."""
    versions = database.execute(
        "SELECT id, number, state, path, labels, feature_version, annotation_seq, annotation_hash"
        " FROM modelversion WHERE project_id = ? ORDER BY number",
        (project_id,),
    ).fetchall()
    found = []
    live = [version[0] for version in versions if version[2] == "live"]
    if live != [version[0] for version in versions[-1:]]:
        found.append(f"live model versions: {live}, and the newest is {[version[0] for version in versions[-1:]]}")
    for _, number, _, path, labels, feature_version, seq, annotation_hash in versions[-1:]:
        found += [f"version {number}: {what}" for what in _head(root / "heads" / path, labels, feature_version)]
        if _seen(database, project_id, seq) != annotation_hash:
            found.append(f"version {number} did not see the answers up to {seq}")
    rankings = database.execute(
        "SELECT id, model_version_id FROM ranking WHERE project_id = ? ORDER BY id", (project_id,)
    )
    newest = rankings.fetchall()[-1:]
    if live and [model for _, model in newest] != live:
        found.append(f"the live ranking is of version {newest} and the live version is {live}")
    queues = database.execute(
        "SELECT DISTINCT ranking_id FROM queueentry JOIN ranking ON ranking.id = ranking_id WHERE project_id = ?",
        (project_id,),
    ).fetchall()
    if not {ranking for (ranking,) in queues} <= {ranking for ranking, _ in newest}:
        found.append(f"queues of rankings {queues}, and the newest is {newest}")
    return found


def _head(path: Path, labels: int, feature_version: str) -> list[str]:
    """What is wrong with a head on disk, and with the description beside it."""
    if not zipfile.is_zipfile(path):  # asked first, since numpy leaves such a file open
        return ["its head cannot be read"]
    try:
        head = LinearHead.load(path)
        about = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError) as error:
        return [f"its head cannot be read ({error})"]
    k = len(head.classes)
    whole = head.coef.shape[0] == k == len(head.intercept) and set(head.classes) <= set(range(len(about["class_ids"])))
    agrees = (about["l2"], about["labels"], about["feature_version"]) == (head.l2, labels, feature_version)
    finite = np.isfinite(head.coef).all() and np.isfinite(head.intercept).all()
    return [] if whole and agrees and finite else [f"its head and its description do not agree: {about}"]


def _seen(database: sqlite3.Connection, project_id: int, seq: int) -> str:
    """The hash of the labels that stood after annotation `seq`, worked out anew."""
    events = database.execute(
        "SELECT id FROM annotation given WHERE project_id = ? AND verdict = 'label' AND seq <= ? AND NOT EXISTS"
        " (SELECT 1 FROM annotation later WHERE later.supersedes = given.id AND later.seq <= ?) ORDER BY seq",
        (project_id, seq, seq),
    )
    return hashlib.sha256("\n".join(event for (event,) in events).encode()).hexdigest()
