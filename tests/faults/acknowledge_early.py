"""Askwise as it must not be: it says "saved" at once and commits a tenth of a second later.

Run like the `askwise` command; `test_kills.py` has to find out.
"""

import threading
from collections.abc import Sequence
from typing import Any

from labeling import cli
from labeling.annotation import answers
from labeling.annotation.answers import Answer, Outcome
from labeling.workspace import Workspace

LATER_SECONDS = 0.1

commit = answers.submit


def submit(workspace: Workspace, actor_id: int, given: Sequence[Answer], **options: Any) -> list[Outcome]:
    threading.Timer(LATER_SECONDS, commit, (workspace, actor_id, given), options).start()
    return [Outcome(event_id=answer.event_id, status="saved") for answer in given]


if __name__ == "__main__":
    answers.submit = submit
    cli.main()
