"""The mathematics of a comparison, against numbers reckoned by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from labeling.learning import curve_plot, curves


def table(**accuracies: list[list[float]]) -> pd.DataFrame:
    """Curves at 10, 20, ... labels: for each strategy a list of seeds, each a list of accuracies."""
    rows = [
        (strategy, seed, 10 * (place + 1), accuracy, 0.5)
        for strategy, seeds in accuracies.items()
        for seed, values in enumerate(seeds)
        for place, accuracy in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["strategy", "seed", "labels", "accuracy", "seconds"])


BETTER = table(margin=[[0.5, 0.8, 0.9], [0.6, 0.9, 0.9]], random=[[0.4, 0.6, 0.8], [0.4, 0.6, 0.8]])


def test_the_interval_is_students():
    # mean 2, standard deviation 1, three values: 4.302653 / sqrt(3) on each side
    mean, low, high = curves.t_interval([1, 2, 3])
    assert mean == 2
    assert (low, high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)


def test_one_value_has_no_interval():
    mean, low, high = curves.t_interval([0.25])
    assert mean == 0.25 and math.isnan(low) and math.isnan(high)


def test_the_mean_curve_has_a_band_at_each_number_of_labels():
    means = curves.mean_curves(BETTER)
    margin = means[means["strategy"] == "margin"]
    assert list(margin["labels"]) == [10, 20, 30]
    np.testing.assert_allclose(margin["accuracy"], [0.55, 0.85, 0.9])
    # two values 0.1 apart: 12.706205 * 0.0707107 / sqrt(2) on each side
    np.testing.assert_allclose(margin["high"] - margin["accuracy"], [0.635310, 0.635310, 0], atol=1e-6)


def test_differences_are_taken_seed_by_seed():
    (row,) = curves.differences(BETTER, "random").to_dict("records")
    # over the curve: margin 0.7333 and 0.8, random 0.6 twice; differences 0.1333 and 0.2
    assert row["strategy"] == "margin" and row["seeds"] == 2
    assert row["difference"] == pytest.approx(1 / 6)
    assert row["high"] - row["difference"] == pytest.approx(12.706205 * (0.2 - 0.4 / 3) / 2, abs=1e-6)


def test_pairs_cancel_what_a_seed_does_to_both():
    rng = np.random.default_rng(0)
    hard = rng.normal(0.6, 0.1, 8)
    shifted = table(a=[[h + 0.02] for h in hard], b=[[h] for h in hard])
    (row,) = curves.differences(shifted, "b").to_dict("records")
    assert (row["low"], row["high"]) == pytest.approx((0.02, 0.02))


@pytest.mark.parametrize(
    ("target", "labels"), [(0.5, 10), (0.3, 10), (0.6, 20), (0.55, 15), (0.9, 40), (0.91, math.nan)]
)
def test_labels_to_a_target_lie_on_the_line_between_two_points(target: float, labels: float):
    reached = curves.labels_to_reach([10, 20, 30, 40], [0.5, 0.6, 0.55, 0.9], target)
    assert reached == pytest.approx(labels, nan_ok=True)


def test_the_target_is_what_random_has_with_all_labels():
    assert curves.target_of(BETTER) == (pytest.approx(0.8), "random")
    alone = table(a=[[0.2, 0.9]], b=[[0.3, 0.7]])
    assert curves.target_of(alone) == (pytest.approx(0.7), "b")


def test_the_summary_is_one_row_a_strategy_the_best_first():
    best, control = curves.summary(BETTER).to_dict("records")
    assert (best["strategy"], control["strategy"]) == ("margin", "random")
    assert best["accuracy"] == pytest.approx(0.766667, abs=1e-6) and best["final"] == pytest.approx(0.9)
    assert best["labels_to_target"] == pytest.approx(10 + 10 * 0.25 / 0.3)
    assert best["above"] == pytest.approx(1 / 6) and math.isnan(control["above"])
    assert control["labels_to_target"] == pytest.approx(30)
    assert curves.summary(BETTER, target=0.99)["labels_to_target"].isna().all()


def test_the_order_of_the_rows_does_not_matter():
    shuffled = BETTER.sample(frac=1, random_state=1)
    one, other = (t.sort_values(["strategy", "labels"], ignore_index=True)
                  for t in (curves.mean_curves(BETTER), curves.mean_curves(shuffled)))  # fmt: skip
    pd.testing.assert_frame_equal(one, other)
    pd.testing.assert_frame_equal(curves.summary(BETTER), curves.summary(shuffled))


@pytest.mark.parametrize(
    ("replayed", "words"),
    [
        (BETTER, ["margin reaches the 80.0% of random with 19 labels instead of 30", "which may be chance"]),
        (
            table(a=[[0.7, 0.9], [0.71, 0.9], [0.72, 0.91]], random=[[0.5, 0.6], [0.51, 0.6], [0.5, 0.61]]),
            ["with 10 labels instead of 20", "chance is hardly the reason"],
        ),
        (table(a=[[0.1, 0.2]], random=[[0.3, 0.4]]), ["does not reach", "One seed says little"]),
        (table(a=[[0.1, 0.2], [0.1, 0.2]]), ["a is right on 15.0%"]),
        (table(a=[[0.1, 0.2], [0.2, 0.2]], b=[[0.2, 0.3], [0.2, 0.3]]), ["b is right on 25.0%"]),
        (table(random=[[0.1, 0.2], [0.1, 0.2]]), ["random is right on 15.0%"]),
    ],
)
def test_the_outcome_is_said_in_plain_words(replayed: pd.DataFrame, words: list[str]):
    said = curves.in_words(replayed)
    assert all(part in said for part in words), said


def test_people_read_points_percent_and_whole_labels():
    shown = curves.table_in_words(BETTER).to_dict("records")
    assert shown[0]["Labels to 80.0%"] == "19" and shown[0]["Mean"] == "76.7%" and shown[0]["At 30"] == "90.0%"
    assert shown[0]["Above random"].startswith("+16.7 (") and shown[1]["Above random"] == ""


def test_a_terminal_shows_every_curve():
    drawn = curve_plot.text_plot(BETTER, width=30, height=9).splitlines()
    assert drawn[-1].split() == ["o", "margin", "x", "random"]
    assert drawn[-2].split() == ["10", "30", "labels"]
    body = drawn[:9]
    assert body[0].startswith(" 100%") or body[0].startswith("  90%")
    assert sum(line.count("o") for line in body) == 30  # the first named lies on top, in every column
    assert any("x" in line for line in body)


def test_a_curve_of_one_point_can_be_drawn():
    single = table(a=[[0.5]])
    assert "o" in curve_plot.text_plot(single)
    assert "polyline" in curve_plot.svg_plot(single)


def test_the_svg_is_well_formed_and_names_are_text():
    from xml.etree import ElementTree

    drawn = curve_plot.svg_plot(table(**{"a<b>&": [[0.5, 0.6], [0.4, 0.7]], "random": [[0.3, 0.4], [0.3, 0.5]]}))
    root = ElementTree.fromstring(drawn)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "a<b>&" in texts and "random" in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")
