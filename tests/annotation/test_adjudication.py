"""An expert's decision beats all answers, is saved once, can be changed and undone; gold items follow it."""

import pytest
from sqlmodel import select

from labeling.annotation import answers, queue
from labeling.annotation.adjudication import Decided, Decision, decide, make_gold
from labeling.annotation.answers import Answer
from labeling.annotation.merging import merge_class
from labeling.classes import retire_class
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Comment, Event, Item, Job, JobKind, Label, Origin, Role, Source
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.workspace import Workspace
from tests.annotation.expert import decided, give_role, set_aside
from tests.annotation.test_threads import send_back
from tests.db.small_project import SmallProject, add_user, answer_to, new_event


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace, people=3, overlap=2, gold_share=0)


def label_of(small: SmallProject, item_id: int) -> tuple[int, Source, int] | None:
    with reading(small.workspace.engine) as session:
        label = session.get(Label, item_id)
        return None if label is None else (label.class_id, label.source, label.answers)


def item_of(small: SmallProject, item_id: int) -> Item:
    with reading(small.workspace.engine) as session:
        return session.get_one(Item, item_id)


def asked_of(small: SmallProject, person: int) -> list[int]:
    return [claim.item.id for claim in queue.claim(small.workspace, person, small.id, 50)]


def wanted_jobs(small: SmallProject) -> set[JobKind]:
    with reading(small.workspace.engine) as session:
        return set(session.exec(select(Job.kind).where(Job.project_id == small.id)).all())


def test_a_decision_beats_all_answers_whichever_came_first(small: SmallProject):
    cat, dog = small.classes
    first, second = small.items[:2]
    small.answer(small.people[0], first, cat)
    small.answer(small.people[1], first, cat)
    assert decided(small, first, dog).status == "saved"
    assert label_of(small, first) == (dog, Source.ADJUDICATED, 2)
    early = small.lease(small.people[0], second)
    decided(small, second, dog)
    (late,) = answers.submit(small.workspace, small.people[0], [answer_to(early, cat)])
    assert late.status == "saved"
    assert label_of(small, second) == (dog, Source.ADJUDICATED, 1)


def test_a_decision_needs_no_answer_and_its_item_is_asked_no_more(small: SmallProject):
    item = small.items[0]
    decided(small, item, small.classes[1])
    assert label_of(small, item) == (small.classes[1], Source.ADJUDICATED, 0)
    assert item_of(small, item).wanted == 0
    claims = asked_of(small, small.people[0])
    assert item not in claims and len(claims) == len(small.items) - 1


def test_cannot_be_told_takes_the_label_away_and_asks_nobody_again(small: SmallProject):
    item = small.items[0]
    small.answer(small.people[0], item)
    decided(small, item)
    assert label_of(small, item) is None
    assert item_of(small, item).wanted == 0
    assert item not in asked_of(small, small.people[1])


def test_repeating_a_decision_changes_nothing(small: SmallProject):
    event = new_event()
    first = decided(small, small.items[0], small.classes[0], event_id=event)
    again = decided(small, small.items[0], small.classes[1], event_id=event)
    assert (first.status, again.status) == ("saved", "repeated")
    assert label_of(small, small.items[0]) == (small.classes[0], Source.ADJUDICATED, 0)


def test_the_newest_decision_counts_whoever_made_it(small: SmallProject):
    item, (cat, dog) = small.items[0], small.classes
    other = small.people[2]
    give_role(small, other, Role.EXPERT)
    decided(small, item, cat)
    decision = Decision(event_id=new_event(), item_id=item, class_id=dog)
    assert decide(small.workspace, other, small.id, [decision])[0].status == "saved"
    assert label_of(small, item) == (dog, Source.ADJUDICATED, 0)
    with reading(small.workspace.engine) as session:
        made = session.exec(select(Annotation).where(Annotation.origin == Origin.REVIEW)).all()
    assert len(made) == 2 and sum(m.supersedes is not None for m in made) == 1


def test_an_undone_decision_gives_the_label_back_to_the_answers(small: SmallProject):
    item, (cat, dog) = small.items[0], small.classes
    for person in small.people[:2]:
        small.answer(person, item, cat)
    event = new_event()
    decided(small, item, dog, event_id=event, gold=True)
    assert item_of(small, item).gold
    undone = answers.undo(small.workspace, small.owner, event)
    assert (undone.status, undone.claim) == ("undone", None)
    assert label_of(small, item) == (cat, Source.CONSENSUS, 2)
    assert not item_of(small, item).gold and item_of(small, item).wanted is None


def test_only_who_made_a_decision_undoes_it(small: SmallProject):
    event = new_event()
    decided(small, small.items[0], small.classes[0], event_id=event)
    give_role(small, small.people[0], Role.EXPERT)
    with pytest.raises(NotFound):
        answers.undo(small.workspace, small.people[0], event)


def test_a_decision_is_no_answer_to_correct_and_takes_nobodys_event_id(small: SmallProject):
    item, event = small.items[0], small.answer(small.people[0], small.items[1])
    taken = decided(small, item, small.classes[0], event_id=event)
    assert taken.status == "refused" and taken.why.endswith(".")
    own = decided(small, item, small.classes[0])
    correction = Answer(event_id=new_event(), supersedes=own.event_id, verdict="label", class_id=small.classes[1])
    (outcome,) = answers.submit(small.workspace, small.owner, [correction])
    assert outcome.status == "refused" and "decision" in outcome.why
    assert label_of(small, item) == (small.classes[0], Source.ADJUDICATED, 0)


def test_one_that_cannot_stand_does_not_hold_back_the_others(small: SmallProject):
    other = SmallProject.make(small.workspace, name="things")
    retired = small.classes[1]
    retire_class(small.workspace, small.owner, retired)
    asked = [
        Decision(event_id=new_event(), item_id=small.items[0], class_id=small.classes[0]),
        Decision(event_id=new_event(), item_id=other.items[0], class_id=small.classes[0]),
        Decision(event_id=new_event(), item_id=small.items[1], class_id=other.classes[0]),
        Decision(event_id=new_event(), item_id=small.items[2], class_id=retired),
        Decision(event_id=new_event(), item_id=small.items[3]),
        Decision(event_id=new_event(), item_id=999_999, class_id=small.classes[0]),
    ]
    outcomes: list[Decided] = decide(small.workspace, small.owner, small.id, asked)
    assert [o.status for o in outcomes] == ["saved", *["refused"] * 5]
    assert all(o.why.endswith(".") for o in outcomes[1:])
    assert [label_of(small, item) for item in small.items[1:]] == [None] * 5


def test_a_decision_follows_a_merged_class(small: SmallProject):
    cat, dog = small.classes
    decided(small, small.items[0], dog)
    merge_class(small.workspace, small.owner, dog, cat)
    assert label_of(small, small.items[0]) == (cat, Source.ADJUDICATED, 0)


def test_answers_that_are_set_aside_count_for_nothing(small: SmallProject):
    item, (cat, dog) = small.items[0], small.classes
    event = new_event()
    small.answer(small.people[0], item, cat)
    small.answer(small.people[1], item, dog)
    set_aside(small, small.people[1])
    decided(small, item, dog, event_id=event)
    answers.undo(small.workspace, small.owner, event)
    assert label_of(small, item) == (cat, Source.SINGLE, 1)


def test_the_model_learns_from_a_decision(small: SmallProject):
    decided(small, small.items[0], small.classes[0])
    assert JobKind.TRAIN in wanted_jobs(small)


def test_an_annotator_decides_nothing(small: SmallProject):
    decision = Decision(event_id=new_event(), item_id=small.items[0], class_id=small.classes[0])
    with pytest.raises(NotAllowed):
        decide(small.workspace, small.people[0], small.id, [decision])
    with pytest.raises(NotAllowed):
        make_gold(small.workspace, small.people[0], small.id, [small.items[0]])
    with pytest.raises(NotFound):
        decide(small.workspace, add_user(small.workspace, "mallory"), small.id, [decision])


def test_an_item_that_was_sent_back_waits_no_longer_once_it_is_decided(small: SmallProject):
    item = small.items[0]
    event = small.answer(small.people[0], item)
    send_back(small, item, [event])
    decided(small, item, small.classes[1])
    with reading(small.workspace.engine) as session:
        assert session.exec(select(Comment.done)).one() is not None
    assert item not in asked_of(small, small.people[0])


def test_gold_items_are_those_whose_class_an_expert_decided_on(small: SmallProject):
    first, second, third = small.items[:3]
    decided(small, first, small.classes[0])
    decided(small, second)
    small.answer(small.people[0], third)
    assert make_gold(small.workspace, small.owner, small.id, [first, first]) == 1
    assert make_gold(small.workspace, small.owner, small.id, [first]) == 0
    for unknown in (second, third):
        with pytest.raises(Invalid, match="decide on it first"):
            make_gold(small.workspace, small.owner, small.id, [unknown])
    with pytest.raises(NotFound):
        make_gold(small.workspace, small.owner, small.id, [999_999])
    assert make_gold(small.workspace, small.owner, small.id, [first], gold=False) == 1
    assert not item_of(small, first).gold
    with reading(small.workspace.engine) as session:
        logged = session.exec(select(Event.detail).where(Event.kind == "gold items")).all()
    assert [detail["gold"] for detail in logged] == [True, False]


def test_what_cannot_be_told_is_no_gold_item_any_more(small: SmallProject):
    item = small.items[0]
    decided(small, item, small.classes[0], gold=True)
    decided(small, item, small.classes[1])
    assert item_of(small, item).gold  # another class, still known
    decided(small, item)
    assert not item_of(small, item).gold
