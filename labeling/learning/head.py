"""The head: a linear classifier on fixed features, kept as arrays (`.npz`) and JSON, never as a pickle."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from labeling.errors import Invalid

STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # of scikit-learn's C, the inverse of the penalty
DEFAULT_STRENGTH = 1.0
SEARCHED = 400  # labels that a search for C looks at: more would keep people waiting, and change little


@dataclass(frozen=True)
class LinearHead:
    """A softmax classifier.

    Attributes
    ----------
    classes : (k,) int
        The class indices that it knows, ascending.
    coef : (k, d) float64
    intercept : (k,) float64
    l2 : float
        The penalty it was fitted with, 1 / C of scikit-learn.
    """

    classes: NDArray[np.int64]
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    l2: float

    def predict_proba(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probabilities (n, k) of rows (n, d)."""
        return np.asarray(softmax(features @ self.coef.T + self.intercept, axis=1), dtype=np.float64)

    def for_classes(self, stood_for: Sequence[int], class_ids: Sequence[int]) -> "LinearHead | None":
        """The same head with its classes numbered as in `class_ids` today; those that are gone are left out.

        Parameters
        ----------
        stood_for
            The class ids that its class indices stood for when it was fitted (see `about_head`).

        Returns
        -------
        LinearHead or None
            None where fewer than two of its classes remain.
        """
        today = {class_id: index for index, class_id in enumerate(class_ids)}
        kept = sorted((today[stood_for[c]], row) for row, c in enumerate(self.classes) if stood_for[c] in today)
        if len(kept) < 2:
            return None
        rows = [row for _, row in kept]
        return LinearHead(np.array([index for index, _ in kept]), self.coef[rows], self.intercept[rows], self.l2)

    def save(self, path: Path, about: dict[str, object]) -> None:
        """Write the arrays to `path` (`.npz`) and `about` beside it (`.json`), each whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path.with_suffix(".json"), json.dumps({**about, "l2": self.l2}, indent=1).encode())
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, classes=self.classes, coef=self.coef, intercept=self.intercept, l2=np.float64(self.l2))
        _settle(partial, path)

    @classmethod
    def load(cls, path: Path) -> "LinearHead":
        """Read a head that `save` wrote.

        Raises
        ------
        Invalid
            If the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(stored["classes"], stored["coef"], stored["intercept"], float(stored["l2"]))
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise Invalid(f"The model at {path} is missing or damaged; the next labels train a new one.") from error


def about_head(path: Path) -> dict[str, Any]:
    """What was saved beside a head: its class ids, its feature version, how many labels it saw."""
    about: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return about


def fit_head(
    features: NDArray[np.floating], targets: NDArray[np.int64], *, strength: float = DEFAULT_STRENGTH, seed: int = 0
) -> LinearHead:
    """Fit multinomial logistic regression to rows (l, d) and class indices (l,).

    Raises
    ------
    ValueError
        If there are fewer than two classes, or a feature is not finite (scikit-learn's own errors).
    """
    fitted = _logistic(strength, seed).fit(features, targets)
    coef, intercept = np.asarray(fitted.coef_, float), np.asarray(fitted.intercept_, float)
    if len(fitted.classes_) == 2:  # scikit-learn keeps one row w for two classes: the softmax of ±w/2 is the same model
        coef, intercept = np.vstack([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError("The fit did not come to finite weights.")
    return LinearHead(np.asarray(fitted.classes_, dtype=np.int64), coef, intercept, 1 / strength)


def choose_strength(features: NDArray[np.floating], targets: NDArray[np.int64], *, seed: int = 0) -> float:
    """The C with the least cross-validated log loss; the default while a class has fewer than two labels."""
    if len(targets) > SEARCHED:
        chosen = np.random.default_rng(seed).choice(len(targets), SEARCHED, replace=False)
        features, targets = features[chosen], targets[chosen]
    folds = min(5, int(np.unique(targets, return_counts=True)[1].min()))
    if folds < 2:
        return DEFAULT_STRENGTH
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    scores = [
        cross_val_score(_logistic(c, seed), features, targets, cv=split, scoring="neg_log_loss").mean()
        for c in STRENGTHS
    ]
    return STRENGTHS[int(np.argmax(scores))]


def _logistic(strength: float, seed: int) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=2000, random_state=seed)


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(f".partial{path.suffix}")
    partial.write_bytes(content)
    _settle(partial, path)


def _settle(partial: Path, path: Path) -> None:
    with partial.open("rb+") as written:
        os.fsync(written.fileno())
    partial.replace(path)
