"""Rows of a table as records, each cell checked to be something that can be stored and shown."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from labeling.db.values import MAX_NAME
from labeling.errors import Invalid
from labeling.intake.archives import MAX_PATH, File
from labeling.intake.images import MAX_BYTES, TOO_LARGE, check_bytes
from labeling.intake.lines import MAX_TEXT, UNDECODABLE, undecodable
from labeling.intake.records import Record, Refused, Role
from labeling.intake.roles import INTEGER, MISSING, NUMBER, SPREAD, as_object, is_missing, kind_of
from labeling.intake.tables import Row, Table

MAX_DEPTH = 32
INFINITE = {"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"}
TRUTH = {"true": True, "false": False}
FORMULA = ("=", "+", "-", "@", "\t", "\r")
SEVERAL = "Some rows have several labels; they go in without one, and their labels are kept in the metadata."

Find = Callable[[str], File]  # an image by the name that a cell gives it; raises Invalid


def records_of(table: Table, roles: Mapping[str, Role], name: str, find: Find) -> Iterator[Record | Refused]:
    """The rows of a table as records, and as refusals what cannot be taken.

    Parameters
    ----------
    name
        Of the file, for what is said of its rows.
    find
        Finds the images that cells name.
    """
    assembly = _Assembly(table, roles, find)
    for row in table.rows:
        if isinstance(row, Refused):
            yield row
            continue
        try:
            yield assembly.record(row)
        except Invalid as error:
            yield Refused(name, row.line, str(error))


class _Assembly:
    """Which columns have which role, and how their cells become a record."""

    def __init__(self, table: Table, roles: Mapping[str, Role], find: Find) -> None:
        columns = {role: [c for c in table.columns if roles.get(c) == role] for role in set(roles.values())}
        self.kind = kind_of(roles)
        self.ids = columns.get("id", [])
        self.labels = columns.get("label", [])
        self.texts = columns.get("text", [])
        self.images = columns.get("image", [])
        self.fields = columns.get("field", [])
        self.metas = columns.get("meta", []) + (self.texts if self.kind == "image" else [])
        if self.kind != "row":
            self.metas += self.fields
        known = set(table.columns)
        self.is_known = known.__contains__
        self.table = table
        self.encoding = table.reading.encoding or "utf-8"
        self.find = find
        # Our own CSV leads cells that a spreadsheet would run by an apostrophe; here it is taken away again.
        self.is_escaped = table.written and "external_id" in table.columns
        self.convert = (
            {column: _converter([row.cells[column] for row in table.sample]) for column in self.fields}
            if table.written
            else {}
        )

    def record(self, row: Row) -> Record:
        cells = row.cells
        if self.is_escaped:
            cells = {column: _unescaped(cell) for column, cell in cells.items()}
        meta: dict[str, Any] = {}
        for column in self.metas:
            self._put(meta, column, cells.get(column))
        if len(cells) > len(self.table.columns) or not self.table.written:
            for column in cells:
                if not self.is_known(column):  # objects may have names that the first ones had not
                    self._put(meta, self._text(column, "a name"), cells[column])
        label = self._label(cells, meta)
        given = self._id(cells)
        if self.kind == "image":
            external_id, read = self._image(cells.get(self.images[0]))
            return Record(given or external_id, read=read, meta=meta, label=label, line=row.line)
        if self.kind == "text":
            text = self._whole_text(cells)
            return Record(given or _name_of(text), text=text, meta=meta, label=label, line=row.line)
        fields: dict[str, Any] = {}
        for column in self.fields:
            cell: Any = cells.get(column)
            if column in SPREAD and (spread := as_object(cell)) is not None:
                fields.update(self._plain(spread, column))
            else:
                convert = self.convert.get(column)
                fields[column] = self._plain(convert(cell) if convert else cell, column)
        if all(value is None for value in fields.values()):
            raise Invalid("All its fields are empty.")
        return Record(given or _name_of(fields), fields=fields, meta=meta, label=label, line=row.line)

    def _put(self, meta: dict[str, Any], column: str, cell: Any) -> None:
        """Keep a cell as metadata; an empty one says nothing."""
        if is_missing(cell):
            return
        if column in SPREAD and (spread := as_object(cell)) is not None:
            meta.update(self._plain(spread, column))
        else:
            meta[column] = self._plain(cell, column)

    def _id(self, cells: Mapping[str, Any]) -> str | None:
        cell = cells.get(self.ids[0]) if self.ids else None
        if is_missing(cell) or (isinstance(cell, str) and not cell.strip()):
            return None
        if len(found := self._text(_word(cell), "id")) > MAX_PATH:
            raise Invalid(f"Its id is longer than {MAX_PATH} characters; shorten it.")
        return found

    def _label(self, cells: Mapping[str, Any], meta: dict[str, Any]) -> str | None:
        if not self.labels:
            return None
        column = self.labels[0]
        cell = cells.get(column)
        if isinstance(cell, dict) and isinstance(cell.get("choices"), list):
            cell = cell["choices"]  # as Label Studio writes several
        if isinstance(cell, list | tuple):
            if len(cell) > 1:
                meta["labels"] = self._plain(cell, column)
                if SEVERAL not in self.table.notes:
                    self.table.notes.append(SEVERAL)
                return None
            cell = cell[0] if cell else None
        if is_missing(cell):
            return None
        if isinstance(cell, dict | list | bytes):
            raise Invalid(f"Its label in “{column}” is not a name; give the name of a class.")
        names = self.table.names.get(column)
        if names and isinstance(cell, int):
            if cell < 0:  # as Hugging Face `datasets` writes that there is none
                return None
            if cell >= len(names):
                raise Invalid(f"Its label {cell} is not the number of one of the {len(names)} classes; correct it.")
            cell = names[cell]
        label = self._text(_word(cell), column).strip()
        if len(label) > MAX_NAME:
            raise Invalid(f"Its label is longer than the {MAX_NAME} characters of a class name; shorten it.")
        return label or None

    def _whole_text(self, cells: Mapping[str, Any]) -> str:
        """The cells of the text columns, one after the other."""
        parts = []
        for column in self.texts:
            cell = cells.get(column)
            if is_missing(cell):
                continue
            if isinstance(cell, dict | list | bytes):
                raise Invalid(f"Its cell “{column}” is not a text; correct it, or choose another column.")
            parts.append(self._text(_word(cell), column))
        text = parts[0] if len(parts) == 1 else "\n\n".join(parts)
        if not text or text.isspace():
            raise Invalid("Its text is empty.")
        if len(text) > MAX_TEXT:
            raise Invalid(f"Its text has more than {MAX_TEXT:,} characters; shorten or split it.")
        return text

    def _image(self, cell: Any) -> tuple[str, Callable[[], bytes]]:
        """What an image is called, and how it is read."""
        if isinstance(cell, dict):  # as Hugging Face `datasets` writes it
            data, cell = cell.get("bytes"), cell.get("path")
            if isinstance(data, bytes):
                name = self._text(cell, "path")[-MAX_PATH:] if isinstance(cell, str) and cell else _name_of(data)
                return name, partial(check_bytes, data)
        if isinstance(cell, bytes):
            return _name_of(cell), partial(check_bytes, cell)
        if not isinstance(cell, str) or not cell.strip():
            raise Invalid("It names no image.")
        file = self.find(self._text(cell, "image").strip())
        if file.size > MAX_BYTES:
            raise Invalid(TOO_LARGE)
        return file.name, file.read

    def _text(self, text: str, column: str) -> str:
        """A string that a database can hold."""
        if not text.isascii():
            if UNDECODABLE in text and self.table.written:
                raise Invalid(undecodable(self.encoding))
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise Invalid(f"Its cell “{_shown(column)}” has half a character (a lone surrogate).") from error
        if "\0" in text:
            raise Invalid(f"Its cell “{_shown(column)}” has a NUL character; remove it.")
        if len(text) > MAX_TEXT:
            raise Invalid(f"Its cell “{_shown(column)}” has more than {MAX_TEXT:,} characters; shorten it.")
        return text

    def _plain(self, value: Any, column: str, depth: int = 0) -> Any:
        """A value as JSON has it: numbers that are none become None."""
        if isinstance(value, str):
            return self._text(value, column)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise Invalid(f"Its cell “{_shown(column)}” is too large a number; write it as a text.")
            return value
        if isinstance(value, float):
            if math.isinf(value):
                raise Invalid(f"Its cell “{_shown(column)}” is infinite; leave it empty.")
            return None if math.isnan(value) else value
        if isinstance(value, datetime | date | time):
            return value.isoformat()
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, Decimal):
            return self._plain(int(value) if value == value.to_integral_value() else float(value), column)
        if depth >= MAX_DEPTH:
            raise Invalid(f"Its cell “{_shown(column)}” is nested more than {MAX_DEPTH} deep; flatten it.")
        if isinstance(value, dict):
            return {self._text(str(k), column): self._plain(v, column, depth + 1) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(part, column, depth + 1) for part in value]
        raise Invalid(f"Its cell “{_shown(column)}” is neither text nor number; leave the column out.")


def _shown(column: str) -> str:
    return column.encode("utf-8", "backslashreplace").decode()[:100].replace("\0", "")


def _word(cell: Any) -> str:
    """A cell as a name: 3.0 of a spreadsheet is 3."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return cell.isoformat() if isinstance(cell, datetime | date | time) else str(cell)


def _name_of(content: object) -> str:
    """What an item without a name is called: by its content, so that it is called the same when it comes again."""
    data = content if isinstance(content, bytes) else json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def _unescaped(cell: Any) -> Any:
    return cell[1:] if cell[:1] == "'" and cell.lstrip("'").startswith(FORMULA) else cell


def _converter(sample: list[str]) -> Callable[[str], Any]:
    """How the cells of a column of a written table are to be read: as whole numbers, numbers, truths or texts."""
    filled = [cell.strip() for cell in sample if cell.strip().lower() not in MISSING]
    finite = [cell for cell in filled if cell.lower() not in INFINITE]
    if filled and all(cell.lower() in TRUTH for cell in filled):
        return partial(_typed, lambda cell: TRUTH.get(cell.lower(), cell))
    if len(finite) == len(filled) and finite and all(INTEGER.fullmatch(cell) for cell in finite):
        return partial(_typed, lambda cell: int(cell) if INTEGER.fullmatch(cell) else _number(cell))
    if finite and all(NUMBER.fullmatch(cell) and not _is_code(cell) for cell in finite):
        return partial(_typed, _number)
    return lambda cell: cell if cell else None


def _typed(read: Callable[[str], Any], cell: str) -> Any:
    stripped = cell.strip()
    return None if stripped.lower() in MISSING else read(stripped)


def _number(cell: str) -> float | str:
    return float(cell) if cell.lower() in INFINITE or (NUMBER.fullmatch(cell) and not _is_code(cell)) else cell


def _is_code(cell: str) -> bool:
    """A number such as 007 or +49 stands for something: as a number it would lose what it is."""
    digits = cell.lstrip("+-")
    return cell.startswith("+") or (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit())
