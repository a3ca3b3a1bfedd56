"""What a strategy sees (`Pool`, `Model`), what it answers, and how a pick says why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEEDS = frozenset({"model", "committee", "features"})
BLOCK = 2**22  # numbers held at once while a pool is scored: 32 MiB of float64
DENSE = 0.9  # share of the rows of a block that must be asked for, so that it is scored where it lies


class StrategyError(ValueError):
    """Something about a strategy, its options or its answer is wrong, in a way that its sentence explains."""


@dataclass(frozen=True, eq=False)
class Pool:
    """One project at one moment: arrays that nobody can write through, and no copy of the features.

    Parameters
    ----------
    features : (n, d) array
        One row per item; may be memory-mapped, and is read only where a strategy asks for rows.
    labeled : (l,) int
        Rows of the items with a label.
    targets : (l,) int
        Their class indices, 0 to ``n_classes - 1``.
    candidates : (m,) int
        Rows of the items that may be asked now.
    n_classes : int
    weights : (l,) float, optional
        How much each label counts in a fit; ``None``: all the same.
    held : (h,) int, optional
        Rows of the items that people are working on right now: their labels are on the way.

    Raises
    ------
    StrategyError
        If the arrays do not fit together.
    """

    features: NDArray[Any]
    labeled: NDArray[np.intp]
    targets: NDArray[np.intp]
    candidates: NDArray[np.intp]
    n_classes: int
    weights: NDArray[np.float64] | None = None
    held: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, dtype=np.intp))

    def __post_init__(self) -> None:
        # A view, since marking the caller's own matrix read-only would reach beyond this pool.
        features = np.asarray(self.features).view()
        features.flags.writeable = False
        if features.ndim != 2:
            raise StrategyError(f"Features must be a matrix with one row per item, not of shape {features.shape}.")
        object.__setattr__(self, "features", features)
        rows = len(features)
        for name, limit in (("labeled", rows), ("targets", self.n_classes), ("candidates", rows), ("held", rows)):
            object.__setattr__(self, name, _indices(name, getattr(self, name), limit))
        if len(self.labeled) != len(self.targets):
            raise StrategyError(f"There are {len(self.labeled)} labeled rows but {len(self.targets)} targets.")
        if self.weights is not None:
            weights = np.array(self.weights, dtype=np.float64)
            weights.flags.writeable = False
            if weights.shape != self.labeled.shape or not np.all(np.isfinite(weights) & (weights >= 0)):
                raise StrategyError("Weights must be one finite number, zero or more, for each labeled row.")
            object.__setattr__(self, "weights", weights)


def _indices(name: str, given: ArrayLike, limit: int) -> NDArray[np.intp]:
    """Own, read-only copy of an index array, checked against its limit."""
    indices = np.array(given, dtype=np.intp)
    if indices.ndim != 1 or (len(indices) and not 0 <= indices.min() <= indices.max() < limit):
        raise StrategyError(f"The pool's {name} must be a list of numbers from 0 up to, but not including, {limit}.")
    indices.flags.writeable = False
    return indices


@runtime_checkable
class Model(Protocol):
    """A fitted classifier. ``classes`` (k,) are the class indices that it knows, maybe fewer than the pool has.

    One that knows more of them than its labels told it, from the words for them, may say so: ``informed``, True.
    """

    @property
    def classes(self) -> NDArray[np.integer]: ...  # noqa: D102

    def predict_proba(self, features: NDArray[Any], /) -> NDArray[np.floating]:
        """Probabilities (n, k) of rows (n, d), in the order of ``classes``."""
        ...


@runtime_checkable
class LinearModel(Model, Protocol):
    """A model whose probabilities are the softmax of ``features @ coef.T + intercept``.

    ``coef`` (k, d), ``intercept`` (k,), and ``l2``, the strength of its penalty ``l2 / 2 * ||coef||^2`` on the summed
    log loss (1 / C of scikit-learn). Its own ``predict_proba`` may be calibrated further. A strategy that uses them
    asks ``isinstance(model, LinearModel)`` first.
    """

    @property
    def coef(self) -> NDArray[np.floating]: ...  # noqa: D102

    @property
    def intercept(self) -> NDArray[np.floating]: ...  # noqa: D102

    @property
    def l2(self) -> float: ...  # noqa: D102


@runtime_checkable
class Strategy(Protocol):
    """Which item next.

    Attributes
    ----------
    name : str
        The name it is registered under.
    needs : frozenset of str
        Of ``NEEDS``; what is not needed need not be computed. ``"model"``: it scores with the model it is given.
        ``"features"``: it reads the pool's features. ``"committee"``: it fits several classifiers of its own to the
        pool's labels, so its call costs several fits.

    A strategy may say more, by three optional methods: ``why(pool, model, rows, class_names) -> list[str]``, a few
    words on each of the picked ``rows`` (see `reasons`); ``phase(pool, model) -> str``, what it is doing now (see
    `phase`); and ``variety(pool, model) -> int``, how far its batches need to be spread out (see `variety`).
    """

    name: str
    needs: frozenset[str]

    def utilities(self, pool: Pool, model: Model | None, rng: np.random.Generator) -> NDArray[np.float64]:
        """Score the candidates (m,); higher = ask sooner.

        Finite numbers, the same for the same seed, and tied to the items: candidates in another order get the same
        scores. Defined, too, with no candidate, one class, no label, and with no model (``None``).
        """
        ...


def reasons(
    strategy: Strategy, pool: Pool, model: Model | None, rows: NDArray[np.integer], class_names: Sequence[str]
) -> list[str]:
    """A few words on why each of ``rows`` was picked, whether or not the strategy has words of its own."""
    why = getattr(strategy, "why", None)
    if why is None:
        return [f"picked by {strategy.name}"] * len(rows)
    return list(why(pool, model, np.asarray(rows, dtype=np.intp), class_names))


def phase(strategy: Strategy, pool: Pool, model: Model | None) -> str:
    """What the strategy is doing now: for one that changes its way, the name of that way; else its own name."""
    own = getattr(strategy, "phase", None)
    return strategy.name if own is None else str(own(pool, model))


def variety(strategy: Strategy, pool: Pool, model: Model | None) -> int:
    """The ``diversity`` with which `select` should make batches: for a strategy that does not say, 1, the best."""
    own = getattr(strategy, "variety", None)
    return 1 if own is None else int(own(pool, model))


def random_utilities(pool: Pool, rng: np.random.Generator) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), (m,): each belongs to an item's row, whatever the order of the candidates."""
    return rng.random(len(pool.features))[pool.candidates]


def predictor(model: Model) -> Callable[[NDArray[Any]], NDArray[np.floating]]:
    """The model's ``predict_proba``; for a linear model, the softmax that it was fitted as, in the precision of the
    features.

    A float32 pool is not copied to float64 on its way through the model, nor a float16 one.
    """
    if not isinstance(model, LinearModel):
        return model.predict_proba
    coef, intercept = np.asarray(model.coef), np.asarray(model.intercept)

    def predict(features: NDArray[Any]) -> NDArray[np.floating]:
        precision = np.float32 if features.dtype in (np.float16, np.float32) else np.float64
        logits = coef.astype(precision) @ features.T.astype(precision, copy=False)  # (k, n): rows side by side
        logits += intercept[:, None].astype(precision)
        logits -= logits.max(axis=0)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=0)
        return logits.T

    return predict


def score_in_blocks(
    score: Callable[[NDArray[Any]], NDArray[np.floating]], pool: Pool, rows: NDArray[np.intp], width: int = 1
) -> NDArray[np.float64]:
    """Apply ``score``, (b, d) features to (b,) numbers, to the features of ``rows``; a bounded block at a time.

    Blocks follow the rows, not the order in which they are given: a memory-mapped matrix is read from front to back,
    and a row's score does not depend, in its last bits, on who stands beside it.

    Parameters
    ----------
    width : int
        How many numbers ``score`` holds per row besides the features; with them it sets the size of a block.
    """
    if len(rows) and (rows[1:] < rows[:-1]).any():
        order = np.argsort(rows, kind="stable")
        scores = np.empty(len(rows))
        scores[order] = score_in_blocks(score, pool, rows[order], width)
        return scores
    scores = np.empty(len(rows))
    step = max(64, BLOCK // max(pool.features.shape[1], width, 1))
    start = 0
    while start < len(rows):
        block = rows[start : start + step]
        first = int(block[0])
        # Where few rows are missing, all that lie between are scored where they lie: to copy the others costs more.
        reach = start + int(np.searchsorted(block, first + step))
        if DENSE * step <= reach - start:
            block = rows[start:reach]
            between = np.asarray(pool.features[first : int(block[-1]) + 1])
            scores[start:reach] = score(between)[block - first]
        else:
            reach = start + len(block)
            scores[start:reach] = score(np.asarray(pool.features[block]))
        start = reach
    return scores
