"""Learning on arrays: how a model sees the pool, and the model itself, as the simulation replays it.

The worker does the same on features on disk (`labeling.learning.training`), with the same parts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, clone

from labeling.errors import Invalid
from labeling.features.prior import PoolPrior
from labeling.learning.choice import Choice, choose
from labeling.learning.head import PLAIN_STRENGTH, fit_head
from labeling.learning.zero_shot import Words, choose_with_words, fit_like
from strategies.base import Model

HEADS = ("default", "logistic")


@dataclass(frozen=True)
class Learned:
    """The pool as the model sees it, ``features`` (n, k), and the model; None while the labels admit none."""

    features: NDArray[Any]
    model: Model | None


@dataclass(frozen=True)
class Classifier:
    """Any fitted scikit-learn classifier as a `strategies.Model`."""

    fitted: Any

    @property
    def classes(self) -> NDArray[np.integer[Any]]:
        """The class indices that it knows, (k,)."""
        return np.asarray(self.fitted.classes_)

    def predict_proba(self, features: NDArray[Any], /) -> NDArray[np.floating[Any]]:
        """Probabilities (n, k) of rows (n, d)."""
        return np.asarray(self.fitted.predict_proba(features))

    def refit(
        self,
        features: NDArray[Any],
        targets: NDArray[np.integer[Any]],
        weights: NDArray[np.floating[Any]] | None = None,
    ) -> "Classifier":
        """The same kind of classifier, fitted anew."""
        given = {} if weights is None else {"sample_weight": weights}
        return Classifier(clone(self.fitted).fit(features, targets, **given))


class Learner:
    """Learns from labels on a pool of fixed features.

    Parameters
    ----------
    features : (n, d) array
        The pool.
    head : {"default", "logistic"} or a scikit-learn classifier
        The default: logistic regression on the pool as its own shape shows it, with the weight of that shape and the
        penalty chosen from the labels (`labeling.features.prior`, `labeling.learning.choice`). "logistic":
        scikit-learn's, on the features as they are, C = 30. Or any classifier with ``predict_proba``, unfitted.
    words : Words, optional
        Of the classes 0 to k - 1, in the space of the features; the default head then begins with them.

    Raises
    ------
    Invalid
        If there is no such head.
    """

    def __init__(
        self,
        features: NDArray[np.floating[Any]],
        head: str | ClassifierMixin = "default",
        seed: int = 0,
        words: Words | None = None,
    ) -> None:
        if isinstance(head, str) and head not in HEADS:
            raise Invalid(f"There is no head “{head}”; there are: {', '.join(HEADS)}.")
        if not isinstance(head, str) and not hasattr(head, "predict_proba"):
            raise Invalid(f"{type(head).__name__} gives no probabilities; choose a classifier with predict_proba.")
        self.features = features
        self.head = head
        self.seed = seed
        self.words = words
        self.choice = Choice()
        self._prior = PoolPrior.measured(features) if head == "default" else None
        self._seen: tuple[float, NDArray[Any]] | None = None

    def learn(self, labeled: NDArray[np.intp], targets: NDArray[np.intp]) -> Learned:
        """Fit to the labels ``targets`` (l,) of the rows ``labeled`` (l,); no model with fewer than two classes."""
        learnable = len(np.unique(targets)) > 1
        if self._prior is not None and self.words is not None:
            self.choice = choose_with_words(
                self.words, self._prior, self.features, labeled, targets, self.choice, seed=self.seed
            )
            pool, said = self._pool(self._prior), self.words.see(self._prior, self.choice.power)
            return Learned(pool, fit_like(self.choice, said)(pool[labeled], targets))
        if self._prior is not None:
            prior, rows = self._prior, self.features[labeled]
            if learnable:
                self.choice = choose(lambda power: prior.see(rows, power), targets, self.choice, seed=self.seed)
            pool = self._pool(prior)
            return Learned(pool, fit_head(pool[labeled], targets, strength=self.choice.strength) if learnable else None)
        if not learnable:
            return Learned(self.features, None)
        if isinstance(self.head, str):
            return Learned(self.features, fit_head(self.features[labeled], targets, strength=PLAIN_STRENGTH))
        return Learned(self.features, Classifier(clone(self.head).fit(self.features[labeled], targets)))

    def see(self, features: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """New rows (n, d) as the model that was learned last sees the pool: (n, k)."""
        return features if self._prior is None else self._prior.see(features, self.choice.power)

    def _pool(self, prior: PoolPrior) -> NDArray[Any]:
        if self._seen is None or self._seen[0] != self.choice.power:
            self._seen = self.choice.power, prior.see(self.features, self.choice.power)
        return self._seen[1]
