"""A table under a second name, for questions about two of its rows at once."""

from typing import TypeVar

from sqlalchemy import inspect
from sqlalchemy.orm import aliased
from sqlmodel import SQLModel

Model = TypeVar("Model", bound=SQLModel)


def second(model: type[Model]) -> type[Model]:
    """A second name for a model's table that threads may share.

    SQLAlchemy looks up an alias's columns at first use. Where two threads are first at once, one of them may get the
    columns of the table itself, and its statement, which is kept for all that follow, compares a row with itself.
    So they are looked up here, while there is one thread only.
    """
    alias: type[Model] = aliased(model)
    for name in inspect(alias).selectable.c.keys():  # noqa: SIM118
        _ = getattr(alias, name).expression
    return alias
