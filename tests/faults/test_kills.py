"""`kill -9` of the web process and of the worker, at random moments while people label.

A few kills by default. All of them (about half an hour):

    ASKWISE_WEB_KILLS=200 ASKWISE_WORKER_KILLS=100 .venv/bin/python -m pytest -s -m faults tests/faults/test_kills.py
"""

import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from labeling.db.engine import reading
from labeling.db.schema import ModelVersion, Worker
from labeling.projects import create_project
from labeling.users import issue_token, local_user
from sqlmodel import select
from tests.faults.annotators import Annotator
from tests.faults.audit import audit
from tests.serving import (
    COMMAND, Connection, Pool, Served, add_items, prepare, processes_of, serve, serving, spawn, wait_until_healthy,
)  # fmt: skip

pytestmark = pytest.mark.faults

WEB_KILLS = int(os.environ.get("ASKWISE_WEB_KILLS", "8"))
WORKER_KILLS = int(os.environ.get("ASKWISE_WORKER_KILLS", "8"))
EARLY_KILLS = 5  # at most, until the loss is found
ITEMS_PER_KILL = 25
PEOPLE = 4
OVERLAP = 2
LEASE_SECONDS = 2
PAUSE = 0.03
SOON = (0.2, 1.5)  # seconds from being ready to being killed
GONE_SECONDS = 15.0
HELD = 5  # items of the project whose leases are watched

EARLY = (sys.executable, str(Path(__file__).with_name("acknowledge_early.py")))
