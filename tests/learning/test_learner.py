"""Learning on arrays, as the simulation does."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from labeling.errors import Invalid
from labeling.learning.learner import Learner
from strategies import LinearModel


def clouds(n: int = 200, d: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % 3
    rows = rng.normal(size=(n, d))
    rows[:, :3] += 4 * np.eye(3)[targets]
    return rows, targets


FEATURES, TARGETS = clouds()
LABELED = np.arange(30)


def test_the_default_head_is_linear_in_what_it_sees_and_right_about_new_rows():
    learner = Learner(FEATURES)
    learned = learner.learn(LABELED, TARGETS[LABELED])
    assert isinstance(learned.model, LinearModel)
    assert learned.features.shape == (200, learned.model.coef.shape[1])
    np.testing.assert_allclose(np.linalg.norm(learned.features, axis=1), 1, rtol=1e-5)
    new, right = clouds(seed=1)
    guesses = learned.model.classes[learned.model.predict_proba(learner.see(new)).argmax(axis=1)]
    assert np.mean(guesses == right) > 0.9


def test_new_rows_are_seen_as_the_pool_is():
    learner = Learner(FEATURES)
    learned = learner.learn(LABELED, TARGETS[LABELED])
    np.testing.assert_allclose(learner.see(FEATURES), learned.features, atol=1e-6)


def test_logistic_is_scikit_learn_on_the_features_as_they_are():
    learned = Learner(FEATURES, head="logistic").learn(LABELED, TARGETS[LABELED])
    theirs = LogisticRegression(C=30, max_iter=2000).fit(FEATURES[LABELED], TARGETS[LABELED])
    assert learned.features is FEATURES and learned.model is not None
    np.testing.assert_allclose(learned.model.predict_proba(FEATURES), theirs.predict_proba(FEATURES), atol=1e-3)


def test_any_classifier_with_probabilities_can_be_the_head_and_is_left_unfitted():
    classifier = KNeighborsClassifier(3)
    model = Learner(FEATURES, head=classifier).learn(LABELED, TARGETS[LABELED]).model
    assert model is not None and not isinstance(model, LinearModel)
    assert np.mean(model.classes[model.predict_proba(FEATURES).argmax(axis=1)] == TARGETS) > 0.9
    assert not hasattr(classifier, "classes_")


@pytest.mark.parametrize("head", ["default", "logistic", KNeighborsClassifier(3)])
def test_one_class_is_no_model(head: object):
    learner = Learner(FEATURES, head=head)
    assert learner.learn(LABELED, np.zeros(30, dtype=int)).model is None
    assert len(learner.see(FEATURES)) == 200


def test_a_head_that_is_none_is_refused_with_the_way_out():
    with pytest.raises(Invalid, match="default, logistic"):
        Learner(FEATURES, head="forest")
    with pytest.raises(Invalid, match="predict_proba"):
        Learner(FEATURES, head=object())
