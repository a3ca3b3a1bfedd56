"""One round of learning: published whole or not at all, and honest about what it saw."""

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sqlmodel import col, select

from labeling import jobs
from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer
from labeling.db.engine import reading, writing
from labeling.db.schema import (
    Annotation,
    Job,
    JobState,
    LabelClass,
    ModelState,
    ModelVersion,
    QueueEntry,
    Ranking,
    Verdict,
)
from labeling.features.encoding import open_features
from labeling.features.prior import open_view
from labeling.learning.choice import POWERS
from labeling.learning.head import LinearHead, about_head, fit_head
from labeling.learning.ranking import SPREAD
from labeling.learning.training import learn, live_model, sweep_heads
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, new_event

ITEMS = 30


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    """Items whose class is the sign of their first feature."""
    made = SmallProject.make(workspace, items=ITEMS, strategy="margin")
    rows = np.random.default_rng(0).normal(size=(ITEMS, 3)).astype(np.float32)
    rows[:, 0] = np.where(np.arange(ITEMS) % 2, 3, -3)
    made.add_features(rows)
    return made


def label_rows(small: SmallProject, *rows: int, class_of: int | None = None) -> list[str]:
    """Label these rows with their true class, or with one class all; returns the events."""
    ann = small.people[0]
    return [
        small.answer(ann, small.items[row], small.classes[row % 2 if class_of is None else class_of]) for row in rows
    ]


def versions(small: SmallProject) -> list[ModelVersion]:
    with reading(small.workspace.engine) as session:
        return list(session.exec(select(ModelVersion).order_by(col(ModelVersion.number))).all())


def rankings(small: SmallProject) -> list[Ranking]:
    with reading(small.workspace.engine) as session:
        return list(session.exec(select(Ranking).order_by(col(Ranking.id))).all())


def entries(small: SmallProject) -> list[QueueEntry]:
    with reading(small.workspace.engine) as session:
        return list(session.exec(select(QueueEntry).order_by(col(QueueEntry.position))).all())


def head_files(small: SmallProject) -> list[str]:
    return sorted(p.name for p in small.workspace.head(".").glob("*"))


def test_two_classes_make_a_model_version_and_rank_the_open_items_under_it(small: SmallProject):
    label_rows(small, 0, 1, 2)
    job = small.learn()
    assert (job.state, job.error, job.message, job.progress) == (JobState.DONE, "", "", 1.0)
    (version,) = versions(small)
    assert (version.number, version.state, version.labels) == (1, ModelState.LIVE, 3)
    (ranking,) = rankings(small)
    assert (ranking.model_version_id, ranking.candidates) == (version.id, ITEMS - 3)
    queued = entries(small)
    assert sorted(e.item_id for e in queued) == list(small.items[3:])
    for part in (queued[:SPREAD], queued[SPREAD:]):
        assert [e.utility for e in part] == sorted((e.utility for e in part), reverse=True)
    assert all(e.why for e in queued)
    right = {item: small.classes[row % 2] for row, item in enumerate(small.items)}
    assert {e.item_id: e.suggestion_class_id for e in queued} == {e.item_id: right[e.item_id] for e in queued}
    assert all(0.5 <= (e.suggestion_confidence or 0) <= 1 for e in queued)


def test_the_head_on_disk_is_the_one_that_was_ranked_with(small: SmallProject):
    label_rows(small, 0, 1, 2, 3)
    small.learn()
    (version,) = versions(small)
    assert version.path is not None
    head = LinearHead.load(small.workspace.head(version.path))
    about = json.loads(small.workspace.head(version.path).with_suffix(".json").read_text())
    matrix = open_features(small.workspace, small.id)
    assert matrix is not None and about["feature_version"] == matrix.version
    features = open_view(matrix, *about["view"]).of(matrix)
    rows = [small.items.index(e.item_id) for e in entries(small)]
    confidences = [e.suggestion_confidence for e in entries(small)]
    np.testing.assert_allclose(head.predict_proba(np.asarray(features[rows])).max(axis=1), confidences)
    assert about["class_ids"] == list(small.classes)


def test_a_model_version_can_be_traced_to_the_exact_answers_that_it_saw(small: SmallProject):
    """From `annotation_seq` alone, after any number of later answers, undoes and corrections."""
    events = label_rows(small, 0, 1, 2, 3, 4)
    ann = small.people[0]
    answers.undo(small.workspace, ann, events[2])
    corrected = Answer(event_id=new_event(), supersedes=events[3], verdict="label", class_id=small.classes[0])
    answers.submit(small.workspace, ann, [corrected])
    small.answer(ann, small.items[6], verdict="skip")
    small.learn()
    answers.undo(small.workspace, ann, events[0])
    label_rows(small, 10, 11)
    (version,) = versions(small)
    with reading(small.workspace.engine) as session:
        then = session.exec(select(Annotation).where(col(Annotation.seq) <= version.annotation_seq)).all()
    gone = {a.supersedes for a in then}
    seen = [a.id for a in sorted(then, key=lambda a: a.seq or 0) if a.verdict is Verdict.LABEL and a.id not in gone]
    assert seen == [events[0], events[1], events[4], corrected.event_id]
    assert version.annotation_hash == hashlib.sha256("\n".join(seen).encode()).hexdigest()
    assert version.labels == len(seen)
    assert version.encoder == "pixels" and version.feature_version == "pixels-test" and version.code_version


def test_without_labels_the_pool_is_ranked_and_the_job_says_what_is_missing(small: SmallProject):
    job = small.learn()
    assert (job.state, job.error) == (JobState.DONE, "") and "first labels" in job.message
    assert versions(small) == []
    assert len(entries(small)) == ITEMS
    assert {e.suggestion_class_id for e in entries(small)} == {None}


def test_labels_of_one_class_keep_the_last_good_version_and_say_why(small: SmallProject):
    events = label_rows(small, 0, 1, 2)
    small.learn()
    answers.undo(small.workspace, small.people[0], events[1])
    job = small.learn()
    assert (job.state, job.error) == (JobState.DONE, "") and "“cat”" in job.message
    (version,) = versions(small)
    assert version.state is ModelState.LIVE
    assert rankings(small)[-1].model_version_id == version.id
    assert {e.suggestion_class_id for e in entries(small)} == set(small.classes)  # the last good head ranks on


def test_a_retired_class_does_not_change_what_the_last_good_head_suggests(workspace: Workspace):
    """A head numbers the classes as they stood when it was fitted."""
    small = SmallProject.make(workspace, items=ITEMS, classes=("ant", "cat", "dog"), strategy="margin")
    ant, cat, dog = small.classes
    small.add_features(np.where(np.arange(ITEMS) % 2, 3, -3)[:, None].astype(np.float32))
    events = [small.answer(small.people[0], small.items[row], (cat, dog)[row % 2]) for row in range(4)]
    small.learn()
    for event in events[1::2]:
        answers.undo(workspace, small.people[0], event)
    with writing(workspace.engine) as session:
        session.get_one(LabelClass, ant).retired = True
    assert small.learn().state is JobState.DONE
    right = {item: (cat, dog)[row % 2] for row, item in enumerate(small.items)}
    assert {e.item_id: e.suggestion_class_id for e in entries(small)} == {
        e.item_id: right[e.item_id] for e in entries(small)
    }


def test_a_ranking_names_a_model_version_only_where_it_was_made_with_it(small: SmallProject):
    """Features of a new encoder: the live head does not fit them, and one class is no new head."""
    events = label_rows(small, 0, 1)
    small.learn()
    answers.undo(small.workspace, small.people[0], events[1])
    small.add_features(np.ones((ITEMS, 5), dtype=np.float32), version="pixels-newer")
    assert small.learn().state is JobState.DONE
    assert {e.suggestion_class_id for e in entries(small)} == {None}
    assert rankings(small)[-1].model_version_id is None


def test_a_choice_is_kept_with_its_version_and_made_again_when_the_labels_have_grown_by_a_tenth(small: SmallProject):
    for count in range(9, 20):
        label_rows(small, *(range(9) if count == 9 else [count - 1]))
        small.learn()
    searched = [v.hyperparameters["searched_at"] for v in versions(small)]
    assert searched == [0, 10, 11, 11, 13, 13, 15, 15, 17, 17, 19]
    assert {v.hyperparameters["power"] for v in versions(small)} <= set(POWERS)


def test_a_plain_head_sees_the_features_as_they_are(workspace: Workspace):
    made = SmallProject.make(workspace, items=ITEMS, strategy="margin", head="logistic")
    rows = np.random.default_rng(0).normal(size=(ITEMS, 3)).astype(np.float32)
    made.add_features(rows)
    label_rows(made, 0, 1, 2, 3)
    made.learn()
    (version,) = versions(made)
    assert version.path is not None
    head = LinearHead.load(made.workspace.head(version.path))
    theirs = LogisticRegression(C=30, max_iter=2000).fit(rows[:4], np.arange(4) % 2)
    np.testing.assert_allclose(head.predict_proba(rows), theirs.predict_proba(rows), atol=1e-3)


def test_a_head_of_before_the_views_still_ranks(small: SmallProject):
    """A head that a former release saved says nothing of a view: it sees the features as they are."""
    events = label_rows(small, 0, 1, 2, 3)
    small.learn()
    (version,) = versions(small)
    matrix = open_features(small.workspace, small.id)
    assert version.path is not None and matrix is not None
    path = small.workspace.head(version.path)
    about = {key: said for key, said in about_head(path).items() if key not in ("view", "l2")}
    fit_head(matrix.array()[:4], np.arange(4) % 2, strength=1.0).save(path, about)
    for event in events[1::2]:
        answers.undo(small.workspace, small.people[0], event)
    assert small.learn().state is JobState.DONE
    assert {e.suggestion_class_id for e in entries(small)} == set(small.classes)


def test_the_head_of_the_queue_differs_from_what_people_hold(small: SmallProject):
    """Three items on each of ten spots: the ten that lead the queue stand on the nine of which nobody holds an item."""
    spots = np.zeros((ITEMS, 10), dtype=np.float32)
    spots[np.arange(ITEMS), np.arange(ITEMS) // 3] = 1  # three items each
    small.add_features(spots, version="pixels-spots")
    label_rows(small, 0, 3)
    (held,) = queue.claim(small.workspace, small.people[1], small.id, count=1)
    small.learn()
    first = {small.items.index(e.item_id) // 3 for e in entries(small)[:SPREAD]}
    assert first >= set(range(10)) - {small.items.index(held.item.id) // 3}
    assert held.item.id not in [e.item_id for e in entries(small)[:SPREAD]]


def test_a_fit_that_fails_leaves_the_last_version_live_and_says_so(small: SmallProject):
    from labeling.learning.worker import work_off

    label_rows(small, 0, 1)
    small.learn()
    before = entries(small)
    label_rows(small, 2, 3)
    matrix = small.workspace.features(small.id, "pixels-test") / "matrix.f32"
    matrix.write_bytes(np.full((ITEMS, 3), np.nan, dtype=np.float32).tobytes())
    with reading(small.workspace.engine) as session:
        (waiting,) = jobs.unfinished(session, small.id)
    assert waiting.id is not None
    ended = work_off(small.workspace, waiting.id, lambda fraction, message: None)
    assert ended.state is JobState.FAILED
    assert ended.error.endswith(".") and "Traceback" not in ended.error
    (version,) = versions(small)
    assert version.state is ModelState.LIVE
    assert entries(small) == before
    assert small.answer(small.people[0], before[0].item_id)  # and the queue is served as before


def test_a_job_that_was_taken_away_publishes_nothing(small: SmallProject):
    label_rows(small, 0, 1)
    job = small.take_training("slow")
    with writing(small.workspace.engine) as session:
        session.get_one(Job, job.id).worker_id = "fast"
    learn(small.workspace, job)
    assert (versions(small), rankings(small), entries(small)) == ([], [], [])
    assert jobs.read(small.workspace, job.id or 0).state is JobState.RUNNING


def test_a_second_version_retires_the_first_and_replaces_the_queue(small: SmallProject):
    label_rows(small, 0, 1)
    small.learn()
    label_rows(small, 2)
    small.learn()
    assert [(v.number, v.state) for v in versions(small)] == [(1, ModelState.RETIRED), (2, ModelState.LIVE)]
    assert {e.ranking_id for e in entries(small)} == {rankings(small)[-1].id}
    live = live_model(small.workspace, small.id)
    assert live is not None and live.number == 2


def test_items_without_features_yet_are_left_for_a_later_round(small: SmallProject):
    late = small.add_items(3)
    label_rows(small, 0, 1)
    small.answer(small.people[0], late[0], small.classes[0])
    small.learn()
    assert versions(small)[0].labels == 2
    assert not {e.item_id for e in entries(small)} & set(late)


def test_before_there_are_features_a_round_waits_for_them(workspace: Workspace):
    small = SmallProject.make(workspace)
    job = small.learn()
    assert job.state is JobState.DONE and "features" in job.message
    assert rankings(small) == []


def test_a_pool_that_is_all_labeled_has_an_empty_ranking_and_a_model(small: SmallProject):
    label_rows(small, *range(ITEMS))
    assert small.learn().state is JobState.DONE
    assert entries(small) == []
    assert rankings(small)[0].candidates == 0
    assert versions(small)[0].labels == ITEMS


def test_projects_learn_apart(workspace: Workspace):
    first, second = (SmallProject.make(workspace, name=name) for name in ("first", "second"))
    for small in (first, second):
        small.add_features(np.eye(6, dtype=np.float32))
        label_rows(small, 0, 1)
        small.learn()
    assert [(v.project_id, v.number, v.state) for v in versions(first)] == [
        (first.id, 1, ModelState.LIVE),
        (second.id, 1, ModelState.LIVE),
    ]
    assert {e.item_id for e in entries(first)} == {*first.items[2:], *second.items[2:]}


def test_heads_that_no_version_names_are_swept_once_they_are_old(small: SmallProject):
    label_rows(small, 0, 1)
    small.learn()
    kept = head_files(small)
    for name in ("orphan.npz", "orphan.json", "young.npz", "torn.partial.npz"):
        small.workspace.head(name).write_bytes(b"")
        if name != "young.npz":
            age(small.workspace.head(name))
    for name in kept:
        age(small.workspace.head(name))
    sweep_heads(small.workspace)
    assert head_files(small) == sorted([*kept, "young.npz"])


def age(path: Path) -> None:
    long_ago = time.time() - 10_000
    os.utime(path, (long_ago, long_ago))
