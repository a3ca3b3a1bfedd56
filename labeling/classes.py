"""The classes of a project: added, renamed, coloured, ordered and retired while people label.

A class is a row with a stable id, so that nothing here touches an annotation. Every change raises the project's
`schema_version`, by which pages that are open learn of it. Merging, which labels are derived from, is in
`labeling.annotation.merging`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from sqlmodel import Session, col, func, select, update

from labeling import jobs
from labeling.db.engine import reading, writing
from labeling.db.schema import Event, Item, JobKind, Label, LabelClass, Project, QueueEntry, Ranking, Role
from labeling.db.values import Id, clean_name, clean_text
from labeling.errors import Invalid, NotFound
from labeling.users import require
from labeling.workspace import Workspace

KEYS = "1234567890abcdefghijklmnopqrstuvwxyz"
MAX_EXAMPLES = 12
MAX_PROMPTS, MAX_PROMPT = 20, 500  # of a class; characters of each
MAX_DESCRIPTION = 2000  # characters


def _colour(given: str | None) -> str | None:
    if given is not None and not re.fullmatch("#[0-9a-fA-F]{6}", given):
        raise ValueError("write it as in #0f766e")
    return given.lower() if given else None


def _prompts(given: list[str]) -> list[str]:
    kept = [text for each in given if (text := clean_text(each).strip())]
    if any(len(text) > MAX_PROMPT for text in kept):
        raise ValueError(f"a description has at most {MAX_PROMPT} characters")
    return list(dict.fromkeys(kept))


class ClassView(BaseModel):
    """A class to choose."""

    id: int
    name: str
    key: str | None
    description: str
    colour: str | None = None
    examples: list[int] = []
    prompts: list[str] = []


class ClassDetail(ClassView):
    """A class as those see it who keep the classes; one that is retired or merged cannot be chosen."""

    retired: bool
    merged_into: int | None
    split: bool = False  # its answers count for nothing: its items are asked anew, among its parts
    part_of: int | None = None  # the class that was split
    labels: int  # items whose label it is


class ClassItem(BaseModel):
    """An item that may show what a class is."""

    id: int
    external_id: str
    text: str | None
    fields: dict[str, Any] | None
    pictured: bool


class ClassChanges(BaseModel):
    """What becomes of a class; what is not given stays.

    Attributes
    ----------
    key : str or None
        One of `KEYS`; None, or nothing between the quotes, for none.
    take_key : bool
        Whether a class that has the key already gives it up.
    colour : str or None
        As in ``#0f766e``.
    examples : list of int
        Ids of items of the project that show it.
    prompts : list of str
        Descriptions by which an encoder that understands words knows it; its name, where there are none.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = ""
    key: str | None = None
    take_key: bool = False
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION)] = ""
    colour: Annotated[str | None, AfterValidator(_colour)] = None
    examples: Annotated[list[Id], Field(max_length=MAX_EXAMPLES)] = []
    prompts: Annotated[list[str], Field(max_length=MAX_PROMPTS), AfterValidator(_prompts)] = []


def classes_of(session: Session, project_id: int) -> list[LabelClass]:
    """The project's classes in their order, retired and merged ones too."""
    query = select(LabelClass).where(LabelClass.project_id == project_id)
    return list(session.exec(query.order_by(col(LabelClass.position), col(LabelClass.id))).all())


def choices(session: Session, project_id: int) -> list[LabelClass]:
    """The classes that can be chosen, in their order."""
    return [c for c in classes_of(session, project_id) if is_choice(c)]


def is_choice(label_class: LabelClass) -> bool:
    """Whether a class can be chosen."""
    return not label_class.retired and label_class.merged_into is None


def stands_for(classes: Sequence[LabelClass]) -> dict[int, int]:
    """What each class of a project stands for today, through any merges."""
    into = {c.id: c.merged_into for c in classes if c.merged_into is not None}

    def last(class_id: int) -> int:
        while class_id in into:
            class_id = into[class_id]
        return class_id

    return {c.id: last(c.id) for c in classes if c.id is not None}


def with_merged(session: Session, label_class: LabelClass) -> list[int]:
    """The ids of a class and of those that were merged into it."""
    others = stands_for([c for c in classes_of(session, label_class.project_id) if c.id != label_class.id])
    assert label_class.id is not None
    return [label_class.id, *(class_id for class_id, last in others.items() if last == label_class.id)]


def add_classes(session: Session, project_id: int, names: Sequence[str]) -> dict[str, int]:
    """Make the classes that are missing, each with the next free key; returns the id of every name given.

    A class that is retired or merged is known by its name like any other.
    """
    known = {c.name: c for c in classes_of(session, project_id)}
    before = len(known)
    taken = {c.key for c in known.values() if is_choice(c)}
    position = max((c.position for c in known.values()), default=-1)
    for given in names:
        name = clean_name(given, "A class needs a name.")
        if name in known:
            continue
        position += 1
        known[name] = LabelClass(project_id=project_id, name=name, key=_next_key(name, taken), position=position)
        taken.add(known[name].key)
        session.add(known[name])
    session.flush()
    if len(known) > before:
        session.get_one(Project, project_id).schema_version += 1
    return {name: made.id for name, made in known.items() if made.id is not None}


def list_classes(workspace: Workspace, actor_id: int, project_id: int) -> list[ClassDetail]:
    """Every class of a project, retired and merged ones too, with how many items have it as their label."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        labels = select(Label.class_id, func.count()).where(Label.project_id == project_id)
        counts = dict(session.exec(labels.group_by(col(Label.class_id))).all())
        return [_detail(c, counts.get(c.id or 0, 0)) for c in classes_of(session, project_id)]


def items_of_class(workspace: Workspace, actor_id: int, class_id: int, limit: int = 24) -> list[ClassItem]:
    """Items that may be examples of a class: those that are, then those whose label it is, the surest first.

    Raises
    ------
    NotFound, NotAllowed
        If there is no such class in a project that the acting user owns.
    """
    with reading(workspace.engine) as session:
        shown = own_class(session, actor_id, class_id)
        chosen = session.exec(select(Item).where(col(Item.id).in_(shown.examples))).all()
        labeled = (
            select(Item)
            .join(Label, col(Label.item_id) == Item.id)
            .where(Label.project_id == shown.project_id, Label.class_id == class_id)
            .order_by(col(Label.confidence).desc(), col(Label.answers).desc(), col(Item.id))
        )
        found = {item.id: item for item in [*chosen, *session.exec(labeled.limit(limit)).all()]}
        return [
            ClassItem(pictured=item.media is not None, **item.model_dump(include={*ClassItem.model_fields}))
            for item in list(found.values())[: max(limit, len(chosen))]
        ]


def add_class(workspace: Workspace, actor_id: int, project_id: int, changes: ClassChanges) -> ClassDetail:
    """Make a class that can be chosen at once; without a key of its own it gets the next free one.

    Raises
    ------
    Invalid
        If the name is empty or taken, or anything else about it cannot be.
    """
    with writing(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
        name = clean_name(changes.name, "A class needs a name.")
        _refuse_name(session, project_id, name)
        class_id = add_classes(session, project_id, [name])[name]
        made = session.get_one(LabelClass, class_id)
        _apply(session, made, changes)
        jobs.request(session, project_id, JobKind.TRAIN)  # its words may be known before its first label
        session.add(Event(project_id=project_id, user_id=actor_id, kind="class added", detail=_told(made, changes)))
        return _detail(made, 0)


def edit_class(workspace: Workspace, actor_id: int, class_id: int, changes: ClassChanges) -> ClassDetail:
    """Rename or recolour a class, give it a key, a description, examples.

    Raises
    ------
    Invalid
        If the name or the key is another class's, or anything else about it cannot be.
    NotFound, NotAllowed
        If there is no such class in a project that the acting user owns.
    """
    with writing(workspace.engine) as session:
        edited = own_class(session, actor_id, class_id)
        before = edited.model_dump()
        if "name" in changes.model_fields_set:
            name = clean_name(changes.name, "A class needs a name.")
            _refuse_name(session, edited.project_id, name, but=edited)
            edited.name = name
        _apply(session, edited, changes)
        # Pages send all that there is of a class; the history is of what moved.
        moved = {name: getattr(edited, name) for name, was in before.items() if getattr(edited, name) != was}
        if moved:
            detail = {"id": class_id, **moved, "name": edited.name}
            detail |= {"was": before["name"]} if "name" in moved else {}
            words = moved.keys() & {"name", "prompts"}
            changed(session, actor_id, edited, "class changed", detail, learn=bool(words))
        return _detail(edited, _count(session, edited))


def order_classes(workspace: Workspace, actor_id: int, project_id: int, class_ids: Sequence[int]) -> list[ClassDetail]:
    """Put the classes in this order; those that are not named follow as they are.

    Raises
    ------
    Invalid
        If a class is named twice, or is none of the project's.
    """
    with writing(workspace.engine) as session:
        project = require(session, actor_id, project_id, Role.OWNER)
        there = {c.id: c for c in classes_of(session, project_id)}
        repeated = [class_id for class_id, times in Counter(class_ids).items() if times > 1]
        if repeated or not set(class_ids) <= set(there):
            raise Invalid("An order names each class of the project at most once, and no other.")
        for position, class_id in enumerate([*class_ids, *(i for i in there if i not in set(class_ids))]):
            there[class_id].position = position
        project.schema_version += 1
        names = [there[class_id].name for class_id in class_ids]
        session.add(Event(project_id=project_id, user_id=actor_id, kind="classes ordered", detail={"names": names}))
    return list_classes(workspace, actor_id, project_id)


def retire_class(workspace: Workspace, actor_id: int, class_id: int) -> ClassDetail:
    """Take a class out of use: it cannot be chosen any more, and the model does not learn it.

    Answers and labels stay as they are. An item whose label it is counts as labeled, is not asked again, and is
    exported with it; to have these items labeled as something else, merge the class into another one.
    `labeling.annotation.merging.restore_class` brings it back.

    Raises
    ------
    Invalid
        If it was merged: then it stands for another class, and is out of use already.
    NotFound, NotAllowed
        If there is no such class in a project that the acting user owns.
    """
    with writing(workspace.engine) as session:
        retired = own_class(session, actor_id, class_id)
        if retired.merged_into is not None:
            into = session.get_one(LabelClass, retired.merged_into).name
            raise Invalid(f"“{retired.name}” was merged into “{into}” and cannot be chosen; retire that one instead.")
        if not retired.retired:
            retired.retired = True
            suggest_instead(session, retired, None)
            changed(session, actor_id, retired, "class retired", {"id": class_id, "name": retired.name}, learn=True)
        return _detail(retired, _count(session, retired))


def own_class(session: Session, actor_id: int, class_id: int) -> LabelClass:
    """A class of a project that the acting user owns.

    Raises
    ------
    NotFound
        If there is no such class in a project that the user is a member of.
    NotAllowed
        If the user is not an owner of it.
    """
    found = session.get(LabelClass, class_id)
    try:
        if found is not None:
            require(session, actor_id, found.project_id, Role.OWNER)
            return found
    except NotFound:  # to a stranger, a project's classes are not there either
        pass
    raise NotFound(f"There is no class {class_id} in a project of yours.")


def changed(
    session: Session,
    actor_id: int,
    label_class: LabelClass,
    kind: str,
    detail: dict[str, object],
    *,
    learn: bool = False,
) -> None:
    """Tell the pages that are open, the audit log and, where it has to learn anew, the model."""
    session.get_one(Project, label_class.project_id).schema_version += 1
    session.add(Event(project_id=label_class.project_id, user_id=actor_id, kind=kind, detail=detail))
    if learn:
        jobs.request(session, label_class.project_id, JobKind.TRAIN)
    session.flush()


def suggest_instead(session: Session, gone: LabelClass, instead: int | None) -> None:
    """Let the live ranking suggest another class, or none, in the place of one that cannot be chosen any more."""
    of_project = select(Ranking.id).where(Ranking.project_id == gone.project_id)
    entries = col(QueueEntry.ranking_id).in_(of_project) & (col(QueueEntry.suggestion_class_id) == gone.id)
    values = {"suggestion_class_id": instead} | ({} if instead else {"suggestion_confidence": None})
    session.exec(update(QueueEntry).where(entries).values(**values))


def give_key(session: Session, label_class: LabelClass) -> None:
    """See that a class that comes back has a key that no other has: its own, else the next free one."""
    others = {c.key for c in choices(session, label_class.project_id) if c.id != label_class.id}
    if label_class.key is None or label_class.key in others:
        label_class.key = _next_key(label_class.name, others)


def detail_of(session: Session, label_class: LabelClass) -> ClassDetail:
    """A class as those see it who keep the classes."""
    return _detail(label_class, _count(session, label_class))


def class_changes(**given: object) -> ClassChanges:
    """What is to become of a class, as it was typed.

    Raises
    ------
    Invalid
        If something about it cannot be.
    """
    try:
        return ClassChanges.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        raise Invalid(f"The {where} of a class cannot be taken: {said}.") from None


def find_class(workspace: Workspace, actor_id: int, project_id: int, name_or_id: str) -> int:
    """The id of the class that a person means, by its name or else its number."""
    there = list_classes(workspace, actor_id, project_id)
    for by_name in (True, False):
        for each in there:
            if name_or_id == (each.name if by_name else str(each.id)):
                return each.id
    names = ", ".join(c.name for c in there) or "none yet"
    raise Invalid(f"There is no class “{name_or_id}”; there are: {names}.")


def _apply(session: Session, label_class: LabelClass, changes: ClassChanges) -> None:
    """Take over everything but the name."""
    given = changes.model_fields_set
    if "key" in given:
        label_class.key = _key(session, label_class, changes)
    if "description" in given:
        label_class.description = clean_text(changes.description)
    if "colour" in given:
        label_class.colour = changes.colour
    if "examples" in given:
        label_class.examples = _examples(session, label_class, changes.examples)
    if "prompts" in given:
        label_class.prompts = changes.prompts
    session.flush()


def _key(session: Session, label_class: LabelClass, changes: ClassChanges) -> str | None:
    key = (changes.key or "").strip().lower()
    if not key:
        return None
    if len(key) != 1 or key not in KEYS:
        raise Invalid(f"“{key[:20]}” cannot be the key of a class; choose one of 0 to 9 and a to z.")
    for other in choices(session, label_class.project_id):
        if other.id != label_class.id and other.key == key:
            if not changes.take_key:
                raise Invalid(f"The key “{key}” is that of “{other.name}”; choose another, or take it from there.")
            other.key = None
    return key


def _examples(session: Session, label_class: LabelClass, examples: Sequence[int]) -> list[int]:
    wanted = list(dict.fromkeys(examples))
    query = select(Item.id).where(col(Item.id).in_(wanted), Item.project_id == label_class.project_id)
    if len(session.exec(query).all()) < len(wanted):
        raise Invalid("An example is an item of the same project; choose others.")
    return wanted


def _refuse_name(session: Session, project_id: int, name: str, but: LabelClass | None = None) -> None:
    """Say what to do where a class has this name already."""
    query = select(LabelClass).where(LabelClass.project_id == project_id, LabelClass.name == name)
    there = session.exec(query).first()
    if there is None or there is but:
        return
    if there.merged_into is not None:
        into = session.get_one(LabelClass, there.merged_into).name
        raise Invalid(f"“{name}” is a class that was merged into “{into}”; bring it back, or choose another name.")
    if there.retired:
        raise Invalid(f"“{name}” is a class that was retired; bring it back, or choose another name.")
    instead = f", or merge “{but.name}” into it" if but is not None else ""
    raise Invalid(f"There is a class “{name}” already; choose another name{instead}.")


def _next_key(name: str, taken: set[str | None]) -> str | None:
    # A class that is itself one character is easiest to find under that very key.
    wishes = [name.lower(), *KEYS] if len(name) == 1 and name.lower() in KEYS else list(KEYS)
    return next((key for key in wishes if key not in taken), None)


def _told(label_class: LabelClass, changes: ClassChanges) -> dict[str, object]:
    return {"id": label_class.id, "name": label_class.name, **changes.model_dump(exclude_unset=True, exclude={"name"})}


def _count(session: Session, label_class: LabelClass) -> int:
    labels = select(func.count()).select_from(Label).where(Label.project_id == label_class.project_id)
    return session.exec(labels.where(Label.class_id == label_class.id)).one()


def _detail(label_class: LabelClass, labels: int) -> ClassDetail:
    return ClassDetail.model_validate({**label_class.model_dump(), "labels": labels})
