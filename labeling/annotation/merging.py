"""Two classes made one while people label, and taken apart again: annotations stay, labels are derived anew.

An answer that is under way for a class which was merged meanwhile is taken as one for what that class stands for; see
`labeling.annotation.answers`.
"""

from sqlmodel import Session

from labeling.annotation.consensus import live_class, settle_answers
from labeling.annotation.splitting import set_split
from labeling.classes import (
    ClassDetail,
    changed,
    detail_of,
    give_key,
    own_class,
    suggest_instead,
    with_merged,
)
from labeling.db.engine import writing
from labeling.db.schema import LabelClass
from labeling.errors import Invalid
from labeling.workspace import Workspace


def merge_class(workspace: Workspace, actor_id: int, class_id: int, into: int) -> ClassDetail:
    """Let a class stand for another one from now on; returns the other one.

    Every answer that chose it counts as the other class, for labels, for the model and in exports, and so do the
    classes that had been merged into it. `restore_class` takes them apart again. A class that is retired may be
    merged; one that people cannot choose is nothing to merge into.

    Raises
    ------
    Invalid
        If the two are one class, or the one was merged or split before, or the other one cannot be chosen.
    NotFound, NotAllowed
        If one of them is no class of a project that the acting user owns, or they are of two projects.
    """
    with writing(workspace.engine) as session:
        merged = own_class(session, actor_id, class_id)
        target = own_class(session, actor_id, into)
        _check(session, merged, target)
        merged.merged_into = into
        session.flush()
        settle_answers(session, merged.project_id, with_merged(session, merged))
        suggest_instead(session, merged, into)
        detail = {"id": class_id, "name": merged.name, "into": into, "into_name": target.name}
        changed(session, actor_id, merged, "class merged", detail, learn=True)
        return detail_of(session, target)


def restore_class(workspace: Workspace, actor_id: int, class_id: int) -> ClassDetail:
    """Let a class be chosen again that was merged, split or retired: answers that chose it count as it again.

    It keeps its key where no other class has it by now, and gets the next free one otherwise.

    Raises
    ------
    NotFound, NotAllowed
        If there is no such class in a project that the acting user owns.
    """
    with writing(workspace.engine) as session:
        restored = own_class(session, actor_id, class_id)
        if restored.retired or restored.merged_into is not None:
            counted_otherwise = restored.split or restored.merged_into is not None
            give_key(session, restored)
            restored.retired, restored.merged_into = False, None
            if restored.split:
                set_split(session, restored, False)
            session.flush()
            if counted_otherwise:
                settle_answers(session, restored.project_id, with_merged(session, restored))
            detail = {"id": class_id, "name": restored.name}
            changed(session, actor_id, restored, "class restored", detail, learn=True)
        return detail_of(session, restored)


def _check(session: Session, merged: LabelClass, target: LabelClass) -> None:
    """Say what to do where one class cannot be merged into the other."""
    if merged is target:
        raise Invalid(f"“{merged.name}” cannot be merged into itself; choose another class.")
    if merged.project_id != target.project_id:
        raise Invalid(f"“{target.name}” is a class of another project; choose one of the same project.")
    if merged.split:
        raise Invalid(f"“{merged.name}” was split, and its answers count for nothing; bring it back first.")
    if merged.merged_into is not None:
        into = session.get_one(LabelClass, merged.merged_into).name
        raise Invalid(f"“{merged.name}” was merged into “{into}” before; bring it back first.")
    assert target.id is not None
    if target.merged_into is not None:
        last = session.get_one(LabelClass, live_class(session, target.id))
        if last is merged:
            raise Invalid(f"“{target.name}” was merged into “{merged.name}”; bring it back first.")
        raise Invalid(f"“{target.name}” was merged into “{last.name}”; merge “{merged.name}” into that one.")
    if target.retired:
        raise Invalid(f"“{target.name}” is retired; bring it back first, or choose another class.")
