"""Insights, Classes: how many items each has, and which the model takes for which."""

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from labeling.errors import AskwiseError
from labeling.learning import insights
from labeling.learning.behind import Confused, OfClass, Which
from labeling.learning.insights import Cell, ClassFigures
from labeling.projects import ProjectSummary
from labeling.web import current, insights_items
from labeling.web.frame import plain, quiet
from labeling.web.insights_charts import Layers, draw, selection, text_colour

ROW = "insights_classes"
BAR = 24  # pixels per class
MATRIX = 25  # classes of the matrix at most: those that are confused most
NUMBERED = 15  # classes up to which each cell has its number
CELL = 28  # pixels of a class of the matrix
AROUND = 150  # pixels of its axes and legend
TALLEST = 460
SHORT = 50  # letters of the class names below the matrix, in all, up to which they stand upright
RIGHT, WRONG = "what people answered", "another class"


@st.fragment(run_every="3s")
def show(project: ProjectSummary) -> None:
    """The whole tab, kept up to date."""
    try:
        seen = insights.read_classes(current.workspace(), current.actor(), project.id)
    except AskwiseError as error:
        st.error(plain(str(error)))
        return
    if not seen.classes:
        quiet("The project has no classes yet.")
        return
    left, right = st.columns([2, 3])
    with left.container(border=True, height="stretch"):
        _balance(seen)
    with right.container(border=True, height="stretch"):
        _confusion(seen)
    insights_items.choices(project, ROW, _figures(seen), "Click a bar or a cell, or choose one: its items")


def _figures(seen: ClassFigures) -> dict[Which, str]:
    """What there is to choose: the most frequent mistakes first, then the classes, then what was right."""
    names = {c.id: c.name for c in seen.classes}
    cells = sorted((c for c in seen.confusion if {c.suggested, c.answered} <= set(names)), key=lambda c: -c.answers)
    wrong: dict[Which, str] = {_cell(c): _cell_name(c, names) for c in cells if c.suggested != c.answered}
    bars: dict[Which, str] = {
        OfClass(class_id=c.id): f"Labeled {c.name}: {c.labels:,} item{'' if c.labels == 1 else 's'}"
        for c in seen.classes
        if c.labels
    }
    return {**wrong, **bars, **{_cell(c): _cell_name(c, names) for c in cells if c.suggested == c.answered}}


def _balance(seen: ClassFigures) -> None:
    """How many items each class has."""
    st.subheader("Class balance", anchor=False)
    table = pd.DataFrame([c.model_dump() for c in seen.classes])
    table["share"] = table["labels"] / max(table["labels"].sum(), 1)
    table["record"] = [f"{c.right} of {c.met}" if c.met else "not asked yet" for c in seen.classes]
    picked = selection("id")
    bars = (
        alt.Chart()
        .mark_bar(cornerRadiusEnd=3, cursor="pointer")
        .encode(
            x=alt.X("labels:Q", title=None, axis=alt.Axis(tickMinStep=1, tickCount=5, format="d")),
            y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=160, labelOverlap=False)),
            opacity=alt.condition(picked, alt.value(1), alt.value(0.35)),
            tooltip=[
                alt.Tooltip("name:N", title="Class"), alt.Tooltip("labels:Q", title="Items", format=",d"),
                alt.Tooltip("share:Q", title="Share", format=".1%"),
                alt.Tooltip("record:N", title="Suggested rightly"),
            ],
        )
        .add_params(picked)
    )  # fmt: skip
    with st.container(height=min(BAR * len(table) + 45, TALLEST), border=False):
        draw(
            bars.properties(height=BAR * len(table) + 35), table, "Items per class", row=ROW, key="insights_balance",
            which=lambda mark: OfClass(class_id=int(mark["id"])),
        )  # fmt: skip
    quiet("Items whose label is this class. What is asked is not a fair sample, so the pool's own balance differs.")


def _confusion(seen: ClassFigures) -> None:
    """What the model suggested, and what people answered."""
    st.subheader("What is taken for what", anchor=False)
    names = {c.id: c.name for c in seen.classes}
    cells = [c for c in seen.confusion if {c.suggested, c.answered} <= set(names)]
    if not cells:
        quiet("As soon as answers come in to items that a model has made a suggestion for, they are here.")
        return
    shown = _most_confused(cells, list(names))
    met = {c.id: c.met for c in seen.classes}
    table = pd.DataFrame(
        [
            {
                "suggested": c.suggested, "answered": c.answered, "Model": names[c.suggested],
                "Answer": names[c.answered], "answers": c.answers, "share": c.answers / max(met[c.answered], 1),
                "said": RIGHT if c.suggested == c.answered else WRONG,
            }
            for c in cells
            if {c.suggested, c.answered} <= set(shown)
        ]
    )  # fmt: skip
    order = [names[class_id] for class_id in shown]
    side = min(CELL * len(shown), TALLEST) + AROUND
    draw(
        _matrix(order, numbered=len(shown) <= NUMBERED).properties(height=side), table,
        "Suggestions of the model by answers of people", row=ROW, key="insights_confusion",
        which=lambda mark: Confused(suggested=int(mark["suggested"]), answered=int(mark["answered"])),
    )  # fmt: skip
    cut = f" The {MATRIX} classes with the most mistakes are shown." if len(shown) < len(names) else ""
    quiet(
        "Answers on items that nobody had labeled when the model made its suggestion; the stronger the colour, the "
        f"larger its share of the answers in that row.{cut}"
    )


def _matrix(order: list[str], *, numbered: bool) -> Layers:
    picked = selection("suggested", "answered")
    turned = 0 if max(map(len, order)) * len(order) < SHORT else -45
    ruled: dict[str, Any] = {"labelLimit": 110, "labelOverlap": False, "domain": False, "ticks": False, "grid": False}
    base = alt.Chart().encode(
        x=alt.X(
            "Model:N",
            sort=order,
            scale=alt.Scale(domain=order),
            title="the model suggested",
            axis=alt.Axis(**ruled, labelAngle=turned),
        ),
        y=alt.Y("Answer:N", sort=order, scale=alt.Scale(domain=order), title="people answered", axis=alt.Axis(**ruled)),
    )
    legend = alt.Legend(orient="top", title="the model suggested", symbolOpacity=0.7)
    cells = (
        base.mark_rect(cursor="pointer", cornerRadius=2)
        .encode(
            color=alt.Color("said:N", scale=alt.Scale(domain=[RIGHT, WRONG]), legend=legend),
            opacity=alt.condition(
                picked,
                alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 0.6], range=[0.12, 0.6], clamp=True), legend=None),
                alt.value(0.08),
            ),
            tooltip=["Model:N", "Answer:N", alt.Tooltip("answers:Q", title="Answers", format=",d"),
                     alt.Tooltip("share:Q", title="Of this answer", format=".0%")],
        )
        .add_params(picked)
    )  # fmt: skip
    if not numbered:
        return alt.layer(cells)
    return alt.layer(
        cells,
        base.transform_filter("isValid(datum.answers)")
        .mark_text(fontSize=12, tooltip=None, color=text_colour(), aria=False)
        .encode(text=alt.Text("answers:Q", format=",d")),
    )


def _most_confused(cells: list[Cell], class_ids: list[int]) -> list[int]:
    """Up to `MATRIX` classes in their order, those with the most mistakes."""
    wrong = dict.fromkeys(class_ids, 0)
    for cell in cells:
        if cell.suggested != cell.answered:
            wrong[cell.suggested] += cell.answers
            wrong[cell.answered] += cell.answers
    kept = set(sorted(class_ids, key=lambda class_id: -wrong[class_id])[:MATRIX])
    return [class_id for class_id in class_ids if class_id in kept]


def _cell(cell: Cell) -> Confused:
    return Confused(suggested=cell.suggested, answered=cell.answered)


def _cell_name(cell: Cell, names: dict[int, str]) -> str:
    count = f"{cell.answers:,} answer{'' if cell.answers == 1 else 's'}"
    if cell.suggested == cell.answered:
        return f"{names[cell.answered]}, as the model said: {count}"
    return f"{names[cell.answered]}, where the model said {names[cell.suggested]}: {count}"
