import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from labeling.db.engine import writing
from labeling.db.schema import Item, Role
from labeling.users import grant, issue_token, local_user
from labeling.web.api import create_api
from labeling.web.auth import NameTheActor
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, not_waiting_for_the_disk

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have the successor of httpx
    from starlette.testclient import TestClient

WRITES = {"X-Askwise": "1", "Content-Type": "application/json"}

Connect = Callable[..., TestClient]


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    return not_waiting_for_the_disk(workspace)


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    """A project of which this machine's user is an owner too, and whose first item has an image of 100 by 50."""
    made = SmallProject.make(workspace)
    image = BytesIO()
    Image.new("RGB", (100, 50), "teal").save(image, "PNG")
    path = workspace.media("ab" * 32)
    path.parent.mkdir(parents=True)
    path.write_bytes(image.getvalue())
    me = local_user(workspace)
    with writing(workspace.engine) as session:
        session.get_one(Item, made.items[0]).media = "ab" * 32
        grant(session, made.id, me, Role.OWNER)
    return made


@pytest.fixture
def connect(workspace: Workspace) -> Iterator[Connect]:
    """Make a client: of this machine unless told otherwise, of a user where one is named."""
    app = Starlette(
        routes=[Mount("/api/v1", app=create_api(workspace))],
        middleware=[Middleware(NameTheActor, workspace=workspace)],
    )
    with ExitStack() as clients:

        def made(
            user: str | None = None, *, host: str = "localhost", peer: str = "127.0.0.1", **more: str
        ) -> TestClient:
            headers = {**WRITES, **more}
            if user is not None:
                headers["Authorization"] = f"Bearer {issue_token(workspace, user)}"
            client = TestClient(
                app, base_url=f"http://{host}", client=(peer, 50000), headers=headers, raise_server_exceptions=False
            )
            return clients.enter_context(client)

        yield made


@pytest.fixture
def client(connect: Connect, small: SmallProject) -> TestClient:
    """The user of this machine, an owner of the small project."""
    return connect()
