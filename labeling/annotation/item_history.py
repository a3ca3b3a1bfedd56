"""Every answer that an item was ever given, for experts: those that were superseded or withdrawn too."""

from pydantic import BaseModel
from sqlmodel import col, select

from labeling.annotation.adjudication import item_of
from labeling.annotation.threads import names_in_review
from labeling.classes import classes_of, stands_for
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Origin, Role, Verdict
from labeling.users import require
from labeling.workspace import Workspace


class GivenOnce(BaseModel):
    """One annotation: an answer, a decision, or the undo of one.

    Attributes
    ----------
    person : str
        A number in place of the name where the project is reviewed blind, as in Review.
    class_name : str or None
        What the chosen class is called today.
    counts_as : str or None
        The class that it was merged into since, by name.
    supersedes, superseded_by : str or None
        Event ids of the annotation that this one takes the place of (an undo: withdraws), and the other way round.
    """

    event_id: str
    person: str
    mine: bool
    verdict: Verdict
    class_id: int | None
    class_name: str | None
    counts_as: str | None
    note: str
    flagged: bool
    origin: Origin
    seconds: float | None
    created: float
    supersedes: str | None
    superseded_by: str | None


def read_item_history(workspace: Workspace, actor_id: int, project_id: int, item_id: int) -> list[GivenOnce]:
    """What was ever said of an item, in the order in which it was saved.

    Raises
    ------
    NotFound, NotAllowed
        If the item is none of the project's, or the acting user is no expert of it.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.EXPERT)
        item_of(session, project_id, item_id)
        people = names_in_review(session, actor_id, project_id)
        classes = classes_of(session, project_id)
        names, living = {c.id: c.name for c in classes}, stands_for(classes)
        query = select(Annotation).where(Annotation.item_id == item_id).order_by(col(Annotation.seq))
        given = session.exec(query).all()
        later = {each.supersedes: each.id for each in given if each.supersedes is not None}
        history = []
        for each in given:
            chosen = each.class_id
            merged = chosen is not None and living[chosen] != chosen
            history.append(
                GivenOnce(
                    event_id=each.id, person=people.get(each.user_id, ""), mine=each.user_id == actor_id,
                    class_name=None if chosen is None else names[chosen],
                    counts_as=names[living[chosen]] if chosen is not None and merged else None,
                    superseded_by=later.get(each.id),
                    **each.model_dump(
                        include={
                            "verdict", "class_id", "note", "flagged", "origin", "seconds", "created", "supersedes"
                        }
                    ),
                )
            )  # fmt: skip
        return history
