"""The head: a linear classifier on fixed features, kept as arrays (`.npz`) and JSON, never as a pickle."""

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from labeling.errors import Invalid

# Many classes and few labels are no mistake here, nor is one row of words for each class.
warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)

PLAIN_STRENGTH = 30.0  # C of plain logistic regression: scikit-learn's own, 1, is far too tight for rows of unit length


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
        The penalty ``l2 / 2 * ||coef||^2`` on the summed log loss that it was fitted with: 1 / C of scikit-learn; 2 / C
        with two classes, where scikit-learn keeps the difference of the two rows.
    informed : bool
        Whether it knows more of its classes than the labels told it: their words (`labeling.learning.zero_shot`).
    temperature : float
        What its logits are divided by on the way to probabilities. Strategies, which read `coef` and `intercept`, see
        the head as it was fitted: what it doubts then spreads further, and is the better choice of what to ask.
    """

    classes: NDArray[np.int64]
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    l2: float
    informed: bool = False
    temperature: float = 1.0

    def predict_proba(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probabilities (n, k) of rows (n, d)."""
        logits = (features @ self.coef.T + self.intercept) / self.temperature
        return np.asarray(softmax(logits, axis=1), dtype=np.float64)

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
        classes = np.array([index for index, _ in kept])
        return replace(self, classes=classes, coef=self.coef[rows], intercept=self.intercept[rows])

    def save(self, path: Path, about: dict[str, object]) -> None:
        """Write the arrays to `path` (`.npz`) and `about` beside it (`.json`), each whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path.with_suffix(".json"), json.dumps({**about, "l2": self.l2}, indent=1).encode())
        partial = path.with_suffix(".partial.npz")
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in asdict(self).items()}
        np.savez(partial, **arrays)
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
                numbers = {name: stored[name].item() for name in ("l2", "informed", "temperature") if name in stored}
                return cls(stored["classes"], stored["coef"], stored["intercept"], **numbers)
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise Invalid(f"The model at {path} is missing or damaged; the next labels train a new one.") from error


def about_head(path: Path) -> dict[str, Any]:
    """What was saved beside a head: its class ids, its feature version, how many labels it saw."""
    about: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return about


def fit_head(
    features: NDArray[np.floating],
    targets: NDArray[np.integer],
    *,
    strength: float,
    weights: NDArray[np.floating] | None = None,
    informed: bool = False,
) -> LinearHead:
    """Fit multinomial logistic regression to rows (l, d) and class indices (l,).

    Parameters
    ----------
    strength
        scikit-learn's C.
    weights : (l,), optional
        How much each row counts; the same unless told otherwise.
    informed
        Whether some of the rows are words.

    Raises
    ------
    ValueError
        If there are fewer than two classes, or a feature is not finite (scikit-learn's own errors).
    """
    fitted = LogisticRegression(C=strength, max_iter=2000)
    fitted.fit(np.asarray(features, dtype=np.float64), targets, sample_weight=weights)
    coef, intercept, l2 = np.asarray(fitted.coef_, float), np.asarray(fitted.intercept_, float), 1 / strength
    if len(fitted.classes_) == 2:  # scikit-learn keeps one row w for two classes: the softmax of ±w/2 is the same model
        coef, intercept, l2 = np.vstack([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2, 2 * l2
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError("The fit did not come to finite weights.")
    return LinearHead(np.asarray(fitted.classes_, dtype=np.int64), coef, intercept, l2, informed)


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(f".partial{path.suffix}")
    partial.write_bytes(content)
    _settle(partial, path)


def _settle(partial: Path, path: Path) -> None:
    with partial.open("rb+") as written:
        os.fsync(written.fileno())
    partial.replace(path)
