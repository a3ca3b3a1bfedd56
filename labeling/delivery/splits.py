"""Which side of a split an item is on, by rule: the same for the same item whenever it is asked.

Shares are drawn by the item's content: a hash of the seed and the content decides, and nothing else, so that an item
stays on its side as the pool grows, and in every project that has it. The shares are therefore met by chance and not
exactly, within each class too: stratified sides would have to change as labels come in.

Items that are nearly the same follow the first of them, and so are never on two sides.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from labeling.errors import Invalid

BY_COLUMN = "meta:"
WITHOUT = "none"  # the side of items that do not have the column
HOW = "a split is shares such as train=0.8,test=0.2, or a metadata column such as meta:site"


class First(NamedTuple):
    """The item itself, or the first of those that are nearly the same."""

    content_hash: str
    meta: Mapping[str, Any] | None


class Split(Protocol):
    """A rule that puts each item on one side."""

    def side(self, first: First) -> str:
        """The side of an item, told by the first of its near-duplicates."""
        ...


@dataclass(frozen=True)
class Shares:
    """Sides by chance, in given shares.

    Attributes
    ----------
    ends : tuple of float
        Where each side's part of the unit interval ends.
    """

    names: tuple[str, ...]
    ends: tuple[float, ...]
    seed: int

    def side(self, first: First) -> str:
        """The side in whose part the content's hash falls."""
        digest = hashlib.sha256(f"{self.seed}:{first.content_hash}".encode()).digest()
        drawn = int.from_bytes(digest[:8]) / 2**64
        return next((name for name, end in zip(self.names, self.ends, strict=True) if drawn < end), self.names[-1])


@dataclass(frozen=True)
class Column:
    """Sides by the values of a metadata column, such as where a picture was taken."""

    name: str

    def side(self, first: First) -> str:
        """The value as text; `WITHOUT` where there is none."""
        value = (first.meta or {}).get(self.name)
        if value is None or value == "":
            return WITHOUT
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def parse(rule: str, seed: int = 0) -> Split | None:
    """Read a rule; None for the empty one.

    Raises
    ------
    Invalid
        If it is neither shares that add up to 1, each with a name of its own, nor a metadata column.
    """
    rule = rule.strip()
    if not rule:
        return None
    if rule.startswith(BY_COLUMN):
        if not (column := rule.removeprefix(BY_COLUMN).strip()):
            raise Invalid(f"The split “{rule}” names no column; {HOW}.")
        return Column(column)
    shares: dict[str, float] = {}
    for part in rule.split(","):
        name, _, text = part.partition("=")
        name = name.strip()
        try:
            share = float(text)
        except ValueError:
            raise Invalid(f"The split “{rule[:100]}” cannot be read; {HOW}.") from None
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name) or name.lower() in map(str.lower, shares):
            raise Invalid(
                f"A side of a split needs a name of its own, of letters, digits and underscores; “{name[:40]}” is not."
            )
        if not 0 < share <= 1:
            raise Invalid(f"The share of “{name}” is to be more than 0 and at most 1, and is {text.strip()[:20]}.")
        shares[name] = share
    if not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise Invalid(f"The shares add up to {sum(shares.values()):g}; let them add up to 1.")
    return Shares(tuple(shares), tuple(accumulate(shares.values())), seed)
