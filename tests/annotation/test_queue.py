"""Work is claimed from the live ranking, held for a while, and never given to too many."""

import itertools
import threading

import numpy as np
import pytest
from sqlmodel import select

from labeling.annotation import answers, queue
from labeling.annotation.consensus import is_open
from labeling.annotation.queue import Claim
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Assignment, Item, Lease, Project, QueueEntry, Ranking, Reason
from labeling.errors import Invalid, NotFound
from labeling.projects import settings_of, update_settings
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user, answer_to


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace)


def rank(small: SmallProject, items: list[int], **fields: object) -> int:
    """Publish a ranking that asks these items in this order."""
    with writing(small.workspace.engine) as session:
        ranking = Ranking(project_id=small.id, strategy="margin", annotation_seq=0, candidates=len(items))
        session.add(ranking)
        session.flush()
        assert ranking.id is not None
        for position, item in enumerate(items):
            entry = {"utility": -float(position), "why": f"place {position}", **fields}
            session.add(QueueEntry(ranking_id=ranking.id, position=position, item_id=item, **entry))
    return ranking.id


def stored(small: SmallProject, of_items: dict[int, tuple[int, int | None]]) -> None:
    """Write how many answers items have and want, as if people had given them."""
    with writing(small.workspace.engine) as session:
        for item_id, (given, wanted) in of_items.items():
            item = session.get_one(Item, item_id)
            item.answers, item.wanted = given, wanted


def ids(claims: list[Claim]) -> list[int]:
    return [claim.item.id for claim in claims]


def claim(small: SmallProject, actor: int, count: int = 1, **options: object) -> list[Claim]:
    return queue.claim(small.workspace, actor, small.id, count, **options)


def remaining(small: SmallProject, actor: int, now: float) -> int:
    with reading(small.workspace.engine) as session:
        return queue.remaining(session, actor, session.get_one(Project, small.id), now)


def test_without_a_ranking_the_order_is_spread_out_and_the_same_for_everybody(workspace: Workspace):
    small = SmallProject.make(workspace, items=20, overlap=2)
    first, second = (ids(claim(small, person, 20)) for person in small.people)
    assert first == second
    assert sorted(first) == list(small.items) and first != list(small.items)


def test_without_a_ranking_what_wants_another_opinion_comes_before_what_was_begun_and_that_before_new_items(
    workspace: Workspace,
):
    small = SmallProject.make(workspace, items=3, people=1, overlap=3)
    new, begun, wanting = small.items
    stored(small, {begun: (1, None), wanting: (1, 2)})
    assert ids(claim(small, small.people[0], 3)) == [wanting, begun, new]


@pytest.mark.parametrize("opinions", ["fixed", "by_need"])
@pytest.mark.parametrize("overlap", [1, 2, 5])
def test_without_a_ranking_every_open_item_is_asked_and_counted_and_no_other(
    workspace: Workspace, overlap: int, opinions: str
):
    small = SmallProject.make(workspace, items=42, people=1, overlap=overlap, opinions=opinions)
    kinds = itertools.product(range(6), [None, *range(6)])
    stored(small, dict(zip(small.items, kinds, strict=True)))
    with reading(workspace.engine) as session:
        settings = settings_of(session.get_one(Project, small.id))
        open_ones = set(session.exec(select(Item.id).where(is_open(settings))).all())
    assert remaining(small, small.people[0], 0.0) == len(open_ones) > 0
    assert queue.count_remaining(workspace, small.people[0], small.id, at_most=2) == min(2, len(open_ones))
    asked = ids(claim(small, small.people[0], 42))
    assert set(asked) == open_ones and len(asked) == len(open_ones)


def test_the_live_ranking_comes_first_and_then_the_rest_of_the_pool(small: SmallProject):
    a, b, *rest = small.items
    ranking = rank(small, [b, a])
    claims = claim(small, small.people[0], 6)
    assert ids(claims)[:2] == [b, a] and sorted(ids(claims)[2:]) == rest
    assert [(c.why, c.utility, c.ranking) for c in claims[:2]] == [
        ("place 0", -0.0, ranking),
        ("place 1", -1.0, ranking),
    ]
    assert {(c.why, c.utility, c.ranking) for c in claims[2:]} == {("not ranked yet", None, None)}


def test_the_newest_ranking_is_the_live_one(small: SmallProject):
    rank(small, list(small.items))
    rank(small, list(reversed(small.items)))
    assert ids(claim(small, small.people[0], 6)) == list(reversed(small.items))


def test_a_suggestion_is_seen_only_where_the_project_shows_it(small: SmallProject):
    rank(small, list(small.items), suggestion_class_id=small.classes[1], suggestion_confidence=0.75)
    (shown,) = claim(small, small.people[0])
    assert shown.suggestion is not None
    assert (shown.suggestion.class_id, shown.suggestion.confidence) == (small.classes[1], 0.75)
    update_settings(small.workspace, small.owner, small.id, {"suggestions": "hide"})
    (hidden,) = claim(small, small.people[1])
    assert hidden.suggestion is None
    answers.submit(small.workspace, small.people[1], [answer_to(hidden, small.classes[0])])
    with reading(small.workspace.engine) as session:
        (saved,) = session.exec(select(Annotation)).all()
    assert (saved.suggestion_class_id, saved.suggestion_shown) == (small.classes[1], False)  # known, and not seen


def test_two_people_never_hold_one_item_at_overlap_one(small: SmallProject):
    ann, bob = small.people
    assert set(ids(claim(small, ann, 4))).isdisjoint(ids(claim(small, bob, 4)))


def test_many_threads_claiming_at_once_get_every_item_exactly_once(workspace: Workspace):
    small = SmallProject.make(workspace, items=60, people=6)
    start, got = threading.Barrier(12), []

    def work(person: int) -> None:
        start.wait()
        while claims := claim(small, person, 3):
            got.extend(ids(claims))

    threads = [threading.Thread(target=work, args=(person,)) for person in small.people * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(small.items)


def test_many_threads_answering_at_once_keep_to_the_overlap(workspace: Workspace):
    small = SmallProject.make(workspace, items=15, people=4, overlap=2)
    start = threading.Barrier(4)

    def work(person: int) -> None:
        start.wait()
        while claims := claim(small, person, 2):
            outcomes = answers.submit(workspace, person, [answer_to(c, small.classes[0]) for c in claims])
            assert {o.status for o in outcomes} == {"saved"}

    threads = [threading.Thread(target=work, args=(person,)) for person in small.people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(workspace.engine) as session:
        given = session.exec(select(Annotation.item_id, Annotation.user_id)).all()
        counts = session.exec(select(Item.answers)).all()
    assert len(given) == len(set(given)) == 30
    assert set(counts) == {2}


def test_a_lapsed_lease_is_back_in_the_queue_and_a_running_one_is_not(small: SmallProject):
    ann, bob = small.people
    (held,) = claim(small, ann)
    assert held.item.id not in ids(claim(small, bob, 6, now=held.expires - 0.001))
    assert held.item.id in ids(claim(small, bob, 6, now=held.expires))


def test_an_item_asked_again_of_another_person_says_that_it_is_for_overlap(workspace: Workspace):
    small = SmallProject.make(workspace, items=1, overlap=2)
    ann, bob = small.people
    small.answer(ann, small.items[0])
    (second,) = claim(small, bob)
    assert second.reason is Reason.OVERLAP


def test_nobody_is_asked_an_item_twice(workspace: Workspace):
    small = SmallProject.make(workspace, items=3, overlap=2)
    ann = small.people[0]
    small.answer(ann, small.items[0])
    small.answer(ann, small.items[1], verdict="skip")
    assert ids(claim(small, ann, 6)) == [small.items[2]]
    assert claim(small, ann, 6) == []


def test_a_heartbeat_keeps_a_lease_and_says_till_when(small: SmallProject):
    (held,) = claim(small, small.people[0], now=1000.0)
    assert queue.renew(small.workspace, small.people[0], small.id, now=1100.0) == ([held.assignment_id], 1280.0)
    assert held.item.id not in ids(claim(small, small.people[1], 6, now=1200.0))


def test_a_lapsed_lease_is_renewed_by_its_name_while_nobody_else_took_the_item(small: SmallProject):
    ann, bob = small.people
    first, second = claim(small, ann, 2, now=1000.0)
    both = [first.assignment_id, second.assignment_id]
    assert queue.renew(small.workspace, ann, small.id, now=2000.0)[0] == []
    small.lease(bob, second.item.id, now=2000.0)
    assert queue.renew(small.workspace, ann, small.id, both, now=2000.0)[0] == [first.assignment_id]


def test_renewing_a_lapsed_lease_never_holds_an_item_twice_for_one_person(small: SmallProject):
    ann = small.people[0]
    before = claim(small, ann, 6, client="asleep", now=1000.0)
    again = claim(small, ann, 6, client="awake", now=2000.0)
    assert set(ids(before)) == set(ids(again))
    old, new = ([c.assignment_id for c in claims] for claims in (before, again))
    renewed, _ = queue.renew(small.workspace, ann, small.id, old + new, now=2001.0)
    assert sorted(renewed) == sorted(new)


def test_nobody_renews_or_gives_back_another_persons_lease(small: SmallProject):
    ann, bob = small.people
    (held,) = claim(small, ann, now=1000.0)
    assert queue.renew(small.workspace, bob, small.id, [held.assignment_id], now=1001.0)[0] == []
    assert queue.release(small.workspace, bob, small.id, [held.assignment_id]) == 0
    assert claim(small, bob, 6, release=[held.assignment_id], now=1001.0)
    with reading(small.workspace.engine) as session:
        stored = session.get_one(Assignment, held.assignment_id)
    assert (stored.state, stored.expires) == (Lease.LEASED, held.expires)


def test_an_item_given_back_is_free_at_once(small: SmallProject):
    ann, bob = small.people
    held = claim(small, ann, 6)
    assert claim(small, bob) == []
    assert queue.release(small.workspace, ann, small.id, [held[0].assignment_id, 999]) == 1
    assert ids(claim(small, bob)) == [held[0].item.id]


def test_items_not_yet_shown_are_exchanged_for_better_ones_in_one_step(small: SmallProject):
    ann = small.people[0]
    rank(small, list(small.items))
    held = claim(small, ann, 3)
    rank(small, list(reversed(small.items)))
    better = claim(small, ann, 2, release=[c.assignment_id for c in held[1:]])
    assert ids(better) == [small.items[5], small.items[4]]


def test_a_reload_gets_back_what_its_tab_holds(small: SmallProject):
    ann = small.people[0]
    held = claim(small, ann, 2, client="tab", now=1000.0)
    again = claim(small, ann, 3, client="tab", resume=True, now=1001.0)
    assert [c.assignment_id for c in again[:2]] == [c.assignment_id for c in held]
    assert [c.token for c in again[:2]] == [c.token for c in held]
    assert len(again) == 3 and {c.expires for c in again} == {1181.0}


def test_a_new_tab_takes_over_what_an_old_one_holds_before_it_says_that_there_is_no_work(small: SmallProject):
    ann = small.people[0]
    held = claim(small, ann, 6, client="old")
    assert ids(claim(small, ann, 6, client="new", resume=True)) == ids(held)


def test_a_new_tab_leaves_the_old_ones_leases_while_there_is_other_work(small: SmallProject):
    ann = small.people[0]
    held = claim(small, ann, 4, client="old")
    assert set(ids(claim(small, ann, 6, client="new", resume=True))).isdisjoint(ids(held))


@pytest.mark.parametrize("count", [0, -1, 201])
def test_a_claim_is_for_1_to_200_items(small: SmallProject, count: int):
    with pytest.raises(Invalid, match="between 1 and 200"):
        claim(small, small.people[0], count)


def test_what_remains_is_what_could_be_claimed(workspace: Workspace):
    small = SmallProject.make(workspace, items=5, overlap=1)
    ann, bob = small.people
    claim(small, ann, 2, now=1000.0)
    assert [remaining(small, person, 1001.0) for person in (ann, bob)] == [3, 3]
    assert [remaining(small, person, 2000.0) for person in (ann, bob)] == [5, 5]


def test_the_queue_shows_the_ranking_as_far_as_it_is_open(small: SmallProject):
    ranking = rank(small, list(small.items))
    small.answer(small.people[0], small.items[0])
    shown = queue.upcoming(small.workspace, small.people[0], small.id, limit=2)
    assert [(q.item_id, q.why, q.ranking) for q in shown] == [
        (small.items[1], "place 1", ranking),
        (small.items[2], "place 2", ranking),
    ]


def test_a_project_that_was_never_ranked_has_an_empty_queue(small: SmallProject):
    assert queue.upcoming(small.workspace, small.people[0], small.id) == []


def test_the_model_version_on_a_claim_and_in_the_queue_is_its_number(workspace: Workspace):
    """Two projects, so that a version's number in its project and its id in the database differ."""
    for name in ("first", "second"):
        small = SmallProject.make(workspace, name=name, items=6)
        small.add_features(np.eye(6, dtype=np.float32))
        small.answer(small.people[0], small.items[0], small.classes[0])
        small.answer(small.people[0], small.items[1], small.classes[1])
        small.learn()
    (claimed,) = claim(small, small.people[0])
    assert claimed.model_version == 1
    assert {q.model_version for q in queue.upcoming(workspace, small.people[0], small.id)} == {1}


def test_a_user_who_is_no_member_learns_nothing_of_the_project(small: SmallProject):
    stranger = add_user(small.workspace, "mallory")
    with pytest.raises(NotFound) as hidden:
        claim(small, stranger)
    with pytest.raises(NotFound) as missing:
        queue.claim(small.workspace, stranger, 999)
    assert str(hidden.value).replace(str(small.id), "") == str(missing.value).replace("999", "")
