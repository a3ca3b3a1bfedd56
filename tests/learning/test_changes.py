"""What a model version changed, as the page reads it."""

import numpy as np
import pytest

from labeling.db.engine import writing
from labeling.db.schema import LabelClass
from labeling.errors import NotFound
from labeling.learning.changes import read_changes, versions_with_changes
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user


@pytest.fixture
def project(workspace: Workspace) -> SmallProject:
    """Two versions: what was a cat to the first is a dog to the second, from the middle on."""
    made = SmallProject.make(workspace, items=10)
    cat, dog = made.classes
    made.add_features(np.linspace(-1, 1, 10, dtype=np.float32)[:, None])
    made.answer(made.owner, made.items[0], cat)
    made.answer(made.owner, made.items[9], dog)
    assert made.learn().error == ""
    for place in (1, 2, 3):
        made.answer(made.owner, made.items[place], dog)
    assert made.learn().error == ""
    return made


def test_moves_and_examples_are_named(project: SmallProject) -> None:
    made = read_changes(project.workspace, project.people[0], project.id, 2)
    assert made is not None
    assert (made.number, made.labels, made.of) == (2, 5, 10)
    assert made.changed == sum(move.items for move in made.moves) == len(made.examples) > 0
    assert {(move.before, move.after) for move in made.moves} == {("cat", "dog")}
    assert {example.item_id for example in made.examples} <= set(project.items)
    assert {(example.before, example.after) for example in made.examples} == {("cat", "dog")}


def test_the_first_version_and_unknown_ones_changed_nothing_that_is_known(project: SmallProject) -> None:
    for number in (1, 3):
        assert read_changes(project.workspace, project.owner, project.id, number) is None


def test_classes_go_by_the_names_they_have_today(project: SmallProject) -> None:
    with writing(project.workspace.engine) as session:
        session.get_one(LabelClass, project.classes[0]).name = "tiger"
    made = read_changes(project.workspace, project.owner, project.id, 2)
    assert made is not None and {move.before for move in made.moves} == {"tiger"}


def test_the_newest_version_is_listed_first(project: SmallProject) -> None:
    assert versions_with_changes(project.workspace, project.owner, project.id) == [2, 1]


def test_a_stranger_learns_nothing_of_versions(project: SmallProject) -> None:
    stranger = add_user(project.workspace, "stranger")
    with pytest.raises(NotFound):
        versions_with_changes(project.workspace, stranger, project.id)
    with pytest.raises(NotFound):
        read_changes(project.workspace, stranger, project.id, 2)
