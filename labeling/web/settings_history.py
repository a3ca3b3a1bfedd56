"""Settings, History: who did what, when, day by day, the newest first."""

from itertools import groupby

import pandas as pd
import streamlit as st

from labeling.audit_log import Told, read_events
from labeling.db.schema import Role
from labeling.projects import ProjectSummary
from labeling.web import current, frame
from labeling.web.frame import plain

PAGE = 50  # events at a time
NAMED, SAID = 220, 760  # pixels for who did something, and for what


def show(project: ProjectSummary) -> None:
    """The whole tab."""
    if project.role is not Role.OWNER:
        frame.empty("history", "The history is for owners", "It tells who changed what in this project, and when.")
        return
    events, earlier = _events(project.id, int(st.session_state.get(_pages(project.id), 1)))
    if not events:
        frame.empty("history", "Nothing happened yet", "Changes of settings, classes and people will be told here.")
        return
    zone = st.context.timezone or "UTC"
    for day, of_day in groupby(events, lambda event: f"{_moment(event, zone):%A, %d %B %Y}"):
        st.subheader(day, anchor=False)
        with st.container(gap="small"):
            for event in of_day:
                _event(event, zone)
    if earlier:
        st.button("Show earlier", icon=":material/history:", on_click=_show_earlier, args=(project.id,))


def _event(event: Told, zone: str) -> None:
    with st.container(horizontal=True, gap="xxsmall"):  # on a phone, what was done is below who did it
        st.markdown(f":gray[{_moment(event, zone):%H:%M}] **{_line(event.who)}**", width=NAMED)
        st.markdown(_line(event.sentence), width=SAID)


def _events(project_id: int, pages: int) -> tuple[list[Told], bool]:
    """The newest events, and whether there are earlier ones."""
    events: list[Told] = []
    before: int | None = None
    for _ in range(pages):
        found = read_events(current.workspace(), current.actor(), project_id, before=before, limit=PAGE)
        events += found.events
        before = found.earlier
        if before is None:
            return events, False
    return events, True


def _pages(project_id: int) -> str:
    return f"history_pages_{project_id}"


def _show_earlier(project_id: int) -> None:
    st.session_state[_pages(project_id)] = int(st.session_state.get(_pages(project_id), 1)) + 1


def _moment(event: Told, zone: str) -> pd.Timestamp:
    return pd.Timestamp(event.created, unit="s", tz="UTC").tz_convert(zone)


def _line(text: str) -> str:
    return plain(" ".join(text.split()))
