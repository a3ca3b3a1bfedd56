"""Sessions, labels an hour, and the time that an item takes."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from labeling.db.schema import LabelClass, Origin, Verdict
from labeling.learning import pace
from labeling.learning.history import History
from labeling.learning.pace import IDLE_SECONDS, draw_pace, durations, slots, work


def given(
    created: list[float], *, user: int | list[int] = 1, seconds: float | list[float] = 1.0, **more: object
) -> pd.DataFrame:
    """Labels of a different item each, unless told otherwise."""
    count = len(created)
    table = {
        "seq": range(1, count + 1), "item": range(count), "user": user, "verdict": Verdict.LABEL, "class_id": 1,
        "seconds": seconds, "created": created, "origin": Origin.ASKED, **more,
    }  # fmt: skip
    return pd.DataFrame(table, index=range(count))


def history(answers: pd.DataFrame) -> History:
    classes = [LabelClass(id=1, project_id=1, name="cat"), LabelClass(id=2, project_id=1, name="dog")]
    return History(1, answers, pd.DataFrame(), classes, {1: "Ann", 2: "Bob"})


def test_a_gap_of_more_than_five_minutes_is_a_break() -> None:
    done = work(given([0, 10, 20, 20 + IDLE_SECONDS, 21 + 2 * IDLE_SECONDS], seconds=4.0))
    assert list(done.starts) == [True, False, False, False, True]
    assert list(done.seconds) == [4, 10, 10, IDLE_SECONDS, 4]


def test_the_first_answer_of_a_session_takes_what_is_usual_where_nobody_took_the_time() -> None:
    done = work(given([0, 10, 20, 10_000], seconds=[float("nan"), 1, 1, 900]))
    assert list(done.seconds) == [10, 10, 10, 10]


def test_two_people_at_once_are_two_times_the_work() -> None:
    done = work(given([0, 1, 10, 11, 20, 21], user=[1, 2, 1, 2, 1, 2], seconds=0.0))
    assert list(done.users) == [1, 1, 1, 2, 2, 2]
    assert done.seconds.sum() == 40
    assert done.starts.sum() == 2


def test_an_item_is_labeled_once_however_many_people_answer_it() -> None:
    done = work(given([0, 10, 20], item=[5, 5, 6], user=[1, 2, 1]))
    assert done.labels.sum() == 2


def test_the_pace_is_labels_by_hours_of_work() -> None:
    created = [10.0 * at + (5000 if at >= 30 else 0) for at in range(60)]
    drawn = draw_pace(given(created, seconds=10.0))
    assert drawn is not None
    told, draws = drawn
    assert told.per_hour == pytest.approx(360)
    assert (told.answers, told.sessions, told.people) == (60, 2, 1)
    assert told.low <= told.per_hour <= told.high
    assert draws.shape == (pace.DRAWS,) and np.isfinite(draws).all()


def test_skips_take_time_and_bring_no_labels() -> None:
    verdicts = [Verdict.SKIP if at % 2 else Verdict.LABEL for at in range(40)]
    drawn = draw_pace(given([10.0 * at for at in range(40)], seconds=10.0, verdict=verdicts))
    assert drawn is not None and drawn[0].per_hour == pytest.approx(180)


def test_a_few_answers_have_no_pace() -> None:
    assert draw_pace(given([10.0 * at for at in range(pace.FEWEST - 1)])) is None
    assert draw_pace(given([5.0] * 50, seconds=0.0)) is None
    assert draw_pace(given([10.0 * at for at in range(50)], verdict=Verdict.SKIP)) is None


def test_the_interval_of_the_pace_holds_what_is_true_in_nine_of_ten_draws() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(60):
        took = rng.lognormal(1.0, 0.6, size=200)
        drawn = draw_pace(given(list(took.cumsum()), seconds=[float(took[0])] * 200))
        assert drawn is not None
        inside.append(drawn[0].low <= 3600 / (np.exp(1.0 + 0.6**2 / 2)) <= drawn[0].high)
    assert np.mean(inside) > 0.75


def test_slots_cover_the_time_and_count_every_answer_once() -> None:
    table = given([1000.0, 1001.0, 1061.0, 4000.0, 4001.0], item=[1, 2, 2, 3, 4])
    found = slots(table)
    assert len(found) <= pace.SLOTS
    assert sum(slot.answers for slot in found) == 5
    assert found[-1].labels == 4
    assert all(one.end == two.start for one, two in pairwise(found))
    assert found[0].start <= 1000 and found[-1].end > 4001


def test_years_of_answers_are_few_slots() -> None:
    found = slots(given([0.0, 3 * 365 * 86_400.0]))
    assert len(found) <= pace.SLOTS
    assert (found[0].answers, found[-1].answers) == (1, 1)
    assert slots(given([])) == []


def test_items_left_open_are_cut_and_counted() -> None:
    taken = durations(history(given([0, 1, 2, 3], seconds=[1.0, 2.0, 3.0, 1000.0])))
    assert (taken.everything.answers, taken.everything.left_open, taken.everything.median) == (3, 1, 2.0)
    assert sum(one.answers for one in taken.bins) == 3


def test_times_are_told_by_person_and_by_class() -> None:
    table = given(
        [0, 1, 2, 3, 4], user=[1, 1, 2, 2, 2], seconds=[1.0, 3.0, 5.0, 7.0, 9.0], class_id=[1, 2, 1, 2, -1],
        verdict=[*[Verdict.LABEL] * 4, Verdict.SKIP],
    )  # fmt: skip
    taken = durations(history(table))
    assert [(one.name, one.answers, one.median) for one in taken.by_person] == [("Ann", 2, 2.0), ("Bob", 3, 7.0)]
    assert [(one.name, one.answers, one.median) for one in taken.by_class] == [("cat", 2, 3.0), ("dog", 2, 5.0)]
    bobs = durations(history(table), only=2)
    assert (bobs.everything.answers, len(bobs.by_person)) == (3, 2)


def test_the_bins_are_of_equal_width_in_the_logarithm() -> None:
    found = durations(history(given([0, 1, 2], seconds=[0.5, 0.5, 60.0]))).bins
    ratios = {round(one.end / one.start, 6) for one in found}
    assert len(ratios) == 1
    assert found[0].start <= 0.5 < found[0].end and found[-1].start <= 60 < found[-1].end


def test_screens_confirmed_at_once_and_imported_answers_have_no_time_per_item() -> None:
    table = given([0, 1, 2], origin=[Origin.GRID, Origin.IMPORTED, Origin.ASKED], seconds=[9.0, 9.0, 1.0])
    assert durations(history(table)).everything.answers == 1
