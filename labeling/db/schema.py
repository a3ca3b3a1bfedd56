"""The tables. Annotations are append-only; labels, model versions, rankings and queues can be rebuilt from them.

Times are seconds since the epoch (UTC) as floats, so that they compare alike in SQLite and PostgreSQL.
"""

import time
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Enum, Index, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel


class Role(StrEnum):
    """A person's role in a project, weakest first."""

    ANNOTATOR = "annotator"
    EXPERT = "expert"
    OWNER = "owner"


class Verdict(StrEnum):
    """What an annotation says. `undo` withdraws the annotation that it supersedes."""

    LABEL = "label"
    SKIP = "skip"
    UNSURE = "unsure"
    UNDO = "undo"


class Reason(StrEnum):
    """Why an item was asked."""

    STRATEGY = "strategy"
    AUDIT = "audit"
    GOLD = "gold"
    OVERLAP = "overlap"
    REVIEW = "review"


class Lease(StrEnum):
    """State of an assignment. A leased one whose expiry has passed is lapsed, whatever this column says."""

    LEASED = "leased"
    ANSWERED = "answered"
    RELEASED = "released"


class Source(StrEnum):
    """Where a label comes from."""

    SINGLE = "single"
    CONSENSUS = "consensus"
    ADJUDICATED = "adjudicated"
    MACHINE = "machine"
    IMPORTED = "imported"


class Origin(StrEnum):
    """How an annotation came about: one item asked, a whole screen confirmed, brought along by an import, or decided in
    a review. A decision is an adjudication: it beats all answers.
    """

    ASKED = "asked"
    GRID = "grid"
    IMPORTED = "imported"
    REVIEW = "review"


class Method(StrEnum):
    """How a label was derived from several answers; see `labeling.annotation.weighing`."""

    MAJORITY = "majority"
    DAWID_SKENE = "dawid_skene"
    DIFFICULTY = "difficulty"
    CROWDLAB = "crowdlab"


class ModelState(StrEnum):
    """One model version of a project is live; the earlier ones are retired."""

    LIVE = "live"
    RETIRED = "retired"


class JobKind(StrEnum):
    """What the worker does."""

    IMPORT = "import"
    ENCODE = "encode"
    TRAIN = "train"
    SIMULATE = "simulate"
    EMBED = "embed"
    TUNE = "tune"
    WEIGH = "weigh"


class JobState(StrEnum):
    """Life of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


def _json() -> Any:
    return Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


def _word(kind: type[StrEnum], **options: Any) -> Any:
    """A column of one of `kind`'s words, stored as the word itself: no database type to migrate."""
    stored = Enum(kind, native_enum=False, length=16, values_callable=lambda words: [word.value for word in words])
    return Field(sa_type=stored, nullable=False, **options)


class User(SQLModel, table=True):
    """A person (or a program acting as one).

    Whoever has neither a password nor a subject does not sign in: the local user, and bearers of tokens alone.
    """

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, index=True)
    created: float = Field(default_factory=time.time)
    password: str | None = None  # its Argon2 hash
    subject: str | None = Field(
        default=None, unique=True, index=True
    )  # who an identity provider says it is: issuer and subject
    administers: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # owns the workspace
    disabled: float | None = None  # since when it may do nothing


class SignIn(SQLModel, table=True):
    """One browser of a user that is signed in; only the SHA-256 of what its cookie says is kept."""

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user.id", index=True)
    digest: str = Field(unique=True, index=True)
    created: float = Field(default_factory=time.time)
    seen: float = Field(default_factory=time.time)
    expires: float
    ended: float | None = None
    browser: str = ""


class Invitation(SQLModel, table=True):
    """A link by which one person may join; only the SHA-256 of its secret is kept."""

    id: int | None = Field(default=None, primary_key=True)
    digest: str = Field(unique=True, index=True)
    project_id: int | None = Field(default=None, foreign_key="project.id", index=True)
    role: Role = _word(Role, default=Role.ANNOTATOR)
    invited_by: int = Field(foreign_key="user.id")
    note: str = ""  # whom it is for, in the words of who invited
    created: float = Field(default_factory=time.time)
    expires: float
    used: float | None = None
    user_id: int | None = Field(default=None, foreign_key="user.id")  # who came
    revoked: float | None = None


class FailedSignIn(SQLModel, table=True):
    """How often signing in failed in a row, under one name or from one address, and until when it has to wait."""

    key: str = Field(primary_key=True)
    failures: int = 0
    last: float = Field(default_factory=time.time)
    wait_until: float = 0.0


class ApiToken(SQLModel, table=True):
    """A bearer token of a user; only its SHA-256 is kept."""

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user.id", index=True)
    digest: str = Field(unique=True, index=True)
    created: float = Field(default_factory=time.time)
    revoked: float | None = None


class Project(SQLModel, table=True):
    """One labeling task. `settings` is a `labeling.projects.Settings`."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, index=True)
    task: str = "single-label"
    guidelines: str = ""
    settings: dict[str, Any] = _json()
    schema_version: int = 1
    created: float = Field(default_factory=time.time)


class Membership(SQLModel, table=True):
    """A user's role in a project."""

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    user_id: int = Field(foreign_key="user.id", primary_key=True)
    role: Role = _word(Role)
    set_aside: float | None = None  # since when the person's answers count for nothing
    removed: float | None = None  # since when the person is no member any more; `labeling.users.require` asks


class LabelClass(SQLModel, table=True):
    """A class; its id is stable, so renaming, reordering, merging and retiring touch no annotation."""

    __table_args__ = (UniqueConstraint("project_id", "name"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    name: str
    description: str = ""
    key: str | None = None
    prompts: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    colour: str | None = None  # "#rrggbb"
    # Ids of items that show it.
    examples: list[int] = Field(default_factory=list, sa_column=Column(JSON, nullable=False, server_default="[]"))
    position: int = 0
    retired: bool = False
    merged_into: int | None = Field(default=None, foreign_key="labelclass.id")
    # A class that was split is retired, and its answers count for nothing: its items are asked anew, among its parts.
    split: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    part_of: int | None = Field(default=None, foreign_key="labelclass.id")


_WANTED = text("wanted IS NOT NULL")


class Item(SQLModel, table=True):
    """One thing to label: an image (`media`, a content hash), a text, or the fields of a table row."""

    __table_args__ = (
        UniqueConstraint("project_id", "external_id"),
        UniqueConstraint("project_id", "row"),
        Index("ix_item_open", "project_id", "answers", "content_hash"),
        # Of few items: more would make a large import slow. The second column is what SQLite prefers them for to the
        # indexes of all items of a project.
        Index("ix_item_wanted", "project_id", "wanted", sqlite_where=_WANTED, postgresql_where=_WANTED),
        Index("ix_item_gold", "project_id", "gold", sqlite_where=text("gold = 1"), postgresql_where=text("gold")),
        Index(
            "ix_item_disputed", "project_id", "disputed",
            sqlite_where=text("disputed = 1"), postgresql_where=text("disputed"),
        ),
    )  # fmt: skip

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    external_id: str
    content_hash: str
    media: str | None = None
    text: str | None = None
    fields: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    meta: dict[str, Any] = _json()
    row: int  # of the feature matrix
    answers: int = 0  # standing annotations that label it and count; derived
    wanted: int | None = None  # how many there should be, where that is not the project's overlap; derived
    disputed: bool = Field(
        default=False, sa_column_kwargs={"server_default": false()}
    )  # answers name several classes, some perhaps merged since; derived
    gold: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # asked again, to check people
    import_job_id: int | None = Field(default=None, foreign_key="job.id")
    known_class_id: int | None = Field(
        default=None, foreign_key="labelclass.id"
    )  # an oracle's; never trained on or shown
    # A 64-bit fingerprint: items that look or read alike differ in few bits. `near_id` is the first of such a group.
    fingerprint: int | None = Field(default=None, sa_type=BigInteger)
    near_id: int | None = Field(default=None, foreign_key="item.id", index=True)
    created: float = Field(default_factory=time.time)


_LEASED = text("state = 'leased'")


class Assignment(SQLModel, table=True):
    """One person's lease on one item."""

    __table_args__ = (
        # Of the leases that run, or lapsed: what was answered is found by its id alone.
        Index("ix_assignment_leased", "item_id", "user_id", sqlite_where=_LEASED, postgresql_where=_LEASED),
        Index("ix_assignment_held", "user_id", "project_id", sqlite_where=_LEASED, postgresql_where=_LEASED),
    )

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    item_id: int = Field(foreign_key="item.id")
    user_id: int = Field(foreign_key="user.id")
    client: str | None = None  # the browser tab that holds it
    token: str  # fencing token: checked at submit
    state: Lease = _word(Lease, default=Lease.LEASED)
    expires: float
    reason: Reason = _word(Reason, default=Reason.STRATEGY)
    why: str = ""
    utility: float | None = None
    propensity: float | None = None
    ranking_id: int | None = Field(default=None, foreign_key="ranking.id")
    model_version_id: int | None = Field(default=None, foreign_key="modelversion.id")
    suggestion_class_id: int | None = Field(default=None, foreign_key="labelclass.id")
    suggestion_confidence: float | None = None
    suggestion_shown: bool = False
    created: float = Field(default_factory=time.time)


_UNSURE, _DECISION = text("verdict = 'unsure'"), text("origin = 'review'")


class Annotation(SQLModel, table=True):
    """One person's answer. Rows are only ever added, so the answers as they stood at any moment are
    those with `seq` up to that moment's that no row up to that moment supersedes.
    """

    __table_args__ = (
        UniqueConstraint("id"),
        Index("ix_annotation_item_user", "item_id", "user_id"),
        # What waits for an expert, or was decided by one: of few answers.
        Index("ix_annotation_unsure", "project_id", "verdict", sqlite_where=_UNSURE, postgresql_where=_UNSURE),
        Index(
            "ix_annotation_flagged", "project_id", "flagged",
            sqlite_where=text("flagged = 1"), postgresql_where=text("flagged"),
        ),
        Index("ix_annotation_decision", "project_id", "origin", sqlite_where=_DECISION, postgresql_where=_DECISION),
    )  # fmt: skip

    seq: int | None = Field(default=None, primary_key=True)
    id: str = Field(max_length=64)  # the client's event id
    project_id: int = Field(foreign_key="project.id", index=True)
    item_id: int = Field(foreign_key="item.id")
    user_id: int = Field(foreign_key="user.id", index=True)
    verdict: Verdict = _word(Verdict)
    class_id: int | None = Field(default=None, foreign_key="labelclass.id")
    note: str = ""
    flagged: bool = False
    assignment_id: int | None = Field(default=None, foreign_key="assignment.id")
    model_version_id: int | None = Field(default=None, foreign_key="modelversion.id")
    suggestion_class_id: int | None = Field(default=None, foreign_key="labelclass.id")
    suggestion_shown: bool = False
    seconds: float | None = None
    created: float = Field(default_factory=time.time)
    supersedes: str | None = Field(default=None, foreign_key="annotation.id", unique=True)
    origin: Origin = _word(Origin, default=Origin.ASKED, sa_column_kwargs={"server_default": Origin.ASKED.value})
    batch: str | None = Field(default=None, max_length=64, index=True)  # of answers given, and undone, in one step


class Label(SQLModel, table=True):
    """An item's agreed class; derived from its standing annotations."""

    item_id: int = Field(foreign_key="item.id", primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    class_id: int = Field(foreign_key="labelclass.id")
    confidence: float
    source: Source = _word(Source)
    answers: int
    method: Method = _word(Method, default=Method.MAJORITY, sa_column_kwargs={"server_default": Method.MAJORITY.value})
    # How likely each class is, by id, where the answers were weighed; those that hardly are have no place.
    distribution: dict[str, float] | None = Field(default=None, sa_column=Column(JSON))


class Doubt(SQLModel, table=True):
    """An item whose label may be wrong, by all that people and the model say; derived."""

    item_id: int = Field(foreign_key="item.id", primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    score: float  # the probability that the label is wrong
    class_id: int | None = Field(default=None, foreign_key="labelclass.id")  # what it would be instead
    why: str = ""
    worth: float = 0.0  # of another opinion, where one is wanted: labels that it is expected to put right
    stuck: bool = False  # whether it has all the answers that it may have, and is still not sure
    objects: bool = False  # whether a model that has not seen the label finds another class likelier


class Reliability(SQLModel, table=True):
    """What is known of a person's answers in a project, as a round of weighing finds it; derived."""

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    user_id: int = Field(foreign_key="user.id", primary_key=True)
    accuracy: float | None = None  # how often an answer is right; None where nothing tells
    flagged: bool = False  # careless
    figures: dict[str, Any] = _json()
    computed: float = Field(default_factory=time.time)


class Comment(SQLModel, table=True):
    """One contribution to the thread of an item; where it names a person, the item was sent back to them."""

    id: int | None = Field(default=None, primary_key=True)
    event_id: str = Field(unique=True, max_length=64)  # made by the client, so that repeating it adds nothing
    project_id: int = Field(foreign_key="project.id", index=True)
    item_id: int = Field(foreign_key="item.id", index=True)
    user_id: int = Field(foreign_key="user.id")
    text: str
    returned_to: int | None = Field(default=None, foreign_key="user.id", index=True)
    done: float | None = None  # when that person answered anew, or the item was decided
    created: float = Field(default_factory=time.time)


class ModelVersion(SQLModel, table=True):
    """A trained head. It saw the labels that stood after annotation `annotation_seq`."""

    __table_args__ = (UniqueConstraint("project_id", "number"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    number: int
    state: ModelState = _word(ModelState)
    encoder: str
    feature_version: str
    annotation_seq: int
    annotation_hash: str
    labels: int
    code_version: str
    seed: int
    hyperparameters: dict[str, Any] = _json()
    metrics: dict[str, Any] = _json()
    path: str | None = None  # of the head, inside the workspace
    seconds: float = 0.0
    created: float = Field(default_factory=time.time)


class Ranking(SQLModel, table=True):
    """Candidates in order of utility under one model version (none: before the first). The newest is live."""

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    model_version_id: int | None = Field(default=None, foreign_key="modelversion.id")
    strategy: str
    phase: str = ""
    annotation_seq: int
    candidates: int
    created: float = Field(default_factory=time.time)


class QueueEntry(SQLModel, table=True):
    """One item of the head of the live ranking."""

    ranking_id: int = Field(foreign_key="ranking.id", primary_key=True)
    position: int = Field(primary_key=True)
    item_id: int = Field(foreign_key="item.id")
    utility: float
    reason: Reason = _word(Reason, default=Reason.STRATEGY, sa_column_kwargs={"server_default": Reason.STRATEGY.value})
    why: str = ""
    suggestion_class_id: int | None = None
    suggestion_confidence: float | None = None


class Worker(SQLModel, table=True):
    """A worker process and when it was last heard of."""

    id: str = Field(primary_key=True)
    pid: int
    host: str
    started: float = Field(default_factory=time.time)
    heartbeat: float = Field(default_factory=time.time)


_WAITING = text("state = 'queued' AND kind <> 'import'")


class Job(SQLModel, table=True):
    """Work for the worker. At most one job of a kind waits per project, but for imports, which line up."""

    __table_args__ = (
        Index("one_waiting_job", "project_id", "kind", unique=True, sqlite_where=_WAITING, postgresql_where=_WAITING),
    )

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    user_id: int | None = Field(default=None, foreign_key="user.id")
    kind: JobKind = _word(JobKind)
    state: JobState = _word(JobState, default=JobState.QUEUED, index=True)
    payload: dict[str, Any] = _json()
    progress: float = 0.0
    message: str = ""
    error: str = ""
    report: dict[str, Any] = _json()
    worker_id: str | None = None
    heartbeat: float | None = None
    created: float = Field(default_factory=time.time)
    started: float | None = None
    finished: float | None = None


class Event(SQLModel, table=True):
    """The audit log: who did what, when."""

    id: int | None = Field(default=None, primary_key=True)
    project_id: int | None = Field(default=None, foreign_key="project.id", index=True)
    user_id: int | None = Field(default=None, foreign_key="user.id")
    kind: str
    detail: dict[str, Any] = _json()
    created: float = Field(default_factory=time.time)
