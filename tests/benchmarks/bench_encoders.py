"""Accuracy of the default head on each encoder's features, by the number of random labels; and how long encoding takes.

Each of six draws holds out other items (2,000, or half of a small set), which neither the encoder nor the head sees
before they are judged. Times are for encoding every item, learning from them included; `user + sys` is what the
processor spent on it, which a busy machine changes less than the clock.

python -m tests.benchmarks.bench_encoders                 all of it: half an hour on 2 cores
python -m tests.benchmarks.bench_encoders --cache DIR     draws from DIR where they are there
python -m tests.benchmarks.bench_encoders --quick         the small sets, 2 draws; writes nothing
"""

import argparse
import csv
import gzip
import json
import os
import resource
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from PIL import Image
from sklearn import datasets
from threadpoolctl import threadpool_limits

from labeling.features.base import Content, Encoder
from labeling.features.encoding import ENCODERS
from labeling.learning.curves import t_interval
from labeling.learning.learner import Learner
from tests.benchmarks.bench_label_efficiency import machine
from tests.benchmarks.datasets import DATA

RESULTS = Path(__file__).parent / "results"
LABELS = (20, 50, 200, 1000)
DRAWS = 6
HELD_OUT = 2000
# Of the mean accuracy in percent, by labels; and seconds for all of them.
BARS = {("cifar10h", "patches"): ({200: 40.0, 1000: 52.0}, 20.0)}


@dataclass(frozen=True)
class Pool:
    """Items, the class of each (n,), and features that come along with them (n, d), if any."""

    items: Sequence[Content]
    targets: NDArray[np.intp]
    brought: NDArray[np.float32] | None = None


def cifar10h() -> Pool:
    """6,000 photographs of 32 by 32 pixels, 10 classes."""
    with zipfile.ZipFile(DATA / "cifar10h.zip") as archive:
        with TextIOWrapper(archive.open("human_counts.csv"), encoding="utf-8") as table:
            rows = list(csv.reader(table))[1:]
        items = [Content(image=archive.read(f"images/{row[0]}")) for row in rows]
    return Pool(items, classes([row[1] for row in rows]))


def digits() -> Pool:
    """1,797 handwritten digits of 8 by 8 pixels."""
    loaded = datasets.load_digits()
    items = []
    for image in np.rint(loaded.images * (255 / 16)).astype(np.uint8):
        out = BytesIO()
        Image.fromarray(image).save(out, "PNG")
        items.append(Content(image=out.getvalue()))
    return Pool(items, classes(loaded.target))


def texts(name: str) -> Pool:
    """Texts of `shared/data`, with embeddings of all-MiniLM-L6-v2."""
    with gzip.open(DATA / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    with np.load(DATA / f"{name}_minilm.npz") as archive:
        brought = archive[archive.files[0]].astype(np.float32)
    return Pool([Content(text=row["text"]) for row in rows], classes([row["label"] for row in rows]), brought)


def table(frame: pd.DataFrame, targets: object) -> Pool:
    """Rows of a table as items, as JSON would hold them."""
    rows = json.loads(frame.to_json(orient="records"))
    return Pool([Content(fields=row) for row in rows], classes(targets))


def wine() -> Pool:
    """178 wines, 13 numbers each, 3 classes."""
    loaded = datasets.load_wine(as_frame=True)
    return table(loaded.data, loaded.target)


def breast_cancer() -> Pool:
    """569 tumours, 30 numbers each, 2 classes."""
    loaded = datasets.load_breast_cancer(as_frame=True)
    return table(loaded.data, loaded.target)


def mixed() -> Pool:
    """4,000 made-up rows: plain and long-tailed numbers, choices, truth values, gaps; 4 classes."""
    rng = np.random.default_rng(0)
    numbers, targets = datasets.make_classification(
        4000, 14, n_informative=9, n_redundant=2, n_classes=4, n_clusters_per_class=2, class_sep=1.2, random_state=0
    )
    frame = pd.DataFrame(numbers, columns=[f"x{i}" for i in range(14)])
    for name in ("x0", "x1", "x2", "x3"):
        frame[name] = np.exp(frame[name])
    for name, bins in (("x4", 5), ("x5", 12)):
        frame[name] = pd.qcut(frame[name], bins, labels=[f"kind {i}" for i in range(bins)]).astype(str)
    frame["x6"] = frame["x6"] > 0
    frame["row"] = [f"r-{i}" for i in range(len(frame))]
    for name in ("x7", "x4"):
        frame[name] = frame[name].mask(rng.random(len(frame)) < 0.15)
    return table(frame, targets)


def classes(names: object) -> NDArray[np.intp]:
    """Class indices of class names (n,)."""
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.intp)


POOLS: dict[str, Callable[[], Pool]] = {
    "cifar10h": cifar10h, "digits": digits, "agnews": lambda: texts("agnews"), "trec": lambda: texts("trec"),
    "wine": wine, "breast_cancer": breast_cancer, "mixed": mixed,
}  # fmt: skip
FILES = {
    "cifar10h": ["cifar10h.zip"], "agnews": ["agnews.csv.gz", "agnews_minilm.npz"],
    "trec": ["trec.csv.gz", "trec_minilm.npz"],
}  # fmt: skip
ROWS = [
    *product(("cifar10h", "digits"), ("patches", "hog", "pixels")),
    *product(("agnews", "trec"), ("tfidf", "brought")),
    *product(("wine", "breast_cancer", "mixed"), ("table",)),
]
SMALL = ("digits", "wine", "breast_cancer")


def fitted(encoder: type[Encoder], items: Sequence[Content], seed: int) -> Encoder:
    """An encoder fitted to as many of the items as it learns from."""
    chosen = np.random.default_rng(seed).permutation(len(items))[: encoder.sample or 256]
    with threadpool_limits(1):  # as the product does
        return encoder.fit([items[i] for i in np.sort(chosen)])


def draw(data: str, name: str, seed: int, kept: Path | None) -> pd.DataFrame:
    """Accuracy on held-out items by the number of labels, from its file where it is kept already."""
    path = kept / f"{data}-{name}-{seed}.csv" if kept is not None else None
    if path is not None and path.exists():
        return pd.read_csv(path)
    pool = POOLS[data]()
    order = np.random.default_rng(seed).permutation(len(pool.targets))
    held = min(HELD_OUT, len(order) // 2)
    test, train = order[:held], order[held:]
    rows = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "brought":
            assert pool.brought is not None
            features = pool.brought
        else:
            features = all_of(fitted(ENCODERS[name], [pool.items[i] for i in train], seed), pool.items)
        for labels in (n for n in LABELS if n <= len(train)):
            learner = Learner(features[train], seed=seed)
            model = learner.learn(np.arange(labels), pool.targets[train[:labels]]).model
            assert model is not None
            guess = np.asarray(model.classes)[model.predict_proba(learner.see(features[test])).argmax(axis=1)]
            right = float(np.mean(guess == pool.targets[test]))
            rows.append((data, name, seed, labels, right, learner.choice.power))
    found = pd.DataFrame(rows, columns=["data", "encoder", "seed", "labels", "accuracy", "power"])
    if path is not None:
        found.to_csv(path.with_suffix(".partial"), index=False)
        path.with_suffix(".partial").replace(path)
    return found


def all_of(encoder: Encoder, items: Sequence[Content]) -> NDArray[np.float32]:
    """Vectors of all items, made in chunks as the product does."""
    starts = range(0, len(items), encoder.chunk)
    return np.concatenate([encoder.encode(items[start : start + encoder.chunk]) for start in starts])


def seconds(data: str, name: str) -> tuple[float, float]:
    """Wall clock and processor time of learning from a pool and encoding all of it."""
    pool = POOLS[data]()
    ENCODERS[name].fit(pool.items[:64])  # what is imported when used is imported now
    wall, used = time.perf_counter(), processor()
    all_of(fitted(ENCODERS[name], pool.items, 0), pool.items)
    return time.perf_counter() - wall, processor() - used


def processor() -> float:
    """User and system time of this process, in seconds."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime


def lines(found: pd.DataFrame, times: dict[tuple[str, str], tuple[float, float]]) -> Iterator[str]:
    """The table, in Markdown."""
    yield f"| | encoder | {' | '.join(f'{n:,} labels' for n in LABELS)} | power | items | seconds | user + sys |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for (data, name), own in found.groupby(["data", "encoder"], sort=False):
        cells = []
        for labels in LABELS:
            accuracies = 100 * own[own["labels"] == labels]["accuracy"]
            if accuracies.empty:
                cells.append("–")
                continue
            mean, low, high = t_interval(accuracies)
            cells.append(f"{mean:.1f} ± {(high - low) / 2:.1f}")
        powers = own.groupby("labels")["power"].median()
        wall, used = times.get((str(data), str(name)), (np.nan, np.nan))
        clock, spent = ("–" if np.isnan(taken) else f"{taken:.2g}" for taken in (wall, used))
        yield (
            f"| {data} | {name} | {' | '.join(cells)} | {', '.join(f'{p:g}' for p in powers)} | "
            f"{len(POOLS[str(data)]().items):,} | {clock} | {spent} |"
        )


def verdicts(found: pd.DataFrame, times: dict[tuple[str, str], tuple[float, float]]) -> Iterator[str]:
    """Whether the bars are reached."""
    for (data, name), (accuracies, most) in BARS.items():
        if data not in set(found["data"]):
            continue
        own = found[(found["data"] == data) & (found["encoder"] == name)]
        for labels, bar in accuracies.items():
            mean = 100 * own[own["labels"] == labels]["accuracy"].mean()
            word = "reached" if mean >= bar else "not reached"
            yield f"{data}, {name}, {labels:,} labels: {mean:.1f} % (bar {bar:g} %: {word})."
        if (data, name) in times:
            wall, used = times[data, name]
            word = "reached" if wall <= most else "not reached"
            yield f"{data}, {name}: {wall:.1f} s, {used:.1f} s of the processor (bar {most:g} s: {word})."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--sets", default=",".join(POOLS), help="separated by commas")
    parser.add_argument("--cache", type=Path, help="a folder in which every draw is kept, and looked for")
    parser.add_argument("--quick", action="store_true", help="the small sets, 2 draws; writes nothing")
    asked = parser.parse_args()
    sets = SMALL if asked.quick else asked.sets.split(",")
    absent = {name: [file for file in FILES.get(name, []) if not (DATA / file).is_file()] for name in sets}
    for name, files in absent.items():
        if files:
            print(f"{name} is left out: {DATA} has no {' and no '.join(files)}")
    rows = [(data, name) for data, name in ROWS if data in sets and not absent[data]]
    if asked.cache is not None:
        asked.cache.mkdir(parents=True, exist_ok=True)
    times = {row: seconds(*row) for row in rows if row[1] != "brought"}
    draws = range(2 if asked.quick else asked.draws)
    tasks = [delayed(draw)(data, name, seed, asked.cache) for (data, name), seed in product(rows, draws)]
    found = []
    for done, result in enumerate(Parallel(os.cpu_count(), return_as="generator", batch_size=1)(tasks), start=1):
        found.append(result)
        if done % 6 == 0:
            print(f"{done} of {len(tasks)} draws", flush=True)
    together = pd.concat(found, ignore_index=True)
    report = [
        f"# Encoders, {time.strftime('%Y-%m-%d')}", "", machine(), "",
        f"Accuracy in percent on held-out items, mean of {len(draws)} draws with its 95 % interval; default head.",
        "Power: the median power of the pool's prior that labels chose. Seconds: to learn from and encode the items.",
        "",
        *lines(together, times), "", *verdicts(together, times), "",
    ]  # fmt: skip
    text = "\n".join(report)
    print(text)
    if not asked.quick:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{time.strftime('%Y-%m-%d')}-encoders.md"
        path.write_text(text, encoding="utf-8")
        print(f"written: {path}")


if __name__ == "__main__":
    main()
