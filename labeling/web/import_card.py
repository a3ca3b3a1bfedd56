"""How an import stands, on its project's card: stopped, gone on with, and what it could not take."""

import pandas as pd
import streamlit as st

from labeling.db.schema import Job, JobState
from labeling.errors import AskwiseError
from labeling.intake.import_job import ImportView, cancel_import, read_import, resume_import
from labeling.web import current, frame
from labeling.web.frame import plain

LISTED = 100  # refused records shown; all of them are in the list


def running(job: Job, owns: bool) -> None:
    """The bar of an import that waits or runs, with its way out."""
    frame.import_progress(job)
    if owns:
        st.button(
            "Cancel the import", key=f"import_cancel_{job.id}", icon=":material/stop_circle:", type="tertiary",
            on_click=_try, args=(cancel_import, job.id), help="What went in stays, and it can be resumed.",
        )  # fmt: skip


def outcome(job: Job) -> None:
    """What became of the last import."""
    view = read_import(current.workspace(), current.actor(), job.id or 0)
    if message := st.session_state.pop(f"import_error_{view.id}", ""):
        st.error(plain(message), icon=":material/error:")
    if view.error:
        st.error(plain(view.error), icon=":material/error:")
    if view.state in (JobState.FAILED, JobState.CANCELLED):
        _unfinished(view)
    if view.refused_count or view.equal:
        _details(view)


def _unfinished(view: ImportView) -> None:
    name = f"of “{plain(view.name)}” " if view.name else ""
    if view.state is JobState.CANCELLED:
        st.caption(f":material/pause_circle: The import {name}was cancelled after {view.read:,}.")
    st.button(
        "Resume the import", key=f"import_resume_{view.id}", icon=":material/resume:", type="tertiary",
        on_click=_try, args=(resume_import, view.id),
    )  # fmt: skip


def _details(view: ImportView) -> None:
    with st.expander(f"Last import: {view.added:,} added, {view.refused_count:,} refused"):
        if view.duplicates:
            st.caption(f"Already in the project, or twice in the file: {view.duplicates:,}.")
        if view.refused:
            _table(view.refused, {"name": "Name", "line": "Line", "why": "Why it was refused"}, "What was refused")
            if view.refused_count > LISTED:
                st.caption(f"The first {LISTED:,} of {view.refused_count:,}.")
            st.link_button(
                "Everything refused (CSV)", f"/api/v1/imports/{view.id}/refused", icon=":material/download:",
            )  # fmt: skip
        if view.equal:
            _table(view.equal, {"name": "Name", "line": "Line", "item": "The same as"}, "Duplicates")


def _table(rows: list[dict[str, object]], names: dict[str, str], alt: str) -> None:
    table = pd.DataFrame(rows[:LISTED]).rename(columns=names).dropna(axis="columns", how="all")
    st.dataframe(table, hide_index=True, height=min(35 * len(table) + 38, 213), alt=alt)


def _try(act: object, job_id: int) -> None:
    """Cancel or resume; what stands against it is said at the next look."""
    assert callable(act)
    try:
        act(current.workspace(), current.actor(), job_id)
    except AskwiseError as error:
        st.session_state[f"import_error_{job_id}"] = str(error)
