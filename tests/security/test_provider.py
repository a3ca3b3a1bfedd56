"""Signing in through an identity provider, and what a false one, or somebody in between, would try."""

import asyncio
import base64
import json
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import RSAKey
from sqlmodel import select
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from labeling import accounts, invitations, signing_in
from labeling.db.engine import reading
from labeling.db.schema import User
from labeling.errors import Invalid
from labeling.projects import create_project, list_projects
from labeling.users import local_user
from labeling.web import provider as providers
from labeling.web import sign_in
from labeling.web.api import create_api
from labeling.web.auth import NameTheActor
from labeling.web.provider import Pending, Provider, Unreachable
from labeling.workspace import Workspace
from tests.security.identity_provider import CLIENT, SECRET, FakeProvider, providing
from tests.security.test_sign_in import HTTPS, PAGE, enter, token_in, who

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have the successor of httpx
    from starlette.testclient import TestClient

pytestmark = pytest.mark.usefixtures("quick_passwords")
WORDS = "correct horse battery"

Browser = Callable[[], TestClient]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, a provider that answers is not away."""
    monkeypatch.setattr(providers, "PATIENCE", 60.0)
    monkeypatch.setattr(providers, "PAGE_PATIENCE", 60.0)


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with providing() as fake:
        yield fake


@pytest.fixture
def fake(provider: FakeProvider) -> Iterator[FakeProvider]:
    """The provider, honest again after each test."""
    honest = {name: value.copy() if isinstance(value, dict) else value for name, value in vars(provider).items()}
    yield provider
    vars(provider).update(honest)


@pytest.fixture
def ada(workspace: Workspace) -> int:
    return accounts.add_account(workspace, local_user(workspace), "ada", WORDS)


@pytest.fixture
def browser(workspace: Workspace, ada: int, fake: FakeProvider) -> Browser:
    knows = Provider(fake.issuer, CLIENT, SECRET, ["example.org"])
    app = Starlette(
        routes=[Mount("/api/v1", app=create_api(workspace)), *sign_in.routes(workspace, knows)],
        middleware=[Middleware(NameTheActor, workspace=workspace)],
    )

    def made() -> TestClient:
        return TestClient(
            app, base_url=HTTPS, client=("203.0.113.9", 50000), follow_redirects=False, headers=PAGE
        )  # fmt: skip

    return made


def go(client: TestClient, **fields: str) -> str:
    """Press the button; returns where the browser is sent."""
    form = token_in(client.get("/sign-in"))
    answer = client.post("/sign-in/provider", data={"form": form, **fields}, headers={"Origin": HTTPS})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def come_back(client: TestClient, said: dict[str, str]) -> Any:
    return client.get("/sign-in/callback", params=said, headers={"Sec-Fetch-Site": "cross-site"})


def through(client: TestClient, fake: FakeProvider, **fields: str) -> Any:
    return come_back(client, fake.authorize(go(client, **fields)))


def invited(workspace: Workspace, ada: int) -> tuple[int, str]:
    project = create_project(workspace, ada, "birds", [])
    return project, invitations.invite(workspace, ada, project).path.rpartition("/")[2]


def test_somebody_invited_comes_in_and_is_known_from_then_on(
    browser: Browser, fake: FakeProvider, workspace: Workspace, ada: int
) -> None:
    fake.more = {"name": "Bob", "email": "bob@elsewhere.example", "email_verified": True}
    project, secret = invited(workspace, ada)
    client = browser()
    page = client.get(f"/join/{secret}")
    assert "Continue with 127.0.0.1" in page.text
    assert f"form-action 'self' {fake.issuer};" in page.headers["content-security-policy"]
    came = through(client, fake, invitation=secret)
    assert came.status_code == 303 and came.headers["location"] == f"/label?project={project}"
    bob = who(client)
    assert bob is not None and [p.id for p in list_projects(workspace, bob)] == [project]
    with reading(workspace.engine) as session:
        user = session.get_one(User, bob)
    assert (user.name, user.subject, user.password) == ("Bob", f"{fake.issuer} {fake.sub}", None)
    fake.more = {"name": "Robert", "email": "robert@elsewhere.example"}  # who one is does not hang on either
    again = browser()
    back = through(again, fake, next="/insights?project=1")
    assert back.headers["location"] == "/insights?project=1" and who(again) == bob


def test_nobody_comes_in_uninvited(browser: Browser, fake: FakeProvider, workspace: Workspace) -> None:
    fake.more = {"name": "ada", "email": "eve@elsewhere.example", "email_verified": True}
    client = browser()
    answer = through(client, fake)
    assert answer.status_code == 403 and "Nobody has invited you" in answer.text and who(client) is None
    with reading(workspace.engine) as session:
        assert [user.subject for user in session.exec(select(User)).all()] == [None, None]


@pytest.mark.parametrize(
    ("email", "verified", "admitted"),
    [
        ("bob@example.org", True, True), ("Bob@EXAMPLE.org", True, True), ("bob@example.org", False, False),
        ("bob@example.org", None, False), ("bob@example.org", "true", False), ("bob@sub.example.org", True, False),
        ("bob@example.org.evil.example", True, False), ("bob@evil.example@example.org", True, True),
        ("example.org", True, False), (None, True, False),
    ],
)  # fmt: skip
def test_a_domain_that_is_admitted_needs_no_invitation_where_the_address_is_verified(
    browser: Browser, fake: FakeProvider, workspace: Workspace, email: str | None, verified: object, admitted: bool
) -> None:
    fake.more = {"preferred_username": "bob", "email": email, "email_verified": verified}
    client = browser()
    through(client, fake)
    came = who(client)
    assert (came is not None) is admitted
    assert came is None or list_projects(workspace, came) == []


def test_a_name_never_makes_somebody_of_another(browser: Browser, fake: FakeProvider, ada: int) -> None:
    """The same name, or the same e-mail address, at the provider is another person."""
    fake.more = {"name": "ada", "email": "ada@example.org", "email_verified": True}
    client = browser()
    through(client, fake)
    assert who(client) not in (None, ada)


def test_whoever_was_shut_out_stays_out(browser: Browser, fake: FakeProvider, workspace: Workspace, ada: int) -> None:
    fake.more["email_verified"] = True
    client = browser()
    through(client, fake)
    bob = who(client)
    assert bob is not None
    accounts.disable_user(workspace, ada, bob)
    assert who(client) is None
    again = browser()
    assert through(again, fake).status_code == 403 and who(again) is None


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": "another"}, {"nonce": None}, {"aud": "another client"}, {"aud": None}, {"aud": ["another"]},
        {"iss": "https://evil.example"}, {"iss": None}, {"exp": 1_000_000_000}, {"exp": None},
        {"iat": 99_999_999_999}, {"nbf": 99_999_999_999}, {"sub": None}, {"sub": ""}, {"azp": "another client"},
        {"aud": ["askwise", "another"], "azp": "another"},
    ],
    ids=str,
)  # fmt: skip
def test_a_token_that_is_not_of_this_signing_in_is_refused(
    browser: Browser, fake: FakeProvider, lie: dict[str, Any]
) -> None:
    fake.more["email_verified"] = True
    fake.lies = lie
    client = browser()
    answer = through(client, fake)
    assert answer.status_code == 403 and "does not vouch for this" in answer.text
    assert who(client) is None


@pytest.mark.parametrize("algorithm", ["none", "HS256", "stranger"])
def test_a_token_that_the_provider_did_not_sign_is_refused(
    browser: Browser, fake: FakeProvider, algorithm: str
) -> None:
    fake.more["email_verified"] = True
    fake.algorithm = algorithm
    client = browser()
    assert through(client, fake).status_code == 403 and who(client) is None


def test_a_new_key_of_the_provider_is_fetched(
    browser: Browser, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.more["email_verified"] = True
    client = browser()
    through(client, fake)
    fake.key = RSAKey.generate_key(2048, parameters={"kid": "second"})
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    again = browser()
    assert through(again, fake).status_code == 303 and who(again) is not None


def test_an_unknown_key_does_not_make_the_server_fetch_again_and_again(browser: Browser, fake: FakeProvider) -> None:
    client = browser()
    through(client, fake)
    fetched = fake.asked.count("/keys")
    fake.key = RSAKey.generate_key(2048, parameters={"kid": "third"})
    for _ in range(3):
        assert through(browser(), fake).status_code == 403
    assert fake.asked.count("/keys") == fetched


def test_what_was_not_begun_here_is_not_finished(browser: Browser, fake: FakeProvider) -> None:
    fake.more["email_verified"] = True
    mallory, victim = browser(), browser()
    hers = fake.authorize(go(mallory))
    assert come_back(victim, hers).status_code == 403  # she would have the victim sign in as her
    location = go(victim)
    own = fake.authorize(location)
    for said in (
        {**own, "state": "another"}, {"code": own["code"]}, {"state": own["state"]}, {**own, "code": "made up"},
        {**own, "iss": "https://evil.example"}, {"error": "access_denied", "state": own["state"]}, {},
    ):  # fmt: skip
        client = browser()
        client.cookies.update(victim.cookies)
        answer = come_back(client, said)
        assert answer.status_code == 403 and who(client) is None, said
    assert who(victim) is None


def test_a_code_is_good_for_its_own_browser_only(browser: Browser, fake: FakeProvider) -> None:
    """Stolen on its way back, it is worth nothing without the verifier, which never left the browser."""
    fake.more["email_verified"] = True
    victim, thief = browser(), browser()
    stolen = fake.authorize(go(victim))
    own = fake.authorize(go(thief))
    assert come_back(thief, {"code": stolen["code"], "state": own["state"]}).status_code == 403
    assert who(thief) is None


def test_coming_back_twice_signs_in_once(browser: Browser, fake: FakeProvider) -> None:
    fake.more["email_verified"] = True
    client = browser()
    said = fake.authorize(go(client))
    before = dict(client.cookies)
    assert come_back(client, said).status_code == 303
    signing_in_cookie = {name: value for name, value in before.items() if name.endswith("-provider")}
    assert signing_in_cookie and not any(name.endswith("-provider") for name in client.cookies)
    replayed = browser()
    replayed.cookies.update(signing_in_cookie)
    assert come_back(replayed, said).status_code == 403 and who(replayed) is None


@pytest.mark.parametrize("cookie", ["", "x", "e30=", base64.b64encode(json.dumps({"state": ""}).encode()).decode()])
def test_a_cookie_that_was_made_up_finishes_nothing(browser: Browser, fake: FakeProvider, cookie: str) -> None:
    client = browser()
    client.cookies.set("__Host-askwise-provider", cookie)
    assert come_back(client, {"code": "x", "state": ""}).status_code == 403


def test_nobody_is_led_elsewhere_afterwards(browser: Browser, fake: FakeProvider) -> None:
    fake.more["email_verified"] = True
    assert through(browser(), fake, next="https://evil.example").headers["location"] == "/"


def test_a_cookie_that_somebody_planted_leads_nobody_elsewhere(browser: Browser, fake: FakeProvider) -> None:
    """It is not signed: what it says of where to go counts no more than what anybody says."""
    fake.more["email_verified"] = True
    client = browser()
    said = fake.authorize(go(client))
    pending = Pending.opened(client.cookies["__Host-askwise-provider"])
    assert pending is not None
    cookies = {**client.cookies, "__Host-askwise-provider": replace(pending, next="https://evil.example/").sealed()}
    planted = browser()
    planted.cookies.update(cookies)
    assert come_back(planted, said).headers["location"] == "/"


def test_where_one_goes_is_named_in_full(browser: Browser, fake: FakeProvider) -> None:
    query = parse_qs(urlsplit(go(browser())).query)
    assert query["redirect_uri"] == [f"{HTTPS}/sign-in/callback"]
    assert len(query["state"][0]) >= 43 and len(query["nonce"][0]) >= 43


def test_another_sites_page_begins_nothing(browser: Browser, fake: FakeProvider) -> None:
    client = browser()
    form = token_in(client.get("/sign-in"))
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert client.post("/sign-in/provider", data={"form": form}, headers=headers).status_code == 403
    assert client.get("/sign-in/provider").status_code == 405


@pytest.mark.parametrize(
    "announced",
    [
        {"issuer": "https://evil.example"}, {"token_endpoint": "http://evil.example/token"}, {"jwks_uri": None},
        {"jwks_uri": "file:///etc/passwd"}, {"authorization_endpoint": "javascript:alert(1)"},
    ],
    ids=str,
)  # fmt: skip
def test_a_provider_that_announces_something_else_is_not_used(
    browser: Browser, fake: FakeProvider, announced: dict[str, Any]
) -> None:
    fake.announces = announced
    page = browser().get("/sign-in")
    assert "check ASKWISE_OIDC_ISSUER" in page.text and "Continue with" not in page.text
    assert "Password" in page.text  # accounts of this workspace still come in


def test_a_provider_that_is_away_is_one_sentence(workspace: Workspace, ada: int) -> None:
    away = Provider("http://127.0.0.1:9", CLIENT, SECRET)
    app = Starlette(routes=sign_in.routes(workspace, away), middleware=[Middleware(NameTheActor, workspace=workspace)])
    client = TestClient(app, base_url=HTTPS, client=("203.0.113.9", 50000), follow_redirects=False, headers=PAGE)
    assert "cannot be reached at this moment" in client.get("/sign-in").text


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Where connections are taken and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def connections(listener: socket.socket) -> int:
    """How many came since the last look."""
    for number in range(100):
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return number
    raise AssertionError


def test_a_silent_provider_is_asked_once_by_however_many_and_then_left_alone_for_a_while(
    silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "PATIENCE", 0.2)
    away = Provider(f"http://127.0.0.1:{silent.getsockname()[1]}", CLIENT, SECRET)

    async def begin_at_once() -> list[object]:
        pending = Pending.new("/", "")
        return await asyncio.gather(*(away.begin(pending, HTTPS) for _ in range(5)), return_exceptions=True)

    def asked() -> int:
        assert [type(each) for each in asyncio.run(begin_at_once())] == [Unreachable] * 5
        return connections(silent)

    assert [asked(), asked()] == [1, 0]
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + providers.AWAY_SECONDS + 1)
    assert [asked(), asked()] == [1, 0]


def test_a_page_does_not_wait_for_a_silent_provider(silent: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "PAGE_PATIENCE", 0.05)
    away = Provider(f"http://127.0.0.1:{silent.getsockname()[1]}", CLIENT, SECRET)
    with pytest.raises(Unreachable, match="cannot be reached"):
        asyncio.run(asyncio.wait_for(away.site(), providers.PATIENCE / 2))


def test_a_page_that_stopped_waiting_does_not_stop_the_asking(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Provider(fake.issuer, CLIENT, SECRET)

    async def wait_twice() -> str:
        with monkeypatch.context() as hurried, pytest.raises(Unreachable):
            hurried.setattr(providers, "PAGE_PATIENCE", 0.0)
            await slow.site()
        return await slow.site()

    before = fake.asked.count("/keys")
    assert asyncio.run(wait_twice()) == fake.issuer
    assert fake.asked.count("/keys") == before + 1


def test_a_provider_that_is_back_is_used_again(
    browser: Browser, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.announces = {"issuer": "https://evil.example"}
    client = browser()
    assert "Continue with" not in client.get("/sign-in").text
    fake.announces = {}
    assert "Continue with" not in client.get("/sign-in").text
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + providers.AWAY_SECONDS + 1)
    assert "Continue with" in client.get("/sign-in").text


def test_a_reset_link_ties_an_account_to_the_provider(
    browser: Browser, fake: FakeProvider, workspace: Workspace, ada: int
) -> None:
    bob = accounts.add_account(workspace, ada, "bob", WORDS)
    secret = invitations.reset_link(workspace, ada, bob).path.rpartition("/")[2]
    client = browser()
    through(client, fake, invitation=secret)
    assert who(client) == bob
    assert enter(browser(), "bob").status_code == 303  # the password stays as it was
    with reading(workspace.engine) as session:
        assert session.get_one(User, bob).subject == f"{fake.issuer} {fake.sub}"
    assert signing_in.list_sign_ins(workspace, bob)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ISSUER": "https://a.example"}, "all three"), ({"CLIENT_ID": "x", "CLIENT_SECRET": "y"}, "all three"),
        ({"ISSUER": "http://a.example", "CLIENT_ID": "x", "CLIENT_SECRET": "y"}, "https://"),
        ({"ISSUER": "file:///etc", "CLIENT_ID": "x", "CLIENT_SECRET": "y"}, "https://"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], says: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"ASKWISE_OIDC_{name}", value)
    with pytest.raises(Invalid, match=says):
        Provider.of_environment()


def test_without_settings_there_is_no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"ASKWISE_OIDC_{name}", raising=False)
    assert Provider.of_environment() is None
