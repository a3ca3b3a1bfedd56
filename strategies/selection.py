"""From utilities to a batch: the best first, ties by lot, and variety where it is asked for."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from strategies.base import StrategyError

HELD = 128  # held rows, drawn by lot, that a batch is kept apart from: what bounds the time of the grouping


class NonFiniteUtilities(StrategyError):
    """A utility is NaN or infinite, so that there is no order to speak of."""


def select(
    utilities: NDArray[np.floating[Any]],
    candidates: NDArray[np.integer[Any]],
    batch: int,
    rng: np.random.Generator,
    features: NDArray[Any] | None = None,
    diversity: int = 1,
    held: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.intp]:
    """Choose up to ``batch`` candidates, in the order in which to ask them.

    Parameters
    ----------
    utilities : (m,) float
        Higher = ask sooner.
    candidates : (m,) int
        Their rows. The lot that decides a tie belongs to the row, so that the order of the candidates does not matter.
    batch : int
        All of the candidates are chosen where there are fewer.
    features : (n, d) array, optional
        The pool's features; needed for ``diversity`` only, and read only at the shortlist's rows.
    diversity : int
        1 takes the best. With b > 1 the best ``b * batch`` are grouped by k-means into ``batch`` groups, and the best
        of each group is taken, so that one batch does not ask the same thing ten times.
    held : (h,) int, optional
        Rows that people are working on right now. With ``diversity`` the batch differs from them, too: the h of them
        make for h more groups and ``b * h`` more candidates, are grouped along, and groups that hold one of them are
        left until the others are used up.

    Returns
    -------
    (min(batch, m),) int
        Positions: ``candidates[chosen]`` are the rows and ``utilities[chosen]`` their utilities, in descending order.

    Raises
    ------
    NonFiniteUtilities
        If a utility is NaN or infinite.
    StrategyError
        If there is not one utility per candidate, or variety is asked for without features.

    References
    ----------
    Zhdanov, "Diverse mini-batch active learning", 2019 (arXiv:1901.05954).
    """
    if utilities.shape != candidates.shape or candidates.ndim != 1:
        raise StrategyError(
            f"There are {utilities.size} utilities for {candidates.size} candidates; there must be one each."
        )
    if not np.isfinite(utilities).all():
        broken = np.count_nonzero(~np.isfinite(utilities))
        raise NonFiniteUtilities(
            f"{broken} of {len(utilities)} utilities are not finite numbers; check the features and model."
        )
    lots = np.empty(len(candidates))
    lots[np.argsort(candidates, kind="stable")] = rng.random(len(candidates))
    order = np.lexsort((lots, -utilities))
    batch = max(batch, 0)
    if diversity <= 1 or batch < 1 or len(order) <= batch:
        return order[:batch]
    if features is None:
        raise StrategyError("Variety within a batch needs the features; pass them, or use diversity=1.")
    beside = np.empty(0, dtype=np.intp)
    if held is not None and len(held):
        beside = rng.permutation(np.unique(held))[:HELD]
    shortlist = order[: diversity * (batch + len(beside))]
    rows = np.concatenate([candidates[shortlist], beside])
    return shortlist[_spread(np.asarray(features[rows]), len(shortlist), batch, rng)]


def _spread(features: NDArray[Any], candidates: int, batch: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Positions (batch,), ascending, of the first row of each k-means group; those after ``candidates`` are held.

    Groups without a held row come first, then those with one; what is missing then is filled up with the first rows.
    """
    wanted = min(batch + len(features) - candidates, candidates)
    groups = min(wanted, len(np.unique(features, axis=0)))
    with warnings.catch_warnings():  # of fewer groups than wanted, where rounding alone tells points apart
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = KMeans(groups, n_init=1, random_state=int(rng.integers(2**31))).fit_predict(features)
    first = np.sort(np.unique(labels[:candidates], return_index=True)[1])
    taken = np.isin(labels[first], labels[candidates:])
    others = np.setdiff1d(np.arange(candidates), first)
    return np.sort(np.concatenate([first[~taken], first[taken], others])[:batch])
