# ruff: noqa: F811 - a fixture is taken from another module
"""Accounts, links and what slows guessing, on a real PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from labeling import accounts, attempts, invitations, signing_in
from labeling.annotation import team
from labeling.db.schema import Role
from labeling.errors import AskwiseError, NotAllowed, NotFound
from labeling.users import local_user
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject
from tests.db.test_postgresql import workspace  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_passwords", "later")]
WORDS = "correct horse battery"


def test_people_come_in_by_a_link_and_go(workspace: Workspace) -> None:
    small = SmallProject.make(workspace)
    ada = accounts.add_account(workspace, local_user(workspace), "ada", WORDS)
    secret = invitations.invite(workspace, ada, small.id, Role.EXPERT).path.rpartition("/")[2]

    def come(n: int) -> int | None:
        try:
            return invitations.accept(workspace, secret, f"person {n}", WORDS)
        except AskwiseError:
            return None

    with ThreadPoolExecutor(6) as pool:
        came = [user for user in pool.map(come, range(6)) if user is not None]
    assert len(came) == 1
    (bob,) = came
    browser = signing_in.let_in(workspace, bob)
    assert signing_in.signed_in(workspace, browser) is not None
    small.answer(bob, small.items[0])
    for aside in (True, False):
        team.set_aside(workspace, ada, small.id, bob, aside=aside)
    team.remove_member(workspace, ada, small.id, bob)
    with pytest.raises(NotFound):
        small.answer(bob, small.items[1])
    accounts.disable_user(workspace, ada, bob)
    assert signing_in.signed_in(workspace, browser) is None
    assert {person.id for person in accounts.list_people(workspace, ada) if person.disabled} == {bob}


def test_guesses_at_once_are_counted_one_by_one(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts.add_account(workspace, local_user(workspace), "ada", WORDS)
    monkeypatch.setattr(attempts, "MOST", 3)  # and the table stays small meanwhile

    def guess(_: int) -> bool:
        try:
            signing_in.sign_in(workspace, "ada", "a wrong password", address="192.0.2.1")
        except NotAllowed:
            return True
        except attempts.TooMany:
            return False
        raise AssertionError("that was right")

    with ThreadPoolExecutor(8) as pool:
        looked_at = sum(pool.map(guess, range(16)))
    assert looked_at == attempts.FREE_BY_ADDRESS
