"""A worker that is killed again and again while it encodes: nothing is lost, and nothing is done twice for nothing.

A few kills by default. As many as it takes to be sure, in two or three minutes:

    ASKWISE_ENCODING_KILLS=10 ASKWISE_ENCODED=20000 .venv/bin/python -m pytest tests/faults/test_encoding_kills.py
"""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import col, select

from labeling import jobs
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, JobKind
from labeling.features.base import Content
from labeling.features.clip import Clip
from labeling.features.encoding import open_features
from labeling.intake.importer import import_records
from labeling.projects import create_project
from labeling.users import local_user
from labeling.workspace import Workspace
from tests.serving import noisy_digits, spawn

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]

ITEMS, KILLS = int(os.environ.get("ASKWISE_ENCODED", "6000")), int(os.environ.get("ASKWISE_ENCODING_KILLS", "4"))
COMMAND = (sys.executable, "-m", "tests.faults.noting_chunks")
PATIENCE_SECONDS = 300


def test_a_worker_killed_again_and_again_encodes_every_image_once(
    workspace: Workspace, untrained_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    notes = tmp_path / "chunks.txt"
    monkeypatch.setenv("NOTE_CHUNKS", str(notes))
    me = local_user(workspace)
    project = create_project(workspace, me, "digits", ["even", "odd"], settings={"encoder": f"clip:{untrained_clip}"})
    import_records(workspace, project, noisy_digits(ITEMS), actor_id=me)
    with writing(workspace.engine) as session:
        jobs.request(session, project, JobKind.ENCODE)
    random_moments = random.Random(5)
    ends = []  # how many chunks had been begun when the worker was killed
    for _ in range(KILLS):
        worker = spawn(workspace.root, "worker", str(workspace.root), command=COMMAND)
        try:
            some_more = encoded(workspace, project) + random_moments.randint(1, ITEMS // (2 * KILLS))
            wait_until(workspace, project, some_more, worker)
            amid_the_next_chunk(workspace, project, random_moments.uniform(0, 0.3))
        finally:
            worker.kill()
            worker.wait()
        ends.append(len(notes.read_text().splitlines()))
    assert encoded(workspace, project) < ITEMS, "it was done before the last kill"
    worker = spawn(workspace.root, "worker", str(workspace.root), command=COMMAND)
    try:
        wait_until(workspace, project, ITEMS, worker)
    finally:
        worker.kill()
        worker.wait()

    chunks = [line.split() for line in notes.read_text().splitlines()]
    times = Counter(name for chunk in chunks for name in chunk)
    last_ones = {name for end in ends for name in chunks[end - 1]}
    assert len(times) == ITEMS
    twice = {name for name, count in times.items() if count > 1}
    assert twice <= last_ones
    assert max(times.values()) <= 2
    check_rows(workspace, project, untrained_clip)


def encoded(workspace: Workspace, project: int) -> int:
    matrix = open_features(workspace, project)
    return matrix.rows if matrix is not None else 0


def amid_the_next_chunk(workspace: Workspace, project: int, seconds: float) -> None:
    """Wait so long, but no longer than until that chunk is done: else a fast machine is done before the last kill."""
    until, before = time.monotonic() + seconds, encoded(workspace, project)
    while time.monotonic() < until and encoded(workspace, project) == before:
        time.sleep(0.01)


def wait_until(workspace: Workspace, project: int, rows: int, worker: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while encoded(workspace, project) < rows:
        assert worker.poll() is None, "the worker ended by itself"
        assert time.monotonic() < until, f"only {encoded(workspace, project)} rows"
        time.sleep(0.02)


def check_rows(workspace: Workspace, project: int, clip: Path) -> None:
    """Every row is what CLIP makes of the image of its item."""
    with reading(workspace.engine) as session:
        query = select(Item.row, Item.media).where(Item.project_id == project).order_by(col(Item.row))
        rows = session.exec(query).all()
    encoder = Clip.load(str(clip), Path())
    contents = [Content(image=workspace.media(media)) for _, media in rows if media]
    matrix = open_features(workspace, project)
    assert matrix is not None and [row for row, _ in rows] == list(range(ITEMS))
    np.testing.assert_allclose(matrix.array(), encoder.encode(contents), atol=1e-5)
