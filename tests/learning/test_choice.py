"""The power of the pool's prior and C, chosen from the labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from labeling.learning.choice import (
    MANY,
    NOISES,
    POWERS,
    STRENGTHS,
    Choice,
    choose,
    choose_strength,
    leave_one_out_errors,
    log_evidence,
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(5, 12), st.integers(2, 20))
def test_the_evidence_is_the_marginal_likelihood_of_a_gaussian_process(seed: int, n: int, k: int):
    """Brute force: the best, over the noise ratios, of the density of the residuals under signal and noise."""
    rng = np.random.default_rng(seed)
    features, targets = rng.normal(size=(n, k)), np.arange(n) % 3
    one_hot = np.eye(3)[targets]
    residuals = one_hot - one_hot.mean(axis=0)
    densities = []
    for noise in NOISES:
        covariance = features @ features.T + noise * np.eye(n)
        scale = np.einsum("nk,nk->", residuals, np.linalg.solve(covariance, residuals)) / residuals.size
        densities.append(multivariate_normal(cov=scale * covariance, allow_singular=True).logpdf(residuals.T).sum())
    constant = -0.5 * residuals.size * (1 + np.log(2 * np.pi))
    assert log_evidence(features, targets) + constant == pytest.approx(max(densities), rel=1e-5, abs=1e-4)


def test_the_evidence_prefers_the_features_that_tell_the_classes_apart():
    rng = np.random.default_rng(0)
    targets = np.arange(40) % 2
    noise = rng.normal(size=(40, 10))
    telling = noise.copy()
    telling[:, 0] += 4 * targets
    assert log_evidence(telling, targets) > log_evidence(noise, targets)


def test_more_labels_than_columns_are_the_same_evidence_as_with_columns_of_zeros():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(30, 4)), np.arange(30) % 3
    assert log_evidence(features, targets) == pytest.approx(
        log_evidence(np.hstack([features, np.zeros((30, 40))]), targets)
    )


def seen(power: float) -> np.ndarray:
    """Sixty rows; the class is told by what only the powers above 1 show."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 5))
    rows[:, 0] += (np.arange(60) % 2) * (10 if power > 1 else 0)
    return rows


TARGETS = np.arange(60) % 2


def test_few_labels_leave_the_choice_as_it_is():
    assert choose(seen, TARGETS[:9], Choice()) == Choice()


def test_a_power_is_chosen_that_the_labels_speak_for():
    choice = choose(lambda power: seen(power)[:20], TARGETS[:20], Choice())
    assert choice.power > 1 and choice.strength == Choice().strength and choice.searched_at == 20


def test_many_labels_choose_the_penalty_too():
    assert choose(seen, TARGETS, Choice()).strength in STRENGTHS


@pytest.mark.parametrize(("before", "searched"), [(60, 60), (55, 55), (54, 60), (61, 60), (0, 60)])
def test_a_search_is_repeated_when_the_labels_have_grown_by_a_tenth_or_become_fewer(before: int, searched: int):
    assert choose(seen, TARGETS, Choice(0.5, 3.0, before)).searched_at == searched


def test_the_same_labels_give_the_same_choice():
    assert choose(seen, TARGETS, Choice(), seed=3) == choose(seen, TARGETS, Choice(), seed=3)


def test_leave_one_out_errors_are_those_of_leaving_each_one_out():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(25, 4)), np.arange(25) % 3
    one_hot = np.eye(3)[targets]
    left_out = []
    for noise in NOISES:
        errors = []
        for i in range(25):
            rest = np.delete(np.arange(25), i)
            # The mean stays that of all: the closed form takes its part of the leverage into account.
            bordered = np.hstack([features[rest], np.ones((24, 1))])
            penalty = np.diag([noise] * 4 + [0.0])
            weights = np.linalg.solve(bordered.T @ bordered + penalty, bordered.T @ one_hot[rest])
            errors.append(np.square(one_hot[i] - np.append(features[i], 1) @ weights).sum())
        left_out.append(np.mean(errors))
    assert leave_one_out_errors(features - features.mean(axis=0), targets).mean() == pytest.approx(
        min(left_out), rel=0.05
    )


def many_seen(power: float) -> np.ndarray:
    """Features that tell the class; the powers above 1 blur them."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(MANY, 5))
    rows[:, 0] += np.arange(MANY) % 2 * (2 if power > 1 else 5)
    return rows


def test_with_many_labels_the_smallest_power_that_is_as_good_is_chosen():
    assert choose(many_seen, np.arange(MANY) % 2, Choice()).power == min(POWERS)
    assert choose(lambda power: many_seen(3 - power), np.arange(MANY) % 2, Choice()).power == 2.0


@pytest.mark.parametrize("classes", [2, 3])
def test_noise_asks_for_a_stronger_penalty_than_structure(classes: int):
    rng = np.random.default_rng(0)
    targets = np.arange(60) % classes
    noise = rng.normal(size=(60, 8)) / 3
    clear = noise.copy()
    clear[:, :classes] += 3 * np.eye(classes)[targets]
    assert choose_strength(noise, targets) < choose_strength(clear, targets)


def test_a_class_with_a_single_label_does_not_stop_the_search():
    rng = np.random.default_rng(0)
    targets = np.append(np.arange(59) % 2, 2)
    assert choose_strength(rng.normal(size=(60, 4)), targets) in STRENGTHS
    assert choose(lambda power: rng.normal(size=(60, 4)), targets, Choice()).power in POWERS
