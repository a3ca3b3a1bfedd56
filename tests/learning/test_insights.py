"""What the Insights page reads."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sqlmodel import select

from labeling.annotation import answers
from labeling.db.engine import writing
from labeling.db.schema import Annotation, LabelClass
from labeling.errors import NotFound
from labeling.learning import insights
from labeling.learning.status import read_live
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user


def judged(*versions: tuple[int, int, int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The answers that versions met (number, answers, right), as a `History` has them; and the versions."""
    rows = [
        {"version": number, "right": place < right} for number, answers, right in versions for place in range(answers)
    ]
    numbers = [number for number, _, _ in versions]
    made = pd.DataFrame({"number": numbers, "labels": [10 * number for number in numbers]})
    return pd.DataFrame(rows, columns=["version", "right"]), made


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
    curve = insights.learning_curve(*judged((1, 6, 1), (2, 4, 2), (3, 6, 6), (4, 5, 4)), window=10)
    assert [(p.running_on, round(p.running * p.running_on)) for p in curve] == [(6, 1), (10, 3), (10, 8), (11, 10)]


def test_a_version_that_met_no_answer_has_no_place_on_the_curve() -> None:
    curve = insights.learning_curve(*judged((1, 3, 1), (2, 0, 0), (3, 2, 2)))
    assert [(p.first, p.last, p.labels, p.accuracy) for p in curve] == [(1, 1, 10, 1 / 3), (3, 3, 30, 1.0)]


def test_many_versions_share_dots_that_hold_all_their_answers() -> None:
    curve = insights.learning_curve(*judged(*((number, 2, number % 3) for number in range(1, 501))))
    assert len(curve) == insights.DOTS
    assert sum(p.answers for p in curve) == 1000
    assert (curve[0].first, curve[-1].last, curve[-1].labels) == (1, 500, 5000)
    assert all(one.last < two.first for one, two in pairwise(curve))


def test_no_answers_are_no_curve() -> None:
    assert insights.learning_curve(*judged()) == []


def test_a_fresh_project_has_nothing_to_show_but_its_classes(project: SmallProject) -> None:
    seen = insights.read_insights(project.workspace, project.owner, project.id)
    progress = seen.progress
    assert (progress.learned, progress.answers, progress.curve, progress.slots) == (None, 0, [], [])
    assert (progress.outlook.told, progress.outlook.pace, progress.live.items) == ("too few", None, 8)
    assert [(c.name, c.labels) for c in seen.classes.classes] == [("cat", 0), ("dog", 0)]
    assert (seen.classes.confusion, seen.people.people, seen.people.durations.bins) == ([], [], [])


def test_answers_over_time_count_up_to_the_labels_that_stand(project: SmallProject) -> None:
    given = [project.answer(project.owner, item) for item in project.items[:4]]
    skipped = project.answer(project.owner, project.items[4], verdict="skip")
    set_created(project.workspace, {event: 120.0 + 60 * place for place, event in enumerate([*given, skipped])})
    answers.undo(project.workspace, project.owner, given[1])
    found = insights.read_progress(project.workspace, project.owner, project.id).slots
    assert [(slot.start, slot.answers, slot.labels) for slot in found] == [
        (120.0, 1, 1), (180.0, 0, 1), (240.0, 1, 2), (300.0, 1, 3), (360.0, 1, 3),
    ]  # fmt: skip


def test_class_balance_counts_agreed_labels_and_keeps_a_retired_class_that_has_some(project: SmallProject) -> None:
    cat, dog = project.classes
    for item, class_id in zip(project.items, (cat, cat, dog), strict=False):
        project.answer(project.owner, item, class_id)
    with writing(project.workspace.engine) as session:
        session.get_one(LabelClass, dog).retired = True
        session.add(LabelClass(project_id=project.id, name="unicorn", retired=True, position=9))
    seen = insights.read_classes(project.workspace, project.owner, project.id)
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


def test_the_confusion_is_of_answers_that_judge_the_model(project: SmallProject) -> None:
    cat, dog = project.classes
    project.add_features(np.array([[0.0], [1.0], [0.1], [0.9], [0.2], [0.8], [0.3], [0.7]], dtype=np.float32))
    project.answer(project.owner, project.items[0], cat)
    project.answer(project.owner, project.items[1], dog)
    assert project.learn().error == ""
    project.answer(project.owner, project.items[2], cat)
    project.answer(project.owner, project.items[3], cat)
    seen = insights.read_classes(project.workspace, project.owner, project.id)
    assert {(c.suggested, c.answered): c.answers for c in seen.confusion} == {(cat, cat): 1, (dog, cat): 1}
    assert [(c.name, c.met, c.right) for c in seen.classes] == [("cat", 2, 1), ("dog", 0, 0)]


def test_an_annotator_sees_themself_and_everybody_together(project: SmallProject) -> None:
    ann, bob = project.people
    project.answer(ann, project.items[0], seconds=1.0)
    project.answer(bob, project.items[1], seconds=2.0)
    own = insights.read_people(project.workspace, ann, project.id, only=bob)
    assert [p.id for p in own.people] == [ann]
    assert [one.of for one in own.durations.by_person] == [ann]
    assert (own.everybody, own.durations.everything.answers, own.durations.everything.median) == (2, 1, 1.0)
    assert insights.read_people(project.workspace, ann, project.id).durations.everything.answers == 2
    everyone = insights.read_people(project.workspace, project.owner, project.id, only=bob)
    assert [p.id for p in everyone.people] == [ann, bob]
    assert everyone.durations.everything.median == 2.0


def test_another_projects_answers_are_not_counted(project: SmallProject) -> None:
    other = SmallProject.make(project.workspace, name="plants", classes=("moss", "fern"))
    other.answer(other.owner, other.items[0])
    seen = insights.read_insights(project.workspace, project.owner, project.id)
    assert (seen.people.people, seen.progress.slots) == ([], [])
    assert [c.labels for c in seen.classes.classes] == [0, 0]


def test_a_stranger_sees_nothing(project: SmallProject) -> None:
    stranger = add_user(project.workspace, "stranger")
    for read in (read_live, insights.people, insights.read_insights):
        with pytest.raises(NotFound):
            read(project.workspace, stranger, project.id)


def test_the_default_strategy_is_offered_first() -> None:
    names = insights.strategy_names()
    assert names[0] == "adaptive"
    assert "random" in names
