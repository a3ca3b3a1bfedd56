"""Splits: told by the content and nothing else, so that an item stays where it is."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.db.engine import writing
from labeling.db.schema import Item
from labeling.delivery import splits
from labeling.delivery.exports import Wanted, export_rows
from labeling.delivery.splits import First
from labeling.errors import Invalid
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject

THREE = "train=0.8,validation=0.1,test=0.1"


def contents(count: int) -> list[First]:
    return [First(hashlib.sha256(str(n).encode()).hexdigest(), {}) for n in range(count)]


def test_shares_are_met_about():
    split = splits.parse(THREE)
    assert split is not None
    counts = Counter(split.side(first) for first in contents(10_000))
    for side, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert abs(counts[side] / 10_000 - share) < 0.015


def test_a_seed_draws_anew_and_the_same_seed_the_same():
    drawn = [[splits.parse(THREE, seed).side(first) for first in contents(200)] for seed in (0, 0, 1)]  # type: ignore[union-attr]
    assert drawn[0] == drawn[1] != drawn[2]


@given(st.text(min_size=1))
def test_every_content_has_a_side(content: str):
    split = splits.parse("a=0.3333333,b=0.3333333,c=0.3333333")
    assert split is not None
    assert split.side(First(content, None)) in "abc"


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("train", "cannot be read"), ("train=x", "cannot be read"), ("train=", "cannot be read"),
        ("train=0.5", "add up to 0.5"), ("train=1,test=0.5", "add up to 1.5"), ("train=0,test=1", "more than 0"),
        ("train=nan", "more than 0"), ("train=-1,test=2", "more than 0"), ("a=0.5,A=0.5", "a name of its own"),
        ("../x=1", "a name of its own"), ("=1", "a name of its own"), ("meta:", "names no column"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_is_explained(rule: str, sentence: str):
    with pytest.raises(Invalid, match=sentence):
        splits.parse(rule)


def test_no_rule_is_no_split():
    assert splits.parse(" ") is None


@pytest.mark.parametrize(
    ("meta", "side"),
    [({"site": "a"}, "a"), ({"site": 3}, "3"), ({"site": ["x", 1]}, '["x", 1]'), ({"site": False}, "false"),
     ({}, "none"), ({"site": ""}, "none"), (None, "none")],
)  # fmt: skip
def test_a_column_splits_by_its_values(meta: dict[str, object] | None, side: str):
    split = splits.parse("meta:site")
    assert split is not None
    assert split.side(First("x", meta)) == side


def sides(small: SmallProject, rule: str) -> dict[int, str]:
    rows = export_rows(small.workspace, small.owner, small.id, Wanted(rows="labels", split=rule))
    return {row["item_id"]: row["split"] for row in rows}


def test_items_stay_on_their_side_as_the_pool_grows(workspace: Workspace):
    small = SmallProject.make(workspace, items=30)
    before = sides(small, "a=0.5,b=0.5")
    small.add_items(30)
    after = sides(small, "a=0.5,b=0.5")
    assert len(after) == 60
    assert {item: after[item] for item in before} == before
    assert set(after.values()) == {"a", "b"}


@pytest.mark.parametrize("rule", ["a=0.5,b=0.5", "meta:site"])
def test_items_that_are_nearly_the_same_are_on_one_side(workspace: Workspace, rule: str):
    small = SmallProject.make(workspace, items=40)
    first, group = small.items[0], set(small.items[::3])
    with writing(workspace.engine) as session:
        for at, item_id in enumerate(small.items):
            item = session.get_one(Item, item_id)
            item.meta = {"site": f"site {at % 4}"}
            item.near_id = first if item_id in group else None
    found = sides(small, rule)
    assert {found[item] for item in group} == {found[first]}
    assert {found[item] for item in small.items} > {found[first]}
