"""Insights: how right the model is and for how long to go on, the classes, the people, how far they agree; and what a
strategy is worth.
"""

import streamlit as st

from labeling.web import (
    frame,
    insights_agreement,
    insights_classes,
    insights_people,
    insights_progress,
    simulation_tab,
)

project = frame.current_project("Insights")

if st.session_state.get("insights_project") != project.id:  # what was chosen belongs to another project
    for key in [key for key in st.session_state if str(key).startswith("insights_")]:
        del st.session_state[key]
    st.session_state["insights_project"] = project.id

progress, classes, people, agreement, simulate = st.tabs(
    [
        ":material/monitoring: Progress", ":material/category: Classes", ":material/group: People",
        ":material/handshake: Agreement", ":material/science: Simulate",
    ],
    on_change="rerun",
)  # fmt: skip
with progress:
    if progress.open:
        insights_progress.show(project)
with classes:
    if classes.open:
        insights_classes.show(project)
with people:
    if people.open:
        insights_people.show(project)
with agreement:
    if agreement.open:
        insights_agreement.show(project)
with simulate:
    if simulate.open:
        simulation_tab.show(project)
