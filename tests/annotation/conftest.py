import pytest

from labeling.workspace import Workspace
from tests.db.small_project import not_waiting_for_the_disk


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    return not_waiting_for_the_disk(workspace)
