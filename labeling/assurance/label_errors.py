"""Labels that are probably wrong, from all that was said of an item: the given label, people's answers, the model.

An item has a main class and a share of people who would choose each class; its label is wrong where fewer than half
of all people would choose it. Most items are clear: everybody sees the main class, but for slips. Some are ambiguous:
there the shares themselves are uncertain, a Dirichlet distribution around the main class and those it is confused
with. A source speaks for itself:

- the model's prediction, its temperature calibrated, says which class is the main one; the less sure it is, the more
  items are ambiguous;
- people's answers are draws from the shares, but for the share of each person's answers that is random;
- the given label is the main class but for an error rate, which is higher for ambiguous items.

None of the rates is set by hand: expectation maximisation finds them in the sources' agreement, as in confident
learning and in Dawid and Skene, and weak priors stand in where there is little to see. Only how uncertain the shares
of an ambiguous item are (`MAIN`, `WEIGHT`) is assumed, since two answers to an item cannot tell: about as on CIFAR-10H.

References
----------
C. Northcutt, L. Jiang, I. Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR 70 (2021).
A. Dawid, A. Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm", Applied Statistics
28 (1979).
C. Guo et al., "On calibration of modern neural networks", ICML (2017): temperature.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betainc, expit, gammaln, log_softmax, logit

from labeling.annotation.opinions import Opinions

MAIN, WEIGHT = 0.8, 4.0  # of an ambiguous item: mean share of the main class, and the Dirichlet's sum
SEEN = 0.5  # of the confusion of an ambiguous item: how much the prediction for it says, beside all items
FLOOR = 1e-6  # of a predicted probability
TOLERANCE, ROUNDS, STEPS = 2e-3, 60, 4  # of the rates: the change at which their estimation ends
FITTED = 6000  # items at most that the rates are estimated from ...
FITTED_CLASSES = 120_000  # ... times classes, but for a few hundred items
BLOCK = 2_000_000  # numbers at most in an array, about

# Priors as (mean, number of observations they count for).
SLIPS, RANDOM = (0.02, 100.0), (0.01, 20.0)
GIVEN_CLEAR, GIVEN_AMBIGUOUS = (0.005, 100.0), (0.1, 20.0)
SHARPNESS, SHARPNESS_SPREAD = np.log(0.7), 0.35
CONFUSED = 5.0  # answers that say a class is taken for all others alike
DOUBT, DOUBT_SPREAD = -1.0, 1.5  # log odds of being ambiguous, at even odds of the prediction
EASE, EASE_SPREAD = -0.5, 0.5  # what each unit of the prediction's log odds adds
CLASS_SPREAD = 1.0  # of the classes' log odds of being ambiguous, around all of them


@dataclass(frozen=True)
class LabelErrors:
    """What is probably wrong among given labels.

    Attributes
    ----------
    score : (n,) float
        Probability that fewer than half of all people would choose the given label; 0 where none is given.
        Above 0.5, an error is likely.
    better : (n,) int
        The likeliest class besides the given label.
    random : (n_people,) float
        Estimated share of each person's answers that has nothing to do with the item.
    """

    score: NDArray[np.float64]
    better: NDArray[np.int64]
    random: NDArray[np.float64]

    @property
    def likely(self) -> NDArray[np.int64]:
        """The items whose label is more probably wrong than right, the surest first."""
        order = np.argsort(-self.score, kind="stable")
        return order[self.score[order] > 0.5]


def find_label_errors(
    given: NDArray[np.int64],
    opinions: Opinions,
    predictions: NDArray[np.float64] | None = None,
    *,
    independent: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> LabelErrors:
    """How probably each given label is wrong, and what it should be.

    Parameters
    ----------
    given : (n,) int
        The label that is judged; -1 where there is none.
    opinions : Opinions
        People's answers, of n items; may be empty.
    predictions : (n, k) float, optional
        A model's probabilities for items it was not trained on. A row of NaN: no prediction for the item.
    independent : (n,) bool, optional
        Whether the given label is evidence of its own, as an imported one is; False where it was made from the
        opinions. All are where it is left out.
    seed : int
        Of the draw of items from which rates are estimated, where there are more than `FITTED`.

    Raises
    ------
    ValueError
        If the sizes do not match or a label is no class.
    """
    given = np.asarray(given, dtype=np.int64)
    n, k = opinions.n_items, opinions.n_classes
    if given.shape != (n,) or (predictions is not None and predictions.shape != (n, k)):
        raise ValueError(f"Expected {n} labels and predictions for {n} items and {k} classes.")
    if n and (given.min() < -1 or given.max() >= k):
        raise ValueError(f"A given label is a class from 0 to {k - 1}, or -1 for none.")
    sources = _Sources.of(given, opinions, predictions, independent)
    rows, fitted = np.arange(n), min(FITTED, max(300, FITTED_CLASSES // max(k, 1)))
    if n > fitted:
        rows = np.sort(np.random.default_rng(seed).choice(n, fitted, replace=False))
    rates = _estimate(sources.of_items(rows), opinions.n_people)
    score, better = np.zeros(n), np.zeros(n, dtype=np.int64)
    step = max(BLOCK // (4 * k), 1)
    for start in range(0, n, step):
        block = sources.of_items(np.arange(start, min(start + step, n)))
        belief = _believe(block, rates)
        score[start : start + step] = belief.wrong(block)
        likely = belief.main.copy()
        has = np.flatnonzero(block.given >= 0)
        likely[has, block.given[has]] = -1.0
        better[start : start + step] = likely.argmax(axis=1)
    return LabelErrors(score, better, rates.random)


@dataclass(frozen=True)
class _Sources:
    """All that was said of m items; answers as columns (a,), the items' index among the m."""

    given: NDArray[np.int64]
    heard: NDArray[np.bool_]  # (m,) the given label is evidence
    log_predicted: NDArray[np.float64]  # (m, k); zero where there is no prediction
    predicted: NDArray[np.bool_]  # (m,)
    items: NDArray[np.int64]
    people: NDArray[np.int64]
    classes: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        given: NDArray[np.int64],
        opinions: Opinions,
        predictions: NDArray[np.float64] | None,
        independent: NDArray[np.bool_] | None,
    ) -> "_Sources":
        n, k = opinions.n_items, opinions.n_classes
        order = np.argsort(opinions.items, kind="stable")
        heard = (given >= 0) & (np.ones(n, dtype=bool) if independent is None else independent)
        log_predicted, predicted = np.zeros((n, k)), np.zeros(n, dtype=bool)
        if predictions is not None:
            predicted[:] = np.isfinite(predictions).all(axis=1)
            log_predicted[predicted] = np.log(np.clip(predictions[predicted], FLOOR, 1.0))
        columns = (opinions.items[order], opinions.people[order], opinions.classes[order])
        return cls(given, heard, log_predicted, predicted, *columns)

    def of_items(self, rows: NDArray[np.int64]) -> "_Sources":
        """What was said of these items, which are in ascending order."""
        place = np.searchsorted(rows, self.items)
        among = np.flatnonzero(np.take(rows, place, mode="clip") == self.items) if len(rows) else place[:0]
        return _Sources(
            self.given[rows],
            self.heard[rows],
            self.log_predicted[rows],
            self.predicted[rows],
            place[among],
            self.people[among],
            self.classes[among],
        )


@dataclass(frozen=True)
class _Rates:
    """What is estimated from all items together."""

    shares: NDArray[np.float64]  # (k,) of the main classes
    confusion: NDArray[np.float64]  # (k, k) where an answer goes that is not the main class; rows sum to 1
    random: NDArray[np.float64]  # (n_people,)
    slips: float = SLIPS[0]  # share of answers to clear items that are not the main class
    wrong: tuple[float, float] = (GIVEN_CLEAR[0], GIVEN_AMBIGUOUS[0])  # share of given labels, clear and ambiguous
    sharpness: float = float(np.exp(SHARPNESS))  # power of the predictions: one over the temperature
    doubt: float = DOUBT
    ease: float = EASE
    by_class: NDArray[np.float64] | float = 0.0  # (k,)

    @property
    def numbers(self) -> NDArray[np.float64]:
        """Those by whose change it is seen whether the estimation is done."""
        return np.array([self.slips, *self.wrong, self.sharpness, self.doubt, self.ease])


@dataclass(frozen=True)
class _Belief:
    """What is believed of m items: `states[l, i, c]`, that c is the main class and the item clear (0) or ambiguous."""

    states: NDArray[np.float64]  # (2, m, k)
    relevant: NDArray[np.float64]  # (a,) that an answer is not random
    given_shares: NDArray[np.float64]  # (m, k) the Dirichlet's parameter of the given label, ambiguous items
    counted: NDArray[np.float64]  # (m,) answers in all, and ...
    for_given: NDArray[np.float64]  # (m,) ... for the given label, each as far as it is not random

    @property
    def main(self) -> NDArray[np.float64]:
        """Probability of each main class, (m, k)."""
        return self.states.sum(axis=0)

    def wrong(self, sources: _Sources) -> NDArray[np.float64]:
        """Probability that fewer than half of people would choose the given label; 0 where there is none."""
        other = np.arange(self.states.shape[2]) != sources.given[:, None]
        yes = self.given_shares + self.for_given[:, None]
        no = WEIGHT - self.given_shares + (self.counted - self.for_given)[:, None]
        fewer = betainc(np.maximum(yes, 1e-9), np.maximum(no, 1e-9), 0.5)
        probability = (self.states[0] * other + self.states[1] * fewer).sum(axis=1)
        return np.where(sources.given >= 0, np.clip(probability, 0.0, 1.0), 0.0)


def _prior(sources: _Sources, rates: _Rates) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms (m, k) of the probability of each main class, and log odds (m, k) of being ambiguous if it is that."""
    flat = np.log(rates.shares)
    log_main = log_softmax(np.where(sources.predicted[:, None], rates.sharpness * sources.log_predicted, flat), axis=1)
    odds = logit(np.clip(np.exp(log_main), FLOOR, 1 - FLOOR)) * sources.predicted[:, None]
    return log_main, rates.doubt + rates.by_class + rates.ease * odds


def _leaning(
    at: NDArray[np.int64], classes: NDArray[np.int64], main: NDArray[np.float64], sources: _Sources, rates: _Rates
) -> NDArray[np.float64]:
    """Of items `at` (t,): how much of what is not the main class c goes to `classes` (t,), as (t, k) over c.

    Half of it as in all items, half as the prediction leans for the item.
    """
    overall = rates.confusion[:, classes].T
    seen = main[at, classes][:, None] / np.maximum(1 - main[at], FLOOR)
    own = SEEN * sources.predicted[at][:, None]
    leaning = (1 - own) * overall + own * np.minimum(seen, 1.0)
    leaning[np.arange(len(at)), classes] = 0.0
    return np.maximum(leaning, FLOOR)


def _chosen(off: float, classes: NDArray[np.int64], leaning: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability (t, k) of `classes` (t,) under each main class, where a share `off` goes elsewhere."""
    chosen = off * leaning
    chosen[np.arange(len(classes)), classes] = 1 - off
    return chosen


def _believe(sources: _Sources, rates: _Rates, looks: int = 2) -> _Belief:
    """The expectation step: what is believed of each item, under the rates."""
    m, k = sources.log_predicted.shape
    log_main, log_odds = _prior(sources, rates)
    main = np.exp(log_main)
    log_states = np.stack([log_main + np.log(expit(-log_odds)), log_main + np.log(expit(log_odds))])
    label = np.maximum(sources.given, 0)
    leaning = _leaning(np.arange(m), label, main, sources, rates)
    for level, off in enumerate(rates.wrong):
        log_states[level] += np.where(sources.heard[:, None], np.log(_chosen(off, label, leaning)), 0.0)
    given_shares = WEIGHT * _chosen(1 - MAIN, label, leaning)

    # Answers of one class to one item are alike: t pairs of item and class, each answer with its pair.
    pairs, pair = np.unique(sources.items * k + sources.classes, return_inverse=True)
    at, classes = pairs // k, pairs % k
    leaning = _leaning(at, classes, main, sources, rates)
    clear, shares = _chosen(rates.slips, classes, leaning), WEIGHT * _chosen(1 - MAIN, classes, leaning)  # (t, k)
    starts, answered = np.flatnonzero(np.diff(at, prepend=-1)), np.unique(at)
    random = rates.random[sources.people]
    relevant = 1 - random
    for look in range(looks):
        weight = _sums(pair, relevant, len(pairs))[:, None]  # (t, 1)
        counted = _sums(sources.items, relevant, m)
        states = log_states.copy()
        if len(pairs):
            states[0, answered] += np.add.reduceat(weight * np.log(clear), starts, axis=0)
            urn = np.add.reduceat(gammaln(shares + weight) - gammaln(shares), starts, axis=0)
            total = counted[answered][:, None]
            states[1, answered] += urn - gammaln(WEIGHT + total) + gammaln(WEIGHT)
        states = np.exp(states - states.max(axis=(0, 2), keepdims=True))
        states /= states.sum(axis=(0, 2), keepdims=True)
        if look + 1 < looks:
            relevant = _relevance(states, relevant, random, sources, pair, clear, shares, weight, counted)
    for_given = _sums(sources.items, relevant * (sources.classes == sources.given[sources.items]), m)
    return _Belief(states, relevant, given_shares, counted, for_given)


def _sums(groups: NDArray[np.int64], weights: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Sum of the weights in each of n groups."""
    return np.bincount(groups, weights, n).astype(np.float64)


def _relevance(
    states: NDArray[np.float64],
    relevant: NDArray[np.float64],
    random: NDArray[np.float64],
    sources: _Sources,
    pair: NDArray[np.intp],
    clear: NDArray[np.float64],
    shares: NDArray[np.float64],
    weight: NDArray[np.float64],
    counted: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Probability (a,) that an answer is not random, by what the others say of the item."""
    k, own = clear.shape[1], relevant[:, None]
    urn = (shares[pair] + weight[pair] - own) / (WEIGHT + counted[sources.items][:, None] - own)
    expected, alone = 0.0, 0.0
    for level, chance in enumerate((clear[pair], urn)):
        without = states[level, sources.items] / np.maximum(chance, FLOOR) ** own
        expected = expected + (without * chance).sum(axis=1)
        alone = alone + without.sum(axis=1)
    meant = (1 - random) * expected / alone
    return meant / (meant + random / k)


def _estimate(sources: _Sources, n_people: int) -> _Rates:
    """The rates under which the sources agree as they do."""
    k = sources.log_predicted.shape[1]
    votes = np.bincount(sources.classes, minlength=k) + np.bincount(sources.given[sources.heard], minlength=k)
    even = (np.ones((k, k)) - np.eye(k)) / max(k - 1, 1)
    rates = _Rates((votes + 1) / (votes + 1).sum(), even, np.full(n_people, RANDOM[0]))
    for _ in range(ROUNDS):
        before, belief = rates, _believe(sources, rates)
        rates = _maximise(sources, belief, rates)
        if np.abs(rates.numbers - before.numbers).max() < TOLERANCE:
            break
    return rates


def _maximise(sources: _Sources, belief: _Belief, rates: _Rates) -> _Rates:
    """The maximisation step: the rates that what is believed speaks for."""
    clear, ambiguous = belief.states
    k = clear.shape[1]
    heard, label = np.flatnonzero(sources.heard), sources.given[sources.heard]
    wrong = tuple(
        _share(states[heard].sum() - states[heard, label].sum(), states[heard].sum(), prior)
        for states, prior in ((clear, GIVEN_CLEAR), (ambiguous, GIVEN_AMBIGUOUS))
    )
    on_clear = clear[sources.items] * belief.relevant[:, None]
    hits = on_clear[np.arange(len(sources.items)), sources.classes].sum()
    confused = np.zeros((k, k))
    np.add.at(confused.T, sources.classes, belief.main[sources.items] * belief.relevant[:, None])
    np.add.at(confused.T, label, belief.main[heard])
    confused = confused + confused.T  # what is taken for another, is it for
    np.fill_diagonal(confused, 0.0)
    confused += CONFUSED * (1 - np.eye(k)) / max(k - 1, 1)
    random = np.bincount(sources.people, 1 - belief.relevant, len(rates.random))
    answers = np.bincount(sources.people, minlength=len(rates.random))
    main = belief.main.sum(axis=0) + 1
    return _Rates(
        main / main.sum(),
        confused / np.maximum(confused.sum(axis=1, keepdims=True), FLOOR),
        _share(random, answers, RANDOM),
        float(_share(on_clear.sum() - hits, on_clear.sum(), SLIPS)),
        (float(wrong[0]), float(wrong[1])),
        *_calibrate(sources, belief, rates),
    )


def _share(part: Any, whole: Any, prior: tuple[float, float]) -> Any:
    """A share, with the observations that a prior counts for."""
    mean, observations = prior
    return (part + mean * observations) / (whole + observations)


def _calibrate(sources: _Sources, belief: _Belief, rates: _Rates) -> tuple[float, float, float, NDArray[np.float64]]:
    """Sharpness of the predictions and the odds of being ambiguous, given what is believed of the items."""
    seen = np.flatnonzero(sources.predicted)
    clear, ambiguous = belief.states[:, seen]
    main = clear + ambiguous
    sharpness = rates.sharpness
    if len(seen):
        said = sources.log_predicted[seen]

        def misfit(log_sharpness: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            power = np.exp(log_sharpness[0])
            log_main = log_softmax(power * said, axis=1)
            slope = power * ((np.exp(log_main) - main) * said).sum()
            off = (log_sharpness[0] - SHARPNESS) / SHARPNESS_SPREAD
            return -(main * log_main).sum() + off**2 / 2, np.array([slope + off / SHARPNESS_SPREAD])

        sharpness = float(np.exp(_least(misfit, np.log([sharpness]))[0]))
    k = main.shape[1]
    _, log_odds = _prior(sources, replace(rates, sharpness=sharpness, doubt=0.0, ease=1.0, by_class=0.0))
    ambiguous, all_ = belief.states[1], belief.main

    def unlikely(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = x[0] + x[1] * log_odds + x[2:]
        off = (x - centre) / spread
        loss = (all_ * np.logaddexp(0, odds) - ambiguous * odds).sum() + (off**2).sum() / 2
        slope = all_ * expit(odds) - ambiguous
        return loss, np.concatenate([[slope.sum(), (slope * log_odds).sum()], slope.sum(axis=0)]) + off / spread

    centre, spread = np.r_[DOUBT, EASE, np.zeros(k)], np.r_[DOUBT_SPREAD, EASE_SPREAD, np.full(k, CLASS_SPREAD)]
    start = np.r_[rates.doubt, rates.ease, np.zeros(k) + rates.by_class]
    x = _least(unlikely, start)
    return sharpness, float(x[0]), float(x[1]), x[2:]


def _least(
    loss: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A few steps towards the least loss; the next round goes on from there."""
    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
