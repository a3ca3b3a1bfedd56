"""How many of the given labels that most people would not choose come first in the queue of likely label errors?

CIFAR-10H: 6,000 images, the label of the data set, answers drawn from the human counts, and the predictions of a
published network. Of 71 images fewer than half of all people chose the given label; the recall is the share of them
among the first 5 % of the queue, 300 images. Beside the model of `labeling.assurance.label_errors`: naive Bayes of
the same sources (an error rate each, taken from how often answers differ from the given labels), and the predictions
alone. `likely` are the items with a score above 0.5.

python -m tests.benchmarks.bench_label_errors [--seeds 10] [--first-seed 0] [--out FILE.md]
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labeling.annotation.opinions import Opinions
from labeling.assurance.label_errors import LabelErrors, find_label_errors
from tests.benchmarks import crowd as crowds
from tests.benchmarks.report import machine

QUEUE = 0.05  # of the items
BINS = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0)


def recall(score: NDArray[np.float64], wrong: NDArray[np.bool_], share: float = QUEUE) -> float:
    """Share of the wrong ones that are among the first of the queue."""
    first = np.argsort(-score, kind="stable")[: int(share * len(score))]
    return float(wrong[first].sum() / wrong.sum())


def naive_bayes(given: NDArray[np.int64], opinions: Opinions, predictions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability (n,) that the given label is not the class, were the three sources independent given the class."""
    k = opinions.n_classes
    error = np.clip((opinions.classes != given[opinions.items]).mean(), 1e-3, 0.5)
    votes = opinions.votes()
    log_odds = np.log((1 - error) / (error / (k - 1)))
    logs = np.log(np.clip(predictions, 1e-6, 1)) + votes * log_odds
    logs[np.arange(len(given)), given] += log_odds
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    return 1 - chances[np.arange(len(given)), given] / chances.sum(axis=1)


def none_said(crowd: crowds.Crowd) -> Opinions:
    """No answer of anybody."""
    nothing = np.empty(0, dtype=np.int64)
    return Opinions(nothing, nothing, nothing, len(crowd.given), 0, len(crowd.names))


def row(name: str, recalls: list[float], found: list[LabelErrors], wrong: NDArray[np.bool_]) -> str:
    """One line of the table."""
    spread = np.std(recalls, ddof=1) / np.sqrt(len(recalls)) if len(recalls) > 1 else float("nan")
    line = f"| {name} | {100 * np.mean(recalls):.1f} ± {100 * spread:.1f} | {100 * min(recalls):.0f} |"
    if not found:
        return line + " | | |"
    likely = np.mean([len(one.likely) for one in found])
    are = np.mean([wrong[one.likely].sum() for one in found])
    return line + f" {np.mean([one.score.sum() for one in found]):.0f} | {likely:.1f} | {are:.1f} |"


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if (absent := crowds.missing()) is not None:
        raise SystemExit(absent)
    crowd, predictions = crowds.load(), crowds.predicted()
    given, wrong = crowd.given, crowd.doubtful
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    asked = {
        "given, 2 people, model": (2, {}, predictions),
        "given, 2 people": (2, {}, None),
        "given, 1 person, model": (1, {}, predictions),
        "given, 3 people, model": (3, {}, predictions),
        "given, 2 people, model; 2 of 12 careless": (2, crowds.CARELESS, predictions),
    }
    lines = [
        "| sources | recall % | worst seed | errors expected | likely | of these are |",
        "|---|---|---|---|---|---|",
    ]
    scores, seconds = [], []
    for name, (overlap, careless, said) in asked.items():
        ours, bayes, found = [], [], []
        for seed in seeds:
            people = crowds.draw_people(crowd, np.random.default_rng(seed), careless=careless)
            opinions = crowds.overlapping(people, overlap)
            started = time.perf_counter()
            found.append(find_label_errors(given, opinions, said))
            seconds.append(time.perf_counter() - started)
            ours.append(recall(found[-1].score, wrong))
            if said is not None:
                bayes.append(recall(naive_bayes(given, opinions, said), wrong))
        if not scores:
            scores = [one.score for one in found]
        lines.append(row(name, ours, found, wrong))
        if bayes:
            lines.append(row(f"– naive Bayes of {name}", bayes, [], wrong))
    alone = find_label_errors(given, none_said(crowd), predictions)
    lines.append(row("given, model", [recall(alone.score, wrong)], [alone], wrong))
    own = 1 - predictions[np.arange(len(given)), given]
    lines.append(row("– predictions alone", [recall(own, wrong)], [], wrong))

    all_scores, all_wrong = np.concatenate(scores), np.tile(wrong, len(scores))
    calibrated = ["| score | items a seed | mean score | are wrong |", "|---|---|---|---|"]
    for low, high in pairwise(BINS):
        within = (all_scores >= low) & (all_scores < high)
        if within.any():
            calibrated.append(
                f"| {low:.2f} to {high:.2f} | {within.sum() / len(scores):.1f} | {all_scores[within].mean():.3f} "
                f"| {all_wrong[within].mean():.3f} |"
            )
    text = [
        "# Likely label errors: CIFAR-10H",
        "",
        f"Seeds {seeds[0]} to {seeds[-1]}; mean ± standard error; {wrong.sum()} labels are wrong; "
        f"{np.median(seconds):.1f} s each (median; {machine()}).",
        "",
        *lines,
        "",
        "Is the score a probability? Given label, two people, model:",
        "",
        *calibrated,
        "",
    ]
    print("\n".join(text))
    if options.out:
        options.out.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
