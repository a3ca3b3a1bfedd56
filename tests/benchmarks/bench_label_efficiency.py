"""Labels against accuracy: every strategy of ours on the default head, beside scikit-activeml's on logistic regression.

Batches of 10 from the first label on to 200, on digits, AG News and TREC; 2,000 rows of the texts and a third of the
digits are held out, others in every seed. Plain logistic regression is scikit-learn's with C = 30: its own default of 1
is far too little for embeddings of length 1.

python -m tests.benchmarks.bench_label_efficiency                     all of it: an hour or two on 2 cores
python -m tests.benchmarks.bench_label_efficiency --quick             digits, 2 seeds, fewer strategies
python -m tests.benchmarks.bench_label_efficiency --cache DIR --anew  theirs from DIR where they are there, ours anew
"""

import argparse
import os
import platform
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from labeling.learning import curves as summaries
from labeling.learning.learner import Learner
from labeling.learning.simulation import default_test_size, hold_out, simulate
from strategies import available_strategies
from tests.benchmarks.datasets import NAMES, load, missing
from tests.benchmarks.peers import PEERS, Peer

RESULTS = Path(__file__).parent / "results"
SEEDS, BUDGET, BATCH = 20, 200, 10
LATE = 1000  # labels at which nothing may have been lost
PLAIN = LogisticRegression(C=30, max_iter=2000)
PLAIN_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
SHIPPED, CONTROL = "adaptive", "random, plain"
PACKAGES = ("numpy", "scipy", "scikit-learn", "scikit-activeml")
# Of the shipped: mean accuracy over the curve (digits: above the control), and labels to the control's at 200.
BARS = {"digits": (4.0, 110), "agnews": (83.5, 65), "trec": (64.5, 140)}


class Row(NamedTuple):
    """A line of the table: its name, whose strategy it is, and the head."""

    name: str
    strategy: str
    head: str

    def file(self, data: str, seed: int) -> str:
        """Where its replay is kept."""
        return f"{data}-{self.strategy}-{self.head}-{seed}.csv"


OURS = [Row(name, name, "default") for name in sorted(available_strategies(), key=lambda n: (n != SHIPPED, n))]
PLAIN_RANDOM = Row(CONTROL, "random", "logistic")
THEIRS = [Row(name, name, "logistic") for name in PEERS]


def split(data: str, seed: int) -> tuple[NDArray[np.floating], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Features, classes, rows of the pool, rows held out."""
    features, targets = load(data)
    size = default_test_size(len(targets)) if data == "digits" else 2000
    return features, targets, *hold_out(targets, size, seed)


def replay(data: str, row: Row, seed: int, kept: Path | None) -> pd.DataFrame:
    """One replay, from its file where it is kept already."""
    path = kept / row.file(data, seed) if kept is not None else None
    if path is not None and path.exists():
        curve = pd.read_csv(path)
    else:
        features, targets, pool, test = split(data, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            curve = simulate(
                features[pool], targets[pool], test_features=features[test], test_targets=targets[test],
                strategy=Peer(row.strategy, PLAIN, BATCH) if row.strategy in PEERS else row.strategy,
                head="default" if row.head == "default" else PLAIN, budget=BUDGET, batch_size=BATCH, seed=seed,
            )  # fmt: skip
        if path is not None:
            curve.to_csv(path.with_suffix(".partial"), index=False)
            path.with_suffix(".partial").replace(path)
    return curve[["labels", "accuracy", "seconds"]].assign(data=data, strategy=row.name, seed=seed)


def late(data: str, seed: int) -> pd.DataFrame:
    """Accuracy at 1,000 random labels of the default head and of plain heads of several strengths."""
    features, targets, pool, test = split(data, seed)
    chosen = np.random.default_rng(seed).permutation(len(pool))[:LATE]
    heads = {"default": "default", **{f"C = {c:g}": LogisticRegression(C=c, max_iter=2000) for c in PLAIN_STRENGTHS}}
    rows = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, head in heads.items():
            learner = Learner(features[pool], head=head, seed=seed)
            model = learner.learn(chosen, targets[pool][chosen]).model
            assert model is not None
            guess = np.asarray(model.classes)[model.predict_proba(learner.see(features[test])).argmax(axis=1)]
            rows.append((data, name, seed, float(np.mean(guess == targets[test]))))
    return pd.DataFrame(rows, columns=["data", "strategy", "seed", "accuracy"])


def worked_off(tasks: list[object], title: str) -> pd.DataFrame:
    """Run tasks in parallel processes, telling how far they are."""
    began, done = time.perf_counter(), []
    for found in Parallel(os.cpu_count(), return_as="generator_unordered", batch_size=1)(tasks):
        done.append(found)
        spent = time.perf_counter() - began
        if len(done) % max(1, len(tasks) // 20) == 0:
            print(f"{title}: {len(done)} of {len(tasks)}, {spent:.0f} s", flush=True)
    return pd.concat(done, ignore_index=True)


def table(curves: pd.DataFrame, order: list[str]) -> Iterator[str]:
    """The table of one set, in Markdown."""
    target = curves[(curves["strategy"] == CONTROL) & (curves["labels"] == BUDGET)]["accuracy"].mean()
    summary = summaries.summary(curves, target).set_index("strategy")
    reference = SHIPPED if SHIPPED in summary.index else summary.index[0]
    paired = summaries.differences(curves, reference).set_index("strategy")
    columns = [
        "mean over the curve",
        "95 %",
        f"{reference} less this",
        "95 %",
        f"labels to {target:.1%}",
        f"at {BUDGET}",
    ]
    yield f"| | {' | '.join(columns)} | s/round |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in (name for name in order if name in summary.index):
        row = summary.loc[name]
        less = ("", "")
        if name in paired.index:
            low, high = -paired.loc[name, "high"], -paired.loc[name, "low"]
            less = f"{-100 * paired.loc[name, 'difference']:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"
        labels = row["labels_to_target"]
        reached = "–" if np.isnan(labels) else f"{np.ceil(labels):.0f}"
        yield (
            f"| {name} | {100 * row['accuracy']:.1f} | {100 * row['low']:.1f} to {100 * row['high']:.1f} | {less[0]} | "
            f"{less[1]} | {reached} | {100 * row['final']:.1f} | {row['seconds']:.2f} |"
        )


def verdict(data: str, curves: pd.DataFrame) -> str:
    """Whether what ships reaches its bars on a set."""
    if not {SHIPPED, CONTROL} <= set(curves["strategy"]):
        return ""
    target = curves[(curves["strategy"] == CONTROL) & (curves["labels"] == BUDGET)]["accuracy"].mean()
    summary = summaries.summary(curves, target).set_index("strategy")
    mean_bar, labels_bar = BARS[data]
    mean = 100 * summary.loc[SHIPPED, "accuracy"]
    if data == "digits":
        mean_bar += 100 * summary.loc[CONTROL, "accuracy"]
    labels = summary.loc[SHIPPED, "labels_to_target"]
    return (
        f"{SHIPPED}: {mean:.1f} (bar {mean_bar:.1f}: {'reached' if mean >= mean_bar else 'not reached'}); "
        f"{labels:.0f} labels (bar {labels_bar}: {'reached' if labels <= labels_bar else 'not reached'})"
    )


def late_table(found: pd.DataFrame) -> Iterator[str]:
    """The default head at 1,000 labels beside the best plain one, in Markdown."""
    yield f"| | default head at {LATE:,} random labels | best plain head | default less best | 95 % |"
    yield "|---|---|---|---|---|"
    for data, own in found.groupby("data", sort=False):
        means = own.groupby("strategy")["accuracy"].mean()
        best = str(means.drop("default").idxmax())
        pairs = own.pivot(index="seed", columns="strategy", values="accuracy")
        mean, low, high = summaries.t_interval(100 * (pairs["default"] - pairs[best]))
        yield (
            f"| {data} | {100 * means['default']:.1f} | {100 * means[best]:.1f} ({best}) | {mean:+.2f} | "
            f"{low:+.2f} to {high:+.2f} |"
        )


def plot(curves: pd.DataFrame, order: list[str], path: Path) -> None:
    """The mean curves of each set, with bands for what ships and for the control."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sets = list(dict.fromkeys(curves["data"]))
    figure, axes = pyplot.subplots(1, len(sets), figsize=(6 * len(sets), 5), squeeze=False, layout="constrained")
    theirs = {row.name for row in THEIRS}
    for axis, data in zip(axes[0], sets, strict=True):
        means = summaries.mean_curves(curves[curves["data"] == data])
        for place, name in enumerate(name for name in order if name in set(means["strategy"])):
            own, bold = means[means["strategy"] == name], name in (SHIPPED, CONTROL)
            (line,) = axis.plot(
                own["labels"], 100 * own["accuracy"], label=name, color=f"C{place % 10}" if not bold else None,
                linewidth=2.5 if bold else 1, linestyle="--" if name in theirs else "-", zorder=3 if bold else 2,
            )  # fmt: skip
            if bold:
                axis.fill_between(
                    own["labels"], 100 * own["low"], 100 * own["high"], color=line.get_color(), alpha=0.2, linewidth=0
                )
        axis.set(title=data, xlabel="labels", ylabel="accuracy, %")
        axis.grid(alpha=0.3)
    axes[0][-1].legend(fontsize=7, ncols=2)
    figure.savefig(path, dpi=120)


def machine() -> str:
    """What this was measured with."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    names = [line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")]
    where = f"{platform.system()} {platform.machine()}, {names[0] if names else platform.processor()}"
    return f"{where}, {os.cpu_count()} cores; Python {platform.python_version()}, {packages}"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--sets", default=",".join(NAMES), help="separated by commas")
    parser.add_argument("--strategies", default="", help="rows of the table, separated by commas; all unless told")
    parser.add_argument("--cache", type=Path, help="a folder in which every replay is kept, and looked for")
    parser.add_argument("--anew", action="store_true", help="run ours again even where the cache has them")
    parser.add_argument("--quick", action="store_true", help="digits, 2 seeds, some strategies; writes nothing")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    rows = [*OURS, PLAIN_RANDOM, *THEIRS]
    if asked.quick:
        asked.seeds, asked.sets = 2, "digits"
        rows = [row for row in rows if row.name in (SHIPPED, "margin", CONTROL, "UncertaintySampling", "TypiClust")]
    if asked.strategies:
        wanted = [name.strip() for name in asked.strategies.split(",")]
        rows = [row for row in rows if row.name in wanted or row is PLAIN_RANDOM]
    sets = [name for name in asked.sets.split(",") if (why := missing(name)) is None or print(why)]
    if asked.cache is not None:
        asked.cache.mkdir(parents=True, exist_ok=True)
        for row, data, seed in product(OURS if asked.anew else [], sets, range(asked.seeds)):
            if row in rows:
                (asked.cache / row.file(data, seed)).unlink(missing_ok=True)
    tasks = [
        delayed(replay)(data, row, seed, asked.cache) for seed, data, row in product(range(asked.seeds), sets, rows)
    ]
    curves = worked_off(tasks, "replays")
    lates = worked_off([delayed(late)(data, seed) for data, seed in product(sets, range(asked.seeds))], "late")
    order = [row.name for row in rows]
    report = [f"# Label efficiency, {time.strftime('%Y-%m-%d')}", "", machine(), ""]
    report += [
        f"{asked.seeds} seeds, batches of {BATCH}; {CONTROL}: scikit-learn's logistic regression, C = 30, which all of "
        "scikit-activeml's have too. Accuracies in percent, differences in points, in pairs of the same seed.", "",
    ]  # fmt: skip
    for data in sets:
        own = curves[curves["data"] == data]
        report += [f"## {data}", "", *table(own, order), "", verdict(data, own), ""]
    report += [f"## {LATE:,} labels", "", *late_table(lates), ""]
    text = "\n".join(report)
    print(text)
    if not asked.quick:
        RESULTS.mkdir(exist_ok=True)
        stem = RESULTS / f"{time.strftime('%Y-%m-%d')}-label-efficiency"
        stem.with_suffix(".md").write_text(text, encoding="utf-8")
        means = [summaries.mean_curves(curves[curves["data"] == data]).assign(data=data) for data in sets]
        pd.concat(means).round(5).to_csv(stem.with_suffix(".csv"), index=False)
        plot(curves, order, stem.with_suffix(".png"))
        print(f"written: {stem}.md, .csv, .png")


if __name__ == "__main__":
    main()
