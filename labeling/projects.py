"""Projects, their classes and their settings: what is to be labeled, as what, and how it is asked."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Bound
from sqlmodel import Session, col, func, select

from labeling.db.engine import reading, writing
from labeling.db.schema import Event, Item, Label, LabelClass, Membership, Project, Role, User
from labeling.db.values import clean_name
from labeling.errors import Invalid
from labeling.users import grant, require
from labeling.workspace import Workspace

KEYS = "1234567890abcdefghijklmnopqrstuvwxyz"


class Settings(BaseModel):
    """How a project is asked. Stored in `Project.settings`; what is not there has its default."""

    model_config = ConfigDict(extra="forbid")

    overlap: int = Bound(default=1, ge=1, le=100, description="how many people answer an item")
    strategy: str = Bound(default="adaptive", description="which item next")
    head: Literal["default", "logistic"] = Bound(
        default="default", description="what learns: logistic regression on the pool's own shape, or on plain features"
    )
    encoder: str = Bound(default="pixels", description="how an item becomes a vector")
    lease_seconds: int = Bound(default=180, ge=1, le=86_400, description="how long an item is held for a person")
    suggestions: Literal["show", "hide"] = Bound(default="show", description="whether the model's guess is seen")
    near_duplicates: Literal["ask", "once"] = Bound(
        default="ask", description="whether items that are nearly the same are each asked, or one of them"
    )
    columns: list[str] = Bound(default=[], description="columns of a row that are shown first while labeling")
    target_accuracy: float | None = Bound(default=None, gt=0, lt=1, description="how right the model is to become")


class ProjectSummary(BaseModel):
    """A project as people see it in a list."""

    id: int
    name: str
    role: Role
    guidelines: str
    items: int
    labels: int
    class_count: int


class ClassView(BaseModel):
    """A class to choose."""

    id: int
    name: str
    key: str | None
    description: str
    colour: str | None = None
    examples: list[int] = []


class ProjectDetail(ProjectSummary):
    """A project in full; the classes are those that can be chosen, in their order."""

    classes: list[ClassView]
    settings: Settings


def settings_of(project: Project) -> Settings:
    """The project's settings."""
    return Settings(**project.settings)


def create_project(
    workspace: Workspace,
    actor_id: int,
    name: str,
    classes: Sequence[str],
    *,
    guidelines: str = "",
    settings: dict[str, object] | None = None,
) -> int:
    """Make a project that the acting user owns; every other user of the workspace becomes an annotator in it.

    Raises
    ------
    Invalid
        If the name is empty or taken, a class is named twice, or a setting is unknown or out of bounds.
    """
    name = clean_name(name, "A project needs a name.")
    chosen = _settings(settings or {})
    with writing(workspace.engine) as session:
        if session.exec(select(Project.id).where(Project.name == name)).first() is not None:
            raise Invalid(f"A project named “{name}” is already there; choose another name.")
        project = Project(name=name, guidelines=guidelines, settings=chosen)
        session.add(project)
        session.flush()
        assert project.id is not None
        repeated = {c.strip() for c in classes if list(map(str.strip, classes)).count(c.strip()) > 1}
        if repeated:
            raise Invalid(f"The class “{min(repeated)}” is named twice; name each class once.")
        add_classes(session, project.id, classes)
        for user_id in session.exec(select(User.id)).all():
            assert user_id is not None
            grant(session, project.id, user_id, Role.OWNER if user_id == actor_id else Role.ANNOTATOR)
        session.add(Event(project_id=project.id, user_id=actor_id, kind="project created", detail={"name": name}))
        return project.id


def update_settings(workspace: Workspace, actor_id: int, project_id: int, changes: dict[str, object]) -> Settings:
    """Change some of a project's settings; the others stay."""
    with writing(workspace.engine) as session:
        project = require(session, actor_id, project_id, Role.OWNER)
        project.settings = _settings({**project.settings, **changes})
        session.add(Event(project_id=project_id, user_id=actor_id, kind="settings changed", detail=dict(changes)))
        return settings_of(project)


def add_classes(session: Session, project_id: int, names: Sequence[str]) -> dict[str, int]:
    """Make the classes that are missing, each with the next free key; returns the id of every name given."""
    known = {c.name: c for c in classes_of(session, project_id)}
    taken = {c.key for c in known.values()}
    for given in names:
        name = clean_name(given, "A class needs a name.")
        if name in known:
            continue
        # A class that is itself one character is easiest to find under that very key.
        wishes = [name.lower(), *KEYS] if len(name) == 1 and name.lower() in KEYS else list(KEYS)
        key = next((k for k in wishes if k not in taken), None)
        taken.add(key)
        known[name] = LabelClass(project_id=project_id, name=name, key=key, position=len(known))
        session.add(known[name])
    session.flush()
    return {name: made.id for name, made in known.items() if made.id is not None}


def classes_of(session: Session, project_id: int) -> list[LabelClass]:
    """The project's classes in their order, retired ones too."""
    query = select(LabelClass).where(LabelClass.project_id == project_id)
    return list(session.exec(query.order_by(col(LabelClass.position), col(LabelClass.id))).all())


def list_projects(workspace: Workspace, actor_id: int) -> list[ProjectSummary]:
    """The projects that the acting user is a member of, oldest first."""
    with reading(workspace.engine) as session:
        query = (
            select(Project, Membership)
            .join(Membership, col(Membership.project_id) == Project.id)
            .where(Membership.user_id == actor_id)
            .order_by(col(Project.id))
        )
        return [_summary(session, project, member.role) for project, member in session.exec(query).all()]


def read_project(workspace: Workspace, actor_id: int, project_id: int) -> ProjectDetail:
    """One project as the acting user sees it."""
    with reading(workspace.engine) as session:
        project = require(session, actor_id, project_id)
        summary = _summary(session, project, session.get_one(Membership, (project_id, actor_id)).role)
        classes = [ClassView.model_validate(c.model_dump()) for c in classes_of(session, project_id) if not c.retired]
        return ProjectDetail(**summary.model_dump(), classes=classes, settings=settings_of(project))


def find_project(workspace: Workspace, actor_id: int, name_or_id: str) -> int:
    """The id of the project that a person means, by its name or else its number."""
    mine = list_projects(workspace, actor_id)
    for by_name in (True, False):
        for project in mine:
            if name_or_id == (project.name if by_name else str(project.id)):
                return project.id
    names = ", ".join(p.name for p in mine) or "none yet"
    raise Invalid(f"There is no project “{name_or_id}”; there are: {names}.")


def _summary(session: Session, project: Project, role: Role) -> ProjectSummary:
    assert project.id is not None
    items = session.exec(select(func.count()).select_from(Item).where(Item.project_id == project.id)).one()
    labels = session.exec(select(func.count()).select_from(Label).where(Label.project_id == project.id)).one()
    live = [c for c in classes_of(session, project.id) if not c.retired]
    return ProjectSummary(
        id=project.id,
        name=project.name,
        role=role,
        guidelines=project.guidelines,
        items=items,
        labels=labels,
        class_count=len(live),
    )


def _settings(given: dict[str, object]) -> dict[str, object]:
    try:
        return Settings.model_validate(given).model_dump(exclude_defaults=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise Invalid(f"The setting “{'.'.join(map(str, first['loc']))}” cannot be taken: {first['msg']}.") from None
