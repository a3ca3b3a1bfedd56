"""After how many gold items is a careless person flagged, and how often is somebody flagged who is not?

Twelve people answer gold items, random images of CIFAR-10H whose known class is what most people chose; answers are
drawn from the human counts, but for the share that is uniformly random of each of two people. Everybody is looked at
after every gold item. `the same` and `own`: all people get the same gold items, or everybody others. Unskilled people
draw from the human counts raised to the power that doubles their errors.

python -m tests.benchmarks.bench_careless [--seeds 20] [--alarm-seeds 200] [--first-seed 0] [--out FILE.md]
"""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from labeling.annotation.opinions import Opinions
from labeling.assurance.carelessness import FALSE_ALARM, assess
from tests.benchmarks import crowd as crowds
from tests.benchmarks.report import machine

GOLD = 50  # items a person
LONG = 200  # gold items of the long run, looked at after every tenth
NEVER = 10_000


@dataclass(frozen=True)
class Replay:
    """After how many gold items each person of a project was flagged; `NEVER` where it was not."""

    careless: list[int]
    honest: list[int]


def replay(
    seed: int,
    crowd: crowds.Crowd,
    share: float = 0.4,
    same: bool = True,
    gold: int = GOLD,
    every: int = 1,
    unskilled: crowds.Crowd | None = None,
) -> Replay:
    """One project; with `unskilled`, the two people are honest but err as this crowd does."""
    rng = np.random.default_rng([seed, int(100 * share), same])
    n, m, special = len(crowd.given), crowds.N_PEOPLE, list(crowds.CARELESS)
    people = crowds.draw_people(crowd, rng, m, {} if unskilled else dict.fromkeys(special, share))
    drawn = [rng.choice(n, gold, replace=False) for _ in range(1 if same else m)]
    images = np.stack(drawn * (m if same else 1)).T.ravel()  # item by item, all people
    who = np.tile(np.arange(m), gold)
    answers = people.answers(who, images)
    if unskilled:
        theirs = np.isin(who, special)
        answers[theirs] = crowds.draw_people(unskilled, rng, m, {}).answers(who[theirs], images[theirs])
    flagged = np.full(m, NEVER)
    for asked in range(every, gold + 1, every):
        until = slice(0, asked * m)
        opinions = Opinions(images[until], who[until], answers[until], n, m, len(crowd.names))
        for record in assess(opinions, crowd.majority):
            if record.flagged:
                flagged[record.person] = min(flagged[record.person], asked)
    return Replay(flagged[special].tolist(), np.delete(flagged, special).tolist())


def less_skilled(crowd: crowds.Crowd, times: float = 2.0) -> crowds.Crowd:
    """The crowd with its counts raised to the power at which people err this many times as often."""

    def errors(power: float) -> tuple[float, NDArray[np.float64]]:
        raised = crowd.counts**power  # what nobody chose is not chosen, but for a power of 0
        shares = raised / raised.sum(axis=1, keepdims=True)
        return 1 - shares[np.arange(len(shares)), crowd.majority].mean(), shares

    wanted = times * (1 - crowd.shares[np.arange(len(crowd.given)), crowd.majority].mean())
    power = brentq(lambda power: errors(power)[0] - wanted, 0.05, 1.0)
    counts = np.round(1e6 * errors(power)[1]).astype(np.int64)
    return crowds.Crowd(crowd.files, crowd.names, counts, crowd.given)


def row(name: str, runs: list[Replay], within: int) -> str:
    """One line of the table."""
    special = np.array([one.careless for one in runs]).ravel()
    honest = np.array([one.honest for one in runs])
    median, most = np.percentile(special, [50, 90], method="higher")
    times = [f"{value:.0f}" if value < NEVER else f"> {within}" for value in (median, most, special.max())]
    return (
        f"| {name} | {len(runs)} | {(special < NEVER).sum()} of {len(special)} | {' | '.join(times)} "
        f"| {(honest < NEVER).sum()} of {honest.size} | {(honest < NEVER).any(axis=1).sum()} |"
    )


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--alarm-seeds", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if (absent := crowds.missing()) is not None:
        raise SystemExit(absent)
    crowd = crowds.load()
    few = range(options.first_seed, options.first_seed + options.seeds)
    many = range(options.first_seed + 100, options.first_seed + 100 + options.alarm_seeds)
    some = many[: len(many) // 5]
    plans = [
        ("40 % random, the same gold items", few, {}, GOLD),
        ("40 % random, own gold items", few, {"same": False}, GOLD),
        ("40 % random, the same, more seeds", many, {}, GOLD),
        ("40 % random, own, more seeds", some, {"same": False}, GOLD),
        ("20 % random, the same", some, {"share": 0.2}, GOLD),
        ("20 % random, own", some, {"share": 0.2, "same": False}, GOLD),
        ("60 % random, the same", some, {"share": 0.6}, GOLD),
        ("60 % random, own", some, {"share": 0.6, "same": False}, GOLD),
        ("honest, err twice as often, the same", some, {"unskilled": less_skilled(crowd)}, GOLD),
        ("honest, err twice as often, own", some, {"unskilled": less_skilled(crowd), "same": False}, GOLD),
        ("nobody careless, 200 gold items, the same", some, {"share": 0.0, "gold": LONG, "every": 10}, LONG),
        ("nobody careless, 200 gold items, own", some, {"share": 0.0, "gold": LONG, "every": 10, "same": False}, LONG),
    ]
    lines = [
        "| the two people | seeds | flagged | median | 90 % | last | others flagged | seeds with one |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, seeds, how, within in plans:
        play = partial(replay, crowd=crowd, **how)
        lines.append(row(name, [play(seed) for seed in seeds], within))
        print(lines[-1], flush=True)
    text = [
        "# Careless people: gold items until they are flagged",
        "",
        f"Seeds from {options.first_seed}, more seeds from {many[0]}; chance of a false alarm set to {FALSE_ALARM:.1%} "
        f"a project; {machine()}.",
        "",
        *lines,
        "",
    ]
    print("\n".join(text))
    if options.out:
        options.out.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
