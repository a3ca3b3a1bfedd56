"""The classes on the Settings page: each with its key, colour, description and examples; added, merged and retired."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from labeling import classes
from labeling.annotation import merging, splitting
from labeling.classes import KEYS, MAX_DESCRIPTION, MAX_EXAMPLES, ClassDetail, ClassItem
from labeling.db.schema import Role
from labeling.db.values import MAX_NAME
from labeling.errors import AskwiseError
from labeling.projects import ProjectSummary
from labeling.web import current
from labeling.web.frame import plain, quiet
from labeling.web.thumbnails import thumbnail

DIALOG = "settings_dialog"  # (name, class id) of the dialog to open in this run
ERROR = "settings_class_error"
PAGE = 40  # classes at a time
COLOUR = "#0f766e"  # that a picker begins with
MORE = {"merge": "Merge into another class …", "split": "Split into several …", "retire": "Take out of use"}
SHORT = 80  # characters of a text, as an example


def show(project: ProjectSummary) -> None:
    """The classes, kept up to date while others label and change them."""
    if project.role is Role.OWNER:
        _new_class(project)
    _list(project)
    dialog, class_id = st.session_state.pop(DIALOG, (None, None))
    there = {c.id: c for c in classes.list_classes(current.workspace(), current.actor(), project.id)}
    if dialog == "edit" and class_id in there:
        _edit(there[class_id], list(there.values()))
    elif dialog == "merge" and class_id in there:
        _merge(there[class_id], list(there.values()))
    elif dialog == "split" and class_id in there:
        _split(there[class_id])


def _new_class(project: ProjectSummary) -> None:
    with (
        st.form("new_class", border=False, clear_on_submit=True),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        name = st.text_input("New class", max_chars=MAX_NAME, placeholder="Its name", key="new_class_name")
        if st.form_submit_button("Add", icon=":material/add:"):
            _try(classes.add_class, project.id, classes.class_changes(name=name))


@st.fragment(run_every="5s")
def _list(project: ProjectSummary) -> None:
    if error := st.session_state.pop(ERROR, None):
        st.error(plain(error), icon=":material/error:")
    there = classes.list_classes(current.workspace(), current.actor(), project.id)
    names = {c.id: c.name for c in there}
    chosen_from = [c for c in there if not c.retired and c.merged_into is None]
    gone = [c for c in there if c not in chosen_from]
    owner = project.role is Role.OWNER
    if not chosen_from:
        quiet("There are no classes to choose from yet.")
    pages = -(-len(chosen_from) // PAGE)
    page = st.pagination(pages, key="settings_classes_page") if pages > 1 else 1
    order = [c.id for c in chosen_from]
    with st.container(gap="xsmall"):
        for at in range((page - 1) * PAGE, min(page * PAGE, len(chosen_from))):
            _row(project, chosen_from[at], order, at, owner)
    if gone:
        with st.expander(f"Out of use: {len(gone)}", icon=":material/inventory_2:"):
            for label_class in gone:
                _gone(label_class, names, owner)


def _row(project: ProjectSummary, label_class: ClassDetail, order: list[int], at: int, owner: bool) -> None:
    """One class that can be chosen."""
    together: dict[str, Any] = {"horizontal": True, "vertical_alignment": "center", "gap": "small"}
    with st.container(border=True, horizontal_alignment="distribute", **together):
        with st.container(width="content", **together):
            _swatch(label_class.colour)
            st.badge(label_class.key or "–", color="gray", help="Its key" if label_class.key else "It has no key.")
            about = f"  \n:small[:gray[{plain(label_class.description)}]]" if label_class.description else ""
            st.markdown(f"**{plain(label_class.name)}**{about}", width="content")
        with st.container(width="content", **together):
            pictures = f" · {_count(len(label_class.examples), 'example')}" if label_class.examples else ""
            st.markdown(f":small[:gray[{_count(label_class.labels, 'label')}{pictures}]]", width="content")
            if owner:
                _actions(project, label_class, order, at)


def _actions(project: ProjectSummary, label_class: ClassDetail, order: list[int], at: int) -> None:
    """What an owner can do with a class that can be chosen."""
    class_id = label_class.id
    for icon, to, word in (("arrow_upward", at - 1, "up"), ("arrow_downward", at + 1, "down")):
        st.button(
            f":material/{icon}:", key=f"class_{word}_{class_id}", help=f"Move {word}", type="tertiary",
            disabled=not 0 <= to < len(order), on_click=_move, args=(project.id, order, at, to),
        )  # fmt: skip
    if st.button("Edit", key=f"class_edit_{class_id}", icon=":material/edit:", type="tertiary"):
        _open("edit", class_id)
    menu = f"class_more_{class_id}"
    picked = st.menu_button("More", list(MORE), format_func=MORE.__getitem__, key=menu, type="tertiary")
    if picked in ("merge", "split"):
        _open(picked, class_id)
    elif picked == "retire" and _try(classes.retire_class, class_id):
        st.toast(f"“{plain(label_class.name)}” is out of use; its labels stay.", icon=":material/inventory_2:")
        st.rerun(scope="fragment")


def _gone(label_class: ClassDetail, names: dict[int, str], owner: bool) -> None:
    """One class that cannot be chosen any more."""
    into = label_class.merged_into
    state = "split" if label_class.split else "retired"
    state = state if into is None else f"merged into {plain(names[into])}"
    labels = f" · {_count(label_class.labels, 'label')}" if label_class.labels else ""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"{plain(label_class.name)} :small[:gray[{state}{labels}]]", width="content")
        if owner:
            st.button(
                "Bring back", key=f"class_back_{label_class.id}", icon=":material/undo:", type="tertiary",
                on_click=_back, args=(label_class.id,),
            )  # fmt: skip


@st.dialog("Class", width="medium", icon=":material/category:")
def _edit(label_class: ClassDetail, there: list[ClassDetail]) -> None:
    """Everything that can be said of a class."""
    owners = {c.key: c.name for c in there if c.key and c.id != label_class.id and not c.retired and not c.merged_into}
    name = st.text_input("Name", label_class.name, max_chars=MAX_NAME)
    left, right = st.columns(2, vertical_alignment="bottom")
    key = left.selectbox(
        "Key", ["", *KEYS], index=["", *KEYS].index(label_class.key or ""),
        format_func=lambda k: (f"{k}, from “{owners[k]}”" if k in owners else k) or "none",
    )  # fmt: skip
    with right.container(horizontal=True, vertical_alignment="center"):
        coloured = st.toggle("Colour", label_class.colour is not None)
        picked = st.color_picker("Its colour", label_class.colour or COLOUR, label_visibility="collapsed",
                                 disabled=not coloured)  # fmt: skip
    description = st.text_area(
        "Description", label_class.description, max_chars=MAX_DESCRIPTION, height=80,
        placeholder="What belongs to it, and what does not.",
    )  # fmt: skip
    examples = _examples(label_class)
    if st.button("Save", type="primary"):
        changes = {
            "name": name, "key": key, "take_key": True, "colour": picked if coloured else None,
            "description": description, "examples": examples,
        }  # fmt: skip
        try:
            classes.edit_class(current.workspace(), current.actor(), label_class.id, classes.class_changes(**changes))
        except AskwiseError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
        st.rerun()


def _examples(label_class: ClassDetail) -> list[int]:
    """Which items show the class: chosen among those that are labeled so."""
    st.markdown("Examples", help=f"People see them while they label; up to {MAX_EXAMPLES}.")
    there = classes.items_of_class(current.workspace(), current.actor(), label_class.id)
    if not there:
        quiet("As soon as items are labeled as this class, some of them can be chosen as examples.")
        return label_class.examples
    chosen = []
    with st.container(height=320, border=True), st.grid(min_column_width=110 if there[0].pictured else 220):
        for item in there:
            with st.container(gap="xsmall"):
                _item(item)
                if st.checkbox("Example", item.id in label_class.examples, key=f"example_{label_class.id}_{item.id}"):
                    chosen.append(item.id)
    if len(chosen) > MAX_EXAMPLES:
        st.markdown(f":orange[These are {len(chosen)}; up to {MAX_EXAMPLES} are taken.]")
    return chosen[:MAX_EXAMPLES]


def _item(item: ClassItem) -> None:
    if item.pictured:
        try:
            st.image(thumbnail(item.id), width="stretch", alt=item.external_id)
            return
        except AskwiseError as error:
            quiet(plain(str(error)))
            return
    said = item.text or ", ".join(f"{name}: {value}" for name, value in (item.fields or {}).items())
    quiet(plain(said if len(said) <= SHORT else said[: SHORT - 1] + "…"))


@st.dialog("Merge", icon=":material/merge:")
def _merge(label_class: ClassDetail, there: list[ClassDetail]) -> None:
    """Let a class stand for another one."""
    others = {c.id: c.name for c in there if c.id != label_class.id and not c.retired and c.merged_into is None}
    if not others:
        quiet("There is no other class to merge it into.")
        return
    into = st.selectbox(f"“{plain(label_class.name)}” stands for", list(others), format_func=others.__getitem__)
    quiet(
        f"{_count(label_class.labels, 'label').capitalize()} of it will count as “{plain(others[into])}”. "
        "Every answer stays as it was given, so the two can be taken apart again."
    )
    if st.button("Merge", type="primary", icon=":material/merge:"):
        try:
            merging.merge_class(current.workspace(), current.actor(), label_class.id, into)
        except AskwiseError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
        st.rerun()


@st.dialog("Split", icon=":material/call_split:")
def _split(label_class: ClassDetail) -> None:
    """Let several classes take the place of one."""
    named = st.text_area(
        f"“{plain(label_class.name)}” becomes", placeholder="one class a line", key=f"class_parts_{label_class.id}"
    )
    quiet(
        f"{_count(label_class.labels, 'item').capitalize()} labeled so far will be asked again, among the new classes. "
        "Every answer stays as it was given, and counts again if you bring the class back."
    )
    parts = [line.strip() for line in named.splitlines() if line.strip()]
    if st.button("Split", type="primary", icon=":material/call_split:"):
        try:
            splitting.split_class(current.workspace(), current.actor(), label_class.id, parts)
        except AskwiseError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
        st.rerun()


def _swatch(colour: str | None) -> None:
    """A dot of the class's colour; a ring where it has none."""
    drawn = f'fill="{colour}" stroke="#8a8f94"' if colour else 'fill="none" stroke="#8a8f94" stroke-dasharray="2 2"'
    st.image(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="18" height="18"><circle cx="9" cy="9" r="7" {drawn}/></svg>',
        width=18, alt=f"colour {colour}" if colour else "no colour",
    )  # fmt: skip


def _open(dialog: str, class_id: int) -> None:
    """Open a dialog in the next run: one that a fragment opened would close when the fragment runs again."""
    st.session_state[DIALOG] = (dialog, class_id)
    st.rerun()


def _move(project_id: int, order: list[int], at: int, to: int) -> None:
    moved = list(order)
    moved.insert(to, moved.pop(at))
    _try(classes.order_classes, project_id, moved)


def _back(class_id: int) -> None:
    _try(merging.restore_class, class_id)


def _try(change: Callable[..., object], *given: object) -> bool:
    """Make a change as the acting user; what is wrong with it is said above the classes."""
    try:
        change(current.workspace(), current.actor(), *given)
    except AskwiseError as error:
        st.session_state[ERROR] = str(error)
        return False
    return True


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
