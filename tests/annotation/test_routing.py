"""Gold items that nobody can tell from others, suggestions that are hidden by a draw, and what comes before both."""

from collections import Counter

import numpy as np
import pytest
from sqlmodel import col, func, select

from labeling.annotation import answers, queue
from labeling.annotation.adjudication import make_gold
from labeling.annotation.claims import Claim
from labeling.annotation.routing import draw, gold_slots
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Assignment, Item, Label, Lease, QueueEntry, Reason
from labeling.errors import NotAllowed
from labeling.learning import ranking
from labeling.projects import Settings, update_settings
from labeling.workspace import Workspace
from tests.annotation.expert import decided
from tests.annotation.test_threads import send_back
from tests.db.small_project import SmallProject, answer_to

ITEMS = 40
GOLD = 8


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    """With gold items, and half of what is asked gold while there is any."""
    made = SmallProject.make(workspace, items=ITEMS, people=2, overlap=2, gold_share=0.5)
    for item in made.items[:GOLD]:
        decided(made, item, made.classes[0], gold=True)
    return made


def claim(small: SmallProject, person: int, count: int = 1, **options: object) -> list[Claim]:
    return queue.claim(small.workspace, person, small.id, count, **options)  # type: ignore[arg-type]


def answer_all(small: SmallProject, person: int, claims: list[Claim]) -> None:
    given = [answer_to(each, small.classes[0]) for each in claims]
    assert {outcome.status for outcome in answers.submit(small.workspace, person, given)} == {"saved"}


def give_back(small: SmallProject, person: int) -> None:
    with reading(small.workspace.engine) as session:
        held = select(Assignment.id).where(Assignment.user_id == person, Assignment.state == Lease.LEASED)
        leases = [each for each in session.exec(held).all() if each is not None]
    queue.release(small.workspace, person, small.id, leases)


def reasons(small: SmallProject, person: int) -> Counter[Reason]:
    with reading(small.workspace.engine) as session:
        return Counter(session.exec(select(Assignment.reason).where(Assignment.user_id == person)).all())


def test_gold_items_are_asked_of_each_person_once_among_the_others(small: SmallProject):
    for person in small.people:
        asked = []
        for _ in range(8):
            claims = claim(small, person, 5)
            answer_all(small, person, claims)
            asked += [each.item.id for each in claims]
        assert len(asked) == len(set(asked))
        gold = set(asked) & set(small.items[:GOLD])
        assert len(gold) == reasons(small, person)[Reason.GOLD] > 0


def test_nobody_can_tell_a_gold_item_from_another(small: SmallProject):
    claims = claim(small, small.people[0], 30)
    gold = [each for each in claims if each.item.id in small.items[:GOLD]]
    others = [each for each in claims if each.item.id not in small.items[:GOLD]]
    assert gold and others
    assert {each.reason for each in gold} == {each.reason for each in others} == {Reason.STRATEGY}
    assert {each.why for each in gold} == {each.why for each in others}
    shown = [each.model_dump(exclude={"assignment_id", "token", "expires", "item"}) for each in (gold[0], others[0])]
    assert shown[0] == shown[1]


def test_what_is_left_grows_less_by_a_gold_item_as_by_any_other(small: SmallProject):
    person = small.people[0]
    left = queue.count_remaining(small.workspace, person, small.id)
    assert left == ITEMS
    for _ in range(5):
        (claimed,) = claim(small, person)
        left -= 1
        assert queue.count_remaining(small.workspace, person, small.id) == left
        answer_all(small, person, [claimed])
        assert queue.count_remaining(small.workspace, person, small.id) == left


@pytest.fixture
def ranked(workspace: Workspace) -> SmallProject:
    """A ranked project with a model; every fourth item is gold, and lies where the model knows nothing better."""
    small = SmallProject.make(workspace, items=ITEMS, people=2, gold_share=0.5, strategy="margin")
    rows = np.random.default_rng(0).normal(size=(ITEMS, 4)).astype(np.float32)
    small.add_features(rows)
    for place in range(0, ITEMS, 4):
        decided(small, small.items[place], small.classes[place // 4 % 2], gold=True)  # whatever it looks like
    for place in range(1, 9, 2):
        small.answer(small.owner, small.items[place], small.classes[int(rows[place, 0] > 0)])
    small.learn()
    return small


def test_ranked_gold_items_have_all_that_others_have(ranked: SmallProject):
    claims = claim(ranked, ranked.people[0], 20)
    golden = [each for each in claims if ranked.items.index(each.item.id) % 4 == 0]
    others = [each for each in claims if each not in golden]
    assert len(golden) >= 3 and others
    for each in claims:
        assert (each.reason, each.utility) == (Reason.STRATEGY, None)
        assert each.suggestion is not None and each.ranking and each.model_version == 1
    assert all("torn" in each.why or "but maybe" in each.why or each.why for each in claims)


def test_where_there_are_gold_items_only_experts_see_what_comes_next(ranked: SmallProject):
    with pytest.raises(NotAllowed, match="only experts and owners"):
        queue.upcoming(ranked.workspace, ranked.people[0], ranked.id)
    assert queue.upcoming(ranked.workspace, ranked.owner, ranked.id)
    assert all(each.utility is not None for each in claim(ranked, ranked.owner, 3))


def test_suggestions_for_gold_items_come_from_what_has_not_learned_them(ranked: SmallProject):
    """Whoever only confirms suggestions would otherwise be right on every gold item."""
    shown = {}
    for person in ranked.people:
        for each in claim(ranked, person, 20):
            if ranked.items.index(each.item.id) % 4 == 0 and each.suggestion is not None:
                shown[each.item.id] = each.suggestion.class_id
    with reading(ranked.workspace.engine) as session:
        known = dict(session.exec(select(Label.item_id, Label.class_id).where(col(Label.item_id).in_(shown))).all())
    assert len(shown) >= 5 and known != shown


def test_of_many_gold_items_those_are_asked_that_the_ranking_holds(ranked: SmallProject, monkeypatch):
    monkeypatch.setattr(ranking, "GOLD", 4)
    ranked.learn()
    with reading(ranked.workspace.engine) as session:
        newest = session.exec(select(func.max(QueueEntry.ranking_id))).one()
        held = select(QueueEntry.item_id).where(QueueEntry.ranking_id == newest, QueueEntry.reason == Reason.GOLD)
        has_place = set(session.exec(held).all())
    assert len(has_place) == 4
    golden = {each.item.id for each in claim(ranked, ranked.people[0], 4)} & set(ranked.items[::4])
    assert golden <= has_place


def test_an_answer_to_a_gold_item_takes_no_place_and_changes_no_label(small: SmallProject):
    person = small.people[0]
    (gold, *_) = [each for each in claim(small, person, 30) if each.item.id in small.items[:GOLD]]
    (outcome,) = answers.submit(small.workspace, person, [answer_to(gold, small.classes[1])])
    assert outcome.status == "saved"
    with reading(small.workspace.engine) as session:
        assert session.get_one(Item, gold.item.id).gold
        given = session.exec(select(Annotation).where(Annotation.id == outcome.event_id)).one()
        assert given.class_id == small.classes[1]
    again = [each.item.id for each in claim(small, small.people[1], 40)]
    assert len(again) == len(set(again))


def test_a_lapsed_gold_lease_is_answered_all_the_same(small: SmallProject):
    person = small.people[0]
    (gold, *_) = [each for each in claim(small, person, 30, now=1000.0) if each.item.id in small.items[:GOLD]]
    (outcome,) = answers.submit(small.workspace, person, [answer_to(gold, small.classes[0])], now=1000.0 + 86_400)
    assert outcome.status == "saved"


def test_nothing_but_gold_is_asked_of_nobody(small: SmallProject):
    for item in small.items[GOLD:]:
        decided(small, item, small.classes[0])
    assert claim(small, small.people[0], 10) == []


def test_items_that_are_gold_no_more_are_asked_of_nobody(small: SmallProject):
    make_gold(small.workspace, small.owner, small.id, small.items[:GOLD], gold=False)
    asked = [each.item.id for each in claim(small, small.people[0], ITEMS)]
    assert set(asked) == set(small.items[GOLD:])


def test_the_share_of_gold_items_is_the_settings():
    assert gold_slots(Settings(gold_share=0), 1000) == 0
    assert 350 < gold_slots(Settings(gold_share=0.5), 1000) < 650  # ten standard deviations


def test_what_was_sent_back_comes_before_everything_else(small: SmallProject):
    person = small.people[0]
    open_items = [each for each in claim(small, person, 12) if each.item.id not in small.items[:GOLD]]
    answer_all(small, person, open_items[:2])
    with reading(small.workspace.engine) as session:
        given = session.exec(
            select(Annotation.id).where(col(Annotation.item_id).in_([each.item.id for each in open_items[:2]]))
        ).all()
    give_back(small, person)
    for each, event in zip(open_items[:2], given, strict=True):
        send_back(small, each.item.id, [event])
    first = claim(small, person, 5)
    assert [each.item.id for each in first[:2]] == [each.item.id for each in open_items[:2]]
    assert [each.reason for each in first[:2]] == [Reason.REVIEW, Reason.REVIEW]
    assert claim(small, person, 5, client="another tab")[0].reason is not Reason.REVIEW  # it is on lease


@pytest.fixture
def suggesting(workspace: Workspace) -> SmallProject:
    """With a model that has a suggestion for every item."""
    small = SmallProject.make(workspace, items=ITEMS, people=2, gold_share=0)
    small.add_features(np.linspace(-3, 3, ITEMS, dtype=np.float32)[:, None])
    for item, class_id in ((small.items[0], small.classes[0]), (small.items[-1], small.classes[1])):
        small.answer(small.people[0], item, class_id)
    small.learn()
    return small


def test_a_hidden_suggestion_is_kept_and_not_shown(suggesting: SmallProject):
    small, person = suggesting, suggesting.people[1]
    update_settings(small.workspace, small.owner, small.id, {"suggestions": "hide"})
    (shown,) = claim(small, person, 1)
    assert shown.suggestion is None and shown.keywords == []
    assert shown.why == "one of those that teach the model most"  # not what the model is torn between
    answer_all(small, person, [shown])
    with reading(small.workspace.engine) as session:
        given = session.exec(select(Annotation).where(Annotation.user_id == person)).one()
    assert given.suggestion_class_id is not None and not given.suggestion_shown


def test_a_share_of_suggestions_is_hidden_the_same_ones_whenever_they_are_asked_again(suggesting: SmallProject):
    small, person = suggesting, suggesting.people[1]
    update_settings(small.workspace, small.owner, small.id, {"hidden_share": 0.5})
    first = {each.item.id: each.suggestion is None for each in claim(small, person, ITEMS)}
    give_back(small, person)
    again = {each.item.id: each.suggestion is None for each in claim(small, person, ITEMS)}
    assert first == again
    assert 0 < sum(first.values()) < len(first)


def test_a_draw_is_uniform_and_differs_between_people_items_and_what_is_drawn():
    items = [Item(id=n, project_id=1, external_id=str(n), content_hash=f"{n:064x}", row=n) for n in range(2000)]
    drawn = np.array([draw("suggestion", 1, item) for item in items])
    assert np.abs(np.sort(drawn) - np.linspace(0, 1, 2000)).max() < 0.05  # Kolmogorov-Smirnov, far beyond chance
    for other in ([draw("suggestion", 2, item) for item in items], [draw("gold", 1, item) for item in items]):
        assert abs(np.corrcoef(drawn, other)[0, 1]) < 0.1
