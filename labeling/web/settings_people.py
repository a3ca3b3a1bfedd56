"""Settings, People and answers: how many people answer an item, what becomes of their answers, how they are checked."""

import streamlit as st

from labeling.projects import MOST_BY_NEED, Settings
from labeling.web.frame import quiet
from labeling.web.settings_saving import Saving

ONCE, SAME, NEED = "once", "same", "need"
OPINIONS = {ONCE: "One", SAME: "The same number for each", NEED: "As many as it needs"}
ABOUT_OPINIONS = {
    ONCE: "The quickest: each item is answered once. Whether people agree is not seen.",
    SAME: "Each item is asked of so many different people. Where their answers are level, an expert decides.",
    NEED: "Each item is asked once, and again of somebody else only where people disagree, where whoever answered is "
    "often wrong, or where the model objects; never once its label is sure enough. Much cheaper than the same number "
    "for each.",
}
CONSENSUS = {
    "auto": ("By how many there are", "Majority until there is enough to compare people by; then people and items."),
    "majority": ("Majority", "The class that most people chose; people count alike. To be reckoned by hand."),
    "dawid_skene": (
        "Dawid-Skene", "Weighs each person by how often, and in which classes, they err: learned from all answers."
    ),
    "difficulty": (
        "People and items", "Weighs each person, and knows that some items are harder to tell for everybody."
    ),
    "crowdlab": ("CROWDLAB", "Weighs each person and the model beside them; for few answers an item."),
}  # fmt: skip
SUGGESTIONS = {"show": "Shown", "hide": "Hidden", "auto": "Until they do harm"}
ABOUT_SUGGESTIONS = {
    "show": "Quick to confirm, but people are pulled along where a suggestion is wrong.",
    "hide": "Every answer is a person’s own. The grid needs suggestions.",
    "auto": "Shown until the hidden ones tell that people are right less often with them; from then on, hidden.",
}


def show(setting: Saving, now: Settings) -> None:
    """The whole tab."""
    left, right = st.columns(2)
    with left, st.container(border=True, height="stretch"):
        _opinions(setting, now)
    with right, st.container(border=True, height="stretch"):
        _labels(setting, now)
    left, right = st.columns(2)
    with left, st.container(border=True, height="stretch"):
        _suggestions(setting, now)
    with right, st.container(border=True, height="stretch"):
        _checking(setting, now)


def mode(now: Settings) -> str:
    """Which of `OPINIONS` the settings come to."""
    if now.overlap == 1:
        return ONCE
    return NEED if now.opinions == "by_need" else SAME


def _asked(chosen: str, overlap: int) -> dict[str, object]:
    """The settings that a choice among `OPINIONS` comes to."""
    kept = {ONCE: 1, SAME: max(overlap, 2), NEED: max(overlap, MOST_BY_NEED)}[chosen]
    return {"opinions": "by_need" if chosen == NEED else "fixed", "overlap": kept}


def _opinions(setting: Saving, now: Settings) -> None:
    """How many answers an item gets."""
    st.subheader("How many answers an item gets", anchor=False)
    chosen = setting.several(
        "Answers of different people", "answers", st.radio, mode(now), lambda mode: _asked(mode, now.overlap),
        options=list(OPINIONS), format_func=OPINIONS.__getitem__,
    )  # fmt: skip
    quiet(ABOUT_OPINIONS[chosen])
    if chosen == ONCE:
        return
    left, right = st.columns(2)
    with left:
        setting(
            "Answers per item" if chosen == SAME else "At most", "overlap", st.number_input, now.overlap, int,
            min_value=2, max_value=100, step=1, help="Of different people.",
        )  # fmt: skip
    with right:
        if chosen == NEED:
            setting(
                "Until a label is this sure, in percent", "certainty", st.number_input, 100 * now.certainty,
                lambda v: v / 100, min_value=50.1, max_value=99.9, step=1.0, format="%.4g",
                help="How likely the label is right, by everything that people and the model say. What stays below "
                "it waits for an expert.",
            )  # fmt: skip


def _labels(setting: Saving, now: Settings) -> None:
    """How several answers become a label."""
    st.subheader("How answers become a label", anchor=False)
    chosen = setting(
        "Where several people answered", "consensus", st.selectbox, now.consensus, options=list(CONSENSUS),
        format_func=lambda name: CONSENSUS[name][0],
        help="What an expert decides on the Review page beats all answers, whatever is chosen here.",
    )  # fmt: skip
    quiet(CONSENSUS[chosen][1])
    setting(
        "The model learns how sure each label is", "soft_labels", st.toggle, now.soft_labels, bool,
        help="From how likely each class is, by all answers together; off: from the label alone.",
    )  # fmt: skip
    setting(
        "Experts see no names", "blind", st.toggle, now.blind, bool,
        help="On the Review page and on Insights, experts see “Person 3”, so that nobody decides by who said it.",
    )  # fmt: skip


def _suggestions(setting: Saving, now: Settings) -> None:
    """Whether the model's guess is seen, and how its pull is measured."""
    st.subheader("The model’s suggestion", anchor=False)
    chosen = setting(
        "While labeling", "suggestions", st.radio, now.suggestions, options=list(SUGGESTIONS),
        format_func=SUGGESTIONS.__getitem__, horizontal=True,
    )  # fmt: skip
    quiet(ABOUT_SUGGESTIONS[chosen])
    setting(
        "Hidden for so many of the items, in percent", "hidden_share", st.number_input, 100 * now.hidden_share,
        lambda v: v / 100, min_value=0.0, max_value=50.0, step=5.0, format="%.4g",
        help="By lot, for each person and item. What people answer there tells how far suggestions pull them along "
        "elsewhere: Insights, People.",
    )  # fmt: skip
    if chosen == "auto" and not now.hidden_share:
        quiet(":material/info: Whether they do harm can only be told where some are hidden: 10 percent will do.")


def _checking(setting: Saving, now: Settings) -> None:
    """Gold items."""
    st.subheader("Gold items", anchor=False)
    setting(
        "So many of the items asked, in percent", "gold_share", st.number_input, 100 * now.gold_share,
        lambda v: v / 100, min_value=0.0, max_value=50.0, step=5.0, format="%.4g",
        help="As long as there are gold items that a person has not answered.",
    )  # fmt: skip
    quiet(
        "Items with a known answer, asked unseen among the others: they tell a person who does not look from one who "
        "errs. Make some on the Review page: decide on an item and press `g`. How people fare: Insights, People."
    )
