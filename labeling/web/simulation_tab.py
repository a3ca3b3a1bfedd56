"""The Simulate tab of Insights: what a strategy would have been worth, replayed on the project's own answers."""

import altair as alt
import pandas as pd
import streamlit as st

from labeling import projects
from labeling.db.schema import Job, JobState, Role
from labeling.errors import AskwiseError
from labeling.learning import curves as summaries
from labeling.learning import insights, labeled_sets, simulation_job
from labeling.learning.labeled_sets import FEWEST, Oracle
from labeling.learning.simulation_job import Plan, Result
from labeling.projects import ProjectSummary
from labeling.web import current, frame
from labeling.web.frame import plain, quiet

HEIGHT = 320
MAY_RUN = {Role.EXPERT, Role.OWNER}
WHOSE: dict[Oracle, str] = {"labels": "people's labels", "known": "classes that came with the items"}
HEADS = {"default": "the default head", "logistic": "plain logistic regression"}


def show(project: ProjectSummary) -> None:
    """The whole tab."""
    counts = labeled_sets.count_answers(current.workspace(), current.actor(), project.id)
    if (
        max(counts.values()) < FEWEST
        and simulation_job.latest(current.workspace(), current.actor(), project.id) is None
    ):
        _too_few(project, counts)
        return
    quiet(
        "A simulation hides labels that are there and asks for them again, batch by batch, the way each strategy "
        "would have: what is it worth? A third is held out to measure the accuracy. Nothing in the project changes."
    )
    if project.role in MAY_RUN and max(counts.values()) >= FEWEST:
        _form(project, counts)
    _progress(project)


def _too_few(project: ProjectSummary, counts: dict[Oracle, int]) -> None:
    missing = FEWEST - counts["labels"]
    with frame.empty(
        "science", "Too few labels to simulate",
        f"A simulation hides labels that are there and asks for them again, so it takes {FEWEST} labeled items. "
        f"{counts['labels']} are there: label {missing} more, or import items whose folders name their classes.",
    ):  # fmt: skip
        if st.button("Go on labeling", type="primary", icon=":material/label:", key="simulate_label"):
            frame.go_to("label", project.id)


def _form(project: ProjectSummary, counts: dict[Oracle, int]) -> None:
    """What to compare."""
    enough: list[Oracle] = [oracle for oracle, count in counts.items() if count >= FEWEST]
    own = projects.read_project(current.workspace(), current.actor(), project.id).settings.strategy
    names = insights.strategy_names()
    with st.form("simulate", border=True):
        chosen = st.multiselect(
            "Strategies", names, default=list(dict.fromkeys([own, summaries.CONTROL])), key="simulate_strategies",
            help="random is the control that the others are measured against.",
        )  # fmt: skip
        with st.grid(4, min_column_width=150):
            items = max(counts.values())
            budget = st.number_input(
                "Labels", min_value=2, value=min(200, items // 2), step=10, help="How many are asked for in all."
            )
            batch = st.number_input("Per batch", min_value=1, value=10, help="Labels between two models.")
            seeds = st.number_input(
                "Repetitions", min_value=2, max_value=100, value=10,
                help="Each with other items held out. 10 for a first look, 20 or more to tell strategies apart.",
            )  # fmt: skip
            head = st.selectbox("Head", list(HEADS), format_func=HEADS.__getitem__, help="What learns from the labels.")
        oracle = enough[0]
        if len(enough) > 1:
            oracle = st.segmented_control(
                "Answers", enough, default=labeled_sets.choose_oracle(counts),
                format_func=lambda whose: frame.quiet_choice(WHOSE[whose]),
                required=True, key="simulate_oracle",
            )  # fmt: skip
        else:
            quiet(f"Replayed: {counts[oracle]:,} items with {labeled_sets.ORACLES[oracle]}.")
        if not st.form_submit_button("Simulate", type="primary", icon=":material/science:"):
            return
    if not chosen:
        st.error("Choose at least one strategy.")
        return
    plan = Plan(strategies=chosen, budget=budget, batch_size=batch, seeds=seeds, head=head, oracle=oracle)
    try:
        simulation_job.request(current.workspace(), current.actor(), project.id, plan)
    except AskwiseError as error:
        st.error(plain(str(error)))


@st.fragment(run_every="2s")
def _progress(project: ProjectSummary) -> None:
    """What is running, and the last result."""
    try:
        job = simulation_job.open_job(current.workspace(), current.actor(), project.id)
        result = simulation_job.latest(current.workspace(), current.actor(), project.id)
    except AskwiseError as error:
        st.error(plain(str(error)))
        return
    if job is not None:
        _running(project, job)
    if result is not None:
        _result(result)


def _running(project: ProjectSummary, job: Job) -> None:
    if job.state is JobState.FAILED:
        st.error(plain(job.error))
    if job.state is JobState.CANCELLED:
        quiet("The last simulation was stopped.")
    if job.finished is not None:
        return
    waiting = "Waiting for the worker" if job.state is JobState.QUEUED else job.message or "Starting"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(min(max(job.progress, 0.0), 1.0), text=plain(waiting))
        if project.role in MAY_RUN and st.button("Stop", icon=":material/stop_circle:", key="simulate_stop"):
            simulation_job.cancel(current.workspace(), current.actor(), project.id)


def _result(result: Result) -> None:
    """What it means in words, the curves, and the table."""
    replayed = result.curves
    st.subheader("What it means", anchor=False)
    st.markdown(plain(summaries.in_words(replayed)))
    _chart(replayed)
    _table(replayed)
    plan = result.plan
    caveat = " What people were asked is not a fair sample of the pool." if plan.oracle == "labels" else ""
    quiet(
        f"{result.about}, {result.test_size:,} of them held out; {plan.seeds} repetitions, batches of "
        f"{plan.batch_size}, {HEADS[plan.head]}; {frame.ago(result.finished)} ago.{caveat} Bands and intervals are "
        "95 % (Student's t over the repetitions; differences in pairs of the same repetition)."
    )


def _chart(replayed: pd.DataFrame) -> None:
    table = summaries.mean_curves(replayed)
    names = list(dict.fromkeys(table["strategy"]))
    table["band"] = [f"{low:.1%} to {high:.1%}" for low, high in zip(table["low"], table["high"], strict=True)]
    base = alt.Chart().encode(
        x=alt.X("labels:Q", title="labels", axis=alt.Axis(tickMinStep=1, tickCount=10), scale=alt.Scale(nice=False)),
        color=alt.Color(
            "strategy:N", scale=alt.Scale(domain=names), legend=alt.Legend(orient="top", title=None, symbolOpacity=1),
        ),
        tooltip=[
            alt.Tooltip("strategy:N", title="Strategy"), alt.Tooltip("labels:Q", title="Labels"),
            alt.Tooltip("accuracy:Q", title="Accuracy", format=".1%"), alt.Tooltip("band:N", title="95 %"),
        ],
    )  # fmt: skip
    scale = alt.Scale(zero=False)
    band = base.mark_area(opacity=0.16).encode(
        y=alt.Y("low:Q", scale=scale, axis=alt.Axis(format="%"), title=None), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=24)).encode(
        y=alt.Y("accuracy:Q", scale=scale, title=None)
    )
    spec = (band + line).properties(height=HEIGHT).to_dict()
    spec.pop("config", None)
    st.vega_lite_chart(table, spec, alt="Accuracy by labels, a line for each strategy")


def _table(replayed: pd.DataFrame) -> None:
    shown, (_, whose) = summaries.table_in_words(replayed), summaries.target_of(replayed)
    about = {
        shown.columns[1]: f"Labels at which the mean curve comes to what {whose} has with all of them.",
        "Mean": "Accuracy, averaged over all batches: a curve that rises early has more.",
        "Above random": "Points of the mean, in pairs of the same repetition, with the 95 % interval.",
        "Seconds": "To learn and to choose one batch.",
    }
    columns = {name: st.column_config.Column(help=text) for name, text in about.items()}
    st.dataframe(shown, hide_index=True, alt="The strategies compared", column_config=columns)
