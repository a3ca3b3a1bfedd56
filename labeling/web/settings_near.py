"""Items that are nearly the same, on the Settings page: how many, which, and whether each of them is asked."""

import streamlit as st

from labeling.db.schema import Role
from labeling.errors import AskwiseError
from labeling.intake.near_duplicates import Group, Member, read_near_duplicates, request_look
from labeling.projects import ProjectSummary
from labeling.web import current, frame
from labeling.web.frame import plain, quiet
from labeling.web.thumbnails import thumbnail

PAGE = 10  # groups at a time


def show(project: ProjectSummary) -> None:
    """How many there are, and the groups, the largest first."""
    if not project.items:
        frame.empty("content_copy", "No items yet", "After an import, items that look or read alike are found here.")
        return
    page = int(st.session_state.get("near_page", 1))
    found = read_near_duplicates(current.workspace(), current.actor(), project.id, (page - 1) * PAGE, PAGE)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        if found.groups:
            st.markdown(
                f"**{found.items:,}** items in **{found.groups:,}** group{'' if found.groups == 1 else 's'} are nearly "
                "the same.", width="content",
            )  # fmt: skip
        elif found.looked_at:
            st.markdown("No two items are nearly the same.", width="content")
        pages = -(-found.groups // PAGE)
        if pages > 1:
            st.pagination(pages, key="near_page", width="content")
    if found.looked_at < project.items:
        _behind(project, found.looked_at)
    for group in found.shown:
        _group(group)


def _behind(project: ProjectSummary, looked_at: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        quiet(f"{looked_at:,} of {project.items:,} items were looked at so far.", width="content")
        if project.role is Role.OWNER and st.button("Look at the others", icon=":material/search:", type="tertiary"):
            request_look(current.workspace(), current.actor(), project.id)
            st.toast("The worker looks at them now; come back in a moment.", icon=":material/search:")


def _group(group: Group) -> None:
    pictured = all(member.media_url for member in group.members)
    with st.container(border=True, gap="small"):
        with st.grid(min_column_width=110 if pictured else 240):
            for at, member in enumerate(group.members):
                with st.container(gap="xsmall"):
                    _member(member, first=at == 0)
        if group.items > len(group.members):
            quiet(f"and {group.items - len(group.members):,} more")


def _member(member: Member, *, first: bool) -> None:
    if member.media_url:
        try:
            st.image(thumbnail(member.item_id), width="stretch", alt=member.external_id)
        except AskwiseError as error:
            quiet(plain(str(error)))
    if member.text is not None:
        st.markdown(f":small[{plain(member.text)}]")
    label = f" · **{plain(member.label)}**" if member.label else ""
    st.markdown(f":small[:gray[{'first: ' if first else ''}{plain(member.external_id)}]{label}]")
