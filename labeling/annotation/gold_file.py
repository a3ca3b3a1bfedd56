"""Gold items from a file: known answers of an expert, made elsewhere."""

import csv
import uuid
from pathlib import Path

from sqlmodel import col, select

from labeling.annotation.adjudication import Decision, decide, make_gold
from labeling.annotation.consensus import decisions_on
from labeling.classes import choices
from labeling.db.engine import reading
from labeling.db.schema import Item, Role
from labeling.errors import Invalid
from labeling.users import require
from labeling.workspace import Workspace

COLUMNS = ("external_id", "class")
MOST_ROWS = 100_000
TOGETHER = 1000  # items that one query names
GOLD_TOGETHER = 10_000  # items that one transaction makes gold


def gold_from_file(workspace: Workspace, actor_id: int, project_id: int, path: Path) -> int:
    """Check people by the items of a CSV file with the columns `external_id` and `class`; returns how many there are.

    Their classes are decisions of the acting user; those that stand already are not made again. All or none: where a
    row cannot be taken nothing is decided.

    Raises
    ------
    Invalid
        If the file cannot be read, or a row names an item or a class that is not there, or an item twice.
    NotFound, NotAllowed
        If the acting user is no expert of the project.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.EXPERT)
        classes = {c.name: c.id for c in choices(session, project_id) if c.id is not None}
    rows = _read(path)
    ids: dict[str, int] = {}
    decided: dict[int, int | None] = {}
    for start in range(0, len(rows), TOGETHER):
        names = [item for _, item, _ in rows[start : start + TOGETHER]]
        some = select(Item.external_id, Item.id).where(Item.project_id == project_id, col(Item.external_id).in_(names))
        with reading(workspace.engine) as session:
            found = {name: item_id for name, item_id in session.exec(some).all() if item_id is not None}
            decided |= {item_id: made.class_id for item_id, made in decisions_on(session, found.values()).items()}
        ids |= found
    known = _resolved(rows, ids, classes, path.name)
    new = [
        Decision(event_id=str(uuid.uuid4()), item_id=item_id, class_id=class_id)
        for item_id, class_id in known.items()
        if decided.get(item_id) != class_id
    ]
    for outcome in decide(workspace, actor_id, project_id, new):
        if outcome.status == "refused":  # the classes were changed while this went on
            raise Invalid(f"{outcome.why.removesuffix('.')}, and run this again: what was decided until then stays.")
    gold = list(known)
    for start in range(0, len(gold), GOLD_TOGETHER):
        make_gold(workspace, actor_id, project_id, gold[start : start + GOLD_TOGETHER])
    return len(known)


def _read(path: Path) -> list[tuple[int, str, str]]:
    """Line, item and class of each row."""
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            if not set(COLUMNS) <= set(table.fieldnames or []):
                raise Invalid(f"“{path.name}” needs the columns external_id and class in its first line.")
            for row in table:
                rows.append((table.line_num, (row["external_id"] or "").strip(), (row["class"] or "").strip()))
                if len(rows) > MOST_ROWS:
                    raise Invalid(f"“{path.name}” has more than {MOST_ROWS:,} rows; split it.")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"“{path.name}” cannot be read as CSV ({error}); save it as UTF-8 and try again.") from None
    return rows


def _resolved(
    rows: list[tuple[int, str, str]], ids: dict[str, int], classes: dict[str, int], name: str
) -> dict[int, int]:
    """The class of each item, both by id."""
    resolved: dict[int, int] = {}
    for line, item, label_class in rows:
        item_id, class_id = ids.get(item), classes.get(label_class)
        wrong = (
            f"there is no item “{item}”" if item_id is None
            else f"there is no class “{label_class}”" if class_id is None
            else f"the item “{item}” comes twice" if item_id in resolved
            else ""
        )  # fmt: skip
        if item_id is None or class_id is None or wrong:
            raise Invalid(f"Line {line} of “{name}” cannot be taken: {wrong}; nothing was changed.")
        resolved[item_id] = class_id
    return resolved
