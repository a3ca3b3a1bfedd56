"""What people wait for reads few rows however large the pool is: each question that it asks of a large table goes by an
index that leaves little to look at, as SQLite plans it without having counted anything.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from labeling.annotation import answers, queue, review
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, answer_to

ONE = re.compile(r"\b(id|item_id|rowid|batch|supersedes)=\?")
LARGE = ("item", "annotation", "assignment", "label")
OF_FEW = ("wanted", "gold", "disputed", "unsure", "flagged", "decision", "leased", "held")
ORDERED = "ix_item_open (project_id=? AND answers=?)"  # read as far as it is needed


@contextmanager
def plans(workspace: Workspace) -> Iterator[list[str]]:
    """What SQLite does for each statement of the block, a line for every table it reads."""
    seen: list[tuple[str, Any]] = []
    lines: list[str] = []

    def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().split(maxsplit=1)[0] in ("SELECT", "UPDATE", "DELETE"):
            seen.append((statement, parameters))

    event.listen(workspace.engine, "before_cursor_execute", keep)
    try:
        yield lines
    finally:
        event.remove(workspace.engine, "before_cursor_execute", keep)
    with workspace.engine.connect() as connection:
        for statement, parameters in seen:
            explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            lines += [row[3] for row in explained]


def long_ways(lines: list[str]) -> set[str]:
    """The lines that read a large table as a whole, or all that one project or one person has of it."""
    found = set()
    for line in lines:
        match = re.match(r"(SCAN|SEARCH) (\w+?)(_\d+)? ", line + " ")
        if match is None or match[2] not in LARGE or ORDERED in line:
            continue
        if not ONE.search(line) and not any(f"_{few} " in line + " " for few in OF_FEW):
            found.add(line)
    return found


@pytest.fixture(
    params=[{}, {"overlap": 2, "gold_share": 0.5}, {"overlap": 5, "opinions": "by_need"}],
    ids=["once", "overlap 2", "by need"],
)
def small(workspace: Workspace, request: pytest.FixtureRequest) -> SmallProject:
    return SmallProject.make(workspace, items=20, **request.param)


def test_work_is_handed_out_without_looking_through_the_pool(small: SmallProject) -> None:
    with plans(small.workspace) as lines:
        claims = queue.claim(small.workspace, small.people[0], small.id, 8, client="tab", resume=True)
        queue.renew(small.workspace, small.people[0], small.id)
        queue.count_remaining(small.workspace, small.people[0], small.id, at_most=100)
    assert len(claims) == 8
    assert long_ways(lines) == set()
    assert any("ix_assignment_leased" in line for line in lines)


def test_an_answer_is_saved_without_looking_through_those_before_it(small: SmallProject) -> None:
    given = [answer_to(one, small.classes[0]) for one in queue.claim(small.workspace, small.people[0], small.id, 8)]
    with plans(small.workspace) as lines:
        answers.submit(small.workspace, small.people[0], given)
        answers.undo(small.workspace, small.people[0], given[0].event_id)
    assert long_ways(lines) == set()
    assert any("ix_assignment_leased" in line for line in lines)


def test_review_reads_what_is_disputed_and_not_the_pool(small: SmallProject) -> None:
    with plans(small.workspace) as lines:
        review.read_review(small.workspace, small.owner, small.id)
    assert {"ix_item_disputed", "ix_annotation_flagged", "ix_annotation_unsure", "ix_annotation_decision"} <= set(
        re.findall(r"ix_\w+", " ".join(lines))
    )
    assert long_ways(lines) == set()
