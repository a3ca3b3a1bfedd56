"""Finding: how long an answer takes on a million items with 512 features, and whether the plain cosine will do.

python -m tests.benchmarks.bench_find [speed|quality] ...
"""

import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlmodel import insert

from labeling.annotation.queue import release
from labeling.db.engine import writing
from labeling.db.schema import Item
from labeling.features.encoding import open_features
from labeling.features.matrix import FeatureMatrix
from labeling.features.search import mapped, similarities
from labeling.learning.find import find_items, find_screen
from labeling.projects import create_project
from labeling.users import local_user
from labeling.workspace import Workspace, open_workspace
from tests.benchmarks import datasets
from tests.benchmarks.report import in_ms, print_table, scratch
from tests.features.beside import keep_word

ITEMS, WIDTH, CLUSTERS = 1_000_000, 512, 1000
AT_ONCE = 10_000  # rows made at once
SEARCHES = 40
NEIGHBOURS = 40
QUERIES = 1000
VERSION = "clip-bench"


def make(root: Path) -> tuple[Workspace, int, int]:
    """A workspace with a clustered pool, and words for each search: its project and its user."""
    workspace = open_workspace(root)
    me = local_user(workspace)
    project_id = create_project(workspace, me, "find", ["a", "b"])
    folder = workspace.features(project_id, VERSION)
    matrix = FeatureMatrix.create(folder, width=WIDTH, encoder="clip", version=VERSION)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLUSTERS, WIDTH)).astype(np.float32)
    for start in range(0, ITEMS, AT_ONCE):
        noise = rng.normal(size=(AT_ONCE, WIDTH)).astype(np.float32)
        matrix.append(centres[rng.integers(CLUSTERS, size=AT_ONCE)] + noise)
        rows = [
            {
                "project_id": project_id, "external_id": f"item-{row:07d}", "content_hash": uuid.UUID(int=row).hex,
                "text": f"Item {row}.", "row": row, "meta": {}, "answers": 0, "created": 0.0,
            }
            for row in range(start, start + AT_ONCE)
        ]  # fmt: skip
        with writing(workspace.engine) as session:
            session.connection().execute(insert(Item), rows)
    for number in range(SEARCHES):
        keep_word(matrix, words(number), centres[number].tolist())
    return workspace, project_id, me


def words(number: int) -> str:
    return f"what is in cluster {number}"


def bench_speed() -> None:
    """The product alone and the whole answers, one after the other, the matrix in the page cache."""
    with scratch() as root:
        workspace, project_id, me = make(root)
        matrix = open_features(workspace, project_id)
        assert matrix is not None and matrix.rows == ITEMS
        queries = np.random.default_rng(1).normal(size=(SEARCHES, WIDTH))
        first = timed(lambda number: similarities(mapped(matrix), queries[number]), 1)
        item_ids = [1 + ITEMS // SEARCHES * number for number in range(SEARCHES)]

        def screen(number: int) -> list[int]:
            found = find_screen(workspace, me, project_id, text=words(number), client="bench")
            return [claim.assignment_id for claim in found.claims]

        leased: list[int] = []
        runs = {
            "the product": timed(lambda number: similarities(mapped(matrix), queries[number])),
            "listed, by words": timed(lambda n: find_items(workspace, me, project_id, text=words(n))),
            "listed, by an item": timed(lambda n: find_items(workspace, me, project_id, item_id=item_ids[n])),
            "a screen leased, by words": timed(lambda n: leased.extend(screen(n))),
        }
        release(workspace, me, project_id, leased)
        table = {
            name: {"ms p50 / p95": in_ms(took), "of it on a processor": in_ms(worked)}
            for name, (took, worked) in {"the first product": first, **runs}.items()
        }
        print_table(f"Find on {ITEMS:,} x {WIDTH} float32, {SEARCHES} searches", table)
        own, most = memory()
        print(f"memory of its own: {own:.0f} MiB; resident at most, what is mapped among it: {most:.0f} MiB")
        workspace.engine.dispose()


def timed(search: Callable[[int], object], searches: int = SEARCHES) -> tuple[list[float], list[float]]:
    """Seconds that each took, and seconds of work in it: others may want the processors, too."""
    took, worked = [], []
    for number in range(searches):
        began, idle = time.perf_counter(), time.process_time()
        search(number)
        took.append(time.perf_counter() - began)
        worked.append(time.process_time() - idle)
    return took, worked


def memory() -> tuple[float, float]:
    """What is the process's own now, and the most that was resident, in MiB, where the system tells."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return float("nan"), float("nan")
    own, most = (int(status.split(f"{name}:")[1].split()[0]) / 1024 for name in ("RssAnon", "VmHWM"))
    return own, most


def bench_quality() -> None:
    """Of the nearest to an item, how many are of its class: rows as they are, and centred on the pool's mean."""
    runs: dict[str, dict[str, object]] = {}
    for name in datasets.NAMES:
        if why := datasets.missing(name):
            print(why)
            continue
        features, targets = datasets.load(name)
        centred = features - features.mean(axis=0)
        runs[name] = {"as they are": precision(features, targets), "centred": precision(centred, targets)}
    print_table(f"Of the {NEIGHBOURS} nearest to an item, % of its class, mean of {QUERIES} items", runs)


def precision(features: NDArray[np.float64], targets: NDArray[np.intp]) -> float:
    """In percent, without the item itself."""
    drawn = np.random.default_rng(0).choice(len(features), QUERIES, replace=False)
    right = []
    for row in drawn:
        found = similarities(features, features[row])
        found[row] = -np.inf
        right.append(np.mean(targets[np.argsort(-found)[:NEIGHBOURS]] == targets[row]))
    return 100 * float(np.mean(right))


def main(parts: list[str]) -> None:
    run = {"speed": bench_speed, "quality": bench_quality}
    for part in parts or list(run):
        run[part]()


if __name__ == "__main__":
    main(sys.argv[1:])
