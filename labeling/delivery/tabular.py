"""Tables: CSV, JSON Lines and Parquet, written a chunk at a time."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from labeling.delivery.moment import Chunk

DANGEROUS = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the beginning of a formula
ROW_GROUP = 40_000  # rows held until a part of a Parquet file is written, or fewer that are this heavy:
HEAVY = 32 * 2**20  # bytes

NUMBERS = {
    **dict.fromkeys(("answers", "item_id", "class_id", "model_version"), pa.int64()),
    **dict.fromkeys(
        ("agreement", "confidence", "label_confidence", "seconds", "suggestion_confidence", "utility"), pa.float64()
    ),
    **dict.fromkeys(("flagged", "suggestion_shown"), pa.bool_()),
}  # fmt: skip
MAPPINGS = ("fields", "meta")  # as JSON in what has no mappings


class Rows(Protocol):
    """Rows that are read in chunks: see `answer_rows` and `label_rows`."""

    @property
    def columns(self) -> Sequence[str]:
        """Their names."""
        ...

    @property
    def last(self) -> int:
        """The key behind which there is nothing."""
        ...

    def chunks(self, after: int = 0) -> Iterator[Chunk]:
        """The rows behind the key `after`."""
        ...


class Part(NamedTuple):
    """Bytes of an export, and the key behind which the rest of it is read."""

    data: bytes
    after: int


Writer = Callable[[Rows, int], Iterator[Part]]


def write_jsonl(rows: Rows, after: int = 0) -> Iterator[Part]:
    """JSON Lines, lossless; from behind the key `after`."""
    columns = rows.columns
    encode = json.JSONEncoder(ensure_ascii=False).encode
    for chunk in rows.chunks(after):
        text = "".join([encode(dict(zip(columns, row, strict=True))) + "\n" for row in chunk.rows])
        yield Part(text.encode(), chunk.after)


def write_csv(rows: Rows, after: int = 0) -> Iterator[Part]:
    """CSV, the header first unless it goes on behind a key; text that a spreadsheet would run is escaped."""
    if not after:
        yield Part(_as_csv([rows.columns]), 0)
    for chunk in rows.chunks(after):
        yield Part(_as_csv([[cell(value) for value in row] for row in chunk.rows]), chunk.after)


def write_parquet(rows: Rows, after: int = 0) -> Iterator[Part]:
    """Parquet, a row group at a time, from the beginning: its end tells of all of it. Mappings are JSON text."""
    assert not after
    sink = Sink()
    schema = pa.schema([(name, NUMBERS.get(name, pa.string())) for name in rows.columns])
    with ParquetTable(sink, schema) as table:
        for chunk in rows.chunks():
            table.add(chunk.rows)
            yield Part(sink.taken(), chunk.after)
    yield Part(sink.taken(), rows.last)


def cell(value: object) -> object:
    """A CSV cell; text that a spreadsheet would take for a formula is led by an apostrophe.

    So is text in which nothing but apostrophes stand before it: taking one apostrophe away from what looks escaped
    gives back every text.
    """
    if isinstance(value, str):
        if value[:1] in "=+-@\t\r'" and value.lstrip("'").startswith(DANGEROUS):
            return "'" + value
    elif isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return value


def _as_csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


class Sink(io.RawIOBase):
    """Where a library writes to that wants a file; what it wrote is taken from here."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Hold what is written until it is taken."""
        self._parts.append(bytes(data))
        self._at += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        """How much was written in all."""
        return self._at

    def taken(self) -> bytes:
        """What was written since it was last taken."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data


class ParquetTable:
    """A Parquet file under way: rows are gathered into groups."""

    def __init__(self, sink: Any, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(sink, schema, compression="zstd")
        self._schema = schema
        self._gathered: list[pa.RecordBatch] = []

    def __enter__(self) -> "ParquetTable":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left, and the end."""
        self._flush()
        self._writer.close()

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows, their values in the order of the schema."""
        if not rows:
            return
        columns = [
            pa.array([_as_json(v) for v in values] if field.name in MAPPINGS else values, field.type)
            for field, values in zip(self._schema, zip(*rows, strict=True), strict=True)
        ]
        self._gathered.append(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        if sum(map(len, self._gathered)) >= ROW_GROUP or sum(batch.nbytes for batch in self._gathered) >= HEAVY:
            self._flush()

    def _flush(self) -> None:
        if self._gathered:
            gathered = pa.Table.from_batches(self._gathered)
            self._gathered.clear()
            self._writer.write_table(gathered, row_group_size=len(gathered))


def _as_json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)
