"""Tuning of CLIP on the Settings page: what it does, what it takes, how far it is, and what became of the last one."""

import streamlit as st

from labeling.db.schema import JobState, Role
from labeling.errors import AskwiseError
from labeling.learning import tuning_job
from labeling.learning.tuning_job import Report, Standing, in_time
from labeling.projects import ProjectSummary
from labeling.web import current
from labeling.web.frame import plain, quiet

ERROR = "settings_tuning_error"
OPEN = (JobState.QUEUED, JobState.RUNNING)


def show(project: ProjectSummary) -> None:
    """The card; nothing where the features are not CLIP's."""
    standing = tuning_job.read_standing(current.workspace(), current.actor(), project.id)
    if not standing.is_clip and standing.state not in OPEN:
        return
    with st.container(border=True):
        st.subheader("Tune CLIP on your labels", anchor=False)
        quiet(
            "The last layers of CLIP learn what tells your classes apart. This is tried on answers that were kept from "
            "it, and takes over only where it is right more often. Labeling goes on meanwhile."
        )
        _standing(project)


@st.fragment(run_every="2s")
def _standing(project: ProjectSummary) -> None:
    """How it stands."""
    owner = project.role is Role.OWNER
    if error := st.session_state.pop(ERROR, None):
        st.error(plain(error), icon=":material/error:")
    try:
        standing = tuning_job.read_standing(current.workspace(), current.actor(), project.id)
    except AskwiseError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    if standing.state in OPEN:
        _running(project.id, standing, owner)
    else:
        _ended(standing)
        _begin(project.id, standing, owner)


def _running(project_id: int, standing: Standing, owner: bool) -> None:
    waiting = "Waiting for the worker" if standing.state is JobState.QUEUED else standing.message or "Starting"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(min(max(standing.progress, 0.0), 1.0), text=plain(waiting))
        if owner:
            st.button(
                "Stop", icon=":material/stop_circle:", key=f"tuning_stop_{project_id}", on_click=_try,
                args=(tuning_job.cancel, project_id), help="Everything stays as it was.",
            )  # fmt: skip


def _ended(standing: Standing) -> None:
    """What became of the last one."""
    if standing.state is JobState.FAILED:
        st.error(plain(standing.error), icon=":material/error:")
    if standing.state is JobState.CANCELLED:
        quiet("The last tuning was stopped; everything stayed as it was.")
    if standing.report is not None and standing.finished is not None:
        _report(standing.report)


def _report(report: Report) -> None:
    with st.container(gap="xsmall"):
        if report.went_live:
            st.badge("Took over", icon=":material/check:", color="green")
        else:
            st.badge("Nothing changed", icon=":material/block:", color="gray")
        st.markdown(plain(report.message))
        quiet(
            f"{report.labels:,} labels of {report.classes:,} classes, in {report.folds} parts; "
            f"{in_time(report.seconds)} on the {'GPU' if report.device == 'cuda' else 'processor'}, "
            f"{report.images_per_second:,.0f} images a second."
        )


def _begin(project_id: int, standing: Standing, owner: bool) -> None:
    if standing.hindrance:
        quiet(f":material/info: {plain(standing.hindrance)}")
    elif not owner:
        quiet("The project's owners can start it.")
    if owner:
        st.button(
            "Tune CLIP" if standing.report is None else "Tune CLIP again", icon=":material/model_training:",
            key=f"tuning_begin_{project_id}", disabled=bool(standing.hindrance), on_click=_try,
            args=(tuning_job.request, project_id),
            help="With a GPU this takes minutes; without one, a model of the usual size takes hours.",
        )  # fmt: skip


def _try(act: object, project_id: int) -> None:
    """Begin or stop; what stands against it is said at the next look."""
    assert callable(act)
    try:
        act(current.workspace(), current.actor(), project_id)
    except AskwiseError as error:
        st.session_state[ERROR] = str(error)
