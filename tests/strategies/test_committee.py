"""Disagreement against votes counted by hand, and the committee that casts them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from strategies import Pool, StrategyError, committee
from strategies.committee import MEASURES, Committee, consensus_entropy, max_disagreement, vote_entropy

# Four members, three items, two classes: all agree surely; two against two surely; all equally unsure.
SURE, OTHER, UNSURE = [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]
BALLOTS = np.array([[SURE, SURE, UNSURE], [SURE, SURE, UNSURE], [SURE, OTHER, UNSURE], [SURE, OTHER, UNSURE]])


@pytest.mark.parametrize(
    ("measure", "by_hand"),
    [
        (vote_entropy, [0, 1, 0]),
        (consensus_entropy, [0, 1, 1]),
        (max_disagreement, [0, np.log(2) / np.log(4), 0]),
    ],
)
def test_a_measure_agrees_with_the_votes_counted_by_hand(measure, by_hand: list[float]):
    np.testing.assert_allclose(measure(BALLOTS), by_hand, atol=1e-12)


def test_three_votes_against_two_are_counted():
    ballots = np.array([[SURE]] * 3 + [[OTHER]] * 2)
    by_hand = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4)) / np.log(2)
    assert vote_entropy(ballots) == pytest.approx(by_hand)


def test_one_dissenter_is_the_maximum_disagreement():
    ballots = np.array([[SURE]] * 3 + [[OTHER]])
    assert max_disagreement(ballots) == pytest.approx(1)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_disagreement_lies_between_0_and_1(measure):
    ballots = np.random.default_rng(0).dirichlet(np.full(5, 0.2), size=(6, 200))
    assert measure(ballots).min() >= 0
    assert measure(ballots).max() <= 1


def strip() -> Pool:
    """Class 0 on the left, class 1 on the right; candidates at both ends and in between."""
    places = np.r_[np.linspace(-3, -2, 10), np.linspace(2, 3, 10), [-2.5, 0.0, 2.5]]
    features = np.stack([places, np.zeros_like(places)], axis=1)
    return Pool(features, np.arange(20), np.repeat([0, 1], 10), [20, 21, 22], 2)


def test_the_committee_is_least_sure_between_the_classes():
    utilities = Committee("consensus_entropy").utilities(strip(), None, np.random.default_rng(0))
    assert utilities.argmax() == 1


def test_a_reason_gives_the_votes_that_were_counted():
    X, y = load_digits(return_X_y=True)
    pool = Pool(X, np.arange(60), y[:60], np.arange(60, 400), 10)
    committee = Committee()
    utilities = committee.utilities(pool, None, np.random.default_rng(0))
    by_utility = np.argsort(utilities)
    rows = pool.candidates[by_utility[[0, -1]]]
    agreed, split = committee.why(pool, None, rows, [str(c) for c in range(10)])
    assert agreed.startswith("committee agrees on ")
    votes = [int(v) for v in split.removeprefix("committee split ").split(":")[0].split(" to ")]
    assert sum(votes) == 7
    assert votes == sorted(votes, reverse=True)
    shares = np.array(votes) / 7
    assert utilities.max() == pytest.approx(-(shares * np.log(shares)).sum() / np.log(7))


def test_votes_of_another_pool_are_not_passed_off_as_this_ones():
    committee = Committee()
    committee.utilities(strip(), None, np.random.default_rng(0))
    other = strip()
    whys = committee.why(other, None, other.candidates[:1], ["a", "b"])
    assert whys == ["drawn at random, as no committee could vote yet"]


def test_one_label_per_class_makes_a_committee():
    pool = replace(strip(), labeled=[0, 19], targets=[0, 1])
    assert np.isfinite(Committee("max_disagreement").utilities(pool, None, np.random.default_rng(0))).all()


def test_a_label_without_weight_does_not_count():
    pool, rng = strip(), np.random.default_rng
    weighed = replace(pool, targets=np.r_[pool.targets[:-1], 0], weights=np.r_[np.ones(19), 0])
    without = replace(pool, labeled=pool.labeled[:-1], targets=pool.targets[:-1])
    assert np.array_equal(Committee().utilities(weighed, None, rng(0)), Committee().utilities(without, None, rng(0)))


def test_features_in_other_units_make_the_same_committee():
    pool = strip()
    scaled = replace(pool, features=pool.features * 1024 + 4096)
    here, there = (Committee("consensus_entropy").utilities(p, None, np.random.default_rng(0)) for p in (pool, scaled))
    np.testing.assert_allclose(here, there, atol=1e-3)


class Guest:
    """A fitted model from elsewhere: as likely as written for every row, one way left of 0 and another right of it."""

    def __init__(self, left: list[float], right: list[float], classes: list[int]) -> None:
        self.sides, self.classes = np.array([left, right]), np.array(classes)

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        return self.sides[(features[:, 0] > 0).astype(int)]


def test_guests_can_vote_before_there_is_a_label():
    pool = replace(strip(), labeled=[], targets=[])
    guests = [Guest([0.9, 0.1], [0.2, 0.8], [0, 1]), Guest([0.9, 0.1], [0.9, 0.1], [0, 1])]
    committee = Committee(members=guests)
    utilities = committee.utilities(pool, None, np.random.default_rng(0))
    assert list(utilities) == pytest.approx([0, 0, 1])  # the places are -2.5, 0 and 2.5
    whys = committee.why(pool, None, pool.candidates, ["a", "b"])
    assert whys == ["committee agrees on a", "committee agrees on a", "committee split 1 to 1: a or b"]


@pytest.mark.parametrize("classes", [[0, 2], [2, 0]])
def test_a_guest_knows_some_classes_and_the_labels_others(classes: list[int]):
    pool = replace(strip(), n_classes=3)
    sure_of_two = [float(c == 2) for c in classes]
    committee = Committee(members=[Guest(sure_of_two, sure_of_two, classes)])
    committee.utilities(pool, None, np.random.default_rng(0))
    assert committee.why(pool, None, pool.candidates[[0, 2]], ["a", "b", "c"]) == [
        "committee split 7 to 1: a or c",
        "committee split 7 to 1: b or c",
    ]


def test_a_guest_sees_the_features_as_they_are():
    class Nosy(Guest):
        def predict_proba(self, features: np.ndarray) -> np.ndarray:
            assert set(features[:, 0]) <= set(strip().features[:, 0])
            return super().predict_proba(features)

    Committee(members=[Nosy([1, 0], [0, 1], [0, 1])]).utilities(strip(), None, np.random.default_rng(0))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_stacked_members_answer_as_their_classifiers_do(n_classes: int):
    X, y = load_digits(n_class=n_classes, return_X_y=True)
    pool = Pool(X, np.arange(40), y[:40], np.arange(40, 240), n_classes)
    jury = committee._fit(pool, 2, np.random.default_rng(0))
    assert jury is not None
    ballots = jury.ballots(X[40:240])
    assert ballots.shape == (6, 200, n_classes)
    np.testing.assert_allclose(ballots.sum(axis=2), 1, rtol=1e-5)
    scaled = ((X - jury.centre) / jury.scale)[:240]
    logistic = LogisticRegression(tol=1e-3, max_iter=1000).fit(scaled[:40], y[:40])
    bayes = GaussianNB(var_smoothing=0.01).fit(scaled[:40], y[:40])
    np.testing.assert_allclose(ballots[0], logistic.predict_proba(scaled[40:]), atol=1e-4)
    np.testing.assert_allclose(ballots[3], bayes.predict_proba(scaled[40:]), atol=1e-3)
    gaps = np.square(scaled[:40, None] - scaled[None, :40]).sum(axis=2) + np.diag(np.full(40, np.inf))
    width = committee.BANDWIDTH * np.median(gaps.min(axis=1))
    near = softmax(-np.square(scaled[40:, None] - scaled[None, :40]).sum(axis=2) / width, axis=1)
    np.testing.assert_allclose(ballots[4], near @ np.eye(n_classes)[y[:40]], atol=1e-4)


def test_a_large_pool_of_labels_is_compared_with_a_part_of_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(committee, "NEIGHBOURS", 12)
    jury = committee._fit(strip(), 1, np.random.default_rng(0))
    assert jury is not None
    assert len(jury.neighbours) == 12
    assert jury.ballots(strip().features[20:])[2].argmax(axis=1)[[0, 2]].tolist() == [0, 1]


@pytest.mark.parametrize(
    "options",
    [{"disagreement": "loud"}, {"bootstraps": -1}, {"members": 3}, {"members": [object()]}, {"members": {"a": 1}}],
)
def test_options_that_make_no_sense_are_refused(options: dict):
    with pytest.raises(StrategyError):
        Committee(**options)
