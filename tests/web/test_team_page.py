"""The pages Team and Account as scripts: what each person sees, and what a press does."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from labeling import accounts, invitations, users
from labeling.annotation import team
from labeling.db.engine import writing
from labeling.db.schema import Membership, Role, User
from labeling.signing_in import Identity
from labeling.users import local_user
from labeling.web import current
from labeling.web.frame import PAGES, plain
from labeling.web.server import app_options
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject

pytestmark = pytest.mark.usefixtures("quick_passwords")
WORDS = "correct horse battery"
HOSTILE = "a *b* [c](http://d) :red[e] <i>g</i>"

Open = Callable[[str], AppTest]


@pytest.fixture
def project(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace)


@pytest.fixture
def ada(workspace: Workspace, project: SmallProject) -> int:
    """The first account, which owns the project."""
    return accounts.add_account(workspace, local_user(workspace), "ada", WORDS)


@pytest.fixture
def show(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], AppTest]:
    """Open a page of the app as somebody."""
    main = app_options(workspace, with_worker=False)["script_path"]

    def show(user: int, name: str) -> AppTest:
        monkeypatch.setattr(current, "identity", lambda: Identity("proxy", user))  # what the middleware says of them
        app = AppTest.from_file(main, default_timeout=30)
        app.run()
        return ran(app.switch_page(str(PAGES / f"{name}.py")).run())

    return show


def ran(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def words(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.error, app.info, app.success)
    return "\n".join([*(e.value for kind in kinds for e in kind), *(button.label for button in app.button)])


def test_before_the_first_account_the_page_says_how_to_make_it(
    workspace: Workspace, project: SmallProject, show
) -> None:  # type: ignore[no-untyped-def]
    me = local_user(workspace)
    with writing(workspace.engine) as session:
        session.merge(Membership(project_id=project.id, user_id=me, role=Role.OWNER))
    app = show(me, "team")
    assert "askwise people add NAME" in words(app) and "Make a link" not in words(app)


def test_an_owner_sees_everybody_and_makes_a_link(workspace: Workspace, ada: int, project: SmallProject, show) -> None:  # type: ignore[no-untyped-def]
    app = show(ada, "team")
    for name in ("ada", "animals owner", "animals person 0"):
        assert plain(name) in words(app)
    app.text_input(key="invite_note").set_value("for Bob")
    app.selectbox(key="invite_role").set_value(Role.EXPERT)
    (button,) = (b for b in app.button if b.label == "Make a link")
    ran(button.click().run())
    assert "/join/" in app.code[0].value
    (waiting,) = invitations.list_invitations(workspace, ada, project.id)
    assert (waiting.note, waiting.role) == ("for Bob", Role.EXPERT)
    (back,) = (b for b in app.button if b.label == "Take back")
    ran(back.click().run())
    assert invitations.list_invitations(workspace, ada, project.id) == []


def test_a_role_is_changed_where_it_is_shown(workspace: Workspace, ada: int, project: SmallProject, show) -> None:  # type: ignore[no-untyped-def]
    person = project.people[0]
    app = show(ada, "team")
    ran(app.selectbox(key=f"role_{person}").set_value(Role.EXPERT).run())
    assert {m.user_id: m.role for m in team.list_team(workspace, ada, project.id)}[person] is Role.EXPERT
    team.remove_member(workspace, ada, project.id, project.owner)
    app = show(ada, "team")
    ran(app.selectbox(key=f"role_{ada}").set_value(Role.ANNOTATOR).run())
    assert "needs an owner" in words(app)


@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.EXPERT])
def test_others_see_whom_to_ask_and_nothing_more(  # type: ignore[no-untyped-def]
    workspace: Workspace, ada: int, project: SmallProject, show, role: Role
) -> None:
    with writing(workspace.engine) as session:
        session.get_one(Membership, (project.id, project.people[0])).role = role
    said = words(show(project.people[0], "team"))
    assert "It is run by **ada**" in said and "animals person 1" not in said
    assert "Make a link" not in said and "Everybody" not in said


def test_only_the_workspaces_owner_sees_everybody(workspace: Workspace, ada: int, project: SmallProject, show) -> None:  # type: ignore[no-untyped-def]
    assert any(e.label == "Everybody in this workspace" for e in show(ada, "team").expander)
    assert not any(e.label == "Everybody in this workspace" for e in show(project.owner, "team").expander)
    app = show(ada, "team")
    ran(app.button(key=f"shut_{project.people[0]}").click().run())
    assert {p.id for p in accounts.list_people(workspace, ada) if p.disabled} == {project.people[0]}


def test_names_are_shown_as_they_are(workspace: Workspace, ada: int, project: SmallProject, show) -> None:  # type: ignore[no-untyped-def]
    with writing(workspace.engine) as session:
        session.get_one(User, project.people[0]).name = HOSTILE
        session.get_one(User, ada).name = HOSTILE + "!"
    for page in ("team", "account"):
        said = words(show(ada, page))
        assert plain(HOSTILE) in said and HOSTILE not in said


def test_tokens_are_made_shown_once_and_ended(workspace: Workspace, ada: int, project: SmallProject, show) -> None:  # type: ignore[no-untyped-def]
    app = show(ada, "account")
    (make,) = (b for b in app.button if b.label == "Make a token")
    ran(make.click().run())
    token = app.code[0].value
    assert users.bearer(workspace, token) == ada
    ran(app.run())
    assert not app.code
    (end,) = (b for b in app.button if b.label == "End")
    ran(end.click().run())
    assert users.bearer(workspace, token) is None


def test_a_page_of_somebody_who_was_shut_out_says_so_and_ends(
    workspace: Workspace, ada: int, project: SmallProject, show
) -> None:  # type: ignore[no-untyped-def]
    app = show(project.people[0], "projects")
    accounts.disable_user(workspace, ada, project.people[0])
    ran(app.run())
    assert "You are signed out" in words(app) and "animals" not in words(app)
