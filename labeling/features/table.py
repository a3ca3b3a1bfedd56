"""Rows of a table: numbers in steps, choices one by one, and what is missing said so.

A number is told by how far it has come through each step between quantiles of its column, so that long tails do no harm
and a linear model can bend, and by its distance from the mean. A value that is not a number is one of its column's
frequent choices, or another one. Columns that say nothing (always the same, or different in every row) are left out.

References
----------
Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep learning", NeurIPS 2022
(piecewise linear encoding).
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from labeling.features.base import Content, Kind, State, as_array, from_array, version_of

STEPS = 4  # that a column of numbers is divided into
PLAIN_WEIGHT = 0.5  # of the distance from the mean, in standard deviations, beside the steps
FARTHEST = 3.0  # standard deviations
WIDEST = 1024  # numbers to a row; tables of many columns get fewer steps
MOST_COLUMNS = 1024
MOST_CHOICES = 32  # of a column that are told apart
NUMBERS = 0.98  # share of a column's values that are numbers where it is one of numbers
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
CODE = 1


@dataclass(frozen=True)
class Column:
    """What was learned of a column: the bounds of its steps, or its choices.

    Attributes
    ----------
    bounds : list of float
        Ascending, of a column of numbers; empty of one of choices.
    mean, middle, spread : float
        Of a column of numbers; a missing one is taken for the middle, its median. The spread is the standard deviation.
    choices : list of str
    other : bool
        Whether there were values beside the choices.
    gaps : bool
        Whether values were missing.
    """

    name: str
    bounds: list[float]
    mean: float
    middle: float
    spread: float
    choices: list[str]
    other: bool
    gaps: bool

    @classmethod
    def learned(cls, name: str, values: list[Any], steps: int) -> Self:
        """Learn from the values of a column, None where one is missing."""
        there = [value for value in values if value is not None]
        gaps = 0 < len(there) < len(values)
        numbers = [number for value in there if (number := _number(value)) is not None]
        if there and len(numbers) >= NUMBERS * len(there):
            column = np.array(numbers)
            told = float(column.mean()), float(np.median(column)), float(column.std())
            return cls(name, _bounds(column, steps), *told, [], False, gaps)
        counts = Counter(map(_word, there))
        often = [word for word, count in counts.most_common(MOST_CHOICES) if count > 1]
        other = len(often) < len(counts)
        # The same in every row, or different in every row, tells rows apart in no way that can be learned.
        return cls(name, [], 0.0, 0.0, 0.0, often if other or len(often) > 1 else [], other and bool(often), gaps)

    @property
    def width(self) -> int:
        """How many numbers tell a value of this column."""
        return len(self.bounds) + len(self.choices) + self.other + self.gaps

    def encode(self, values: list[Any]) -> NDArray[np.float32]:
        """Values (n,), None where one is missing: (n, width)."""
        told = np.zeros((len(values), self.width), dtype=np.float32)
        if self.bounds:
            numbers = [_number(value) if value is not None else None for value in values]
            column = np.array([self.middle if number is None else number for number in numbers])
            low, high = np.array(self.bounds[:-1]), np.array(self.bounds[1:])
            told[:, : len(low)] = np.clip((column[:, None] - low) / (high - low), 0, 1)
            distance = (column - self.mean) / self.spread
            told[:, len(low)] = PLAIN_WEIGHT * np.clip(distance, -FARTHEST, FARTHEST)
        elif self.choices:
            place = {word: at for at, word in enumerate(self.choices)}
            for row, value in enumerate(values):
                at = None if value is None else place.get(_word(value), len(self.choices) if self.other else None)
                if at is not None:
                    told[row, at] = 1
        if self.gaps:
            told[:, -1] = [value is None for value in values]
        return told


@dataclass(frozen=True, eq=False)
class Table:
    """Rows as numbers: each of its `columns` comes from one column of the table."""

    layout: list[Column]
    name: ClassVar[str] = "table"
    kind: ClassVar[Kind | None] = "row"
    sample: ClassVar[int] = 20_000
    chunk: ClassVar[int] = 2000

    @classmethod
    def fit(cls, items: Sequence[Content]) -> Self:
        """Learn the columns from a sample of the pool."""
        rows = [item.fields or {} for item in items]
        names = list(dict.fromkeys(name for row in rows for name in row))[:MOST_COLUMNS]
        steps = max(1, min(STEPS, WIDEST // max(len(names), 1) - 1))
        learned = (Column.learned(name, [_value(row.get(name)) for row in rows], steps) for name in names)
        return cls([column for column in learned if column.width])

    @classmethod
    def restore(cls, parameters: Mapping[str, int | str], state: State) -> Self:
        """The encoder that once had this state."""
        return cls([Column(**column) for column in from_array(state["layout"])])

    @property
    def parameters(self) -> Mapping[str, int | str]:
        """All is in the state."""
        return {}

    @property
    def state(self) -> State:
        """The columns, as JSON in bytes."""
        return {"layout": as_array([asdict(column) for column in self.layout])}

    @property
    def version(self) -> str:
        """Name of the folder of its matrices."""
        return version_of(self.name, self.parameters, CODE, self.state)

    @property
    def width(self) -> int:
        """Length of a vector, at least 1."""
        return len(self.columns)

    @property
    def columns(self) -> list[str]:
        """The column of the table that each number of a vector comes from; a nameless one where none says anything."""
        return [column.name for column in self.layout for _ in range(column.width)] or [""]

    def encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        """Vectors of n items with fields: (n, width)."""
        rows = [item.fields or {} for item in items]
        if not self.layout:
            return np.zeros((len(rows), 1), dtype=np.float32)
        parts = [column.encode([_value(row.get(column.name)) for row in rows]) for column in self.layout]
        return np.concatenate(parts, axis=1)


def _value(value: Any) -> Any:
    """A value as it is; None where it stands for nothing."""
    if isinstance(value, str):
        value = value.strip()
        return None if value.casefold() in MISSING else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> float | None:
    """A value as a finite number, as far as it is one; truth is 1."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _bounds(numbers: NDArray[np.float64], steps: int) -> list[float]:
    """Bounds of at most so many steps, at even quantiles; none where all numbers are the same."""
    bounds = np.unique(np.quantile(numbers, np.linspace(0, 1, steps + 1)))
    if len(bounds) < 2:  # nearly all are the same: the others count
        bounds = np.unique(np.quantile(np.unique(numbers), np.linspace(0, 1, steps + 1)))
    return [float(bound) for bound in bounds] if len(bounds) > 1 else []
