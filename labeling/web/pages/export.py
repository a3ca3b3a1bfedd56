"""Export: what will be in the file, the file, and what its columns mean."""

import json
import shlex
from itertools import islice

import pandas as pd
import streamlit as st

from labeling.delivery import exports
from labeling.errors import AskwiseError
from labeling.learning import insights
from labeling.web import current, frame

PREVIEWED = 20  # rows
FORMATS = {"csv": "CSV", "jsonl": "JSON Lines"}
ABOUT_FORMATS = {
    "csv": "For spreadsheets and pandas. Text that a spreadsheet would run as a formula is led by an apostrophe.",
    "jsonl": "One JSON object per line, lossless: for programs.",
}
MEANINGS = {
    "external_id": "the item's name: its file name, or the id it came with",
    "verdict": "label, skip or unsure",
    "class": "the class that this person chose",
    "label": "the item's agreed class, from all answers to it",
    "label_source": "single: one person; consensus: several",
    "label_confidence": "the share of the answers that agree with the label",
    "annotator": "who answered",
    "created": "when the answer was saved, in UTC",
    "seconds": "how long the item was on screen before the answer",
    "event_id": "the answer's own id, a UUID",
    "supersedes": "the event id of the answer that this one corrects",
    "note": "what the person wrote to it",
    "flagged": "whether the person marked it for a second look",
    "model_version": "the model that was live when the item was asked",
    "suggestion": "the class that this model believed in",
    "suggestion_confidence": "the model's probability of it",
    "suggestion_shown": "whether the person saw the suggestion",
    "reason": "what kind of question it was: strategy, overlap, audit, gold or review",
    "why": "why this item was chosen, in words",
    "utility": "the strategy's score: higher was asked sooner",
    "item_id": "the item's number in this workspace",
    "class_id": "the class's number, which stays when it is renamed",
    "content_hash": "SHA-256 of the original file",
    "text": "the text, where the item is one",
    "fields": "the fields, where the item is a table row",
    "meta": "what else came with the item",
}

project = frame.current_project("Export")
workspace, actor = current.workspace(), current.actor()

try:
    chunks = exports.export_stream(workspace, actor, project.id, "jsonl").chunks
    rows = [json.loads(line) for line in islice(next(chunks, b"").splitlines(), PREVIEWED)]
    people = insights.people(workspace, actor, project.id)
except AskwiseError as error:
    frame.empty("lock", "This is for experts and owners", frame.plain(str(error)))
    st.stop()

if not rows:
    with frame.empty("download", "Nothing to export yet", "Every answer will be here, with who gave it, when and why."):
        if st.button("Start labeling", type="primary", icon=":material/label:"):
            frame.go_to("label", project.id)
    st.stop()

labeled, doubts = sum(p.labels for p in people), sum(p.unsure + p.skipped for p in people)
with st.grid(4, min_column_width=150):
    st.metric("Answers", f"{labeled + doubts:,}", border=True, help="One row each, in the order in which they came.")
    st.metric("Labels", f"{labeled:,}", border=True)
    st.metric("Skipped or unsure", f"{doubts:,}", border=True)
    st.metric("Labeled items", f"{project.labels:,}", border=True, help=f"Of {project.items:,} in the project.")

with st.container(border=True):
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        form = st.segmented_control(
            "Format", exports.FORMATS, default=exports.FORMATS[0], format_func=lambda f: FORMATS.get(f, f),
            required=True, key="export_format", width="content",
        )  # fmt: skip
        st.link_button(
            f"Download {FORMATS.get(form, form)}", f"/api/v1/projects/{project.id}/export?format={form}",
            type="primary", icon=":material/download:",
        )  # fmt: skip
    st.caption(ABOUT_FORMATS.get(form, ""))
    command = ["askwise", "export", project.name, "--format", form, "--out", ".", "--workspace", str(workspace.root)]
    st.caption("The same in a terminal:")
    st.code(shlex.join(command), language=None, wrap_lines=True)

st.subheader("The first rows", anchor=False)
preview = pd.DataFrame(rows, columns=list(exports.COLUMNS))
st.dataframe(
    preview.dropna(axis="columns", how="all"), hide_index=True, height=min(35 * len(preview) + 40, 320),
    column_config={"external_id": st.column_config.Column(pinned=True)}, alt="The first rows of the export",
)  # fmt: skip
st.caption(f"{len(preview)} of {labeled + doubts:,} rows; columns that are empty in these are left out here.")

with st.expander("What each column means", icon=":material/help:"):
    st.table({f"`{name}`": meaning for name, meaning in MEANINGS.items()}, border="horizontal")
