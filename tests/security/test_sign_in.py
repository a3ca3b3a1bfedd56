"""Signing in over HTTP, and every way around it: forged headers, stale cookies, other sites' pages, websockets."""

import re
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from sqlmodel import select, update
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from labeling import accounts, attempts, invitations, signing_in
from labeling.db.engine import reading, writing
from labeling.db.schema import Role, SignIn, User
from labeling.errors import Invalid
from labeling.projects import create_project, list_projects
from labeling.users import local_user, make_token
from labeling.web import auth, sign_in
from labeling.web.api import create_api
from labeling.web.auth import NameTheActor
from labeling.web.peers import Proxies
from labeling.web.server import app_options
from labeling.workspace import Workspace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have the successor of httpx
    from starlette.testclient import TestClient

pytestmark = pytest.mark.usefixtures("quick_passwords", "later")
WORDS = "correct horse battery"
PAGE = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
WRITE = {"X-Askwise": "1", "Content-Type": "application/json"}
HTTPS = "https://askwise.example"
STREAM = "wss://askwise.example/_stcore/stream"

Browser = Callable[..., TestClient]


async def _home(request: Request) -> Response:
    return HTMLResponse(f"<p>{request.scope['askwise.actor']}</p>")


async def _echo(socket: WebSocket) -> None:
    await socket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            said = await socket.receive_text()
            await socket.send_text(f"{said} {socket.headers['x-askwise-identity']}")


def app_of(workspace: Workspace, **options: Any) -> Starlette:
    return Starlette(
        routes=[
            Mount("/api/v1", app=create_api(workspace)),
            *sign_in.routes(workspace),
            WebSocketRoute("/_stcore/stream", _echo),
            Route("/_stcore/health", _home),
            Route("/{rest:path}", _home, methods=["GET", "POST"]),
        ],
        middleware=[Middleware(NameTheActor, workspace=workspace, **options)],
    )


@pytest.fixture
def ada(workspace: Workspace) -> int:
    return accounts.add_account(workspace, local_user(workspace), "ada", WORDS)


@pytest.fixture
def browser(workspace: Workspace) -> Browser:
    """A browser somewhere: over https unless told otherwise."""

    def made(url: str = HTTPS, peer: str = "203.0.113.9", **options: Any) -> TestClient:
        app = app_of(workspace, **options)
        return TestClient(app, base_url=url, client=(peer, 50000), follow_redirects=False, headers=PAGE)

    return made


def token_in(answer: Any) -> str:
    """The token of the form on a page."""
    found = re.search(r'name="form" value="([^"]+)"', answer.text)
    assert found is not None, answer.text
    return found.group(1)


def enter(client: TestClient, name: str = "ada", password: str = WORDS, wanted: str = "/", **headers: str) -> Any:
    """Fill in the sign-in page and send it as a browser does."""
    client.get("/sign-in")
    (form,) = (value for name, value in client.cookies.items() if name.endswith("-form"))
    sent = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin", **headers}
    return client.post(
        "/sign-in", data={"form": form, "name": name, "password": password, "next": wanted}, headers=sent
    )


def who(client: TestClient, **headers: str) -> int | None:
    answer = client.get("/api/v1/me", headers=headers)
    return answer.json()["id"] if answer.status_code == 200 else None


def cookie_of(client: TestClient) -> str:
    """The cookie of a signed-in browser: name and value."""
    (name,) = (name for name in client.cookies if not name.endswith(("-form", "-provider")))
    return f"{name}={client.cookies[name]}"


# Signing in


def test_a_page_sends_to_sign_in_and_back_again(browser: Browser, ada: int) -> None:
    client = browser()
    sent = client.get("/label?project=1&view=grid")
    assert sent.status_code == 303 and sent.headers["location"] == "/sign-in?next=%2Flabel%3Fproject%3D1%26view%3Dgrid"
    page = client.get(sent.headers["location"])
    assert page.status_code == 200 and 'value="/label?project=1&amp;view=grid"' in page.text
    entered = enter(client, wanted="/label?project=1&view=grid")
    assert entered.status_code == 303 and entered.headers["location"] == "/label?project=1&view=grid"
    assert client.get("/label").text == f"<p>{ada}</p>" and who(client) == ada


def test_only_a_page_is_sent_to_sign_in(browser: Browser, ada: int) -> None:
    client = browser()
    for path in ("/api/v1/projects", "/_stcore/host-config", "/media/x.png", "/static/index.js"):
        answer = client.get(path, headers={"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"})
        assert (answer.status_code, set(answer.json())) == (401, {"detail"}), path
    assert client.post("/", headers=WRITE, json={}).status_code == 401
    assert client.get("/_stcore/health").status_code == 200  # says nothing but that it is alive


def test_the_cookie_is_as_safe_as_a_cookie_can_be(browser: Browser, ada: int) -> None:
    for url, name, secure in ((HTTPS, "__Host-askwise", True), ("http://askwise.example:8501", "askwise-8501", False)):
        set_by = [c for c in enter(browser(url)).headers.get_list("set-cookie") if c.startswith(f"{name}=")]
        (cookie,) = set_by
        parts = {part.strip().lower() for part in cookie.split(";")}
        assert {"httponly", "samesite=lax", "path=/"} <= parts
        assert ("secure" in parts) is secure
        assert not any(part.startswith("domain") for part in parts)


def test_the_pages_run_no_script_and_show_in_no_frame(browser: Browser, workspace: Workspace, ada: int) -> None:
    client = browser()
    link = invitations.invite(workspace, ada, None)
    for path in ("/sign-in", link.path, "/join/made-up"):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script" not in policy
        assert "'unsafe" not in policy and "<script" not in answer.text and "style=" not in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
    assert client.get("/sign-in/look.css").headers["content-type"].startswith("text/css")
    enter(client)
    assert client.get("/").headers["content-security-policy"] == "frame-ancestors 'self'"


def test_what_people_typed_is_shown_as_text(browser: Browser, workspace: Workspace, ada: int) -> None:
    nasty = '"><script>alert(1)</script>'
    answer = enter(browser(), name=nasty)
    assert "<script" not in answer.text and "&lt;script&gt;" in answer.text
    project = create_project(workspace, ada, nasty, [])
    page = browser().get(invitations.invite(workspace, ada, project).path)
    assert "<script" not in page.text and "&lt;script&gt;" in page.text


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
        "/\t/evil.example", "/\n/evil.example", "///evil.example", "http:evil.example", "evil.example", "",
        "/sign-out", "/sign-in?next=/", " //evil.example", "/%0d%0aSet-Cookie:x=1/../..//evil\r\nx",
    ],
)  # fmt: skip
def test_nobody_is_led_elsewhere(browser: Browser, ada: int, wanted: str) -> None:
    client = browser()
    assert enter(client, wanted=wanted).headers["location"] == "/"
    led = client.get("/sign-in", params={"next": wanted})  # signed in already
    assert led.headers["location"] == "/"


def test_a_wrong_password_is_one_sentence_and_no_cookie(browser: Browser, ada: int) -> None:
    client = browser()
    answers = [enter(client, *given) for given in (("ada", "wrong"), ("nobody", WORDS))]
    for answer in answers:
        assert answer.status_code == 403 and "do not go together" in answer.text
        assert "__Host-askwise=" not in "".join(answer.headers.get_list("set-cookie"))
    anonymous = [re.sub(r'value="[^"]*"', "", answer.text) for answer in answers]
    assert anonymous[0] == anonymous[1]


def test_too_many_attempts_are_told_to_wait(browser: Browser, ada: int) -> None:
    client = browser()
    for _ in range(attempts.FREE_BY_ADDRESS):
        assert enter(client, password="wrong").status_code == 403
    slowed = enter(client)
    assert slowed.status_code == 429 and int(slowed.headers["retry-after"]) >= 1
    assert "try again in" in slowed.text and who(client) is None


# Other sites' pages


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://askwise.example"},
        {"Origin": "https://askwise.example.evil.example"}, {"Origin": "https://askwise.example:8443"},
        {"Origin": "https://sub.askwise.example"}, {"Origin": "", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "", "Sec-Fetch-Site": "same-site"},
    ],
)  # fmt: skip
def test_another_sites_form_does_nothing(
    browser: Browser, workspace: Workspace, ada: int, headers: dict[str, str]
) -> None:
    given = {name: value for name, value in headers.items() if value}
    client = browser()
    form = token_in(client.get("/sign-in"))
    fields = {"form": form, "name": "ada", "password": WORDS}
    assert client.post("/sign-in", data=fields, headers=given).status_code == 403
    assert who(client) is None
    enter(client)
    link = invitations.invite(workspace, ada, None)
    form = token_in(client.get("/sign-out"))
    for path in ("/sign-out", link.path, f"{link.path}/with"):
        assert client.post(path, data={**fields, "form": form, "again": WORDS}, headers=given).status_code == 403
    for path in ("/api/v1/projects", f"/api/v1/people/{ada}/reset"):
        assert client.post(path, json={"name": "x"}, headers={**WRITE, **given}).status_code == 401
    assert who(client) == ada and list_projects(workspace, ada) == []
    assert invitations.read_link(workspace, link.path.rpartition("/")[2])


def test_a_form_needs_the_token_of_this_very_browser(browser: Browser, ada: int) -> None:
    victim, mallory = browser(), browser()
    theirs = token_in(mallory.get("/sign-in"))
    own = token_in(victim.get("/sign-in"))
    for form in ("", "x", theirs, own + "x", own[:-1]):
        answer = victim.post("/sign-in", data={"form": form, "name": "ada", "password": WORDS})
        assert answer.status_code == 403 and "open for too long" in answer.text
    bare = browser().post("/sign-in", data={"form": own, "name": "ada", "password": WORDS})
    assert bare.status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/json", ""])
def test_a_form_of_another_kind_is_none(browser: Browser, ada: int, kind: str) -> None:
    client = browser()
    form = token_in(client.get("/sign-in"))
    body = f"form={form}&name=ada&password={WORDS}"
    assert client.post("/sign-in", content=body, headers={"Content-Type": kind}).status_code == 403


def test_a_form_that_is_too_large_is_not_read(browser: Browser, ada: int) -> None:
    client = browser()
    form = token_in(client.get("/sign-in"))
    fields = {"form": form, "name": "ada", "password": "x" * sign_in.LARGEST}
    assert client.post("/sign-in", data=fields).status_code == 403


def test_a_link_from_elsewhere_opens_a_page_and_writes_nothing(
    browser: Browser, workspace: Workspace, ada: int
) -> None:
    client = browser()
    enter(client)
    assert client.get("/label", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    framed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}
    assert client.get("/label", headers=framed).status_code == 303
    read = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "Accept": "*/*"}
    assert client.get("/api/v1/me", headers=read).status_code == 401
    for path in ("/sign-out", f"{invitations.invite(workspace, ada, None).path}"):
        client.get(path, headers={"Sec-Fetch-Site": "cross-site"})
    assert who(client) == ada


def test_a_write_needs_the_header_also_with_a_cookie(browser: Browser, ada: int) -> None:
    client = browser()
    enter(client)
    own = {"Origin": HTTPS, "Content-Type": "application/json"}
    assert client.post("/api/v1/projects", json={"name": "x"}, headers=own).status_code == 403
    assert client.post("/api/v1/projects", json={"name": "x"}, headers={**own, **WRITE}).status_code == 201


# Cookies that are none


def test_a_cookie_that_ended_opens_nothing(browser: Browser, workspace: Workspace, ada: int) -> None:
    def ended_by(end: Callable[[TestClient], object]) -> int | None:
        client = browser()
        enter(client)
        cookie = cookie_of(client)
        assert who(client) == ada
        end(client)
        return who(browser(), Cookie=cookie)

    def sign_out(client: TestClient) -> None:
        form = token_in(client.get("/sign-out"))
        assert client.post("/sign-out", data={"form": form}).headers["location"] == "/sign-in?out=1"

    def expire(_client: TestClient) -> None:
        with writing(workspace.engine) as session:
            session.exec(update(SignIn).values(expires=time.time() - 1))

    def idle(_client: TestClient) -> None:
        with writing(workspace.engine) as session:
            session.exec(update(SignIn).values(seen=time.time() - signing_in.IDLE_SECONDS - 1))

    def shut_out(_client: TestClient) -> None:
        with writing(workspace.engine) as session:
            session.get_one(User, ada).disabled = time.time()

    def change(_client: TestClient) -> None:
        accounts.change_password(workspace, ada, WORDS, WORDS + " new", address="home")
        with writing(workspace.engine) as session:
            session.get_one(User, ada).password = accounts.hash_password(WORDS, "ada")

    assert [ended_by(end) for end in (sign_out, enter, expire, idle, change, shut_out)] == [None] * 6


@pytest.mark.parametrize("value", ["", "x", "0", "1", "null", "' OR 1=1 --", "%00", "x" * 4_000, "\xe9"])
def test_a_cookie_that_was_made_up_opens_nothing(browser: Browser, ada: int, value: str) -> None:
    cookie = f"__Host-askwise={value}".encode("latin-1")
    assert browser().get("/api/v1/me", headers={b"Cookie": cookie}).status_code == 401


def test_the_digest_in_the_database_is_no_cookie(browser: Browser, workspace: Workspace, ada: int) -> None:
    enter(browser())
    with reading(workspace.engine) as session:
        stored = session.exec(select(SignIn)).one()
    assert who(browser(), Cookie=f"__Host-askwise={stored.digest}") is None


def test_a_cookie_that_somebody_planted_is_never_the_one_that_is_signed_in(browser: Browser, ada: int) -> None:
    client = browser()
    client.cookies.set("__Host-askwise", "f" * 43)
    entered = enter(client)
    assert "f" * 43 not in "".join(entered.headers.get_list("set-cookie"))
    assert who(browser(), Cookie="__Host-askwise=" + "f" * 43) is None


def test_a_cookie_over_http_is_not_the_one_of_https(browser: Browser, ada: int) -> None:
    """A name without `__Host-` could have been planted by a neighbour."""
    client = browser()
    enter(client)
    secret = cookie_of(client).partition("=")[2]
    assert who(browser(), Cookie=f"askwise={secret}") is None


def test_signing_in_again_ends_what_the_browser_had(browser: Browser, ada: int) -> None:
    client = browser()
    enter(client)
    before = cookie_of(client)
    enter(client)
    assert before != cookie_of(client)
    assert who(browser(), Cookie=before) is None and who(client) == ada


# Forged headers


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-User": "ada"}, {"X-Askwise-Identity": "browser 1"}, {"X-Askwise-Identity": "local 1"},
        {"Remote-User": "ada"}, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"}, {"Host": "localhost"}, {"X-Forwarded-Host": "localhost"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("peer", ["203.0.113.9", "127.0.0.1"])
def test_a_header_makes_nobody_of_somebody(browser: Browser, ada: int, headers: dict[str, str], peer: str) -> None:
    enter(browser())
    assert who(browser("http://localhost:8501", peer), **headers) is None


def test_nobody_outside_tells_a_page_whose_it_is(browser: Browser, workspace: Workspace, ada: int) -> None:
    client = browser()
    enter(client)
    for name in ("x-askwise-identity", "X-Askwise-Identity"):
        with client.websocket_connect(STREAM, headers={"Origin": HTTPS, name: "browser 999"}) as socket:
            socket.send_text("hello")
            assert socket.receive_text().startswith("hello browser 1")


def test_the_local_user_is_gone_with_the_first_account(browser: Browser, workspace: Workspace) -> None:
    here = browser("http://localhost:8501", "127.0.0.1")
    me = local_user(workspace)
    assert who(here) == me and here.get("/").status_code == 200
    accounts.add_account(workspace, me, "ada", WORDS)
    assert who(here) is None and here.get("/").status_code == 303


def test_a_server_that_others_reach_has_no_local_user(browser: Browser, workspace: Workspace) -> None:
    here = browser("http://localhost:8501", "127.0.0.1", to_itself=lambda: False)
    assert who(here) is None
    page = here.get("/sign-in")
    assert "askwise people add" in page.text and "<form" not in page.text


# Behind a proxy


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> Proxies:
    monkeypatch.setenv("ASKWISE_TRUSTED_PROXIES", "10.0.0.5, 10.1.0.0/24 2001:db8::/64")
    monkeypatch.setenv("ASKWISE_USER_HEADER", "X-Forwarded-User")
    return Proxies.of_environment()


@pytest.fixture
def bob(workspace: Workspace, ada: int) -> int:
    """Somebody whom the proxy calls bob@example.org."""
    link = invitations.invite(workspace, ada, None)
    return invitations.accept_as(workspace, link.path.rpartition("/")[2], "proxy bob@example.org", "bob")


@pytest.mark.parametrize("peer", ["10.0.0.5", "10.1.0.77", "2001:db8::7", "::ffff:10.0.0.5"])
def test_whom_a_trusted_proxy_names_is_the_user(browser: Browser, proxies: Proxies, bob: int, peer: str) -> None:
    client = browser("http://backend", peer, proxies=proxies)
    told = {"X-Forwarded-User": "bob@example.org", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "askwise.example"}
    assert who(client, **told) == bob
    assert who(client, **{**told, "X-Forwarded-User": "ada"}) is None  # a name here is no name there
    assert who(client, **{**told, "X-Forwarded-User": ""}) is None
    written = client.post("/api/v1/projects", json={"name": "x"}, headers={**told, **WRITE, "Origin": HTTPS})
    assert written.status_code == 201
    foreign = {**told, **WRITE, "Origin": "https://evil.example"}
    assert client.post("/api/v1/projects", json={"name": "y"}, headers=foreign).status_code == 401


@pytest.mark.parametrize("peer", ["203.0.113.9", "127.0.0.1", "10.0.0.6", "::1", "", "10.0.0.5.evil.example"])
def test_the_same_header_from_anybody_else_is_refused(browser: Browser, proxies: Proxies, bob: int, peer: str) -> None:
    client = browser("http://localhost", peer, proxies=proxies)
    for name in ("X-Forwarded-User", "x-forwarded-user"):
        answer = client.get("/api/v1/me", headers={name: "bob@example.org", "X-Forwarded-For": "10.0.0.5"})
        assert answer.status_code == 403 and "Only the proxy" in answer.json()["detail"]


def test_a_header_that_came_twice_is_refused(browser: Browser, proxies: Proxies, bob: int) -> None:
    """As where the proxy adds its own beside the one that was sent."""
    client = browser("http://backend", "10.0.0.5", proxies=proxies)
    twice = [("X-Forwarded-User", "bob@example.org"), ("X-Forwarded-User", "eve")]
    assert client.get("/api/v1/me", headers=twice).status_code == 403


def test_the_proxys_user_goes_before_a_cookie(browser: Browser, proxies: Proxies, ada: int, bob: int) -> None:
    client = browser("http://backend", "10.0.0.5", proxies=proxies)
    https = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "askwise.example"}
    direct = browser()
    enter(direct)
    cookie = {**https, "Cookie": cookie_of(direct)}
    assert who(client, **cookie) == ada  # the proxy names nobody
    assert who(client, **cookie, **{"X-Forwarded-User": "bob@example.org"}) == bob
    assert who(client, **cookie, **{"X-Forwarded-User": "stranger@example.org"}) is None


@pytest.mark.parametrize("form", ["{}", "{}:{}", "[{}]", "[{}]:{}"])
def test_behind_a_proxy_each_browser_waits_for_itself(browser: Browser, proxies: Proxies, ada: int, form: str) -> None:
    """Some proxies forward the port too, which is another one for each connection."""
    connections = count(50_000)

    def guess(address: str) -> int:
        client = browser("http://backend", "10.0.0.5", proxies=proxies)
        port = next(connections)
        told = {
            "X-Forwarded-For": f"198.51.100.1, {form.format(address, port)}, {form.format(trusted, port)}",
            "X-Forwarded-Proto": "https", "X-Forwarded-Host": "askwise.example",
        }  # fmt: skip
        token = token_in(client.get("/sign-in", headers=told))
        cookie = f"__Host-askwise-form={token}"
        sent = {"form": token, "name": f"name {port}", "password": "wrong password"}
        return client.post("/sign-in", data=sent, headers={**told, "Origin": HTTPS, "Cookie": cookie}).status_code

    one, other, trusted = ("2001:db8:1::1", "2001:db8:2::1", "2001:db8::3") if "[" in form else (
        "203.0.113.1", "203.0.113.2", "10.1.0.3",
    )  # fmt: skip
    assert [guess(one) for _ in range(6)] == [403] * 5 + [429]
    assert guess(other) == 403  # what the browser itself says before that counts for nothing


def test_addresses_that_nobody_vouches_for_count_as_one(browser: Browser, ada: int) -> None:
    def guess(n: int) -> int:
        client = browser(peer="127.0.0.1")
        return int(enter(client, f"n{n}", "wrong", **{"X-Forwarded-For": f"203.0.113.{n}"}).status_code)

    assert [guess(n) for n in range(6)] == [403] * 5 + [429]


def test_whom_the_proxy_names_joins_by_a_link(
    browser: Browser, workspace: Workspace, proxies: Proxies, ada: int
) -> None:
    project = create_project(workspace, ada, "birds", [])
    link = invitations.invite(workspace, ada, project, Role.EXPERT)
    client = browser(peer="10.0.0.5", proxies=proxies)
    told = {"X-Forwarded-User": "carl@example.org", "X-Forwarded-Proto": "https"}
    refused = client.get("/sign-in", headers=told)
    assert "carl@example.org" in refused.text and "<form" not in refused.text
    page = client.get(link.path, headers=told)
    assert "Join as carl@example.org" in page.text and "password" not in page.text.lower()
    answer = client.post(f"{link.path}/with", data={"form": token_in(page)}, headers={**told, "Origin": HTTPS})
    assert answer.headers["location"] == f"/label?project={project}"
    carl = who(client, **told)
    assert carl is not None and [p.role for p in list_projects(workspace, carl)] == [Role.EXPERT]


@pytest.mark.parametrize(
    ("proxy", "header"), [("", "X-User"), ("nonsense", ""), ("10.0.0.0/99", ""), ("proxy.local", "")]
)
def test_proxies_that_make_no_sense_are_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, proxy: str, header: str
) -> None:
    monkeypatch.setenv("ASKWISE_TRUSTED_PROXIES", proxy)
    monkeypatch.setenv("ASKWISE_USER_HEADER", header)
    with pytest.raises(Invalid, match="ASKWISE_TRUSTED_PROXIES"):
        Proxies.of_environment()


def test_what_lies_below_must_not_say_where_a_request_comes_from(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own belief in headers would come before ours."""
    monkeypatch.setenv("ASKWISE_TRUSTED_PROXIES", "10.0.0.5")
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    with pytest.raises(Invalid, match="askwise serve"):
        app_options(workspace, with_worker=False)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "")
    assert app_options(workspace, with_worker=False)["middleware"]


@pytest.mark.parametrize(
    "path", ["/sign-in/x", "/join/x/label", "/join/x/with/y", "/sign-inx", "/join/", "/sign-out/x"]
)
def test_what_only_looks_like_signing_in_is_not_open(browser: Browser, ada: int, path: str) -> None:
    assert browser().get(path, headers={"Accept": "*/*"}).status_code == 401


# Websockets


def closed_with(client: TestClient, headers: dict[str, str]) -> int:
    stream = f"{client.base_url}/_stcore/stream".replace("http", "ws", 1)
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect(stream, headers=headers):
        pass
    return int(closed.value.code)


def test_a_websocket_without_signing_in_is_closed(browser: Browser, ada: int) -> None:
    for url, peer in ((HTTPS, "203.0.113.9"), ("http://localhost:8501", "127.0.0.1")):
        assert closed_with(browser(url, peer), {"Origin": url}) == 4401


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "", "http://askwise.example", "https://askwise.example:1"]
)
def test_a_websocket_of_another_sites_page_is_closed(browser: Browser, ada: int, origin: str) -> None:
    client = browser()
    enter(client)
    assert closed_with(client, {"Origin": origin} if origin else {}) == 4401
    with client.websocket_connect(STREAM, headers={"Origin": HTTPS}) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello browser 1"


@pytest.mark.parametrize("signs_in", [True, False])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:9999"}, {"Origin": "http://localhost:9999", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:8501"}, {"Origin": "http://localhost"}, {"Origin": "null"},
    ],
    ids=str,
)  # fmt: skip
def test_a_websocket_of_another_page_at_this_machine_is_closed(
    browser: Browser, workspace: Workspace, headers: dict[str, str], signs_in: bool
) -> None:
    """Of a notebook, say, or of whatever else listens here: its cookies are ours, as ports are no part of a site."""
    client = browser("http://localhost:8501", "127.0.0.1")
    if signs_in:
        accounts.add_account(workspace, local_user(workspace), "ada", WORDS)
        enter(client)
    assert closed_with(client, headers) == 4401
    stream = "ws://localhost:8501/_stcore/stream"
    for own in ({"Origin": "http://localhost:8501"}, {}):  # a program at this machine says no origin
        with client.websocket_connect(stream, headers=own) as socket:
            socket.send_text("hello")
            assert socket.receive_text().startswith("hello browser" if signs_in else "hello local")


def test_an_open_websocket_ends_with_the_signing_in(
    browser: Browser, workspace: Workspace, ada: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "ASKED_EVERY", 0.05)

    def end(workspace: Workspace, kind: str) -> None:
        (mine,) = signing_in.list_sign_ins(workspace, ada)
        if kind == "signed out":
            signing_in.end_sign_in(workspace, ada, mine.id or 0)
        elif kind == "expired":
            with writing(workspace.engine) as session:
                session.get_one(SignIn, mine.id).expires = 1.0
        else:
            with writing(workspace.engine) as session:
                session.get_one(User, ada).disabled = 1.0

    for kind in ("signed out", "expired", "shut out"):
        for says_something in (True, False):
            with writing(workspace.engine) as session:
                session.get_one(User, ada).disabled = None
                session.exec(update(SignIn).values(ended=1.0))
            client = browser()
            enter(client)
            with client.websocket_connect(STREAM, headers={"Origin": HTTPS}) as socket:
                socket.send_text("hello")
                assert socket.receive_text().startswith("hello")
                end(workspace, kind)
                if says_something:
                    socket.send_text("and now?")
                with pytest.raises(WebSocketDisconnect) as closed:
                    socket.receive_text()
                assert closed.value.code == 4401


def test_a_websocket_of_a_token_ends_with_the_token(
    browser: Browser, workspace: Workspace, ada: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "ASKED_EVERY", 0.05)
    bearer = {"Authorization": f"Bearer {make_token(workspace, ada)}"}
    with browser().websocket_connect(STREAM, headers=bearer) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello token 1"
        from labeling.users import end_token

        end_token(workspace, ada, 1)
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()


def test_an_open_local_websocket_ends_with_the_first_account(
    browser: Browser, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "ASKED_EVERY", 0.05)
    client = browser("http://localhost:8501", "127.0.0.1")
    with client.websocket_connect(
        "ws://localhost:8501/_stcore/stream", headers={"Origin": "http://localhost:8501"}
    ) as socket:
        socket.send_text("hello")
        assert "local" in socket.receive_text()
        accounts.add_account(workspace, local_user(workspace), "ada", WORDS)
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()


# Links


def test_a_newcomer_makes_an_account_by_a_link(browser: Browser, workspace: Workspace, ada: int) -> None:
    project = create_project(workspace, ada, "birds", [])
    link = invitations.invite(workspace, ada, project)
    client = browser()
    page = client.get(link.path)
    assert "Join “birds”" in page.text and "“ada” invites you" in page.text

    def come(**fields: str) -> Any:
        given = {"form": token_in(client.get(link.path)), "name": "bob", "password": WORDS, "again": WORDS, **fields}
        return client.post(link.path, data=given, headers={"Origin": HTTPS})

    for fields, says in (
        ({"again": "another"}, "differ"), ({"password": "short", "again": "short"}, "at least 10"),
        ({"name": "ada"}, "taken"), ({"name": ""}, "needs a name"),
    ):  # fmt: skip
        answer = come(**fields)
        assert answer.status_code == 422 and says in answer.text, fields
    assert who(client) is None
    came = come()
    assert came.headers["location"] == f"/label?project={project}"
    bob = who(client)
    assert bob is not None and [p.role for p in list_projects(workspace, bob)] == [Role.ANNOTATOR]
    gone = browser().get(link.path)
    assert gone.status_code == 404 and "leads nowhere" in gone.text and "birds" not in gone.text


def test_who_is_signed_in_joins_with_one_press(browser: Browser, workspace: Workspace, ada: int) -> None:
    accounts.add_account(workspace, ada, "bob", WORDS)
    project = create_project(workspace, ada, "birds", [])
    link = invitations.invite(workspace, ada, project)
    client = browser()
    enter(client, "bob")
    page = client.get(link.path)
    assert "Join as bob" in page.text
    client.post(f"{link.path}/with", data={"form": token_in(page)}, headers={"Origin": HTTPS})
    bob = who(client)
    assert bob is not None and len(list_projects(workspace, bob)) == 1


def test_a_link_that_sets_a_password_signs_in(browser: Browser, workspace: Workspace, ada: int) -> None:
    bob = accounts.add_account(workspace, ada, "bob", WORDS)
    link = invitations.reset_link(workspace, ada, bob)
    client = browser()
    page = client.get(link.path)
    assert "Choose a new password" in page.text
    new = "entirely new words"
    client.post(link.path, data={"form": token_in(page), "name": "", "password": new, "again": new})
    assert who(client) == bob and enter(browser(), "bob").status_code == 403


def test_guessing_links_costs_no_hash(browser: Browser, ada: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(accounts, "hash_password", lambda *given: hashed.append(given[0]))
    monkeypatch.setattr(invitations, "hash_password", lambda *given: hashed.append(given[0]))
    client = browser()
    form = token_in(client.get("/sign-in"))
    answer = client.post("/join/made-up", data={"form": form, "name": "x", "password": WORDS, "again": WORDS})
    assert answer.status_code == 404 and hashed == []
