"""The encoder on the Settings page: what tells items apart, with which weights, what is being made, what is at hand."""

from contextlib import suppress

import streamlit as st

from labeling import projects
from labeling.errors import AskwiseError
from labeling.features.choices import (
    EncoderChoice,
    EncoderChoices,
    FeatureState,
    encode_again,
    encoder_choices,
    feature_state,
)
from labeling.projects import ProjectSummary
from labeling.web import current
from labeling.web.frame import plain, quiet

AUTO = "auto"  # the best for the kind of item that needs no download
ERROR = "settings_encoder_error"
LONGEST = 500  # characters of a spec


def show(project: ProjectSummary, setting: str, owner: bool) -> None:
    """The choice, and how things stand with it."""
    if error := st.session_state.pop(ERROR, None):
        st.error(plain(error), icon=":material/error:")
    choices: EncoderChoices | None = None
    if project.items:
        with suppress(AskwiseError):  # items whose kind is not known yet, say
            choices = encoder_choices(current.workspace(), current.actor(), project.id)
    about = {c.name: c for c in choices.choices} if choices else {}
    picked = _choose(project.id, setting, about, owner)
    best = next((c.name for c in about.values() if c.best), None)
    chosen = about.get(best if picked == AUTO and best else picked)
    if chosen is not None:
        quiet(" ".join(filter(None, (plain(chosen.about), plain(chosen.measured)))))
        _weights(project.id, setting, chosen, owner)
    elif picked == AUTO:
        quiet("The best for the kind of item that is imported, of those that need no download.")
    if choices is not None:
        _state(project.id, owner)
        _at_hand(project.id, choices, owner)
        if choices.better and not (chosen and chosen.default):
            quiet(f":material/lightbulb: {plain(choices.better)}")


def _choose(project_id: int, setting: str, about: dict[str, EncoderChoice], owner: bool) -> str:
    """The name of the encoder that is shown: the one in use, or one whose weights are still to be named."""
    name = setting.partition(":")[0]
    known = [AUTO, *about] if about else list(projects.ENCODERS)
    options = known if name in known else [name, *known]
    key, pending = f"setting_encoder_{project_id}", f"pending_encoder_{project_id}"
    shown = st.session_state.get(pending, name)
    st.session_state[key] = shown if shown in options else name
    best = next((c.name for c in about.values() if c.best), None)

    def picked() -> None:
        wanted = st.session_state[key]
        st.session_state.pop(pending, None)
        if wanted == name:
            return
        if wanted in about and about[wanted].default:
            st.session_state[pending] = wanted  # its weights come first: to make its features may take a while
        else:
            use(project_id, wanted)

    return str(
        st.selectbox(
            "How items are told apart", options, key=key, on_change=picked, disabled=not owner,
            format_func=lambda n: f"automatic: {best}" if n == AUTO and best else n,
        )
    )  # fmt: skip


def _weights(project_id: int, setting: str, chosen: EncoderChoice, owner: bool) -> None:
    """Which weights a pretrained encoder has, or how to get it."""
    if chosen.missing:
        st.markdown(f":material/download: {plain(chosen.missing)}")
    if not chosen.default or chosen.missing:
        return
    name, _, now = setting.partition(":")
    in_use = name == chosen.name
    with st.form(f"weights_{chosen.name}_{project_id}", border=False):
        spec = st.text_input(
            "Weights", now if in_use else "", placeholder=chosen.default, max_chars=LONGEST, disabled=not owner,
            key=f"weights_of_{chosen.name}_{project_id}_{now if in_use else ''}",
        )  # fmt: skip
        quiet(plain(chosen.ways))
        if st.form_submit_button(f"Use {chosen.name}", icon=":material/check:", disabled=not owner):
            spec = spec.strip()
            use(project_id, f"{chosen.name}:{spec}" if spec else chosen.name)
            st.rerun()


def use(project_id: int, setting: str) -> None:
    """Let the project's items be told apart so from now on."""
    try:
        projects.update_settings(current.workspace(), current.actor(), project_id, {"encoder": setting})
        st.session_state.pop(f"pending_encoder_{project_id}", None)
        st.toast("Saved", icon=":material/check:")
    except AskwiseError as error:
        st.session_state[ERROR] = str(error)


@st.fragment(run_every="2s")
def _state(project_id: int, owner: bool) -> None:
    """What is being made, or why it was not."""
    try:
        state = feature_state(current.workspace(), current.actor(), project_id)
    except AskwiseError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    before = st.session_state.get(f"features_live_{project_id}")
    st.session_state[f"features_live_{project_id}"] = state.live
    if before not in (None, state.live):
        st.rerun()  # what is at hand has changed, too
    if state.coming:
        st.progress(state.share, text=plain(state.message))
        quiet(plain(meanwhile(state)))
    elif state.problem:
        st.error(plain(f"{state.problem} {meanwhile(state)}".strip()), icon=":material/error:")
        if owner:
            st.button(
                "Try again", icon=":material/refresh:", key=f"encode_again_{project_id}", on_click=_again,
                args=(project_id,),
            )  # fmt: skip


def _again(project_id: int) -> None:
    try:
        encode_again(current.workspace(), current.actor(), project_id)
    except AskwiseError as error:
        st.session_state[ERROR] = str(error)


def meanwhile(state: FeatureState) -> str:
    """What the model learns from while others are made, or because they cannot be."""
    if not state.live or state.live == state.coming:
        return ""
    if state.coming:
        return f"Until {state.coming} has every item, the model learns from {state.live}."
    return f"The model goes on with {state.live}."


def _at_hand(project_id: int, choices: EncoderChoices, owner: bool) -> None:
    """Features that are there already, to go back to."""
    if len(choices.kept) < 2:
        return
    quiet("**At hand**: their features are there already, so to go back is instant.")
    for kept in choices.kept:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            spec = f" :gray[{plain(kept.spec)}]" if kept.spec else ""
            st.markdown(f":small[{plain(kept.name)}{spec} :gray[· {kept.rows:,} items]]", width="content")
            if kept.live:
                st.badge("in use", color="green", width="content")
            else:
                st.button(
                    "Go back", key=f"use_{kept.setting}", icon=":material/undo:", type="tertiary", disabled=not owner,
                    on_click=use, args=(project_id, kept.setting), width="content",
                )  # fmt: skip
