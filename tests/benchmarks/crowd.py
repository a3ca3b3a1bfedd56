"""Simulated annotators who err as real people do: drawn from the human counts of CIFAR-10H (Peterson et al., 2019)."""

import csv
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from labeling.annotation.opinions import Opinions
from tests.benchmarks.datasets import DATA

ARCHIVE, PREDICTED = DATA / "cifar10h.zip", DATA / "cifar10h_predicted.npy"
N_PEOPLE = 12
CARELESS = {3: 0.4, 8: 0.4}  # of which person which share of answers is random


@dataclass(frozen=True)
class Crowd:
    """What about 51 real people said of each of 6,000 images.

    Attributes
    ----------
    files : tuple of str
        Names of the images in the archive's folder `images/`.
    names : tuple of str
        Of the k classes.
    counts : (n, k) int
        How many people chose each class.
    given : (n,) int
        The class that the data set gives the image; not always what people see.
    """

    files: tuple[str, ...]
    names: tuple[str, ...]
    counts: NDArray[np.int64]
    given: NDArray[np.int64]

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """Share of people who chose each class, (n, k)."""
        return self.counts / self.counts.sum(axis=1, keepdims=True)

    @cached_property
    def majority(self) -> NDArray[np.int64]:
        """The class that most people chose, (n,); the first of two that are level."""
        return self.counts.argmax(axis=1)

    @cached_property
    def doubtful(self) -> NDArray[np.bool_]:
        """Of which images fewer than half of all people chose the given class, (n,): 71 of them."""
        return self.shares[np.arange(len(self.given)), self.given] < 0.5

    @cached_property
    def _cumulative(self) -> NDArray[np.float64]:
        return np.cumsum(self.shares, axis=1)


@dataclass(frozen=True)
class People:
    """Simulated annotators of a crowd's images.

    Attributes
    ----------
    carelessness : (n_people,) float
        Share of each person's answers that is drawn uniformly from all classes; the others are drawn from the image's
        human counts.
    """

    crowd: Crowd
    carelessness: NDArray[np.float64]
    rng: np.random.Generator

    def __len__(self) -> int:
        return len(self.carelessness)

    def answer(self, person: int, image: int) -> int:
        """One answer of one person to one image: the index of a class."""
        return int(self.answers(np.array([person]), np.array([image]))[0])

    def answers(self, people: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[np.int64]:
        """Answers (a,) of these people to these images, pair by pair; each call draws anew."""
        drawn = self.rng.random(len(images))
        classes = (drawn[:, None] >= self.crowd._cumulative[images][:, :-1]).sum(axis=1)
        k = len(self.crowd.names)
        random = self.rng.random(len(images)) < self.carelessness[people]
        return np.where(random, self.rng.integers(0, k, len(images)), classes).astype(np.int64)


def missing() -> str | None:
    """Why the crowd cannot be loaded here, in words; None where it can."""
    absent = [path.name for path in (ARCHIVE, PREDICTED) if not path.is_file()]
    return f"CIFAR-10H is left out: {DATA} has no {' and no '.join(absent)}" if absent else None


def load() -> Crowd:
    """All 6,000 images of CIFAR-10H that lie beside the project."""
    with zipfile.ZipFile(ARCHIVE) as archive, archive.open("human_counts.csv") as file:
        header, *rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
    names = tuple(name.removeprefix("n_") for name in header[2:])
    counts = np.array([row[2:] for row in rows], dtype=np.int64)
    given = np.array([names.index(row[1]) for row in rows], dtype=np.int64)
    return Crowd(tuple(row[0] for row in rows), names, counts, given)


def predicted() -> NDArray[np.float64]:
    """Out-of-sample probabilities (n, k) of a published network, 93 % accurate, in the order of `load`."""
    return np.load(PREDICTED).astype(np.float64)


def draw_people(
    crowd: Crowd, rng: np.random.Generator, n_people: int = N_PEOPLE, careless: Mapping[int, float] = CARELESS
) -> People:
    """People, of whom those in `careless` choose at random in this share of their answers."""
    carelessness = np.zeros(n_people)
    for person, share in careless.items():
        carelessness[person] = share
    return People(crowd, carelessness, rng)


def overlapping(people: People, overlap: int) -> Opinions:
    """Every image answered by this many different people, drawn at random so that all answer about equally many."""
    n, m = len(people.crowd.given), len(people)
    turns = -(-n * overlap // m)
    images = np.repeat(people.rng.permutation(n), overlap)
    # Rounds of all people in a random order each; `overlap` neighbours may straddle two rounds, so a round is redrawn
    # until its first ones differ from the last ones of the round before.
    order: list[int] = []
    for _ in range(turns):
        while True:
            round_of = people.rng.permutation(m).tolist()
            cut = len(order) % overlap
            if not cut or not set(order[-cut:]) & set(round_of[: overlap - cut]):
                break
        order += round_of
    who = np.array(order[: len(images)], dtype=np.int64)
    return Opinions(images, who, people.answers(who, images), n, m, len(people.crowd.names))
