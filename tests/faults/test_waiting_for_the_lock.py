"""An answer that waits for its turn to be saved is judged by the time when its turn comes."""

import threading
import time
import uuid
from pathlib import Path

import pytest

from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer, Outcome
from labeling.annotation.queue import Claim
from labeling.db import engine as database
from labeling.users import bearer
from tests.serving import Pool, prepare

pytestmark = pytest.mark.faults


def submit(pool: Pool, actor_id: int, claim: Claim) -> Outcome:
    answer = Answer(
        event_id=str(uuid.uuid4()), assignment_id=claim.assignment_id, token=claim.token, verdict="label",
        class_id=pool.truth(claim.model_dump()),
    )  # fmt: skip
    return answers.submit(pool.workspace, actor_id, [answer])[0]


def test_a_lease_that_lapses_while_its_answer_waits_for_the_database_is_not_held_against_its_successor(tmp_path: Path):
    pool = prepare(tmp_path / "workspace", items=1, annotators=2, lease_seconds=1)
    early, late = (bearer(pool.workspace, token) or 0 for token in pool.tokens)
    [lapsing] = queue.claim(pool.workspace, early, pool.project_id)
    outcomes: list[Outcome] = []
    waiting = threading.Thread(target=lambda: outcomes.append(submit(pool, early, lapsing)))
    with database._writers[str(pool.workspace.engine.url)]:  # other writers are busy
        waiting.start()
        time.sleep(max(0.0, lapsing.expires - time.time()) + 0.1)
        [successor] = queue.claim(pool.workspace, late, pool.project_id)
    waiting.join()
    statuses = [outcomes[0].status, submit(pool, late, successor).status]
    pool.workspace.engine.dispose()
    assert statuses == ["refused", "saved"]
