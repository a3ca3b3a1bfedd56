"""Query by committee: ask where classifiers fitted to the same labels disagree.

Each measure turns the members' probabilities (members, n, k) into (n,) numbers from 0, all agree, to at most 1.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, rel_entr
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from strategies.base import Model, Pool, StrategyError, random_utilities, score_in_blocks

Ballots = NDArray[np.floating[Any]]  # (members, n, k)
Scores = NDArray[np.float64]  # (n,)


def vote_entropy(ballots: Ballots) -> Scores:
    """Entropy of the members' votes, each for its likeliest class (Engelson and Dagan, 1996)."""
    members, _, k = ballots.shape
    shares = (ballots.argmax(axis=2)[:, :, None] == np.arange(k)).mean(axis=0)
    return entr(shares).sum(axis=1) / np.log(max(2, min(members, k)))


def consensus_entropy(ballots: Ballots) -> Scores:
    """Entropy of the members' mean probabilities: high, too, where all are equally unsure."""
    return entr(ballots.mean(axis=0)).sum(axis=1) / np.log(max(2, ballots.shape[2]))


def max_disagreement(ballots: Ballots) -> Scores:
    """The greatest Kullback-Leibler divergence of a member from the mean (after McCallum and Nigam, 1998)."""
    divergences = rel_entr(ballots, ballots.mean(axis=0)).sum(axis=2)
    return divergences.max(axis=0) / np.log(max(2, len(ballots)))


MEASURES: dict[str, Callable[[Ballots], Scores]] = {
    "vote_entropy": vote_entropy,
    "consensus_entropy": consensus_entropy,
    "max_disagreement": max_disagreement,
}


@dataclass(frozen=True)
class _Members:
    """A fitted committee; every member knows the same ``classes`` (k,) and sees features moved and scaled alike."""

    classifiers: tuple[Any, ...]
    classes: NDArray[np.intp]
    centre: NDArray[np.float64]
    scale: float

    def ballots(self, features: NDArray[Any]) -> Ballots:
        """Probabilities (members, n, k) of rows (n, d)."""
        scaled = (features - self.centre) / self.scale
        return np.stack([classifier.predict_proba(scaled) for classifier in self.classifiers])


class Committee:
    """Ask where a committee of different kinds of classifier, and of bootstraps of one kind, disagrees most.

    The strategy fits its members itself, to the pool's labels, each time it is asked: logistic regression, naive Bayes,
    nearest neighbours, randomised trees, and logistic regressions on Bayesian bootstraps. These reweight the labels at
    random where the ordinary bootstrap leaves some out, so that no class is ever missing from one. With labels of fewer
    than two classes, or labeled items that are all alike, there is nothing to disagree on, and utilities are random.

    Parameters
    ----------
    disagreement : {"vote_entropy", "consensus_entropy", "max_disagreement"}
    bootstraps : int
        How many bootstraps sit beside the four kinds of classifier.

    References
    ----------
    Seung, Opper and Sompolinsky, "Query by committee", COLT 1992.
    Rubin, "The Bayesian bootstrap", Annals of Statistics 9, 1981.
    """

    name = "committee"
    needs = frozenset({"committee", "features"})

    def __init__(self, disagreement: str = "vote_entropy", bootstraps: int = 3) -> None:
        if disagreement not in MEASURES:
            raise StrategyError(f"There is no disagreement {disagreement!r}; choose one of {', '.join(MEASURES)}.")
        if bootstraps < 0:
            raise StrategyError("A committee cannot have fewer than 0 bootstraps.")
        self.measure = MEASURES[disagreement]
        self.bootstraps = bootstraps
        # The last committee, so that `why` reports the votes that were counted. Weak, as a pool may hold large arrays.
        self._last: tuple[weakref.ref[Pool], _Members] | None = None

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """Disagreement on each candidate, (m,). The model is not used."""
        members = self._fit(pool, rng)
        if members is None:
            self._last = None
            return random_utilities(pool, rng)
        self._last = weakref.ref(pool), members
        width = len(members.classifiers) * len(members.classes)
        return score_in_blocks(lambda x: self.measure(members.ballots(x)), pool, pool.candidates, width)

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """Give the votes of the committee that scored this pool, as in "committee split 4 to 3: 8 or 3"."""
        if self._last is None or self._last[0]() is not pool:
            return ["drawn at random, as no committee could vote yet"] * len(rows)
        if len(rows) == 0:
            return []
        members = self._last[1]
        votes = members.ballots(np.asarray(pool.features[rows])).argmax(axis=2).T
        return [
            _split(np.bincount(v, minlength=len(members.classes)), [class_names[c] for c in members.classes])
            for v in votes
        ]

    def _fit(self, pool: Pool, rng: np.random.Generator) -> _Members | None:
        """Fit the members; None where there are no two classes, or nothing to tell them by."""
        weights = np.ones(len(pool.labeled)) if pool.weights is None else pool.weights
        counts = np.flatnonzero(weights)
        targets, weights = pool.targets[counts], weights[counts]
        classes = np.unique(targets)
        features = np.asarray(pool.features[pool.labeled[counts]], dtype=np.float64)
        if len(classes) < 2 or not np.ptp(features, axis=0).any():
            return None
        # One scale for all columns: nearest neighbours need the geometry, the penalty of the regressions a common unit.
        centre, scale = features.mean(axis=0), float(np.sqrt(features.var(axis=0).mean()))
        features = (features - centre) / scale
        seed = int(rng.integers(2**31))
        classifiers = [
            _logistic().fit(features, targets, weights),
            GaussianNB(var_smoothing=0.01).fit(features, targets, weights),
            KNeighborsClassifier(min(5, len(targets)), weights="distance").fit(features, targets),
            ExtraTreesClassifier(25, random_state=seed).fit(features, targets, weights),
        ]
        for _ in range(self.bootstraps):
            chance = rng.dirichlet(np.ones(len(targets))) * len(targets)
            classifiers.append(_logistic().fit(features, targets, weights * chance))
        return _Members(tuple(classifiers), classes, centre, scale)


def _logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=1000)


def _split(votes: NDArray[np.intp], names: Sequence[str]) -> str:
    """The votes (k,) for the classes ``names`` in words, the most votes first."""
    order = [c for c in np.argsort(-votes, kind="stable") if votes[c]]
    if len(order) == 1:
        return f"committee agrees on {names[order[0]]}"
    return f"committee split {' to '.join(str(votes[c]) for c in order)}: {' or '.join(names[c] for c in order)}"
