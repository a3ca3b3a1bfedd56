"""A project of digits that two people have answered, who did not always agree, or were unsure, or flagged some."""

from dataclasses import dataclass
from typing import Any

from sqlmodel import col, select

from labeling.annotation import answers, queue
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Item, Label, Origin, Role, User
from labeling.projects import create_project
from labeling.users import grant, local_user
from labeling.workspace import Workspace
from tests.db.small_project import answer_to
from tests.serving import add_items, class_ids

NAMES = ("Ann Kowalski", "Bob")


@dataclass(frozen=True)
class Disputed:
    """The project, its classes by name, and the items, by id, that people disagree on, are unsure of, or flagged."""

    workspace: Workspace
    id: int
    classes: dict[str, int]
    truth: dict[int, str]
    disagreed: list[int]
    unsure: list[int]
    flagged: list[int]

    @classmethod
    def make(
        cls,
        workspace: Workspace,
        name: str,
        *,
        items: int = 18,
        disagreed: int = 10,
        unsure: int = 1,
        flagged: int = 1,
        **settings: Any,
    ) -> "Disputed":
        """Make it, with the local user as its owner."""
        me = local_user(workspace)
        people = [user_id(workspace, person) for person in NAMES]
        digits = [str(digit) for digit in range(10)]
        made = create_project(workspace, me, name, digits, settings={"overlap": 2, "gold_share": 0.0, **settings})
        with writing(workspace.engine) as session:
            for person in people:
                grant(session, made, person, Role.ANNOTATOR)
        add_items(workspace, made, items)
        with reading(workspace.engine) as session:
            pool = session.exec(select(Item).where(Item.project_id == made).order_by(col(Item.id))).all()
            truth = {item.id: item.external_id.split("-")[0] for item in pool if item.id is not None}
        ids = list(truth)
        ends = [disagreed, disagreed + unsure, disagreed + unsure + flagged]
        self = cls(
            workspace, made, class_ids(workspace, made), truth, ids[: ends[0]], ids[ends[0] : ends[1]],
            ids[ends[1] : ends[2]],
        )  # fmt: skip
        for person in people:
            self._answer(person, contrary=person == people[1])
        return self

    def wrong(self, item: int) -> str:
        """What the second person takes a digit for."""
        return str((int(self.truth[item]) + 3) % 10)

    def _answer(self, person: int, *, contrary: bool) -> None:
        given = []
        for claim in queue.claim(self.workspace, person, self.id, 200):
            item, more = claim.item.id, {"seconds": 1.5}
            said = self.classes[self.truth[item]]
            if contrary and item in self.disagreed:
                said = self.classes[self.wrong(item)]
            if contrary and item in self.unsure:
                more |= {"verdict": "unsure", "note": "too faint"}
            if contrary and item in self.flagged:
                more |= {"flagged": True, "note": "smudged"}
            given.append(answer_to(claim, said, **more))
        outcomes = answers.submit(self.workspace, person, given)
        assert {outcome.status for outcome in outcomes} == {"saved"}

    def decisions(self) -> dict[int, str | None]:
        """The class of each item that an expert has decided on; None where it cannot be told."""
        names = {class_id: name for name, class_id in self.classes.items()}
        superseded = select(Annotation.supersedes).where(col(Annotation.supersedes).is_not(None))
        query = select(Annotation).where(Annotation.project_id == self.id, Annotation.origin == Origin.REVIEW)
        with reading(self.workspace.engine) as session:
            standing = session.exec(query.where(col(Annotation.id).not_in(superseded))).all()
            return {each.item_id: None if each.class_id is None else names[each.class_id] for each in standing}

    def label(self, item: int) -> Label | None:
        """The label of an item."""
        with reading(self.workspace.engine) as session:
            return session.get(Label, item)

    def gold(self) -> list[int]:
        """The gold items."""
        with reading(self.workspace.engine) as session:
            query = select(Item.id).where(Item.project_id == self.id, col(Item.gold).is_(True))
            return [item for item in session.exec(query).all() if item is not None]


def user_id(workspace: Workspace, name: str) -> int:
    """The id of the user of this name, who is made where there is none."""
    with writing(workspace.engine) as session:
        user = session.exec(select(User).where(User.name == name)).first()
        if user is None:
            user = User(name=name)
            session.add(user)
            session.flush()
        assert user.id is not None
        return user.id
