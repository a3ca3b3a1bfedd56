"""Label: the labeller of the current project. It talks to the API by itself, so an answer reruns nothing here."""

import streamlit as st

from labeling.projects import read_project
from labeling.web import current, frame
from labeling.web.components.grid import grid
from labeling.web.components.labeller import labeller

bar = st.container(horizontal=True, vertical_alignment="center")
with bar:
    project = frame.current_project()

# In the text's own colour: Streamlit's is too faint by night.
_VIEWS = {"single": frame.quiet_choice("One by one"), "grid": frame.quiet_choice("Grid")}


def _by_screens() -> bool:
    """Whether the person labels whole screens, which the address says and the session remembers."""
    if "view" not in st.session_state:
        st.session_state["view"] = "grid" if st.query_params.get("view") == "grid" else "single"
    with bar:
        chosen = st.segmented_control(
            "How to label", list(_VIEWS), format_func=_VIEWS.__getitem__, required=True, key="view",
            persist_state="session", label_visibility="collapsed",
        )  # fmt: skip
    if chosen == "grid":
        st.query_params["view"] = "grid"
    elif "view" in st.query_params:
        del st.query_params["view"]
    return chosen == "grid"


def _one_by_one() -> None:
    st.session_state["view"] = "single"


def _find_like() -> None:
    st.session_state["view"] = "grid"
    st.session_state[f"look-{project.id}"] = st.session_state[f"labeller-{project.id}"].find


@st.fragment(run_every="1s")
def arriving() -> None:
    """Wait for the first items, then show them."""
    if read_project(current.workspace(), current.actor(), project.id).items:
        st.rerun()
    job = frame.newest_import(project.id)
    if job is None or job.finished is not None:
        st.rerun()
    else:
        frame.import_progress(job)


if not project.items:
    job = frame.newest_import(project.id)
    if job is not None and job.finished is None:
        frame.empty("hourglass_top", "The items are on their way", "Labeling begins as soon as the first ones are in.")
        arriving()
    else:
        with frame.empty(
            "image",
            f"“{frame.plain(project.name)}” has no items yet",
            "Import images, texts or rows on the Projects page.",
        ):
            if st.button("Go to Projects", type="primary", icon=":material/arrow_forward:"):
                frame.go_to("projects")
    st.stop()

detail = read_project(current.workspace(), current.actor(), project.id)

if not detail.classes:
    with frame.empty(
        "category",
        f"“{frame.plain(project.name)}” has no classes yet",
        "Add them on the Settings page, or import data that names them.",
    ):
        if st.button("Go to Settings", type="primary", icon=":material/arrow_forward:"):
            frame.go_to("settings")
    st.stop()

shown = {
    "id": project.id,
    "name": project.name,
    "guidelines": project.guidelines,
    "classes": [c.model_dump() for c in detail.classes],
    "schema_version": detail.schema_version,
    "show_suggestion": detail.settings.suggestions != "hide",
    "person": current.actor(),
}

if _by_screens():
    grid({**shown, "look": st.session_state.get(f"look-{project.id}")}, key=f"grid-{project.id}", on_leave=_one_by_one)
else:
    st.session_state.pop(f"look-{project.id}", None)
    labeller(shown, key=f"labeller-{project.id}", on_find=_find_like)
