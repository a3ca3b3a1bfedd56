"""What is said against a label comes from heads that know its class, and is never surer than their labels make it."""

import numpy as np
import pytest

from labeling.db.engine import writing
from labeling.db.schema import Label
from labeling.learning.held_out import HeldOut, held_out
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject

CAT, DOG, COW = range(3)


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    """30 items of three classes that lie apart, all answered; one item alone is a cow."""
    small = SmallProject.make(workspace, items=30, people=1, classes=("cat", "dog", "cow"))
    truth = [COW if row == 0 else row % 2 for row in range(30)]
    small.add_features(np.eye(3)[truth] * 4 + np.random.default_rng(0).normal(scale=0.1, size=(30, 3)))
    for item, index in zip(small.items, truth, strict=True):
        small.answer(small.people[0], item, small.classes[index])
    small.learn()
    return small


def judged(small: SmallProject) -> tuple[HeldOut, np.ndarray]:
    found = held_out(small.workspace, small.id)
    assert found is not None
    return found, found.of_rows(np.arange(30), list(small.classes))


def test_a_class_that_a_head_has_hardly_seen_is_not_held_against_its_items(small: SmallProject) -> None:
    _, said = judged(small)
    assert np.isnan(said[0]).all()
    assert np.isfinite(said[1:]).all()


def test_what_is_said_is_right_where_classes_lie_apart_and_adds_up_to_one(small: SmallProject) -> None:
    _, said = judged(small)
    assert said[1:].argmax(axis=1).tolist() == [row % 2 for row in range(1, 30)]
    assert said[1:].sum(axis=1) == pytest.approx(np.ones(29), abs=1e-5)


def test_no_class_is_ever_out_of_the_question(small: SmallProject) -> None:
    _, said = judged(small)
    assert said[1:].min() >= 1 / (30 + 3)


def test_an_item_without_a_label_has_no_verdict(small: SmallProject) -> None:
    found, _ = judged(small)
    assert np.isnan(found.of_rows(np.array([30]), list(small.classes))).all()


def test_a_verdict_is_given_anew_when_labels_became_others(small: SmallProject) -> None:
    first = held_out(small.workspace, small.id)
    assert held_out(small.workspace, small.id) is first
    with writing(small.workspace.engine) as session:
        for item in small.items[10:16]:
            session.get_one(Label, item).class_id = small.classes[DOG]
    again = held_out(small.workspace, small.id)
    assert again is not None and again is not first
