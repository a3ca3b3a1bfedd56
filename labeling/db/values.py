"""Values that come from outside, as far as a database can hold them."""

from typing import Annotated

from pydantic import Field

from labeling.errors import Invalid

MAX_NAME = 200

Id = Annotated[int, Field(ge=0, lt=2**63)]


def clean_name(name: str, empty: str) -> str:
    """A name without the blanks around it.

    Raises
    ------
    Invalid
        With the sentence `empty` where nothing that could be stored is left; or if the name is too long.
    """
    name = name.strip()
    if not name or "\0" in name or not _is_text(name):
        raise Invalid(empty)
    if len(name) > MAX_NAME:
        raise Invalid(f"A name has at most {MAX_NAME} characters; shorten “{name[:40]}…”.")
    return name


def clean_text(text: str) -> str:
    """A longer text without the blanks around it.

    Raises
    ------
    Invalid
        If it holds what cannot be stored.
    """
    text = text.strip()
    if "\0" in text or not _is_text(text):
        raise Invalid("The text holds characters that are not valid Unicode; type it anew.")
    return text


def _is_text(given: str) -> bool:
    """Whether a string has bytes at all: half of a surrogate pair, say, has none."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True
