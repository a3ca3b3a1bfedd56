"""What intake reads: records, what was refused of them, and how a file is to be read.

A reader turns one kind of source (a folder, an archive, a table, another tool's export) into these. The importer puts
them into a project and knows nothing of where they come from.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Bound

Kind = Literal["image", "text", "row"]
Role = Literal["id", "text", "image", "label", "field", "meta", "ignore"]


class Refused(NamedTuple):
    """A file or row that cannot be taken: what it is called, where it stands, and the sentence that says why."""

    name: str
    line: int | None  # of the file, from 1; None where there are no lines
    why: str


@dataclass(frozen=True)
class Record:
    """One item to come. Exactly one of `read`, `text` and `fields` says what it is.

    Attributes
    ----------
    external_id : str
        What the item is called; unique in a project.
    read : callable or None
        Gives the bytes of an image, or raises `labeling.errors.Invalid` with the sentence that says why not.
    label : str or None
        The name of the class that it is known to have.
    line : int or None
        Where it stands in its file, for what is said of it.
    """

    external_id: str
    read: Callable[[], bytes] | None = None
    text: str | None = None
    fields: Mapping[str, Any] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None
    line: int | None = None


class Reading(BaseModel):
    """How a source is to be read; what is None is guessed."""

    model_config = ConfigDict(extra="forbid")

    format: str | None = Bound(default=None, description="one of `labeling.intake.sources.FORMATS`")
    encoding: str | None = Bound(default=None, description="of a text file, such as utf-8 or cp1252")
    delimiter: str | None = Bound(default=None, description="between the cells of a text table")
    header: bool | None = Bound(default=None, description="whether the first row of a table names its columns")
    sheet: str | None = Bound(default=None, description="of a workbook")
    roles: dict[str, Role] | None = Bound(default=None, description="what each column is, by its name")


class Preview(BaseModel):
    """A source as it would be read: shown to people before anything goes in."""

    reading: Reading  # with every guess filled in
    kind: Kind
    columns: list[str]  # empty where the source has none
    # The first few as they would come in: "id", then "text", "fields" or "image" (its name), "label" and "meta".
    rows: list[dict[str, Any]]
    classes: list[str]  # the labels among the first rows
    total: int | None  # records in all, where that is known without reading everything
    refused: list[Refused]  # among the first rows
    notes: list[str] = []  # what was guessed and could be wrong, one sentence each


@dataclass(frozen=True)
class Source:
    """An opened source. `records` is read once, front to back, and holds little of it in memory at a time."""

    kind: Kind
    records: Iterable[Record | Refused]
    total: int | None  # of records and refusals, where that is known without reading everything
    reading: Reading = field(default_factory=Reading)  # with every guess filled in
    columns: list[str] = field(default_factory=list)  # of a table
    share: Callable[[], float] | None = None  # how much was read so far (0 to 1), where `total` is not known
    notes: list[str] = field(default_factory=list)  # what was guessed or left out; more may come while reading
