"""Insights, People, for experts and owners: how far wrong suggestions pull people along, and what to do about it."""

from typing import Any, Literal

import pandas as pd
import streamlit as st

from labeling import projects
from labeling.db.schema import Role
from labeling.errors import AskwiseError
from labeling.projects import ProjectSummary, Settings
from labeling.web import current
from labeling.web.frame import NOTHING, plain, quiet

ERROR = "insights_pull_error"
SHARE = 0.1  # of items, without a suggestion, where somebody begins to measure


def show(project: ProjectSummary, pull: dict[str, Any] | None, names: dict[int, str]) -> None:
    """What suggestions do to people.

    Parameters
    ----------
    pull
        A `labeling.assurance.suggestion_pull.SuggestionPull`, with the ids of people and classes; None before there is
        any answer to tell by.
    names
        Of the people.
    """
    detail = projects.read_project(current.workspace(), current.actor(), project.id)
    owner = project.role is Role.OWNER
    st.subheader("The pull of suggestions", anchor=False)
    if error := st.session_state.pop(ERROR, None):
        st.error(plain(error), icon=":material/error:")
    if pull is None:
        _not_yet(project, detail.settings, owner=owner)
        return
    overall = pull["overall"]
    st.markdown(told(overall))
    st.markdown(on_balance(pull))
    _what_to_do(project, pull, detail.settings, owner=owner)
    left, right = st.columns(2)
    with left:
        _table("Person", {names.get(int(who), "somebody"): one for who, one in pull["by_person"].items()})
    with right:
        classes = {str(c.id): c.name for c in detail.classes}
        _table("Class", {classes.get(which, "out of use"): one for which, one in pull["by_class"].items()})
    quiet(
        "Intervals are at 99 %. What is right is what an expert decided, or what two others say who saw no suggestion. "
        f"{_running(detail.settings)}"
    )


def _not_yet(project: ProjectSummary, settings: Settings, *, owner: bool) -> None:
    """How to measure it."""
    why = "Suggestions are quick to confirm, and pull people along where they are wrong."
    if settings.suggestions == "hide":
        quiet(f"{why} In this project they are hidden, so there is nothing to measure.")
    elif settings.hidden_share:
        quiet(
            f"{why} They are hidden for {settings.hidden_share:.0%} of the items, by lot; what that comes to is here "
            "as soon as it is known what such items are: gold items, or where two others say so who saw no suggestion."
        )
    else:
        quiet(
            f"{why} How far is told by hiding them for a share of the items, by lot, and looking whether people make "
            "the same errors there."
        )
        if owner:
            st.button(
                f"Hide them for {SHARE:.0%} of the items", icon=":material/science:", key="insights_pull_begin",
                on_click=_set, args=(project.id, {"hidden_share": SHARE}),
            )  # fmt: skip
        else:
            quiet("The project’s owners can begin, on the Settings page.")


def told(of: dict[str, Any]) -> str:
    """What wrong suggestions did, in two sentences."""
    shown, hidden = of["shown"], of["hidden"]
    if not shown:
        return "No wrong suggestion was shown yet whose item is known, so there is no pull to see."
    followed = f"Of **{shown:,}** wrong suggestion{_s(shown)} shown, **{of['shown_alike'] / shown:.0%}** were followed"
    if not hidden:
        return f"{followed}; none was hidden yet, so how often people err alike by themselves is not known."
    pull = of["pull"]
    return (
        f"{followed}; alone, the same error was made in **{of['hidden_alike'] / hidden:.0%}** of {hidden:,}. Seeing it "
        f"changes that by **{_points(pull['value'])}** ({_between(pull)})."
    )


def on_balance(pull: dict[str, Any]) -> str:
    """What all suggestions do, right ones too."""
    shown, hidden, net = pull["shown"], pull["hidden"], pull["net"]
    if not shown or not hidden:
        return "On balance: not known before some were shown and some were hidden."
    return (
        f"On balance, right ones too: **{pull['right_shown'] / shown:.0%}** of {shown:,} answers are right with "
        f"suggestions, **{pull['right_hidden'] / hidden:.0%}** of {hidden:,} without: {_points(net['value'])} "
        f"({_between(net)})."
    )


def verdict(pull: dict[str, Any]) -> Literal["harm", "pull and help", "pull", "help", "unknown"]:
    """What the intervals tell."""
    if pull["harmful"]:
        return "harm"
    pulls, helps = (pull["overall"]["pull"]["low"] or -1) > 0, (pull["net"]["low"] or -1) > 0
    if pulls:
        return "pull and help" if helps else "pull"
    return "help" if helps else "unknown"


DO = {
    "harm": ":orange[:material/warning:] **They do harm on balance.** Hide them.",
    "pull and help": "**They pull, and help on balance.** Keep them, and tell those who follow most.",
    "pull": "**They pull people along**, and whether they help on balance is not known yet. Hide more of them, or let "
    "the project hide all by itself as soon as they are found to do harm.",
    "help": "**They help on balance**, and no pull is seen. Keep them.",
    "unknown": "**Not known yet**: the intervals are too wide. More answers tell, sooner where more are hidden.",
}


def _what_to_do(project: ProjectSummary, pull: dict[str, Any], settings: Settings, *, owner: bool) -> None:
    found = verdict(pull)
    st.markdown(DO[found])
    if not owner or settings.suggestions == "hide":
        return
    if found == "harm":
        st.button(
            "Hide suggestions", icon=":material/visibility_off:", key="insights_pull_hide", on_click=_set,
            args=(project.id, {"suggestions": "hide"}),
        )  # fmt: skip
    elif found in ("pull", "unknown") and settings.suggestions == "show":
        st.button(
            "Let the project hide them where they do harm", icon=":material/auto_mode:", key="insights_pull_auto",
            on_click=_set, args=(project.id, {"suggestions": "auto"}),
        )  # fmt: skip


def _running(settings: Settings) -> str:
    if settings.suggestions == "hide":
        return "Suggestions are hidden now."
    if not settings.hidden_share:
        return "None is hidden now, so nothing is measured any more."
    return f"They are hidden for {settings.hidden_share:.0%} of the items, by lot."


def _set(project_id: int, changes: dict[str, object]) -> None:
    try:
        projects.update_settings(current.workspace(), current.actor(), project_id, changes)
        st.toast("Saved", icon=":material/check:")
    except AskwiseError as error:
        st.session_state[ERROR] = str(error)


def _table(of: str, found: dict[str, dict[str, Any]]) -> None:
    """The pull on each person, or in each class; the strongest first."""
    if not found:
        return
    rows = [
        {
            of: name, "Wrong ones shown": one["shown"],
            "Followed": 100 * one["shown_alike"] / one["shown"] if one["shown"] else None,
            "Hidden": one["hidden"], "Alone": 100 * one["hidden_alike"] / one["hidden"] if one["hidden"] else None,
            "Pull": None if one["pull"]["value"] is None else 100 * one["pull"]["value"],
            "Between": None if one["pull"]["value"] is None else _between(one["pull"]),
        }
        for name, one in found.items()
    ]  # fmt: skip
    rows.sort(key=lambda row: (row["Pull"] is None, -(row["Pull"] or 0)))
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, placeholder=NOTHING, key=f"insights_pull_{of.lower()}", lazy=False,
        alt=f"The pull of suggestions by {of.lower()}", height=min(38 + 35 * len(rows), 400),
        column_config={
            "Followed": number(format="%.0f %%", help="How often a wrong suggestion that was shown was answered."),
            "Hidden": number(help="Wrong suggestions that were not shown."),
            "Alone": number(format="%.0f %%", help="How often they were answered all the same."),
            "Pull": number(format="%+.0f", help="Followed less alone, in percentage points."),
            "Between": st.column_config.Column(help="Its interval at 99 %."),
            of: st.column_config.Column(of, help="What the item is." if of == "Class" else None),
        },
    )  # fmt: skip


def _points(share: float) -> str:
    return f"{100 * share:+.0f} points".replace("-", "−")


def _between(estimate: dict[str, Any]) -> str:
    return f"{100 * estimate['low']:+.0f} to {100 * estimate['high']:+.0f}".replace("-", "−")


def _s(count: int) -> str:
    return "" if count == 1 else "s"
