"""Does the hidden-suggestion experiment find a planted bias, and does it call harmless suggestions harmful?

Twelve people answer images of CIFAR-10H as real people did, drawn from the human counts, except that they follow 30 %
of the suggestions they see; suggestions are those of a published network, wrong for 7 % of images. So of wrong
suggestions 30 % are followed, and people would err alike by themselves in a share b of cases: the planted pull is 0.3
(1 - b). Coverage is the share of runs in which the planted value lies within the interval; `95 of 100` the share of
rounds of 100 runs in which it did 95 times at least. For harm, suggestions are followed in vain (nobody follows: no
effect) or are made wrong more often.

python -m tests.benchmarks.bench_pull [--runs 2000] [--first-seed 0] [--out FILE.md]
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labeling.assurance.suggestion_pull import Pull, SuggestionPull, is_harmful, measure_pull
from tests.benchmarks import crowd as crowds
from tests.benchmarks.report import machine

FOLLOWED = 0.3
PEOPLE = 12
SIZES = (100, 300, 1000, 3000, 10000)  # answers
HIDDEN = (0.1, 0.3, 0.5)


def experiment(
    crowd: crowds.Crowd,
    suggestions: NDArray[np.int64],
    rng: np.random.Generator,
    answers: int,
    hidden_share: float,
    followed: float = FOLLOWED,
) -> SuggestionPull:
    """One project: every answer of another random image, its suggestion hidden at random."""
    images = rng.integers(0, len(suggestions), answers)
    person = rng.integers(0, PEOPLE, answers)
    own = crowds.draw_people(crowd, rng, PEOPLE, {}).answers(person, images)
    shown = rng.random(answers) >= hidden_share
    suggested = suggestions[images]
    answered = np.where(shown & (rng.random(answers) < followed), suggested, own)
    return measure_pull(shown, suggested, answered, crowd.majority[images], person)


def planted(crowd: crowds.Crowd, suggestions: NDArray[np.int64], by_class: int | None = None) -> float:
    """The pull that following plants: what remains beside erring alike by oneself, 0.3 (1 - b)."""
    wrong = suggestions != crowd.majority
    if by_class is not None:
        wrong &= crowd.majority == by_class
    return FOLLOWED * (1 - float(crowd.shares[wrong, suggestions[wrong]].mean()))


def holds(pull: Pull, truth: float) -> tuple[bool, bool]:
    """Whether the planted pull, and the planted share that is followed, lie within their intervals."""
    return pull.pull.low <= truth <= pull.pull.high, pull.followed.low <= FOLLOWED <= pull.followed.high


def coverage(crowd: crowds.Crowd, suggestions: NDArray[np.int64], runs: int, first_seed: int) -> list[str]:
    """A table of what the intervals hold."""
    lines = [
        "| answers | hidden | wrong, hidden | pull | 95 of 100 | followed | 95 of 100 | width | a person | a class |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    truth = planted(crowd, suggestions)
    of_class = {one: planted(crowd, suggestions, one) for one in range(len(crowd.names))}
    for answers in SIZES:
        for hidden_share in HIDDEN:
            held, groups, classes, hidden, width = [], [], [], [], []
            for seed in range(first_seed, first_seed + runs):
                rng = np.random.default_rng([seed, answers, int(100 * hidden_share)])
                found = experiment(crowd, suggestions, rng, answers, hidden_share)
                held.append(holds(found.overall, truth))
                hidden.append(found.overall.hidden)
                width.append(found.overall.pull.high - found.overall.pull.low)
                if seed < first_seed + 200:
                    groups += [holds(pull, truth)[0] for pull in found.by_person.values()]
                    classes += [holds(pull, of_class[one])[0] for one, pull in found.by_class.items()]
            both = np.array(held)
            rounds = both[: runs // 100 * 100].reshape(-1, 100, 2).sum(axis=1) >= 95
            pull, followed = 100 * both.mean(axis=0)
            lines.append(
                f"| {answers} | {hidden_share:.0%} | {np.median(hidden):.0f} | {pull:.1f} % "
                f"| {rounds[:, 0].mean():.0%} | {followed:.1f} % | {rounds[:, 1].mean():.0%} | {np.mean(width):.2f} "
                f"| {100 * np.mean(groups):.1f} % | {100 * np.mean(classes):.1f} % |"
            )
            print(lines[-1], flush=True)
    return lines


def harm(crowd: crowds.Crowd, predictions: NDArray[np.float64], runs: int, first_seed: int) -> list[str]:
    """A table of how often suggestions are called harmful by the time of so many answers, asked after each."""
    second = np.argsort(-predictions, axis=1)[:, 1]
    lines = [
        "| suggestions | net effect | " + " | ".join(str(size) for size in SIZES) + " |",
        "|---|---|" + "---|" * len(SIZES),
    ]
    for name, wrong, followed in (
        ("not followed: no effect", 0.0, 0.0),
        ("of the network, 30 % followed", 0.0, 0.3),
        ("wrong for 30 %, 30 % followed", 0.3, 0.3),
        ("wrong for 60 %, 30 % followed", 0.6, 0.3),
    ):
        called, nets = np.zeros((runs, len(SIZES)), dtype=bool), []
        for run in range(runs):
            rng = np.random.default_rng([first_seed + run, int(100 * wrong), int(100 * followed)])
            spoilt = rng.random(len(second)) < wrong
            suggestions = np.where(spoilt, second, predictions.argmax(axis=1))
            right = crowd.shares[np.arange(len(second)), crowd.majority]
            nets.append(followed * float((suggestions == crowd.majority).mean() - right.mean()))
            called[run] = _ever(crowd, suggestions, rng, followed)
        shares = " | ".join(f"{share:.1%}" for share in called.mean(axis=0))
        lines.append(f"| {name} | {100 * np.mean(nets):+.1f} points | {shares} |")
        print(lines[-1], flush=True)
    return lines


def _ever(
    crowd: crowds.Crowd, suggestions: NDArray[np.int64], rng: np.random.Generator, followed: float
) -> NDArray[np.bool_]:
    """Whether suggestions, hidden for 20 %, were called harmful until each of the sizes, asked often enough."""
    answers = SIZES[-1]
    images, person = rng.integers(0, len(suggestions), answers), rng.integers(0, PEOPLE, answers)
    own = crowds.draw_people(crowd, rng, PEOPLE, {}).answers(person, images)
    shown = rng.random(answers) >= 0.2
    answered = np.where(shown & (rng.random(answers) < followed), suggestions[images], own)
    right = answered == crowd.majority[images]
    asked = np.unique(np.geomspace(20, answers, 60).astype(int))
    said = np.array([is_harmful(shown[:until], right[:until]) for until in asked])
    return np.array([said[asked <= size].any() for size in SIZES])


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if (absent := crowds.missing()) is not None:
        raise SystemExit(absent)
    crowd, predictions = crowds.load(), crowds.predicted()
    suggestions = predictions.argmax(axis=1)
    pull = planted(crowd, suggestions)
    text = [
        "# The pull of suggestions: a planted bias",
        "",
        f"{options.runs} runs a row, {PEOPLE} people, CIFAR-10H; planted: 30 % of suggestions followed, a pull of "
        f"{pull:.3f} (people alone err alike in {1 - pull / FOLLOWED:.1%}); "
        f"intervals of 99 %; {machine()}. `wrong, hidden`: median number.",
        "",
        *coverage(crowd, suggestions, options.runs, options.first_seed),
        "",
        "Called harmful, by number of answers, 20 % hidden, asked again and again:",
        "",
        *harm(crowd, predictions, options.runs // 2, options.first_seed),
        "",
    ]
    print("\n".join(text))
    if options.out:
        options.out.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
