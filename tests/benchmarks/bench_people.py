"""What several people are worth: consensus against majority vote, asking by need against a fixed overlap.

12 simulated annotators of CIFAR-10H's 6,000 images (`tests.benchmarks.crowd`), two of them careless: 40 % of their
answers are random. The truth is what most of about 51 real people say. Constants were chosen on seeds from 1000 on.

python -m tests.benchmarks.bench_people consensus    every method at overlap 1, 2, 3 and 5, and how calibrated it is
python -m tests.benchmarks.bench_people need         one answer each, then more where needed, re-weighed every 500
python -m tests.benchmarks.bench_people few          which method is best of few items and few people
python -m tests.benchmarks.bench_people coverage     how often alpha's interval holds the true alpha
python -m tests.benchmarks.bench_people speed        100,000 answers
"""

import argparse
import itertools
import time
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from labeling.annotation.agreement import alpha_interval, alpha_over_time, krippendorff_alpha, pairwise
from labeling.annotation.dawid_skene import dawid_skene
from labeling.annotation.need import Step, need, reliable
from labeling.annotation.opinions import Opinions
from labeling.annotation.weighing import Method, Weighed, weigh
from labeling.features.base import Content
from labeling.features.patches import Patches
from tests.benchmarks import crowd
from tests.benchmarks.report import machine

RESULTS = Path(__file__).parent / "results"
SEEDS = 20
OVERLAPS = (1, 2, 3, 5)
FIXED = 3
SHARE = 0.6  # of the answers of a fixed overlap that asking by need may take
BATCH = 500
MOST = 5
BINS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)


@lru_cache(maxsize=1)
def people_said() -> crowd.Crowd:
    return crowd.load()


@lru_cache(maxsize=1)
def features() -> NDArray[np.float32]:
    """Vectors of the images by the product's own encoder, learned from them as in a project, (6000, 192)."""
    with zipfile.ZipFile(crowd.ARCHIVE) as archive:
        items = [Content(image=archive.read(f"images/{name}")) for name in people_said().files]
    sample = np.random.default_rng(0).permutation(len(items))[: Patches.sample]
    encoder = Patches.fit([items[row] for row in sample])
    parts = [encoder.encode(items[row : row + encoder.chunk]) for row in range(0, len(items), encoder.chunk)]
    return np.concatenate(parts)


def own_predictions(weighed: Weighed, seed: int) -> NDArray[np.float64]:
    """What the product's model predicts of each image after learning from the labels of the others, five-fold."""
    X, targets = features(), weighed.labels
    predicted = np.zeros((len(X), len(people_said().names)))
    for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(X, targets):
        head = LogisticRegression(C=1.0, max_iter=100)
        head.fit(X[train], targets[train], sample_weight=weighed.confidence[train])
        predicted[np.ix_(test, head.classes_)] = head.predict_proba(X[test])
    return predicted


def by_majority(opinions: Opinions, truth: NDArray[np.int64]) -> float:
    """Expected accuracy of majority vote whose ties are broken at random: of two level classes each counts half."""
    votes = opinions.votes()
    top = votes == votes.max(axis=1, keepdims=True)
    return float((top[np.arange(len(truth)), truth] / top.sum(axis=1)).mean())


def consensus_of(seed: int, overlap: int) -> list[dict[str, object]]:
    """Accuracy and confidence of each method for one draw of people."""
    truth = people_said().majority
    people = crowd.draw_people(people_said(), np.random.default_rng(seed))
    opinions = crowd.overlapping(people, overlap)
    vote = by_majority(opinions, truth)
    votes = opinions.votes() + people.rng.random((opinions.n_items, opinions.n_classes)) / 2
    broken = float((votes.argmax(axis=1) == truth).mean())
    first = weigh(opinions)
    sources = {"people alone": None, "own model": own_predictions(first, seed), "published": crowd.predicted()}
    rows = []
    for source, predictions in sources.items():
        for method in (Method.MAJORITY, Method.DAWID_SKENE, Method.DIFFICULTY, Method.CROWDLAB):
            if method == Method.CROWDLAB and (predictions is None or overlap < 2):
                continue
            began = time.perf_counter()
            weighed = weigh(opinions, predictions=predictions, method=method)
            took = time.perf_counter() - began
            right = weighed.labels == truth
            of_truth = np.maximum(weighed.probabilities[np.arange(len(truth)), truth], 1e-9)
            row = {
                "seed": seed, "overlap": overlap, "with": source, "method": method.value, "vote": 100 * vote,
                "vote, ties broken": 100 * broken, "accuracy": 100 * right.mean(),
                "confidence": 100 * weighed.confidence.mean(), "log loss": -np.log(of_truth).mean(), "seconds": took,
            }  # fmt: skip
            for low, high in itertools.pairwise(BINS):
                those = (weighed.confidence > low) & (weighed.confidence <= high)
                row[f"n {high}"], row[f"sure {high}"] = those.sum(), weighed.confidence[those].sum()
                row[f"right {high}"] = right[those].sum()
            rows.append(row)
    return rows


def consensus(seeds: int, processes: int) -> str:
    done = Parallel(processes)(delayed(consensus_of)(seed, o) for seed in range(seeds) for o in OVERLAPS)
    table = pd.DataFrame([row for rows in done for row in rows])
    table["above vote"] = table["accuracy"] - table["vote"]
    lines = [
        "Accuracy against the majority of all real people, in percent; above majority vote (ties count half) at the",
        "same answers, in points, mean and 95 % interval over seeds. With predictions, majority adds them as evidence.",
        "",
        "| overlap | with | method | accuracy | above majority vote | mean confidence | log loss | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups = table.groupby(["overlap", "with", "method"], sort=False)
    for (overlap, source, method), part in groups:
        lines.append(
            f"| {overlap} | {source} | {method} | {part['accuracy'].mean():.2f} | {interval(part['above vote'])} "
            f"| {part['confidence'].mean():.2f} | {part['log loss'].mean():.3f} | {part['seconds'].median():.2f} |"
        )
    votes = table.groupby("overlap")[["vote", "vote, ties broken"]].mean()
    lines += ["", "Majority vote itself: " + "; ".join(
        f"overlap {overlap} {row.iloc[0]:.2f} (ties broken at random by a draw: {row.iloc[1]:.2f})"
        for overlap, row in votes.iterrows()) + "."]  # fmt: skip
    lines += [
        "",
        "Calibration: labels in each span of confidence, their mean confidence and how many are right, %.",
        "",
    ]
    lines += ["| overlap | with | method | " + " | ".join(f"to {high:g}" for high in BINS[1:]) + " |"]
    lines += ["|---" * (2 + len(BINS)) + "|"]
    for (overlap, source, method), part in groups:
        cells = []
        for high in BINS[1:]:
            n = part[f"n {high}"].sum()
            sure, right = part[f"sure {high}"].sum(), part[f"right {high}"].sum()
            cells.append(f"{n / seeds:.0f}: {100 * sure / n:.1f} / {100 * right / n:.1f}" if n else "")
        lines.append(f"| {overlap} | {source} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def asked_by_need(seed: int, source: str, whom: str, certainty: float | None) -> dict[str, object]:
    """One replay. With `certainty` None people are asked on, past any certainty, to see the curve of accuracy."""
    truth = people_said().majority
    n, k = people_said().counts.shape
    budget = round(SHARE * FIXED * n)
    people = crowd.draw_people(people_said(), np.random.default_rng(seed))
    rng, m = people.rng, len(people)
    opinions = crowd.overlapping(people, 1)
    has = np.zeros((n, m), dtype=bool)
    has[opinions.items, opinions.people] = True
    load = has.sum(axis=0)
    curve: dict[int, float] = {}
    weighed, predictions = weigh(opinions), None
    while True:
        predictions = predicted_from(source, weighed, seed)
        weighed = weigh(opinions, predictions=predictions, method=Method.DIFFICULTY)
        curve[len(opinions)] = 100 * (weighed.labels == truth).mean()
        asked = need(weighed, opinions, certainty=certainty or 1.1, most=MOST, predictions=predictions)
        wanting = np.flatnonzero(asked.steps == Step.OPINION)
        if certainty is None:
            wanting = np.flatnonzero(has.sum(axis=1) < MOST)
        room = min(BATCH, budget - len(opinions)) if certainty is None else BATCH
        if not len(wanting) or room <= 0:
            break
        order = np.lexsort((rng.random(len(wanting)), -asked.worth[wanting]))
        chosen = rng.permutation(wanting[order[:room]])
        barred = np.zeros(m, dtype=bool) if whom == "everybody" else ~reliable(weighed.reliability)
        who = np.empty(len(chosen), dtype=np.int64)
        for at, item in enumerate(chosen):  # of those who did not answer it, whoever has answered least
            who[at] = np.where(has[item] | barred, np.inf, load + rng.random(m)).argmin()
            has[item, who[at]] = True
            load[who[at]] += 1
        opinions = Opinions(
            np.concatenate([opinions.items, chosen]),
            np.concatenate([opinions.people, who]),
            np.concatenate([opinions.classes, people.answers(who, chosen)]),
            n, m, k,
        )  # fmt: skip
    fixed = crowd.overlapping(crowd.draw_people(people_said(), np.random.default_rng(seed)), FIXED)
    alone = weigh(fixed, method=Method.DIFFICULTY)
    same = weigh(fixed, predictions=predicted_from(source, alone, seed), method=Method.DIFFICULTY)
    return {
        "seed": seed, "with": source, "whom": whom, "certainty": certainty or "", "answers": len(opinions),
        "accuracy": curve[len(opinions)], "confidence": 100 * weighed.confidence.mean(),
        "fixed, majority": 100 * by_majority(fixed, truth), "fixed, people alone": 100 * (alone.labels == truth).mean(),
        "fixed, same": 100 * (same.labels == truth).mean(), "expert": int((asked.steps == Step.EXPERT).sum()),
        "least": int(load.min()), "greatest": int(load.max()), "curve": curve,
    }  # fmt: skip


def predicted_from(source: str, weighed: Weighed, seed: int) -> NDArray[np.float64] | None:
    if source == "people alone":
        return None
    return crowd.predicted() if source == "published" else own_predictions(weighed, seed)


def by_need(seeds: int, processes: int) -> str:
    ways = [
        ("people alone", "everybody", None),
        ("people alone", "the reliable", None),
        ("own model", "everybody", None),
        ("published", "everybody", None),
        ("people alone", "everybody", 0.9),
        ("people alone", "everybody", 0.95),
        ("own model", "everybody", 0.95),
    ]
    done = Parallel(processes)(delayed(asked_by_need)(seed, *way) for way in ways for seed in range(seeds))
    table = pd.DataFrame(done)
    n = len(people_said().given)
    references = ["fixed, majority", "fixed, people alone", "fixed, same"]
    lines = [
        f"Asked by need until {SHARE:.0%} of the {FIXED * n:,} answers of overlap {FIXED}, {MOST} an item at most, the",
        f"worthiest first, re-weighed every {BATCH}. Accuracy in percent; differences to overlap {FIXED} of the same",
        "seed in points with a 95 % interval over seeds; in brackets the share of its answers at which the mean",
        "accuracy reaches it. Second opinions are asked of everybody in turn (equal loads), or only of the reliable.",
        "",
        f"| with | asked | accuracy | to majority vote at {FIXED} | to people weighed at {FIXED} | to the same, with "
        f"the predictions, at {FIXED} | answers per person |",
        "|---|---|---|---|---|---|---|",
    ]
    curves = table[table["certainty"] == ""]
    for (source, whom), part in curves.groupby(["with", "whom"], sort=False):
        mean = pd.DataFrame(list(part["curve"])).mean().sort_index()
        cells = []
        for column in references:
            reached = mean.index[mean >= part[column].mean()]
            share = f"{reached[0] / (FIXED * n):.0%}" if len(reached) else "not reached"
            cells.append(f"{interval(part['accuracy'] - part[column])} ({share})")
        lines.append(
            f"| {source} | {whom} | {part['accuracy'].mean():.2f} | {' | '.join(cells)} "
            f"| {part['least'].min()} to {part['greatest'].max()} |"
        )
    lines += ["", f"Overlap {FIXED}: " + "; ".join(
        f"{name} {curves[column][curves['with'] == source].mean():.2f}"
        for name, column, source in [
            ("majority vote", "fixed, majority", "people alone"),
            ("people weighed", "fixed, people alone", "people alone"),
            ("with the own model", "fixed, same", "own model"),
            ("with the published predictions", "fixed, same", "published"),
        ]) + "."]  # fmt: skip
    lines += ["", "Accuracy after so many answers:", ""]
    shown = [6000, 7000, 8000, 9000, 10000, round(SHARE * FIXED * n)]
    lines += ["| with | asked | " + " | ".join(f"{at:,}" for at in shown) + " |", "|---" * (2 + len(shown)) + "|"]
    for (source, whom), part in curves.groupby(["with", "whom"], sort=False):
        mean = pd.DataFrame(list(part["curve"])).mean()
        lines.append(f"| {source} | {whom} | " + " | ".join(f"{mean.get(at, np.nan):.2f}" for at in shown) + " |")
    lines += [
        "",
        f"Asked by need until a label is so certain, at most {MOST} answers an item:",
        "",
        f"| with | certainty | answers | accuracy | mean confidence | to people weighed at {FIXED} | to an expert |",
        "|---|---|---|---|---|---|---|",
    ]
    for (source, certainty), part in table[table["certainty"] != ""].groupby(["with", "certainty"], sort=False):
        lines.append(
            f"| {source} | {certainty} | {part['answers'].mean():,.0f} ({part['answers'].mean() / FIXED / n:.0%}) "
            f"| {part['accuracy'].mean():.2f} | {part['confidence'].mean():.2f} "
            f"| {interval(part['accuracy'] - part['fixed, people alone'])} | {part['expert'].mean():.0f} |"
        )
    return "\n".join(lines)


def of_few(seed: int, n: int, n_people: int, overlap: int, careless: int) -> list[dict[str, object]]:
    """Two methods on a few images and people, the first of whom are careless."""
    rng = np.random.default_rng(seed)
    people = crowd.draw_people(people_said(), rng, n_people, dict.fromkeys(range(careless), 0.4))
    images = rng.choice(len(people_said().given), n, replace=False)
    items = np.repeat(np.arange(n), overlap)
    who = np.concatenate([rng.permutation(n_people)[:overlap] for _ in range(n)])
    opinions = Opinions(items, who, people.answers(who, images[items]), n, n_people, len(people_said().names))
    truth = people_said().majority[images]
    vote = 100 * by_majority(opinions, truth)
    return [
        {
            "items": n, "people": n_people, "overlap": overlap, "careless": careless, "method": method.value,
            "above vote": 100 * (weighed.labels == truth).mean() - vote, "vote": vote,
            "too sure": 100 * (weighed.confidence.mean() - (weighed.labels == truth).mean()),
        }
        for method in (Method.DAWID_SKENE, Method.DIFFICULTY)
        for weighed in [weigh(opinions, method=method)]
    ]  # fmt: skip


def few(seeds: int, processes: int) -> str:
    teams = ((3, 2, 0), (3, 3, 1), (5, 3, 1), (12, 2, 2), (12, 3, 2))
    sizes = (20, 50, 100, 500)
    tasks = itertools.product(range(5 * seeds), sizes, teams)
    done = Parallel(processes)(delayed(of_few)(seed, n, *team) for seed, n, team in tasks)
    table = pd.DataFrame([row for rows in done for row in rows])
    lines = [
        "Points above majority vote (mean and 95 % interval over draws), and mean confidence less accuracy.",
        "",
        "| images | people (careless) | overlap | majority | dawid_skene | too sure by | difficulty | too sure by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (n, people, overlap, careless), part in table.groupby(["items", "people", "overlap", "careless"], sort=False):
        cells = []
        for _, of_method in part.groupby("method", sort=False):
            cells += [interval(of_method["above vote"]), f"{of_method['too sure'].mean():+.2f}"]
        vote = part["vote"].mean()
        lines.append(f"| {n} | {people} ({careless}) | {overlap} | {vote:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def covered(seed: int, n: int, careless: float, truth: float, draws: int = 500) -> tuple[bool, float]:
    """Whether alpha's interval from n images that three of twelve people answered holds the alpha of endless images."""
    found = alpha_interval(some_images(seed, n, careless), draws=draws, seed=seed)
    return found.low <= truth <= found.high, found.high - found.low


def some_images(seed: int, n: int, careless: float) -> Opinions:
    rng = np.random.default_rng(seed)
    people = crowd.draw_people(people_said(), rng, crowd.N_PEOPLE, dict.fromkeys(range(crowd.N_PEOPLE), careless))
    images = rng.integers(0, len(people_said().given), n)
    items = np.repeat(np.arange(n), 3)
    who = rng.permuted(np.tile(np.arange(len(people)), (n, 1)), axis=1)[:, :3].ravel()
    return Opinions(items, who, people.answers(who, images[items]), n, len(people), len(people_said().names))


def coverage(seeds: int, processes: int) -> str:
    lines = [
        "Share of 95 % intervals that hold the true alpha (of 300,000 images), and their mean width.",
        "",
        "| random answers | images | alpha | held | width |",
        "|---|---|---|---|---|",
    ]
    for careless in (0.0, 0.3):
        truth = krippendorff_alpha(some_images(10_000_000, 300_000, careless))
        for n in (20, 50, 100, 300, 1000):
            done = Parallel(processes)(delayed(covered)(seed, n, careless, truth) for seed in range(50 * seeds))
            held, width = np.nanmean(np.array(done, dtype=float), axis=0)
            lines.append(f"| {careless:.0%} | {n} | {truth:.3f} | {100 * held:.1f} % of {len(done)} | {width:.3f} |")
    return "\n".join(lines)


def speed(seeds: int, processes: int) -> str:
    """One run, whatever is asked for: 100,000 answers of 50 people to 40,000 items of 20 classes, a fifth random."""
    rng = np.random.default_rng(0)
    n, m, k, answers = 40_000, 50, 20, 100_000
    items = np.repeat(np.arange(n), 3)[:answers]
    who = rng.permuted(np.tile(np.arange(m), (n, 1)), axis=1)[:, :3].ravel()[:answers]
    classes = np.where(rng.random(answers) < 0.8, rng.integers(0, k, n)[items], rng.integers(0, k, answers))
    opinions = Opinions(items, who, classes, n, m, k)
    weighed = weigh(opinions)
    tasks: dict[str, Callable[[], object]] = {
        "dawid_skene": lambda: dawid_skene(opinions, prior=10),
        "weigh, difficulty": lambda: weigh(opinions),
        "weigh, majority": lambda: weigh(opinions, method=Method.MAJORITY),
        "need": lambda: need(weighed, opinions),
        "alpha with interval, 1000 draws": lambda: alpha_interval(opinions),
        "kappa of all pairs": lambda: pairwise(opinions),
        "alpha over time": lambda: alpha_over_time(opinions, np.arange(answers, dtype=float)),
    }
    lines = ["| 100,000 answers, 40,000 items, 50 people, 20 classes | seconds |", "|---|---|"]
    for name, task in tasks.items():
        began = time.perf_counter()
        task()
        lines.append(f"| {name} | {time.perf_counter() - began:.2f} |")
    return "\n".join(lines)


def interval(values: pd.Series) -> str:
    """Mean and 95 % interval (Student's t)."""
    if len(values) < 2 or not values.std():
        return f"{values.mean():+.2f}"
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    return f"{values.mean():+.2f} ({low:+.2f} to {high:+.2f})"


def main() -> None:
    parts = {"consensus": consensus, "need": by_need, "few": few, "coverage": coverage, "speed": speed}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    if (why := crowd.missing()) is not None:
        print(why)
        return
    title = f"# Several people: {asked.part}, {time.strftime('%Y-%m-%d')}"
    found = parts[asked.part](asked.seeds, asked.processes)
    text = "\n".join([title, "", f"{asked.seeds} seeds; {machine()}.", "", found, ""])
    print(text)
    if asked.seeds >= SEEDS:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{time.strftime('%Y-%m-%d')}-people-{asked.part}.md"
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    from tests.benchmarks import bench_people  # by its name, by which other processes find what they are given

    bench_people.main()
