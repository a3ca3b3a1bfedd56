"""What a source gives, for the tests of its readers."""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from labeling.errors import Invalid
from labeling.intake.records import Reading, Record, Refused
from labeling.intake.sources import open_source


def records_of(path: Path, **reading: Any) -> tuple[list[Record], list[Refused]]:
    """The records of a source, their images read while it is open, and what was refused of it."""
    with open_source(path, Reading(**reading)) as source:
        found = [_with_its_bytes(record) if isinstance(record, Record) else record for record in source.records]
        assert source.total is None or source.total >= len(found)
        assert source.share is None or 0 <= source.share() <= 1
    return [r for r in found if isinstance(r, Record)], [r for r in found if isinstance(r, Refused)]


def _with_its_bytes(record: Record) -> Record:
    with suppress(Invalid):
        return replace(record, read=partial(bytes, record.read())) if record.read else record
    return record


def texts_of(path: Path, **reading: Any) -> list[str | None]:
    """The texts of a source that has nothing to be refused."""
    records, refused = records_of(path, **reading)
    assert refused == []
    return [record.text for record in records]


def written(path: Path, content: str | bytes) -> Path:
    """A file with this content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
