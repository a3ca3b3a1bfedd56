"""How a chart of Insights is shown, and how a click in it chooses what the items below are of."""

from collections.abc import Callable
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from labeling.learning.behind import Which
from labeling.web.insights_items import pick

HEIGHT = 300
Layers = alt.LayerChart | alt.FacetChart  # what Altair says that layers come to

PICKED = "picked"  # the selection's name in every chart


def selection(*fields: str) -> alt.Parameter:
    """A click on a mark, which tells these fields of it."""
    return alt.selection_point(name=PICKED, fields=list(fields), on="click", clear="dblclick")


def text_colour() -> str:
    """The colour of text within a chart, which the theme leaves black."""
    return "#E3E7EA" if st.context.theme.type == "dark" else "#22272B"


def draw(
    chart: alt.TopLevelMixin,
    table: pd.DataFrame,
    name: str,
    *,
    row: str | None = None,
    key: str = "",
    which: Callable[[dict[str, Any]], Which | None] | None = None,
) -> None:
    """Show a chart of a table. The data goes beside the chart, not in it, so that new rows do not draw it anew.

    Parameters
    ----------
    name
        What the chart shows, for those who do not see it.
    row, key, which
        Where a click chooses: the row of `labeling.web.insights_items.choices`, a key of the chart's own, and the
        figure that the fields of a mark stand for.
    """
    spec = chart.to_dict()
    spec.pop("config", None)
    if row is None or which is None:
        st.vega_lite_chart(table, spec, alt=name)
        return

    def picked() -> None:
        marks = st.session_state[key].selection.get(PICKED) or []
        pick(row, which(marks[0]) if marks else None)

    st.vega_lite_chart(table, spec, alt=name, key=key, on_select=picked, selection_mode=PICKED)
