"""The demo, running, with somebody who reads digits without error and has labeled some of them."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sklearn.datasets import load_digits

from tests.serving import Connection, Served, serving

LEARNING_SECONDS = 60.0  # that a new model may take


@contextmanager
def demonstrating(root: Path, labels: int = 0) -> Iterator[Served]:
    """The demo while the block runs, so many answers in."""
    with serving(root, verb="demo") as served:
        if labels:
            with served.connect() as connection:
                wait_until_learned(connection)
                label(connection, labels)
        yield served


def label(connection: Connection, count: int, project: int = 1) -> None:
    """Answer items of the digits project rightly, each after the model has learned from those before it."""
    truth = load_digits().target
    read = f"/projects/{project}"
    classes = {c["name"]: c["id"] for c in connection.get(read)["classes"]}
    for done in range(1, count + 1):
        (claim,) = connection.post(f"{read}/claims", {"count": 1})["claims"]
        digit = str(truth[int(claim["item"]["external_id"].removeprefix("digits-"))])
        verdict = {"verdict": "skip"} if done % 20 == 0 else {"verdict": "label", "class_id": classes[digit]}
        answer = {"event_id": str(uuid.uuid4()), **{k: claim[k] for k in ("assignment_id", "token")}, "seconds": 1.1}
        (outcome,) = connection.post("/annotations", {"annotations": [{**answer, **verdict}]})["annotations"]
        assert outcome["status"] == "saved", outcome
        wait_until_learned(connection, project)


def wait_until_learned(connection: Connection, project: int = 1) -> None:
    """Wait until the model has learned from every answer there is."""
    until = time.monotonic() + LEARNING_SECONDS
    while connection.get(f"/projects/{project}")["live"]["learning"]:
        assert time.monotonic() < until, "the model is still learning"
        time.sleep(0.05)
