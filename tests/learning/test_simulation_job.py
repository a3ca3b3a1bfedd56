"""A simulation as a job: who may ask, what it replays, and that neither a kill nor a reload loses it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlmodel import select

from labeling import jobs
from labeling.classes import classes_of
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, Job, JobKind, JobState, Label, Membership, Role, Source
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.learning import labeled_sets, simulation_job, worker
from labeling.learning.labeled_sets import FEWEST
from labeling.learning.simulation_job import Plan
from labeling.learning.worker import run_worker, work_off
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user

ITEMS = 70
PLAN = Plan(strategies=["margin", "random"], budget=20, batch_size=10, seeds=2, head="logistic", oracle="known")
PATIENCE_SECONDS = 120.0


@pytest.fixture
def known(workspace: Workspace) -> SmallProject:
    """A project whose items came with classes, cat and dog in turn, and which nobody has labeled."""
    made = SmallProject.make(workspace, items=ITEMS)
    rng = np.random.default_rng(0)
    made.add_features(np.float32(rng.normal(size=(ITEMS, 4)) + 3 * np.eye(4)[np.arange(ITEMS) % 2]))
    with writing(workspace.engine) as session:
        for place, item in enumerate(made.items):
            session.get_one(Item, item).known_class_id = made.classes[place % 2]
    return made


def label(small: SmallProject, count: int) -> None:
    """Labels that people agreed on: the opposite of what came with the items."""
    with writing(small.workspace.engine) as session:
        for place, item in enumerate(small.items[:count]):
            given = {"class_id": small.classes[1 - place % 2], "confidence": 1.0, "source": Source.SINGLE, "answers": 1}
            session.add(Label(item_id=item, project_id=small.id, **given))


def ask(small: SmallProject, plan: Plan = PLAN) -> int:
    return simulation_job.request(small.workspace, small.owner, small.id, plan)


def quiet(_fraction: float, _message: str) -> None:
    """Progress that nobody watches."""


@contextmanager
def working(workspace: Workspace) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=run_worker, args=(workspace, stop))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


def wait_until(true: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_its_curves_are_kept_with_the_job(known: SmallProject):
    heard: list[float] = []
    ended = work_off(known.workspace, ask(known), lambda share, _line: heard.append(share))
    assert (ended.state, ended.error) == (JobState.DONE, "")
    result = simulation_job.latest(known.workspace, known.owner, known.id)
    assert result is not None and result.plan == PLAN and result.test_size == round(ITEMS / 3)
    assert set(result.curves["strategy"]) == {"margin", "random"} and len(result.curves) == 8
    assert result.curves["accuracy"].between(0.5, 1).all()
    assert "came with the items" in result.about
    assert heard[0] == 0.0 and heard[-1] == 1.0 and sorted(heard) == heard
    assert simulation_job.open_job(known.workspace, known.owner, known.id) is None


def test_nothing_in_the_project_changes(known: SmallProject):
    work_off(known.workspace, ask(known), quiet)
    with reading(known.workspace.engine) as session:
        assert {job.kind for job in session.exec(select(Job)).all()} == {JobKind.SIMULATE}
        assert session.exec(select(Label)).all() == []


def test_a_worker_trains_while_it_simulates(known: SmallProject, monkeypatch: pytest.MonkeyPatch):
    begun, go_on = threading.Event(), threading.Event()

    def take_long(_workspace: Workspace, _job: Job, progress: Callable[[float, str], None]) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)

    monkeypatch.setitem(worker._PERFORM, JobKind.SIMULATE, take_long)
    with working(known.workspace):
        ask(known)
        assert begun.wait(PATIENCE_SECONDS)
        with writing(known.workspace.engine) as session:
            training = jobs.request(session, known.id, JobKind.TRAIN).id
        wait_until(lambda: jobs.read(known.workspace, training or 0).state is JobState.DONE)
        go_on.set()


@pytest.mark.slow
def test_a_simulation_whose_worker_was_killed_is_begun_again(known: SmallProject):
    job_id = ask(known)
    lost = jobs.take(known.workspace, "killed", kinds=worker.ASIDE)
    assert lost is not None and lost.id == job_id
    with writing(known.workspace.engine) as session:
        session.get_one(Job, job_id).heartbeat = time.time() - jobs.STALE_SECONDS - 1
    with working(known.workspace):
        wait_until(lambda: jobs.read(known.workspace, job_id).state is JobState.DONE)
    assert simulation_job.latest(known.workspace, known.owner, known.id) is not None


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_leaves_its_simulation_to_the_next(known: SmallProject):
    job_id = ask(known, PLAN.model_copy(update={"seeds": 1000}))
    with working(known.workspace):
        wait_until(lambda: jobs.read(known.workspace, job_id).state is JobState.RUNNING)
    job = jobs.read(known.workspace, job_id)
    assert (job.state, job.error) == (JobState.RUNNING, "")  # until its silence is noticed


@pytest.mark.slow
def test_a_simulation_that_is_stopped_ends_soon_and_publishes_nothing(known: SmallProject):
    job_id = ask(known, PLAN.model_copy(update={"seeds": 1000}))
    with working(known.workspace):
        wait_until(lambda: jobs.read(known.workspace, job_id).progress > 0)
        simulation_job.cancel(known.workspace, known.owner, known.id)
        following = ask(known)
        wait_until(lambda: jobs.read(known.workspace, following).state is JobState.DONE)
    assert jobs.read(known.workspace, job_id).state is JobState.CANCELLED
    result = simulation_job.latest(known.workspace, known.owner, known.id)
    assert result is not None and result.plan.seeds == 2


def test_one_simulation_of_a_project_at_a_time(known: SmallProject):
    ask(known)
    with pytest.raises(Invalid, match="not finished yet"):
        ask(known)
    simulation_job.cancel(known.workspace, known.owner, known.id)
    ask(known)


def test_what_ended_badly_is_told_until_the_next_comes_to_its_end(known: SmallProject):
    job_id = ask(known)
    job = jobs.take(known.workspace, "a", only=job_id)
    assert job is not None
    with writing(known.workspace.engine) as session:
        jobs.finish(session, job, error="The disk is full.")
    told = simulation_job.open_job(known.workspace, known.owner, known.id)
    assert told is not None and told.error == "The disk is full."
    work_off(known.workspace, ask(known), quiet)
    assert simulation_job.open_job(known.workspace, known.owner, known.id) is None


def test_only_experts_and_owners_may_ask_and_stop_and_strangers_see_nothing(known: SmallProject):
    person, stranger = known.people[0], add_user(known.workspace, "mallory")
    job_id = ask(known)
    for act in (lambda who: simulation_job.request(known.workspace, who, known.id, PLAN),
                lambda who: simulation_job.cancel(known.workspace, who, known.id)):  # fmt: skip
        with pytest.raises(NotAllowed):
            act(person)
        with pytest.raises(NotFound):
            act(stranger)
    for read in (simulation_job.latest, simulation_job.open_job, labeled_sets.count_answers):
        read(known.workspace, person, known.id)
        with pytest.raises(NotFound):
            read(known.workspace, stranger, known.id)
    with pytest.raises(NotFound):
        labeled_sets.of_project(known.workspace, stranger, known.id, "known")
    assert jobs.read(known.workspace, job_id).state is JobState.QUEUED
    with writing(known.workspace.engine) as session:
        session.get_one(Membership, (known.id, person)).role = Role.EXPERT
    simulation_job.cancel(known.workspace, person, known.id)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"strategies": ["nope"]}, "no strategy 'nope'"), ({"oracle": "labels"}, f"needs {FEWEST}.* Label {FEWEST} more")],
)
def test_what_cannot_be_simulated_is_said_at_once(known: SmallProject, changes: dict[str, Any], sentence: str):
    with pytest.raises(Invalid, match=sentence):
        ask(known, PLAN.model_copy(update=changes))


def test_peoples_labels_are_replayed_where_there_are_enough(known: SmallProject):
    counts = labeled_sets.count_answers(known.workspace, known.owner, known.id)
    assert counts == {"labels": 0, "known": ITEMS} and labeled_sets.choose_oracle(counts) == "known"
    label(known, FEWEST)
    counts = labeled_sets.count_answers(known.workspace, known.owner, known.id)
    assert counts["labels"] == FEWEST and labeled_sets.choose_oracle(counts) == "labels"
    of_people = labeled_sets.of_project(known.workspace, known.owner, known.id, "labels")
    np.testing.assert_array_equal(of_people.targets, 1 - np.arange(FEWEST) % 2)
    with_items = labeled_sets.of_project(known.workspace, known.owner, known.id, "known")
    np.testing.assert_array_equal(with_items.targets, np.arange(ITEMS) % 2)
    np.testing.assert_array_equal(of_people.features, with_items.features[:FEWEST])


def test_items_without_features_and_labels_of_retired_classes_are_left_out(known: SmallProject):
    for item in known.add_items(5):
        with writing(known.workspace.engine) as session:
            session.get_one(Item, item).known_class_id = known.classes[0]
    assert len(labeled_sets.of_project(known.workspace, known.owner, known.id, "known").targets) == ITEMS
    with writing(known.workspace.engine) as session:
        classes_of(session, known.id)[0].retired = True
    with pytest.raises(Invalid, match=f"has {ITEMS // 2} labeled items"):
        labeled_sets.of_project(known.workspace, known.owner, known.id, "known")


def arrays(path: Path, **given: Any) -> Path:
    np.savez(path, **given)
    return path


X, Y = np.arange(120.0).reshape(60, 2), np.tile([0, 1], 30)


@pytest.mark.parametrize("name", ["targets", "labels"])
def test_arrays_in_a_file_are_a_labeled_set(tmp_path: Path, name: str):
    found = labeled_sets.of_file(arrays(tmp_path / "set.npz", features=X, **{name: Y}))
    np.testing.assert_array_equal(found.features, X)
    np.testing.assert_array_equal(found.targets, Y)


def test_a_table_with_a_label_column_is_a_labeled_set(tmp_path: Path):
    lines = [f"{a},{'cat' if y else 'dog'},{b}" for (a, b), y in zip(X, Y, strict=True)]
    (tmp_path / "set.csv").write_text("\n".join(["width,label,height", *lines]))
    found = labeled_sets.of_file(tmp_path / "set.csv")
    np.testing.assert_array_equal(found.features, X)
    assert list(found.targets[:2]) == ["dog", "cat"]


def test_a_file_that_is_no_labeled_set_is_said_to_be_none(tmp_path: Path):
    (tmp_path / "words.csv").write_text("a,label\n" + "x,1\n" * 60)
    (tmp_path / "bare.csv").write_text("label\n" + "1\n" * 60)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "not.npz").write_text("not a zip")
    arrays(tmp_path / "few.npz", features=X[:9], targets=Y[:9])
    arrays(tmp_path / "uneven.npz", features=X, targets=Y[:55])
    arrays(tmp_path / "nameless.npz", x=X, y=Y)
    arrays(tmp_path / "objects.npz", features=X, targets=np.array([*"ab"] * 30, dtype=object))
    sentences = {
        "words.csv": "numbers in every column", "bare.csv": "no column of numbers", "other.csv": "a column “label”",
        "empty.csv": "cannot be read", "not.npz": "cannot be read", "few.npz": "has 9 labeled items",
        "uneven.npz": "60 rows of features, but 55 labels", "nameless.npz": "it has x, y",
        "none.npz": "There is no file", "objects.npz": "cannot be read", "set.txt": "neither an .npz nor a .csv",
    }  # fmt: skip
    for name, sentence in sentences.items():
        with pytest.raises(Invalid, match=sentence):
            labeled_sets.of_file(tmp_path / name)
