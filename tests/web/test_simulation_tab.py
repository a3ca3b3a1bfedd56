"""The Simulate tab: what it asks for, what it shows, and what it says where there is nothing to simulate."""

from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from labeling import jobs
from labeling.db.engine import writing
from labeling.db.schema import Item, Job, JobKind, JobState, Membership, Role
from labeling.learning import simulation_job
from labeling.learning.labeled_sets import FEWEST
from labeling.learning.worker import work_off
from labeling.users import local_user
from labeling.web import current
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject

ITEMS = 60

Open = Callable[[SmallProject], AppTest]


@pytest.fixture
def me(workspace: Workspace) -> int:
    current.serve(workspace)
    return local_user(workspace)


@pytest.fixture
def project(workspace: Workspace, me: int) -> SmallProject:
    """A project of the local user's whose items came with classes."""
    made = SmallProject.make(workspace, items=ITEMS, people=1)
    rng = np.random.default_rng(0)
    made.add_features(np.float32(rng.normal(size=(ITEMS, 4)) + 3 * np.eye(4)[np.arange(ITEMS) % 2]))
    with writing(workspace.engine) as session:
        session.get_one(Membership, (made.id, me)).role = Role.OWNER
        for place, item in enumerate(made.items):
            session.get_one(Item, item).known_class_id = made.classes[place % 2]
    return made


@pytest.fixture
def show() -> Open:
    """Open the tab by itself."""

    def tab(project_id: int) -> None:
        from labeling import projects
        from labeling.web import current, simulation_tab

        mine = projects.list_projects(current.workspace(), current.actor())
        simulation_tab.show(next(p for p in mine if p.id == project_id))

    def show(project: SmallProject) -> AppTest:
        return ran(AppTest.from_function(tab, args=(project.id,), default_timeout=60).run())

    return show


def ran(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def words(app: AppTest) -> str:
    kinds = (app.subheader, app.markdown, app.caption, app.error, app.header)
    return "\n".join([*(e.value for kind in kinds for e in kind), *(button.label for button in app.button)])


def number(app: AppTest, label: str, value: int) -> None:
    next(n for n in app.number_input if n.label == label).set_value(value)


def simulate(app: AppTest) -> AppTest:
    number(app, "Labels", 20)
    number(app, "Repetitions", 2)
    return ran(next(b for b in app.button if b.label == "Simulate").click().run())


def simulations(project: SmallProject, me: int) -> Job | None:
    return jobs.newest(project.workspace, me, project.id, JobKind.SIMULATE)


def test_too_few_labels_are_said_with_how_many_are_missing(show: Open, workspace: Workspace, me: int):
    bare = SmallProject.make(workspace, items=6, name="bare")
    said = words(show(bare))
    assert "Too few labels to simulate" in said and f"label {FEWEST} more" in said and "Go on labeling" in said
    assert "Simulate" not in said.splitlines()


def test_a_simulation_is_a_job_of_the_worker_and_its_result_survives_a_reload(
    show: Open, project: SmallProject, me: int
):
    app = simulate(show(project))
    job = simulations(project, me)
    assert job is not None and job.id is not None and job.state is JobState.QUEUED  # the page itself fits nothing
    assert job.payload["oracle"] == "known" and job.payload["strategies"] == ["random"]
    assert [bar.text for bar in app.progress] == ["Waiting for the worker"]
    assert len(app.get("vega_lite_chart")) == 0
    work_off(project.workspace, job.id, lambda _share, _line: None)
    for _ in range(2):
        app = show(project)
        said = words(app)
        assert "What it means" in said and "random is right on" in said.replace("\\", "")
        assert len(app.get("vega_lite_chart")) == 1 and len(app.dataframe) == 1 and len(app.progress) == 0
        assert list(app.dataframe[0].value["Strategy"]) == ["random"]


def test_the_projects_own_strategy_and_the_control_are_proposed(
    show: Open, workspace: Workspace, project: SmallProject
):
    assert show(project).multiselect[0].value == ["random"]
    from labeling.projects import update_settings

    update_settings(workspace, project.owner, project.id, {"strategy": "margin"})
    assert show(project).multiselect[0].value == ["margin", "random"]


def test_how_far_it_is_shows_and_it_can_be_stopped(show: Open, project: SmallProject, me: int):
    simulate(show(project))
    job = jobs.take(project.workspace, "worker", project_id=project.id)
    assert job is not None
    jobs.beat(project.workspace, job, 0.25, "1 of 4 replays")
    app = show(project)
    assert [(bar.value, bar.text) for bar in app.progress] == [(25, "1 of 4 replays")]
    ran(next(b for b in app.button if b.label == "Stop").click().run())
    assert jobs.read(project.workspace, job.id or 0).state is JobState.CANCELLED
    app = show(project)
    assert "was stopped" in words(app) and len(app.progress) == 0


def test_a_second_one_is_refused_in_a_sentence(show: Open, project: SmallProject):
    app = simulate(simulate(show(project)))
    assert ["not finished yet" in error.value for error in app.error] == [True]


def test_without_a_strategy_nothing_is_asked_for(show: Open, project: SmallProject, me: int):
    app = show(project)
    app.multiselect[0].set_value([])
    app = simulate(app)
    assert [error.value for error in app.error] == ["Choose at least one strategy."]
    assert simulations(project, me) is None


def test_a_failed_simulation_says_why(show: Open, project: SmallProject):
    simulation_job.request(
        project.workspace, project.owner, project.id, simulation_job.Plan(strategies=["random"], oracle="known")
    )
    job = jobs.take(project.workspace, "worker", project_id=project.id)
    assert job is not None
    with writing(project.workspace.engine) as session:
        jobs.finish(session, job, error="The disk is full.")
    assert [error.value.replace("\\", "") for error in show(project).error] == ["The disk is full."]


def test_an_annotator_sees_results_but_starts_nothing(show: Open, project: SmallProject, me: int):
    with writing(project.workspace.engine) as session:
        session.get_one(Membership, (project.id, me)).role = Role.ANNOTATOR
    plan = simulation_job.Plan(strategies=["random"], budget=20, seeds=2, head="logistic", oracle="known")
    asked = simulation_job.request(project.workspace, project.owner, project.id, plan)
    assert "Stop" not in words(show(project)).splitlines()
    work_off(project.workspace, asked, lambda _share, _line: None)
    app = show(project)
    assert "Simulate" not in [b.label for b in app.button]
    assert len(app.get("vega_lite_chart")) == 1
