"""Rows: each kind of column becomes what a linear model can use, and says where it comes from."""

from typing import Any

import numpy as np

from labeling.features.base import Content
from labeling.features.table import MOST_CHOICES, PLAIN_WEIGHT, WIDEST, Table


def of_column(values: list[Any]) -> tuple[Table, np.ndarray]:
    items = [Content(fields={"it": value}) for value in values]
    encoder = Table.fit(items)
    return encoder, encoder.encode(items)


def test_a_number_rises_through_the_steps_between_quantiles_and_by_its_distance_from_the_mean():
    encoder, vectors = of_column(list(range(101)))
    assert encoder.columns == ["it"] * 5
    assert vectors[25].tolist()[:4] == [1, 0, 0, 0] and vectors[50].tolist()[:4] == [1, 1, 0, 0]
    assert np.allclose(vectors[60][:4], [1, 1, 0.4, 0])
    assert abs(vectors[50][4]) < 1e-6 and np.isclose(vectors[:, 4].std(), PLAIN_WEIGHT, atol=1e-3)


def test_a_long_tail_does_not_squeeze_the_rest():
    _, vectors = of_column([*range(100), 10**9])
    assert vectors[50][:4].sum() - vectors[10][:4].sum() > 1
    assert np.abs(vectors).max() <= 3 * PLAIN_WEIGHT


def test_a_number_that_is_nearly_always_the_same_counts_where_it_is_not():
    _, vectors = of_column([0] * 99 + [5])
    assert (vectors[-1] - vectors[0])[:-1].max() == 1


def test_numbers_may_come_as_text_and_truth_is_one():
    _, words = of_column(["1.5", " 2", "3e1", "4"] * 5)
    _, numbers = of_column([1.5, 2, 30, 4] * 5)
    assert np.allclose(words, numbers)
    _, truths = of_column([True, False, True])
    assert truths[0, 0] == 1 and truths[1, 0] == 0


def test_a_missing_number_is_in_the_middle_and_said_to_be_missing():
    for nothing in (None, "", " n/a ", float("nan"), float("inf")):
        encoder, vectors = of_column([*range(101), nothing])
        assert encoder.columns == ["it"] * 6
        assert np.allclose(vectors[-1][:5], vectors[50][:5])
        assert vectors[:, 5].tolist() == [0] * 101 + [1]


def test_choices_are_told_apart_and_rare_ones_are_others():
    encoder, vectors = of_column(["a", "b", "a", "b", "a", "rare", None])
    assert encoder.width == 4
    assert vectors[0].tolist() == [1, 0, 0, 0] and vectors[1].tolist() == [0, 1, 0, 0]
    assert vectors[5].tolist() == [0, 0, 1, 0] and vectors[6].tolist() == [0, 0, 0, 1]
    assert encoder.encode([Content(fields={"it": "new"})]).tolist() == [[0, 0, 1, 0]]


def test_of_many_choices_the_frequent_ones_are_kept():
    encoder, _ = of_column([f"c{n % 100}" for n in range(300)])
    assert encoder.width == MOST_CHOICES + 1


def test_columns_that_say_nothing_are_left_out():
    items = [Content(fields={"same": "x", "key": f"k{n}", "one": 1, "kind": "ab"[n % 2]}) for n in range(20)]
    assert set(Table.fit(items).columns) == {"kind"}
    nothing = Table.fit([Content(fields={"same": 1})] * 3)
    assert nothing.width == len(nothing.columns) == 1


def test_a_table_of_many_columns_stays_narrow():
    row = {f"x{n}": float(n) for n in range(1500)}
    items = [Content(fields={name: value * k for name, value in row.items()}) for k in range(8)]
    assert Table.fit(items).width <= 2 * WIDEST
