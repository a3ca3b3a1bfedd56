"""The items behind a figure, below the charts of a row: a choice that charts and keys set alike, and the items."""

import uuid
from collections.abc import Mapping, Sequence

import streamlit as st

from labeling import projects
from labeling.annotation import answers
from labeling.annotation.answers import Answer
from labeling.classes import ClassView
from labeling.errors import AskwiseError
from labeling.learning.behind import BehindItem, Between, GivenAnswer, Met, Shared, Which, items_behind
from labeling.learning.changes import Example
from labeling.projects import ProjectSummary
from labeling.web import current, frame
from labeling.web.frame import plain
from labeling.web.thumbnails import thumbnail

PAGE = 18  # items at a time
LONGEST = 240  # characters of a text, or of a cell of a row
CELLS = 6  # of a row
VERDICTS = {"skip": "skipped", "unsure": "unsure"}
PARTS: dict[
    type, dict[str, dict[str, bool | None]]
] = {  # of what is behind a figure: how each is called, and asked for
    Met: {"all": {}, "right": {"right": True}, "wrong": {"right": False}},
    Between: {"all": {}, "the same": {"agree": True}, "not the same": {"agree": False}},
    Shared: {"all": {}, "not the same": {"disagree": True}},
}


def choices(
    project: ProjectSummary, row: str, options: Mapping[Which, str], hint: str, *, filtered: bool = False
) -> None:
    """The choice of a figure in a row of charts, by keyboard too, and the items behind the one that is chosen.

    Parameters
    ----------
    row
        Names the row; `pick` chooses in it.
    options
        What each figure is called.
    hint
        What to click.
    """
    chosen = st.session_state.get(row)
    known = list(options)
    if chosen is not None and chosen not in options:  # charts move on; what somebody looks at stays
        known.insert(0, chosen)
    names = {**_kept_names(row), **options}
    picked = st.selectbox(
        "Items behind", known, index=None, key=row, format_func=lambda which: plain_name(names, which),
        placeholder=hint, icon=":material/search:",
    )  # fmt: skip
    if picked is not None:
        st.session_state[f"{row}_names"] = {picked: plain_name(names, picked)}
        _panel(project, row, picked, filtered=filtered)


def pick(row: str, which: Which | None) -> None:
    """Choose a figure of a row in the next run; for callbacks."""
    st.session_state[row] = which
    st.session_state.pop(f"{row}_page", None)


def plain_name(names: Mapping[Which, str], which: Which) -> str:
    """What a figure is called."""
    return names.get(which, "what was chosen")


def _kept_names(row: str) -> dict[Which, str]:
    kept: dict[Which, str] = st.session_state.get(f"{row}_names", {})
    return kept


def _panel(project: ProjectSummary, row: str, which: Which, *, filtered: bool) -> None:
    with st.container(border=True):
        if filtered and (parts := PARTS.get(type(which))):
            part = st.radio(
                "Which of them", list(parts), horizontal=True, key=f"{row}_filter", label_visibility="collapsed"
            )
            which = which.model_copy(update=parts[part])
        page = int(st.session_state.get(f"{row}_page", 1))
        try:
            found = items_behind(current.workspace(), current.actor(), project.id, which, (page - 1) * PAGE, PAGE)
        except AskwiseError as error:
            st.error(plain(str(error)))
            return
        pages = -(-found.total // PAGE)
        st.markdown(_count(found.total, found.hidden))
        if pages > 1:
            st.pagination(pages, key=f"{row}_page", width="stretch")
        gallery(project, found.items)


def _count(total: int, hidden: int) -> str:
    said = "Nothing here" if total == 0 else f"**{total:,}** item{'' if total == 1 else 's'}, the newest answers first"
    more = f"; {hidden:,} more were answered by others, whose answers experts and owners see" if hidden else ""
    return f"{said}{more}."


def gallery(project: ProjectSummary, items: Sequence[BehindItem]) -> None:
    """Items as thumbnails, or as cards where they are texts or rows, each with its answers."""
    classes = projects.read_project(current.workspace(), current.actor(), project.id).classes
    pictures = all(item.media_url for item in items)
    with st.grid(min_column_width=150 if pictures else 260):
        for item in items:
            with st.container(border=True, gap="xsmall", height="stretch"):
                _show(item)
                for answer in item.answers:
                    _answer(answer, classes)


def examples(items: Sequence[Example]) -> None:
    """Items of which a model version believes something new."""
    with st.grid(min_column_width=110 if all(item.media_url for item in items) else 240):
        for item in items:
            with st.container(border=True, gap="xsmall", height="stretch"):
                _show(item)
                st.markdown(f":small[{plain(item.before)} → **{plain(item.after)}**]")


def _show(item: BehindItem | Example) -> None:
    if item.media_url is not None:
        try:
            st.image(thumbnail(item.item_id), width="stretch", alt=item.external_id)
        except AskwiseError as error:
            st.markdown(f":small[{plain(str(error))}]")
    if item.text is not None:
        st.markdown(plain(_short(item.text)))
    for name, value in list((item.fields or {}).items())[:CELLS]:
        st.markdown(f":small[:gray[{plain(str(name))}] {plain(_short(str(value)))}]")
    st.markdown(f":small[:gray[{plain(_short(item.external_id))}]]")


def _answer(answer: GivenAnswer, classes: Sequence[ClassView]) -> None:
    said = VERDICTS.get(answer.answer, answer.answer)
    mark = {True: ":green[:material/check:]", False: ":orange[:material/close:]", None: ""}[answer.right]
    believed = ""
    if answer.suggestion is not None and answer.right is not True:
        sure = "" if answer.confidence is None else f" ({answer.confidence:.0%} sure)"
        believed = f", model said {plain(answer.suggestion)}{sure}"
    elif answer.right and answer.confidence is not None:
        believed = f", as the model said ({answer.confidence:.0%} sure)"
    took = "" if answer.seconds is None else f", in {answer.seconds:.1f} s"
    flag = " :material/flag:" if answer.flagged else ""
    st.markdown(f"{mark} **{plain(said)}**{flag}:small[{believed}]")
    st.markdown(f":small[:gray[{plain(answer.person)}, {frame.ago(answer.created)} ago{took}]]")
    if answer.note:
        st.markdown(f":small[:material/sticky_note_2: {plain(_short(answer.note))}]")
    if answer.mine and classes:
        names = {c.id: plain(c.name) for c in classes if c.id != answer.class_id}
        key = f"correct_{answer.event_id}"
        st.menu_button(
            "Correct", list(names), format_func=names.__getitem__, key=key, type="tertiary", icon=":material/edit:",
            on_click=_correct, args=(key, answer.event_id),
        )  # fmt: skip


def _correct(key: str, event_id: str) -> None:
    """Supersede one's own answer by another."""
    again = Answer(
        event_id=str(uuid.uuid4()), supersedes=event_id, verdict="label", class_id=st.session_state[key]
    )  # fmt: skip
    (outcome,) = answers.submit(current.workspace(), current.actor(), [again])
    if outcome.status == "refused":
        st.toast(plain(outcome.why), icon=":material/error:")
    else:
        st.toast("Corrected. The model learns from it now.", icon=":material/check:")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} …"
