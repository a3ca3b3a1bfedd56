"""Askwise: active-learning labeling. The command line's verbs for notebooks and pipelines begin here."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labeling.verbs import OpenWorkspace

__version__ = "0.1.0"

__all__ = ["__version__", "open_workspace"]


def open_workspace(path: str | Path | None = None) -> "OpenWorkspace":
    """Open a workspace, making it where it is missing; see `labeling.verbs.OpenWorkspace` for what it can do."""
    from labeling.verbs import OpenWorkspace  # imported when used: `import labeling` alone stays instant

    return OpenWorkspace(path)
