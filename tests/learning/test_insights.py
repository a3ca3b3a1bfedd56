"""What the Insights page reads."""

import pytest
from scipy.stats import binomtest
from sqlmodel import select

from labeling.annotation import answers
from labeling.db.engine import writing
from labeling.db.schema import Annotation, LabelClass, ModelState
from labeling.errors import NotFound
from labeling.learning import insights
from labeling.learning.status import VersionReport, read_live
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user


def version(number: int, answered: int, right: int) -> VersionReport:
    return VersionReport(
        number=number, state=ModelState.RETIRED, labels=number * 10, created=0.0, seconds=0.1,
        answers=answered, right=right,
    )  # fmt: skip


@pytest.fixture
def project(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace, items=8)


def set_created(workspace: Workspace, moments: dict[str, float]) -> None:
    with writing(workspace.engine) as session:
        for annotation in session.exec(select(Annotation)).all():
            annotation.created = moments[annotation.id]


@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 1), (0, 40), (37, 50), (50, 50), (412, 900)])
def test_the_interval_is_wilsons(right: int, count: int) -> None:
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert insights.wilson(right, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_answers_say_nothing_about_accuracy() -> None:
    assert insights.wilson(0, 0) == (0.0, 1.0)


def test_the_running_figure_rests_on_whole_versions_up_to_the_window() -> None:
    curve = insights.learning_curve([version(1, 6, 1), version(2, 4, 2), version(3, 6, 6), version(4, 5, 4)], window=10)
    assert [(p.running_on, round(p.running * p.running_on)) for p in curve] == [(6, 1), (10, 3), (10, 8), (11, 10)]


def test_a_version_that_met_no_answer_has_no_place_on_the_curve() -> None:
    curve = insights.learning_curve([version(1, 3, 1), version(2, 0, 0), version(3, 2, 2)])
    assert [(p.number, p.labels, p.accuracy) for p in curve] == [(1, 10, 1 / 3), (3, 30, 1.0)]


def test_a_fresh_project_has_nothing_to_show_but_its_classes(project: SmallProject) -> None:
    seen = insights.read_insights(project.workspace, project.owner, project.id)
    assert (seen.newest, seen.pace, seen.people, seen.curve) == (None, [], [], [])
    assert [(c.name, c.labels) for c in seen.classes] == [("cat", 0), ("dog", 0)]
    assert seen.live.items == 8


def test_labels_over_time_count_up_to_the_labels_that_stand(project: SmallProject) -> None:
    given = [project.answer(project.owner, item) for item in project.items[:4]]
    skipped = project.answer(project.owner, project.items[4], verdict="skip")
    set_created(project.workspace, {event: 100.0 + 50 * place for place, event in enumerate([*given, skipped])})
    answers.undo(project.workspace, project.owner, given[1])
    pace = insights.read_insights(project.workspace, project.owner, project.id).pace
    assert [(p.at, p.labels) for p in pace] == [(100.0, 1), (200.0, 2), (250.0, 3)]


def test_labels_over_time_are_few_points_however_many_answers(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insights, "PACE_POINTS", 2)
    given = [project.answer(project.owner, item) for item in project.items]
    set_created(project.workspace, {event: 1000.0 + place for place, event in enumerate(given)})
    pace = insights.read_insights(project.workspace, project.owner, project.id).pace
    assert len(pace) <= 4
    assert (pace[-1].at, pace[-1].labels) == (1007.0, 8)


def test_answers_of_one_instant_are_one_point(project: SmallProject) -> None:
    given = [project.answer(project.owner, item) for item in project.items[:3]]
    set_created(project.workspace, dict.fromkeys(given, 5.0))
    pace = insights.read_insights(project.workspace, project.owner, project.id).pace
    assert [(p.at, p.labels) for p in pace] == [(5.0, 3)]


def test_class_balance_counts_agreed_labels_and_keeps_a_retired_class_that_has_some(project: SmallProject) -> None:
    cat, dog = project.classes
    for item, class_id in zip(project.items, (cat, cat, dog), strict=False):
        project.answer(project.owner, item, class_id)
    with writing(project.workspace.engine) as session:
        session.get_one(LabelClass, dog).retired = True
        session.add(LabelClass(project_id=project.id, name="unicorn", retired=True, position=9))
    seen = insights.read_insights(project.workspace, project.owner, project.id)
    assert [(c.name, c.labels) for c in seen.classes] == [("cat", 2), ("dog", 1)]


def test_each_person_is_counted_with_the_answers_that_stand(project: SmallProject) -> None:
    ann, bob = project.people
    gone = project.answer(ann, project.items[0])
    answers.undo(project.workspace, ann, gone)
    project.answer(ann, project.items[1])
    project.answer(bob, project.items[2])
    project.answer(bob, project.items[3])
    project.answer(bob, project.items[4], verdict="unsure")
    project.answer(bob, project.items[5], verdict="skip")
    seen = insights.people(project.workspace, project.owner, project.id)
    assert [(p.name, p.labels, p.unsure, p.skipped) for p in seen] == [
        ("animals person 1", 2, 1, 1),
        ("animals person 0", 1, 0, 0),
    ]


def test_another_projects_answers_are_not_counted(project: SmallProject) -> None:
    other = SmallProject.make(project.workspace, name="plants", classes=("moss", "fern"))
    other.answer(other.owner, other.items[0])
    seen = insights.read_insights(project.workspace, project.owner, project.id)
    assert (seen.people, seen.pace, [c.labels for c in seen.classes]) == ([], [], [0, 0])


def test_a_stranger_sees_nothing(project: SmallProject) -> None:
    stranger = add_user(project.workspace, "stranger")
    for read in (read_live, insights.people, insights.read_insights):
        with pytest.raises(NotFound):
            read(project.workspace, stranger, project.id)


def test_the_default_strategy_is_offered_first() -> None:
    names = insights.strategy_names()
    assert names[0] == "adaptive"
    assert "random" in names
