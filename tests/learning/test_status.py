"""How learning stands: figures that mean what they say."""

import time

import numpy as np
import pytest

from labeling import jobs
from labeling.annotation import answers
from labeling.annotation.answers import Answer
from labeling.db.engine import reading, writing
from labeling.db.schema import Job, JobKind, Worker
from labeling.errors import NotFound
from labeling.learning import status
from labeling.learning.status import WORKER_SILENT_SECONDS, Live, live_status, versions, worker_heard
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user, new_event

ITEMS = 20


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    """Items whose class is the sign of their only feature, two of them labeled and learned from."""
    made = SmallProject.make(workspace, items=ITEMS, strategy="margin")
    made.add_features(np.where(np.arange(ITEMS) % 2, 3, -3)[:, None].astype(np.float32))
    return made


def live(small: SmallProject) -> Live:
    with reading(small.workspace.engine) as session:
        return live_status(session, small.id)


def answer_truly(small: SmallProject, *rows: int) -> list[str]:
    return [small.answer(small.people[0], small.items[row], small.classes[row % 2]) for row in rows]


def fail(small: SmallProject, error: str) -> None:
    job = small.take_training()
    with writing(small.workspace.engine) as session:
        jobs.finish(session, job, error=error)


def hear_a_worker(small: SmallProject, seconds_ago: float = 0.0) -> None:
    with writing(small.workspace.engine) as session:
        session.add(Worker(id="w", pid=1, host="h", heartbeat=time.time() - seconds_ago))


def test_before_the_first_answer_there_is_nothing_to_report(small: SmallProject):
    stands = live(small)
    assert (stands.model_version, stands.ranking, stands.ranked, stands.accuracy) == (None, None, None, None)
    assert (stands.accuracy_on, stands.labels, stands.items, stands.learning) == (0, 0, ITEMS, False)


def test_accuracy_is_counted_on_answers_that_a_suggestion_came_before(small: SmallProject):
    answer_truly(small, 0, 1)  # before there was a model: nothing was suggested
    small.learn()
    answer_truly(small, 2, 3, 4)
    wrong = small.answer(small.people[0], small.items[5], small.classes[0])
    stands = live(small)
    assert (stands.model_version, stands.accuracy, stands.accuracy_on, stands.labels) == (1, 0.75, 4, 6)
    answers.undo(small.workspace, small.people[0], wrong)
    assert (live(small).accuracy, live(small).accuracy_on) == (1.0, 3)


def test_answers_long_before_say_nothing_of_accuracy_today(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    answer_truly(small, 0, 1)
    small.learn()
    small.answer(small.people[0], small.items[2], small.classes[1])  # against the model
    answer_truly(small, 3, 4)
    assert (live(small).accuracy, live(small).accuracy_on) == (2 / 3, 3)
    monkeypatch.setattr(status, "LOOKED_THROUGH", 2)
    assert (live(small).accuracy, live(small).accuracy_on) == (1.0, 2)


def test_skips_and_doubts_say_nothing_of_accuracy(small: SmallProject):
    answer_truly(small, 0, 1)
    small.learn()
    small.answer(small.people[0], small.items[2], verdict="skip")
    small.answer(small.people[0], small.items[3], verdict="unsure")
    assert live(small).accuracy_on == 0


def test_each_version_is_judged_by_the_answers_that_came_in_under_it(small: SmallProject):
    answer_truly(small, 0, 1)
    small.learn()
    answer_truly(small, 2, 3)
    small.learn()
    answer_truly(small, 4)
    small.answer(small.people[0], small.items[6], small.classes[1])
    reports = versions(small.workspace, small.people[0], small.id)
    assert [(r.number, r.labels, r.answers, r.right) for r in reports] == [(1, 2, 2, 2), (2, 4, 2, 1)]


def test_a_correction_counts_for_the_version_that_had_suggested(small: SmallProject):
    answer_truly(small, 0, 1)
    small.learn()
    (event,) = answer_truly(small, 2)
    small.learn()
    changed = Answer(event_id=new_event(), supersedes=event, verdict="label", class_id=small.classes[1])
    answers.submit(small.workspace, small.people[0], [changed])
    reports = versions(small.workspace, small.people[0], small.id)
    assert [(r.number, r.answers, r.right) for r in reports] == [(1, 1, 0), (2, 0, 0)]


def test_a_second_opinion_on_an_item_that_the_model_was_trained_on_is_not_counted(workspace: Workspace):
    """It had seen the first person's answer to it, so agreeing is no achievement."""
    small = SmallProject.make(workspace, items=4, overlap=2, strategy="margin")
    small.add_features(np.array([[-3], [3], [-3], [3]], dtype=np.float32))
    ann, bob = small.people
    small.answer(ann, small.items[0], small.classes[0])
    small.answer(ann, small.items[1], small.classes[1])
    small.learn()
    small.answer(bob, small.items[0], small.classes[0])
    small.answer(bob, small.items[2], small.classes[0])
    (report,) = versions(workspace, ann, small.id)
    assert (report.answers, report.right) == (1, 1)
    assert live(small).accuracy_on == 1


def test_learning_is_under_way_from_the_answer_to_the_new_ranking(small: SmallProject):
    answer_truly(small, 0)
    assert live(small).learning
    before = time.time()
    small.learn()
    stands = live(small)
    assert not stands.learning and stands.ranked is not None and stands.ranked >= before - 1


def test_labels_of_one_class_are_said_to_hold_learning_up(small: SmallProject):
    hear_a_worker(small)
    small.answer(small.people[0], small.items[0], small.classes[1])
    small.learn()
    assert "“dog”" in live(small).message


def test_a_failure_is_shown_until_the_next_round_succeeds(small: SmallProject):
    hear_a_worker(small)
    fail(small, "The disk is full.")
    assert live(small).message == "The disk is full."
    answer_truly(small, 0, 1)
    small.learn()
    assert live(small).message == ""


@pytest.mark.parametrize("silent", [None, WORKER_SILENT_SECONDS + 1])
def test_work_that_no_worker_takes_is_said_to_need_one(small: SmallProject, silent: float | None):
    if silent is not None:
        hear_a_worker(small, silent)
    answer_truly(small, 0)
    assert "askwise worker" in live(small).message


def test_an_import_shows_how_far_it_is(small: SmallProject):
    hear_a_worker(small)
    with writing(small.workspace.engine) as session:
        made = jobs.request(session, small.id, JobKind.IMPORT)
    job = jobs.take(small.workspace, "w")
    assert job is not None and job.id == made.id and "Import" in live(small).message
    jobs.beat(small.workspace, job, 0.5, "100 of 200 files")
    assert live(small).message == "100 of 200 files"


def test_an_empty_project_says_where_items_come_from(workspace: Workspace):
    assert "import" in live(SmallProject.make(workspace, items=0)).message


def test_a_worker_that_is_heard_is_heard_in_seconds(small: SmallProject):
    assert worker_heard(small.workspace) is None
    hear_a_worker(small, 3.0)
    heard = worker_heard(small.workspace)
    assert heard is not None and 3 <= heard < 60


def test_the_versions_are_for_members_only(small: SmallProject):
    with pytest.raises(NotFound):
        versions(small.workspace, add_user(small.workspace, "mallory"), small.id)


def test_a_job_that_never_began_is_no_news(small: SmallProject):
    with writing(small.workspace.engine) as session:
        session.add(Job(project_id=small.id, kind=JobKind.TRAIN))
    hear_a_worker(small)
    assert live(small).message == ""
