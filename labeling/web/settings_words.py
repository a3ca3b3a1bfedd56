"""The words for the classes on the Settings page: templates and descriptions, and what they would do."""

from typing import Any

import pandas as pd
import streamlit as st

from labeling import classes, projects
from labeling.classes import MAX_PROMPTS
from labeling.db.schema import Role
from labeling.errors import AskwiseError
from labeling.learning import word_preview
from labeling.learning.word_preview import PreviewItem, ProjectWords, Texts, Waiting, WordPreview
from labeling.projects import ProjectSummary
from labeling.web import current, frame
from labeling.web.frame import plain, quiet
from labeling.web.thumbnails import thumbnail

TEMPLATES = 0  # in a draft, beside the ids of classes
PAGE = 20  # classes at a time
SHORT = 160  # characters of a text
ROWS = 10  # classes of the table before it scrolls
ROW_HEIGHT = 35  # pixels
FIELD = 80  # pixels: two lines and a bit

Draft = dict[int, str]  # what was typed and is not saved, by class id or `TEMPLATES`


def show(project: ProjectSummary) -> None:
    """The words, and their effect."""
    if not project.items:
        frame.empty("translate", "No items yet", "After an import, words for the classes sort the items.")
        return
    words = word_preview.read_words(current.workspace(), current.actor(), project.id)
    if words.hindrance:
        frame.empty("translate", "Words do nothing here yet", words.hindrance)
        _until_they_do(project.id)
        return
    if project.role is not Role.OWNER:
        _read_only(words)
        return
    draft = _draft(project.id)
    left, right = st.columns([2, 3], gap="medium")
    with left.container(border=True):
        _edit(project.id, words, draft)
    templates, prompts = given(words, draft)
    texts = words.texts(templates, prompts)
    with right.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.subheader("What they do", anchor=False, width="content")
            with st.container(horizontal=True, width="content"):
                if draft and st.button("Discard", icon=":material/undo:", type="tertiary"):
                    draft.clear()
                    st.rerun()
                if st.button("Save", type="primary", icon=":material/check:", disabled=not draft):
                    _save(project.id, words, draft)
        if same := word_preview.alike(words, texts):
            st.warning(plain(same), icon=":material/warning:")
        _effect(project.id, texts, bool(draft))


@st.fragment(run_every="2s")
def _until_they_do(project_id: int) -> None:
    """Show the words as soon as they count."""
    if not word_preview.read_words(current.workspace(), current.actor(), project_id).hindrance:
        st.rerun()


def given(words: ProjectWords, draft: Draft) -> tuple[list[str], dict[int, list[str]]]:
    """The templates, and the prompts of the classes whose prompts were edited."""
    templates = lines(draft[TEMPLATES]) if TEMPLATES in draft else words.templates
    return templates, {c.id: lines(draft[c.id]) for c in words.classes if c.id in draft}


def lines(text: str) -> list[str]:
    """What was typed, one a line, each once."""
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def _draft(project_id: int) -> Draft:
    draft: Draft = st.session_state.setdefault(f"words_draft_{project_id}", {})
    return draft


def _edit(project_id: int, words: ProjectWords, draft: Draft) -> None:
    """Templates, and a field for each class."""
    st.subheader("Words", anchor=False)
    quiet(
        "The model begins with what these texts say of each class, and goes on from there with labels. One a line; a "
        f"class without texts of its own is called by its name in the templates. Up to {MAX_PROMPTS} each."
    )
    saved = "\n".join(words.templates)
    _field("Templates", project_id, TEMPLATES, saved, draft, "\n".join(words.usual))
    pages = -(-len(words.classes) // PAGE)
    page = st.pagination(pages, key=f"words_page_{project_id}") if pages > 1 else 1
    templates, _ = given(words, draft)
    by_name = words.texts(templates, {c.id: [] for c in words.classes})
    for each in words.classes[(page - 1) * PAGE : page * PAGE]:
        own, instead = "\n".join(each.prompts), "\n".join(by_name[each.id])
        _field(plain(each.name), project_id, each.id, own, draft, instead)


def _field(label: str, project_id: int, of: int, saved: str, draft: Draft, instead: str) -> None:
    """A few lines of text; what is typed is kept until it is saved, also while other pages are shown."""
    key = f"words_{project_id}_{of}"
    shown = draft.get(of, saved)
    if st.session_state.get(key) != shown:  # to set it anew would take away what somebody is typing just now
        st.session_state[key] = shown
    st.text_area(
        label, key=key, height=FIELD, placeholder=instead,
        on_change=_typed, args=(project_id, of, key, saved),
    )  # fmt: skip


def _typed(project_id: int, of: int, key: str, saved: str) -> None:
    draft, text = _draft(project_id), st.session_state[key]
    if lines(text) == lines(saved):
        draft.pop(of, None)
    else:
        draft[of] = text


def _save(project_id: int, words: ProjectWords, draft: Draft) -> None:
    """Keep what was typed; the model learns from it by itself."""
    templates, prompts = given(words, draft)
    try:
        changes = {class_id: classes.class_changes(prompts=said) for class_id, said in prompts.items()}
        if TEMPLATES in draft:
            projects.update_settings(current.workspace(), current.actor(), project_id, {"templates": templates})
        for class_id, change in changes.items():
            classes.edit_class(current.workspace(), current.actor(), class_id, change)
    except AskwiseError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    draft.clear()
    st.toast("Saved; the model takes these words now", icon=":material/check:")
    st.rerun()


def _effect(project_id: int, texts: Texts, edited: bool) -> None:
    """What the words do, as soon as the worker has read them."""
    again = bool(st.session_state.get(f"words_again_{project_id}"))  # a button, pressed just now
    try:
        seen = word_preview.preview_words(current.workspace(), current.actor(), project_id, texts, again=again)
    except AskwiseError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    if isinstance(seen, WordPreview):
        _figures(seen, edited)
        _items(seen)
        _shares(seen, edited)
    elif seen.problem:
        st.error(plain(seen.why), icon=":material/error:")
        st.button("Try again", icon=":material/refresh:", key=f"words_again_{project_id}")
    else:
        _until_read(project_id, texts)


@st.fragment(run_every="1s")
def _until_read(project_id: int, texts: Texts) -> None:
    """Say what is waited for, until there is something to see."""
    try:
        seen = word_preview.preview_words(current.workspace(), current.actor(), project_id, texts)
    except AskwiseError:
        st.rerun()
    if not isinstance(seen, Waiting) or seen.problem:
        st.rerun()
    st.markdown(f":material/hourglass_top: {plain(seen.why)}")


def _figures(seen: WordPreview, edited: bool) -> None:
    of = f"{seen.sample:,} items" if seen.sample == seen.total else f"{seen.sample:,} of {seen.total:,} items"
    if edited:
        verb = "changes its class" if seen.changed == 1 else "change their class"
        st.markdown(f"**{seen.changed:,}** of {seen.sample:,} items {verb}.")
    quiet(f"By words alone, on {of}." + (" Those that change come first." if seen.changed else ""))
    if seen.labeled:
        was = f", {seen.right_before / seen.labeled:.0%} with the saved words" if edited else ""
        st.markdown(
            f"Right on **{seen.right_after / seen.labeled:.0%}** of {seen.labeled:,} labeled "
            f"item{'' if seen.labeled == 1 else 's'}{was}.",
            help="What was asked is often harder than the rest, so words may be right more often than this.",
        )


def _shares(seen: WordPreview, edited: bool) -> None:
    """How many of the sample each class takes, and how that moved."""
    rows = [{"Class": c.name, "Items": c.after, "Moved": c.after - c.before} for c in seen.classes]
    shown: dict[str, Any] = {
        "Items": st.column_config.ProgressColumn(
            format="%d", min_value=0, max_value=max(1, *(c.after for c in seen.classes)), color="primary"
        ),
        "Moved": st.column_config.NumberColumn(format="%+d", width="small") if edited else None,
    }
    height = ROW_HEIGHT * (min(len(rows), ROWS) + 1) + 3
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=shown, height=height)


def _items(seen: WordPreview) -> None:
    pictured = bool(seen.items) and seen.items[0].pictured
    with st.grid(min_column_width=104 if pictured else 220):
        for item in seen.items:
            with st.container(gap="xsmall"):
                _item(item)


def _item(item: PreviewItem) -> None:
    if item.pictured:
        try:
            st.image(thumbnail(item.id), width="stretch", alt=item.external_id)
        except AskwiseError as error:
            quiet(plain(str(error)))
    else:
        said = item.text or ", ".join(f"{name}: {value}" for name, value in (item.fields or {}).items())
        quiet(plain(said if len(said) <= SHORT else said[: SHORT - 1] + "…"))
    sure = f" :gray[{item.confidence:.0%}]"
    was = "" if item.before == item.after else f":gray[{plain(item.before)} →] "
    st.markdown(f":small[{was}**{plain(item.after)}**{sure}]")


def _read_only(words: ProjectWords) -> None:
    for each in words.classes:
        st.markdown(f"**{plain(each.name)}**  \n:small[:gray[{plain(' · '.join(words.texts()[each.id]))}]]")
