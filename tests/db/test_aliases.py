"""A second name of a table, first used by several threads at once."""

import sys
import threading
from collections.abc import Iterator

import pytest
from sqlmodel import col, exists, select

from labeling.db.aliases import second
from labeling.db.schema import Annotation

ROUNDS, THREADS = 400, 4


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads that take the interpreter from each other as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def statements_of_threads_that_are_first_at_once() -> set[str]:
    """The SQL that each of them gets for one question: which answers stand."""
    later, barrier, got = second(Annotation), threading.Barrier(THREADS), set()

    def ask() -> None:
        barrier.wait()
        superseded = exists().where(col(later.supersedes) == col(Annotation.id))
        got.add(str(select(Annotation.id).where(~superseded)))

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def test_every_thread_compares_two_rows(impatient: None):
    got = set().union(*(statements_of_threads_that_are_first_at_once() for _ in range(ROUNDS)))
    assert len(got) == 1
    assert "annotation AS annotation_1" in got.pop()
