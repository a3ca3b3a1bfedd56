"""Export: what will be in the file, the file, and what its columns mean."""

import json
import shlex
from typing import Any, Literal
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from labeling.delivery import exports
from labeling.errors import AskwiseError
from labeling.learning import insights
from labeling.web import current, frame

PREVIEWED = 20  # rows
CONTENTS = {"answers": "Answers", "labels": "Labels"}
ABOUT_CONTENTS = {
    "answers": "One row for every answer, with who gave it, when and why it was asked.",
    "labels": "One row for every item, with the class that it is agreed to be.",
}
UNLABELED = {"keep": "Keep", "drop": "Leave out", "suggest": "Use suggestions"}
SPLITS = {"": "None", "shares": "By shares", "column": "By a column"}
SHARES = "train=0.8,validation=0.1,test=0.1"
ANSWERS_MEAN = {
    "external_id": "the item's name: its file name, or the id it came with",
    "verdict": "label, skip or unsure",
    "class": "the class that this person chose",
    "label": "the item's agreed class, from all answers to it",
    "label_source": "single: one person; consensus: several; imported: it came with it; adjudicated: an expert decided",
    "label_confidence": "how sure the label is: the share of the answers, or what weighing them came to",
    "annotator": "who answered",
    "created": "when the answer was saved, in UTC",
    "seconds": "how long the item was on screen before the answer",
    "event_id": "the answer's own id, a UUID",
    "supersedes": "the event id of the answer that this one corrects",
    "note": "what the person wrote to it",
    "flagged": "whether the person marked it for a second look",
    "origin": "asked: one item at a time; grid: a screenful; imported: brought along; review: an expert's decision",
    "batch": "what answers given in one step have in common",
    "model_version": "the model that was live when the item was asked",
    "suggestion": "the class that this model believed in",
    "suggestion_confidence": "the model's probability of it",
    "suggestion_shown": "whether the person saw the suggestion",
    "reason": "what kind of question it was: strategy, overlap, audit, gold or review",
    "why": "why this item was chosen, in words",
    "utility": "the strategy's score: higher was asked sooner",
    "item_id": "the item's number in this workspace",
    "class_id": "the class's number, which stays when it is renamed",
    "content_hash": "SHA-256 of the original content",
    "text": "the text, where the item is one",
    "fields": "the fields, where the item is a table row",
    "meta": "what else came with the item",
    "agreement": "the share of the answers that say what the label says",
    "method": "how several answers became the label: majority, dawid_skene or crowdlab",
    "adjudicator": "the expert who decided, where one did",
}
LABELS_MEAN = {
    "external_id": ANSWERS_MEAN["external_id"],
    "label": "the item's agreed class; empty where there is none",
    "confidence": "how sure the label is; of a suggestion, the model's probability",
    "source": "single: one person; consensus: several; imported: it came with the item; "
    "adjudicated: an expert decided; machine: a suggestion",
    "text": ANSWERS_MEAN["text"],
    "fields": ANSWERS_MEAN["fields"],
    "image": "the image's file, inside the workspace",
    "meta": ANSWERS_MEAN["meta"],
    "split": "the side of the split that the item is on",
    "answers": "how many people's answers label the item",
    "near_duplicate_of": "the first of the items that are nearly the same; they are always on one side of a split",
    "item_id": ANSWERS_MEAN["item_id"],
    "class_id": ANSWERS_MEAN["class_id"],
    "content_hash": ANSWERS_MEAN["content_hash"],
    **{name: ANSWERS_MEAN[name] for name in ("agreement", "method", "adjudicator")},
}

project = frame.current_project("Export")
workspace, actor = current.workspace(), current.actor()


def choice(label: str, names: dict[str, str], key: str, help: str | None = None) -> str:
    """One of a few things, the first of them until another is chosen."""
    if st.session_state.get(key) not in names:
        st.session_state[key] = next(iter(names))
    return str(st.radio(label, list(names), format_func=names.get, key=key, horizontal=True, help=help))


def small(text: str, width: Literal["stretch", "content"] = "stretch") -> None:
    """A remark; not a caption, whose grey is too light to be read by everybody."""
    st.markdown(f":small[{text}]", width=width)


def split_rule(kind: str, columns: list[str]) -> tuple[str, int]:
    """The rule of the kind of split that is chosen, and its seed."""
    if not kind:
        return "", 0
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if kind == "column":
            return f"meta:{st.selectbox('Column', columns, key='export_column', width=240)}", 0
        shares = st.text_input("Shares", SHARES, key="export_shares", width=320, help="They add up to 1.")
        seed = st.number_input("Seed", 0, 10**9, 0, key="export_seed", width=120, help="Another seed, another draw.")
        return shares, int(seed)


try:
    survey = exports.survey(workspace, actor, project.id)
    people = insights.people(workspace, actor, project.id)
except AskwiseError as error:
    frame.empty("lock", "This is for experts and owners", frame.plain(str(error)))
    st.stop()

if not survey.items:
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
    rows = choice("Rows", CONTENTS, "export_rows")
    small(ABOUT_CONTENTS[rows])
    formats = {
        name: about.title
        for name, about in exports.FORMATS.items()
        if rows in about.contents and (survey.images == survey.items or not about.of_images)
    }
    form = choice("Format", formats, "export_format")
    about = exports.FORMATS[form]
    small(about.about)
    wanted: dict[str, Any] = {"format": form}
    if rows not in about.contents[:1]:
        wanted["rows"] = rows
    if rows == "labels":
        known = UNLABELED if survey.model else {k: name for k, name in UNLABELED.items() if k != "suggest"}
        kinds = SPLITS if survey.columns else {kind: name for kind, name in SPLITS.items() if kind != "column"}
        with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
            unlabeled = choice(f"{project.items - project.labels:,} unlabeled items", known, "export_unlabeled")
            kind = choice("Split", kinds, "export_split", "Items that are nearly the same are never on two sides.")
        rule, seed = split_rule(kind, survey.columns)
        if unlabeled != "keep":
            wanted["unlabeled"] = unlabeled
        if rule:
            wanted["split"] = rule
        if seed:
            wanted["seed"] = seed
        if about.has_images and form != "imagefolder" and survey.images:
            with_images = st.toggle(f"With the {survey.images:,} images", True, key="export_images")
            wanted |= {} if with_images else {"images": False}
    try:
        preview = list(exports.export_rows(workspace, actor, project.id, exports.Wanted(**wanted), PREVIEWED))
    except AskwiseError as error:
        st.error(frame.plain(str(error)), icon=":material/error:")
        st.stop()
    count = labeled + doubts if rows == "answers" else project.labels if "drop" in wanted.values() else project.items
    with st.container(horizontal=True, vertical_alignment="center"):
        st.link_button(
            f"Download {about.title}", f"/api/v1/projects/{project.id}/export?{urlencode(wanted)}",
            type="primary", icon=":material/download:",
        )  # fmt: skip
        pictures = (
            f" and {survey.images:,} images" if about.has_images and "images" not in wanted and survey.images else ""
        )
        small(f"{count:,} rows{pictures}, as they are when the download begins.", width="content")
    flags = [f"--{name}={value}" for name, value in wanted.items() if name not in ("format", "images")]
    command = [
        "askwise",
        "export",
        project.name,
        "--format",
        form,
        *flags,
        *(["--no-images"] if "images" in wanted else []),
    ]
    small("The same in a terminal:")
    st.code(shlex.join([*command, "--out", ".", "--workspace", str(workspace.root)]), language=None, wrap_lines=True)

st.subheader("The first rows", anchor=False)
if preview:
    shown = pd.DataFrame(preview)
    for column in ("fields", "meta"):
        shown[column] = [None if cell is None else json.dumps(cell, ensure_ascii=False) for cell in shown[column]]
    st.dataframe(
        shown.dropna(axis="columns", how="all"), hide_index=True, height=min(35 * len(shown) + 40, 320),
        column_config={"external_id": st.column_config.Column(pinned=True)}, alt="The first rows of the export",
    )  # fmt: skip
    small(f"{len(shown)} of {count:,} rows; columns that are empty in these are left out here.")
else:
    small("There is nothing in it yet.")

with st.expander("What each column means", icon=":material/help:"):
    meanings = ANSWERS_MEAN if rows == "answers" else LABELS_MEAN
    st.table({f"`{name}`": meaning for name, meaning in meanings.items()}, border="horizontal")
