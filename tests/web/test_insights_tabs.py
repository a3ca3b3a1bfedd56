"""The tabs of Insights: what they say, the items behind a figure, the owner's target."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from labeling import projects
from labeling.annotation import answers, queue
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, Membership, Role
from labeling.learning import insights
from labeling.learning.behind import By, Confused, Met, OfClass, Which, items_behind
from labeling.learning.history import read_history
from labeling.learning.outlook import TOLD_FROM
from labeling.users import local_user
from labeling.web import current, insights_progress
from labeling.web.frame import plain
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, answer_to

HOSTILE = "a *b* [c](http://d) :red[e] $f$ <i>g</i> `h`"

Open = Callable[..., AppTest]


@pytest.fixture
def me(workspace: Workspace) -> int:
    current.serve(workspace)
    return local_user(workspace)


@pytest.fixture
def project(workspace: Workspace, me: int) -> SmallProject:
    """An owner's project of texts: the owner labeled 30 for the first model, and Ann ten more after it."""
    made = SmallProject.make(workspace, items=60, people=1)
    with writing(workspace.engine) as session:
        session.get_one(Membership, (made.id, me)).role = Role.OWNER
        for item in made.items:
            session.get_one(Item, item).text = f"text of {item} {HOSTILE}"
    truth = np.arange(60) % 2
    rows = np.random.default_rng(0).normal(size=(60, 3)) + 2 * truth[:, None]
    made.add_features(rows.astype(np.float32))
    label(made, me, truth, 30)
    assert made.learn().error == ""
    label(made, made.people[0], truth, 10)
    return made


def label(project: SmallProject, person: int, truth: np.ndarray, count: int) -> None:
    claims = queue.claim(project.workspace, person, project.id, count)
    given = [
        answer_to(claim, project.classes[truth[project.items.index(claim.item.id)]], seconds=1.0) for claim in claims
    ]
    assert {outcome.status for outcome in answers.submit(project.workspace, person, given)} == {"saved"}


@pytest.fixture
def show() -> Open:
    """Open one tab by itself, with what was chosen in it before."""

    def tab(name: str, project_id: int) -> None:
        import importlib

        from labeling import projects
        from labeling.web import current

        mine = projects.list_projects(current.workspace(), current.actor())
        module = importlib.import_module(f"labeling.web.insights_{name}")
        module.show(next(p for p in mine if p.id == project_id))

    def show(project: SmallProject, name: str, **chosen: Any) -> AppTest:
        app = AppTest.from_function(tab, args=(name, project.id), default_timeout=60)
        for key, value in chosen.items():
            app.session_state[key] = value
        return ran(app.run())

    return show


def ran(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def words(app: AppTest) -> str:
    kinds = (app.subheader, app.markdown, app.caption, app.error, app.info)
    return "\n".join(element.value for kind in kinds for element in kind)


def first_dot(project: SmallProject, me: int) -> Met:
    (point,) = insights.read_progress(project.workspace, me, project.id).curve
    return Met(first=point.first, last=point.last)


def test_progress_says_where_things_stand(show: Open, project: SmallProject) -> None:
    app = show(project, "progress")
    told = {metric.label: metric.value for metric in app.metric}
    assert (told["Labels"], told["Model"]) == ("40", "v1")
    assert "%" in told["Right on items asked"]
    assert told["Right on new items"] == "–"
    assert f"takes {TOLD_FROM} labels" in words(app)


def test_the_items_behind_a_dot_are_shown_below_it(show: Open, project: SmallProject, me: int) -> None:
    app = show(project, "progress", insights_met=first_dot(project, me))
    said = words(app)
    assert "**10** items" in said
    assert said.count("animals person 0") == 10
    (right,) = [radio for radio in app.radio if radio.key == "insights_met_filter"]
    wrong = sum(not row for row in judged_right(project))
    assert f"**{wrong}** item" in words(ran(right.set_value("wrong").run())) or wrong == 0


def judged_right(project: SmallProject) -> list[bool]:
    with reading(project.workspace.engine) as session:
        return list(read_history(session, project.id).judged["right"])


def test_what_is_chosen_stays_when_the_chart_moves_on(show: Open, project: SmallProject) -> None:
    gone = Met(first=1, last=7)
    app = show(project, "progress", insights_met=gone)
    (choice,) = [box for box in app.selectbox if box.key == "insights_met"]
    assert choice.value == gone
    assert "**10** items" in words(app)


def test_peoples_text_behind_a_figure_is_shown_as_it_is(show: Open, project: SmallProject, me: int) -> None:
    said = words(show(project, "people", insights_people_row=By(user_id=me)))
    assert plain(HOSTILE) in said
    assert HOSTILE not in said


def test_one_turns_the_pages_of_many_items(show: Open, project: SmallProject, me: int) -> None:
    which: Which = By(user_id=me)
    first = words(show(project, "people", insights_people_row=which))
    second = words(show(project, "people", insights_people_row=which, insights_people_row_page=2))
    assert "**30** items" in first and "**30** items" in second
    shown = [item for item in project.items if plain(f"text of {item} ") in first]
    assert len(shown) == 18
    assert not [item for item in shown if plain(f"text of {item} ") in second]


def test_ones_own_answer_can_be_corrected_where_it_is_seen(show: Open, project: SmallProject, me: int) -> None:
    cat, dog = project.classes
    before = items_behind(project.workspace, me, project.id, OfClass(class_id=cat)).total
    app = show(project, "people", insights_people_row=By(user_id=me))
    mine = items_behind(project.workspace, me, project.id, By(user_id=me)).items
    own = next(item.answers[0] for item in mine if item.answers[0].class_id == cat)
    (button,) = [b for b in app.get("menu_button") if b.proto.id.endswith(f"correct_{own.event_id}")]
    assert button.proto.options[:] == ["dog"]
    insights_items_correct(own.event_id, dog)
    assert items_behind(project.workspace, me, project.id, OfClass(class_id=cat)).total == before - 1


def insights_items_correct(event_id: str, class_id: int) -> None:
    """What the menu calls."""

    def script(event_id: str, class_id: int) -> None:
        import streamlit as st

        from labeling.web import insights_items

        st.session_state["chosen"] = class_id
        insights_items._correct("chosen", event_id)

    ran(AppTest.from_function(script, args=(event_id, class_id), default_timeout=60).run())


def test_somebody_elses_answer_cannot(show: Open, project: SmallProject) -> None:
    app = show(project, "people", insights_people_row=By(user_id=project.people[0]))
    assert "**10** items" in words(app)
    assert not app.get("menu_button")


def test_the_owner_sets_a_target_and_clears_it(show: Open, project: SmallProject, me: int) -> None:
    app = show(project, "progress")
    app.number_input[0].set_value(95.5)
    ran(app.button[0].click().run())
    assert projects.read_project(project.workspace, me, project.id).settings.target_accuracy == 0.955
    (taken_away,) = [button for button in app.button if button.label == "No target"]
    ran(taken_away.click().run())
    assert projects.read_project(project.workspace, me, project.id).settings.target_accuracy is None


def test_a_target_that_nobody_set_by_a_button_is_not_saved(show: Open, project: SmallProject, me: int) -> None:
    app = show(project, "progress")
    app.number_input[0].set_value(95.5)
    ran(app.run())
    assert projects.read_project(project.workspace, me, project.id).settings.target_accuracy is None


def test_others_read_the_target(show: Open, project: SmallProject, me: int) -> None:
    projects.update_settings(project.workspace, me, project.id, {"target_accuracy": 0.9})
    with writing(project.workspace.engine) as session:
        session.get_one(Membership, (project.id, me)).role = Role.EXPERT
    app = show(project, "progress")
    assert len(app.number_input) == 0
    assert "Target: **90.0%**" in words(app)


def test_an_annotator_sees_how_many_items_are_hidden(show: Open, project: SmallProject, me: int) -> None:
    with writing(project.workspace.engine) as session:
        session.get_one(Membership, (project.id, me)).role = Role.ANNOTATOR
    app = show(project, "progress", insights_met=first_dot(project, me))
    assert "10 more were answered by others" in words(app)
    assert "You see your own figures; 1 other" in words(show(project, "people"))


def test_classes_offer_mistakes_first_and_every_class(show: Open, project: SmallProject, me: int) -> None:
    app = show(project, "classes")
    seen = insights.read_classes(project.workspace, me, project.id)
    (choice,) = app.selectbox
    wrong = [cell for cell in seen.confusion if cell.suggested != cell.answered]
    assert len(choice.options) == len(seen.confusion) + 2
    assert all("where the model said" in option for option in choice.options[: len(wrong)])
    assert len(app.get("vega_lite_chart")) == 2
    cat = project.classes[0]
    right = sum(cell.answers for cell in seen.confusion if (cell.suggested, cell.answered) == (cat, cat))
    chosen = show(project, "classes", insights_classes=Confused(suggested=cat, answered=cat))
    assert f"**{right}** item" in words(chosen)


def test_a_project_without_answers_says_so_on_every_tab(
    show: Open, workspace: Workspace, me: int, project: SmallProject
) -> None:
    bare = projects.create_project(workspace, me, "bare", ["a"])
    empty = SmallProject(workspace, bare, me, (), (), ())
    assert "Nothing to see yet" in words(show(empty, "progress"))
    assert "As soon as answers come in" in words(show(empty, "classes"))
    assert "Nobody has answered yet" in words(show(empty, "people"))


@pytest.mark.parametrize(
    ("hours", "said"), [(0.001, "a minute"), (0.5, "30 min"), (1.5, "1.5 h"), (40.0, "40 h"), (1234.0, "1,234 h")]
)
def test_hours_are_said_as_people_say_them(hours: float, said: str) -> None:
    assert insights_progress._duration(hours) == said
