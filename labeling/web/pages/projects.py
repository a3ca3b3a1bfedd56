"""Projects: how far each is, a new one, and items into it."""

import re

import streamlit as st

from labeling import projects
from labeling.db.schema import Role
from labeling.db.values import MAX_NAME
from labeling.errors import AskwiseError
from labeling.intake.import_job import request_digits
from labeling.learning import insights
from labeling.learning.status import read_live
from labeling.projects import ProjectSummary
from labeling.web import current, frame, import_card
from labeling.web.frame import plain
from labeling.web.import_dialog import import_items

DIALOG = "projects_dialog"  # (name, project id) of the dialog to open in this run


def ask(dialog: str, project_id: int | None = None) -> None:
    """Open a dialog in the next run: one that a fragment opened would close when the fragment runs again."""
    st.session_state[DIALOG] = (dialog, project_id)


def add_digits() -> None:
    """Make the demo project."""
    try:
        project_id, _ = request_digits(current.workspace(), current.actor())
        frame.make_current(project_id)
    except AskwiseError as error:
        st.error(plain(str(error)))


@st.dialog("New project", width="medium", icon=":material/create_new_folder:")
def new_project() -> None:
    """Ask for what a project needs."""
    with st.form("new_project", border=False, enter_to_submit=False):
        name = st.text_input("Name", max_chars=MAX_NAME, placeholder="Street signs")
        classes = st.text_area(
            "Classes", height=110, placeholder="stop\nyield\nspeed limit",
            help="One per line, or separated by commas. Leave it empty where what you import knows its labels.",
        )  # fmt: skip
        guidelines = st.text_area(
            "Guidelines", height=80, placeholder="What counts as what, and what to do in doubt.",
            help="People see them while they label.",
        )  # fmt: skip
        left, right = st.columns(2)
        overlap = left.number_input(
            "People per item", min_value=1, max_value=100, value=1, help="How many different people answer each item."
        )
        strategy = right.selectbox(
            "What is asked next", insights.strategy_names(),
            help="adaptive: spread out at first, then what the model would learn most from. random: the control.",
        )  # fmt: skip
        if not st.form_submit_button("Create project", type="primary"):
            return
    try:
        made = projects.create_project(
            current.workspace(), current.actor(), name, [c for c in re.split(r"[\n,]", classes) if c.strip()],
            guidelines=guidelines.strip(), settings={"overlap": overlap, "strategy": strategy},
        )  # fmt: skip
    except AskwiseError as error:
        st.error(plain(str(error)))
        return
    frame.make_current(made)
    ask("import", made)
    st.rerun()


@st.fragment(run_every="2s")
def cards() -> None:
    """Every project, kept up to date."""
    with st.grid("auto", min_column_width=400, gap="medium") as grid:
        for project in projects.list_projects(current.workspace(), current.actor()):
            with grid.cell(), st.container(border=True, height="stretch"):
                card(project)


def card(project: ProjectSummary) -> None:
    """One project: how far it is, and where to go from here."""
    live = read_live(current.workspace(), current.actor(), project.id)
    job = frame.newest_import(project.id)
    running = job if job is not None and job.finished is None else None
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(plain(project.name), anchor=False, width="content")
        if project.role is not Role.OWNER:
            st.badge(project.role.value, color="gray")
    if project.guidelines:
        first = project.guidelines.strip().splitlines()[0]
        st.caption(plain(first if len(first) <= 120 else first[:119] + "…"))
    if running:
        import_card.running(running, project.role is Role.OWNER)
    elif project.items:
        share = project.labels / project.items
        st.progress(share, text=f"**{project.labels:,}** of {project.items:,} items labeled")
    else:
        st.caption("No items yet. Import images, texts or a table to begin.")
    with st.container(horizontal=True, gap="large"):
        st.metric("Classes", project.class_count, width="content")
        version = "none yet" if live.model_version is None else f"v{live.model_version}"
        st.metric("Model", f"{version}, from words" if live.words_only else version, width="content")
        if live.accuracy is not None:
            st.metric(
            f"Right of last {live.accuracy_on}", f"{live.accuracy:.0%}", width="content",
            help="How often the model's suggestion was the answer, before it had seen it. "
            "Asked items are harder than the rest.",
        )  # fmt: skip
    if not running and live.message and project.items:
        st.caption(plain(live.message))
    st.space("stretch")
    actions(project, running is not None)
    if job is not None and not running and project.role is Role.OWNER:
        import_card.outcome(job)


def actions(project: ProjectSummary, importing: bool) -> None:
    """What can be done with a project."""
    with st.container(horizontal=True):
        begin = bool(project.items)
        if begin and st.button("Label", key=f"label_{project.id}", type="primary", icon=":material/label:"):
            frame.go_to("label", project.id)
        if project.role is Role.OWNER and st.button(
            "Import", key=f"import_{project.id}", type="secondary" if begin or importing else "primary",
            icon=":material/upload:",
        ):  # fmt: skip
            ask("import", project.id)
            st.rerun()
        if begin and st.button("Insights", key=f"insights_{project.id}", icon=":material/monitoring:"):
            frame.go_to("insights", project.id)
        if project.labels and st.button("Export", key=f"export_{project.id}", icon=":material/download:"):
            frame.go_to("export", project.id)


mine = projects.list_projects(current.workspace(), current.actor())
if mine:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Projects", anchor=False, width="content")
        st.button("New project", icon=":material/add:", on_click=ask, args=("new",))
    cards()
else:
    with frame.empty(
        "ads_click", "What shall we label?",
        "Start with 1,797 handwritten digits to see how it feels, or with a project of your own.",
    ):  # fmt: skip
        st.button("Add the digits demo", type="primary", icon=":material/pin:", on_click=add_digits)
        st.button("New project", icon=":material/add:", on_click=ask, args=("new",))

dialog, about = st.session_state.pop(DIALOG, (None, None))
if dialog == "new":
    new_project()
elif dialog == "import":
    import_items(about)
