"""Insights, Agreement: how far people agree, in all, by class, over time and two by two, and what they confuse."""

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from labeling.db.schema import Role
from labeling.errors import AskwiseError
from labeling.learning.agreement_figures import Agreement, PairAgreement, Period, read_agreement
from labeling.learning.agreement_figures import Taken as TakenFor
from labeling.learning.behind import Between, Shared, Taken, Which
from labeling.projects import ProjectSummary
from labeling.web import current, frame, insights_items
from labeling.web.frame import NOTHING, plain, quiet
from labeling.web.insights_charts import HEIGHT, Layers, draw, selection, text_colour

CLASS_ROW, PEOPLE_ROW = "insights_agreement_classes", "insights_agreement_people"
RELIABLE, TENTATIVE = 0.8, 2 / 3  # Krippendorff's own bounds
FEW = 50  # items below which the interval is too narrow
BAR = 24  # pixels per class
CELL = 38  # pixels of a person or a class of a matrix
AROUND = 110  # pixels of its axes
TALLEST = 460
MOST_PEOPLE = 12  # of the heat map; more are a table
MOST_CLASSES = 20  # of the matrix: those most often taken for another
SHORT = 40  # letters of the names below a matrix, in all, up to which they stand upright


@st.fragment(run_every="10s")
def show(project: ProjectSummary) -> None:
    """The whole tab, kept up to date."""
    if project.role is Role.ANNOTATOR:
        quiet("How far people agree is seen by the experts and owners of the project.")
        return
    try:
        seen = read_agreement(current.workspace(), current.actor(), project.id)
    except AskwiseError as error:
        st.error(plain(str(error)))
        return
    if not seen.items:
        _nothing_yet(project)
        return
    _whole(seen)
    left, right = st.columns([2, 3])
    with left.container(border=True, height="stretch"):
        _by_class(seen)
    with right.container(border=True, height="stretch"):
        _over_time(seen.periods)
    insights_items.choices(
        project, CLASS_ROW, _class_figures(seen), "Click a bar or a dot, or choose one: the answers behind it",
        filtered=True,
    )  # fmt: skip
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        _two_by_two(seen.pairs)
    with right.container(border=True, height="stretch"):
        _confusion(seen)
    insights_items.choices(
        project, PEOPLE_ROW, _people_figures(seen), "Click a cell, or choose two people or classes: their answers",
        filtered=True,
    )  # fmt: skip


def _nothing_yet(project: ProjectSummary) -> None:
    with frame.empty(
        "handshake",
        "Nobody’s answers meet yet",
        "Agreement is seen on items that two people or more have answered. Let each item have two answers, or let a "
        "second one be asked for where it is needed: Settings, People and answers.",
    ):
        if st.button("Go to Settings", type="primary", icon=":material/arrow_forward:"):
            frame.go_to("settings", project.id)


def _whole(seen: Agreement) -> None:
    """Alpha of the project, and what it means."""
    on = f"{seen.items:,} item{'' if seen.items == 1 else 's'} that several people answered"
    if seen.alpha is None:
        with st.container(border=True):
            st.markdown(
                f"How far people agree cannot be told from {on}: everybody always chose the same class, which chance "
                "alone would do as well."
            )
        return
    alpha = seen.alpha
    with st.container(border=True):
        figure, words = st.columns([1, 4], vertical_alignment="center")
        figure.metric(
            "Krippendorff’s alpha", f"{alpha.value:.2f}", f"95 %: {alpha.low:.2f} to {alpha.high:.2f}",
            delta_color="off", delta_arrow="off",
        )  # fmt: skip
        with words.container(gap="xsmall"):
            st.markdown(meaning(alpha.value, alpha.low))
            narrow = "" if seen.items >= FEW else f" With fewer than {FEW} items the interval is too narrow."
            quiet(
                f"On {on}. 1: they always agree; 0: no more than by chance, which is what the shares of the classes "
                f"would bring about alone.{narrow}"
            )


def meaning(value: float, low: float) -> str:
    """What an alpha and the lower end of its interval mean, in plain words."""
    if value >= RELIABLE:
        sure = "" if low >= RELIABLE else f" It may be below {RELIABLE} by chance: more shared items would tell."
        return f"**People agree well.** What they say can be relied on.{sure}"
    if value >= TENTATIVE:
        return (
            "**People agree fairly well.** Enough for tentative conclusions; the lowest classes below are worth a line "
            "in the guidelines."
        )
    if value > 0:
        return (
            "**People agree too little for their answers to be relied on.** See below which classes they confuse, "
            "and say in the guidelines how to."
        )
    return "**People agree no more than by chance.** Either the classes are not understood, or somebody does not look."


def _by_class(seen: Agreement) -> None:
    """Alpha of each class, the lowest first."""
    st.subheader("By class", anchor=False)
    told = sorted((one.alpha, one.class_id, one.name) for one in seen.classes if one.alpha is not None)
    if not told:
        quiet("No class can be told from the others yet.")
        return
    table = pd.DataFrame(told, columns=["alpha", "class_id", "name"])
    picked = selection("class_id")
    least = min(0.0, float(table["alpha"].min()))
    base = alt.Chart(height=BAR * len(table) + 35)
    bars = (
        base.mark_bar(cornerRadiusEnd=3, cursor="pointer")
        .encode(
            x=alt.X("alpha:Q", title="alpha", scale=alt.Scale(domain=[least, 1]), axis=alt.Axis(tickCount=5)),
            y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=160, labelOverlap=False)),
            opacity=alt.condition(picked, alt.value(1), alt.value(0.35)),
            tooltip=[alt.Tooltip("name:N", title="Class"), alt.Tooltip("alpha:Q", title="Alpha", format=".2f")],
        )
        .add_params(picked)
    )  # fmt: skip
    with st.container(height=min(BAR * len(table) + 65, TALLEST), border=False):
        draw(
            alt.layer(bars, _bound(x=True)), table, "Agreement by class", row=CLASS_ROW, key="insights_alpha_class",
            which=lambda mark: Shared(class_id=int(mark["class_id"])),
        )  # fmt: skip
    quiet(f"Each class against all others together. Dashed: {RELIABLE}, from which on it can be relied on.")


def _bound(*, x: bool = False) -> alt.Chart:
    """The line from which on agreement can be relied on."""
    at = alt.datum(RELIABLE)
    rule = alt.Chart().mark_rule(strokeDash=[4, 4], strokeWidth=1.5, color="gray", aria=False)
    return rule.encode(x=at) if x else rule.encode(y=at)


def _over_time(periods: list[Period]) -> None:
    """Alpha of the items of each stretch of time."""
    st.subheader("Over time", anchor=False)
    rows = [
        {"start": one.start, "end": one.end, "when": 1000 * one.end, "items": one.items, "alpha": one.alpha}
        for one in periods
        if one.alpha is not None
    ]
    if len(rows) < 2:
        quiet("As soon as more items have several answers, whether people come to agree is here.")
        return
    table = pd.DataFrame(rows)
    picked = selection("start", "end")
    least = min(0.0, float(table["alpha"].min()))
    base = alt.Chart(height=HEIGHT).encode(
        x=alt.X("when:T", title=None, axis=alt.Axis(grid=False, labelOverlap=True)),
        y=alt.Y("alpha:Q", title="alpha", scale=alt.Scale(domain=[least, 1])),
    )
    dots = (
        base.mark_circle(size=110, cursor="pointer", opacity=1)
        .encode(
            opacity=alt.condition(picked, alt.value(1), alt.value(0.35)),
            tooltip=[
                alt.Tooltip("when:T", title="Until", format="%d %b %H:%M"),
                alt.Tooltip("items:Q", title="Items", format=",d"),
                alt.Tooltip("alpha:Q", title="Alpha", format=".2f"),
            ],
        )
        .add_params(picked)
    )  # fmt: skip
    draw(
        alt.layer(base.mark_line(strokeWidth=2), _bound(), dots), table, "Agreement over time",
        row=CLASS_ROW, key="insights_alpha_time",
        which=lambda mark: Shared(start=float(mark["start"]), end=float(mark["end"])),
    )  # fmt: skip
    quiet("Each dot has equally many items, in the order in which they had their last answer.")


def _class_figures(seen: Agreement) -> dict[Which, str]:
    """All that are not agreed on, the classes with the least agreement first, the newest stretch of time first."""
    told = sorted((one.alpha, one.class_id, one.name) for one in seen.classes if one.alpha is not None)
    classes: dict[Which, str] = {
        Shared(class_id=class_id): f"Somebody said {name}: alpha {alpha:.2f}" for alpha, class_id, name in told
    }
    periods: dict[Which, str] = {
        Shared(start=one.start, end=one.end): f"{_moment(one.end)}: {one.items:,} items, alpha {one.alpha:.2f}"
        for one in reversed(seen.periods)
        if one.alpha is not None
    }
    return {Shared(): f"All items that several people answered: {seen.items:,}", **classes, **periods}


def _moment(seconds: float) -> str:
    zone = st.context.timezone or "UTC"
    return f"Until {pd.Timestamp(seconds, unit='s', tz='UTC').tz_convert(zone):%d %b %H:%M:%S}"


def _two_by_two(pairs: list[PairAgreement]) -> None:
    """Kappa of each two people."""
    st.subheader("Two by two", anchor=False)
    names = {p.first: p.first_name for p in pairs} | {p.second: p.second_name for p in pairs}
    if len(names) > MOST_PEOPLE:
        _pair_table(pairs)
    else:
        _pair_map(pairs, _told_apart(names))
    quiet(
        "Cohen’s kappa: how far two people agree beyond chance on the items that both answered. Somebody who agrees "
        "little with everybody may not look, or may read the guidelines in another way."
    )


def _told_apart(names: dict[int, str]) -> dict[int, str]:
    """The names by id, in their order; of two that are alike, each with its number."""
    ordered = sorted(names.items(), key=lambda one: (one[1], one[0]))
    alike = pd.Series([name for _, name in ordered]).duplicated(keep=False)
    return {who: f"{name} ({who})" if twin else name for (who, name), twin in zip(ordered, alike, strict=True)}


def _pair_map(pairs: list[PairAgreement], names: dict[int, str]) -> None:
    order = list(names.values())
    rows = []
    for p in pairs:
        above, beside = sorted((p.first, p.second), key=lambda who: order.index(names[who]))
        rows.append(
            {
                "first": p.first, "second": p.second, "One": names[above], "Other": names[beside], "items": p.items,
                "agreement": p.agreement, "kappa": p.kappa, "shade": p.kappa or 0,
                "said": "–" if p.kappa is None else f"{p.kappa:.2f}",
            }
        )  # fmt: skip
    base = _grid(order[:-1], order[1:], "One", "Other", None, None)
    picked = selection("first", "second")
    tooltip = [
        "One:N", "Other:N", alt.Tooltip("said:N", title="Kappa"), alt.Tooltip("items:Q", title="Items", format=",d"),
        alt.Tooltip("agreement:Q", title="Said the same", format=".0%"),
    ]  # fmt: skip
    draw(
        _cells(base, picked, "shade", 1.0, "said", tooltip).properties(height=_side(len(order) - 1)),
        pd.DataFrame(rows), "Kappa of each two people", row=PEOPLE_ROW, key="insights_kappa",
        which=lambda mark: Between(first=int(mark["first"]), second=int(mark["second"])),
    )  # fmt: skip


def _pair_table(pairs: list[PairAgreement]) -> None:
    rows = [
        {"One": p.first_name, "Other": p.second_name, "Kappa": p.kappa, "Said the same": p.agreement, "Items": p.items}
        for p in sorted(pairs, key=lambda p: (p.kappa is None, p.kappa or 0))
    ]
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, placeholder=NOTHING, height=TALLEST, alt="Kappa of each two people",
        lazy=False, column_config={"Kappa": number(format="%.2f"), "Said the same": number(format="percent")},
    )  # fmt: skip


def _confusion(seen: Agreement) -> None:
    """What one person said where another said something else."""
    st.subheader("What people confuse", anchor=False)
    if not seen.confusion:
        quiet("Nobody ever said one class where somebody else said another.")
        return
    names = {one.class_id: one.name for one in seen.classes}
    order = _most_confused(seen.confusion, list(names))
    rows = [
        {"one": t.one, "other": t.other, "One": names[t.one], "Other": names[t.other], "times": t.times}
        for t in seen.confusion
        if {t.one, t.other} <= set(order)
    ]
    labels = [names[class_id] for class_id in order]
    base = _grid(labels[:-1], labels[1:], "One", "Other", "one said", "the other said")
    tooltip = ["One:N", "Other:N", alt.Tooltip("times:Q", title="Pairs of answers", format=",d")]
    picked = selection("one", "other")
    top = max(t.times for t in seen.confusion)
    draw(
        _cells(base, picked, "times", top, "times", tooltip).properties(height=_side(len(order) - 1)),
        pd.DataFrame(rows), "Which classes people confuse with each other", row=PEOPLE_ROW, key="insights_between",
        which=lambda mark: Taken(one=int(mark["one"]), other=int(mark["other"])),
    )  # fmt: skip
    cut = f" The {MOST_CLASSES} most confused classes are shown." if len(order) < len(names) else ""
    quiet(f"How often one person said the one class of an item and another person the other.{cut}")


def _grid(across: list[str], down: list[str], x: str, y: str, x_title: str | None, y_title: str | None) -> alt.Chart:
    """The axes of a matrix."""
    turned = 0 if max(map(len, across)) * len(across) < SHORT else -45
    ruled: dict[str, Any] = {"labelLimit": 110, "labelOverlap": False, "domain": False, "ticks": False, "grid": False}
    return alt.Chart().encode(
        x=alt.X(
            f"{x}:N", sort=across, scale=alt.Scale(domain=across), title=x_title,
            axis=alt.Axis(**ruled, labelAngle=turned),
        ),
        y=alt.Y(f"{y}:N", sort=down, scale=alt.Scale(domain=down), title=y_title, axis=alt.Axis(**ruled)),
    )  # fmt: skip


def _cells(base: alt.Chart, picked: alt.Parameter, shade: str, top: float, text: str, tooltip: list[Any]) -> Layers:
    """The cells of a matrix, each with its figure: the stronger the colour, the more."""
    strength = alt.Opacity(f"{shade}:Q", scale=alt.Scale(domain=[0, top], range=[0.08, 0.6], clamp=True), legend=None)
    cells = (
        base.mark_rect(cursor="pointer", cornerRadius=2)
        .encode(opacity=alt.condition(picked, strength, alt.value(0.05)), tooltip=tooltip)
        .add_params(picked)
    )
    figures = base.transform_filter(f"isValid(datum.{text})").mark_text(
        fontSize=12, tooltip=None, color=text_colour(), aria=False
    )
    return alt.layer(cells, figures.encode(text=f"{text}:N"))


def _side(count: int) -> int:
    return max(min(CELL * count, TALLEST), 2 * CELL) + AROUND


def _most_confused(taken: list[TakenFor], class_ids: list[int]) -> list[int]:
    """Up to `MOST_CLASSES` classes in their order, those that are confused most; only those that are."""
    times = dict.fromkeys(class_ids, 0)
    for one in taken:
        times[one.one] += one.times
        times[one.other] += one.times
    kept = sorted((class_id for class_id in class_ids if times[class_id]), key=lambda class_id: -times[class_id])
    return [class_id for class_id in class_ids if class_id in set(kept[:MOST_CLASSES])]


def _people_figures(seen: Agreement) -> dict[Which, str]:
    """What is confused most first, then each two people, those who agree least first."""
    names = {one.class_id: one.name for one in seen.classes}
    taken: dict[Which, str] = {
        Taken(one=t.one, other=t.other): f"{names[t.one]} or {names[t.other]}: {t.times:,} "
        f"pair{'' if t.times == 1 else 's'} of answers"
        for t in seen.confusion
    }
    pairs = sorted(seen.pairs, key=lambda p: (p.kappa is None, p.kappa or 0))
    people: dict[Which, str] = {
        Between(first=p.first, second=p.second): f"{p.first_name} and {p.second_name}: "
        + ("" if p.kappa is None else f"kappa {p.kappa:.2f} on ")
        + f"{p.items:,} item{'' if p.items == 1 else 's'}"
        for p in pairs
    }
    return {**taken, **people}
