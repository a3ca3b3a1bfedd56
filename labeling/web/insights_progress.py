"""Insights, Progress: how right the model is, how long a target takes, how labels come in, what a version changed."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from labeling import projects
from labeling.db.schema import Role
from labeling.errors import AskwiseError
from labeling.learning import changes, insights
from labeling.learning.behind import During, Met, Which
from labeling.learning.insights import CurvePoint, Progress
from labeling.learning.outlook import TOLD_FROM, Outlook
from labeling.learning.pace import Slot
from labeling.learning.status import RECENT
from labeling.projects import ProjectSummary
from labeling.web import current, frame, insights_items
from labeling.web.frame import plain, quiet
from labeling.web.insights_charts import HEIGHT, Layers, draw, selection

RULES = {
    "adaptive": "It spreads the first questions over the pool, until there are ten labels and as many as classes; not "
    "where words for the classes tell the model enough to begin with. After that it asks the items that most of the "
    "model’s doubt is about: what it cannot tell apart, of which there is much, and unlike what has been asked."
}
ASKED, NEW = f"items asked: the last {RECENT}", "new items: estimated"
TALL = 400
CURVE_ROW, SLOT_ROW = "insights_met", "insights_during"


@st.fragment(run_every="3s")
def show(project: ProjectSummary) -> None:
    """The whole tab, kept up to date."""
    try:
        seen = insights.read_progress(current.workspace(), current.actor(), project.id)
    except AskwiseError as error:
        st.error(plain(str(error)))
        return
    if seen.answers == 0:
        with frame.empty("monitoring", "Nothing to see yet", "The first answers draw the first curves."):
            if st.button("Start labeling", type="primary", icon=":material/label:"):
                frame.go_to("label", project.id)
        return
    _figures(seen)
    left, right = st.columns([3, 2])
    with left.container(border=True, height="stretch"):
        _accuracy(seen)
    with right.container(border=True, height="stretch"):
        _target(project, seen.outlook)
    met: dict[Which, str] = {_met(point): _met_name(point) for point in reversed(seen.curve)}
    insights_items.choices(
        project, CURVE_ROW, met, "Click a dot, or choose a model version: the answers it met", filtered=True
    )
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        _pace(seen.slots)
    with right.container(border=True, height="stretch"):
        _changes(project)
    slots: dict[Which, str] = {_during(slot): _slot_name(slot) for slot in reversed(seen.slots) if slot.answers}
    insights_items.choices(project, SLOT_ROW, slots, "Click a bar, or choose a time: the answers of then")


def _figures(seen: Progress) -> None:
    """Where things stand."""
    live, now = seen.live, seen.outlook.now
    with st.grid(4, min_column_width=170):
        _figure("Labels", f"{live.labels:,}", f"of {live.items:,} items")
        if live.accuracy is None:
            _figure("Right on items asked", "–", "no answers to suggestions yet")
        else:
            _figure("Right on items asked", f"{live.accuracy:.0%}", f"of the last {live.accuracy_on}: the hard ones")
        if now is None:
            few = seen.outlook.told == "too few"
            _figure("Right on new items", "–", f"from {TOLD_FROM} labels on" if few else "cannot be told")
        else:
            _figure("Right on new items", f"≈ {now.middle:.0%}", f"estimated: {now.low:.0%} to {now.high:.0%}")
        version = "none yet" if live.model_version is None else f"v{live.model_version}"
        age = "" if live.ranked is None else f", {frame.ago(live.ranked)} old"
        about = "it takes two classes" if seen.learned is None else f"from {seen.learned:,} labels{age}"
        about = f"from words alone{age}" if live.words_only else about
        _figure("Model", version, "learning now" if live.learning else about)
    if live.message:
        st.info(plain(live.message), icon=":material/info:")
    if live.strategy:
        doing = (
            "" if live.phase in ("", live.strategy) else f", now in its phase **{plain(live.phase.replace('_', ' '))}**"
        )
        quiet(f"What is asked next is chosen by **{plain(live.strategy)}**{doing}. {RULES.get(live.strategy, '')}")


def _figure(label: str, value: str, about: str) -> None:
    """One figure and what it is of."""
    st.metric(label, value, about, delta_color="off", delta_arrow="off", border=True, height="stretch")


def _accuracy(seen: Progress) -> None:
    """How often the model was right on what was asked, what is estimated for the rest, and where that goes."""
    st.subheader("How right the model is", anchor=False)
    if not seen.curve:
        quiet("As soon as answers come in to items that a model has made a suggestion for, its record is here.")
        return
    draw(
        _curve_chart(), _curve_table(seen), "The share of right suggestions, by labels learned from",
        row=CURVE_ROW, key="insights_curve", which=lambda mark: Met(first=int(mark["first"]), last=int(mark["last"])),
    )  # fmt: skip
    estimated = (
        " The other line estimates how right it is on new items like the pool’s: how far its confidence held for "
        "answers that it had not seen, applied to its confidence in all open items. Its band is the 90 % interval; "
        "dashed is where it goes from here."
        if seen.outlook.so_far
        else ""
    )
    quiet(
        "A dot is a model version (or some in a row), larger the more answers it met before it had seen any of them. "
        f"Their line takes the last {RECENT} together; its band is the 95 % interval (Wilson). They are the items that "
        f"were asked, and what is asked is hard.{estimated}"
    )


def _curve_table(seen: Progress) -> pd.DataFrame:
    """Everything in the chart as one table; the column `what` tells the layers apart."""
    rows: list[dict[str, object]] = [
        {
            "what": "met", "series": ASKED, "first": p.first, "last": p.last, "labels": p.labels, "answers": p.answers,
            "accuracy": p.accuracy, "middle": p.running, "low": p.running_low, "high": p.running_high,
            "Version": _versions(p), "Of these": f"{p.right} of {p.answers} right ({p.low:.0%} to {p.high:.0%})",
            "Here": f"{p.running:.0%} of {p.running_on} asked ({p.running_low:.0%} to {p.running_high:.0%})",
        }
        for p in seen.curve
    ]  # fmt: skip
    for what, estimates in (("estimate", seen.outlook.so_far), ("path", seen.outlook.path)):
        rows += [
            {
                "what": what, "series": NEW, "labels": e.labels, "middle": e.middle, "low": e.low, "high": e.high,
                "Here": f"{e.middle:.0%} of new items ({e.low:.0%} to {e.high:.0%})",
            }
            for e in estimates
        ]  # fmt: skip
    if seen.outlook.target is not None:
        rows.append({"what": "target", "middle": seen.outlook.target, "Here": f"target {seen.outlook.target:.1%}"})
    columns = ["what", "series", "first", "last", "labels", "answers", "accuracy", "middle", "low", "high", "Version",
               "Of these", "Here"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _curve_chart() -> Layers:
    picked = selection("first", "last")
    x = alt.X("labels:Q", title="labels", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False))
    y: dict[str, Any] = {
        "scale": alt.Scale(domain=[0, 1]),
        "title": None,
        "axis": alt.Axis(format="%", labelFlush=False),
    }
    legend = alt.Legend(orient="top", title=None, symbolOpacity=1, labelLimit=300, symbolType="stroke", columns=1)
    color = alt.Color("series:N", scale=alt.Scale(domain=[NEW, ASKED]), legend=legend)
    told = [alt.Tooltip("labels:Q", title="Labels", format=",d"), "Here:N"]

    def layer(*what: str) -> alt.Chart:
        return alt.Chart().transform_filter(alt.FieldOneOfPredicate(field="what", oneOf=list(what)))

    def band(what: str, opacity: float) -> alt.Chart:
        marks = layer(what).mark_area(opacity=opacity, interpolate="monotone", aria=False)
        return marks.encode(x=x, y=alt.Y("low:Q", **y), y2="high:Q", color=color)

    def line(what: str, dash: list[int]) -> alt.Chart:
        marks = layer(what).mark_line(strokeWidth=2.5, strokeDash=dash, interpolate="monotone", aria=False)
        return marks.encode(x=x, y=alt.Y("middle:Q", **y), color=color, tooltip=told)

    dots = (
        layer("met")
        .mark_circle(cursor="pointer", stroke="transparent")
        .encode(
            x=x, y=alt.Y("accuracy:Q", **y), color=color,
            opacity=alt.condition(picked, alt.value(0.6), alt.value(0.2)),
            size=alt.Size("answers:Q", legend=None, scale=alt.Scale(domain=[0, 10], range=[24, 240], clamp=True)),
            tooltip=["Version:N", alt.Tooltip("labels:Q", title="Learned from", format=",d"), "Of these:N", "Here:N"],
        )
        .add_params(picked)
    )  # fmt: skip
    goal = layer("target").mark_rule(strokeDash=[2, 4], strokeWidth=1.5, color="gray", aria=False)
    goal = goal.encode(y=alt.Y("middle:Q", **y), tooltip=["Here:N"])
    return alt.layer(
        band("met", 0.14), band("estimate", 0.2), band("path", 0.1), goal, line("met", [1, 0]),
        line("estimate", [1, 0]), line("path", [6, 4]), dots,
    ).properties(height=TALL)  # fmt: skip


def _target(project: ProjectSummary, outlook: Outlook) -> None:
    """The owner's target, and what it would take."""
    st.subheader("Time left", anchor=False)
    if project.role is Role.OWNER:
        _set_target(project.id, None if outlook.target is None else round(100 * outlook.target, 1))
    elif outlook.target is not None:
        st.markdown(f"Target: **{outlook.target:.1%}** right on new items.")
    for big, small in _in_words(outlook):
        if big:
            st.markdown(f"#### {big}")
        st.markdown(small)
    if outlook.pace is not None:
        pace = outlook.pace
        quiet(
            f"Pace: {pace.per_hour:,.0f} labels an hour of one person’s work ({pace.low:,.0f} to {pace.high:,.0f}), by "
            f"the last {pace.answers:,} answers; a gap of over 5 minutes is a break. Intervals are 90 %, as long as "
            "people, items and classes stay as they are."
        )


def _set_target(project_id: int, given: float | None) -> None:
    """The form that sets a target, in percent, or takes it away; nothing is saved but on a press of a button."""
    key = f"insights_target_{given}"
    with st.form("insights_target", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            "Target: right on new items, in %", min_value=1.0, max_value=99.9, step=1.0, value=given, format="%.1f",
            key=key, placeholder="none",
        )  # fmt: skip
        st.form_submit_button("Set", type="primary", on_click=_save_target, args=(project_id, key))
    if given is not None:
        st.button("No target", type="tertiary", icon=":material/close:", on_click=_save_target, args=(project_id, None))


def _save_target(project_id: int, key: str | None) -> None:
    """Save what the input of this key holds; no target without one."""
    given: float | None = None if key is None else st.session_state[key]
    target = None if given is None else round(given / 100, 4)
    try:
        projects.update_settings(current.workspace(), current.actor(), project_id, {"target_accuracy": target})
    except AskwiseError as error:
        st.toast(plain(str(error)), icon=":material/error:")


def _in_words(outlook: Outlook) -> list[tuple[str, str]]:
    """What can be said of the target: what stands out, and the sentence below it."""
    now, target = outlook.now, outlook.target
    here = "" if now is None else f"Today it is about {now.middle:.0%} ({now.low:.0%} to {now.high:.0%})."
    if outlook.told == "too few":
        return [("Cannot be told yet", f"An estimate that holds takes {TOLD_FROM} labels.")]
    if outlook.told == "strategy":
        return [
            ("Cannot be told", "This strategy asks little that is easy, and estimates from such answers do not hold.")
        ]
    if outlook.told == "no target" or target is None:
        return [("", f"{here} Without a target there is nothing to reckon with: the owner sets one here.")]
    if outlook.told == "there":
        return [("Reached, most likely", f"{here} More labels make it surer.")]
    if outlook.told == "beyond the pool":
        return [
            ("More than the pool has", f"{here} By this outlook {target:.1%} is not reached before all is labeled.")
        ]
    if outlook.told == "at least":
        least = outlook.at_least or 0
        hours = f", about {_duration(least / outlook.pace.per_hour)} of work" if outlook.pace and least else ""
        first = f"At least {least:,} more labels{hours}" if least else "Cannot be told yet"
        return [
            (
                first,
                f"{here} How many at most cannot be told yet: for {target:.1%} the curve is too flat, or too unsure.",
            )
        ]
    assert outlook.needed is not None
    needed = outlook.needed
    labels = f"About {needed.middle:,.0f} more labels", f"{needed.low:,.0f} to {needed.high:,.0f}. {here}"
    if outlook.hours is None:
        return [labels]
    low, middle, high = (_duration(hours) for hours in (outlook.hours.low, outlook.hours.middle, outlook.hours.high))
    return [(f"About {middle} of work", f"{low} to {high}, for one person."), labels]


def _duration(hours: float) -> str:
    """Hours as people say them."""
    minutes = hours * 60
    if minutes < 1:
        return "a minute"
    if minutes < 60:
        return f"{minutes:.0f} min"
    return f"{hours:.1f} h" if hours < 10 else f"{hours:,.0f} h"


def _pace(slots: Sequence[Slot]) -> None:
    """Answers over time, a bar a slot."""
    st.subheader("Answers over time", anchor=False)
    if not slots:
        quiet("All answers so far were imported.")
        return
    table = pd.DataFrame([slot.model_dump() for slot in slots])
    table["from"], table["to"] = (pd.to_datetime(table[c], unit="s", utc=True) for c in ("start", "end"))
    span = slots[-1].end - slots[0].start
    clock = "%H:%M:%S" if span < 600 else "%H:%M" if span < 2 * 86_400 else "%d %b"
    picked = selection("start", "end")
    bars = (
        alt.Chart()
        .mark_bar(cursor="pointer", cornerRadiusEnd=2, binSpacing=1)
        .encode(
            x=alt.X("from:T", title=None, axis=alt.Axis(format=clock, labelOverlap=True, tickCount=4)),
            x2="to:T",
            y=alt.Y("answers:Q", title=None, axis=alt.Axis(tickMinStep=1, format="d")),
            y2=alt.Y2(datum=0),
            opacity=alt.condition(picked, alt.value(1), alt.value(0.35)),
            tooltip=[
                alt.Tooltip("from:T", title="From", format="%Y-%m-%d %H:%M:%S"),
                alt.Tooltip("answers:Q", title="Answers", format=",d"),
                alt.Tooltip("labels:Q", title="Labels by then", format=",d"),
            ],
        )
        .add_params(picked)
    )
    draw(
        bars.properties(height=HEIGHT), table, "Answers over time", row=SLOT_ROW, key="insights_slots",
        which=lambda mark: During(start=mark["start"], end=mark["end"]),
    )  # fmt: skip


def _changes(project: ProjectSummary) -> None:
    """What one model version believes otherwise than the one before it."""
    st.subheader("What a model version changed", anchor=False)
    numbers = changes.versions_with_changes(current.workspace(), current.actor(), project.id)
    if not numbers:
        quiet("The second model version is the first that changes anything.")
        return
    number = st.selectbox("Model version", numbers, format_func=lambda n: f"v{n}", key="insights_changed") or numbers[0]
    made = changes.read_changes(current.workspace(), current.actor(), project.id, number)
    if made is None:
        quiet(f"Nothing is known of what v{number} changed: it is the first, or of an earlier release.")
        return
    share = f" ({made.changed / made.of:.1%})" if made.of else ""
    st.markdown(
        f"v{number}, from {made.labels:,} labels, changed its mind on **{made.changed:,}** of {made.of:,} items{share}."
    )
    if made.moves:
        table = pd.DataFrame([{"From": m.before, "To": m.after, "Items": m.items} for m in made.moves])
        most = st.column_config.ProgressColumn("Items", format="%d", min_value=0, max_value=int(table["Items"].max()))
        st.dataframe(
            table, hide_index=True, height=min(38 + 35 * len(table), 180), column_config={"Items": most},
            alt="Items that went from class to class",
        )  # fmt: skip
    if made.examples:
        with st.expander(f"{len(made.examples)} of these items, those it is surest of first"):
            insights_items.examples(made.examples)


def _met(point: CurvePoint) -> Met:
    return Met(first=point.first, last=point.last)


def _versions(point: CurvePoint) -> str:
    return f"v{point.first}" if point.first == point.last else f"v{point.first} to v{point.last}"


def _met_name(point: CurvePoint) -> str:
    return f"{_versions(point)}: right on {point.right} of the {point.answers} answers it met"


def _during(slot: Slot) -> During:
    return During(start=slot.start, end=slot.end)


def _slot_name(slot: Slot) -> str:
    zone = st.context.timezone or "UTC"
    begin, end = (pd.Timestamp(at, unit="s", tz="UTC").tz_convert(zone) for at in (slot.start, slot.end))
    return f"{begin:%d %b %H:%M} to {end:%H:%M}: {slot.answers:,} answer{'' if slot.answers == 1 else 's'}"
