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
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.naive_bayes import GaussianNB

from strategies.base import Model, Pool, StrategyError, random_utilities, score_in_blocks
from strategies.uncertainty import VARIETY

Ballots = NDArray[np.floating[Any]]  # (members, n, k)
Scores = NDArray[np.float64]  # (n,)

# What bounds the time that a large pool takes.
NEIGHBOURS = 256  # labeled items, drawn by lot, that a row is compared with
TREES = 5

BANDWIDTH = 0.5  # of the neighbours' votes: of the median squared distance from a labeled item to its nearest


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
class _Jury:
    """The members fitted to one pool's labels, in the form that scores a block of rows with few matrix products.

    They know the same ``classes`` (k,) and see features moved by ``centre`` (d,) and divided by ``scale``. The linear
    ones and naive Bayes answer with logits, quadratic in the features only for the latter; stacked, r of them in all.
    """

    classes: NDArray[np.intp]
    centre: NDArray[np.float64]
    scale: float
    linear: NDArray[np.float32]  # (r * k, d)
    constant: NDArray[np.float32]  # (r * k,)
    square: NDArray[np.float32]  # (k, d), of the last of the r: naive Bayes
    neighbours: NDArray[np.float32]  # (l', d)
    offset: NDArray[np.float32]  # (l',)
    votes: NDArray[np.float32]  # (l', k), each neighbour's class
    trees: ExtraTreesClassifier

    def ballots(self, features: NDArray[Any]) -> Ballots:
        """Probabilities (r + 2, n, k) of rows (n, d)."""
        precise = np.promote_types(features.dtype, np.float32)  # a float32 pool is not copied to float64
        x = np.subtract(features, self.centre.astype(precise), dtype=precise)
        x = np.divide(x, precise.type(self.scale), out=x).astype(np.float32, copy=False)
        # Classes before rows, so that the softmax runs along rows.
        logits = (self.linear @ x.T + self.constant[:, None]).reshape(-1, len(self.classes), len(x))
        near = self.neighbours @ x.T + self.offset[:, None]
        # One by one: the forest's own method starts a thread pool for each block.
        trees = np.mean([tree.predict_proba(x, check_input=False) for tree in self.trees.estimators_], axis=0).T
        logits[-1] -= self.square @ np.square(x, out=x).T
        near = self.votes.T @ _softmax(near, axis=0)
        return np.concatenate([_softmax(logits, axis=1), near[None], trees[None]]).swapaxes(1, 2)


def _softmax(logits: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Softmax along ``axis``, in place."""
    logits -= logits.max(axis=axis, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=axis, keepdims=True)
    return logits


def _spread_out(ballots: Ballots, known: NDArray[np.integer], classes: NDArray[np.intp]) -> Ballots:
    """Ballots over ``classes`` (k,) from ballots over ``known``, some of those classes in any order."""
    if np.array_equal(known, classes):
        return ballots
    spread = np.zeros((*ballots.shape[:2], len(classes)), dtype=ballots.dtype)
    spread[:, :, np.searchsorted(classes, known)] = ballots
    return spread


@dataclass(frozen=True)
class _Panel:
    """All who vote on one pool: the jury fitted to its labels, where there is one, and the members brought along."""

    classes: NDArray[np.intp]
    jury: _Jury | None
    guests: tuple[Model, ...]

    def ballots(self, features: NDArray[Any]) -> Ballots:
        """Probabilities (members, n, k) of rows (n, d)."""
        cast = [] if self.jury is None else [_spread_out(self.jury.ballots(features), self.jury.classes, self.classes)]
        for guest in self.guests:
            cast.append(_spread_out(np.asarray(guest.predict_proba(features))[None], guest.classes, self.classes))
        return np.concatenate(cast)


class Committee:
    """Ask where a committee of different kinds of classifier, and of bootstraps of one kind, disagrees most.

    The strategy fits its members itself, to the pool's labels, each time it is asked: logistic regression, naive Bayes,
    nearest neighbours (softly: each labeled item votes with a weight that falls with its distance), randomised trees,
    and logistic regressions on Bayesian bootstraps. These reweight the labels at random where the ordinary bootstrap
    leaves some out, so that no class is ever missing from one. With labels of fewer than two classes, or labeled items
    that are all alike, none can be fitted; where there are no other members either, utilities are random.

    Parameters
    ----------
    disagreement : {"vote_entropy", "consensus_entropy", "max_disagreement"}
    bootstraps : int
        How many bootstraps sit beside the four kinds of classifier.
    members : sequence of Model
        Fitted models on the pool's features that vote, too, such as a zero-shot classifier. Each may know fewer classes
        than the pool has. Two of them can disagree before there is a label.

    References
    ----------
    Seung, Opper and Sompolinsky, "Query by committee", COLT 1992.
    Rubin, "The Bayesian bootstrap", Annals of Statistics 9, 1981.
    """

    name = "committee"
    needs = frozenset({"committee", "features"})

    def __init__(self, disagreement: str = "vote_entropy", bootstraps: int = 3, members: Sequence[Model] = ()) -> None:
        if disagreement not in MEASURES:
            raise StrategyError(f"There is no disagreement {disagreement!r}; choose one of {', '.join(MEASURES)}.")
        if bootstraps < 0:
            raise StrategyError("A committee cannot have fewer than 0 bootstraps.")
        if not isinstance(members, Sequence) or not all(isinstance(member, Model) for member in members):
            raise StrategyError("The members of a committee are fitted models, with classes and predict_proba.")
        self.measure = MEASURES[disagreement]
        self.bootstraps = bootstraps
        self.members = tuple(members)
        # The last committee, so that `why` reports the votes that were counted. Weak, as a pool may hold large arrays.
        self._last: tuple[weakref.ref[Pool], _Panel] | None = None

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """Disagreement on each candidate, (m,). The model is not used: a linear member is what it would be."""
        jury = _fit(pool, self.bootstraps, rng)
        known = [member.classes for member in self.members] + ([] if jury is None else [jury.classes])
        if not known:
            self._last = None
            return random_utilities(pool, rng)
        panel = _Panel(np.unique(np.concatenate(known)), jury, self.members)
        self._last = weakref.ref(pool), panel
        # Numbers held per row: the features moved, similarities to the neighbours, and the ballots.
        seats = 4 + self.bootstraps + len(self.members)
        width = pool.features.shape[1] + NEIGHBOURS + seats * len(panel.classes)
        return score_in_blocks(lambda x: self.measure(panel.ballots(x)), pool, pool.candidates, width)

    def variety(self, pool: Pool, model: Model | None) -> int:
        """Much: what members disagree on is often the same thing many times over."""
        return VARIETY

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """Give the votes of the committee that scored this pool, as in "committee split 4 to 3: 8 or 3"."""
        if self._last is None or self._last[0]() is not pool:
            return ["drawn at random, as no committee could vote yet"] * len(rows)
        if len(rows) == 0:
            return []
        panel = self._last[1]
        votes = panel.ballots(np.asarray(pool.features[rows])).argmax(axis=2).T
        return [
            _split(np.bincount(v, minlength=len(panel.classes)), [class_names[c] for c in panel.classes]) for v in votes
        ]


def _fit(pool: Pool, bootstraps: int, rng: np.random.Generator) -> _Jury | None:
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
    trees = ExtraTreesClassifier(TREES, random_state=int(rng.integers(2**31))).fit(features, targets, weights)

    chances = [np.ones(len(targets)), *rng.dirichlet(np.ones(len(targets)), bootstraps) * len(targets)]
    logistic = [_logistic(features, targets, weights * chance) for chance in chances]
    bayes = GaussianNB(var_smoothing=0.01).fit(features, targets, weights)
    # The logarithm of its density, multiplied out: x * x and x each times a matrix, and a constant.
    constant = np.log(bayes.class_prior_) - 0.5 * (np.log(bayes.var_) + bayes.theta_**2 / bayes.var_).sum(axis=1)

    # A neighbour's vote falls with its squared distance; of that, what all neighbours have in common cancels out.
    near = np.sort(rng.permutation(len(targets))[:NEIGHBOURS])
    neighbours = features[near]
    distances = euclidean_distances(neighbours, squared=True)
    np.fill_diagonal(distances, np.inf)
    # Where most are copies, the distance between two of them says nothing, and rounding would decide.
    width = BANDWIDTH * max(float(np.median(distances.min(axis=1))), 1e-3 * neighbours.shape[1])
    return _Jury(
        classes,
        centre,
        scale,
        np.concatenate([*(coef for coef, _ in logistic), bayes.theta_ / bayes.var_]).astype(np.float32),
        np.concatenate([*(intercept for _, intercept in logistic), constant]).astype(np.float32),
        (0.5 / bayes.var_).astype(np.float32),
        (2 / width * neighbours).astype(np.float32),
        (np.log(weights[near]) - np.square(neighbours).sum(axis=1) / width).astype(np.float32),
        (targets[near, None] == classes).astype(np.float32),
        trees,
    )


def _logistic(
    features: NDArray[np.float64], targets: NDArray[np.intp], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients (k, d) and intercepts (k,) of a logistic regression, whose softmax is its probabilities."""
    fitted = LogisticRegression(tol=1e-3, max_iter=1000).fit(features, targets, weights)
    if len(fitted.coef_) > 1:
        return fitted.coef_, fitted.intercept_
    halves = np.array([-0.5, 0.5])  # with two classes, scikit-learn keeps the difference
    return halves[:, None] * fitted.coef_, halves * fitted.intercept_


def _split(votes: NDArray[np.intp], names: Sequence[str]) -> str:
    """The votes (k,) for the classes ``names`` in words, the most votes first."""
    order = [c for c in np.argsort(-votes, kind="stable") if votes[c]]
    if len(order) == 1:
        return f"committee agrees on {names[order[0]]}"
    return f"committee split {' to '.join(str(votes[c]) for c in order)}: {' or '.join(names[c] for c in order)}"
