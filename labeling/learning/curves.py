"""What replays say: mean curves with their bands, labels to a target, and differences seed by seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

CONTROL = "random"  # what every other strategy is measured against
CONFIDENCE = 0.95


def t_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Mean of independent values (s,), and the two ends of Student's interval for it; NaN ends of a single value."""
    given = np.asarray(values, dtype=float)
    mean = float(given.mean())
    if len(given) < 2:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf((1 + confidence) / 2, len(given) - 1) * given.std(ddof=1) / np.sqrt(len(given)))
    return mean, mean - half, mean + half


def mean_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """The mean over the seeds at each number of labels, with its 95 % interval.

    Parameters
    ----------
    curves
        Of `labeling.compare_strategies`: columns ``strategy``, ``seed``, ``labels``, ``accuracy``.

    Returns
    -------
    DataFrame
        Columns ``strategy``, ``labels``, ``accuracy``, ``low``, ``high``, ``seeds``; strategies in the given order.
    """
    rows = []
    ordered = curves.sort_values("labels", kind="stable")
    for (strategy, labels), group in ordered.groupby(["strategy", "labels"], sort=False):
        rows.append((strategy, labels, *t_interval(group["accuracy"]), len(group)))
    return pd.DataFrame(rows, columns=["strategy", "labels", "accuracy", "low", "high", "seeds"])


def over_the_curve(curves: pd.DataFrame) -> pd.DataFrame:
    """Each replay's mean accuracy over its rounds: one row a seed, one column a strategy, in the given order."""
    means = curves.groupby(["strategy", "seed"], sort=False)["accuracy"].mean().unstack("strategy")
    return means[list(dict.fromkeys(curves["strategy"]))].sort_index()


def differences(curves: pd.DataFrame, reference: str) -> pd.DataFrame:
    """How far each strategy's mean accuracy over the curve is above a reference's, in pairs of the same seed.

    Pairs share what is held out and the random numbers, so the interval is narrower than those of the two means.

    Returns
    -------
    DataFrame
        Columns ``strategy``, ``difference``, ``low``, ``high`` (95 %, Student's t), ``seeds``; without the reference.
    """
    means = over_the_curve(curves)
    rows = []
    for strategy in means.columns.drop(reference):
        paired = (means[strategy] - means[reference]).dropna()
        rows.append((strategy, *t_interval(paired), len(paired)))
    return pd.DataFrame(rows, columns=["strategy", "difference", "low", "high", "seeds"])


def target_of(curves: pd.DataFrame) -> tuple[float, str]:
    """The accuracy to be reached, and whose it is: the control's with all labels, else that of the least accurate."""
    final = mean_curves(curves).groupby("strategy")["accuracy"].last()
    whose = CONTROL if CONTROL in final.index else str(final.idxmin())
    return float(final[whose]), whose


def labels_to_reach(
    labels: Sequence[float] | np.ndarray, accuracy: Sequence[float] | np.ndarray, target: float
) -> float:
    """Labels at which a curve, straight between its points, first comes to ``target``; NaN where it never does.

    A curve that begins above it is there with its first batch.
    """
    counts, heights = np.asarray(labels, dtype=float), np.asarray(accuracy, dtype=float)
    there = np.flatnonzero(heights >= target)
    if len(there) == 0:
        return float("nan")
    at = int(there[0])
    if at == 0:
        return float(counts[0])
    share = (target - heights[at - 1]) / (heights[at] - heights[at - 1])
    return float(counts[at - 1] + share * (counts[at] - counts[at - 1]))


def summary(curves: pd.DataFrame, target: float | None = None) -> pd.DataFrame:
    """One row a strategy, the best first: what a table of the comparison shows.

    Parameters
    ----------
    target
        An accuracy from 0 to 1; that of `target_of` unless told otherwise.

    Returns
    -------
    DataFrame
        Columns ``strategy``; ``accuracy`` over the curve with its 95 % interval ``low``, ``high``; ``final``, the
        accuracy with all labels; ``labels_to_target``, where the mean curve first comes to the target (NaN: never);
        ``above``, ``above_low``, ``above_high``: the difference to the control seed by seed (NaN without a control, and
        for the control itself); ``seconds`` of a round.
    """
    goal = target_of(curves)[0] if target is None else target
    means, points = over_the_curve(curves), mean_curves(curves)
    paired = differences(curves, CONTROL).set_index("strategy") if CONTROL in means else pd.DataFrame()
    seconds = curves.groupby("strategy")["seconds"].mean()
    rows = []
    for strategy in means.columns:
        mean, low, high = t_interval(means[strategy].dropna())
        own = points[points["strategy"] == strategy].sort_values("labels")
        reached = labels_to_reach(own["labels"].to_numpy(), own["accuracy"].to_numpy(), goal)
        above = paired.loc[strategy, ["difference", "low", "high"]] if strategy in paired.index else [np.nan] * 3
        rows.append((strategy, mean, low, high, own["accuracy"].iloc[-1], reached, *above, seconds[strategy]))
    columns = [
        "strategy", "accuracy", "low", "high", "final", "labels_to_target", "above", "above_low", "above_high",
        "seconds",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).sort_values("accuracy", ascending=False, ignore_index=True)


def table_in_words(curves: pd.DataFrame) -> pd.DataFrame:
    """`summary` as people read it: percentages, points, whole labels."""

    def points(row: Mapping[Any, float]) -> str:
        if np.isnan(row["above"]):
            return ""
        return f"{100 * row['above']:+.1f} ({100 * row['above_low']:+.1f} to {100 * row['above_high']:+.1f})"

    goal, budget = target_of(curves)[0], curves["labels"].max()
    rows = [
        {
            "Strategy": row["strategy"],
            f"Labels to {goal:.1%}": "–"
            if np.isnan(reached := row["labels_to_target"])
            else f"{np.ceil(reached):,.0f}",
            "Mean": f"{row['accuracy']:.1%}",
            f"At {budget:,}": f"{row['final']:.1%}",
            "Above random": points(row),
            "Seconds": f"{row['seconds']:.2f}",
        }
        for row in summary(curves).to_dict("records")
    ]
    return pd.DataFrame(rows)


def in_words(curves: pd.DataFrame) -> str:
    """What a comparison means, in a sentence or two: labels saved against the control, and how sure that is."""
    table, (goal, whose) = summary(curves), target_of(curves)
    budget, seeds = int(curves["labels"].max()), int(curves["seed"].nunique())
    best = table[table["strategy"] != CONTROL].iloc[0] if len(table) > 1 and whose == CONTROL else table.iloc[0]
    if whose != CONTROL or best["strategy"] == CONTROL:
        mean, final = f"{best['accuracy']:.1%}", f"{best['final']:.1%}"
        return f"{best['strategy']} is right on {mean} on average over the curve, and on {final} in the end."
    reached, points = best["labels_to_target"], 100 * best["above"]
    if np.isnan(reached):
        first = f"{best['strategy']} does not reach the {goal:.1%} of random within {budget:,} labels."
    elif reached >= budget:
        first = f"{best['strategy']} needs as many labels as random for its {goal:.1%}."
    else:
        first = (
            f"{best['strategy']} reaches the {goal:.1%} of random with {int(np.ceil(reached)):,} labels "
            f"instead of {budget:,}."
        )
    if seeds < 2:
        return f"{first} One seed says little; run more."
    low, high = 100 * best["above_low"], 100 * best["above_high"]
    sure = "chance is hardly the reason" if low > 0 or high < 0 else "which may be chance: run more seeds"
    way = "above" if points >= 0 else "below"
    return (
        f"{first} Over the curve it is {abs(points):.1f} points {way} random on average "
        f"({low:.1f} to {high:.1f}, {seeds} seeds): {sure}."
    )
