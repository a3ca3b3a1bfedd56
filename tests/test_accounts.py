"""Accounts, their passwords, signed-in browsers, links, and what slows guessing down."""

import threading
import time
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher
from sqlmodel import select

from labeling import accounts, attempts, invitations, signing_in
from labeling.attempts import TooMany
from labeling.db.engine import reading, writing
from labeling.db.schema import Event, FailedSignIn, Invitation, Membership, Role, SignIn, User
from labeling.errors import AskwiseError, Invalid, NotAllowed, NotFound
from labeling.projects import create_project, list_projects, update_settings
from labeling.signing_in import Identity
from labeling.users import bearer, has_accounts, issue_token, list_tokens, local_user, make_token
from labeling.workspace import Workspace
from tests.db.small_project import add_user, not_waiting_for_the_disk

pytestmark = pytest.mark.usefixtures("quick_passwords", "later")
WORDS = "correct horse battery"
HOME = "192.0.2.7"
Clock = Callable[[float], None]


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    return not_waiting_for_the_disk(workspace)


@pytest.fixture
def shell(workspace: Workspace) -> int:
    return local_user(workspace)


@pytest.fixture
def ada(workspace: Workspace, shell: int) -> int:
    """The first account."""
    return accounts.add_account(workspace, shell, "ada", WORDS)


def user(workspace: Workspace, user_id: int) -> User:
    with reading(workspace.engine) as session:
        return session.get_one(User, user_id)


def enter(workspace: Workspace, name: str = "ada", password: str = WORDS, address: str = HOME, **more: str) -> str:
    return signing_in.sign_in(workspace, name, password, address=address, **more)


def who(workspace: Workspace, secret: str) -> int | None:
    found = signing_in.signed_in(workspace, secret)
    return None if found is None else found[1]


def secret_of(link: invitations.Link) -> str:
    return link.path.rpartition("/")[2]


# Accounts


def test_the_first_account_owns_the_workspace_and_what_is_in_it(workspace: Workspace, shell: int) -> None:
    create_project(workspace, shell, "birds", [])
    ada = accounts.add_account(workspace, shell, "ada", WORDS)
    bob = accounts.add_account(workspace, shell, "bob", WORDS)
    assert user(workspace, ada).administers and not user(workspace, bob).administers
    assert [p.role for p in list_projects(workspace, ada)] == [Role.OWNER]
    assert list_projects(workspace, bob) == []


def test_who_labeled_before_keeps_what_is_theirs_with_an_account(workspace: Workspace, shell: int) -> None:
    before = add_user(workspace, "bob")
    assert accounts.add_account(workspace, shell, "bob", WORDS) == before
    with pytest.raises(Invalid, match="has an account"):
        accounts.add_account(workspace, shell, "bob", WORDS)


@pytest.mark.parametrize(
    "password", ["", "short", "nine char", "x" * 1_001, "aaaaaaaaaaaa", "Somebody Else", " somebody else "]
)
def test_a_password_that_is_easy_to_guess_is_refused(workspace: Workspace, shell: int, password: str) -> None:
    with pytest.raises(Invalid):
        accounts.add_account(workspace, shell, "somebody else", password)
    with reading(workspace.engine) as session:
        assert not has_accounts(session)


def test_a_password_is_kept_as_an_argon2_hash_only(workspace: Workspace, ada: int) -> None:
    assert (user(workspace, ada).password or "").startswith("$argon2id$")
    for file in workspace.root.rglob("*"):
        assert not file.is_file() or WORDS.encode() not in file.read_bytes()


def test_hashes_as_they_ship_are_dear() -> None:
    shipped = PasswordHasher()
    assert (shipped.memory_cost, shipped.time_cost) >= (65_536, 3)


def test_only_the_workspaces_owner_makes_accounts(workspace: Workspace, shell: int, ada: int) -> None:
    bob = accounts.add_account(workspace, ada, "bob", WORDS)
    for actor in (bob, add_user(workspace, "mallory"), 999):
        with pytest.raises(NotAllowed):
            accounts.add_account(workspace, actor, "eve", WORDS)


@pytest.mark.parametrize(
    "name",
    ["ADA", "Ada ", "ａｄａ", "a\u200bda", "\u202eada", "Jose\u0301", "Root at\tthis machine", "", "\u200b", "x" * 201],
)
def test_nobody_comes_in_under_a_name_that_could_be_taken_for_another(
    workspace: Workspace, ada: int, name: str
) -> None:
    issue_token(workspace, "Jose\u0301")  # not composed, as some keyboards type it
    link = invitations.invite(workspace, ada, None)
    with pytest.raises(Invalid):
        invitations.accept(workspace, secret_of(link), name, WORDS)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("علی\u200cرضا", "علیرضا"), ("Ann\tLee", "Ann Lee"), ("\u200bAnn \u200d Lee\r\n", "Ann Lee"), ("ada", "ada 2"),
        ("ad\u00ada", "ada 2"), ("root at this machine", "root at this machine 2"), ("\u200b\0\ue000", "somebody"),
        ("x" * 5_000, "x" * 190), ("ﷺ" * 100, None),
    ],
)  # fmt: skip
def test_whatever_name_an_identity_provider_says_its_people_come_in(
    workspace: Workspace, ada: int, said: str, kept: str | None
) -> None:
    link = invitations.invite(workspace, ada, None)
    came = user(workspace, invitations.accept_as(workspace, secret_of(link), "issuer 1", said))
    assert kept is None or came.name == kept


def test_a_name_that_many_have_reads_the_names_once(
    workspace: Workspace, ada: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(workspace.engine) as session:
        session.add_all([User(name="Ann"), *(User(name=f"Ann {n}") for n in range(2, 1_200))])
        session.flush()
        asked: list[object] = []
        monkeypatch.setattr(session, "exec", lambda query, run=session.exec: asked.append(query) or run(query))
        assert accounts.named_after(session, "ann").name == "ann 1200"
    assert len(asked) == 1


@pytest.mark.parametrize("typed", ["José", "Jose\u0301", " José\t", "Jo\u200csé", "Ｊｏｓé"])
def test_a_name_signs_in_whatever_keyboard_types_it(workspace: Workspace, ada: int, typed: str) -> None:
    jose = accounts.add_account(workspace, ada, "Jose\u0301", WORDS)
    assert user(workspace, jose).name == "José"
    assert who(workspace, enter(workspace, typed)) == jose


def test_an_account_of_a_name_from_before_accounts_signs_in_by_it(workspace: Workspace, ada: int) -> None:
    issue_token(workspace, "Jose\u0301")
    jose = accounts.add_account(workspace, ada, "Jose\u0301", WORDS)
    assert user(workspace, jose).name == "Jose\u0301"
    assert who(workspace, enter(workspace, "Jose\u0301")) == jose


def test_an_account_of_the_machines_user_name_is_not_the_local_user(
    workspace: Workspace, ada: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = invitations.invite(workspace, ada, None)
    newcomer = invitations.accept(workspace, secret_of(link), "www-data", WORDS)
    monkeypatch.setattr("getpass.getuser", lambda: "www-data")
    shell = local_user(workspace)
    assert shell != newcomer and local_user(workspace) == shell
    assert user(workspace, shell).administers and not user(workspace, newcomer).administers


def test_a_project_is_its_makers_alone_once_there_are_accounts(workspace: Workspace, shell: int, ada: int) -> None:
    bob = accounts.add_account(workspace, shell, "bob", WORDS)
    create_project(workspace, bob, "birds", [])
    assert [p.role for p in list_projects(workspace, bob)] == [Role.OWNER]
    assert list_projects(workspace, ada) == list_projects(workspace, shell) == []
    robot = bearer(workspace, issue_token(workspace, "robot", Role.OWNER))
    assert robot is not None and list_projects(workspace, robot) == []


def test_the_workspaces_owner_can_take_a_project_over_and_its_history_says_so(workspace: Workspace, ada: int) -> None:
    bob = accounts.add_account(workspace, ada, "bob", WORDS)
    made = create_project(workspace, bob, "birds", [])
    with pytest.raises(NotAllowed):
        accounts.take_over(workspace, add_user(workspace, "eve"), made)
    accounts.take_over(workspace, ada, made)
    assert [p.role for p in list_projects(workspace, ada)] == [Role.OWNER]
    with reading(workspace.engine) as session:
        events = session.exec(select(Event).where(Event.project_id == made, Event.user_id == ada)).all()
    assert [event.kind for event in events] == ["project taken over"]


@pytest.mark.parametrize(
    "weights", ["/etc/passwd", "../../secret", "~/model", "a@/etc/passwd", "./x", "C:\\x", "a/../../b", "\\\\host\\x"]
)
def test_only_the_workspaces_owner_points_the_worker_at_files(workspace: Workspace, ada: int, weights: str) -> None:
    bob = accounts.add_account(workspace, ada, "bob", WORDS)
    made = create_project(workspace, bob, "birds", [])
    with pytest.raises(NotAllowed, match="owner of the workspace"):
        update_settings(workspace, bob, made, {"encoder": f"clip:{weights}"})
    with pytest.raises(NotAllowed, match="owner of the workspace"):
        create_project(workspace, bob, "cats", [], settings={"encoder": f"sentences:{weights}"})
    accounts.take_over(workspace, ada, made)
    assert update_settings(workspace, ada, made, {"encoder": f"clip:{weights}"}).encoder == f"clip:{weights}"


@pytest.mark.parametrize(
    "encoder",
    ["clip", "clip:ViT-B-32/openai", "clip:hf-hub:org/model", "sentences:all-MiniLM-L6-v2", "clip:encoders/ab"],
)
def test_weights_by_name_are_anybodys_who_owns_the_project(workspace: Workspace, ada: int, encoder: str) -> None:
    bob = accounts.add_account(workspace, ada, "bob", WORDS)
    made = create_project(workspace, bob, "birds", [])
    assert update_settings(workspace, bob, made, {"encoder": encoder}).encoder == encoder


# Shut out


def test_who_is_shut_out_may_do_nothing_from_that_moment_on(workspace: Workspace, ada: int) -> None:
    bob = accounts.add_account(workspace, ada, "bob", WORDS)
    made = create_project(workspace, bob, "birds", [])
    secret, token = enter(workspace, "bob"), make_token(workspace, bob)
    accounts.disable_user(workspace, ada, bob)
    assert who(workspace, secret) is None and bearer(workspace, token) is None
    assert list_projects(workspace, bob) == []
    for refused in (
        lambda: update_settings(workspace, bob, made, {"overlap": 2}),
        lambda: create_project(workspace, bob, "cats", []),
        lambda: make_token(workspace, bob),
        lambda: enter(workspace, "bob"),
    ):
        with pytest.raises((NotFound, NotAllowed)):
            refused()
    accounts.enable_user(workspace, ada, bob)
    assert who(workspace, secret) is None and bearer(workspace, token) is None  # they come in anew
    assert who(workspace, enter(workspace, "bob")) == bob


def test_nobody_shuts_out_themselves_or_the_shell(workspace: Workspace, shell: int, ada: int) -> None:
    for target in (ada, shell):
        with pytest.raises(Invalid, match="nobody who could let them in"):
            accounts.disable_user(workspace, ada, target)
    bob = accounts.add_account(workspace, ada, "bob", WORDS)
    with pytest.raises(NotAllowed):
        accounts.disable_user(workspace, bob, ada)


# Signed-in browsers


def test_a_right_password_signs_a_browser_in_and_only_a_digest_is_kept(workspace: Workspace, ada: int) -> None:
    secret = enter(workspace, browser="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
    assert who(workspace, secret) == ada
    (mine,) = signing_in.list_sign_ins(workspace, ada)
    assert mine.browser == "Firefox on Linux" and secret not in mine.model_dump_json()
    assert who(workspace, mine.digest) is None


@pytest.mark.parametrize("password", ["", "wrong", WORDS + " ", WORDS.upper(), WORDS + "\0", "x" * 100_000])
@pytest.mark.parametrize("name", ["ada", "nobody", ""])
def test_a_wrong_password_and_an_unknown_name_are_told_alike(
    workspace: Workspace, ada: int, name: str, password: str
) -> None:
    with pytest.raises(NotAllowed) as refused:
        enter(workspace, name, password)
    assert str(refused.value) == "This name and this password do not go together."


def test_an_unknown_name_costs_as_much_work_as_a_wrong_password(
    workspace: Workspace, ada: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            looked_at.append(str(hash).split("$")[3])
            return super().verify(hash, password)

    monkeypatch.setattr(accounts, "HASHER", Counting(time_cost=1, memory_cost=8, parallelism=1))
    for name in ("ada", "nobody"):
        with pytest.raises(NotAllowed):
            enter(workspace, name, "wrong password")
    assert len(looked_at) == 2 and len(set(looked_at)) == 1  # one hash each, with the same parameters


def test_each_signing_in_has_a_secret_of_its_own_and_ends_the_one_before(workspace: Workspace, ada: int) -> None:
    first = enter(workspace)
    second = enter(workspace, instead_of=first)
    assert first != second
    assert who(workspace, first) is None and who(workspace, second) == ada


def test_what_a_browser_brings_along_is_never_made_its_secret(workspace: Workspace, ada: int) -> None:
    fixed = "f" * 43
    assert enter(workspace, instead_of=fixed) != fixed
    assert who(workspace, fixed) is None


def test_a_browser_that_was_not_heard_of_for_long_is_signed_out(workspace: Workspace, ada: int, later: Clock) -> None:
    secret = enter(workspace)
    for _ in range(2):
        later(signing_in.IDLE_SECONDS - 60)
        assert who(workspace, secret) == ada
    later(signing_in.IDLE_SECONDS + 60)
    assert who(workspace, secret) is None


def test_no_browser_stays_signed_in_beyond_the_longest_time(workspace: Workspace, ada: int, later: Clock) -> None:
    secret = enter(workspace)
    for _ in range(5):
        later(signing_in.LONGEST_SECONDS / 6)
        assert who(workspace, secret) == ada
    later(signing_in.LONGEST_SECONDS / 6 + 60)
    assert who(workspace, secret) is None


def test_signing_out_ends_this_browser_and_no_other(workspace: Workspace, ada: int) -> None:
    here, there = enter(workspace), enter(workspace)
    signing_in.sign_out(workspace, here)
    assert (who(workspace, here), who(workspace, there)) == (None, ada)


def test_one_ends_ones_own_browsers_and_nobody_elses(workspace: Workspace, ada: int) -> None:
    bob = accounts.add_account(workspace, ada, "bob", WORDS)
    secret = enter(workspace)
    (mine,) = signing_in.list_sign_ins(workspace, ada)
    assert mine.id is not None
    for foreign in (mine.id, 999):
        with pytest.raises(NotFound):
            signing_in.end_sign_in(workspace, bob, foreign)
    assert who(workspace, secret) == ada
    signing_in.end_sign_in(workspace, ada, mine.id)
    assert who(workspace, secret) is None


def test_a_new_password_ends_the_other_browsers_and_the_tokens(workspace: Workspace, ada: int) -> None:
    here, there, token = enter(workspace), enter(workspace), make_token(workspace, ada)
    robot = issue_token(workspace, "robot")
    found = signing_in.signed_in(workspace, here)
    assert found is not None
    with pytest.raises(NotAllowed, match="old password"):
        accounts.change_password(workspace, ada, "not it at all", "new words entirely", address=HOME)
    assert bearer(workspace, token) == ada
    accounts.change_password(workspace, ada, WORDS, "new words entirely", address=HOME, keep=found[0].key)
    assert (who(workspace, here), who(workspace, there)) == (ada, None)
    assert bearer(workspace, token) is None and bearer(workspace, robot) is not None
    with pytest.raises(NotAllowed):
        enter(workspace)
    assert who(workspace, enter(workspace, password="new words entirely")) == ada


def test_guessing_the_old_password_is_slowed_too(workspace: Workspace, ada: int) -> None:
    for _ in range(attempts.FREE_BY_ADDRESS):
        with pytest.raises(NotAllowed):
            accounts.change_password(workspace, ada, "wrong", "new words entirely", address=HOME)
    with pytest.raises(TooMany):
        accounts.change_password(workspace, ada, WORDS, "new words entirely", address=HOME)


def test_a_hash_of_other_parameters_is_made_anew_at_the_next_signing_in(
    workspace: Workspace, ada: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = user(workspace, ada).password
    monkeypatch.setattr(accounts, "HASHER", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    enter(workspace)
    after = user(workspace, ada).password or ""
    assert after != before and "m=16,t=2" in after
    assert who(workspace, enter(workspace)) == ada


def test_two_passwords_at_most_are_hashed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, most, lock = [0], [0], threading.Lock()

    class Slow(PasswordHasher):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            with lock:
                busy[0] += 1
                most[0] = max(most[0], busy[0])
            time.sleep(0.02)
            with lock:
                busy[0] -= 1
            return super().hash(password, salt=salt)

    monkeypatch.setattr(accounts, "HASHER", Slow(time_cost=1, memory_cost=8, parallelism=1))
    threads = [threading.Thread(target=accounts.hash_password, args=(WORDS, "ada")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 2


def test_an_identity_is_asked_for_anew(workspace: Workspace, shell: int) -> None:
    here = Identity("local", shell)
    assert signing_in.still(workspace, here) == shell
    token = issue_token(workspace, "robot")
    (robot,) = list_tokens(workspace, bearer(workspace, token) or 0)
    bearing = Identity("token", robot.id or 0)
    assert signing_in.still(workspace, bearing) == robot.user_id
    ada = accounts.add_account(workspace, shell, "ada", WORDS)
    assert signing_in.still(workspace, here) is None  # from the first account on
    assert signing_in.still(workspace, bearing) == robot.user_id
    accounts.disable_user(workspace, ada, robot.user_id)
    assert signing_in.still(workspace, bearing) is None
    assert signing_in.still(workspace, Identity("proxy", robot.user_id)) is None
    assert signing_in.still(workspace, Identity("browser", 999)) is None


# Guessing is slowed


def guess(workspace: Workspace, name: str = "ada", address: str = HOME) -> float:
    """Guess wrongly; how long to wait, where it was refused unseen."""
    try:
        enter(workspace, name, "a wrong password", address)
    except TooMany as wait:
        return wait.seconds
    except NotAllowed:
        return 0.0
    raise AssertionError("that was right")


def test_an_address_waits_longer_with_each_failure(workspace: Workspace, ada: int, later: Clock) -> None:
    names = (f"name {n}" for n in range(1_000))
    assert [guess(workspace, next(names)) for _ in range(attempts.FREE_BY_ADDRESS)] == [0.0] * 5
    waits = []
    for _ in range(12):
        waits.append(guess(workspace, next(names)))
        later(waits[-1] + 1)
        assert guess(workspace, next(names)) == 0.0
    assert waits[:4] == [1, 2, 4, 8] and waits == sorted(waits) and waits[-1] == attempts.LONGEST_BY_ADDRESS
    assert who(workspace, enter(workspace, address="198.51.100.1")) == ada  # everybody else goes on


def test_a_right_password_waits_like_a_wrong_one(workspace: Workspace, ada: int) -> None:
    while not guess(workspace):
        pass
    with pytest.raises(TooMany, match="try again in"):
        enter(workspace)


def test_a_name_waits_a_minute_at_most_wherever_the_guesses_come_from(
    workspace: Workspace, ada: int, later: Clock
) -> None:
    addresses = (f"203.0.113.{n}" for n in range(1, 255))
    assert [guess(workspace, address=next(addresses)) for _ in range(attempts.FREE_BY_NAME)] == [0.0] * 10
    waits = []
    for _ in range(12):
        waits.append(guess(workspace, address=next(addresses)))
        later(waits[-1] + 1)
        assert guess(workspace, address=next(addresses)) == 0.0
    assert waits[-1] == attempts.LONGEST_BY_NAME and waits == sorted(waits)
    later(attempts.LONGEST_BY_NAME + 1)
    assert who(workspace, enter(workspace)) == ada


def test_a_stranger_cannot_keep_a_person_out_who_signed_in_from_there_before(workspace: Workspace, ada: int) -> None:
    enter(workspace)
    addresses = (f"203.0.113.{n}" for n in range(1, 255))
    while not guess(workspace, address=next(addresses)):
        pass
    assert guess(workspace, address="198.51.100.1") > 0
    assert who(workspace, enter(workspace)) == ada


def test_a_name_that_nobody_has_waits_alike(workspace: Workspace, ada: int) -> None:
    def refusals(name: str, net: int) -> list[float]:
        return [guess(workspace, name, f"10.0.{net}.{n}") for n in range(14)]

    assert refusals("ada", 1) == refusals("nobody at all", 2)


def test_an_account_of_ones_own_buys_no_more_guesses(workspace: Workspace, ada: int) -> None:
    accounts.add_account(workspace, ada, "mallory", WORDS)
    tried = 0
    for _ in range(100):
        enter_quietly(workspace, "mallory")
        if guess(workspace):
            break
        tried += 1
    assert tried <= attempts.FREE_BY_ADDRESS


def enter_quietly(workspace: Workspace, name: str) -> None:
    try:
        enter(workspace, name)
    except TooMany:
        return


def test_addresses_of_one_household_count_as_one(workspace: Workspace, ada: int) -> None:
    waits = [guess(workspace, f"n{n}", f"2001:db8:1:2:{n:x}::{n:x}") for n in range(1, 8)]
    assert waits[:5] == [0.0] * 5 and waits[5] > 0
    assert guess(workspace, "other", "2001:db8:1:3::1") == 0.0
    mapped = [guess(workspace, f"m{n}", "::ffff:192.0.2.9") for n in range(5)]
    assert mapped == [0.0] * 5 and guess(workspace, "m6", "192.0.2.9") > 0


def test_waiting_outlives_a_restart(workspace: Workspace, ada: int) -> None:
    from labeling.workspace import open_workspace

    while not guess(workspace):
        pass
    again = open_workspace(workspace.root)
    assert guess(again) > 0
    again.engine.dispose()


def test_many_at_once_are_counted_one_by_one(workspace: Workspace, ada: int) -> None:
    """None slips through while another is looked at."""
    seen: list[float] = []
    threads = [threading.Thread(target=lambda: seen.append(guess(workspace))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen.count(0.0) == attempts.FREE_BY_ADDRESS


def test_the_table_of_failures_stays_small(
    workspace: Workspace, ada: int, monkeypatch: pytest.MonkeyPatch, later: Clock
) -> None:
    monkeypatch.setattr(attempts, "MOST", 40)

    def rows() -> int:
        with reading(workspace.engine) as session:
            return len(session.exec(select(FailedSignIn)).all())

    for n in range(60):
        attempts.begin(workspace, f"name {n}" * 500, f"10.1.{n}.1")
    assert rows() <= 42
    later(attempts.FORGOTTEN + 1)
    attempts.begin(workspace, "one more", "10.9.9.9")
    assert rows() == 2


# Links


def test_nobody_is_invited_before_who_invites_has_an_account(workspace: Workspace, shell: int) -> None:
    made = create_project(workspace, shell, "birds", [])
    with pytest.raises(Invalid, match="askwise people add"):
        invitations.invite(workspace, shell, made)


@pytest.fixture
def birds(workspace: Workspace, ada: int) -> int:
    return create_project(workspace, ada, "birds", [])


@pytest.mark.parametrize("role", Role)
def test_a_link_lets_one_person_in_in_its_role(workspace: Workspace, ada: int, birds: int, role: Role) -> None:
    secret = secret_of(invitations.invite(workspace, ada, birds, role, "for Bob"))
    offered = invitations.read_link(workspace, secret)
    assert (offered.project, offered.role, offered.invited_by) == ("birds", role, "ada")
    assert [w.note for w in invitations.list_invitations(workspace, ada, birds)] == ["for Bob"]
    bob = invitations.accept(workspace, secret, "bob", WORDS)
    assert [p.role for p in list_projects(workspace, bob)] == [role]
    assert invitations.list_invitations(workspace, ada, birds) == []
    for again in (
        lambda: invitations.accept(workspace, secret, "carl", WORDS),
        lambda: invitations.join(workspace, secret, ada),
        lambda: invitations.accept_as(workspace, secret, "issuer carl", "carl"),
        lambda: invitations.read_link(workspace, secret),
    ):
        with pytest.raises(NotFound, match="leads nowhere"):
            again()


def test_two_who_follow_one_link_at_once_are_not_both_let_in(workspace: Workspace, ada: int, birds: int) -> None:
    secret = secret_of(invitations.invite(workspace, ada, birds))
    came: list[str] = []

    def come(name: str) -> None:
        try:
            invitations.accept(workspace, secret, name, WORDS)
            came.append(name)
        except AskwiseError:
            pass

    threads = [threading.Thread(target=come, args=(f"person {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(came) == 1
    with reading(workspace.engine) as session:
        assert len(session.exec(select(Membership).where(Membership.project_id == birds)).all()) == 2


def test_a_link_ends_after_a_week_when_taken_back_and_with_whoever_made_it(
    workspace: Workspace, ada: int, birds: int, later: Clock
) -> None:
    old = secret_of(invitations.invite(workspace, ada, birds))
    later(invitations.LASTS + 1)
    link = invitations.invite(workspace, ada, birds)
    invitations.revoke_invitation(workspace, ada, link.id)
    bob = invitations.accept(workspace, secret_of(invitations.invite(workspace, ada, birds, Role.OWNER)), "bob", WORDS)
    bobs = secret_of(invitations.invite(workspace, bob, birds, Role.OWNER))
    with writing(workspace.engine) as session:
        session.get_one(Membership, (birds, bob)).role = Role.EXPERT
    for secret in (old, secret_of(link), bobs, "made up", ""):
        with pytest.raises(NotFound, match="leads nowhere"):
            invitations.accept(workspace, secret, "carl", WORDS)


def test_the_secret_of_a_link_is_kept_nowhere(workspace: Workspace, ada: int, birds: int) -> None:
    link = invitations.invite(workspace, ada, birds)
    for file in workspace.root.rglob("*"):
        assert not file.is_file() or secret_of(link).encode() not in file.read_bytes()
    with reading(workspace.engine) as session:
        digest = session.get_one(Invitation, link.id).digest
    with pytest.raises(NotFound):
        invitations.read_link(workspace, digest)


def test_who_has_an_account_joins_with_it_and_keeps_a_stronger_role(workspace: Workspace, ada: int, birds: int) -> None:
    bob = accounts.add_account(workspace, ada, "bob", WORDS)
    for role in (Role.EXPERT, Role.ANNOTATOR):
        invitations.join(workspace, secret_of(invitations.invite(workspace, ada, birds, role)), bob)
        assert [p.role for p in list_projects(workspace, bob)] == [Role.EXPERT]


def test_a_reset_link_sets_a_password_once_and_signs_everything_else_out(workspace: Workspace, ada: int) -> None:
    bob = accounts.add_account(workspace, ada, "bob", WORDS)
    browser, token = enter(workspace, "bob"), make_token(workspace, bob)
    with pytest.raises(NotAllowed):
        invitations.reset_link(workspace, bob, ada)
    secret = secret_of(invitations.reset_link(workspace, ada, bob))
    assert invitations.read_link(workspace, secret).resets == "bob"
    with pytest.raises(Invalid):
        invitations.join(workspace, secret, ada)
    assert invitations.accept(workspace, secret, "a name that counts for nothing", "entirely new words") == bob
    assert who(workspace, browser) is None and bearer(workspace, token) is None
    assert who(workspace, enter(workspace, "bob", "entirely new words")) == bob
    with pytest.raises(NotFound):
        invitations.accept(workspace, secret, "bob", "once more, please")


def test_a_reset_link_is_no_invitation_to_list_or_for_whom_it_shuts_out(
    workspace: Workspace, ada: int, birds: int
) -> None:
    bob = accounts.add_account(workspace, ada, "bob", WORDS)
    secret = secret_of(invitations.reset_link(workspace, ada, bob))
    assert invitations.list_invitations(workspace, ada, None) == []
    accounts.disable_user(workspace, ada, bob)
    with pytest.raises(NotFound):
        invitations.accept(workspace, secret, "bob", "entirely new words")


def test_a_subject_is_one_user_whatever_name_it_brings(workspace: Workspace, ada: int, birds: int) -> None:
    link = invitations.invite(workspace, ada, birds)
    first = invitations.accept_as(workspace, secret_of(link), "issuer 1", "ada")
    assert user(workspace, first).name == "ada 2"  # never somebody else's account
    cats = create_project(workspace, ada, "cats", [])
    link = invitations.invite(workspace, ada, cats)
    assert invitations.accept_as(workspace, secret_of(link), "issuer 1", "somebody") == first
    assert len(list_projects(workspace, first)) == 2
    assert who(workspace, signing_in.sign_in_as(workspace, "issuer 1", "x", admitted=False)) == first
    with pytest.raises(NotAllowed, match="invited"):
        signing_in.sign_in_as(workspace, "issuer 2", "ada", admitted=False)
    accounts.disable_user(workspace, ada, first)
    with pytest.raises(NotAllowed):
        signing_in.sign_in_as(workspace, "issuer 1", "x", admitted=True)


def test_old_sign_ins_are_forgotten(workspace: Workspace, ada: int, later: Clock) -> None:
    enter(workspace)
    later(signing_in.LONGEST_SECONDS + signing_in.KEPT_SECONDS + 1)
    enter(workspace)
    with reading(workspace.engine) as session:
        assert len(session.exec(select(SignIn)).all()) == 1
