"""What the pages share: the project they are about, what an empty page says, and a person's text shown as it is."""

import re
import time
from pathlib import Path
from typing import Literal

import streamlit as st

from labeling import jobs, projects
from labeling.db.schema import Job, JobKind
from labeling.projects import ProjectSummary
from labeling.web import current

PAGES = Path(__file__).parent / "pages"
_PICKER = "frame_project"
ALONE = (
    "Whoever uses this machine is you. To work with others, make yourself an account in a terminal: "
    "`askwise people add NAME`. From then on everybody signs in, and you invite them here."
)


def plain(text: str) -> str:
    """Text that came from people, escaped so that Markdown shows it letter by letter."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def shortened(name: str, most: int = 24) -> str:
    """A name where there is little room, as Markdown."""
    return plain(name if len(name) <= most else name[: most - 1] + "…")


NOTHING = "–"  # in a table, where there is no figure


def quiet(text: str, *, width: Literal["stretch", "content"] = "stretch") -> None:
    """A remark in small grey letters, which are darker than those of a caption and so can be read by more people."""
    st.markdown(f":small[:gray[{text}]]", width=width)


def go_to(page: str, project_id: int | None = None) -> None:
    """Go to a page, about this project."""
    named = {} if project_id is None else {"project": str(project_id)}
    st.switch_page(PAGES / f"{page}.py", query_params=named)


def make_current(project_id: int) -> None:
    """Carry this project to the pages from now on."""
    st.session_state["project"] = project_id


def current_project(title: str | None = None) -> ProjectSummary:
    """The project that this page is about, under a heading where there is a title.

    It is the one that the address names, else the one looked at last, else the first. Where there is none the page
    says what to do, and ends.
    """
    mine = projects.list_projects(current.workspace(), current.actor())
    if not mine:
        with empty(
            "folder_open", "There is no project yet", "A project is a pool of items and the classes to choose from."
        ):
            if st.button("Go to Projects", type="primary", icon=":material/arrow_forward:"):
                go_to("projects")
        st.stop()
    named = st.query_params.get("project")
    wanted = named or str(st.session_state.get("project"))
    chosen = next((p for p in mine if str(p.id) == wanted), mine[0])
    if named and named != str(chosen.id):
        st.warning(f"There is no project {plain(named)} that you are a member of; this is “{plain(chosen.name)}”.")
    make_current(chosen.id)
    if named != str(chosen.id):
        st.query_params["project"] = str(chosen.id)
    _heading(title, chosen, mine)
    return chosen


def _heading(title: str | None, chosen: ProjectSummary, mine: list[ProjectSummary]) -> None:
    if title is None and len(mine) == 1:
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        if title is not None:
            st.title(title, width="content", anchor=False)
        if len(mine) == 1:
            st.markdown(f":gray[:material/folder_open:] {plain(chosen.name)}", width="content")
            return
        names = {p.id: plain(p.name) for p in mine}
        # A menu and not a select box: that one would keep the focus, and with it the keys meant for labeling.
        st.menu_button(
            names[chosen.id], list(names), format_func=lambda i: names[i], key=_PICKER, icon=":material/folder_open:",
            help="Another project", on_click=_picked,
        )  # fmt: skip


def _picked() -> None:
    make_current(st.session_state[_PICKER])
    st.query_params["project"] = str(st.session_state[_PICKER])


def empty(icon: str, title: str, text: str) -> st.delta_generator.DeltaGenerator:
    """A page with nothing on it yet: says so, and what to do next. Buttons go into what is returned."""
    st.space("large")
    with (
        st.container(horizontal_alignment="center"),
        st.container(width=520, horizontal_alignment="center", gap="small"),
    ):
        st.header(f":primary[:material/{icon}:]", text_alignment="center", anchor=False)
        st.subheader(title, text_alignment="center", anchor=False)
        st.caption(text, text_alignment="center")
        return st.container(horizontal=True, horizontal_alignment="center")


def newest_import(project_id: int) -> Job | None:
    """The import that runs or waits in a project, else the last that ended."""
    return jobs.newest(current.workspace(), current.actor(), project_id, JobKind.IMPORT)


def import_progress(job: Job) -> None:
    """A bar for an import that is not finished."""
    text = job.message or ("Waiting for the worker" if job.started is None else "Opening the images")
    st.progress(min(max(job.progress, 0.0), 1.0), text=plain(text))


def quiet_choice(text: str) -> str:
    """A choice of a segmented control in the colour of text: the theme's own cannot be read on it in the dark."""
    return f":gray[{text}]"


def ago(moment: float) -> str:
    """How long ago a moment was, in the largest unit that fits."""
    seconds = max(0.0, time.time() - moment)
    for unit, length in (("day", 86_400), ("hour", 3_600), ("min", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 and unit != 'min' else ''}"
    return f"{int(seconds)} s"
