"""Team: the people of a project, their roles, links by which others join, and everybody in the workspace."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from labeling import accounts, invitations
from labeling.accounts import Person
from labeling.annotation import team
from labeling.annotation.team import Member
from labeling.db.schema import Role
from labeling.errors import AskwiseError
from labeling.users import read_me
from labeling.web import current, frame
from labeling.web.frame import ago, plain, quiet

LINK, ERROR, DIALOG = "team_link", "team_error", "team_dialog"
ROLES = {
    Role.ANNOTATOR: ("Annotator", "answers what is asked"),
    Role.EXPERT: ("Expert", "settles what others disagree on, too"),
    Role.OWNER: ("Owner", "may change everything"),
}


def role_name(role: Role) -> str:
    """A role as people read it."""
    return ROLES[role][0]


def act(what: Callable[..., Any], *given: Any, **named: Any) -> None:
    """Do something as the person at the page; what went wrong is said at the top of the next run."""
    try:
        made = what(current.workspace(), current.actor(), *given, **named)
    except AskwiseError as error:
        st.session_state[ERROR] = str(error)
    else:
        if isinstance(made, invitations.Link):
            st.session_state[LINK] = (project.id, address_of(made.path))


def address_of(path: str) -> str:
    """The whole address of a link, as this browser would reach it."""
    here = urlsplit(st.context.url or "")
    return f"{here.scheme}://{here.netloc}{path}" if here.netloc else path


def change_role(member: Member) -> None:
    """Take over the role that was chosen for a member."""
    act(team.change_role, project.id, member.user_id, st.session_state[f"role_{member.user_id}"])


def make_link() -> None:
    """Invite whom the fields say, as they are at this moment."""
    act(invitations.invite, project.id, st.session_state["invite_role"], st.session_state["invite_note"] or "")


def chosen(key: str, actions: dict[str, tuple[Any, ...]]) -> None:
    """Do what was chosen in a menu."""
    what, *given = actions[st.session_state[key]]
    if what == "ask":
        st.session_state[DIALOG] = given
    else:
        act(what, *given)


@st.dialog("Remove from the project?", icon=":material/person_remove:")
def ask_to_remove(user_id: int, name: str) -> None:
    """Ask before a person is taken out."""
    st.markdown(f"**{plain(name)}** can no longer see or label anything here. Their answers stay and count as before.")
    with st.container(horizontal=True):
        if st.button("Remove", type="primary"):
            act(team.remove_member, project.id, user_id)
            st.rerun()
        if st.button("Keep"):
            st.rerun()


def person(member: Member, me: int) -> None:
    """One person of the project."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(gap=None, width=260):
            with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
                st.markdown(f"**{plain(member.name)}**", width="content")
                for said, colour in states(member, me):
                    st.badge(said, color=colour)
            answers = f"{member.answers:,} answer{'' if member.answers == 1 else 's'}"
            quiet(answers if member.answered is None else f"{answers}, the last {ago(member.answered)} ago")
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            if member.removed is None:
                key = f"role_{member.user_id}"
                st.session_state[key] = member.role
                st.selectbox(
                    f"Role of {member.name}", list(ROLES), format_func=role_name, key=key, width=150,
                    label_visibility="collapsed", on_change=change_role, args=(member,),
                )  # fmt: skip
            actions = what_can_be_done(member)
            key = f"more_{member.user_id}"
            st.menu_button(
                "More", list(actions), key=key, on_click=chosen, args=(key, actions), type="tertiary",
                help=f"What else can be done about {plain(member.name)}",
            )  # fmt: skip


def states(member: Member, me: int) -> list[tuple[str, Any]]:
    """What there is to know of a person, each with its colour."""
    said: list[tuple[str, Any]] = [("you", "gray")] if member.user_id == me else []
    said += [("removed", "gray")] if member.removed is not None else []
    said += [("shut out", "red")] if member.disabled else []
    said += [("answers set aside", "orange")] if member.set_aside is not None else []
    return said


def what_can_be_done(member: Member) -> dict[str, tuple[Any, ...]]:
    """What the menu of a person offers."""
    back = member.set_aside is not None
    aside = "Let their answers count again" if back else "Set their answers aside"
    actions: dict[str, tuple[Any, ...]] = {aside: (_set_aside, project.id, member.user_id, not back)}
    if member.removed is None:
        actions["Remove from the project"] = ("ask", member.user_id, member.name)
    return actions


def _set_aside(workspace: Any, actor_id: int, project_id: int, user_id: int, aside: bool) -> None:
    team.set_aside(workspace, actor_id, project_id, user_id, aside=aside)


def people() -> None:
    """Everybody in the project."""
    st.subheader("People", anchor=False)
    members = team.list_team(current.workspace(), current.actor(), project.id)
    with st.container(gap="medium"):
        for member in members:
            person(member, me.id)


def inviting() -> None:
    """A new link, and those that wait."""
    st.subheader("Invite", anchor=False)
    quiet("A link lets one person in, within a week. Send it to nobody else.")
    st.selectbox("As", list(ROLES), format_func=lambda r: f"{ROLES[r][0]}: {ROLES[r][1]}", key="invite_role")
    st.text_input("For whom", key="invite_note", max_chars=invitations.MAX_NOTE, placeholder="Only owners see this.")
    st.button("Make a link", type="primary", icon=":material/link:", on_click=make_link)
    whose, link = st.session_state.get(LINK, (None, ""))
    if whose == project.id:
        st.code(link, language=None, wrap_lines=True)
        quiet("Copy it now: it is not shown again.")
    for waiting in invitations.list_invitations(current.workspace(), current.actor(), project.id):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(gap=None, width=220):
                st.markdown(plain(waiting.note) or f"{role_name(waiting.role)}")
                quiet(f"{role_name(waiting.role)}, made {ago(waiting.created)} ago by {plain(waiting.invited_by)}")
            st.button(
                "Take back", key=f"revoke_{waiting.id}", on_click=act, args=(invitations.revoke_invitation, waiting.id)
            )


def everybody() -> None:
    """The people of the whole workspace, for its owner."""
    with st.expander("Everybody in this workspace", icon=":material/groups:"):
        quiet("Who is shut out may do nothing in any project from that moment on. Their answers stay.")
        for each in accounts.list_people(current.workspace(), current.actor()):
            with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
                with st.container(gap=None, width=260):
                    st.markdown(f"**{plain(each.name)}**")
                    quiet(about(each))
                if each.id == me.id:
                    continue
                with st.container(horizontal=True, width="content"):
                    if each.account and each.disabled is None:
                        st.button(
                            "New password", key=f"reset_{each.id}", on_click=act,
                            args=(invitations.reset_link, each.id), help="Makes a link by which they choose one.",
                        )  # fmt: skip
                    shut = each.disabled is None
                    st.button(
                        "Shut out" if shut else "Let in", key=f"shut_{each.id}", on_click=act,
                        args=(accounts.disable_user if shut else accounts.enable_user, each.id),
                    )  # fmt: skip


def about(each: Person) -> str:
    """What the workspace's owner should know of somebody."""
    said = ["shut out"] if each.disabled is not None else []
    said += ["owns the workspace"] if each.administers else []
    said += [] if each.account else ["does not sign in"]
    said.append(f"in {each.projects} project{'' if each.projects == 1 else 's'}")
    if each.seen is not None:
        said.append(f"heard of {ago(each.seen)} ago")
    return ", ".join(said)


project = frame.current_project("Team")
me = read_me(current.workspace(), current.actor())
if not me.accounts:
    st.info(frame.ALONE, icon=":material/computer:")
if error := st.session_state.pop(ERROR, None):
    st.error(plain(error), icon=":material/error:")
if project.role is Role.OWNER:
    wide, narrow = st.columns([3, 2])
    with wide, st.container(border=True):
        people()
    with narrow, st.container(border=True):
        if me.accounts:
            inviting()
        else:
            st.subheader("Invite", anchor=False)
            quiet("Others can be invited once you have an account yourself.")
    if me.administers and me.accounts:
        everybody()
else:
    owners = team.list_owners(current.workspace(), current.actor(), project.id)
    named = ", ".join(f"**{plain(name)}**" for name in owners)
    st.markdown(f"You are {'an' if project.role is not Role.OWNER else ''} {project.role.value} in this project.")
    st.markdown(f"It is run by {named}: ask there for whatever you may not do yourself." if owners else "")
if asked := st.session_state.pop(DIALOG, None):
    ask_to_remove(*asked)
