"""Askwise: active-learning labeling. The command line's verbs for notebooks and pipelines begin here."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labeling.learning.simulation import compare_strategies, simulate
    from labeling.verbs import OpenWorkspace

__version__ = "0.1.0"

__all__ = ["__version__", "compare_strategies", "open_workspace", "simulate"]


def open_workspace(path: str | Path | None = None) -> "OpenWorkspace":
    """Open a workspace, making it where it is missing; see `labeling.verbs.OpenWorkspace` for what it can do."""
    from labeling.verbs import OpenWorkspace  # imported when used: `import labeling` alone stays instant

    return OpenWorkspace(path)


def __getattr__(name: str) -> Any:
    if name in {"compare_strategies", "simulate"}:
        from labeling.learning import simulation  # scikit-learn comes with it

        return getattr(simulation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
