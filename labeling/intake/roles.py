"""What each column of a table is: guessed from its name and its cells, and corrected by people.

A guess by name alone would take a column “text” of numbers for a text, one by content alone a title for the text
itself; so a name only counts for cells that can be what it says.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeling.errors import Invalid
from labeling.intake.records import Kind, Role
from labeling.intake.tables import Row

IDS = ("external_id", "id", "uid", "uuid", "guid", "item_id", "example_id", "sample_id", "doc_id", "document_id")
LABELS = (
    "label_text", "label_name", "label", "labels", "class_name", "class", "classes", "category", "categories", "target",
    "y", "gold_label", "gold", "ground_truth", "choice", "choices", "intent", "topic", "sentiment", "tag",
)  # fmt: skip
TEXTS = (
    "text", "sentence", "document", "content", "body", "review", "message", "comment", "tweet", "question", "utterance",
    "abstract", "description", "article", "headline", "title", "summary", "prompt", "query", "data",
)  # fmt: skip
IMAGES = ("image", "image_path", "file_name", "filename", "file", "path", "filepath", "file_path", "img", "image_file")
METAS = {"split", "meta", "metadata"}
SPREAD = {"fields": "field", "meta": "meta", "metadata": "meta"}  # columns of JSON objects whose names become columns
IMAGE_NAME = re.compile(r"[^\r\n]{1,1000}\.(png|jpe?g|jpe|webp|gif|bmp|tiff?)(\?[^\r\n]*)?", re.IGNORECASE)

# What the columns of our own exports of labels are. What they say of a label belongs to the project that gave it.
OURS: dict[str, Role] = {
    "external_id": "id", "label": "label", "text": "text", "fields": "field", "image": "image", "file_name": "image",
    "meta": "meta", "split": "meta",
}  # fmt: skip
OURS_ALONE = {
    "confidence", "source", "answers", "near_duplicate_of", "item_id", "class_id", "content_hash", "agreement",
    "method", "adjudicator",
}  # fmt: skip

INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?")
MISSING = {"", "nan", "null", "none", "n/a", "na"}
FEW = 30  # distinct cells up to which a column may hold classes whatever its length
SINGLE = ("id", "label", "image")  # roles that one column has at most


@dataclass(frozen=True)
class Cells:
    """What the cells of a column are like, as far as a sample shows: shares are of those that are filled."""

    count: int
    distinct: int
    strings: float
    numbers: float
    images: float
    length: float  # mean number of characters
    words: float  # mean number of words
    nested: float  # lists and objects

    @property
    def could_be_label(self) -> bool:
        """Short, and not nearly all different."""
        return bool(self.count) and self.length <= 100 and self.distinct <= max(FEW, self.count / 2)

    @property
    def repeats(self) -> bool:
        """Few different cells, each more than once."""
        return self.could_be_label and not self.nested and 2 <= self.distinct <= min(FEW, self.count / 2)

    def names_all_of(self, sample: Sequence[Row]) -> bool:
        """One different value to each row."""
        return self.count == self.distinct == len(sample) and not self.nested

    @property
    def could_be_text(self) -> bool:
        """Strings that are neither numbers nor names of images."""
        return self.strings > 0.6 and self.numbers < 0.5 and self.images < 0.5

    @property
    def reads_like_text(self) -> bool:
        """Several words, and mostly different."""
        return self.could_be_text and self.words >= 4 and self.length >= 20 and self.distinct >= self.count / 2


def cells_of(values: Sequence[Any]) -> Cells:
    """Describe the cells of a column."""
    filled = [value for value in values if not is_missing(value)]
    count = max(1, len(filled))
    strings = [value for value in filled if isinstance(value, str)]
    return Cells(
        count=len(filled),
        distinct=len(set(map(_seen, filled))),
        strings=len(strings) / count,
        numbers=sum(is_number(value) for value in filled) / count,
        images=sum(is_image(value) for value in filled) / count,
        length=sum(map(len, strings)) / max(1, len(strings)),
        words=sum(len(value[:10_000].split()) for value in strings) / max(1, len(strings)),
        nested=sum(isinstance(value, dict | list) for value in filled) / count,
    )


def _seen(value: object) -> object:
    """What tells one cell from another."""
    if isinstance(value, str | bytes):
        return value[:300]
    try:
        return repr(value)[:300]
    except RecursionError:  # nested as deeply as JSON can be read at all
        return id(value)


def is_missing(value: object) -> bool:
    """Whether a cell is empty."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def is_number(value: object) -> bool:
    """Whether a cell is a number or writes one."""
    if isinstance(value, str):
        return NUMBER.fullmatch(value.strip()) is not None
    return isinstance(value, int | float)


def is_image(value: object) -> bool:
    """Whether a cell holds an image or names one."""
    if isinstance(value, dict):
        return "bytes" in value and "path" in value  # as Hugging Face `datasets` writes them
    return isinstance(value, bytes) or (isinstance(value, str) and IMAGE_NAME.fullmatch(value) is not None)


def is_ours(columns: Sequence[str]) -> bool:
    """Whether these are the columns of an export of ours, and of labels."""
    there = set(columns)
    marked = "near_duplicate_of" in there or not there & OURS_ALONE
    return "external_id" in there and marked and there <= OURS.keys() | OURS_ALONE


def as_object(value: object) -> dict[str, Any] | None:
    """A JSON object, given as itself or written in a cell; None if it is neither."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str) and value[:1] == "{":
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None
    return None


def check_roles(roles: Mapping[str, Role], columns: Sequence[str]) -> None:
    """Check roles that people gave.

    Raises
    ------
    Invalid
        If there is no such column, or two have a role that only one can have.
    """
    for column in roles:
        if column not in columns:
            there = ", ".join(f"“{name}”" for name in columns[:20])
            raise Invalid(f"There is no column “{column}”; there are: {there}.")
    for role in SINGLE:
        having = [column for column, given in roles.items() if given == role]
        if len(having) > 1:
            raise Invalid(f"Only one column can be the {role}; “{having[0]}” and “{having[1]}” both are.")


def guess_roles(
    columns: Sequence[str],
    sample: Sequence[Row],
    given: Mapping[str, Role] | None = None,
    notes: list[str] | None = None,
) -> dict[str, Role]:
    """What each column is, by its name and the cells of a sample.

    Parameters
    ----------
    given
        Roles that are known; they stand, and the others are guessed around them.
    notes
        Where a sentence goes for each guess that could well be wrong.

    Raises
    ------
    Invalid
        If the given roles cannot be.
    """
    roles: dict[str, Role] = dict(given or {})
    check_roles(roles, columns)
    notes = [] if notes is None else notes
    cells = {column: cells_of([row.cells.get(column) for row in sample]) for column in columns}
    if is_ours(columns) and all(OURS.get(column) == role for column, role in roles.items()):
        # Which of these there are tells what the items are; the others may only be filled further down.
        return {
            c: "ignore" if c in ("text", "fields", "image") and not cells[c].count else OURS.get(c, "ignore")
            for c in columns
        }
    free = [column for column in columns if column not in roles]

    def take(role: Role, candidates: list[str]) -> str | None:
        """Give the role to the best candidate, unless a column has it already."""
        if role in roles.values() or not candidates:
            return None
        roles[candidates[0]] = role
        free.remove(candidates[0])
        return candidates[0]

    for column in list(free):
        if column in SPREAD and cells[column].count and _spreads(column, sample):
            roles[column] = SPREAD[column]  # type: ignore[assignment]
            free.remove(column)
        elif _plain(column) in METAS:
            roles[column] = "meta"
            free.remove(column)
    pictures = [column for column in free if cells[column].images > 0.6 and not _is_text_itself(column, cells)]
    take("image", _by_name(pictures, IMAGES, rest=True))
    # Our own exports have a row for each answer, so that an item's id can come more than once.
    take("id", [c for c in _by_name(free, IDS) if cells[c].names_all_of(sample) or c == "external_id"])
    take("label", [c for c in _by_name(free, LABELS, ending=("_label", "_class")) if cells[c].could_be_label])
    if "image" not in roles.values() and "field" not in roles.values():
        _guess_text(free, cells, take, notes)
    if "text" in roles.values() and len(free) == 1 and cells[free[0]].repeats and (chosen := take("label", list(free))):
        notes.append(f"“{chosen}” is read as the label, because few different values are in it.")
    # Beside an image, a text or an object of fields, the other columns are about the item and not what it is.
    is_row = not {"image", "text"} & set(roles.values()) and not any(roles.get(c) == "field" for c in SPREAD)
    for column in free:
        found = cells[column]
        only_names = found.strings == 1 and not found.numbers and found.distinct > max(FEW, found.count / 2)
        roles[column] = "field" if is_row and found.count and not found.nested and not only_names else "meta"
    return {column: roles[column] for column in columns}


def _guess_text(free: list[str], cells: Mapping[str, Cells], take: Any, notes: list[str]) -> None:
    named = [
        column
        for column in _by_name(free, TEXTS)
        if _is_text_itself(column, cells) or (cells[column].could_be_text and cells[column].words >= 2)
    ]
    like = sorted((c for c in free if cells[c].reads_like_text), key=lambda c: -cells[c].length)
    both = [column for column in named if column in like]
    chosen = take("text", [c for c in named if _is_text_itself(c, cells)] or both or like or named)
    others = [column for column in like if column != chosen]
    if chosen and others:
        notes.append(f"“{chosen}” is read as the text; “{others[0]}” could be one too.")
    if not chosen and not any(cells[column].numbers > 0.5 for column in free):
        words = [column for column in free if cells[column].could_be_text]
        words.sort(key=lambda column: (-cells[column].distinct, -cells[column].length))
        if (len(words) == 1 or len(free) <= 2) and (longest := take("text", words)):
            notes.append(f"“{longest}” is read as the text, because nothing else could be.")


def _is_text_itself(column: str, cells: Mapping[str, Cells]) -> bool:
    """Whether a column is called “text” and holds strings, whatever they look like."""
    return _plain(column) == "text" and cells[column].strings > 0.6


def _spreads(column: str, sample: Sequence[Row]) -> bool:
    filled = [row.cells[column] for row in sample if not is_missing(row.cells.get(column))]
    return all(as_object(value) is not None for value in filled)


def _plain(column: str) -> str:
    return re.sub(r"[\s\-.]+", "_", column.strip().lower())


def _by_name(
    columns: list[str], names: Sequence[str], *, ending: tuple[str, ...] = (), rest: bool = False
) -> list[str]:
    """The columns of these names in their order, then those with one of these endings, then the rest if wanted."""
    place = {name: i for i, name in enumerate(names)}
    known = sorted((c for c in columns if _plain(c) in place), key=lambda c: place[_plain(c)])
    like = [c for c in columns if c not in known and ending and _plain(c).endswith(ending) and "pred" not in _plain(c)]
    return known + like + ([c for c in columns if c not in known and c not in like] if rest else [])


def kind_of(roles: Mapping[str, Role]) -> Kind:
    """What the rows of a table are.

    Raises
    ------
    Invalid
        If no column says.
    """
    having = set(roles.values())
    if "image" in having:
        return "image"
    if "text" in having:
        return "text"
    if "field" in having:
        return "row"
    raise Invalid("No column is a text, an image or a field; say of one at least that it is.")
