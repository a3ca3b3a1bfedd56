"""Insights: how right the model is, how labels come in, which classes, and by whom; and what a strategy is worth."""

import altair as alt
import pandas as pd
import streamlit as st

from labeling.errors import AskwiseError
from labeling.learning import insights
from labeling.learning.insights import CurvePoint, Insights
from labeling.learning.status import RECENT
from labeling.web import current, frame, simulation_tab
from labeling.web.frame import plain

HEIGHT = 280
BAR = 22  # pixels per class
RULES = {
    "adaptive": "It spreads the first questions over the pool, until there are ten labels and as many as classes. "
    "After that it asks the items that most of the model’s doubt is about: what it cannot tell apart, of which there "
    "is much, and unlike what has been asked."
}
RUNNING, EACH = f"last {RECENT} answers", "each version"

project = frame.current_project("Insights")


@st.fragment(run_every="3s")
def page() -> None:
    """How labeling goes, kept up to date."""
    try:
        seen = insights.read_insights(current.workspace(), current.actor(), project.id)
    except AskwiseError as error:
        st.error(plain(str(error)))
        return
    if not seen.people:
        with frame.empty("monitoring", "Nothing to see yet", "The first answers draw the first curves."):
            if st.button("Start labeling", type="primary", icon=":material/label:"):
                frame.go_to("label", project.id)
        return
    figures(seen)
    left, right = st.columns([3, 2])
    with left.container(border=True, height="stretch"):
        accuracy(seen.curve)
    with right.container(border=True, height="stretch"):
        pace(seen)
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        balance(seen)
    with right.container(border=True, height="stretch"):
        people(seen)


def figures(seen: Insights) -> None:
    """Where things stand."""
    live = seen.live
    with st.grid(4, min_column_width=170):
        figure("Labels", f"{live.labels:,}", f"of {live.items:,} items")
        if live.accuracy is None:
            figure("Model was right", "–", "no answers to suggestions yet")
        else:
            figure("Model was right", f"{live.accuracy:.0%}", f"of the last {live.accuracy_on} answers")
        learned = seen.newest.labels if seen.newest else 0
        version = "none yet" if live.model_version is None else f"v{live.model_version}"
        figure("Model", version, f"from {learned:,} labels" if seen.newest else "it takes two classes")
        age = "–" if live.ranked is None else frame.ago(live.ranked)
        figure("Ranking's age", age, "learning now" if live.learning else "up to date")
    if live.message:
        st.info(plain(live.message), icon=":material/info:")
    if live.strategy:
        doing = (
            "" if live.phase in ("", live.strategy) else f", now in its phase **{plain(live.phase.replace('_', ' '))}**"
        )
        st.caption(f"What is asked next is chosen by **{plain(live.strategy)}**{doing}. {RULES.get(live.strategy, '')}")


def figure(label: str, value: str, about: str) -> None:
    """One figure and what it is of."""
    st.metric(label, value, about, delta_color="off", delta_arrow="off", border=True, height="stretch")


def accuracy(curve: list[CurvePoint]) -> None:
    """How often each version was right on answers that it had not seen when they came in."""
    st.subheader("How right the model was", anchor=False)
    if not curve:
        st.caption("As soon as answers come in to items that a model has made a suggestion for, its record is here.")
        return
    table = pd.DataFrame([point.model_dump() for point in curve])
    table["Version"] = "v" + table["number"].astype(str)
    table["This version"] = [f"{p.right} of {p.answers} right ({p.low:.0%} to {p.high:.0%})" for p in curve]
    table["Running"] = [
        f"{p.running:.0%} of {p.running_on} answers ({p.running_low:.0%} to {p.running_high:.0%})" for p in curve
    ]
    x = alt.X(
        "labels:Q",
        title="labels that the version learned from",
        axis=alt.Axis(tickMinStep=1),
        scale=alt.Scale(nice=False),
    )
    share = alt.Scale(domain=[0, 1])
    series = alt.Scale(domain=[RUNNING, EACH])
    table["line"], table["dot"] = RUNNING, EACH
    running = alt.Color("line:N", scale=series, legend=alt.Legend(orient="top", title=None, symbolOpacity=1))
    base = alt.Chart().encode(
        x=x, tooltip=["Version:N", alt.Tooltip("labels:Q", title="Learned from"), "This version:N", "Running:N"]
    )
    band = base.mark_area(opacity=0.16).encode(
        y=alt.Y("running_low:Q", scale=share, axis=alt.Axis(format="%", labelFlush=False), title=None),
        y2="running_high:Q", color=running,
    )  # fmt: skip
    line = base.mark_line(strokeWidth=2.5).encode(y=alt.Y("running:Q", title=None), color=running)
    dots = base.mark_circle(opacity=0.65).encode(
        y=alt.Y("accuracy:Q", title=None), color=alt.Color("dot:N", scale=series),
        size=alt.Size("answers:Q", legend=None, scale=alt.Scale(domain=[0, 10], range=[20, 240], clamp=True)),
    )  # fmt: skip
    draw(
        (band + dots + line).properties(height=HEIGHT), table, "The share of right suggestions, by labels learned from"
    )
    st.caption(
        "A dot is a model version, larger the more answers it met: how often its suggestion was the answer given, "
        f"before it had seen any. The line takes the last {RECENT} answers together; the band is its 95 % interval "
        "(Wilson). All this is on the items that were asked, which are harder than the pool, so the model is usually "
        "better than this on the rest."
    )


def draw(chart: alt.TopLevelMixin, table: pd.DataFrame, name: str) -> None:
    """Show a chart of a table. The data goes beside the chart, not in it, so that new rows do not draw it anew."""
    spec = chart.to_dict()
    spec.pop("config", None)
    st.vega_lite_chart(table, spec, alt=name)


def pace(seen: Insights) -> None:
    """Labels over time."""
    st.subheader("Labels over time", anchor=False)
    table = pd.DataFrame([point.model_dump() for point in seen.pace])
    if table.empty:
        st.caption("No labels yet.")
        return
    table["at"] = pd.to_datetime(table["at"], unit="s", utc=True)
    span = seen.pace[-1].at - seen.pace[0].at
    clock = "%H:%M:%S" if span < 600 else "%H:%M" if span < 2 * 86_400 else "%d %b"
    area = alt.Chart().mark_area(interpolate="step-after", line={"strokeWidth": 2.5}, fillOpacity=0.16)
    chart = area.encode(
        x=alt.X("at:T", title=None, axis=alt.Axis(format=clock, labelOverlap=True, tickCount=4)),
        y=alt.Y("labels:Q", title=None, axis=alt.Axis(tickMinStep=1), scale=alt.Scale(domainMin=0)),
        tooltip=[
            alt.Tooltip("at:T", title="Time", format="%Y-%m-%d %H:%M:%S"),
            alt.Tooltip("labels:Q", title="Labels"),
        ],
    )
    draw(chart.properties(height=HEIGHT), table, "Labels over time")


def balance(seen: Insights) -> None:
    """How many items each class has."""
    st.subheader("Class balance", anchor=False)
    if not seen.classes:
        st.caption("The project has no classes yet.")
        return
    labels = sum(c.labels for c in seen.classes)
    table = pd.DataFrame([c.model_dump() for c in seen.classes])
    table["share"] = table["labels"] / max(labels, 1)
    base = alt.Chart().encode(
        x=alt.X("labels:Q", title=None, axis=alt.Axis(tickMinStep=1, tickCount=5)),
        y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=160, labelOverlap=False)),
        tooltip=[
            alt.Tooltip("name:N", title="Class"), alt.Tooltip("labels:Q", title="Items"),
            alt.Tooltip("share:Q", title="Share", format=".1%"),
        ],
    )  # fmt: skip
    with st.container(height=min(BAR * len(table) + 45, 400), border=False):
        draw(base.mark_bar(cornerRadiusEnd=3).properties(height=BAR * len(table) + 35), table, "Items per class")
    st.caption(
        "Items whose label is this class. What is asked is not a fair sample, so the pool's own balance differs."
    )


def people(seen: Insights) -> None:
    """Who answered."""
    st.subheader("People", anchor=False)
    table = pd.DataFrame([person.model_dump() for person in seen.people])
    table["last"] = pd.to_datetime(table["last"], unit="s", utc=True)
    st.dataframe(
        table, hide_index=True, key="insights_people", alt="Answers per person",
        column_config={
            "name": "Person",
            "labels": "Labels",
            "unsure": "Unsure",
            "skipped": "Skipped",
            "last": st.column_config.DatetimeColumn("Last answer", format="distance"),
        },
    )  # fmt: skip


progress, simulate = st.tabs([":material/monitoring: Progress", ":material/science: Simulate"], on_change="rerun")
with progress:
    if progress.open:
        page()
with simulate:
    if simulate.open:
        simulation_tab.show(project)
