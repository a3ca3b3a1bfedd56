"""Replays: labeling with an oracle instead of people, to see what a strategy would have been worth."""

import copy
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from joblib.externals.loky import FIRST_COMPLETED, ProcessPoolExecutor, wait
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from labeling.errors import Invalid
from labeling.learning.learner import HEADS, Learned, Learner
from labeling.learning.zero_shot import Words
from strategies import Pool, Strategy, StrategyError, get_strategy, select
from strategies.base import variety

COLUMNS = ["labels", "accuracy", "seconds"]
TEST_SHARE = 1 / 3
MOST_TESTED = 2000  # rows held out: the accuracy of one model is then known to about one point
POLL_SECONDS = 0.3
IDLE_SECONDS = 20  # after which a process whose master was killed ends by itself

Progress = Callable[[float, str], None]


def simulate(
    features: ArrayLike,
    targets: ArrayLike,
    *,
    test_features: ArrayLike,
    test_targets: ArrayLike,
    strategy: str | Strategy = "adaptive",
    head: Any = "default",
    budget: int = 200,
    batch_size: int = 10,
    seed: int = 0,
    words: ArrayLike | None = None,
) -> pd.DataFrame:
    """Label a pool with an oracle, batch by batch, and see how right the model is after each.

    The strategy chooses the first batch too, before there is any label.

    Parameters
    ----------
    features : (n, d) array
        The pool.
    targets : (n,) array
        What the oracle answers: numbers or strings.
    test_features, test_targets : (t, d) array, (t,) array
        What the accuracy is measured on, and never learned from.
    strategy : str or Strategy
        A name (see `strategies.available_strategies`), or an object.
    head : {"default", "logistic"} or a scikit-learn classifier
        What learns: the default head, logistic regression on the features as they are, or a classifier with
        ``predict_proba``, not fitted.
    budget : int
        Labels in all; the pool's size where that is less.
    batch_size : int
        Labels between two fits; the last batch is smaller where it does not divide the budget.
    seed : int
        The same seed gives the same choices, and so the same accuracies.
    words : (k, d) array, optional
        What the encoder of the features makes of the words for each class, in ascending order of the targets: the
        default head then begins with them, and the curve with no label.

    Returns
    -------
    DataFrame
        One row a round, and with ``words`` one before the first: ``labels`` (int); ``accuracy`` (0 to 1) on the test
        rows of a model that learned from them, of the only class seen where there is but one; and ``seconds`` that
        choosing the batch and learning took.

    Raises
    ------
    Invalid
        If the arrays do not fit together, are not finite or have fewer than two classes, or an option is out of bounds
        or unknown.
    StrategyError
        If the strategy fails on the way.

    Examples
    --------
    >>> import numpy as np, labeling
    >>> x = np.random.default_rng(0).normal(size=(300, 2))
    >>> y = np.where(x[:, 0] > 0, "right", "left")
    >>> curve = labeling.simulate(x[:200], y[:200], test_features=x[200:], test_targets=y[200:], budget=30)
    >>> list(curve["labels"])
    [10, 20, 30]
    """
    if len(np.shape(features)) == 0 or len(np.shape(test_features)) == 0:
        raise Invalid("Features must be a matrix with one row per item.")
    everything, classes = _checked(_both(features, test_features), _both(targets, test_targets))
    size = len(np.asarray(features))
    if size != len(np.asarray(targets)):
        raise Invalid(f"The pool has {size} rows of features but {len(np.asarray(targets))} targets.")
    if len(np.unique(classes[:size])) < 2:
        raise Invalid("Every target of the pool is the same class; there is nothing to learn before there are two.")
    if size == len(everything):
        raise Invalid("There are no test rows to measure the accuracy on.")
    _check_options(budget, batch_size, head)
    rows = (np.arange(size), np.arange(size, len(everything)))
    said = _said(words, everything.shape[1], int(classes.max()) + 1, head)
    return _replay(everything, classes, *rows, _made(strategy), head, budget, batch_size, seed, said)


def compare_strategies(
    features: ArrayLike,
    targets: ArrayLike,
    *,
    strategies: Sequence[str | Strategy] = ("adaptive", "random"),
    head: Any = "default",
    budget: int = 200,
    batch_size: int = 10,
    seeds: int = 10,
    test_size: int | None = None,
    processes: int | None = None,
    words: ArrayLike | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Replay several strategies with several seeds on one labeled set, in parallel processes.

    A seed decides what is held out (see `hold_out`) and the random numbers, so that strategies can be compared seed by
    seed (see `labeling.learning.curves`).

    Parameters
    ----------
    features, targets : (n, d) array, (n,) array
        The labeled set.
    strategies, head, budget, batch_size, words
        As in `simulate`.
    seeds : int
        How many: 0 to ``seeds - 1``.
    test_size : int, optional
        Rows held out; a third, at most 2,000, unless told otherwise.
    processes : int, optional
        Other processes that do the work: as many as there are processors unless told otherwise; 0 for none.
    progress
        Called with the share done (0 to 1) and a line of text, several times a second while other processes work. What
        it raises ends the comparison.

    Returns
    -------
    DataFrame
        Columns ``strategy``, ``seed``, ``labels``, ``accuracy``, ``seconds``; in the order of strategies and seeds.

    Raises
    ------
    Invalid, StrategyError
        As `simulate`; and where a strategy is named twice.
    """
    everything, classes = _checked(features, targets)
    _check_options(budget, batch_size, head)
    if seeds < 1:
        raise Invalid("There must be at least one seed.")
    made = [_made(strategy) for strategy in strategies]
    names = [strategy.name for strategy in made]
    if not made or len(set(names)) < len(names):
        raise Invalid("Name at least one strategy, and each only once.")
    size = default_test_size(len(classes)) if test_size is None else test_size
    if not 1 <= size < len(classes):
        raise Invalid(f"Of {len(classes)} labeled items {size} cannot be held out; more labels are needed.")
    said = _said(words, everything.shape[1], int(classes.max()) + 1, head)
    data = _Data(everything, classes, head, budget, batch_size, size, said)
    tasks = [_Task(strategy, seed) for seed in range(seeds) for strategy in made]
    count = os.cpu_count() or 1 if processes is None else processes
    results = _in_processes(tasks, data, count) if count else _in_this_process(tasks, data)
    done: list[pd.DataFrame] = []
    with closing(results):
        for curve in results:
            if curve is not None:
                done.append(curve)
            if progress is not None:
                progress(len(done) / len(tasks), f"{len(done):,} of {len(tasks):,} replays")
    table = pd.concat(done, ignore_index=True)
    order = table["strategy"].map({name: place for place, name in enumerate(names)})
    return table.assign(place=order).sort_values(["place", "seed", "labels"], ignore_index=True).drop(columns="place")


def hold_out(targets: NDArray[np.integer], size: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the pool and ``size`` rows to test on, (n - size,) and (size,), ascending.

    Each class gives its share, to within one: every n/size-th item is taken of all in order of class, the items of a
    class in random order. The same seed gives the same rows.
    """
    rng = np.random.default_rng([seed, 1])  # not the stream that the strategies draw from
    order = rng.permutation(len(targets))
    order = order[np.argsort(targets[order], kind="stable")]
    step = len(targets) / size
    taken = np.minimum(((np.arange(size) + rng.random()) * step).astype(np.intp), len(targets) - 1)
    test = np.sort(order[taken])
    return np.setdiff1d(np.arange(len(targets)), test), test


def default_test_size(items: int) -> int:
    """How many of so many labeled items are held out unless told otherwise."""
    return min(round(items * TEST_SHARE), MOST_TESTED)


@dataclass(frozen=True)
class _Data:
    """What all replays of a comparison share."""

    features: NDArray[np.floating]
    targets: NDArray[np.intp]
    head: Any
    budget: int
    batch_size: int
    test_size: int
    words: Words | None


@dataclass(frozen=True)
class _Task:
    """One replay of a comparison."""

    strategy: Strategy
    seed: int


def _replay_task(data: _Data, task: _Task) -> pd.DataFrame:
    rows = hold_out(data.targets, data.test_size, task.seed)
    own = copy.deepcopy(task.strategy)  # one that remembers must not carry anything from replay to replay
    curve = _replay(
        data.features, data.targets, *rows, own, data.head, data.budget, data.batch_size, task.seed, data.words
    )  # fmt: skip
    curve.insert(0, "strategy", task.strategy.name)
    curve.insert(1, "seed", task.seed)
    return curve


def _replay(
    features: NDArray[np.floating],
    targets: NDArray[np.intp],
    pool_rows: NDArray[np.intp],
    test_rows: NDArray[np.intp],
    strategy: Strategy,
    head: Any,
    budget: int,
    batch_size: int,
    seed: int,
    words: Words | None = None,
) -> pd.DataFrame:
    """The replay itself, on arrays that fit together."""
    oracle = targets[pool_rows]
    tested = _Tested(features[test_rows], targets[test_rows])
    rng = np.random.default_rng(seed)
    n_classes = int(targets.max()) + 1
    labeled = np.empty(0, dtype=np.intp)
    rounds = []
    with threadpool_limits(1):  # on matrices as small as these, threads of linear algebra cost more than they bring
        began = time.perf_counter()
        learner = Learner(features[pool_rows], head=head, seed=seed, words=words)
        learned = learner.learn(labeled, oracle[labeled])
        if words is not None:
            rounds.append((0, tested.accuracy(learner, learned, oracle[labeled]), time.perf_counter() - began))
            began = time.perf_counter()
        while len(labeled) < min(budget, len(oracle)):
            candidates = np.setdiff1d(np.arange(len(oracle)), labeled)
            pool = Pool(learned.features, labeled, oracle[labeled], candidates, n_classes)
            batch = min(batch_size, budget - len(labeled))
            labeled = np.concatenate([labeled, candidates[_choose(strategy, pool, learned, batch, rng)]])
            learned = learner.learn(labeled, oracle[labeled])
            seconds = time.perf_counter() - began
            rounds.append((len(labeled), tested.accuracy(learner, learned, oracle[labeled]), seconds))
            began = time.perf_counter()
    return pd.DataFrame(rounds, columns=COLUMNS)


def _choose(strategy: Strategy, pool: Pool, learned: Learned, batch: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Positions of the candidates to ask."""
    utilities = strategy.utilities(pool, learned.model, rng)
    diversity = variety(strategy, pool, learned.model)
    return select(utilities, pool.candidates, batch, rng, features=pool.features, diversity=diversity)


@dataclass(frozen=True)
class _Tested:
    """Rows (t, d) that are held out, and their classes (t,)."""

    features: NDArray[np.floating]
    targets: NDArray[np.intp]

    def accuracy(self, learner: Learner, learned: Learned, seen: NDArray[np.intp]) -> float:
        """The share that is right of what the model says; before there is one, of the one class seen."""
        model = learned.model
        if model is None:
            return float(np.mean(self.targets == seen[0]))
        best = model.predict_proba(learner.see(self.features)).argmax(axis=1)
        return float(np.mean(np.asarray(model.classes)[best] == self.targets))


def _in_this_process(tasks: Sequence[_Task], data: _Data) -> Generator[pd.DataFrame | None, None, None]:
    yield from (_replay_task(data, task) for task in tasks)


def _in_processes(tasks: Sequence[_Task], data: _Data, processes: int) -> Generator[pd.DataFrame | None, None, None]:
    """Results as they come, and None now and then while there is none; closed early, the processes are ended.

    Spawned, not forked; the data is sent once to each.
    """
    executor = ProcessPoolExecutor(
        min(processes, len(tasks)), timeout=IDLE_SECONDS, initializer=_receive, initargs=(data,),
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )  # fmt: skip
    left = iter(tasks)
    try:
        # As many at a time as there are processes, and new ones only when asked to go on: the executor's own thread
        # fails, if only with a traceback, where it is ended with tasks that it has not handed out.
        running = {executor.submit(_replay_received, task) for task in islice(left, processes)}
        while running:
            done, running = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
            yield None
            running |= {executor.submit(_replay_received, task) for task in islice(left, len(done))}
    finally:
        executor.shutdown(kill_workers=True)


_received: list[_Data] = []  # in a process of `_in_processes`: what it works on


def _receive(data: _Data) -> None:
    _received[:] = [data]


def _replay_received(task: _Task) -> pd.DataFrame:
    return _replay_task(_received[0], task)


def _made(strategy: str | Strategy) -> Strategy:
    if not isinstance(strategy, str):
        if not isinstance(strategy, Strategy):
            raise Invalid("A strategy is a name, or an object with a name, its needs and utilities(pool, model, rng).")
        return strategy
    try:
        return get_strategy(strategy)
    except StrategyError as error:
        raise Invalid(str(error)) from error


def _check_options(budget: int, batch_size: int, head: Any) -> None:
    if budget < 1:
        raise Invalid("The budget must be at least one label.")
    if batch_size < 1:
        raise Invalid("A batch must be at least one label.")
    if head not in HEADS if isinstance(head, str) else not (hasattr(head, "fit") and hasattr(head, "predict_proba")):
        raise Invalid(f"The head is {' or '.join(map(repr, HEADS))}, or a classifier with fit and predict_proba.")


def _said(words: ArrayLike | None, width: int, n_classes: int, head: Any) -> Words | None:
    """The words for the classes, if there are any, as they have to be."""
    if words is None:
        return None
    if head != "default":
        raise Invalid("Only the default head can begin with words.")
    vectors = np.asarray(words, dtype=np.float32)
    if vectors.shape != (n_classes, width) or not np.isfinite(vectors).all():
        raise Invalid(f"Words are a matrix of one vector for each of the {n_classes} classes, of {width} numbers each.")
    return Words(vectors)


def _both(pool: ArrayLike, test: ArrayLike) -> NDArray[Any]:
    """The pool's rows and then those to test on."""
    one, other = np.asarray(pool), np.asarray(test)
    if one.shape[1:] != other.shape[1:] or one.ndim == 0:
        raise Invalid(f"The test rows must be like the pool's, but their shapes are {other.shape} and {one.shape}.")
    return np.concatenate([one, other])


def _checked(features: ArrayLike, targets: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
    """Features (n, d) of finite floats, and the targets as class indices (n,)."""
    rows, given = np.asarray(features), np.asarray(targets)
    if rows.ndim != 2 or rows.dtype.kind not in "fiub":
        raise Invalid(f"Features must be a matrix of numbers with one row per item, not {rows.dtype} {rows.shape}.")
    if given.shape != (len(rows),):
        raise Invalid(
            f"There must be one target for each of the {len(rows)} rows, not an array of shape {given.shape}."
        )
    if rows.dtype not in (np.float32, np.float64):  # half floats hold pools on disk, and are no good to reckon with
        rows = rows.astype(np.float32 if rows.dtype == np.float16 else np.float64)
    if not np.isfinite(rows).all():
        raise Invalid("A feature is not a finite number; fill in or leave out what is missing.")
    if pd.isna(given).any():
        raise Invalid("A target is missing; leave out the rows that have none.")
    try:
        names, classes = np.unique(given, return_inverse=True)
    except TypeError as error:
        raise Invalid("Targets must be all numbers or all strings.") from error
    if len(names) < 2:
        raise Invalid("There is only one class; there is nothing to learn before there are two.")
    return rows, classes.astype(np.intp)
