"""Insights, People, for experts and owners: who answers how well, by what evidence, and whose answers are set aside."""

import pandas as pd
import streamlit as st

from labeling import projects
from labeling.annotation import team
from labeling.annotation.team import Member
from labeling.db.schema import Role
from labeling.errors import AskwiseError
from labeling.learning.behind import Checked
from labeling.learning.people_records import Record, Records
from labeling.projects import ProjectSummary
from labeling.web import current, frame
from labeling.web.frame import NOTHING, plain, quiet
from labeling.web.insights_items import pick

ERROR = "insights_quality_error"
OF_GOLD = ["Gold right", "Others would", "Of gold", "Careless", "Between"]
ENOUGH = 50  # gold items that tell a careless person from others, as measured
FOLLOWS = (
    "Their answers count for nothing from then on: labels are derived anew without them, and the model learns without "
    "them. Nothing is deleted, and it can be taken back at any time."
)


def show(project: ProjectSummary, known: Records, row: str) -> None:
    """Who answers how well; `row` names the choice of figures that shows the items behind one."""
    owner = project.role is Role.OWNER
    members = team.list_team(current.workspace(), current.actor(), project.id) if owner else []
    st.subheader("How well people answer", anchor=False)
    if error := st.session_state.pop(ERROR, None):
        st.error(plain(error), icon=":material/error:")
    names = {one.user_id: one.name for one in known.people} | {member.user_id: member.name for member in members}
    aside = {m.user_id for m in members if m.set_aside is not None}
    aside |= {one.user_id for one in known.people if one.set_aside is not None}
    for one in known.people:
        if one.flagged and one.user_id not in aside:
            _flagged(project, one, names[one.user_id], row, owner=owner)
    for user_id in sorted(aside, key=lambda who: names[who]):
        _set_aside(project, user_id, names[user_id], owner=owner)
    counted = [one for one in known.people if one.user_id not in aside]
    if counted:
        _table(counted, names)
    elif not aside:
        quiet("As soon as answers have been weighed, how well each person answers is here.")
    if owner and (others := [m for m in members if _may_go(m) and not _is_flagged(m, known)]):
        _choose(project, others)
    _gold(project, known.gold_items, owner=owner)


def evidence(one: Record) -> str:
    """What gold items say of a person, in one sentence."""
    gold = one.gold
    if gold is None:
        return "No gold item was answered yet."
    wrong, others = gold["answered"] - gold["right"], gold["answered"] - gold["expected_right"]
    return (
        f"Wrong on {wrong} of {gold['answered']} gold items where others would be wrong on {others:.0f}; "
        f"about {gold['share']:.0%} of the answers have nothing to do with the item ({gold['low']:.0%} to "
        f"{gold['high']:.0%})."
    )


def _flagged(project: ProjectSummary, one: Record, name: str, row: str, *, owner: bool) -> None:
    with st.container(border=True):
        words, deed = st.columns([5, 1], vertical_alignment="center")
        with words.container(gap="xsmall"):
            st.markdown(f":orange[:material/flag:] **{plain(name)} seems to answer without looking**")
            st.markdown(evidence(one))
        deed.button(
            "Items", icon=":material/search:", type="tertiary", key=f"evidence_{one.user_id}", on_click=pick,
            args=(row, Checked(user_id=one.user_id, right=False)), help="The gold items answered wrongly, below.",
        )  # fmt: skip
        if owner:
            with deed.popover("Set aside", icon=":material/person_off:", key=f"aside_{one.user_id}"):
                _confirm(project, one.user_id, name)


def _set_aside(project: ProjectSummary, user_id: int, name: str, *, owner: bool) -> None:
    with st.container(border=True):
        words, deed = st.columns([3, 1], vertical_alignment="center")
        words.markdown(f":material/person_off: The answers of **{plain(name)}** are set aside: they count for nothing.")
        if owner:
            deed.button(
                "Let them count again", icon=":material/undo:", key=f"back_{user_id}", on_click=_turn,
                args=(project.id, user_id, False), help="Labels are derived anew, and the model learns with them.",
            )  # fmt: skip


def _confirm(project: ProjectSummary, user_id: int, name: str) -> None:
    """What setting a person's answers aside leads to, and the button that does it."""
    st.markdown(f"Set the answers of **{plain(name)}** aside?")
    st.markdown(FOLLOWS)
    st.button(
        "Set their answers aside", type="primary", key=f"sure_{user_id}", on_click=_turn,
        args=(project.id, user_id, True),
    )  # fmt: skip


def _turn(project_id: int, user_id: int, aside: bool) -> None:
    try:
        team.set_aside(current.workspace(), current.actor(), project_id, user_id, aside=aside)
        said = "Set aside. Labels and the model follow." if aside else "They count again. Labels and the model follow."
        st.toast(said, icon=":material/check:")
    except AskwiseError as error:
        st.session_state[ERROR] = str(error)


def _may_go(member: Member) -> bool:
    return member.set_aside is None and member.answers > 0


def _is_flagged(member: Member, known: Records) -> bool:
    return any(one.flagged and one.user_id == member.user_id for one in known.people)


def _choose(project: ProjectSummary, members: list[Member]) -> None:
    """Anybody's answers may be set aside, by whoever owns the project."""
    names = {member.user_id: member.name for member in members}
    with st.popover("Set somebody’s answers aside", icon=":material/person_off:", type="tertiary", key="aside_other"):
        user_id = st.selectbox(
            "Whose", list(names), index=None, format_func=names.__getitem__, key="insights_aside_whose",
            placeholder="Choose a person",
        )  # fmt: skip
        if user_id is not None:
            _confirm(project, user_id, names[user_id])


def _table(people: list[Record], names: dict[int, str]) -> None:
    rows = []
    for one in people:
        gold = one.gold or {}
        rows.append(
            {
                "Person": names[one.user_id], "Right": _percent(one.accuracy), "As others": _percent(one.agreement),
                "Gold right": gold.get("right"), "Others would": gold.get("expected_right"),
                "Of gold": gold.get("answered"), "Careless": _percent(gold.get("share")),
                "Between": f"{gold['low']:.0%} and {gold['high']:.0%}" if gold else None,
                "Seconds": one.seconds, "Answers": one.answers,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows)
    if not any(one.gold for one in people):
        table = table.drop(columns=OF_GOLD)
    number, percent = st.column_config.NumberColumn, "%.0f %%"
    st.dataframe(
        table, hide_index=True, placeholder=NOTHING, key="insights_quality", alt="How well each person answers",
        lazy=False, column_config={
            "Right": number(format=percent, help="How often an answer is right, as all answers together tell."),
            "As others": number(
                format=percent, help="How often an answer is what most of the others say, where these prefer a class."
            ),
            "Gold right": number(help="Gold items answered as they should be."),
            "Others would": number(format="%.0f", help="How many of these gold items others would have right."),
            "Of gold": number(help="Gold items that the person has answered."),
            "Careless": number(
                format=percent, help="Estimated share of answers that have nothing to do with the item."
            ),
            "Between": st.column_config.Column(help="Its interval at 95 %."),
            "Seconds": number(format="%.1f", help="An item, the median."),
        },
    )  # fmt: skip


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _gold(project: ProjectSummary, items: int, *, owner: bool) -> None:
    """How many gold items there are, and how to come by some."""
    how = "On the Review page, decide on an item and press `g` to keep it as gold."
    if not items:
        quiet(
            "There are no gold items yet: items with a known answer, asked unseen among the others, by which a person "
            f"who does not look is told from one who errs. {how} About {ENOUGH} are enough."
        )
    else:
        share = projects.read_project(current.workspace(), current.actor(), project.id).settings.gold_share
        more = f" {how} About {ENOUGH} are enough." if items < ENOUGH else ""
        asked = f"{share:.0%} of what is asked is gold" if share else "none of them is asked, as Settings are now"
        quiet(
            f"{items:,} gold item{'' if items == 1 else 's'}: each person is asked them unseen among the others; "
            f"{asked}.{more} A person is flagged once their errors on gold items can hardly be chance: the risk that "
            "anybody of all who look is ever flagged came to less than 1 % in simulations."
        )
    with st.container(horizontal=True):
        if st.button("Go to Review", icon=":material/gavel:", type="tertiary", key="insights_to_review"):
            frame.go_to("review", project.id)
        if owner and st.button("Share of gold items", icon=":material/tune:", type="tertiary", key="insights_to_gold"):
            frame.go_to("settings", project.id)
