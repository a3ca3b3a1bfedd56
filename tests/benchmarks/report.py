"""Figures as tables, beside what the machine was doing meanwhile."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """The median and the 95th percentile, in the unit given; NaN of nothing."""
    if not seconds:
        return float("nan"), float("nan")
    low, high = np.percentile(seconds, [50, 95])
    return float(low), float(high)


def in_ms(seconds: Sequence[float]) -> str:
    """`median / 95th percentile` in milliseconds."""
    return " / ".join(f"{1000 * value:.0f}" for value in percentiles(seconds))


def print_table(title: str, runs: Mapping[str, Mapping[str, object]]) -> None:
    """Runs side by side, with the load average beside them: timings on a busy machine are pessimistic."""
    table = Table("", *runs, title=f"{title} ({machine()})", title_justify="left")
    for figure in next(iter(runs.values())):
        values = (run[figure] for run in runs.values())
        table.add_row(figure, *(f"{value:.2f}" if isinstance(value, float) else str(value) for value in values))
    Console(width=120).print(table)


def machine() -> str:
    """How many cores there are and how many processes wanted one during the last minute."""
    cores = f"{os.cpu_count()} cores"
    return f"{cores}, load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else cores


@contextmanager
def scratch() -> Iterator[Path]:
    """The folder of a workspace that is gone afterwards."""
    with TemporaryDirectory(prefix="askwise-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "workspace"
