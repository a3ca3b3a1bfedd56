"""How long each strategy takes to rank a pool of 100,000 items, and how long the default head takes to learn.

Run as `python -m tests.benchmarks.bench_query_time`. The bar: the default under 0.5 s a query.
"""

import time

import numpy as np

from labeling.features.prior import PoolPrior
from labeling.learning.choice import Choice, choose
from labeling.learning.head import fit_head
from strategies import Pool, available_strategies, get_strategy, phase, select, variety
from tests.benchmarks.report import print_table

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
        targets = truth[labeled]
        shown = raw[labeled]
        choice = choose(lambda power, shown=shown: prior.see(shown, power), targets, Choice())
        heads[f"p and C chosen, {count} labels"] = {
            "s": best_of(RUNS, lambda s=shown, t=targets: choose(lambda power: prior.see(s, power), t, Choice()))
        }
        heads[f"fit, {count} labels"] = {
            "s": best_of(RUNS, lambda t=targets, at=labeled: fit_head(features[at], t, strength=10.0))
        }
        model = fit_head(features[labeled], targets, strength=choice.strength)
        pool = Pool(features, labeled, targets, np.sort(rows[count:]), CLASSES)
        for name in queries:
            strategy = get_strategy(name)

            def query(strategy=strategy, pool=pool, model=model) -> None:
                utilities = strategy.utilities(pool, model, np.random.default_rng(0))
                spread = variety(strategy, pool, model)
                select(utilities, pool.candidates, 10, np.random.default_rng(0), pool.features, spread)

            queries[name][f"{count} labels"] = best_of(RUNS, query)
            if name == "adaptive":
                queries[name][f"phase at {count}"] = phase(strategy, pool, model)
            else:
                queries[name][f"phase at {count}"] = ""
    print(f"{ITEMS:,} x {features.shape[1]} float32, {CLASSES} classes; seconds, best of {RUNS}")
    print_table("learning", heads)
    print_table("a query: utilities and a varied batch of ten", queries)


if __name__ == "__main__":
    main()
