"""Projects, their classes and their settings: what is to be labeled, as what, and how it is asked."""

import re
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic import Field as Bound
from sqlmodel import Session, col, func, select

from labeling import jobs
from labeling.classes import ClassView, add_classes, choices
from labeling.db.engine import reading, writing
from labeling.db.schema import Event, Item, JobKind, Label, Membership, Project, Role, User
from labeling.db.values import clean_name, clean_text
from labeling.errors import AskwiseError, Invalid, NotAllowed
from labeling.users import grant, has_accounts, require, require_user
from labeling.workspace import Workspace

STRATEGIES = "askwise.strategies"  # the entry points that declare one; see `strategies.registry`
# What `labeling.features.encoding` knows; named here, as what is below features cannot ask them.
ENCODERS = ("auto", "patches", "hog", "pixels", "clip", "tfidf", "sentences", "table", "brought")
WITH_WEIGHTS = {"clip", "sentences"}  # encoders whose name may be followed by a colon and what their weights are
# Weights by the name of a model, or by their folder in the workspace; anything else may lead out of it.
NAMES_NO_PATH = re.compile(r"(hf-hub:)?(\w[\w.+-]*(/\w[\w.+-]*)*)?")
MOST_BY_NEED = 5  # answers an item, where they are asked by need and nobody says otherwise
MAX_GUIDELINES = 20_000  # characters
MAX_TEMPLATE = 500
LOOKED_AT = 20  # items that tell which columns rows have
MOVES_FEATURES = {"encoder"}  # settings after which features are made anew
MOVES_RANKING = {"strategy", "head", "overlap", "opinions", "near_duplicates", "templates", "soft_labels"}
MOVES_LABELS = {"overlap", "opinions", "certainty", "consensus"}  # settings after which answers are weighed anew


def _with_a_place(templates: list[str]) -> list[str]:
    if any(len(template) > MAX_TEMPLATE or "{}" not in template for template in templates):
        raise ValueError(
            f"each template has {{}} where the class name goes, as in “a photo of a {{}}”, and at most {MAX_TEMPLATE} "
            "characters"
        )
    return templates


class Settings(BaseModel):
    """How a project is asked. Stored in `Project.settings`; what is not there has its default."""

    model_config = ConfigDict(extra="forbid")

    overlap: int = Bound(default=1, ge=1, le=100, description="how many people answer an item; by need: at most")
    opinions: Literal["fixed", "by_need"] = Bound(
        default="fixed", description="whether each item has all of its answers, or one, and more where it needs them"
    )
    certainty: float = Bound(
        default=0.95, gt=0.5, lt=1, description="by need, people are asked until a label is this sure"
    )
    gold_share: float = Bound(
        default=0.1, ge=0, le=0.5, description="how many of the items asked are gold ones, where there are any"
    )
    strategy: str = Bound(default="adaptive", description="which item next")
    head: Literal["default", "logistic"] = Bound(
        default="default", description="what learns: logistic regression on the pool's own shape, or on plain features"
    )
    encoder: str = Bound(default="auto", description="how an item becomes a vector; auto: the best for its kind")
    templates: Annotated[list[str], AfterValidator(_with_a_place)] = Bound(
        default=[], max_length=20, description="texts that a class name is put into, in the place of {}, for its words"
    )
    lease_seconds: int = Bound(default=180, ge=1, le=86_400, description="how long an item is held for a person")
    suggestions: Literal["show", "hide", "auto"] = Bound(
        default="show", description="whether the model's guess is seen; auto: until it is found to do harm"
    )
    hidden_share: float = Bound(
        default=0.0, ge=0, le=0.5, description="how many items are asked without it, to measure its pull on people"
    )
    blind: bool = Bound(default=False, description="whether experts in Review see no names")
    consensus: Literal["auto", "majority", "dawid_skene", "difficulty", "crowdlab"] = Bound(
        default="auto", description="how several answers become a label; auto: by how many there are"
    )
    soft_labels: bool = Bound(
        default=False, description="whether the model learns from how likely each class is, or from the label alone"
    )
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


class ProjectDetail(ProjectSummary):
    """A project in full; the classes are those that can be chosen, in their order."""

    classes: list[ClassView]
    schema_version: int  # of the classes: it rises when they change
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
    """Make a project that the acting user owns.

    While nobody signs in, every other user of the workspace becomes an annotator in it; then nobody who is not invited.

    Raises
    ------
    NotAllowed
        If the acting user may do nothing any more, or names weights by their path without owning the workspace.
    Invalid
        If the name is empty or taken, a class is named twice, or a setting is unknown or out of bounds.
    """
    name = clean_name(name, "A project needs a name.")
    chosen, guidelines = _settings(settings or {}), _guidelines(guidelines)
    with writing(workspace.engine) as session:
        require_user(session, actor_id)
        _check_weights(session, actor_id, settings or {})
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
        project.schema_version = 1  # nobody has seen an earlier one
        grant(session, project.id, actor_id, Role.OWNER)
        if not has_accounts(session):
            for user_id in session.exec(select(User.id)).all():
                assert user_id is not None
                grant(session, project.id, user_id, Role.ANNOTATOR)
        session.add(
            Event(project_id=project.id, user_id=actor_id, kind="project created", detail={"name": name, **chosen})
        )
        return project.id


def update_settings(workspace: Workspace, actor_id: int, project_id: int, changes: dict[str, object]) -> Settings:
    """Change some of a project's settings, and its `guidelines` where they are among the changes; the others stay.

    What people are asked and what the model sees follow without anybody asking for it.

    Raises
    ------
    Invalid
        If a setting is unknown or out of bounds, or names a strategy or an encoder that is not there.
    NotFound, NotAllowed
        If the acting user may not change this project's settings.
    """
    with writing(workspace.engine) as session:
        return change_settings(session, actor_id, project_id, changes)


def change_settings(session: Session, actor_id: int, project_id: int, changes: dict[str, object]) -> Settings:
    """`update_settings` in the caller's transaction."""
    project = require(session, actor_id, project_id, Role.OWNER)
    settings = {name: value for name, value in changes.items() if name != "guidelines"}
    _check_weights(session, actor_id, settings)
    before, project.settings = settings_of(project), _settings(settings, project.settings)
    if "guidelines" in changes and (guidelines := _guidelines(changes["guidelines"])) != project.guidelines:
        project.guidelines = guidelines
        project.schema_version += 1  # pages that are open read the guidelines along with the classes
    now = settings_of(project)
    moved = {name for name in Settings.model_fields if getattr(before, name) != getattr(now, name)}
    if moved & MOVES_FEATURES:
        jobs.request(session, project_id, JobKind.ENCODE)
    if moved & MOVES_RANKING:
        jobs.request(session, project_id, JobKind.TRAIN)
    if moved & MOVES_LABELS:
        jobs.request(session, project_id, JobKind.WEIGH)
    session.add(Event(project_id=project_id, user_id=actor_id, kind="settings changed", detail=dict(changes)))
    return now


def update_guidelines(
    workspace: Workspace, actor_id: int, project_id: int, guidelines: str, *, before: str | None = None
) -> int:
    """Change what people are told of a project; experts may. Returns the version that open pages follow.

    Parameters
    ----------
    before
        What it said when the change was begun: somebody else's change since is not overwritten.

    Raises
    ------
    Invalid
        If the text is too long.
    AskwiseError
        If it is not what it said `before`.
    NotFound, NotAllowed
        If the acting user is no expert of the project.
    """
    text = _guidelines(guidelines)
    with writing(workspace.engine) as session:
        project = require(session, actor_id, project_id, Role.EXPERT)
        if text != project.guidelines:
            if before is not None and clean_text(before) != project.guidelines:
                raise AskwiseError("Somebody else changed the guidelines meanwhile; read them and change them again.")
            project.guidelines = text
            project.schema_version += 1
            detail = {"guidelines": text}
            session.add(Event(project_id=project_id, user_id=actor_id, kind="settings changed", detail=detail))
        return project.schema_version


def roles(workspace: Workspace, actor_id: int) -> set[Role]:
    """The roles that the acting user has, in whatever projects."""
    with reading(workspace.engine) as session:
        mine = select(Membership.role).where(Membership.user_id == actor_id, col(Membership.removed).is_(None))
        return {Role(role) for role in session.exec(mine.distinct()).all()}


def list_projects(workspace: Workspace, actor_id: int) -> list[ProjectSummary]:
    """The projects that the acting user is a member of, oldest first."""
    with reading(workspace.engine) as session:
        query = (
            select(Project, Membership)
            .join(Membership, col(Membership.project_id) == Project.id)
            .join(User, col(User.id) == Membership.user_id)
            .where(Membership.user_id == actor_id, col(Membership.removed).is_(None), col(User.disabled).is_(None))
            .order_by(col(Project.id))
        )
        return [_summary(session, project, member.role) for project, member in session.exec(query).all()]


def read_project(workspace: Workspace, actor_id: int, project_id: int) -> ProjectDetail:
    """One project as the acting user sees it."""
    with reading(workspace.engine) as session:
        project = require(session, actor_id, project_id)
        summary = _summary(session, project, session.get_one(Membership, (project_id, actor_id)).role)
        classes = [ClassView.model_validate(c.model_dump()) for c in choices(session, project_id)]
        return ProjectDetail(
            **summary.model_dump(),
            classes=classes,
            schema_version=project.schema_version,
            settings=settings_of(project),
        )


def columns_of(workspace: Workspace, actor_id: int, project_id: int) -> list[str]:
    """The columns of a project's rows, as far as its first items have them; none where the items are no rows."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        first = select(Item.fields).where(Item.project_id == project_id, col(Item.row) < LOOKED_AT)
        return list(dict.fromkeys(name for fields in session.exec(first).all() for name in fields or {}))


def find_project(workspace: Workspace, actor_id: int, name_or_id: str) -> int:
    """The id of the project that a person means, by its name or else its number."""
    mine = list_projects(workspace, actor_id)
    for by_name in (True, False):
        for project in mine:
            if name_or_id == (project.name if by_name else str(project.id)):
                return project.id
    names = ", ".join(p.name for p in mine) or "none yet"
    raise Invalid(f"There is no project “{name_or_id}”; there are: {names}.")


def count_items(session: Session, project_id: int) -> int:
    """How many items a project has: their rows are numbered from 0, and none ever goes. Counting takes far longer."""
    last = session.exec(select(func.max(Item.row)).where(Item.project_id == project_id)).one()
    return 0 if last is None else last + 1


def _summary(session: Session, project: Project, role: Role) -> ProjectSummary:
    assert project.id is not None
    items = count_items(session, project.id)
    labels = session.exec(select(func.count()).select_from(Label).where(Label.project_id == project.id)).one()
    return ProjectSummary(
        id=project.id,
        name=project.name,
        role=role,
        guidelines=project.guidelines,
        items=items,
        labels=labels,
        class_count=len(choices(session, project.id)),
    )


def strategy_names() -> list[str]:
    """The strategies that a project may be asked by, third-party ones too. Nothing is imported for it."""
    return sorted(set(entry_points(group=STRATEGIES).names))


def _settings(given: dict[str, object], before: dict[str, object] | None = None) -> dict[str, object]:
    """Settings as they are stored: those before, changed as is given. What is not given is not checked again."""
    before = before or {}
    if given.get("opinions") == "by_need" and "overlap" not in {*before, *given}:
        given = {**given, "overlap": MOST_BY_NEED}  # one answer at most would leave nothing to ask by need
    try:
        settings = Settings.model_validate({**before, **given})
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        raise Invalid(f"The setting “{'.'.join(map(str, first['loc']))}” cannot be taken: {said}.") from None
    encoder, colon, _ = settings.encoder.partition(":")
    named = settings.encoder if colon and encoder not in WITH_WEIGHTS else encoder
    for setting, name, known in (
        ("strategy", settings.strategy, strategy_names()),
        ("encoder", named, ENCODERS),
    ):
        if setting in given and name not in known:
            raise Invalid(f"The setting “{setting}” cannot be “{name}”; there are: {', '.join(known)}.")
    return settings.model_dump(exclude_defaults=True)


def _check_weights(session: Session, actor_id: int, settings: dict[str, object]) -> None:
    """Hold that only the workspace's owner points the worker at files of the machine, where people sign in."""
    _, colon, weights = str(settings.get("encoder", "")).partition(":")
    if colon and not NAMES_NO_PATH.fullmatch(weights) and has_accounts(session):
        user = require_user(session, actor_id)
        if not user.administers:
            raise NotAllowed(
                f"Only the owner of the workspace may name files of the machine as weights, as in “{weights}”; ask "
                "who runs this Askwise, or name a model."
            )


def _guidelines(given: object) -> str:
    text = clean_text(given) if isinstance(given, str) else None
    if text is None or len(text) > MAX_GUIDELINES:
        raise Invalid(f"Guidelines are a text of at most {MAX_GUIDELINES:,} characters; shorten them.")
    return text
