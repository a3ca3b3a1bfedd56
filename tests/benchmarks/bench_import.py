"""How fast items come in, and in how much memory: images from a zip, and texts from Parquet.

python -m tests.benchmarks.bench_import [images|texts|rows] ... [--rows N] [--labels oracle|imported|ignore]

Each part runs in a process of its own, the one that imports; the memory is its own, at its highest so far, at a quarter
of the way, a half, three quarters and the end. The images are 6,000 of `../shared/data/cifar10h.zip`.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from labeling.intake.importer import import_records
from labeling.intake.sources import open_source
from labeling.projects import create_project
from labeling.users import local_user
from labeling.workspace import open_workspace
from tests.benchmarks.report import print_table, scratch

PHOTOS = Path(__file__).parents[2].parent / "shared" / "data" / "cifar10h.zip"
ROWS = 1_000_000
QUARTERS = (0.25, 0.5, 0.75, 1.0)
WORDS = 200_000
CHUNK = 10_000


def texts(path: Path, rows: int) -> None:
    """Parquet with `rows` different texts of 20 to 60 words, and a label each."""

    def columns(rng: np.random.Generator, names: np.ndarray) -> dict[str, list[object]]:
        lengths = rng.integers(20, 60, size=CHUNK)
        return {"text": [" ".join(names[rng.integers(WORDS, size=length)]) for length in lengths]}

    _write(path, rows, columns)


def table(path: Path, rows: int) -> None:
    """Parquet with `rows` rows of six numbers and two words."""

    def columns(rng: np.random.Generator, names: np.ndarray) -> dict[str, list[object]]:
        numbers = {f"n{i}": rng.standard_normal(CHUNK).round(4).tolist() for i in range(6)}
        return {**numbers, **{f"w{i}": names[rng.integers(WORDS, size=CHUNK)].tolist() for i in range(2)}}

    _write(path, rows, columns)


def _write(
    path: Path, rows: int, columns: Callable[[np.random.Generator, np.ndarray], dict[str, list[object]]]
) -> None:
    rng = np.random.default_rng(0)
    names = np.array(["".join(chr(97 + c) for c in word) for word in rng.integers(26, size=(WORDS, 7))])
    writer = None
    for _ in range(max(1, rows // CHUNK)):
        made = columns(rng, names)
        made["label"] = [f"class {c}" for c in rng.integers(10, size=CHUNK)]
        chunk = pa.table(made)
        writer = writer or pq.ParquetWriter(path, chunk.schema)
        writer.write_table(chunk)
    if writer:
        writer.close()


def peak_megabytes() -> float:
    """The most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def run(root: Path, path: Path, labels: str) -> Iterator[tuple[float, float, float]]:
    """Import a file; yields the share done, items per second so far, and the peak in megabytes, at each quarter."""
    workspace = open_workspace(root)
    me = local_user(workspace)
    project_id = create_project(workspace, me, "bench", [])
    seen: list[tuple[float, float, float]] = []
    began = time.perf_counter()
    with open_source(path) as source:

        def progress(share: float, _line: str) -> None:
            if len(seen) < len(QUARTERS) and share >= QUARTERS[len(seen)]:
                seen.append((share, share / (time.perf_counter() - began), peak_megabytes()))

        report = import_records(
            workspace, project_id, source, actor_id=me, labels=labels, progress=progress  # type: ignore[arg-type]
        )  # fmt: skip
    assert report.added + report.duplicates + report.refused_count == report.read > 0, report
    yield from ((share, pace * report.read, peak) for share, pace, peak in seen)


PARTS = {"images": None, "texts": texts, "rows": table}


def main() -> None:
    """Print a table for each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all but `rows` when none is named")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--labels", default="oracle", choices=["oracle", "imported", "ignore"])
    parser.add_argument("--alone", metavar="FILE", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        with scratch() as root:
            for share, rate, peak in run(root, Path(asked.alone), asked.labels):
                print(f"{share},{rate},{peak}")
        return
    for part in asked.parts or ["images", "texts"]:
        with scratch() as root:
            make = PARTS[part]
            path = PHOTOS if make is None else root.with_name("pool.parquet")
            if make is not None:
                make(path, asked.rows)
            elif not path.exists():
                print(f"images: needs {PHOTOS}")
                continue
            alone = [sys.executable, "-m", "tests.benchmarks.bench_import", "--alone", str(path)]
            done = subprocess.run([*alone, "--labels", asked.labels], check=True, stdout=subprocess.PIPE, text=True)
        quarters = {}
        for line in done.stdout.splitlines():
            share, rate, peak = map(float, line.split(","))
            quarters[f"{share:.0%}"] = {"items a second": f"{rate:,.0f}", "peak MB": f"{peak:,.0f}"}
        print_table(f"Import of {part}, {path.name}", quarters)


if __name__ == "__main__":
    main()
