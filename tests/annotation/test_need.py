"""Another opinion, where it is needed, and not elsewhere."""

from itertools import product

import numpy as np
import pytest

from labeling.annotation.need import need, reliable
from labeling.annotation.opinions import Opinions
from labeling.annotation.weighing import Weighed, weigh

GOOD, CARELESS = 0, 5  # people; all but the last are good


def team(*more: tuple[int, int]) -> Opinions:
    """Six people, one of them careless, who answered 600 items three times; then items with just these answers.

    `more` are (person, class) of item 600, or of items 600, 601 and so on where lists of them are given.
    """
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 600)
    items = np.repeat(np.arange(600), 3)
    people = np.concatenate([rng.permutation(6)[:3] for _ in range(600)])
    random = rng.random(1800) < np.where(people == CARELESS, 0.5, 0.04)
    classes = np.where(random, rng.integers(0, 4, 1800), truth[items])
    return Opinions(items, people, classes, 600, 6, 4)


def with_items(*items: list[tuple[int, int]]) -> Opinions:
    """The team's answers, and items of these (person, class) from 600 on."""
    base = team()
    extra = np.array([(600 + at, *answer) for at, given in enumerate(items) for answer in given]).reshape(-1, 3)
    columns = (np.concatenate(pair) for pair in zip((base.items, base.people, base.classes), extra.T, strict=True))
    return Opinions(*columns, 600 + len(items), 6, 4)


def what(opinions: Opinions, **asked) -> tuple[list[str], list[str], list[float]]:
    """Steps, reasons and worth of the items from 600 on."""
    known = asked.pop("known", None)
    found = need(weigh(opinions, known=known, predictions=asked.get("predictions")), opinions, **asked)
    return found.steps[600:].tolist(), found.reasons[600:].tolist(), found.worth[600:].tolist()


def test_the_steps_and_why() -> None:
    steps, reasons, _ = what(
        with_items([], [(0, 1), (1, 1)], [(0, 1), (1, 2)], [(CARELESS, 1)], [(0, 1), (1, 2), (2, 3)]), certainty=0.97
    )
    assert steps == ["opinion", "enough", "opinion", "opinion", "expert"]
    assert reasons == ["new", "sure", "disagree", "unreliable", "disagree"]


def test_one_good_answer_is_enough_or_not_as_the_owner_wants() -> None:
    opinions = with_items([(GOOD, 1)])
    confidence = weigh(opinions).confidence[600]
    assert what(opinions, certainty=confidence - 0.001)[:2] == (["enough"], ["sure"])
    assert what(opinions, certainty=confidence + 0.001)[:2] == (["opinion"], ["few"])


def test_the_model_may_object() -> None:
    opinions = with_items([(GOOD, 1)], [(GOOD, 1)])
    predictions = np.full((602, 4), np.nan)
    predictions[:600] = np.where(np.eye(4)[weigh(opinions).labels[:600]] > 0, 0.85, 0.05)
    predictions[600], predictions[601] = [0.04, 0.04, 0.88, 0.04], [0.04, 0.88, 0.04, 0.04]
    steps, reasons, worth = what(opinions, predictions=predictions)
    assert steps == ["opinion", "enough"]
    assert reasons == ["model", "sure"]
    assert worth[0] > worth[1]


def test_an_experts_decision_needs_nothing_more() -> None:
    opinions = with_items([(0, 1), (1, 2), (2, 3)], [])
    known = np.full(602, -1)
    known[600:] = 2
    steps, reasons, worth = what(opinions, known=known)
    assert steps == ["enough", "enough"]
    assert reasons == ["settled", "settled"]
    assert worth == [0, 0]


def test_nobody_is_asked_more_often_than_allowed() -> None:
    opinions = with_items([(0, 1), (1, 2)])
    assert what(opinions, most=3)[0] == ["opinion"]
    assert what(opinions, most=2)[0] == ["expert"]


def test_worth_is_highest_where_an_answer_decides() -> None:
    new, split, careless, one, two = what(
        with_items([], [(0, 1), (1, 2)], [(CARELESS, 1)], [(0, 1)], [(0, 1), (1, 1)])
    )[2]
    assert new > split > one > two > 0
    assert careless > one
    assert new == pytest.approx(0.72, abs=0.06)  # from one in four by chance to about 96 in 100


def test_worth_is_the_expected_drop_in_the_probability_of_an_error() -> None:
    # By hand, in plain loops over everything that one or two more people may say.
    rng = np.random.default_rng(1)
    states = rng.dirichlet(np.full(6, 0.4), 50).reshape(50, 2, 3)
    answering = np.eye(3) * 0.7 + rng.dirichlet(np.ones(3), (2, 3)) * 0.3
    nothing = np.empty(0, dtype=np.int64)
    opinions = Opinions(nothing, nothing, nothing, 50, 1, 3)
    probabilities = states.sum(axis=1)
    weighed = Weighed(
        probabilities, probabilities.argmax(axis=1), probabilities.max(axis=1), np.full(50, "difficulty"),
        np.ones(1), np.eye(3)[None], states, answering,
    )  # fmt: skip
    found = need(weighed, opinions).worth
    for item in range(50):
        label = int(probabilities[item].argmax())
        gains = [0.0, 0.0]
        for answer in range(3):
            joint = [sum(states[item, h, t] * answering[h, t, answer] for h in range(2)) for t in range(3)]
            gains[0] += max(joint) - joint[label]
        for first, second in product(range(3), repeat=2):
            if first == second:  # two that differ are not counted on
                joint = [sum(states[item, h, t] * answering[h, t, first] ** 2 for h in range(2)) for t in range(3)]
                gains[1] += max(joint) - joint[label]
        assert found[item] == pytest.approx(max(gains[0], gains[1] / 2), abs=1e-12)


def test_who_is_clearly_worse_than_most_is_unreliable_and_nobody_where_all_find_it_hard() -> None:
    assert reliable(np.array([0.95, 0.93, 0.96, 0.6])).tolist() == [True, True, True, False]
    assert reliable(np.array([0.55, 0.5, 0.6])).tolist() == [True, True, True]
    assert reliable(np.empty(0)).tolist() == []


def test_no_items_need_nothing() -> None:
    nothing = np.empty(0, dtype=np.int64)
    opinions = Opinions(nothing, nothing, nothing, 0, 2, 3)
    assert len(need(weigh(opinions), opinions).steps) == 0
