"""The items behind a figure: which answers a point, a bar or a cell on Insights is made of."""

from typing import Annotated, Any, ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from labeling.annotation.consensus import labels_seen
from labeling.annotation.threads import names_seen
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Item, Label, Membership, Origin, Reason, Role, Verdict
from labeling.db.values import Id
from labeling.errors import Invalid
from labeling.learning.history import NOBODY, History, read_history
from labeling.learning.pace import IDLE_SECONDS
from labeling.users import require, sees_everyone
from labeling.workspace import Workspace

MOST = 100  # items at a time


class _Figure(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    seen_by: ClassVar[Role] = Role.ANNOTATOR  # and whoever may do more

    def role_of(self, actor_id: int) -> Role:
        """What the acting user has to be: an expert, for a figure of somebody else."""
        return Role.EXPERT if getattr(self, "user_id", None) not in (None, actor_id) else self.seen_by


class Met(_Figure):
    """A dot of the learning curve: the answers that versions `first` to `last` met; right or wrong ones, or all."""

    kind: Literal["met"] = "met"
    first: int
    last: int
    right: bool | None = None

    def pick(self, _session: Session, history: History) -> pd.DataFrame:
        """The answers behind it."""
        met = history.judged[history.judged["version"].between(self.first, self.last)]
        return met if self.right is None else met[met["right"] == self.right]


class OfClass(_Figure):
    """A bar of the class balance: the items whose label is this class."""

    kind: Literal["class"] = "class"
    class_id: Id

    def pick(self, session: Session, history: History) -> pd.DataFrame:
        """The answers behind it."""
        labeled = session.exec(select(Label.item_id).where(Label.class_id == self.class_id)).all()
        return history.labels[history.labels["item"].isin(set(labeled))]


class Confused(_Figure):
    """A cell of the confusion matrix: the model said `suggested`, a person said `answered`."""

    kind: Literal["confused"] = "confused"
    suggested: Id
    answered: Id

    def pick(self, _session: Session, history: History) -> pd.DataFrame:
        """The answers behind it."""
        said = history.judged
        return said[(said["suggested"] == self.suggested) & (said["class_id"] == self.answered)]


class By(_Figure):
    """A person's answers."""

    kind: Literal["by"] = "by"
    user_id: Id

    def pick(self, _session: Session, history: History) -> pd.DataFrame:
        """The answers behind it."""
        return history.given[history.given["user"] == self.user_id]


class During(_Figure):
    """A bar of the labels over time: the answers from `start` to `end` (seconds since the epoch, the end left out)."""

    kind: Literal["during"] = "during"
    start: float
    end: float

    def pick(self, _session: Session, history: History) -> pd.DataFrame:
        """The answers behind it."""
        created = history.given["created"]
        return history.given[(created >= self.start) & (created < self.end)]


class Took(_Figure):
    """A bar of the time per item: the answers that took from `low` to `high` seconds, of one person or all."""

    kind: Literal["took"] = "took"
    low: float
    high: float
    user_id: Id | None = None

    def pick(self, _session: Session, history: History) -> pd.DataFrame:
        """The answers behind it."""
        answers = history.answers[history.answers["origin"] == Origin.ASKED]
        seconds = answers["seconds"]
        picked = answers[(seconds >= self.low) & (seconds < self.high) & (seconds <= IDLE_SECONDS)]
        return picked if self.user_id is None else picked[picked["user"] == self.user_id]


class Between(_Figure):
    """The answers of two people to the items that both have answered; those on which they agree, or do not, or all."""

    seen_by = Role.EXPERT
    kind: Literal["between"] = "between"
    first: Id
    second: Id
    agree: bool | None = None

    def pick(self, session: Session, history: History) -> pd.DataFrame:
        """The answers behind it."""
        said = shared_answers(session, history)
        said = said[said["user"].isin([self.first, self.second])]
        said = said[said.groupby("item")["user"].transform("size") == 2]
        same = said.groupby("item")["class_id"].transform("nunique") == 1
        return said if self.agree is None else said[same == self.agree]


class Taken(_Figure):
    """The answers to the items of which somebody said one class and somebody else the other."""

    seen_by = Role.EXPERT
    kind: Literal["taken"] = "taken"
    one: Id
    other: Id

    def pick(self, session: Session, history: History) -> pd.DataFrame:
        """The answers behind it."""
        said = shared_answers(session, history)
        said = said[said["class_id"].isin([self.one, self.other])]
        return said[said.groupby("item")["class_id"].transform("nunique") == 2]


class Shared(_Figure):
    """The answers to the items that several people have answered, the newest from `start` to `end`; those of which
    somebody said this class, and those on which they do not agree.
    """

    seen_by = Role.EXPERT
    kind: Literal["shared"] = "shared"
    start: float | None = None
    end: float | None = None
    class_id: Id | None = None
    disagree: bool = False

    def pick(self, session: Session, history: History) -> pd.DataFrame:
        """The answers behind it."""
        said = shared_answers(session, history)
        of = said.groupby("item")
        if self.start is not None and self.end is not None:
            said = said[of["created"].transform("max").between(self.start, self.end)]
        if self.class_id is not None:
            said = said[said["item"].isin(said.loc[said["class_id"] == self.class_id, "item"])]
        if self.disagree:
            said = said[said.groupby("item")["class_id"].transform("nunique") > 1]
        return said


class Checked(_Figure):
    """A person's answers to the gold items that they were checked by; right or wrong ones, or all."""

    seen_by = Role.EXPERT
    kind: Literal["checked"] = "checked"
    user_id: Id
    right: bool | None = None

    def pick(self, _session: Session, history: History) -> pd.DataFrame:
        """The answers behind it."""
        said = history.given
        said = said[(said["user"] == self.user_id) & (said["reason"] == Reason.GOLD)]
        decided = history.labels[history.labels["origin"] == Origin.REVIEW]
        known = said["item"].map(decided.drop_duplicates("item", keep="last").set_index("item")["class_id"])
        said = said[(said["verdict"] == Verdict.LABEL) & known.notna()]
        return said if self.right is None else said[(said["class_id"] == known[said.index]) == self.right]


Which = Annotated[
    Met | OfClass | Confused | By | During | Took | Between | Taken | Shared | Checked, Field(discriminator="kind")
]


class GivenAnswer(BaseModel):
    """One answer, beside what the model had suggested."""

    event_id: str
    person: str
    mine: bool
    verdict: Verdict
    class_id: int | None
    answer: str  # the class's name, or the verdict
    suggestion: str | None
    confidence: float | None
    right: bool | None  # None where the suggestion cannot be judged by this answer
    version: int | None
    seconds: float | None
    created: float
    origin: Origin
    note: str
    flagged: bool


class BehindItem(BaseModel):
    """An item behind a figure, and the answers that put it there, the newest first."""

    item_id: int
    external_id: str
    media_url: str | None
    text: str | None
    fields: dict[str, Any] | None
    label: str | None
    answers: list[GivenAnswer]


class Behind(BaseModel):
    """Some of the items behind a figure, the last answered first.

    `hidden` more are there only through other people's answers, which experts and owners see.
    """

    items: list[BehindItem]
    total: int
    hidden: int


def items_behind(
    workspace: Workspace, actor_id: int, project_id: int, which: Which, offset: int = 0, limit: int = 24
) -> Behind:
    """The items behind a figure. Annotators see those that they answered themselves; experts and owners see all.

    Raises
    ------
    NotFound, NotAllowed
        If the user is no member of the project, or no expert where the figure tells of others.
    Invalid
        If `offset` or `limit` is out of bounds.
    """
    if offset < 0 or not 1 <= limit <= MOST:
        raise Invalid(f"Ask for 1 to {MOST} items at a time, from the first or a later one on.")
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, which.role_of(actor_id))
        history = read_history(session, project_id)
        picked = which.pick(session, history)
        everything = picked["item"].nunique()
        if not sees_everyone(session, actor_id, project_id):
            picked = picked[picked["user"] == actor_id]
        newest = picked.groupby("item")["seq"].max().sort_values(ascending=False)
        page = [int(item) for item in newest.index[offset : offset + limit]]
        answers = picked[picked["item"].isin(page)].sort_values("seq", ascending=False)
        return Behind(
            items=_items(session, history, page, answers, actor_id), total=len(newest), hidden=everything - len(newest)
        )


def shared_answers(session: Session, history: History) -> pd.DataFrame:
    """The answers that name a class to items which two people or more have answered, without those set aside, imported
    ones, experts' decisions, and those that chose a class which was split since.
    """
    aside = select(Membership.user_id).where(
        Membership.project_id == history.project_id, col(Membership.set_aside).is_not(None)
    )
    said = history.labels
    said = said[~said["class_id"].isin({c.id for c in history.classes if c.split})]
    said = said[~said["origin"].isin([Origin.IMPORTED, Origin.REVIEW])]
    said = said[~said["user"].isin(set(session.exec(aside).all()))].drop_duplicates(["item", "user"], keep="last")
    return said[said.groupby("item")["user"].transform("size") > 1]


def _items(
    session: Session, history: History, page: list[int], answers: pd.DataFrame, actor_id: int
) -> list[BehindItem]:
    names, people = history.class_names, names_seen(session, actor_id, history.project_id)
    items = {item.id: item for item in session.exec(select(Item).where(col(Item.id).in_(page))).all()}
    labels = labels_seen(session, actor_id, history.project_id, page)
    query = select(Annotation).where(col(Annotation.seq).in_([int(seq) for seq in answers["seq"]]))
    stored = {annotation.seq: annotation for annotation in session.exec(query).all()}
    given: dict[int, list[GivenAnswer]] = {item: [] for item in page}
    for row in answers.to_dict("records"):
        annotation = stored[row["seq"]]
        class_id = row["class_id"] if row["class_id"] != NOBODY else None
        suggested = row["suggested"] if row["suggested"] != NOBODY else None
        given[row["item"]].append(
            GivenAnswer(
                event_id=annotation.id, person=people.get(row["user"], ""), mine=row["user"] == actor_id,
                verdict=annotation.verdict, class_id=class_id,
                answer=annotation.verdict if class_id is None else names.get(class_id, ""),
                suggestion=None if suggested is None else names.get(suggested, ""),
                confidence=None if pd.isna(row["confidence"]) else row["confidence"],
                right=row["right"] if row["judged"] else None,
                version=row["version"] if row["version"] != NOBODY else None,
                seconds=annotation.seconds, created=annotation.created, origin=annotation.origin,
                note=annotation.note, flagged=annotation.flagged,
            )
        )  # fmt: skip
    return [
        BehindItem(
            item_id=item_id, external_id=items[item_id].external_id,
            media_url=f"/api/v1/items/{item_id}/media" if items[item_id].media else None,
            text=items[item_id].text, fields=items[item_id].fields, label=names.get(labels.get(item_id, NOBODY)),
            answers=given[item_id],
        )
        for item_id in page
    ]  # fmt: skip
