"""Tuning over REST and on its card: what it takes, begun, watched, stopped, and what became of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from labeling import jobs
from labeling.db.engine import writing
from labeling.db.schema import Job, JobKind, Label, Membership, Project, Role, Source
from labeling.learning.tuning_job import FEWEST, Report
from labeling.users import local_user
from labeling.web import current
from labeling.web.frame import plain
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject
from tests.features.beside import add_worded_features
from tests.web.conftest import Connect

REPORT = Report(
    tested=300, before=0.79, after=0.95, low=0.105, high=0.215, labels=300, classes=10, folds=4, seconds=74.0,
    images_per_second=737.2, device="cpu", base="ViT-B-32/a", encoder="clip:encoders/abc", went_live=True,
    message="Tuned CLIP is better, 95.0% right instead of 79.0%.",
)  # fmt: skip

Show = Callable[[], AppTest]


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    """A project of the local user's with vectors such as CLIP makes, and as many labels as tuning takes."""
    current.serve(workspace)
    me = local_user(workspace)
    made = SmallProject.make(workspace, items=FEWEST, people=1)
    add_worded_features(made, np.eye(4)[np.arange(FEWEST) % 4], {})
    with writing(workspace.engine) as session:
        session.get_one(Membership, (made.id, me)).role = Role.OWNER
        for place, item in enumerate(made.items):
            given = {"class_id": made.classes[place % 2], "confidence": 1.0, "source": Source.SINGLE}
            session.add(Label(item_id=item, project_id=made.id, answers=1, **given))
    return made


@pytest.fixture
def show(small: SmallProject) -> Show:
    """Open the card by itself."""

    def card(project_id: int) -> None:
        from labeling import projects
        from labeling.web import current, settings_tuning

        mine = projects.list_projects(current.workspace(), current.actor())
        settings_tuning.show(next(p for p in mine if p.id == project_id))

    return lambda: ran(AppTest.from_function(card, args=(small.id,), default_timeout=60).run())


def ran(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def words(app: AppTest) -> str:
    kinds = (app.subheader, app.markdown, app.error, app.info)
    return "\n".join([element.value for kind in kinds for element in kind])


def take(small: SmallProject) -> Job:
    job = jobs.take(small.workspace, "a", kinds={JobKind.TUNE})
    assert job is not None
    return job


def end(small: SmallProject, **how: Any) -> None:
    job = take(small)
    with writing(small.workspace.engine) as session:
        jobs.finish(session, job, **how)


def role(small: SmallProject, given: Role) -> None:
    me = local_user(small.workspace)
    with writing(small.workspace.engine) as session:
        session.get_one(Membership, (small.id, me)).role = given


def test_it_is_begun_watched_and_stopped_over_rest(client: TestClient, small: SmallProject):
    path = f"/api/v1/projects/{small.id}/tuning"
    before = client.get(path).json()
    assert (before["labels"], before["needed"], before["hindrance"], before["state"]) == (FEWEST, FEWEST, "", None)
    begun = client.post(path, json={})
    assert begun.status_code == 202 and begun.json()["state"] == "queued"
    twice = client.post(path, json={})
    assert twice.status_code == 422 and "not finished yet" in twice.json()["detail"]
    assert client.post(f"{path}/stop", json={}).json()["state"] == "cancelled"
    client.post(path, json={})
    end(small, message=REPORT.message, report=REPORT.model_dump())
    ended = client.get(path).json()
    assert ended["state"] == "done" and Report(**ended["report"]) == REPORT


def test_annotators_read_and_may_not_begin_over_rest(connect: Connect, small: SmallProject):
    annotator = connect("animals person 0")
    path = f"/api/v1/projects/{small.id}/tuning"
    assert annotator.get(path).status_code == 200
    for write in (path, f"{path}/stop"):
        assert annotator.post(write, json={}).status_code == 403


def test_the_card_begins_it_and_stops_it(show: Show, small: SmallProject):
    app = show()
    assert "Tune CLIP on your labels" in words(app)
    ran(app.button(key=f"tuning_begin_{small.id}").click().run())
    job = take(small)
    with writing(small.workspace.engine) as session:
        session.get_one(Job, job.id).message = "Trial 2 of 4: 50%, 40 s left"
    app = show()
    assert [stop.label for stop in app.button] == ["Stop"]
    ran(app.button(key=f"tuning_stop_{small.id}").click().run())
    assert "was stopped; everything stayed as it was" in words(show())


def test_the_card_says_what_became_of_it(show: Show, small: SmallProject):
    begin = f"tuning_begin_{small.id}"
    ran(show().button(key=begin).click().run())
    end(small, report=REPORT.model_dump())
    app = show()
    assert plain(REPORT.message) in words(app) and "300 labels of 10 classes" in words(app)
    assert app.button(key=begin).label == "Tune CLIP again"
    ran(app.button(key=begin).click().run())
    end(small, error="There is not enough memory to tune this model.")
    assert plain("There is not enough memory to tune this model.") in words(show())


def test_the_card_says_what_is_missing(show: Show, small: SmallProject):
    with writing(small.workspace.engine) as session:
        session.delete(session.get_one(Label, small.items[0]))
    app = show()
    assert plain(f"there are {FEWEST - 1}, of 2 such classes") in words(app)
    assert app.button(key=f"tuning_begin_{small.id}").disabled


def test_the_card_is_for_others_to_read(show: Show, small: SmallProject):
    role(small, Role.EXPERT)
    app = show()
    assert not app.button and "owners can start it" in words(app)


def test_there_is_no_card_where_the_features_are_not_those_of_clip(show: Show, small: SmallProject):
    small.add_features(np.eye(4, dtype=np.float32)[np.arange(FEWEST) % 4])
    with writing(small.workspace.engine) as session:
        session.get_one(Project, small.id).settings = {"encoder": "pixels"}
    app = show()
    assert not app.subheader and not app.button
