"""What waits for an expert: everything that only an expert can settle, in the order of what a decision changes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from labeling.annotation import answers, queue
from labeling.annotation.consensus import settle
from labeling.annotation.merging import merge_class
from labeling.annotation.review import ReviewItem, ReviewQueue, read_item, read_review
from labeling.annotation.review_order import Cause
from labeling.annotation.splitting import split_class
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Doubt, Item, Label, Membership, Origin, Reliability, Role, Verdict
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.learning import model_view
from labeling.projects import update_settings
from labeling.workspace import Workspace
from tests.annotation.expert import decided, give_role, set_aside
from tests.annotation.test_threads import send_back
from tests.db.small_project import SmallProject, add_user, answer_to, new_event


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace, items=8, people=3, overlap=2, gold_share=0)


def waiting(small: SmallProject, **options: Any) -> list[int]:
    return [item.item_id for item in read_review(small.workspace, small.owner, small.id, **options).items]


def of(small: SmallProject, item_id: int) -> ReviewItem:
    return read_item(small.workspace, small.owner, small.id, item_id)


def disagree(small: SmallProject, item_id: int, *people: int) -> list[str]:
    """Two people choose different classes."""
    who = people or small.people[:2]
    return [small.answer(person, item_id, class_id) for person, class_id in zip(who, small.classes, strict=True)]


def doubt(
    small: SmallProject, item_id: int, score: float, class_id: int, why: str = "the model says so", **more: Any
) -> None:
    with writing(small.workspace.engine) as session:
        session.add(Doubt(item_id=item_id, project_id=small.id, score=score, class_id=class_id, why=why, **more))


def give(small: SmallProject, person: int, item_id: int, **more: Any) -> str:
    given = answer_to(small.lease(person, item_id), small.classes[0], **more)
    (outcome,) = answers.submit(small.workspace, person, [given])
    assert outcome.status == "saved", outcome
    return given.event_id


def test_what_people_agree_on_and_what_lacks_answers_does_not_wait(small: SmallProject):
    for person in small.people[:2]:
        small.answer(person, small.items[0])
    small.answer(small.people[0], small.items[1])
    found = read_review(small.workspace, small.owner, small.id)
    assert found == ReviewQueue(
        items=[], total=0, causes=dict.fromkeys(Cause, 0), waiting=0, sent_back=0, decided=0, against=0
    )


def test_a_disagreement_waits_and_says_who_said_what(small: SmallProject):
    item = small.items[2]
    events = disagree(small, item)
    (found,) = read_review(small.workspace, small.owner, small.id).items
    assert (found.item_id, found.causes, found.score) == (item, [Cause.DISAGREEMENT], 0.5)
    assert found.why == "1 says “cat”, 1 says “dog”" and found.label is None
    assert [(o.event_id, o.person, o.class_id) for o in found.opinions] == [
        (events[0], "animals person 0", small.classes[0]), (events[1], "animals person 1", small.classes[1]),
    ]  # fmt: skip


def test_a_third_opinion_comes_before_an_expert(workspace: Workspace):
    small = SmallProject.make(workspace, items=2, people=3, overlap=3, gold_share=0)
    item = small.items[0]
    disagree(small, item)
    assert waiting(small) == []  # somebody can still be asked
    small.answer(small.people[2], item)
    (found,) = read_review(workspace, small.owner, small.id).items
    assert found.why == "2 say “cat”, 1 says “dog”"
    assert (found.label and found.label.class_id, round(found.score, 2)) == (small.classes[0], 0.33)


def test_nobody_is_waited_for_who_cannot_come(workspace: Workspace):
    """With an overlap of 3 and two people left, two answers are all there are."""
    small = SmallProject.make(workspace, items=2, people=3, overlap=3, gold_share=0)
    disagree(small, small.items[0])
    set_aside(small, small.people[2])
    assert waiting(small) == [small.items[0]]
    set_aside(small, small.people[2], None)
    assert waiting(small) == []
    with writing(workspace.engine) as session:
        session.get_one(Membership, (small.id, small.people[2])).removed = 1.0
    assert waiting(small) == [small.items[0]]


def test_an_expert_who_decides_is_nobody_to_be_asked(workspace: Workspace):
    small = SmallProject.make(workspace, items=3, people=3, overlap=3, gold_share=0)
    ann, bob, eve = small.people
    give_role(small, eve, Role.EXPERT)
    for item in small.items:
        disagree(small, item, ann, bob)
    assert waiting(small) == list(small.items)
    decided(small, small.items[0], small.classes[0], actor_id=eve)
    assert waiting(small) == list(small.items[1:])


def test_somebody_who_skipped_the_item_cannot_be_asked_again(workspace: Workspace):
    small = SmallProject.make(workspace, items=1, people=3, overlap=3, gold_share=0)
    (item,) = small.items
    disagree(small, item)
    assert waiting(small) == []
    give(small, small.people[2], item, verdict="skip")
    assert waiting(small) == [item]


def test_a_likely_error_waits_until_nobody_is_left_to_ask(workspace: Workspace):
    small = SmallProject.make(workspace, items=1, people=3, overlap=3, opinions="by_need", gold_share=0)
    (item,) = small.items
    small.answer(small.people[0], item)
    doubt(small, item, 0.8, small.classes[1])
    with writing(workspace.engine) as session:
        session.get_one(Item, item).wanted = 2
    assert waiting(small) == []  # a second opinion comes first
    small.answer(small.people[1], item)
    assert waiting(small) == [item]


def test_what_came_with_another_class_than_people_chose_waits_however_sure_they_are(workspace: Workspace):
    small = SmallProject.make(workspace, items=2, people=3, overlap=3, gold_share=0)
    kept, changed = small.items
    with writing(workspace.engine) as session:
        for item in small.items:
            brought = Annotation(
                id=new_event(), project_id=small.id, item_id=item, user_id=small.owner, verdict=Verdict.LABEL,
                class_id=small.classes[0], origin=Origin.IMPORTED,
            )  # fmt: skip
            session.add(brought)
            session.flush()
            settle(session, item)
    for person in small.people[:2]:
        small.answer(person, kept, small.classes[0])
        small.answer(person, changed, small.classes[1])
    with writing(workspace.engine) as session:
        session.get_one(Label, changed).confidence = 0.99
    (found,) = read_review(workspace, small.owner, small.id).items
    assert found.item_id == changed
    assert found.why == "it came as “cat”; 2 say “dog”, 1 says “cat”"


def test_a_decision_on_a_class_that_was_split_is_none(small: SmallProject):
    item = small.items[0]
    disagree(small, item)
    decided(small, item, small.classes[0])
    split_class(small.workspace, small.owner, small.classes[0], ["tabby", "lynx"])
    found = of(small, item)
    assert found.decision is None
    assert [opinion.counts for opinion in found.opinions] == [False, True]


def test_a_disagreement_that_the_weighing_settled_does_not_wait(small: SmallProject):
    item = small.items[0]
    update_settings(small.workspace, small.owner, small.id, {"overlap": 3})
    for person, class_id in zip(small.people, (*small.classes, small.classes[0]), strict=True):
        small.answer(person, item, class_id)
    assert waiting(small) == [item]
    with writing(small.workspace.engine) as session:
        session.get_one(Label, item).confidence = 0.97
    assert waiting(small) == []
    update_settings(small.workspace, small.owner, small.id, {"certainty": 0.99})
    assert waiting(small) == [item]


def test_people_who_chose_classes_that_were_merged_agree(small: SmallProject):
    disagree(small, small.items[0])
    merge_class(small.workspace, small.owner, small.classes[1], small.classes[0])
    assert waiting(small) == []


def test_the_unsure_and_the_flagged_wait_until_the_answer_is_taken_back(small: SmallProject):
    unsure, flagged, both = small.items[:3]
    event = give(small, small.people[0], unsure, verdict="unsure", note="too dark")
    give(small, small.people[0], flagged, flagged=True)
    give(small, small.people[0], both, verdict="unsure", flagged=True)
    give(small, small.people[0], small.items[3], verdict="skip")
    found = read_review(small.workspace, small.owner, small.id)
    assert [item.causes for item in found.items] == [[Cause.UNSURE], [Cause.FLAGGED], [Cause.UNSURE, Cause.FLAGGED]]
    assert (found.causes[Cause.UNSURE], found.causes[Cause.FLAGGED], found.waiting) == (2, 2, 3)
    assert (found.items[0].opinions[0].note, found.items[0].opinions[0].verdict) == ("too dark", Verdict.UNSURE)
    assert waiting(small, cause=Cause.FLAGGED) == [flagged, both]
    answers.undo(small.workspace, small.people[0], event)
    assert waiting(small) == [flagged, both]


def test_likely_errors_wait_the_likeliest_first_and_say_what_they_rather_are(small: SmallProject):
    cat, dog = small.classes
    for item, score in zip(small.items[:3], (0.6, 0.9, 0.4), strict=True):
        for person in small.people[:2]:
            small.answer(person, item, cat)
        doubt(small, item, score, dog)
    found = read_review(small.workspace, small.owner, small.id)
    assert [(item.item_id, item.score, item.better) for item in found.items] == [
        (small.items[1], 0.9, dog), (small.items[0], 0.6, dog),
    ]  # fmt: skip
    assert found.items[0].causes == [Cause.LIKELY_ERROR] and found.items[0].why == "the model says so"


def test_what_the_model_objects_to_is_listed_beside_what_waits(small: SmallProject):
    quiet, loud, settled = small.items[:3]
    for item, score in ((quiet, 0.1), (loud, 0.8), (settled, 0.9)):
        for person in small.people[:2]:
            small.answer(person, item, small.classes[0])
        doubt(small, item, score, small.classes[1], objects=True)
    decided(small, settled, small.classes[0])
    found = read_review(small.workspace, small.owner, small.id, against=True)
    assert [(item.item_id, item.causes) for item in found.items] == [(loud, [Cause.LIKELY_ERROR]), (quiet, [])]
    assert (found.total, found.against, found.waiting) == (2, 2, 1)


def test_what_is_known_of_a_doubt_orders_disagreements_too(small: SmallProject):
    plain, certain, doubted = small.items[:3]
    for item in (plain, certain, doubted):
        disagree(small, item)
    doubt(small, certain, 0.1, small.classes[0])
    doubt(small, doubted, 0.8, small.classes[1])
    found = read_review(small.workspace, small.owner, small.id)
    assert [item.item_id for item in found.items] == [doubted, plain, certain]
    assert found.items[0].causes == [Cause.DISAGREEMENT, Cause.LIKELY_ERROR]


def test_what_is_decided_waits_no_longer_and_is_listed_the_newest_first(small: SmallProject):
    first, second, third = small.items[:3]
    for item in (first, second, third):
        disagree(small, item)
    decided(small, second, small.classes[1], note="the ears")
    event = decided(small, first).event_id
    assert waiting(small) == [third]
    found = read_review(small.workspace, small.owner, small.id, decided=True)
    assert ([item.item_id for item in found.items], found.total, found.decided) == ([first, second], 2, 2)
    decision = found.items[1].decision
    assert decision is not None and (decision.class_id, decision.note, decision.mine) == (
        small.classes[1], "the ears", True,
    )  # fmt: skip
    assert found.items[0].decision is not None and found.items[0].decision.class_id is None
    answers.undo(small.workspace, small.owner, event)
    assert waiting(small) == [first, third]
    assert waiting(small, decided=True) == [second]


def test_what_was_sent_back_waits_for_those_who_answered_it(small: SmallProject):
    item, person = small.items[0], small.people[1]
    _, event = disagree(small, item)
    small.answer(small.people[0], small.items[1])
    send_back(small, item, [event])
    found = read_review(small.workspace, small.owner, small.id)
    assert (found.waiting, found.sent_back, found.causes[Cause.DISAGREEMENT]) == (0, 1, 0)
    (away,) = read_review(small.workspace, small.owner, small.id, sent_back=True).items
    assert away.causes == [Cause.DISAGREEMENT] and away.thread[0].returned_to == "animals person 1"
    (claim,) = queue.claim(small.workspace, person, small.id, 1)
    answers.submit(small.workspace, person, [answer_to(claim, small.classes[1])])
    assert waiting(small) == [item] and waiting(small, sent_back=True) == []  # and said the same again


def test_a_page_of_the_queue_is_what_was_asked_for(small: SmallProject):
    for item in small.items[:5]:
        disagree(small, item)
    found = read_review(small.workspace, small.owner, small.id, offset=3, limit=20)
    assert ([item.item_id for item in found.items], found.total) == (list(small.items[3:5]), 5)
    for wrong in ({"offset": -1}, {"limit": 0}, {"limit": 101}):
        with pytest.raises(Invalid):
            read_review(small.workspace, small.owner, small.id, **wrong)


def test_an_answer_comes_with_all_that_tells_how_far_to_rely_on_it(small: SmallProject):
    item, (ann, bob) = small.items[0], small.people[:2]
    give(small, ann, item, seconds=2.5)
    give(small, bob, item, verdict="unsure")
    with writing(small.workspace.engine) as session:
        session.add(Reliability(project_id=small.id, user_id=ann, accuracy=0.94))
    set_aside(small, bob)
    first, second = of(small, item).opinions
    assert (first.user_id, first.reliability, first.seconds, first.counts) == (ann, 0.94, 2.5, True)
    assert (second.reliability, second.counts, second.suggestion_class_id) == (None, False, None)


def test_a_blind_review_names_nobody(small: SmallProject):
    disagree(small, small.items[0])
    update_settings(small.workspace, small.owner, small.id, {"blind": True})
    opinions = of(small, small.items[0]).opinions
    assert [(o.user_id, o.person) for o in opinions] == [(None, "Person 1"), (None, "Person 2")]


def test_any_item_can_be_looked_at_whether_it_waits_or_not(small: SmallProject):
    found = of(small, small.items[4])
    assert (found.causes, found.opinions, found.label, found.score) == ([], [], None, 0.0)
    other = SmallProject.make(small.workspace, name="things")
    for unknown in (999_999, other.items[0]):
        with pytest.raises(NotFound):
            of(small, unknown)


def test_only_experts_review(small: SmallProject):
    person = small.people[0]
    for view in (read_review, model_view.read_review):
        with pytest.raises(NotAllowed):
            view(small.workspace, person, small.id)
        with pytest.raises(NotFound):
            view(small.workspace, add_user(small.workspace, f"mallory {view.__module__}"), small.id)
    give_role(small, person, Role.EXPERT)
    assert read_review(small.workspace, person, small.id).waiting == 0


@pytest.fixture
def learned(small: SmallProject) -> SmallProject:
    """With features on a line, cats to the left of dogs, and a model of what people answered."""
    small = replace(small, items=small.items + small.add_items(8))
    at = np.array([-4, -3, -2, -1, 1, 2, 3, 4] * 2, dtype=np.float32)
    small.add_features(np.column_stack([at, np.ones(16, dtype=np.float32)]))
    for person in small.people[:2]:
        for item, place in zip(small.items[8:], at[8:], strict=True):
            small.answer(person, item, small.classes[int(place > 0)])
    small.learn()
    return small


def test_the_model_and_the_nearest_labeled_items_of_each_contending_class(learned: SmallProject):
    item = learned.items[0]  # far on the cats' side
    disagree(learned, item)
    (found,) = model_view.read_review(learned.workspace, learned.owner, learned.id).items
    assert found.model[0].class_id == learned.classes[0]
    assert sum(belief.probability for belief in found.model) == pytest.approx(1)
    assert set(found.neighbours) == set(learned.classes)
    for class_id, near in found.neighbours.items():
        assert len(near) == 3 and {one.class_id for one in near} == {class_id}
        assert item not in {one.item_id for one in near}
        alike = [one.similarity for one in near]
        assert alike == sorted(alike, reverse=True)
    assert found.neighbours[learned.classes[0]][0].similarity > found.neighbours[learned.classes[1]][0].similarity


def test_without_a_model_review_says_nothing_of_one(small: SmallProject):
    disagree(small, small.items[0])
    found = model_view.read_item(small.workspace, small.owner, small.id, small.items[0])
    assert (found.model, found.neighbours) == ([], {})
    with reading(small.workspace.engine) as session:
        assert session.get(Label, small.items[0]) is None
