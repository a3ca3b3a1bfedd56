"""Expected gradient length against gradients written out."""

from dataclasses import dataclass

import numpy as np
import pytest

from strategies import Pool
from strategies.expected_change import ExpectedChange, expected_gradient_length


@dataclass
class Softmax:
    coef: np.ndarray
    intercept: np.ndarray
    l2: float = 1.0

    @property
    def classes(self) -> np.ndarray:
        return np.arange(len(self.coef))

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        exponentials = np.exp(features @ self.coef.T + self.intercept)
        return exponentials / exponentials.sum(axis=1, keepdims=True)


def numerical_gradient(model: Softmax, x: np.ndarray, y: int, step: float = 1e-6) -> np.ndarray:
    """Of the log loss of (x, y), by central differences over every weight and intercept."""
    weights = np.column_stack([model.coef, model.intercept])
    gradient = np.empty_like(weights)
    for at in np.ndindex(weights.shape):
        losses = []
        for sign in (1, -1):
            moved = weights.copy()
            moved[at] += sign * step
            losses.append(-np.log(Softmax(moved[:, :-1], moved[:, -1]).predict_proba(x[None])[0, y]))
        gradient[at] = (losses[0] - losses[1]) / (2 * step)
    return gradient


def test_it_is_the_expected_length_of_the_loss_gradient():
    rng = np.random.default_rng(0)
    model, features = Softmax(rng.normal(size=(3, 4)), rng.normal(size=3)), rng.normal(size=(6, 4))
    pool = Pool(features, [], [], np.arange(6), 3)
    probabilities = model.predict_proba(features)
    by_hand = [
        sum(p[y] * np.linalg.norm(numerical_gradient(model, x, y)) for y in range(3))
        for x, p in zip(features, probabilities, strict=True)
    ]
    np.testing.assert_allclose(ExpectedChange().utilities(pool, model, rng), by_hand, rtol=1e-6)


def test_a_sure_answer_changes_nothing():
    lengths = expected_gradient_length(np.ones((2, 3)), np.array([[1.0, 0.0], [0.5, 0.5]]))
    assert lengths == pytest.approx([0, np.sqrt(0.5) * 2])


def test_half_precision_features_do_not_overflow():
    lengths = expected_gradient_length(np.full((1, 2), 300, np.float16), np.array([[0.5, 0.5]], np.float32))
    assert lengths == pytest.approx(np.sqrt(0.5) * np.sqrt(2 * 300**2 + 1))


def test_a_reason_names_the_classes_in_question():
    pool = Pool(np.zeros((1, 2)), [], [], [0], 2)
    whys = ExpectedChange().why(pool, Softmax(np.zeros((2, 2)), np.zeros(2)), np.array([0]), ["cat", "dog"])
    assert whys == ["torn between cat and dog"]
