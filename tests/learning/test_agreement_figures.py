"""How far the people of a project agree, and that each figure counts the items that are behind it."""

from collections import Counter

import numpy as np
import pytest

from labeling.annotation import answers, queue, team
from labeling.annotation.adjudication import Decision, decide
from labeling.annotation.agreement import cohen_kappa
from labeling.db.engine import writing
from labeling.db.schema import Membership, Role
from labeling.errors import NotAllowed, NotFound
from labeling.learning import agreement_figures
from labeling.learning.agreement_figures import Agreement, read_agreement
from labeling.learning.behind import Behind, Between, Shared, Taken, Which, items_behind
from labeling.projects import update_settings
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user, answer_to, new_event

ITEMS = 30
AT_ONCE = 5
SAID = {  # by person: what is said of the items in turn, as a place among the classes
    0: [0, 1, 2] * 10,
    1: [0, 1, 2] * 9 + [0, 2, 1],
    2: [1, 2, 0] * 10,
}


@pytest.fixture
def project(workspace: Workspace) -> SmallProject:
    """Two people who agree but on two items, and one who agrees with nobody; only Ann answered the last five items."""
    made = SmallProject.make(workspace, items=ITEMS + 5, people=3, classes=("cat", "dog", "cow", "owl"), overlap=3)
    for person, said in SAID.items():
        give(made, made.people[person], dict(zip(made.items, said, strict=False)))
    give(made, made.people[0], dict.fromkeys(made.items[ITEMS:], 0))
    return made


def give(project: SmallProject, person: int, chosen: dict[int, int]) -> None:
    """Answer these items, five at a time."""
    claims = {claim.item.id: claim for claim in queue.claim(project.workspace, person, project.id, 100)}
    given = [answer_to(claims.pop(item), project.classes[said]) for item, said in chosen.items()]
    for first in range(0, len(given), AT_ONCE):
        outcomes = answers.submit(project.workspace, person, given[first : first + AT_ONCE])
        assert {outcome.status for outcome in outcomes} == {"saved"}
    queue.release(project.workspace, person, project.id, [claim.assignment_id for claim in claims.values()])


def seen(project: SmallProject, actor: int | None = None) -> Agreement:
    return read_agreement(project.workspace, actor or project.owner, project.id)


def behind(project: SmallProject, which: Which, **more: int) -> Behind:
    return items_behind(project.workspace, project.owner, project.id, which, **{"limit": 100, **more})


def test_it_rests_on_the_items_that_several_people_answered(project: SmallProject) -> None:
    found = seen(project)
    assert found.items == ITEMS == behind(project, Shared()).total
    assert found.alpha is not None
    assert -1 <= found.alpha.low <= found.alpha.value <= found.alpha.high <= 1


def test_two_people_have_the_kappa_of_what_both_answered(project: SmallProject) -> None:
    pairs = {frozenset((p.first, p.second)): p for p in seen(project).pairs}
    assert len(pairs) == 3
    ann, bob, eve = project.people
    for one, other, first, second in ((ann, bob, 0, 1), (ann, eve, 0, 2)):
        pair = pairs[frozenset((one, other))]
        expected = cohen_kappa(np.array(SAID[first]), np.array(SAID[second]), 4)
        assert pair.kappa == pytest.approx(expected, abs=1e-9)
        assert pair.items == ITEMS
    assert pairs[frozenset((ann, bob))].agreement == pytest.approx(28 / 30)
    assert pairs[frozenset((ann, eve))].agreement == 0


def test_behind_two_people_are_the_items_of_both_alike_or_not(project: SmallProject) -> None:
    ann, bob, _ = project.people
    found = {agree: behind(project, Between(first=ann, second=bob, agree=agree)).total for agree in (None, True, False)}
    assert found == {None: 30, True: 28, False: 2}
    apart = behind(project, Between(first=ann, second=bob, agree=False))
    assert [len(item.answers) for item in apart.items] == [2, 2]
    assert all(len({answer.answer for answer in item.answers}) == 2 for item in apart.items)


def test_confusion_counts_pairs_of_answers_and_has_their_items_behind_it(project: SmallProject) -> None:
    cat, dog, cow, owl = project.classes
    expected: Counter[frozenset[int]] = Counter()
    for row in zip(*SAID.values(), strict=True):
        for a in range(3):
            for b in range(a):
                if row[a] != row[b]:
                    expected[frozenset((project.classes[row[a]], project.classes[row[b]]))] += 1
    found = seen(project).confusion
    assert {frozenset((t.one, t.other)): t.times for t in found} == expected
    assert [t.times for t in found] == sorted((t.times for t in found), reverse=True)
    for taken in found:
        items = behind(project, Taken(one=taken.one, other=taken.other)).items
        assert 0 < len(items) <= taken.times
        names = {{cat: "cat", dog: "dog", cow: "cow"}[one] for one in (taken.one, taken.other)}
        assert all({answer.answer for answer in item.answers} == names for item in items)
    assert owl not in {one for t in found for one in (t.one, t.other)}


def test_a_class_that_was_never_chosen_has_no_figure(project: SmallProject) -> None:
    alphas = {one.name: one.alpha for one in seen(project).classes}
    assert list(alphas) == ["cat", "dog", "cow", "owl"]
    assert alphas["owl"] is None
    assert all(alphas[name] is not None for name in ("cat", "dog", "cow"))


def test_behind_a_class_are_the_items_of_which_somebody_said_it(project: SmallProject) -> None:
    cat = project.classes[0]
    expected = sum(0 in row for row in zip(*SAID.values(), strict=True))
    assert behind(project, Shared(class_id=cat)).total == expected
    assert behind(project, Shared(class_id=cat, disagree=True)).total == expected  # Eve agrees with nobody


def test_periods_hold_every_item_once_and_have_them_behind_them(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement_figures, "WINDOWS", ITEMS // AT_ONCE)  # so that none parts what came at once
    periods = seen(project).periods
    assert sum(one.items for one in periods) == ITEMS
    assert [one.start for one in periods] == sorted(one.start for one in periods)
    for one in periods:
        assert behind(project, Shared(start=one.start, end=one.end)).total == one.items


def test_answers_that_were_set_aside_are_left_out_and_come_back(project: SmallProject) -> None:
    eve = project.people[2]
    before = seen(project)
    team.set_aside(project.workspace, project.owner, project.id, eve)
    without = seen(project)
    assert len(without.pairs) == 1
    assert without.alpha is not None and before.alpha is not None
    assert without.alpha.value > 0.85 > before.alpha.value
    team.set_aside(project.workspace, project.owner, project.id, eve, aside=False)
    assert seen(project) == before


def test_what_an_expert_decided_is_no_opinion_among_others(project: SmallProject) -> None:
    before = seen(project)
    decision = Decision(event_id=new_event(), item_id=project.items[0], class_id=project.classes[3])
    decide(project.workspace, project.owner, project.id, [decision])
    assert seen(project) == before


def test_where_nobodys_answers_meet_there_is_no_figure(workspace: Workspace) -> None:
    alone = SmallProject.make(workspace, items=4, people=1)
    alone.answer(alone.people[0], alone.items[0])
    assert seen(alone) == Agreement(items=0, alpha=None, classes=[], periods=[], pairs=[], confusion=[])


def test_where_everybody_always_says_the_same_class_chance_would_agree_as_well(workspace: Workspace) -> None:
    same = SmallProject.make(workspace, items=4, people=2, overlap=2)
    for person in same.people:
        give(same, person, dict.fromkeys(same.items, 0))
    found = seen(same)
    assert (found.items, found.alpha, found.pairs[0].kappa, found.pairs[0].agreement) == (4, None, None, 1.0)


def test_many_people_have_the_pairs_that_share_most(project: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement_figures, "MOST_PAIRS", 1)
    give(project, project.people[1], {project.items[ITEMS]: 0})
    (pair,) = seen(project).pairs
    assert ({pair.first, pair.second}, pair.items) == (set(project.people[:2]), ITEMS + 1)


def test_annotators_and_strangers_do_not_see_it(project: SmallProject) -> None:
    with pytest.raises(NotAllowed):
        seen(project, project.people[0])
    with pytest.raises(NotFound):
        seen(project, add_user(project.workspace, "stranger"))


@pytest.mark.parametrize("role", [Role.EXPERT, Role.OWNER])
def test_where_it_is_reviewed_blind_experts_see_numbers_and_owners_names(project: SmallProject, role: Role) -> None:
    update_settings(project.workspace, project.owner, project.id, {"blind": True})
    somebody = add_user(project.workspace, "somebody")
    with writing(project.workspace.engine) as session:
        session.add(Membership(project_id=project.id, user_id=somebody, role=role))
    names = {name for p in seen(project, somebody).pairs for name in (p.first_name, p.second_name)}
    shown = items_behind(project.workspace, somebody, project.id, Shared()).items
    assert {answer.person for item in shown for answer in item.answers} == names
    real = {f"animals person {place}" for place in range(3)}
    assert names == (real if role is Role.OWNER else {"Person 1", "Person 2", "Person 3"})
