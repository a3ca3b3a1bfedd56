"""From model versions in the database to what is told of a target."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from sqlmodel import select

from labeling import projects
from labeling.annotation import answers, queue
from labeling.db.engine import reading, writing
from labeling.db.schema import ModelVersion
from labeling.learning import insights, outlook
from labeling.learning.assessment import GROWTH, KEY, assess, assessed, is_due
from labeling.learning.forecast import BINS, FEWEST
from labeling.learning.head import fit_head
from labeling.learning.outlook import Outlook
from labeling.learning.predictions import PoolPredictions
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, answer_to


def predictions(confidence: np.ndarray, is_open: np.ndarray) -> PoolPredictions:
    return PoolPredictions(np.zeros(len(confidence), dtype=np.int32), confidence.astype(np.float32), [1, 2], is_open)


def test_a_version_is_assessed_each_time_the_labels_grow_by_a_tenth() -> None:
    due = [labels for labels in range(1, 2000) if is_due(labels, labels - 1)]
    assert due[0] >= FEWEST
    assert all(one < two <= one * GROWTH + 2 for one, two in pairwise(due))
    assert len(due) < 60


def test_a_version_that_leaps_is_assessed_and_one_that_stands_still_is_not() -> None:
    assert is_due(500, 30)
    assert is_due(40, 0)
    assert not is_due(500, 500)
    assert not is_due(FEWEST - 1, 0)


def test_an_assessment_holds_every_label_out_once_and_counts_open_items_only() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1], 50)
    rows = rng.normal(size=(100, 2)) + 4 * targets[:, None]
    is_open = np.arange(30) < 20
    kept = assess(rows, targets, partial(fit_head, strength=10.0), predictions(np.linspace(0.5, 1, 30), is_open))[KEY]
    assert sum(kept["held"]) == 100
    assert 95 <= sum(kept["right"]) <= 100
    assert sum(kept["open"]) == 20
    assert len(kept["open"]) == BINS


def test_labels_that_the_encoder_was_tuned_on_tell_nothing():
    rows, targets = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
    fresh = np.arange(60) < 20
    beliefs = predictions(np.ones(5), np.ones(5, bool))
    kept = assess(rows, targets, partial(fit_head, strength=1.0), beliefs, fresh)[KEY]
    assert sum(kept["held"]) == 20
    assert sum(assess(rows, targets, partial(fit_head, strength=1.0), beliefs, ~fresh & fresh)[KEY]["held"]) == 0


def test_many_labels_are_not_all_held_out() -> None:
    targets = np.arange(4000) % 2
    kept = assess(
        targets[:, None] + np.zeros((4000, 1)),
        targets,
        partial(fit_head, strength=1.0),
        predictions(np.ones(1), np.ones(1, bool)),
    )[KEY]
    assert sum(kept["held"]) == sum(kept["right"]) == 800


def test_a_version_without_an_assessment_says_nothing() -> None:
    none = [0] * BINS
    assert assessed(100, {}, [], []) is None
    assert assessed(100, {KEY: {"open": none, "held": [9] * BINS, "right": none}}, [], []) is None


@pytest.fixture
def project(workspace: Workspace) -> SmallProject:
    """160 items of two classes that overlap, 100 of them labeled, a version at 25, 50, 75 and 100."""
    made = SmallProject.make(workspace, items=160, strategy="random")
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=160)
    made.add_features((rng.normal(size=(160, 4)) + 1.2 * truth[:, None]).astype(np.float32))
    for _ in range(4):
        label(made, truth, 25)
        assert made.learn().error == ""
    return made


def label(project: SmallProject, truth: np.ndarray, count: int) -> None:
    """Let the owner answer so many items at once."""
    claims = queue.claim(project.workspace, project.owner, project.id, count)
    given = [
        answer_to(claim, project.classes[truth[project.items.index(claim.item.id)]], seconds=1.0) for claim in claims
    ]
    assert {outcome.status for outcome in answers.submit(project.workspace, project.owner, given)} == {"saved"}


def told(project: SmallProject, target: float | None) -> Outlook:
    projects.update_settings(project.workspace, project.owner, project.id, {"target_accuracy": target})
    return insights.read_progress(project.workspace, project.owner, project.id).outlook


def test_the_outlook_follows_the_target(project: SmallProject) -> None:
    found = told(project, None)
    assert found.told == "no target"
    assert found.now is not None and found.now.labels == 100
    assert 0.7 < found.now.low < found.now.middle < found.now.high < 1
    assert [one.labels for one in found.so_far] == [100, 100]
    assert (found.path, found.needed) == ([], None)
    assert told(project, 0.5).told == "there"
    beyond = told(project, 0.999)
    assert beyond.told in ("at least", "beyond the pool")
    assert beyond.path[0].labels == 100 and beyond.path[-1].labels <= 160
    assert (beyond.needed, beyond.hours) == (None, None)


def test_what_is_needed_is_told_in_labels_and_hours_where_it_is_near(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = told(project, None).now
    assert now is not None
    monkeypatch.setattr("labeling.learning.forecast.FARTHEST", 1e12)
    monkeypatch.setattr("labeling.learning.forecast.WIDEST", 1e12)
    found = told(project, round(now.middle + 0.01, 3))
    assert found.told == "told"
    assert found.needed is not None and 0 <= found.needed.low < found.needed.middle < found.needed.high
    assert found.hours is None or found.hours.low <= found.hours.middle <= found.hours.high


def test_labels_that_came_after_the_last_assessment_count(project: SmallProject) -> None:
    before = told(project, None).now
    label(project, np.zeros(160, dtype=int), 5)
    after = told(project, None).now
    assert before is not None and after is not None
    assert (before.labels, after.labels) == (100, 105)
    assert after.middle > before.middle


def test_nothing_is_told_with_a_strategy_that_estimates_do_not_hold_with(project: SmallProject) -> None:
    projects.update_settings(project.workspace, project.owner, project.id, {"strategy": "margin"})
    found = told(project, 0.9)
    assert (found.told, found.target, found.now) == ("strategy", 0.9, None)


def test_with_few_labels_nothing_is_told(workspace: Workspace) -> None:
    made = SmallProject.make(workspace, items=60)
    made.add_features(np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32))
    label(made, np.arange(60) % 2, 40)
    assert made.learn().error == ""
    assert outlook.TOLD_FROM > 40
    found = told(made, 0.9)
    assert (found.told, found.now, found.so_far, found.path) == ("too few", None, [], [])


def test_versions_of_an_earlier_release_have_no_estimate(project: SmallProject) -> None:
    with writing(project.workspace.engine) as session:
        for version in session.exec(select(ModelVersion)).all():
            version.metrics = {}
    assert told(project, 0.9).told == "too few"


def test_only_a_few_versions_are_assessed(project: SmallProject) -> None:
    label(project, np.zeros(160, dtype=int), 1)
    assert project.learn().error == ""
    with reading(project.workspace.engine) as session:
        kept = session.exec(select(ModelVersion.metrics).order_by(ModelVersion.number)).all()  # type: ignore[arg-type]
    assert [KEY in metrics for metrics in kept] == [True, True, True, True, False]
