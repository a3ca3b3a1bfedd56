"""What columns are guessed to be, by their names and cells."""

from typing import Any

import pytest

from labeling.errors import Invalid
from labeling.intake.records import Role
from labeling.intake.roles import guess_roles, kind_of
from labeling.intake.tables import Row

LONG = "It was a great film, number {} of all that I have seen"


def guessed(columns: dict[str, list[Any]], given: dict[str, Role] | None = None) -> dict[str, Role]:
    rows = [Row(None, dict(zip(columns, cells, strict=True))) for cells in zip(*columns.values(), strict=True)]
    return guess_roles(list(columns), rows, given)


def texts(count: int) -> list[str]:
    return [LONG.format(i) for i in range(count)]


@pytest.mark.parametrize(
    ("columns", "roles"),
    [
        ({"text": ["a b"], "label": ["x"]}, {"text": "text", "label": "label"}),
        ({"Review Text": texts(3), "Stars": [1, 5, 2]}, {"Review Text": "text", "Stars": "meta"}),
        ({"col_a": texts(12), "col_b": ["x", "y"] * 6}, {"col_a": "text", "col_b": "label"}),
        ({"col_a": texts(12), "col_b": texts(12)}, {"col_a": "text", "col_b": "meta"}),
        ({"title": texts(4), "body": [t * 3 for t in texts(4)]}, {"title": "meta", "body": "text"}),
        ({"text": [1, 2, 3], "label": ["x", "y", "x"]}, {"text": "field", "label": "label"}),
        ({"label": texts(40), "n": [1] * 40}, {"label": "text", "n": "meta"}),
        ({"label": [0, 1, 0], "label_text": ["no", "yes", "no"], "text": ["a b"] * 3},
         {"label": "meta", "label_text": "label", "text": "text"}),
        ({"id": [1, 2], "text": ["a", "b"]}, {"id": "id", "text": "text"}),
        ({"id": [1, 1], "text": ["a", "b"]}, {"id": "meta", "text": "text"}),
        ({"id": [1, None], "text": ["a", "b"]}, {"id": "meta", "text": "text"}),
        ({"file_name": ["a.png", "b.JPG"], "category": ["x", "y"]}, {"file_name": "image", "category": "label"}),
        ({"where": ["a/b.png", "c.webp"], "note": texts(2)}, {"where": "image", "note": "meta"}),
        ({"image": ["red", "blue"] * 8, "text": texts(16)}, {"image": "label", "text": "text"}),
        ({"width": ["1", "2"], "height": ["1.5", ""], "species": ["a", "b"]},
         {"width": "field", "height": "field", "species": "field"}),
        ({"width": [1, 2], "split": ["train", "test"], "predicted_label": ["a", "b"], "my_label": ["a", "b"]},
         {"width": "field", "split": "meta", "predicted_label": "field", "my_label": "label"}),
        ({"fields": [{"a": 1}, {"a": 2}], "seconds": [1, 2], "meta": [{"b": 1}, None]},
         {"fields": "field", "seconds": "meta", "meta": "meta"}),
        ({"fields": ['{"a": 1}', ""], "external_id": ["x", "y"]}, {"fields": "field", "external_id": "id"}),
        ({"fields": ["wide", "narrow"], "n": [1, 2]}, {"fields": "field", "n": "field"}),
        ({"word": ["cat", "dog", "emu"]}, {"word": "text"}),
        ({"name": [f"n{i}" for i in range(40)], "age": list(range(40))}, {"name": "meta", "age": "field"}),
    ],
)  # fmt: skip
def test_roles_are_guessed(columns: dict[str, list[Any]], roles: dict[str, Role]):
    assert guessed(columns) == roles


def test_given_roles_stand_and_the_others_go_around_them():
    columns = {"text": ["a b", "c d"], "label": ["x", "y"], "id": [1, 2], "topic": ["p", "q"]}
    assert guessed(columns, {"topic": "label", "text": "ignore"}) == {
        "text": "ignore", "label": "text", "id": "id", "topic": "label"
    }  # fmt: skip
    assert guessed(columns, {"id": "field"})["label"] == "label"


def test_a_guess_that_could_be_wrong_is_said():
    notes: list[str] = []
    columns = {"a": texts(4), "b": texts(4)}
    rows = [Row(None, dict(zip(columns, cells, strict=True))) for cells in zip(*columns.values(), strict=True)]
    guess_roles(list(columns), rows, notes=notes)
    assert notes == ["“a” is read as the text; “b” could be one too."]


def test_what_rows_are_follows_from_the_roles():
    assert kind_of({"a": "image", "b": "text"}) == "image"
    assert kind_of({"a": "text", "b": "field"}) == "text"
    assert kind_of({"a": "field", "b": "meta"}) == "row"
    with pytest.raises(Invalid, match="No column is a text"):
        kind_of({"a": "meta"})
