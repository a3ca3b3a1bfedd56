"""Settings: classes, words for them, what people are told, what is asked of whom, what learns, near-duplicates, and the
history.
"""

import streamlit as st

from labeling import projects
from labeling.db.schema import Role
from labeling.projects import MAX_GUIDELINES, ProjectSummary
from labeling.web import current, frame, settings_classes, settings_history, settings_near, settings_people
from labeling.web.frame import plain, quiet
from labeling.web.settings_saving import ERROR, Saving

STRATEGIES = {
    "adaptive": "Spreads out over the pool first, then asks where most of the model's doubt is: the one to begin with.",
    "uncertainty_herding": "Asks doubtful items that many other doubtful items resemble, unlike what was asked.",
    "coverage": "Asks typical items, spread out over the pool; it needs no model.",
    "margin": "Asks where the two likeliest classes are closest to each other; the quickest on large pools.",
    "least_confident": "Asks where the likeliest class is least likely.",
    "entropy": "Asks where the probabilities are spread over many classes.",
    "expected_error": "Asks what would lower the error over the pool most, once known; for answers that are dear.",
    "expected_change": "Asks what would move the model most.",
    "badge": "Asks items that are doubtful and different from each other, for large batches.",
    "density": "Asks items that are doubtful and like the rest of the pool, so no odd ones.",
    "committee": "Asks where different kinds of classifier disagree.",
    "random": "Asks by lot: the control in every comparison.",
}
HEADS = {
    "default": ("Shaped by the pool", "Logistic regression along the directions in which the pool itself varies."),
    "logistic": ("Plain", "Logistic regression on the features as they are."),
}
NEAR = {"ask": "Each is asked", "once": "One of each group is asked"}


def asked() -> None:
    """What is asked next, and for how long."""
    now = detail.settings
    st.subheader("What is asked", anchor=False)
    names = projects.strategy_names()
    there = names if now.strategy in names else [now.strategy, *names]
    strategy = setting("What is asked next", "strategy", st.selectbox, now.strategy, options=there)
    quiet(STRATEGIES.get(strategy, "A strategy of another package."))
    left, right = st.columns(2)
    with left:
        setting(
            "Held for a person, in seconds", "lease_seconds", st.number_input, now.lease_seconds, int, min_value=1,
            max_value=86_400, step=30, help="After that, an item that somebody left is asked of others.",
        )  # fmt: skip
    with right:
        setting(
            "Accuracy to reach, in percent", "target_accuracy", st.number_input,
            None if now.target_accuracy is None else 100 * now.target_accuracy,
            lambda v: None if v is None else v / 100, min_value=1.0, max_value=99.9, step=1.0, format="%.4g",
            placeholder="none", help="Insights estimates how many more labels and hours that takes.",
        )  # fmt: skip
    columns = projects.columns_of(current.workspace(), current.actor(), project.id)
    if columns or now.columns:
        setting(
            "Columns shown first", "columns", st.multiselect, now.columns,
            options=list(dict.fromkeys([*columns, *now.columns])), placeholder="in the order of the file",
            help="Of a row, while labeling; the others are below them.",
        )  # fmt: skip


def learned() -> None:
    """How an item becomes a vector, and what learns from vectors."""
    from labeling.web import settings_encoder  # heavy, and often not looked at

    now = detail.settings
    st.subheader("What learns", anchor=False)
    settings_encoder.show(project, now.encoder, owner)
    head = setting(
        "Model", "head", st.radio, now.head, options=list(HEADS), format_func=lambda h: HEADS[h][0],
        horizontal=True,
    )  # fmt: skip
    quiet(HEADS[head][1])


def told() -> None:
    """What people read before they answer."""
    setting(
        "Guidelines", "guidelines", st.text_area, detail.guidelines, height=220, max_chars=MAX_GUIDELINES,
        placeholder="What counts as what, and what to do in doubt.",
        help="People see them while they label, also those who are labeling now.",
    )  # fmt: skip


project: ProjectSummary = frame.current_project("Settings")
owner = project.role is Role.OWNER
setting = Saving(project.id, owner)
detail = projects.read_project(current.workspace(), current.actor(), project.id)
if not owner:
    st.info("These are for you to read; the project's owners can change them.", icon=":material/lock:")
if error := st.session_state.pop(ERROR, None):
    st.error(plain(error), icon=":material/error:")

class_tab, word_tab, asking_tab, people_tab, near_tab, history_tab = st.tabs(
    [
        ":material/category: Classes", ":material/translate: Words", ":material/tune: Labeling",
        ":material/group: People and answers", ":material/content_copy: Near-duplicates",
        ":material/history: History",
    ],
    on_change="rerun", key="settings_tab",
)  # fmt: skip
with class_tab:
    if class_tab.open:
        settings_classes.show(project)
with word_tab:
    if word_tab.open:
        from labeling.web import settings_words  # heavy, and often not looked at

        settings_words.show(project)
with asking_tab:
    if asking_tab.open:
        with st.container(border=True):
            told()
        left, right = st.columns(2)
        with left, st.container(border=True, height="stretch"):
            asked()
        with right, st.container(border=True, height="stretch"):
            learned()
        from labeling.web import settings_tuning  # as heavy

        settings_tuning.show(project)
with people_tab:
    if people_tab.open:
        settings_people.show(setting, detail.settings)
with near_tab:
    if near_tab.open:
        setting(
            "Items that are nearly the same", "near_duplicates", st.radio, detail.settings.near_duplicates,
            options=list(NEAR), format_func=NEAR.__getitem__, horizontal=True,
            help="Those that are not asked stay in exports, with the item that they are nearly the same as.",
        )  # fmt: skip
        settings_near.show(project)
with history_tab:
    if history_tab.open:
        settings_history.show(project)
