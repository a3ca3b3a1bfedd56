"""Ask for a batch whose answers would pull the model far, and in different directions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strategies.base import Model, Pool, random_utilities
from strategies.similarity import sample
from strategies.uncertainty import Margin

PICKS = 256  # how many are put in order; more than a batch is never asked for before the model changes


class Badge:
    """Draw items one by one, each with a chance that grows with its distance to those drawn before it.

    Distances are between the gradients that the items would have in a linear head if the model's own guess were right:
    ``(e_guess - p) [x, 1]'``. Items about which the model is sure lie near 0, so the draws (k-means++ seeding, from the
    longest gradient on) favour the uncertain as well as the diverse. Items held by others count as drawn already.

    The utilities encode the order: the first ``PICKS`` drawn have 1 to 2, the others compared follow by the length of
    their gradients, between 0 and 1. A random sample of the candidates is compared; the rest follow by lot, below 0.

    References
    ----------
    Ash, Zhang, Krishnamurthy, Langford and Agarwal, "Deep batch active learning by diverse, uncertain gradient lower
    bounds", ICLR 2020 (BADGE).
    Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """

    name = "badge"
    needs = frozenset({"model", "features"})

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """The order of the draws as utilities (m,); random numbers while there is no model."""
        if model is None:
            return random_utilities(pool, rng)
        lots = rng.random(len(pool.features))
        utilities = lots[pool.candidates] - 1
        if len(pool.candidates) == 0:
            return utilities
        compared = sample(np.arange(len(pool.candidates)), lots[pool.candidates])
        held = sample(np.unique(pool.held), lots[np.unique(pool.held)])[:PICKS]
        gradients = _Gradients(pool, model, np.concatenate([pool.candidates[compared], held]))
        order = _draw(gradients, len(compared), rng)
        lengths = np.sqrt(gradients.squares[: len(compared)])
        utilities[compared] = lengths / (1 + lengths)
        utilities[compared[order]] = 2 - np.arange(len(order)) / PICKS
        return utilities

    def why(self, pool: Pool, model: Model | None, rows: NDArray[np.intp], class_names: Sequence[str]) -> list[str]:
        """Name the classes between which the model hesitates."""
        return Margin().why(pool, model, rows, class_names)


class _Gradients:
    """Gradients of rows (n,) in a linear head, as their two factors: ``error (n, k)`` and ``x (n, d + 1)``."""

    def __init__(self, pool: Pool, model: Model, rows: NDArray[np.intp]) -> None:
        features = np.asarray(pool.features[rows])
        self.x = np.column_stack([features, np.ones(len(rows))]).astype(np.float64)
        self.error = -np.asarray(model.predict_proba(features), dtype=np.float64)
        self.error[np.arange(len(rows)), self.error.argmin(axis=1)] += 1
        self.squares = np.square(self.error).sum(axis=1) * np.square(self.x).sum(axis=1)

    def squared_distances(self, i: int) -> NDArray[np.float64]:
        """From all (n,) to the i-th; an inner product of outer products is the product of their inner products."""
        products = (self.error @ self.error[i]) * (self.x @ self.x[i])
        distances = self.squares + self.squares[i] - 2 * products
        return np.where(distances > 1e-9 * self.squares, distances, 0)  # copies, but for rounding


def _draw(gradients: _Gradients, candidates: int, rng: np.random.Generator) -> list[int]:
    """Up to `PICKS` of the first ``candidates`` rows, in the order of k-means++; the rows after them are centres."""
    nearest = gradients.squares[:candidates].copy()
    for held in range(candidates, len(gradients.squares)):
        np.minimum(nearest, gradients.squared_distances(held)[:candidates], out=nearest)
    picks: list[int] = []
    while len(picks) < PICKS and nearest.any():
        # The longest first; then by lot, with the squared distance to the nearest drawn so far as the weight.
        pick = int(rng.choice(candidates, p=nearest / nearest.sum()) if picks else nearest.argmax())
        picks.append(pick)
        np.minimum(nearest, gradients.squared_distances(pick)[:candidates], out=nearest)
        nearest[pick] = 0
    return picks
