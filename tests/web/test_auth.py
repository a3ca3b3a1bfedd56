"""Who a request comes from: this machine, the bearer of a token, or nobody."""

from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from streamlit.testing.v1 import AppTest

from labeling import accounts, signing_in
from labeling.signing_in import Identity
from labeling.users import bearer, issue_token, local_user, make_token, revoke_tokens
from labeling.web import current
from labeling.web.frame import PAGES
from labeling.web.server import app_options
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject


@pytest.fixture(autouse=True)
def project(small: SmallProject) -> SmallProject:
    return small


def seen(client: TestClient, **headers: str) -> int:
    return client.get("/api/v1/projects", headers=headers).status_code


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "localhost:8501", "127.0.0.1:8501", "[::1]:8501"])
def test_somebody_at_this_machine_is_the_local_user(connect: Any, host: str):
    answer = connect(host=host).get("/api/v1/projects")
    assert [p["role"] for p in answer.json()["projects"]] == ["owner"]


@pytest.mark.parametrize("peer", ["192.168.1.7", "10.0.0.1", "2001:db8::1", "", "unknown"])
def test_somebody_elsewhere_is_nobody_without_a_token(connect: Any, peer: str):
    answer = connect(peer=peer).get("/api/v1/projects")
    assert answer.status_code == 401 and "askwise token" in answer.json()["detail"]


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.7", "0.0.0.0", "127.evil"]
)
def test_a_name_that_leads_to_this_machine_opens_nothing(connect: Any, host: str):
    """As after a page of that name was pointed here (DNS rebinding)."""
    assert seen(connect(), Host=host) == 401


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://localhost.evil.example",
        "null",
        "file://",
        "http://192.168.1.7",
        "evil",
        "http://",
    ],
)
def test_a_page_from_elsewhere_opens_nothing(connect: Any, origin: str):
    assert seen(connect(), Origin=origin) == 401


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501", "localhost", "LOCALHOST:80"])
def test_the_apps_own_page_is_let_in(connect: Any, host: str):
    assert seen(connect(host=host), Origin=f"http://{host.lower()}") == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:9999",
        "http://localhost",
        "https://localhost:8501",
        "http://127.0.0.1:8501",
        "http://[::1]:8501",
    ],
)
@pytest.mark.parametrize("site", ["", "same-site", "same-origin"])
def test_a_page_of_another_server_at_this_machine_opens_nothing(connect: Any, origin: str, site: str):
    """To the browser all of them are one site, so that a cookie comes along."""
    assert seen(connect(host="localhost:8501"), Origin=origin, **{"Sec-Fetch-Site": site} if site else {}) == 401


def test_what_a_page_of_another_server_at_this_machine_embeds_is_not_sent(connect: Any):
    """Without an `Origin`, as for an image."""
    assert seen(connect(host="localhost:8501"), **{"Sec-Fetch-Site": "same-site"}) == 401


def test_the_bearer_of_a_token_is_its_user_wherever_they_are(connect: Any, small: SmallProject):
    client = connect("animals person 0", host="askwise.example", peer="192.168.1.7")
    assert [p["role"] for p in client.get("/api/v1/projects").json()["projects"]] == ["annotator"]


def test_a_token_goes_before_the_local_user(connect: Any):
    assert [p["role"] for p in connect("animals person 0").get("/api/v1/projects").json()["projects"]] == ["annotator"]


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer ", "Bearer askwise_wrong", "Basic YWRhOmFkYQ==", "bearer\t", "nonsense"]
)
def test_a_wrong_token_is_refused_even_at_this_machine(connect: Any, authorization: str):
    assert seen(connect(), Authorization=authorization) == 401


def test_a_revoked_token_opens_nothing_from_the_next_request_on(connect: Any, small: SmallProject):
    client = connect("animals person 0")
    assert seen(client) == 200
    revoke_tokens(small.workspace, "animals person 0")
    assert seen(client) == 401


def test_the_scheme_may_be_written_either_way(connect: Any, small: SmallProject):
    token = issue_token(small.workspace, "animals person 0")
    assert seen(connect(), Authorization=f"bearer {token}") == 200


@pytest.mark.parametrize("user", [None, "animals owner"])
def test_a_write_without_the_header_of_our_own_is_refused(connect: Any, user: str | None):
    client = connect(user)
    del client.headers["X-Askwise"]
    answer = client.post("/api/v1/projects", json={"name": "x"})
    assert answer.status_code == 403 and "X-Askwise: 1" in answer.json()["detail"]
    assert client.post("/api/v1/projects", json={"name": "x"}, headers={"X-Askwise": "0"}).status_code == 403
    assert seen(client) == 200  # reading needs no header


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "text/json", ""]
)
def test_a_write_that_any_form_could_send_is_refused(connect: Any, kind: str):
    answer = connect().post("/api/v1/projects", content=b'{"name": "x"}', headers={"Content-Type": kind})
    assert answer.status_code == 403 and "JSON" in answer.json()["detail"]
    assert connect().get("/api/v1/projects").json()["projects"][0]["name"] == "animals"


def test_json_with_a_charset_is_json(connect: Any):
    kind = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert connect().post("/api/v1/projects", content=b'{"name": "x"}', headers=kind).status_code == 201


def test_another_sites_page_gets_no_leave_to_ask(connect: Any):
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    answer = connect().options("/api/v1/projects", headers=asked)
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_a_websocket_from_elsewhere_is_closed(connect: Any, headers: dict[str, str]):
    with pytest.raises(WebSocketDisconnect) as closed, connect().websocket_connect("/_stcore/stream", headers=headers):
        pass
    assert closed.value.code == 4401


def test_a_refusal_says_nothing_of_the_project(connect: Any, small: SmallProject):
    answer = connect(peer="192.168.1.7").get(f"/api/v1/projects/{small.id}")
    assert "animals" not in answer.text and answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("kind", ["browser", "token", "proxy"])
def test_a_new_password_spares_this_browser_and_nothing_that_only_has_its_number(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, quick_passwords: None, kind: signing_in.Kind
):
    words = "correct horse battery"
    ada = accounts.add_account(workspace, local_user(workspace), "ada", words)
    token = make_token(workspace, ada)
    secret = signing_in.sign_in(workspace, "ada", words, address="192.0.2.7")
    (mine,) = signing_in.list_sign_ins(workspace, ada)
    key = mine.id or 0
    monkeypatch.setattr(current, "identity", lambda: Identity(kind, key))
    monkeypatch.setattr(current, "actor", lambda: ada)
    app = AppTest.from_file(app_options(workspace, with_worker=False)["script_path"], default_timeout=30).run()
    app.switch_page(str(PAGES / "account.py")).run()
    assert any("ends your API tokens" in said.value for said in app.markdown)
    for field, said in zip(app.text_input, (words, "entirely new words", "entirely new words"), strict=True):
        field.set_value(said)
    (change,) = (button for button in app.button if button.label == "Change password")
    change.click().run()
    assert not app.exception and [said.value for said in app.error] == []
    assert (signing_in.signed_in(workspace, secret) is not None) is (kind == "browser")
    assert bearer(workspace, token) is None
