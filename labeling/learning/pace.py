"""How fast people label: sessions of work, labels an hour, and the time that an item takes."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel

from labeling.db.schema import Origin, Verdict
from labeling.learning.history import History

IDLE_SECONDS = 300.0  # a longer gap between two answers of a person is a break, a longer look an item left open
RECENT_ANSWERS = 1000  # that the pace is taken from: people get faster, and projects harder
FEWEST = 20  # answers below which nothing is said about a pace
BLOCK = 10  # answers in a row that are drawn together: people are fast and slow in stretches
DRAWS = 4000
CONFIDENCE = 0.90
SLOTS = 60  # of the labels over time, at most
WIDTHS = (60, 300, 900, 3600, 6 * 3600, 86_400, 7 * 86_400, 28 * 86_400)  # seconds
BINS_A_DECADE = 8


class Pace(BaseModel):
    """Labels per hour of one person's work, with its interval at 90 %; breaks are not work."""

    per_hour: float
    low: float
    high: float
    answers: int
    hours: float  # of work that these answers took
    sessions: int
    people: int


class Slot(BaseModel):
    """The answers of a stretch of time (seconds since the epoch, the end not included), and the labels by its end."""

    start: float
    end: float
    answers: int
    labels: int


class Duration(BaseModel):
    """How long items were looked at, in seconds; `left_open` answers took longer than five minutes and are left out."""

    of: int  # a class id, a user id, or 0: everything
    name: str
    answers: int
    left_open: int
    median: float | None
    p90: float | None


class Bin(BaseModel):
    """How many answers took from `start` to `end` seconds."""

    start: float
    end: float
    answers: int


class Durations(BaseModel):
    """The distribution of the time per item."""

    everything: Duration
    bins: list[Bin]
    by_person: list[Duration]
    by_class: list[Duration]


class Work(NamedTuple):
    """Answers in their order, person by person: what each took and brought.

    Attributes
    ----------
    seconds : (n,) float
        From the person's answer before it; after a break, what its item was looked at.
    labels : (n,) int
        1 where the answer is its item's first label.
    starts : (n,) bool
        Whether a session begins with it.
    users : (n,) int
    """

    seconds: NDArray[np.float64]
    labels: NDArray[np.int64]
    starts: NDArray[np.bool_]
    users: NDArray[np.int64]


def work(answers: pd.DataFrame) -> Work:
    """The work that is in answers that people gave (`History.given`), in their order."""
    given, first = answers, _first_labels(answers)
    order = np.lexsort((given["seq"], given["created"], given["user"]))
    users, created = given["user"].to_numpy()[order], given["created"].to_numpy()[order]
    gaps = np.diff(created, prepend=-np.inf)
    gaps[1:][users[1:] != users[:-1]] = np.inf
    starts = gaps > IDLE_SECONDS
    usual = float(np.median(gaps[~starts])) if (~starts).any() else 0.0
    looked = given["seconds"].to_numpy()[order]
    looked = np.where(looked <= IDLE_SECONDS, looked, usual)  # NaN: not told
    return Work(np.where(starts, looked, gaps), first[order], starts, users)


def draw_pace(answers: pd.DataFrame, *, seed: int = 0) -> tuple[Pace, NDArray[np.float64]] | None:
    """The pace of the newest answers, and `DRAWS` draws of it; None where there are too few.

    The draws are a bootstrap over stretches of `BLOCK` answers.
    """
    done = work(answers.tail(RECENT_ANSWERS))
    if len(done.seconds) < FEWEST or done.seconds.sum() <= 0 or done.labels.sum() == 0:
        return None
    blocks = np.arange(len(done.seconds)) // BLOCK
    seconds, labels = np.bincount(blocks, done.seconds), np.bincount(blocks, done.labels)
    weights = np.random.default_rng(seed).multinomial(len(seconds), np.full(len(seconds), 1 / len(seconds)), size=DRAWS)
    drawn = np.maximum(weights @ labels, 0.5) / np.maximum(weights @ seconds, 1e-3) * 3600
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    pace = Pace(
        per_hour=3600 * done.labels.sum() / done.seconds.sum(), low=low, high=high, answers=len(done.seconds),
        hours=done.seconds.sum() / 3600, sessions=int(done.starts.sum()), people=len(np.unique(done.users)),
    )  # fmt: skip
    return pace, drawn


def slots(answers: pd.DataFrame) -> list[Slot]:
    """Stretches of equal length, at most `SLOTS` from the first answer to the last; those without answers too."""
    if answers.empty:
        return []
    created, first = answers["created"].to_numpy(), _first_labels(answers)
    width = next((w for w in WIDTHS if created.max() // w - created.min() // w < SLOTS), WIDTHS[-1])
    begin = created.min() // width * width
    places = ((created - begin) // width).astype(np.int64)
    counts, labels = np.bincount(places), np.bincount(places, first).cumsum()
    return [
        Slot(start=begin + at * width, end=begin + (at + 1) * width, answers=counts[at], labels=int(labels[at]))
        for at in range(len(counts))
    ]


def durations(history: History, only: int | None = None) -> Durations:
    """The time per item; distribution and classes of one person, where `only` names one.

    It is known of answers to single items, where it was taken.
    """
    everyone = history.answers[(history.answers["origin"] == Origin.ASKED) & (history.answers["seconds"] > 0)]
    timed = everyone if only is None else everyone[everyone["user"] == only]
    labels = timed[timed["verdict"] == Verdict.LABEL]
    kept = timed["seconds"][timed["seconds"] <= IDLE_SECONDS].to_numpy()
    return Durations(
        everything=_duration(0, "everything", timed["seconds"].to_numpy()),
        bins=_bins(kept),
        by_person=[
            _duration(user, history.people.get(user, ""), everyone["seconds"][everyone["user"] == user].to_numpy())
            for user in sorted(everyone["user"].unique().tolist())
        ],
        by_class=[
            _duration(class_id, name, labels["seconds"][labels["class_id"] == class_id].to_numpy())
            for class_id, name in history.class_names.items()
        ],
    )


def _first_labels(answers: pd.DataFrame) -> NDArray[np.int64]:
    """1 where an answer is the first label of its item, (n,)."""
    label = (answers["verdict"] == Verdict.LABEL).to_numpy()
    first = np.zeros(len(answers), dtype=np.int64)
    first[np.flatnonzero(label)[~answers["item"][label].duplicated().to_numpy()]] = 1
    return first


def _duration(of: int, name: str, seconds: NDArray[np.float64]) -> Duration:
    kept = seconds[seconds <= IDLE_SECONDS]
    median, p90 = np.quantile(kept, [0.5, 0.9]) if len(kept) else (None, None)
    return Duration(
        of=of, name=name, answers=len(kept), left_open=len(seconds) - len(kept), median=median, p90=p90
    )  # fmt: skip


def _bins(seconds: NDArray[np.float64]) -> list[Bin]:
    """Bins of equal width in the logarithm, from the first that has answers to the last."""
    if len(seconds) == 0:
        return []
    places = np.floor(BINS_A_DECADE * np.log10(np.maximum(seconds, 0.05))).astype(np.int64)
    low = int(places.min())
    return [
        Bin(start=10 ** ((low + at) / BINS_A_DECADE), end=10 ** ((low + at + 1) / BINS_A_DECADE), answers=count)
        for at, count in enumerate(np.bincount(places - low))
    ]
