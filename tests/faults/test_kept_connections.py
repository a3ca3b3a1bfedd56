"""A kept-open connection answers at once: nothing waits for a delayed acknowledgement (40 ms on Linux)."""

import time
from pathlib import Path

import pytest

from labeling.workspace import open_workspace
from tests.serving import serving

pytestmark = pytest.mark.faults

DELAYED_ACKNOWLEDGEMENT = 0.035


def test_no_answer_is_held_back_until_the_last_packet_is_acknowledged(tmp_path: Path):
    """The quickest of many: a busy machine slows some of them, a withheld packet every one."""
    open_workspace(tmp_path / "workspace").engine.dispose()
    with serving(tmp_path / "workspace", "--no-worker") as served, served.connect() as connection:
        took = []
        for _ in range(60):
            began = time.perf_counter()
            connection.get("/health")
            took.append(time.perf_counter() - began)
    assert min(took[20:]) < DELAYED_ACKNOWLEDGEMENT  # the first ones are acknowledged quickly in any case
