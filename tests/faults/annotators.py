"""People who label over REST while processes die under them, and who remember what they were told is saved."""

import http.client
import json
import random
import threading
import time
import uuid
from typing import Any

from tests.serving import Connection, Pool

CLAIMED_AT_ONCE = 4
UNDONE = 0.05
SKIPPED = 0.05


class Annotator(threading.Thread):
    """Claims, answers and now and then withdraws an answer, until told to stop.

    As in a browser, a request without an answer is sent again under the same event id until there is one.
    `saved` and `undone` hold the event ids that the application has acknowledged, `wrong` what it should not have
    answered; `saved` maps the id of an answer to the item and class it was about (class None: skipped).
    """

    def __init__(self, pool: Pool, port: int, number: int, pause: float) -> None:
        super().__init__(daemon=True)
        self.saved: dict[str, tuple[int, int | None]] = {}
        self.undone: dict[str, str] = {}
        self.refused = 0
        self.wrong: list[str] = []
        self._pool = pool
        self._connection = Connection(port, pool.tokens[number])
        self._random = random.Random(number)
        self._pause = pause
        self._done = threading.Event()

    def stop(self) -> None:
        """End the labeling; a request under way is let go."""
        self._done.set()

    def run(self) -> None:
        while not self._done.is_set():
            claimed = self._ask(f"/api/v1/projects/{self._pool.project_id}/claims", {"count": CLAIMED_AT_ONCE})
            for claim in claimed["claims"] if claimed else []:
                self._answer(claim)
            self._done.wait(self._pause if claimed and claimed["claims"] else 0.2)
        self._connection.close()

    def _answer(self, claim: dict[str, Any]) -> None:
        self._done.wait(self._random.uniform(0, 2 * self._pause))
        event_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        class_id = None if self._random.random() < SKIPPED else self._pool.truth(claim)
        answer = {
            "event_id": event_id, "assignment_id": claim["assignment_id"], "token": claim["token"],
            "verdict": "skip" if class_id is None else "label", "class_id": class_id, "seconds": self._pause,
        }  # fmt: skip
        told = self._ask("/api/v1/annotations", {"annotations": [answer]})
        if told is None:
            return
        if told["annotations"][0]["status"] == "refused":
            self.refused += 1  # a lease that lapsed while the application was away, and the item is another's now
            return
        self.saved[event_id] = (claim["item"]["id"], class_id)
        if self._random.random() < UNDONE:
            undo_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
            told = self._ask(f"/api/v1/annotations/{event_id}/undo", {"event_id": undo_id})
            if told is not None and told["status"] in ("undone", "repeated"):
                self.undone[event_id] = undo_id

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """What the application answers, however often it has to be asked; None when told to stop before."""
        while not self._done.is_set():
            try:
                status, answer = self._connection.ask("POST", path, body)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            if status == 200:
                told: dict[str, Any] = json.loads(answer)
                return told
            self.wrong.append(f"{path}: {status} {answer.decode(errors='replace')[:300]}")
            return None
        return None
