"""Words that speak for a class, and columns that weigh most: kept beside each head, read when an item is claimed."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

SUFFIX = ".keywords.json"
SHOWN = 8  # words marked in a text
FAINT = 0.3  # of what the strongest word of a text weighs: what weighs less is not marked
READ = 20_000  # characters of a text that are looked through: what is shown of a long one at first
CACHED = 8  # model versions whose words are held at once
LEADING = 8  # columns of a wide row that are shown at once
FEW_COLUMNS = 10  # a row that has no more is shown whole

_WORD = re.compile(r"\b\w\w+\b")  # as the encoder of texts takes them


@dataclass(frozen=True)
class Keywords:
    """What one model version reads from.

    Attributes
    ----------
    terms : mapping of int to mapping of str to float
        By class id, words in lower case and how much each speaks for the class.
    columns : sequence of str
        Columns of a table, the one that weighs most first.
    """

    terms: Mapping[int, Mapping[str, float]]
    columns: Sequence[str] = ()

    def found_in(self, text: str, class_id: int) -> list[str]:
        """The words of a text that speak most for a class, the strongest first."""
        weights = self.terms.get(class_id)
        if not weights:
            return []
        found = {word: weights[word] for word in _WORD.findall(text[:READ].lower()) if word in weights}
        least = FAINT * max(found.values(), default=0.0)
        return sorted((word for word in found if found[word] >= least), key=lambda word: -found[word])[:SHOWN]

    def leading_in(self, fields: Mapping[str, Any]) -> list[str]:
        """The columns of a wide row that weigh most, in the row's own order, so that the eye finds them."""
        if len(fields) <= FEW_COLUMNS:
            return list(fields)
        heaviest = set([column for column in self.columns if column in fields][:LEADING])
        return [column for column in fields if column in heaviest]

    def save(self, head: Path) -> None:
        """Write beside the head at this path, whole or not at all."""
        path = keywords_file(head)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{head.stem}.partial{SUFFIX}")
        told = json.dumps({"terms": self.terms, "columns": list(self.columns)}, ensure_ascii=False)
        partial.write_text(told, encoding="utf-8")  # not worth waiting for the disk: without it nothing is marked
        partial.replace(path)


NONE = Keywords({})


def keywords_file(head: Path) -> Path:
    """Where the keywords of the head at this path lie."""
    return head.with_name(f"{head.stem}{SUFFIX}")


@lru_cache(CACHED)
def load_keywords(head: Path) -> Keywords:
    """What was saved beside a head, which never changes; nothing where there is no such file or it is damaged."""
    try:
        stored = json.loads(keywords_file(head).read_text(encoding="utf-8"))
        terms = {int(class_id): words for class_id, words in stored["terms"].items()}
        return Keywords(terms, stored["columns"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return NONE
