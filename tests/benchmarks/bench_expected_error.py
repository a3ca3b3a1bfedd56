"""Expected error without fitting again: as good as fitting again, and how much faster.

``python -m tests.benchmarks.bench_expected_error [--quick] [PART...]`` prints the tables and writes them, with the
plots, to ``tests/benchmarks/results/``. The parts are speed, growth, pool, fidelity and shortlist; all unless told.
"""

import json
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from strategies import Pool, get_strategy, score_in_blocks
from strategies.lookahead import LOSSES, Glance, LookAhead
from tests.benchmarks.datasets import NAMES, load, missing
from tests.benchmarks.refits import Head, against_scikit_learn, fit, true_reductions
from tests.benchmarks.report import machine

RESULTS = Path(__file__).parent / "results"
LABELS = (20, 60, 200)
# The exponent p of the pool's prior (see the features of the default head) and C.
HEADS = {"plain": (0.0, 10.0), "prior": (1.5, 30.0)}
DIGITS_HEADS = {"plain": (0.0, 10.0), "prior": (0.5, 10.0)}
BIG = (1_000_000, 512)
PATIENCE = 600.0  # seconds, beyond which the peer's time is extrapolated
TRIED = 50  # candidates that it is extrapolated from

Table = list[dict[str, object]]


@dataclass(frozen=True)
class Cell:
    """One data set, one kind of features, so many labels."""

    data: str
    features: str
    labels: int

    def draw(self, seed: int, candidates: int) -> tuple[Pool, Head]:
        """A pool with labels and candidates drawn at random, and the head fitted to the labels."""
        X, y = load(self.data)
        p, c = (DIGITS_HEADS if self.data == "digits" else HEADS)[self.features]
        X = X if self.features == "plain" else with_prior(X, p)
        rows = np.random.default_rng([seed, self.labels]).permutation(len(X))
        labeled, asked = rows[: self.labels], rows[self.labels : self.labels + candidates]
        return Pool(X, labeled, y[labeled], asked, len(np.unique(y))), fit(X[labeled], y[labeled], c)


def with_prior(X: NDArray[np.float64], p: float) -> NDArray[np.float64]:
    """Features (n, d) with the pool's covariance as the prior on the weights: normalise(diag(lambda)^(p/2) V' x)."""
    centred = X - X.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred / len(X))
    mapped = centred @ directions * np.maximum(variances, 0) ** (p / 2)
    return mapped / np.maximum(np.linalg.norm(mapped, axis=1, keepdims=True), 1e-12)


def cells() -> list[Cell]:
    return [Cell(d, f, n) for d in NAMES if not missing(d) for f in ("plain", "prior") for n in LABELS]


def agreement(found: NDArray[np.float64], truth: NDArray[np.float64]) -> tuple[float, float]:
    """Spearman's correlation, and the regret of the pick."""
    regret = (truth.max() - truth[found.argmax()]) / (truth.max() - truth.mean())
    return float(spearmanr(found, truth).statistic), float(regret)


def fidelity_of(cell: Cell, seed: int) -> dict[str, Any]:
    """How well one draw's 60 candidates are ordered, by what ships and by stage 2 alone; and what scikit-learn says."""
    with threadpool_limits(1):
        pool, head = cell.draw(seed, 60)
        X, L, y = np.asarray(pool.features), pool.labeled, pool.targets
        others = np.setdiff1d(np.arange(len(X)), L)
        truth = true_reductions(X[L], y, head, X[pool.candidates], X[others])
        look = LookAhead(X[L], np.ones(len(L)), head.coef, head.intercept, head.l2)
        found: dict[str, Any] = {"cell": cell, "seed": seed}
        for loss in LOSSES:
            ships = get_strategy("expected_error", loss=loss, shortlist=None)
            second = look.reductions(X[pool.candidates], X[others], LOSSES[loss])
            found[loss] = agreement(ships.utilities(pool, head, np.random.default_rng(seed)), truth[loss])
            found[f"{loss}, stage 2"] = agreement(second, truth[loss])
        if seed == 0 and cell.labels < 200:
            again = against_scikit_learn(X[L], y, head, X[pool.candidates[0]], X[others])
            found["off"] = max(abs(again[loss] - truth[loss][0]) / truth[loss].std() for loss in LOSSES)
        return found


def shortlist_of(cell: Cell, seed: int) -> dict[str, Any]:
    """Where the best of 1,000 candidates stands after a glance, and whether the shortlist of 100 has it.

    The best is found by true fits of the ten that the strategy finds best when it looks into all 1,000.
    """
    with threadpool_limits(1):
        pool, head = cell.draw(1000 + seed, 1000)
        X, L = np.asarray(pool.features), pool.labeled
        rng = np.random.default_rng(seed)
        others = rng.permutation(np.setdiff1d(np.arange(len(X)), L))
        glance = Glance(X[L], np.ones(len(L)), X[others[:2000]], head.coef, head.intercept, head.l2)
        first = glance(X[pool.candidates])
        found: dict[str, Any] = {"cell": cell, "seed": seed}
        for loss in LOSSES:
            whole = get_strategy("expected_error", loss=loss, shortlist=None, evaluation=len(others))
            top = np.argsort(-whole.utilities(pool, head, rng))[:10]
            truth = true_reductions(X[L], pool.targets, head, X[pool.candidates[top]], X[others])[loss]
            best = top[truth.argmax()]
            short = get_strategy("expected_error", loss=loss, shortlist=100).utilities(pool, head, rng)
            found[loss] = int((first > first[best]).sum()), int((short > short[best]).sum())
        return found


def in_parallel(work: Callable[[Cell, int], dict[str, Any]], seeds: int) -> list[dict[str, Any]]:
    """Every cell with every seed, one process a core."""
    tasks = [(cell, seed) for cell in cells() for seed in range(seeds)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, *zip(*tasks, strict=True)))


def bench_fidelity(seeds: int) -> Iterator[tuple[str, Table]]:
    runs = in_parallel(fidelity_of, seeds)
    table: Table = []
    for cell in cells():
        of_cell = [run for run in runs if run["cell"] == cell]
        for loss in LOSSES:
            (rho, regret), (rho2, regret2) = (
                np.mean([run[kind] for run in of_cell], axis=0) for kind in (loss, f"{loss}, stage 2")
            )
            table.append(
                {
                    "data": cell.data, "features": cell.features, "labels": cell.labels, "loss": loss,
                    "Spearman": rho, "regret": regret, "stage 2: Spearman": rho2, "stage 2: regret": regret2,
                }
            )  # fmt: skip
    figures = ("Spearman", "regret", "stage 2: Spearman", "stage 2: regret")
    values = {figure: np.array([row[figure] for row in table], dtype=float) for figure in figures}
    table.append({"data": "mean", **{figure: values[figure].mean() for figure in figures}})
    worst = (np.min, np.max, np.min, np.max)
    table.append({"data": "worst cell", **{f: pick(values[f]) for f, pick in zip(figures, worst, strict=True)}})
    off = max(run.get("off", 0.0) for run in runs)
    yield (
        f"Fidelity: 60 candidates, {seeds} seeds, against true fits (no entry of a gradient above 1e-8; where "
        f"compared, within {off:.0e} standard deviations of scikit-learn's at tol 1e-8), risk over all unlabeled rows",
        table,
    )


def bench_shortlist(seeds: int) -> Iterator[tuple[str, Table]]:
    runs = in_parallel(shortlist_of, seeds)
    table: Table = []
    for cell in cells():
        ranks = np.array([run[loss] for run in runs if run["cell"] == cell for loss in LOSSES])
        table.append(
            {
                "data": cell.data,
                "features": cell.features,
                "labels": cell.labels,
                **_shares(ranks),
                "trials": len(ranks),
            }
        )
    ranks = np.array([run[loss] for run in runs for loss in LOSSES])
    table.append({"data": "all", **_shares(ranks), "trials": len(ranks)})
    yield "The best of 1,000 candidates (share of trials; both losses)", table


def _shares(ranks: NDArray[np.intp]) -> dict[str, object]:
    glance, short = ranks.T
    return {
        "stage 1 has it in its top 100": float((glance < 100).mean()),
        "in its top 300": float((glance < 300).mean()),
        "shortlist of 100 has it": float((short < 100).mean()),
        "picked": float((short == 0).mean()),
    }


def questions(candidates: int, rows: int, labels: int = 60) -> tuple[Pool, Head]:
    """TREC cut to the labels and the rows that the risk is over: the candidates are the first of these."""
    X, y = load("trec")
    shuffled = np.random.default_rng(0).permutation(len(X))
    first = [shuffled[y[shuffled] == c][0] for c in range(6)]
    shuffled = np.concatenate([first, shuffled[~np.isin(shuffled, first)]])
    kept = shuffled[: labels + max(candidates, rows)]
    pool = Pool(X[kept], np.arange(labels), y[kept[:labels]], labels + np.arange(candidates), 6)
    return pool, fit(X[kept[:labels]], y[kept[:labels]], 10.0, tol=1e-4)


def timed(work: Callable[[], object], times: int = 5) -> float:
    """Median seconds, the first run left out; with one BLAS thread or one a core, whichever is faster.

    On a busy machine, threads that wait for each other can take many times as long as one does alone.
    """
    medians = []
    for threads in (1, os.cpu_count() or 1):
        with threadpool_limits(threads):
            seconds = []
            for _ in range(times + 1):
                began = time.perf_counter()
                work()
                seconds.append(time.perf_counter() - began)
            medians.append(float(np.median(seconds[1:])))
    return min(medians)


def ours(pool: Pool, head: Head, **options: Any) -> float:
    strategy = get_strategy("expected_error", **options)
    return timed(lambda: strategy.utilities(pool, head, np.random.default_rng(0)), 3)


def theirs(pool: Pool, head: Head, candidates: int, loss: str) -> float:
    """Seconds of scikit-activeml's MonteCarloEER, on the same rows with the same head."""
    from skactiveml.classifier import SklearnClassifier
    from skactiveml.pool import MonteCarloEER
    from sklearn.linear_model import LogisticRegression

    X = np.asarray(pool.features)
    y = np.full(len(X), np.nan)
    y[pool.labeled] = pool.targets
    head_again = SklearnClassifier(LogisticRegression(C=1 / head.l2, max_iter=1000), classes=range(pool.n_classes))
    query = MonteCarloEER(method={"log": "log_loss", "zero_one": "misclassification_loss"}[loss])
    others = np.setdiff1d(np.arange(len(X)), pool.labeled)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        query.query(
            X, y, head_again, ignore_partial_fit=True, candidates=pool.candidates[:candidates], X_eval=X[others]
        )
    return time.perf_counter() - began


def bench_speed(quick: bool) -> Iterator[tuple[str, Table]]:
    table: Table = []
    for size, loss in ((200, "log"), (200, "zero_one"), (1000, "log"), (1000, "zero_one")):
        if quick and size > 200:
            continue
        pool, head = questions(size, size)
        # They, too, get the number of threads that serves them better.
        estimates = {}
        for threads in (1, os.cpu_count() or 1):
            with threadpool_limits(threads):
                estimates[threads] = theirs(pool, head, 5, loss) / 5 * size
        threads = min(estimates, key=estimates.__getitem__)
        whole = estimates[threads] < PATIENCE and not quick and not (size > 200 and loss == "zero_one")
        with threadpool_limits(threads):
            seconds = theirs(pool, head, size, loss) if whole else theirs(pool, head, TRIED, loss) / TRIED * size
        peer = f"{seconds:.1f}" if whole else f"{seconds:.1f} (extrapolated from {TRIED} candidates)"
        row: dict[str, object] = {"candidates x rows": f"{size} x {size}", "loss": loss, "MonteCarloEER s": peer}
        for name, options in (("default", {}), ("all to the end", {"shortlist": None, "evaluation": size})):
            mine = ours(pool, head, loss=loss, **options)
            row |= {f"{name} s": mine, f"{name}: times faster": round(seconds / mine)}
        table.append(row)
    yield (
        "Beside scikit-activeml's MonteCarloEER: TREC, 384 features, 6 classes, 60 labels, logistic regression with "
        "C = 10; the pool is the labels and the rows that the risk is over, all of them candidates; each side "
        "with one BLAS thread or one a core, whichever is faster",
        table,
    )


def bench_growth(quick: bool) -> Iterator[tuple[str, Table]]:
    """Time against candidates, evaluation rows and classes, with a plot of each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sizes = (50, 200) if quick else (50, 100, 200, 500, 1000, 2000, 5000)
    classes = (2, 10) if quick else (2, 5, 10, 20, 50, 100)
    growth: dict[str, dict[int, dict[str, float]]] = {"candidates": {}, "evaluation rows": {}, "classes": {}}
    both = (("default", {}), ("all to the end", {"shortlist": None}))
    for size in sizes:
        pool, head = questions(size, 1000)
        growth["candidates"][size] = {
            n: ours(pool, head, evaluation=1000, **o) for n, o in both if size <= 2000 or not o
        }
        pool, head = questions(200, size)
        growth["evaluation rows"][size] = {n: ours(pool, head, evaluation=size, **o) for n, o in both}
    for k in classes:
        pool, head = blobs(k)
        growth["classes"][k] = {n: ours(pool, head, evaluation=1000, **o) for n, o in both}
    fixed = {
        "candidates": "1,000 rows",
        "evaluation rows": "200 candidates",
        "classes": "200 candidates, 1,000 rows, 200 labels",
    }
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained", sharey=True)
    table: Table = []
    for axis, (what, points) in zip(axes, growth.items(), strict=True):
        for name, _ in both:
            line = {x: seconds[name] for x, seconds in points.items() if name in seconds}
            axis.loglog(list(line), list(line.values()), "o-", label=name)
        axis.set(xlabel=f"{what} ({fixed[what]})", title=f"time against {what}")
        axis.grid(alpha=0.3)
        table += [
            {"what": what, "how many": x, **{f"{n} s": s for n, s in seconds.items()}} for x, seconds in points.items()
        ]
    axes[0].set_ylabel("seconds")
    axes[0].legend()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{date.today()}-expected-error-time.png"
    figure.savefig(path, dpi=120)
    plt.close(figure)
    yield f"Time, TREC with 60 labels (classes: blobs in 384 dimensions); see {path.name}", table


def blobs(k: int) -> tuple[Pool, Head]:
    """1,200 rows around k centres in 384 dimensions, 200 labels with all classes among them."""
    rng = np.random.default_rng(k)
    y = np.concatenate([np.arange(k), rng.integers(k, size=1200 - k)])
    X = rng.normal(size=(k, 384))[y] + 2 * rng.normal(size=(1200, 384))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    head = fit(X[:200], y[:200], 10.0, tol=1e-4)
    if k == 2:  # scikit-learn's one row w is the softmax of -w / 2 and w / 2
        coef, intercept = np.vstack([-head.coef, head.coef]) / 2, np.r_[-head.intercept, head.intercept] / 2
        head = Head(head.classes, coef, intercept, 2 * head.l2)
    return Pool(X, np.arange(200), y[:200], 200 + np.arange(200), k), head


def bench_whole_pool(quick: bool) -> Iterator[tuple[str, Table]]:
    """Ranking of a large pool, each in a process of its own whose peak memory tells what it took."""
    shape = (100_000, 512) if quick else BIG
    table: Table = []
    with TemporaryDirectory(prefix="askwise-bench-") as folder:
        path = Path(folder) / "features.npy"
        matrix = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        rng = np.random.default_rng(0)
        centres = rng.normal(size=(10, shape[1])).astype(np.float32)
        for start in range(0, shape[0], 50_000):
            rows = matrix[start : start + 50_000]
            rows[:] = rng.standard_normal(rows.shape, dtype=np.float32) + centres[rng.integers(10, size=len(rows))]
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        matrix.flush()
        del matrix
        for kept in ("memory", "mapped"):
            for task in ("margin", "stage 1", "expected_error"):
                command = [sys.executable, "-m", __spec__.name, "--whole-pool", str(path), kept, task]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                table.append({"matrix": kept, "what": task, **json.loads(told.splitlines()[-1])})
    size = 4 * shape[0] * shape[1] / 2**20
    yield f"Whole pool: {shape[0]:,} x {shape[1]} float32 ({size:.0f} MiB), 10 classes, 200 labels", table


def whole_pool(path: str, kept: str, task: str) -> None:
    """One process of `bench_whole_pool`: prints its figures as JSON. Reads its peak memory where Linux keeps it."""
    X = np.load(path, mmap_mode="r" if kept == "mapped" else None)
    rng = np.random.default_rng(0)
    labeled = rng.choice(len(X), 200, replace=False)
    known = np.asarray(X[labeled], dtype=np.float64)
    targets = np.concatenate([np.arange(10), rng.integers(10, size=190)])
    head = fit(known, targets, 10.0, tol=1e-4)
    pool = Pool(X, labeled, targets, np.setdiff1d(np.arange(len(X)), labeled), 10)

    def read() -> None:
        for start in range(0, len(X), 8192):
            X[start : start + 8192].sum()

    def work() -> None:
        if task == "stage 1":
            seen = np.asarray(X[np.sort(rng.choice(len(X), 2000, replace=False))])
            glance = Glance(known, np.ones(200), seen, head.coef, head.intercept, head.l2)
            score_in_blocks(glance, pool, pool.candidates, glance.width)
        else:
            get_strategy(task).utilities(pool, head, np.random.default_rng(0))

    seconds, reading = timed(work, 2), timed(read, 2)
    status = Path("/proc/self/status").read_text().splitlines()
    peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024
    beyond = peak - X.nbytes / 2**20
    print(
        json.dumps(
            {"s": seconds, "reading once s": reading, "peak MiB": round(peak), "beyond the matrix MiB": round(beyond)}
        )
    )


def about() -> str:
    """The machine and the versions, in one line."""
    names = ("numpy", "scipy", "scikit-learn", "scikit-activeml")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"no {name}")
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor)
    return f"{processor}, {machine()}; Python {platform.python_version()}, {', '.join(versions)}"


def as_markdown(title: str, table: Table) -> str:
    """A table, its title above; floats to three digits."""
    columns = list(dict.fromkeys(column for row in table for column in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(column, "")) for column in columns] for row in table)]
    return f"## {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3f}" if abs(value) >= 0.001 else f"{value:.1g}"
    return str(value)


def main(quick: bool, only: list[str]) -> None:
    parts: dict[str, Callable[[], Iterator[tuple[str, Table]]]] = {
        "speed": lambda: bench_speed(quick),
        "growth": lambda: bench_growth(quick),
        "pool": lambda: bench_whole_pool(quick),
        "fidelity": lambda: bench_fidelity(1 if quick else 10),
        "shortlist": lambda: bench_shortlist(1 if quick else 3),
    }
    chosen = only or list(parts)
    RESULTS.mkdir(exist_ok=True)
    path = (
        RESULTS / f"{date.today()}-expected-error{'-quick' if quick else ''}{''.join(f'-{name}' for name in only)}.md"
    )
    written = [f"# Expected error without fitting again, {date.today()}\n", f"{about()}\n"]
    written += [f"{why}\n" for name in NAMES if (why := missing(name))]
    print("\n".join(written))
    for name in chosen:
        if name in ("speed", "growth") and missing("trec"):
            continue
        for title, table in parts[name]():
            written.append(as_markdown(f"{title} ({machine()})", table))
            print(written[-1], flush=True)
            path.write_text("\n".join(written))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--whole-pool"]:
        whole_pool(*sys.argv[2:5])
    else:
        main("--quick" in sys.argv[1:], [name for name in sys.argv[1:] if not name.startswith("--")])
