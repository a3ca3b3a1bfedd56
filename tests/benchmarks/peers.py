"""The strategies of scikit-activeml as strategies of ours, so that both are replayed by the same loop.

Each gets the best that its documentation or its paper knows of for features of a fixed encoder and batches of ten:

UncertaintySampling   smallest margin
QueryByCommittee      ten bootstraps of the head; vote entropy (its default, KL divergence, did far worse on the one
                      seed tried)
TypiClust             k-means up to 50 clusters, mini-batch k-means beyond (Hacohen et al., 2022, section 3.2)
Badge, Falcun         as they are
Clue                  k-means weighted by margins (by entropy, its default, it did worse on the one seed tried)
DropQuery             as it is: three quarters of the features dropped, five times
MaxHerding            as it is: a Gaussian kernel with gamma 1 / d on features of length 1 (a gamma
                      of 1 did no better on the one seed tried)

None gets labels to begin with: those that need a model start as they do by themselves on equal probabilities, which is
at random for UncertaintySampling, QueryByCommittee and Falcun and by what the features say for the others.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from strategies.base import Model, Pool

MEMBERS = 10  # of the committee
EXACT_CLUSTERS = 50  # beyond which TypiClust's authors cluster in small batches

Query = Callable[["Peer", NDArray[Any], NDArray[np.floating], Pool, int], Any]


class Peer:
    """One of scikit-activeml's strategies, with the head that it is to use; it chooses its batch as a whole.

    Parameters
    ----------
    name : str
        The class of `skactiveml.pool`.
    head : scikit-learn classifier
        Not fitted.
    batch_size : int
    """

    needs = frozenset({"model", "features"})

    def __init__(self, name: str, head: ClassifierMixin, batch_size: int = 10) -> None:
        self.name = name
        self.head = head
        self.batch_size = batch_size

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """The chosen ones get their place in the batch, from its size down to 1; all others 0."""
        targets = np.full(len(pool.features), np.nan)
        targets[pool.labeled] = pool.targets
        batch = min(self.batch_size, len(pool.candidates))
        with warnings.catch_warnings():
            # No label yet, or one class: then scikit-activeml predicts frequencies, and says so each time.
            warnings.filterwarnings("ignore", message=".*base_estimator")
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters
            chosen = QUERIES[self.name](self, np.asarray(pool.features), targets, pool, int(rng.integers(2**31)), batch)
        utilities = np.zeros(len(pool.features))
        utilities[np.asarray(chosen, dtype=np.intp)] = np.arange(batch, 0, -1)
        return utilities[pool.candidates]

    def classifier(self, n_classes: int) -> Any:
        """The head as scikit-activeml takes it: knows which classes there are, and predicts equally without labels."""
        from skactiveml.classifier import SklearnClassifier

        return SklearnClassifier(clone(self.head), classes=np.arange(n_classes), random_state=0)

    def committee(self, X: NDArray[Any], targets: NDArray[np.floating], pool: Pool, seed: int) -> list[Any]:
        """Fitted members, each on its own bootstrap of the labels."""
        rng = np.random.default_rng(seed)
        members = []
        for _ in range(MEMBERS):
            drawn = pool.labeled[rng.integers(len(pool.labeled), size=len(pool.labeled))] if len(pool.labeled) else []
            members.append(self.classifier(pool.n_classes).fit(X[drawn], targets[drawn]))
        return members


def _uncertainty(peer: Peer, X: Any, y: Any, pool: Pool, seed: int, batch: int) -> Any:
    from skactiveml.pool import UncertaintySampling

    asked = UncertaintySampling(method="margin_sampling", random_state=seed)
    return asked.query(X, y, peer.classifier(pool.n_classes), candidates=pool.candidates, batch_size=batch)


def _committee(peer: Peer, X: Any, y: Any, pool: Pool, seed: int, batch: int, method: str = "vote_entropy") -> Any:
    from skactiveml.pool import QueryByCommittee, RandomSampling

    if len(pool.labeled) == 0:  # a committee of nothing cannot be made
        return RandomSampling(random_state=seed).query(X, y, candidates=pool.candidates, batch_size=batch)
    asked = QueryByCommittee(method=method, random_state=seed)
    members = peer.committee(X, y, pool, seed)
    return asked.query(X, y, members, fit_ensemble=False, candidates=pool.candidates, batch_size=batch)


def _typi_clust(peer: Peer, X: Any, y: Any, pool: Pool, seed: int, batch: int) -> Any:
    from skactiveml.pool import TypiClust

    clusters = MiniBatchKMeans if len(pool.labeled) + batch > EXACT_CLUSTERS else KMeans
    asked = TypiClust(cluster_algo=clusters, random_state=seed)
    return asked.query(X, y, candidates=pool.candidates, batch_size=batch)


def _badge(peer: Peer, X: Any, y: Any, pool: Pool, seed: int, batch: int) -> Any:
    from skactiveml.pool import Badge

    asked = Badge(random_state=seed)
    return asked.query(X, y, peer.classifier(pool.n_classes), candidates=pool.candidates, batch_size=batch)


def _falcun(peer: Peer, X: Any, y: Any, pool: Pool, seed: int, batch: int) -> Any:
    from skactiveml.pool import Falcun

    asked = Falcun(random_state=seed)
    return asked.query(X, y, peer.classifier(pool.n_classes), candidates=pool.candidates, batch_size=batch)


def _clue(peer: Peer, X: Any, y: Any, pool: Pool, seed: int, batch: int, method: str = "margin_sampling") -> Any:
    from skactiveml.pool import Clue

    asked = Clue(cluster_algo_dict={"random_state": seed}, method=method, random_state=seed)
    return asked.query(X, y, peer.classifier(pool.n_classes), candidates=pool.candidates, batch_size=batch)


def _drop_query(peer: Peer, X: Any, y: Any, pool: Pool, seed: int, batch: int) -> Any:
    from skactiveml.pool import DropQuery

    asked = DropQuery(cluster_algo_dict={"random_state": seed}, random_state=seed)
    return asked.query(X, y, peer.classifier(pool.n_classes), candidates=pool.candidates, batch_size=batch)


def _max_herding(peer: Peer, X: Any, y: Any, pool: Pool, seed: int, batch: int) -> Any:
    from skactiveml.pool import MaxHerding

    asked = MaxHerding(random_state=seed)  # in float32: half the time, and its ties are those of chance anyway
    return asked.query(X.astype(np.float32), y, candidates=pool.candidates, batch_size=batch)


QUERIES: dict[str, Callable[[Peer, Any, Any, Pool, int, int], Any]] = {
    "UncertaintySampling": _uncertainty,
    "QueryByCommittee": _committee,
    "TypiClust": _typi_clust,
    "Badge": _badge,
    "Falcun": _falcun,
    "Clue": _clue,
    "DropQuery": _drop_query,
    "MaxHerding": _max_herding,
}
PEERS = list(QUERIES)
