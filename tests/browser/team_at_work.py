"""A team that has been labeling the demo's digits: two who err now and then, one who hardly looks, and an expert."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from playwright.sync_api import Page
from sklearn.datasets import load_digits

from labeling import accounts, jobs, verbs
from labeling.annotation import answers, queue, team, threads
from labeling.annotation.adjudication import Decision, decide
from labeling.annotation.review import read_review
from labeling.annotation.threads import Remark
from labeling.db.engine import writing
from labeling.db.schema import JobKind, Role
from labeling.learning.find import find_item
from labeling.learning.worker import work_off
from labeling.projects import update_settings
from labeling.workspace import Workspace
from tests.db.small_project import answer_to, new_event
from tests.serving import Served, class_ids, serving

OWNER, EXPERT = "Olga Petrenko", "Eve Laurent"
ERRORS = {"Ann Kowalski": 0.03, "Bob Okafor": 0.1, "Carl Lindqvist": 0.5}  # how often each takes a digit for another
WORDS = "correct horse battery"  # everybody's password
LOOKALIKE = {0: 6, 1: 7, 2: 3, 3: 8, 4: 9, 5: 3, 6: 0, 7: 1, 8: 3, 9: 4}
ROUNDS, A_ROUND = 5, 40  # answers of each, between which the model learns
GOLD = 30
CARELESS = 0.3  # whoever errs so often does not look
APART = 7 * 3600.0  # seconds from one round to the next


@contextmanager
def team_at_work(root: Path) -> Iterator[Served]:
    """The application on such a project while the block runs."""
    opened = verbs.OpenWorkspace(root)
    project_id = opened.demo()
    _work(opened.workspace, opened.user_id, project_id, Clock())
    opened.workspace.engine.dispose()
    with serving(root) as served:
        yield served


def sign_in(page: Page, address: str, name: str) -> None:
    """Sign one of them in at this browser."""
    page.goto(f"{address}/sign-in")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(WORDS)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}/")


class Clock:
    """What the time was while they worked."""

    def __init__(self) -> None:
        self.now = time.time() - ROUNDS * APART

    def passes(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def _work(workspace: Workspace, me: int, project_id: int, clock: Clock) -> None:
    """What the team has done before the pictures are taken."""
    owner = accounts.add_account(workspace, me, OWNER, WORDS)
    update_settings(
        workspace, owner, project_id, {"overlap": 3, "hidden_share": 0.2, "gold_share": 0.2, "certainty": 0.99}
    )
    people = {}
    for name in (*ERRORS, EXPERT):
        people[name] = accounts.add_account(workspace, owner, name, WORDS)
        team.add_member(workspace, owner, project_id, name, Role.EXPERT if name == EXPERT else Role.ANNOTATOR)
    rng, expert, classes = random.Random(0), people[EXPERT], class_ids(workspace, project_id)
    truth = load_digits().target
    for number in rng.sample(range(len(truth)), GOLD):
        item_id = find_item(workspace, expert, project_id, f"digits-{number:04d}")
        known = Decision(event_id=new_event(), item_id=item_id, class_id=classes[str(truth[number])], gold=True)
        decide(workspace, expert, project_id, [known])
    for _ in range(ROUNDS):
        with patch("time.time", clock):
            for name, error in ERRORS.items():
                _answer(workspace, people[name], project_id, error, rng, clock)
            clock.passes(APART)
        _work_off(workspace, project_id, JobKind.TRAIN)
        _work_off(workspace, project_id, JobKind.WEIGH)
    waiting = read_review(workspace, expert, project_id, limit=20).items
    for item in waiting[4:12]:
        digit = str(truth[int(item.external_id.removeprefix("digits-"))])
        made = Decision(event_id=new_event(), item_id=item.item_id, class_id=classes[digit])
        decide(workspace, expert, project_id, [made])
    first = waiting[0]
    for person, text in ((first.opinions[0].user_id, "I looked at the tail."), (expert, "And the loop: is it closed?")):
        assert person is not None
        said = Remark(event_id=new_event(), item_id=first.item_id, text=text)
        threads.remark(workspace, person, project_id, [said])
    _work_off(workspace, project_id, JobKind.WEIGH)


def _answer(workspace: Workspace, person: int, project_id: int, error: float, rng: random.Random, clock: Clock) -> None:
    truth, classes = load_digits().target, class_ids(workspace, project_id)
    for claim in queue.claim(workspace, person, project_id, A_ROUND):
        digit = int(truth[int(claim.item.external_id.removeprefix("digits-"))])
        if rng.random() < error:
            digit = LOOKALIKE[digit] if error < CARELESS else rng.randrange(10)
        more = {"flagged": True, "note": "smudged"} if rng.random() < 0.01 else {}
        seconds = rng.lognormvariate(0.6, 0.4)
        clock.passes(seconds)
        given = answer_to(claim, classes[str(digit)], seconds=seconds, **more)
        (outcome,) = answers.submit(workspace, person, [given])
        assert outcome.status == "saved", outcome


def _work_off(workspace: Workspace, project_id: int, kind: JobKind) -> None:
    with writing(workspace.engine) as session:
        job_id = jobs.request(session, project_id, kind).id
    assert job_id is not None
    work_off(workspace, job_id, lambda _fraction, _message: None)
