"""The answers of a project as one table."""

import numpy as np
import pytest
from sqlmodel import select

from labeling.annotation import answers
from labeling.annotation.answers import Answer
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, LabelClass
from labeling.learning.history import NOBODY, History, read_history
from labeling.learning.status import versions
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, new_event


def history_of(project: SmallProject) -> History:
    with reading(project.workspace.engine) as session:
        return read_history(session, project.id)


def correct(project: SmallProject, actor: int, event: str, class_id: int) -> str:
    again = Answer(event_id=new_event(), supersedes=event, verdict="label", class_id=class_id)
    (outcome,) = answers.submit(project.workspace, actor, [again])
    assert outcome.status == "saved"
    return again.event_id


@pytest.fixture
def project(workspace: Workspace) -> SmallProject:
    made = SmallProject.make(workspace, items=12)
    made.add_features(np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32))
    return made


def test_an_empty_project_has_an_empty_history(project: SmallProject) -> None:
    history = history_of(project)
    assert (len(history.answers), len(history.judged), len(history.versions), history.people) == (0, 0, 0, {})
    assert list(history.class_names.values()) == ["cat", "dog"]


def test_only_standing_answers_are_in_it(project: SmallProject) -> None:
    cat, dog = project.classes
    gone, changed = (project.answer(project.owner, item, cat) for item in project.items[:2])
    answers.undo(project.workspace, project.owner, gone)
    correct(project, project.owner, changed, dog)
    project.answer(project.people[0], project.items[2], verdict="skip")
    table = history_of(project).answers
    assert list(zip(table["item"], table["verdict"], table["class_id"], strict=True)) == [
        (project.items[1], "label", dog), (project.items[2], "skip", NOBODY),
    ]  # fmt: skip


def test_what_comes_later_is_added_to_what_was_read(project: SmallProject) -> None:
    first = project.answer(project.owner, project.items[0])
    assert len(history_of(project).answers) == 1
    project.answer(project.people[0], project.items[1])
    assert list(history_of(project).answers["item"]) == list(project.items[:2])
    answers.undo(project.workspace, project.owner, first)
    assert list(history_of(project).answers["item"]) == [project.items[1]]
    assert set(history_of(project).people.values()) == {"animals owner", "animals person 0"}


def test_it_is_the_same_object_until_something_changes(project: SmallProject) -> None:
    project.answer(project.owner, project.items[0])
    before = history_of(project)
    assert history_of(project) is before
    with writing(project.workspace.engine) as session:
        session.get_one(LabelClass, project.classes[0]).name = "tiger"
    assert list(history_of(project).class_names.values()) == ["tiger", "dog"]
    project.answer(project.owner, project.items[1])
    assert history_of(project) is not before


def test_merged_classes_are_what_they_were_merged_into(project: SmallProject) -> None:
    cat, dog = project.classes
    project.answer(project.owner, project.items[0], cat)
    with writing(project.workspace.engine) as session:
        third = LabelClass(project_id=project.id, name="fox", position=2)
        session.add(third)
        session.flush()
        session.get_one(LabelClass, cat).merged_into = dog
        session.get_one(LabelClass, dog).merged_into = third.id
        fox = third.id
    history = history_of(project)
    assert list(history.answers["class_id"]) == [fox]
    assert list(history.class_names.values()) == ["fox"]


def test_the_answers_that_judge_the_model_are_those_of_the_models_own_record(project: SmallProject) -> None:
    """The same rule as `labeling.learning.status`, which reads it with SQL."""
    cat, dog = project.classes
    for place, item in enumerate(project.items[:4]):
        project.answer(project.owner, item, (cat, dog)[place % 2])
    assert project.learn().error == ""
    held = project.lease(project.people[0], project.items[6])
    for place, item in enumerate(project.items[4:6]):
        project.answer(project.people[0], item, (cat, dog)[place % 2])
    assert project.learn().error == ""
    late = Answer(
        event_id=new_event(), assignment_id=held.assignment_id, token=held.token, verdict="label", class_id=cat
    )
    answers.submit(project.workspace, project.people[0], [late])
    project.answer(project.owner, project.items[7], verdict="unsure")
    judged, reports = history_of(project).judged, versions(project.workspace, project.owner, project.id)
    assert len(judged) == sum(report.answers for report in reports) == 3
    on = judged.groupby("version")["right"].agg(["size", "sum"])
    assert {r.number: (r.answers, r.right) for r in reports if r.answers} == {
        number: (size, right) for number, size, right in on.itertuples(name=None)
    }
    assert judged["confidence"].between(0.5, 1).all()


def test_two_projects_are_kept_apart(project: SmallProject) -> None:
    other = SmallProject.make(project.workspace, name="plants", classes=("moss", "fern"))
    other.answer(other.owner, other.items[0])
    assert len(history_of(project).answers) == 0
    assert len(history_of(other).answers) == 1


def test_an_answer_says_what_it_took_and_when(project: SmallProject) -> None:
    event = project.answer(project.owner, project.items[0], seconds=1.5)
    with reading(project.workspace.engine) as session:
        created = session.exec(select(Annotation.created).where(Annotation.id == event)).one()
    (row,) = history_of(project).answers.to_dict("records")
    assert (row["seconds"], row["created"]) == (1.5, created)
