"""The workspace that this process serves, and who is looking at a page of it."""

from labeling.users import local_user
from labeling.workspace import Workspace

_served: list[Workspace] = []


def serve(workspace: Workspace) -> None:
    """Name the workspace that this process serves from now on."""
    _served[:] = [workspace]


def workspace() -> Workspace:
    """The workspace being served."""
    return _served[0]


def actor() -> int:
    """The id of the user who looks at the page: in local mode the local user."""
    return local_user(workspace())
