"""A class made several while people label: its answers stay, and its items are asked anew, among its parts."""

from collections.abc import Sequence

from sqlmodel import Session, col, update

from labeling.annotation.consensus import settle_answers
from labeling.classes import (
    ClassDetail,
    add_classes,
    changed,
    classes_of,
    detail_of,
    own_class,
    suggest_instead,
    with_merged,
)
from labeling.db.engine import writing
from labeling.db.schema import LabelClass
from labeling.db.values import clean_name
from labeling.errors import Invalid
from labeling.workspace import Workspace


def split_class(workspace: Workspace, actor_id: int, class_id: int, parts: Sequence[str]) -> list[ClassDetail]:
    """Let several classes take the place of one; returns these.

    Every answer that chose it stays, with its history, but counts for nothing: people are asked those items again, also
    those whom they were asked of before, and what they answer then takes the place of their earlier answer. A part may
    be a class that there is already. `labeling.annotation.merging.restore_class` brings the class and its answers back.

    Raises
    ------
    Invalid
        If there are fewer than two parts, one is named twice or is the class itself, or the class was merged or split.
    NotFound, NotAllowed
        If there is no such class in a project that the acting user owns.
    """
    with writing(workspace.engine) as session:
        divided = own_class(session, actor_id, class_id)
        there = {c.name: c for c in classes_of(session, divided.project_id)}
        names = [clean_name(name, "A class needs a name.") for name in parts]
        _check(session, divided, names, there)
        add_classes(session, divided.project_id, [name for name in names if name not in there])
        divided.retired = True
        set_split(session, divided, True)
        made = [c for c in classes_of(session, divided.project_id) if c.name in names]
        for part in made:
            if part.name not in there:
                part.part_of = class_id
        settle_answers(session, divided.project_id, with_merged(session, divided))
        suggest_instead(session, divided, None)
        detail = {"id": class_id, "name": divided.name, "parts": names}
        changed(session, actor_id, divided, "class split", detail, learn=True)
        return [detail_of(session, part) for part in sorted(made, key=lambda part: names.index(part.name))]


def _check(session: Session, divided: LabelClass, names: list[str], there: dict[str, LabelClass]) -> None:
    """Say what to do where the class cannot be split into these."""
    if divided.merged_into is not None:
        into = session.get_one(LabelClass, divided.merged_into).name
        raise Invalid(f"“{divided.name}” was merged into “{into}”; bring it back first, or split that one.")
    if divided.split:
        raise Invalid(f"“{divided.name}” was split before; split one of its parts, or bring it back first.")
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise Invalid(f"“{divided.name}” is split into two classes or more; name each of them once.")
    if divided.name in names:
        raise Invalid(f"“{divided.name}” cannot be a part of itself; rename it first, or choose another name.")
    for name in names:
        if name in there and (there[name].retired or there[name].merged_into is not None):
            raise Invalid(f"“{name}” cannot be chosen by people; bring it back first, or choose another name.")


def set_split(session: Session, divided: LabelClass, split: bool) -> None:
    """Say of a class, and of those that were merged into it, whether its answers count for nothing."""
    marked = col(LabelClass.id).in_(with_merged(session, divided))
    session.exec(update(LabelClass).where(marked).values(split=split))
    session.flush()
    session.expire_all()
