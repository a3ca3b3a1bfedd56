"""The labeled sets that figures are measured on. Two of them lie outside the project, beside its checkout."""

import csv
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

DATA = Path(__file__).parents[3] / "shared" / "data"
NAMES = ("digits", "agnews", "trec")


def missing(name: str) -> str | None:
    """Why the set cannot be loaded here, in words; None where it can."""
    absent = [path.name for path in _files(name) if not path.is_file()]
    return f"{name} is left out: {DATA} has no {' and no '.join(absent)}" if absent else None


def load(name: str) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Features (n, d) and classes (n,).

    Digits: pixels, centred, each row of length 1. AG News and TREC: embeddings of all-MiniLM-L6-v2, as they were made.
    """
    if name == "digits":
        pixels, targets = load_digits(return_X_y=True)
        centred = pixels - pixels.mean(axis=0)
        return centred / np.linalg.norm(centred, axis=1, keepdims=True), targets.astype(np.intp)
    table, arrays = _files(name)
    with np.load(arrays) as archive:
        features = archive[archive.files[0]].astype(np.float64)
    with gzip.open(table, "rt", encoding="utf-8", newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    return features, np.unique(labels, return_inverse=True)[1].astype(np.intp)


def _files(name: str) -> list[Path]:
    if name not in NAMES:
        raise ValueError(f"There is no set {name!r}; choose one of {', '.join(NAMES)}.")
    return [] if name == "digits" else [DATA / f"{name}.csv.gz", DATA / f"{name}_minilm.npz"]
