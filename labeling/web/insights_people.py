"""Insights, People: who answered how much, how well and how fast, and the time that an item takes."""

import altair as alt
import pandas as pd
import streamlit as st

from labeling.db.schema import Role
from labeling.errors import AskwiseError
from labeling.learning import insights
from labeling.learning.behind import By, Checked, Took, Which
from labeling.learning.insights import PeopleFigures, Person
from labeling.learning.pace import Bin, Duration, Durations
from labeling.learning.people_records import Records, read_records
from labeling.projects import ProjectSummary
from labeling.web import current, insights_items, insights_pull, insights_quality
from labeling.web.frame import NOTHING, plain, quiet
from labeling.web.insights_charts import HEIGHT, Layers, draw, selection, text_colour

ROW = "insights_people_row"
WHOSE = "insights_whose"
TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300]  # seconds
ROOM = 1.5  # beside the first and the last bar, as a ratio of seconds
HEADROOM = 1.25  # above the highest, for the words


@st.fragment(run_every="3s")
def show(project: ProjectSummary) -> None:
    """The whole tab, kept up to date."""
    try:
        seen = insights.read_people(current.workspace(), current.actor(), project.id, st.session_state.get(WHOSE))
    except AskwiseError as error:
        st.error(plain(str(error)))
        return
    if not seen.everybody:
        quiet("Nobody has answered yet.")
        return
    known = None
    if project.role is not Role.ANNOTATOR:
        known = read_records(current.workspace(), current.actor(), project.id)
    with st.container(border=True):
        _people(project, seen)
    if known is not None:
        with st.container(border=True):
            insights_quality.show(project, known, ROW)
    left, right = st.columns([3, 2])
    with left.container(border=True, height="stretch"):
        _times(seen)
    with right.container(border=True, height="stretch"):
        _by_class(seen.durations)
    hint = "Click a bar, or choose a person or a time: the answers"
    insights_items.choices(project, ROW, _figures(seen, known), hint)
    if known is not None:
        with st.container(border=True):
            insights_pull.show(project, known.pull, {one.user_id: one.name for one in known.people})


def _figures(seen: PeopleFigures, known: Records | None) -> dict[Which, str]:
    whose: int | None = st.session_state.get(WHOSE)
    checked = [(one, one.gold["answered"] - one.gold["right"]) for one in (known.people if known else []) if one.gold]
    gold: dict[Which, str] = {
        Checked(user_id=one.user_id, right=False): f"{one.name}: {wrong:,} gold item{'' if wrong == 1 else 's'} wrong"
        for one, wrong in checked
        if wrong
    }
    people: dict[Which, str] = {By(user_id=p.id): f"{p.name}: {_answers(p)}" for p in seen.people}
    return {
        **gold,
        **people,
        **{_took(b, whose): f"{_span(b)}: {b.answers:,} answers" for b in seen.durations.bins if b.answers},
    }


def _answers(person: Person) -> str:
    count = person.labels + person.unsure + person.skipped
    return f"{count:,} answer{'' if count == 1 else 's'}"


def _people(project: ProjectSummary, seen: PeopleFigures) -> None:
    """Who answered."""
    st.subheader("People", anchor=False)
    timed = {one.of: one for one in seen.durations.by_person}
    rows = [
        {
            "Person": p.name, "Labels": p.labels, "Unsure": p.unsure, "Skipped": p.skipped,
            "Labels an hour": p.per_hour,
            "Seconds an item": timed[p.id].median if p.id in timed else None, "Slow ones": timed[p.id].p90
            if p.id in timed else None, "Left open": timed[p.id].left_open if p.id in timed else 0,
            "Last answer": pd.Timestamp(p.last, unit="s", tz="UTC"),
        }
        for p in seen.people
    ]  # fmt: skip
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, placeholder=NOTHING, key="insights_people", alt="Answers per person",
        lazy=False, column_config={
            "Labels an hour": number(format="%.0f", help="While working: a gap of more than 5 minutes is a break."),
            "Seconds an item": number(format="%.1f", help="The median."),
            "Slow ones": number(format="%.1f", help="Nine in ten items take fewer seconds."),
            "Left open": number(help="Items looked at for more than 5 minutes; left out of the seconds."),
            "Last answer": st.column_config.DatetimeColumn("Last answer", format="distance"),
        },
    )  # fmt: skip
    if project.role is Role.ANNOTATOR:
        others = seen.everybody - len(seen.people)
        quiet(f"You see your own figures; {others} other people answered, whom experts and owners see.")


def _times(seen: PeopleFigures) -> None:
    """How long items take, of everybody or one person."""
    st.subheader("Time per item", anchor=False)
    names = {person.id: person.name for person in seen.people}
    if len(names) > 1:
        st.selectbox(
            "Whose", list(names), index=None, key=WHOSE, format_func=names.__getitem__, placeholder="everybody"
        )
    whose: int | None = st.session_state.get(WHOSE)
    taken = seen.durations
    every = taken.everything
    if not taken.bins or every.median is None or every.p90 is None:
        quiet("No times were taken yet.")
        return
    table = pd.DataFrame([{**b.model_dump(), "what": "bar", "span": _span(b)} for b in taken.bins])
    marks = pd.DataFrame(
        [
            {"what": "mark", "start": every.median, "line": 0, "name": f"median {_seconds(every.median)}"},
            {"what": "mark", "start": every.p90, "line": 1, "name": f"9 in 10 below {_seconds(every.p90)}"},
        ]
    )
    draw(
        _histogram(taken.bins).properties(height=HEIGHT), pd.concat([table, marks], ignore_index=True),
        "Answers by the seconds they took",
        row=ROW, key="insights_times", which=lambda mark: Took(low=mark["start"], high=mark["end"], user_id=whose),
    )  # fmt: skip
    quiet(f"{every.answers:,} answers; each step to the right is a third longer. {_cut(every)}")


def _cut(every: Duration) -> str:
    if not every.left_open:
        return "None took more than 5 minutes."
    count = "One more was" if every.left_open == 1 else f"{every.left_open:,} more were"
    return f"{count} open for more than 5 minutes, and left out."


def _histogram(bins: list[Bin]) -> Layers:
    picked = selection("start", "end")
    top = HEADROOM * max(one.answers for one in bins)
    scale = alt.Scale(type="log", nice=False, domain=[bins[0].start / ROOM, bins[-1].end * ROOM])
    x = alt.X("start:Q", scale=scale, title="seconds", axis=alt.Axis(values=TICKS, grid=False))
    bars = (
        alt.Chart()
        .transform_filter(alt.datum.what == "bar")
        .mark_bar(cursor="pointer", binSpacing=1, cornerRadiusEnd=2)
        .encode(
            x=x, x2="end:Q", y2=alt.Y2(datum=0),
            y=alt.Y(
                "answers:Q", title=None, axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(domain=[0, top])
            ),
            opacity=alt.condition(picked, alt.value(1), alt.value(0.35)),
            tooltip=[alt.Tooltip("span:N", title="Took"), alt.Tooltip("answers:Q", title="Answers", format=",d")],
        )
        .add_params(picked)
    )  # fmt: skip
    marks = alt.Chart().transform_filter(alt.datum.what == "mark")
    rules = marks.mark_rule(strokeDash=[4, 4], strokeWidth=1.5, color="gray", aria=False).encode(x=x)
    names = marks.mark_text(align="left", dx=4, baseline="top", fontSize=12, color=text_colour(), aria=False)
    names = names.encode(x=x, y=alt.value(alt.ExprRef("datum.line * 16")), text="name:N")
    return alt.layer(bars, rules, names)


def _by_class(taken: Durations) -> None:
    """How long the items of each class take."""
    st.subheader("By class", anchor=False)
    rows = [
        {"Class": c.name, "Answers": c.answers, "Seconds": c.median, "Slow ones": c.p90}
        for c in taken.by_class
        if c.answers
    ]
    if not rows:
        quiet("No times were taken yet.")
        return
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, placeholder=NOTHING, height=min(38 + 35 * len(rows), 400),
        alt="Seconds by class", column_config={
            "Seconds": number(format="%.1f", help="The median, by the class that people answered."),
            "Slow ones": number(format="%.1f", help="Nine in ten items take fewer seconds."),
        },
    )  # fmt: skip


def _took(of: Bin, whose: int | None) -> Took:
    return Took(low=of.start, high=of.end, user_id=whose)


def _span(of: Bin) -> str:
    return f"{_seconds(of.start)} to {_seconds(of.end)}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 20 else f"{seconds:.1f} s"
