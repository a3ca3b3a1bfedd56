"""The real server, with what lies below our own code: it must not let a header say where a request comes from."""

import http.client
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling import accounts, invitations
from labeling.users import local_user
from labeling.workspace import open_workspace
from tests.serving import Served, serve

pytestmark = pytest.mark.slow
WORDS = "correct horse battery"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that trusts a proxy at 10.0.0.5, and knows somebody whom it calls bob."""
    root = tmp_path_factory.mktemp("behind") / "workspace"
    workspace = open_workspace(root)
    ada = accounts.add_account(workspace, local_user(workspace), "ada", WORDS)
    link = invitations.invite(workspace, ada, None)
    invitations.accept_as(workspace, link.path.rpartition("/")[2], "proxy bob", "bob")
    workspace.engine.dispose()
    told = {
        "ASKWISE_TRUSTED_PROXIES": "10.0.0.5",
        "ASKWISE_USER_HEADER": "X-Forwarded-User",
        "FORWARDED_ALLOW_IPS": "*",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        assert os.environ["FORWARDED_ALLOW_IPS"] == "*"
        running = serve(root, "--no-worker")
    yield running
    running.stop()


def ask(served: Served, path: str = "/api/v1/me", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("claimed", ["10.0.0.5", "127.0.0.1", "10.0.0.5, 10.0.0.5", "::1"])
def test_whoever_says_that_they_are_the_proxy_is_not(served: Served, claimed: str) -> None:
    said = {"X_Forwarded_For": claimed, "X_Forwarded_Proto": "https"}
    assert ask(served, **said)[0] == 401
    status, answer = ask(served, **said, X_Forwarded_User="bob")
    assert status == 403 and "Only the proxy" in answer


@pytest.mark.parametrize(
    "path", ["/", "/label", "/api/v1/projects", "/media/x", "/_stcore/host-config", "/static/x.js"]
)
def test_nothing_but_the_sign_in_page_is_there_for_nobody(served: Served, path: str) -> None:
    assert ask(served, path)[0] == 401
    assert ask(served, path, Accept="text/html")[0] in (303, 401)
    assert ask(served, "/sign-in")[0] == 200


def test_a_path_written_otherwise_is_no_way_around(served: Served) -> None:
    for path in (
        "/sign-in/../api/v1/me", "/sign-in/%2e%2e/api/v1/me", "//api/v1/me", "/join/x/../../api/v1/me",
        "/sign-in/..%2f..%2fapi/v1/me", "/_stcore/health/../host-config", "/join/x/../../label",
    ):  # fmt: skip
        status, answer = ask(served, path)
        assert status in (400, 401, 404), (path, status, answer[:200])
        assert "administers" not in answer


def test_a_server_that_others_reach_has_no_local_user(tmp_path: Path) -> None:
    alone = serve(tmp_path / "workspace", "--no-worker", "--address", "0.0.0.0")
    try:
        assert ask(alone)[0] == 401
        status, page = ask(alone, "/sign-in", Accept="text/html")
        assert status == 200 and "askwise people add" in page
    finally:
        alone.stop()


def test_an_open_door_for_whoever_watches_says_nothing(served: Served) -> None:
    assert ask(served, "/_stcore/health") == (200, "ok")
