"""The audit that the kills rely on sees each kind of damage."""

import shutil
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer
from labeling.learning.worker import work_off
from labeling.users import bearer
from tests.faults.annotators import Annotator
from tests.faults.audit import audit
from tests.serving import Pool, prepare

ANSWERS = 30


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Annotator, Pool]:
    """A workspace that has learned from one person, who remembers the answers as if they had gone over REST."""
    pool = prepare(tmp_path_factory.mktemp("sound") / "workspace", items=60, annotators=1)
    person = Annotator(pool, 0, 0, 0)
    actor = bearer(pool.workspace, pool.tokens[0])
    assert actor is not None
    for claim in queue.claim(pool.workspace, actor, pool.project_id, ANSWERS):
        event_id, class_id = str(uuid.uuid4()), pool.truth(claim.model_dump())
        answer = Answer(
            event_id=event_id, assignment_id=claim.assignment_id, token=claim.token, verdict="label", class_id=class_id
        )
        assert answers.submit(pool.workspace, actor, [answer])[0].status == "saved"
        person.saved[event_id] = (claim.item.id, class_id)
    with closing(sqlite3.connect(pool.workspace.root / "askwise.db")) as database:
        job_id = database.execute("SELECT id FROM job WHERE state = 'queued'").fetchone()[0]
    work_off(pool.workspace, job_id, lambda _fraction, _message: None)
    pool.workspace.engine.dispose()
    return person, pool


def truncated(head: Path) -> None:
    head.write_bytes(head.read_bytes()[:100])


def of_another_fit(head: Path) -> None:
    about = head.with_suffix(".json")
    about.write_text(about.read_text().replace('"labels": 30', '"labels": 29'))


LOST = "DELETE FROM annotation WHERE seq = 7"
CHANGED = "UPDATE annotation SET class_id = class_id % 10 + 1 WHERE seq = 7"
TOO_MANY = (
    "INSERT INTO annotation"
    " (id, project_id, item_id, user_id, verdict, class_id, note, flagged, suggestion_shown, created)"
    " SELECT 'another', project_id, item_id, 1, verdict, class_id, '', 0, 0, created FROM annotation WHERE seq = 7"
)
TWO_LIVE = (
    "INSERT INTO modelversion"
    " (project_id, number, state, encoder, feature_version, annotation_seq, annotation_hash, labels,"
    " code_version, seed, hyperparameters, metrics, seconds, created)"
    " SELECT project_id, 0, 'live', encoder, feature_version, 0, '', 0,"
    " code_version, seed, hyperparameters, metrics, 0, 0 FROM modelversion LIMIT 1"
)
OLD_QUEUE = "UPDATE queueentry SET ranking_id = (SELECT min(id) FROM ranking)"
UNSEEN = "UPDATE modelversion SET annotation_seq = annotation_seq - 1"


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (LOST, "lost: 1 "),
        (CHANGED, "lost: 1 "),
        (TOO_MANY, "item, answers noted"),
        (TWO_LIVE, "live model versions"),
        (OLD_QUEUE, "queues of rankings"),
        (UNSEEN, "did not see the answers"),
        (truncated, "its head cannot be read"),
        (of_another_fit, "do not agree"),
    ],
)
def test_each_kind_of_damage_is_found(
    tmp_path: Path, labeled: tuple[Annotator, Pool], damage: str | Callable[[Path], None], finding: str
):
    person, sound = labeled
    root = Path(shutil.copytree(sound.workspace.root, tmp_path / "workspace"))
    assert audit(root, sound.project_id, 1, [person]) == []
    if callable(damage):
        damage(next((root / "heads").glob("*.npz")))
    else:
        with closing(sqlite3.connect(root / "askwise.db")) as database, database:
            database.execute(damage)
    found = audit(root, sound.project_id, 1, [person])
    assert any(finding in sentence for sentence in found), found
