"""A careless person is flagged with the evidence, and nobody else."""

import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.annotation.opinions import Opinions
from labeling.assurance.carelessness import FALSE_ALARM, Carelessness, assess
from tests.benchmarks import crowd as crowds
from tests.benchmarks.bench_careless import GOLD, NEVER, replay

K = 6


def gold_answers(
    seed: int, *, people: int = 8, gold: int = 60, random: dict[int, float] | None = None
) -> tuple[Opinions, NDArray[np.int64]]:
    """Everybody answers the same gold items, item by item: 4 % of answers are the next class, and some are random."""
    rng = np.random.default_rng(seed)
    known = rng.integers(0, K, gold)
    items, who = np.repeat(np.arange(gold), people), np.tile(np.arange(people), gold)
    said = np.where(rng.random(len(items)) < 0.04, (known[items] + 1) % K, known[items])
    share = np.array([(random or {}).get(person, 0.0) for person in range(people)])
    said = np.where(rng.random(len(items)) < share[who], rng.integers(0, K, len(items)), said)
    return Opinions(items, who, said, gold, people, K), known


def flagged(records: list[Carelessness]) -> set[int]:
    return {record.person for record in records if record.flagged}


def test_who_answers_at_random_is_flagged_and_nobody_else() -> None:
    records = assess(*gold_answers(1, random={2: 0.4, 5: 1.0}))
    assert flagged(records) == {2, 5}
    assert [record.person for record in records] == list(range(8))


def test_the_evidence_says_what_was_seen() -> None:
    opinions, known = gold_answers(2, random={0: 0.5})
    careless, *others = assess(opinions, known)
    mine = opinions.people == 0
    assert careless.answered == 60
    assert careless.right == (opinions.classes[mine] == known[opinions.items[mine]]).sum()
    assert careless.low < 0.5 < careless.high
    assert careless.expected_right > 50 > careless.right
    assert careless.evidence > careless.needed == pytest.approx(np.log10(8 / FALSE_ALARM))
    assert careless.flagged_after is not None and careless.flagged_after < 60
    for one in others:
        assert one.evidence < 0 and one.low < 0.05 and one.flagged_after is None


def test_flagging_takes_as_many_items_as_it_says() -> None:
    opinions, known = gold_answers(3, random={4: 0.6})
    after = assess(opinions, known)[4].flagged_after
    assert after is not None
    # Of the others all answers, of this person the first ones.
    nth = opinions.items  # the items come in this order for everybody
    early = opinions.where((opinions.people != 4) | (nth < after // 2))
    assert not assess(early, known)[4].flagged
    assert assess(opinions.where((opinions.people != 4) | (nth < after + 5)), known)[4].flagged


def test_the_order_is_taken_from_the_argument() -> None:
    opinions, known = gold_answers(4, random={1: 0.5})
    shuffled = np.random.default_rng(0).permutation(len(opinions))
    mixed = Opinions(
        opinions.items[shuffled], opinions.people[shuffled], opinions.classes[shuffled],
        opinions.n_items, opinions.n_people, opinions.n_classes,
    )  # fmt: skip
    assert assess(mixed, known, shuffled) == assess(opinions, known)


def test_an_understandable_error_weighs_less_than_one_that_nobody_makes() -> None:
    opinions, known = gold_answers(5)
    mine = np.flatnonzero(opinions.people == 0)[:12]

    def evidence(step: int) -> float:
        said = opinions.classes.copy()
        said[mine] = (known[opinions.items[mine]] + step) % K
        changed = Opinions(opinions.items, opinions.people, said, opinions.n_items, opinions.n_people, K)
        return assess(changed, known)[0].evidence

    assert evidence(3) > evidence(1) + 3


def test_an_item_that_others_err_on_too_is_no_evidence() -> None:
    opinions, known = gold_answers(6)
    odd = (known + 3) % K
    hard = np.isin(opinions.items, np.arange(8))
    mine = opinions.people == 0
    often = hard & (mine | (opinions.people % 2 == 0))
    alone = hard & mine
    records = []
    for wrong in (often, alone):
        said = np.where(wrong, odd[opinions.items], opinions.classes)
        changed = Opinions(opinions.items, opinions.people, said, opinions.n_items, opinions.n_people, K)
        records.append(assess(changed, known)[0])
    assert not records[0].flagged
    assert records[1].evidence > records[0].evidence + 2


def test_items_without_a_known_class_are_left_out() -> None:
    opinions, known = gold_answers(7)
    unknown = known.copy()
    unknown[30:] = -1
    assert {record.answered for record in assess(opinions, unknown)} == {30}
    assert assess(opinions, np.full(60, -1)) == []


def test_with_few_answers_nobody_is_accused() -> None:
    opinions, known = gold_answers(8, random={0: 1.0})
    assert flagged(assess(opinions.where(opinions.items < 2), known)) == set()
    alone = opinions.where((opinions.people == 1) & (opinions.items < 5))
    (only,) = assess(alone, known)
    assert not only.flagged and only.high > 0.1


@pytest.mark.skipif(crowds.missing() is not None, reason=str(crowds.missing()))
def test_both_careless_people_of_cifar10h_are_flagged_and_nobody_else() -> None:
    run = replay(2000, crowds.load(), every=10)
    assert max(run.careless) <= GOLD
    assert min(run.honest) == NEVER


@pytest.mark.slow
@pytest.mark.skipif(crowds.missing() is not None, reason=str(crowds.missing()))
@pytest.mark.parametrize("same", [True, False])
def test_in_20_seeds_both_are_flagged_within_50_gold_items_and_nobody_else(same: bool) -> None:
    crowd = crowds.load()
    for seed in range(20):
        run = replay(seed, crowd, same=same)
        assert max(run.careless) <= GOLD
        assert min(run.honest) == NEVER
