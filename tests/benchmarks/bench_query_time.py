"""How long each strategy takes to rank a pool of 100,000 items, and how long the default head takes to learn.

Run as `python -m tests.benchmarks.bench_query_time`. The bar: the default under 0.5 s a query.
"""

import time
from datetime import date
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from labeling.features.prior import PoolPrior
from labeling.learning.choice import Choice, choose
from labeling.learning.head import fit_head
from strategies import Pool, available_strategies, get_strategy, select, variety
from tests.benchmarks.report import machine, print_table

RESULTS = Path(__file__).parent / "results"
ITEMS, WIDTH, CLASSES = 100_000, 512, 10
LABELS = (50, 200)
RUNS = 5


def synthetic_pool() -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) float32 in overlapping clouds with a falling spectrum, as embeddings have, and classes (n,)."""
    rng = np.random.default_rng(0)
    targets = rng.integers(CLASSES, size=ITEMS)
    spectrum = (np.arange(1, WIDTH + 1) ** -0.5).astype(np.float32)
    features = rng.standard_normal((ITEMS, WIDTH), dtype=np.float32) * spectrum
    features[:, :CLASSES] += 1.5 * np.eye(CLASSES, dtype=np.float32)[targets]
    return features, targets


def best_of(runs: int, call: object) -> float:
    """Seconds of the fastest of several calls: what the work takes where nothing else wants the machine."""
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        call()  # type: ignore[operator]
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def main() -> None:
    """Print the tables."""
    raw, truth = synthetic_pool()
    prior = PoolPrior.measured(raw)
    features = np.ascontiguousarray(prior.see(raw, 0.0))
    rows = np.random.default_rng(1).permutation(ITEMS)
    heads: dict[str, dict[str, object]] = {
        "shape of the pool, once a pool": {"s": best_of(1, lambda: PoolPrior.measured(raw))},
        "pool seen with another power": {"s": best_of(1, lambda: prior.see(raw, 1.5))},
    }
    queries: dict[str, dict[str, object]] = {name: {} for name in available_strategies()}
    for count in LABELS:
        labeled = rows[:count]
        targets, shown = truth[labeled], raw[labeled]

        def chosen(shown=shown, targets=targets) -> Choice:
            return choose(lambda power: prior.see(shown, power), targets, Choice())

        def fitted(labeled=labeled, targets=targets) -> object:
            return fit_head(features[labeled], targets, strength=10.0)

        with threadpool_limits(1):  # as the worker does
            choice = chosen()
            heads[f"p and C chosen, {count} labels"] = {"s": best_of(RUNS, chosen)}
            heads[f"fit, {count} labels"] = {"s": best_of(RUNS, fitted)}
        model = fit_head(features[labeled], targets, strength=choice.strength)
        pool = Pool(features, labeled, targets, np.sort(rows[count:]), CLASSES)
        for name in queries:
            strategy = get_strategy(name)

            def query(strategy=strategy, pool=pool, model=model) -> None:
                utilities = strategy.utilities(pool, model, np.random.default_rng(0))
                spread = variety(strategy, pool, model)
                select(utilities, pool.candidates, 10, np.random.default_rng(0), pool.features, spread)

            queries[name][f"{count} labels"] = best_of(RUNS, query)
    about = f"{ITEMS:,} x {features.shape[1]} float32, {CLASSES} classes; seconds, best of {RUNS}; {machine()}"
    lines = [f"# Query time, {date.today()}", "", about, ""]
    for title, runs in (("Learning", heads), ("A query: utilities and a varied batch of ten", queries)):
        print_table(title, _turned(runs))
        figures = list(next(iter(runs.values())))
        lines += [f"## {title}", "", f"| | {' | '.join(figures)} |", "|---" * (len(figures) + 1) + "|"]
        lines += [f"| {name} | {' | '.join(f'{run[f]:.2f}' for f in figures)} |" for name, run in runs.items()] + [""]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{date.today()}-query-time.md").write_text("\n".join(lines), encoding="utf-8")


def _turned(runs: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """The same figures with rows and columns exchanged, as there are many runs and few figures."""
    figures = list(dict.fromkeys(figure for run in runs.values() for figure in run))
    return {figure: {name: run[figure] for name, run in runs.items()} for figure in figures}


if __name__ == "__main__":
    main()
