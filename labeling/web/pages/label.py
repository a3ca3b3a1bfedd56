"""Label: the labeller of the current project. It talks to the API by itself, so an answer reruns nothing here."""

import streamlit as st

from labeling.db.engine import reading
from labeling.projects import classes_of, read_project, settings_of
from labeling.users import require
from labeling.web import current, frame
from labeling.web.components.labeller import labeller

project = frame.current_project()


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
            "image", f"“{frame.plain(project.name)}” has no items yet", "Import a zip of images on the Projects page."
        ):
            if st.button("Go to Projects", type="primary", icon=":material/arrow_forward:"):
                frame.go_to("projects")
    st.stop()

with reading(current.workspace().engine) as session:
    settings = settings_of(require(session, current.actor(), project.id))
    classes = [c.model_dump() for c in classes_of(session, project.id) if not c.retired]

if not classes:
    with frame.empty(
        "category",
        f"“{frame.plain(project.name)}” has no classes yet",
        "Import a zip whose folders are named after the classes.",
    ):
        if st.button("Go to Projects", type="primary", icon=":material/arrow_forward:"):
            frame.go_to("projects")
    st.stop()

labeller(
    {
        "id": project.id,
        "name": project.name,
        "guidelines": project.guidelines,
        "classes": classes,
        "show_suggestion": settings.suggestions == "show",
        "person": current.actor(),
    },
    key=f"labeller-{project.id}",
)
