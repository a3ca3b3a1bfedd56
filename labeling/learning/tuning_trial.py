"""Whether tuned weights are better: a project's head under both, on answers that neither it nor the tuning has seen."""

from collections.abc import Callable
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.stats import norm
from sklearn.model_selection import StratifiedKFold

from labeling.learning.learner import Learner
from labeling.learning.zero_shot import Words

FOLDS = 4
LEVEL = 0.95  # of the one-sided bound that has to be above zero: no more than one in twenty is better by chance alone


class Comparison(BaseModel):
    """How often a head was right on answers that were kept from it, under both encoders.

    Attributes
    ----------
    tested : int
        The answers.
    before, after : float
        Shares that were right, under the encoder as it was and under the tuned ones.
    low, high : float
        Of the difference, with 90 % confidence: 5 % on either side.
    """

    tested: int
    before: float
    after: float
    low: float
    high: float

    @property
    def is_better(self) -> bool:
        """Whether chance alone does not explain that the tuned ones were right more often."""
        return self.low > 0


def compare_tuned(
    before: NDArray[np.float32],
    targets: NDArray[np.int64],
    tuned: Callable[[NDArray[np.intp]], NDArray[np.float32]],
    *,
    words: NDArray[np.float32],
    fresh: NDArray[np.bool_] | None = None,
    head: str = "default",
) -> Comparison:
    """Hold tuned encoders against the one there is, in folds that each is kept from.

    Parameters
    ----------
    before : (l, d) array
        Vectors of the labeled items under the encoder that there is.
    targets : (l,) array
        Their class indices, at least two of each class.
    tuned
        Vectors (l, d) of all of them under an encoder that was tuned on the labels at some places.
    words : (k, d) array
        Vectors of the words for the classes, the same under both.
    fresh : (l,) array of bool, optional
        Which answers the encoder that there is has not been tuned on itself: only these are counted.
    head : {"default", "logistic"}
        What learns in the project.
    """
    right = np.zeros((2, len(targets)), dtype=np.bool_)
    for learned, kept in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(before, targets):
        for at, vectors in enumerate((before, tuned(learned))):
            learner = Learner(vectors, head=head, words=Words(words) if head == "default" else None)
            model = learner.learn(learned, targets[learned]).model
            assert model is not None
            said = np.asarray(model.classes)[model.predict_proba(learner.see(vectors[kept])).argmax(axis=1)]
            right[at, kept] = said == targets[kept]
    counted = right if fresh is None else right[:, fresh]
    return compared(*counted, folds=FOLDS)


def compared(before: NDArray[np.bool_], after: NDArray[np.bool_], *, folds: int) -> Comparison:
    """Compare on n answers whether each was right before, and after; each kept from the models in one of ``folds``.

    The differences are taken in pairs. As the folds' models learned from much the same labels, they err together: the
    variance of the mean is the one of independent answers, s²/n, times 1 + k/(k - 1) for k folds, which is the
    correction of Nadeau and Bengio with the answers as units.

    References
    ----------
    Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003.
    """
    difference = after.astype(float) - before
    n = len(difference)
    error = sqrt(difference.var(ddof=1) / n * (1 + folds / (folds - 1)))
    margin, gain = float(norm.ppf(LEVEL)) * error, float(difference.mean())
    return Comparison(
        tested=n,
        before=float(before.mean()),
        after=float(after.mean()),
        low=gain - margin,
        high=gain + margin,
    )
