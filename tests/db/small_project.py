"""A small project in a workspace: people, classes, items, and features where a test asks for them."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import event
from sqlmodel import col, select

from labeling import jobs
from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer
from labeling.annotation.queue import Claim
from labeling.classes import classes_of
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, Job, JobKind, User
from labeling.features.matrix import FeatureMatrix
from labeling.learning.training import learn
from labeling.projects import create_project
from labeling.workspace import Workspace


def not_waiting_for_the_disk(workspace: Workspace) -> Workspace:
    """The same workspace, with commits that a power cut would lose: most tests are of rules, not of the disk."""

    @event.listens_for(workspace.engine, "connect")
    def _relax(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    workspace.engine.dispose()
    return workspace


def add_user(workspace: Workspace, name: str) -> int:
    """The id of a new user, who is a member of nothing yet."""
    with writing(workspace.engine) as session:
        user = User(name=name)
        session.add(user)
    assert user.id is not None
    return user.id


def new_event() -> str:
    """An event id as a browser makes one."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class SmallProject:
    """A project, its owner, its annotators, and the ids of its items (in row order) and classes (in order)."""

    workspace: Workspace
    id: int
    owner: int
    people: tuple[int, ...]
    items: tuple[int, ...]
    classes: tuple[int, ...]

    @classmethod
    def make(
        cls,
        workspace: Workspace,
        *,
        items: int = 6,
        people: int = 2,
        classes: Sequence[str] = ("cat", "dog"),
        name: str = "animals",
        **settings: object,
    ) -> "SmallProject":
        """Make it; a strategy is `random` unless the settings say otherwise."""
        users = [add_user(workspace, f"{name} {role}") for role in ("owner", *(f"person {i}" for i in range(people)))]
        made = create_project(workspace, users[0], name, classes, settings={"strategy": "random", **settings})
        with reading(workspace.engine) as session:
            class_ids = tuple(c.id for c in classes_of(session, made) if c.id is not None)
        empty = cls(workspace, made, users[0], tuple(users[1:]), (), class_ids)
        return replace(empty, items=empty.add_items(items))

    def add_items(self, count: int, **fields: Any) -> tuple[int, ...]:
        """Add items after those that are there; returns their ids."""
        with writing(self.workspace.engine) as session:
            first = len(session.exec(select(Item.id).where(Item.project_id == self.id)).all())
            for row in range(first, first + count):
                name = f"{self.id}-{row:04d}"
                values = {"external_id": name, "content_hash": hashlib.sha256(name.encode()).hexdigest(), **fields}
                session.add(Item(project_id=self.id, row=row, **values))
            session.flush()
            added = select(Item.id).where(Item.project_id == self.id, col(Item.row) >= first).order_by(col(Item.row))
            return tuple(i for i in session.exec(added).all() if i is not None)

    def add_features(self, rows: np.ndarray, version: str = "pixels-test") -> FeatureMatrix:
        """Give the items their vectors (n, d), in row order."""
        matrix = FeatureMatrix.create(
            self.workspace.features(self.id, version),
            width=rows.shape[1], encoder="pixels", version=version, parameters={"channels": 1},
        )  # fmt: skip
        matrix.append(rows)
        return matrix

    def lease(self, actor_id: int, item_id: int, **options: Any) -> Claim:
        """Lease one item of the project's open ones to a person."""
        claims = queue.claim(self.workspace, actor_id, self.id, 200, **options)
        others = [claim.assignment_id for claim in claims if claim.item.id != item_id]
        queue.release(self.workspace, actor_id, self.id, others)
        (wanted,) = (claim for claim in claims if claim.item.id == item_id)
        return wanted

    def answer(self, actor_id: int, item_id: int, class_id: int | None = None, **more: Any) -> str:
        """Lease an item and answer it (with the first class unless told otherwise); returns the event's id."""
        given = answer_to(self.lease(actor_id, item_id), class_id or self.classes[0], **more)
        (outcome,) = answers.submit(self.workspace, actor_id, [given])
        assert outcome.status == "saved", outcome
        return given.event_id

    def learn(self, worker_id: str = "worker") -> Job:
        """Run one training job in this process; returns it as it ended."""
        job = self.take_training(worker_id)
        learn(self.workspace, job)
        assert job.id is not None
        return jobs.read(self.workspace, job.id)

    def take_training(self, worker_id: str = "worker") -> Job:
        """Ask for a training job and take it."""
        with writing(self.workspace.engine) as session:
            jobs.request(session, self.id, JobKind.TRAIN)
        job = jobs.take(self.workspace, worker_id, project_id=self.id)
        assert job is not None and job.kind is JobKind.TRAIN
        return job


def answer_to(claim: Claim, class_id: int | None = None, **more: Any) -> Answer:
    """An answer to a leased item: a label unless another verdict is given."""
    given = {"event_id": new_event(), "verdict": "label", **more}
    given["class_id"] = class_id if given["verdict"] == "label" else None
    return Answer(assignment_id=claim.assignment_id, token=claim.token, **given)
