"""How suggestions pull at people, where they are hidden at random: who follows wrong ones, and the effect on balance.

Of the items whose suggestion is wrong, the pull is how much more often people answer as suggested when they see the
suggestion than when they do not; erring alike by themselves is not the suggestion's doing. Where people follow a
share f of wrong suggestions and answer by themselves otherwise, as suggested in a share b of cases, they answer as
suggested in f + (1 - f) b of cases with it and in b without. So the pull is f (1 - b), and f, the share that is
followed, is one less the ratio of answers unlike the suggestion with it to those without it. Both are given.

Intervals are made of the exact intervals of both proportions, as Newcombe makes that of a difference and Donner and
Zou that of a ratio. With Wilson's instead of exact ones they miss too often where suggestions were hidden a few times
only. Their level is 99 %, so that the truth lies within them in 95 of 100 projects almost surely; intervals of 95 %
would manage that in three of five hundreds. Suggestions must have been hidden at random, and the true class must be
known from elsewhere.

References
----------
C. Clopper, E. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika
26 (1934).
R. Newcombe, "Interval estimation for the difference between independent proportions: comparison of eleven methods",
Statistics in Medicine 17 (1998), method 10.
A. Donner, G. Zou, "Closed-form confidence intervals for functions of the normal mean and standard deviation",
Statistical Methods in Medical Research 21 (2012): a ratio from the limits of its parts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

LEVEL = 0.99  # of every interval
FALSE_ALARM = 0.05  # that suggestions which do no harm are ever called harmful
FIRST_LOOK = 10  # answers with and without a suggestion, at which harm is looked for; then at twice as many, and so on


@dataclass(frozen=True)
class Estimate:
    """A figure with its 99 % interval; without answers on both sides no figure, and the interval says nothing."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Pull:
    """What wrong suggestions did.

    Attributes
    ----------
    shown, hidden : int
        Answers to items whose suggestion was wrong, seen and not seen.
    shown_alike, hidden_alike : int
        Those of them that are as suggested: followed, and erred alike without it.
    pull : Estimate
        Share as suggested when shown, less the share when hidden; -1 to 1.
    followed : Estimate
        Share of wrong suggestions that people followed and would not have chosen by themselves otherwise; 1 at most.
    """

    shown: int
    shown_alike: int
    hidden: int
    hidden_alike: int
    pull: Estimate
    followed: Estimate


@dataclass(frozen=True)
class SuggestionPull:
    """What suggestions do to people.

    Attributes
    ----------
    overall : Pull
    by_person, by_class : dict of int to Pull
        Of each person, and of each true class, with a wrong suggestion.
    shown, hidden : int
        Answers whose true class is known, of all items.
    right_shown, right_hidden : int
        Those of them that are right.
    net : Estimate
        Share of right answers when suggestions are shown, less that when hidden: what they do on balance.
    harmful : bool
        Whether they do harm on balance. May be asked after every answer: see `is_harmful`.
    """

    overall: Pull
    by_person: dict[int, Pull]
    by_class: dict[int, Pull]
    shown: int
    right_shown: int
    hidden: int
    right_hidden: int
    net: Estimate
    harmful: bool


def measure_pull(
    shown: NDArray[np.bool_],
    suggested: NDArray[np.int64],
    answered: NDArray[np.int64],
    truth: NDArray[np.int64],
    person: NDArray[np.int64],
) -> SuggestionPull:
    """How people's answers differ with and without the suggestion.

    Parameters
    ----------
    shown : (n,) bool
        Of each answer, whether the person saw the suggestion; in the order in which answers were given.
    suggested, answered, truth : (n,) int
        Classes. `truth` must not rest on the very answer: an adjudication, a known class or what others agree on.
        Rows where a class is -1 are left out.
    person : (n,) int
    """
    known = (suggested >= 0) & (answered >= 0) & (truth >= 0)
    shown, suggested, answered = shown[known], suggested[known], answered[known]
    truth, person = truth[known], person[known]
    wrong, alike, right = suggested != truth, answered == suggested, answered == truth

    def pull_among(rows: NDArray[np.bool_]) -> Pull:
        seen, unseen = rows & shown, rows & ~shown
        counts = int((alike & seen).sum()), int(seen.sum()), int((alike & unseen).sum()), int(unseen.sum())
        return Pull(counts[1], counts[0], counts[3], counts[2], difference(*counts), _followed(*counts))

    counts = int((right & shown).sum()), int(shown.sum()), int((right & ~shown).sum()), int((~shown).sum())
    return SuggestionPull(
        overall=pull_among(wrong),
        by_person={int(one): pull_among(wrong & (person == one)) for one in np.unique(person[wrong])},
        by_class={int(one): pull_among(wrong & (truth == one)) for one in np.unique(truth[wrong])},
        shown=counts[1],
        right_shown=counts[0],
        hidden=counts[3],
        right_hidden=counts[2],
        net=difference(*counts),
        harmful=is_harmful(shown, right),
    )


def is_harmful(shown: NDArray[np.bool_], right: NDArray[np.bool_]) -> bool:
    """Whether people are less often right with suggestions than without; safe to ask after every answer.

    It changes its mind only when there are 10, 20, 40, ... answers of the rarer kind: look number j says harmful where
    the upper end of the net effect is below zero at a one-sided level of `FALSE_ALARM` 6 / (pi j)². These sum up to
    `FALSE_ALARM`: suggestions that do no harm are ever called harmful with that probability at most, as far as the
    interval has its level.

    Parameters
    ----------
    shown, right : (n,) bool
        Of each answer in the order in which they were given: was the suggestion seen, and is it right.
    """
    rarer = np.minimum(np.cumsum(shown), np.cumsum(~shown))
    if not len(rarer) or rarer[-1] < FIRST_LOOK:
        return False
    look = int(np.log2(rarer[-1] // FIRST_LOOK)) + 1
    until = int(np.searchsorted(rarer, FIRST_LOOK * 2 ** (look - 1))) + 1
    shown, right = shown[:until], right[:until]
    level = 1 - 2 * FALSE_ALARM * 6 / (np.pi * look) ** 2
    with_it, without = int((right & shown).sum()), int((right & ~shown).sum())
    return difference(with_it, int(shown.sum()), without, int((~shown).sum()), level).high < 0


def difference(successes: int, n: int, others: int, m: int, level: float = LEVEL) -> Estimate:
    """The difference of two proportions, `successes` of `n` less `others` of `m`, with its interval."""
    if not n or not m:
        return Estimate(None, -1.0, 1.0)
    first, second = successes / n, others / m
    (low1, high1), (low2, high2) = exact(successes, n, level), exact(others, m, level)
    below, above = np.hypot(first - low1, high2 - second), np.hypot(high1 - first, second - low2)
    return Estimate(first - second, float(first - second - below), float(first - second + above))


def exact(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Clopper and Pearson's interval of the proportion `successes` of `n`."""
    tail = (1 - level) / 2
    low = betaincinv(successes, n - successes + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, n - successes, 1 - tail) if successes < n else 1.0
    return float(low), float(high)


def _followed(alike: int, n: int, alone: int, m: int) -> Estimate:
    """One less the ratio of answers unlike the suggestion, `n` with it and `m` without."""
    if not n or not m or alone == m:
        return Estimate(None, -np.inf, 1.0)
    first, second = 1 - alike / n, 1 - alone / m
    (low1, high1), (low2, high2) = exact(n - alike, n), exact(m - alone, m)
    product = first * second
    least = product - np.sqrt(max(product**2 - low1 * high2 * (2 * first - low1) * (2 * second - high2), 0.0))
    most = product + np.sqrt(max(product**2 - high1 * low2 * (2 * first - high1) * (2 * second - low2), 0.0))
    smallest, largest = least / (high2 * (2 * second - high2)), most / (low2 * (2 * second - low2))
    return Estimate(1 - first / second, float(1 - largest), float(min(1 - smallest, 1.0)))
