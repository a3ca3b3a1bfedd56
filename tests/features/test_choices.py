"""What a page says of the encoders: each that fits the items, which is the best, and what a better one needs."""

import pytest

from labeling.errors import NotFound
from labeling.features.choices import ABOUT, MEASURED, encoder_choices
from labeling.features.encoding import ENCODERS, encode_project
from labeling.workspace import Workspace
from tests.db.small_project import add_user
from tests.features.contents import rows, sentences, shapes


@pytest.mark.parametrize(
    ("items", "names"),
    [
        (shapes(3), ["patches", "hog", "pixels", "brought"]),
        (shapes(3, side=8), ["hog", "patches", "pixels", "brought"]),
        (sentences(3), ["tfidf", "brought"]),
        (rows(3), ["table", "brought"]),
        ([], ["patches", "hog", "pixels", "brought"]),
    ],
)
def test_the_encoders_for_a_kind_of_item_are_offered_the_best_first(
    workspace: Workspace, project: int, owner: int, add, items: list, names: list[str]
):
    add(items)
    offered = encoder_choices(workspace, owner, project)
    assert offered.setting == "auto"
    assert [choice.name for choice in offered.choices] == names
    assert [choice.best for choice in offered.choices] == [True] + [False] * (len(names) - 1)
    assert not any(choice.live for choice in offered.choices)


def test_the_one_that_is_at_work_is_said(workspace: Workspace, project: int, owner: int, add, choose):
    add(shapes(3))
    choose("hog")
    encode_project(workspace, project)
    offered = encoder_choices(workspace, owner, project)
    assert offered.setting == "hog"
    assert [choice.name for choice in offered.choices if choice.live] == ["hog"]
    assert "CLIP" in offered.better and "later version" in offered.better


def test_every_encoder_is_described_and_measured():
    assert set(ABOUT) == set(ENCODERS) and set(MEASURED) == set(ENCODERS) - {"brought"}


def test_strangers_are_told_nothing(workspace: Workspace, project: int):
    with pytest.raises(NotFound):
        encoder_choices(workspace, add_user(workspace, "mallory"), project)
