"""An expert's decision beats all answers, is saved once, can be changed and undone; gold items follow it."""

from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import select

from labeling.annotation import adjudication, answers, queue
from labeling.annotation.adjudication import Decided, Decision, decide, make_gold
from labeling.annotation.answers import Answer
from labeling.annotation.merging import merge_class, restore_class
from labeling.annotation.splitting import split_class
from labeling.classes import retire_class
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Comment, Event, Item, Job, JobKind, Label, Origin, Role, Source, Verdict
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.projects import update_settings
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


@pytest.fixture
def ivan(small: SmallProject) -> int:
    """A second expert."""
    give_role(small, small.people[2], Role.EXPERT)
    return small.people[2]


def decided_by(small: SmallProject, expert: int, item: int, class_id: int | None = None, **more: Any) -> Decided:
    verdict = "label" if class_id else "unsure"
    decision = Decision(event_id=new_event(), item_id=item, verdict=verdict, class_id=class_id, **more)
    (outcome,) = decide(small.workspace, expert, small.id, [decision])
    return outcome


def test_what_somebody_else_decided_since_the_expert_looked_is_not_overwritten(small: SmallProject, ivan: int):
    item, (cat, dog) = small.items[0], small.classes
    by_ivan = decided_by(small, ivan, item, dog, seen=None)
    assert by_ivan.status == "saved"
    late = decided(small, item, cat, seen=None)
    assert late.status == "refused"
    assert late.why == "animals person 2 decided on this item meanwhile: “dog”. Look at it again."
    assert label_of(small, item) == (dog, Source.ADJUDICATED, 0)
    looked_again = decided(small, item, cat, seen=by_ivan.event_id)
    assert looked_again.status == "saved"
    assert decided_by(small, ivan, item, dog, seen=by_ivan.event_id).why.startswith("animals owner decided")
    untold = decided(small, item, seen=looked_again.event_id)
    assert "meanwhile: that it cannot be told. Look" in decided_by(small, ivan, item, dog, seen=None).why
    assert decided(small, item, cat, seen=None).status == "saved"  # her own she knows of
    again = Decision(event_id=untold.event_id, item_id=item, class_id=cat, seen=None)
    assert decide(small.workspace, small.owner, small.id, [again])[0].status == "repeated"
    assert decided_by(small, ivan, item, dog).status == "saved"  # whoever does not say what they saw


def test_a_blind_review_names_nobody_who_decided_meanwhile(small: SmallProject, ivan: int):
    update_settings(small.workspace, small.owner, small.id, {"blind": True})
    decided_by(small, ivan, small.items[0], small.classes[1])
    late = decided(small, small.items[0], small.classes[0], seen=None)
    assert late.why == "Person 1 decided on this item meanwhile: “dog”. Look at it again."


def test_the_undo_of_a_change_brings_the_earlier_decision_back_with_its_gold(small: SmallProject, ivan: int):
    item, (cat, dog) = small.items[0], small.classes
    by_ivan = decided_by(small, ivan, item, dog, gold=True, note="the ears")
    change = decided(small, item, cat, gold=False)
    assert not item_of(small, item).gold
    undone = answers.undo(small.workspace, small.owner, change.event_id)
    assert (undone.status, undone.why) == ("undone", "The decision before it stands again.")
    assert answers.undo(small.workspace, small.owner, change.event_id).status == "repeated"
    assert label_of(small, item) == (dog, Source.ADJUDICATED, 0)
    assert item_of(small, item).gold
    first, _, undo, again = made_of(small, item)
    kept = {"item_id", "project_id", "user_id", "verdict", "class_id", "note", "origin", "created"}
    assert again.model_dump(include=kept) == first.model_dump(include=kept)
    assert (again.supersedes, again.seconds) == (undo.id, None)
    # Whoever saw it before the change has seen it, and its maker takes it back like any other.
    assert decided(small, item, cat, seen=by_ivan.event_id).status == "saved"
    answers.undo(small.workspace, small.owner, made_of(small, item)[-1].id)
    assert answers.undo(small.workspace, ivan, made_of(small, item)[-1].id).why == "Its item is open again."
    assert label_of(small, item) is None and not item_of(small, item).gold


def made_of(small: SmallProject, item: int) -> list[Annotation]:
    with reading(small.workspace.engine) as session:
        query = select(Annotation).where(Annotation.item_id == item)
        return list(session.exec(query.order_by(Annotation.seq)).all())  # type: ignore[arg-type]


@pytest.mark.parametrize("was", [True, False])
@pytest.mark.parametrize(("becomes", "told"), [(None, True), (True, True), (False, True), (None, False)])
def test_an_undo_leaves_gold_as_it_was_before_the_change(
    small: SmallProject, ivan: int, was: bool, becomes: bool | None, told: bool
):
    item = small.items[0]
    decided_by(small, ivan, item, small.classes[0], gold=was)
    change = decided(small, item, small.classes[1] if told else None, gold=becomes)
    answers.undo(small.workspace, small.owner, change.event_id)
    assert item_of(small, item).gold == was


def test_undoing_one_change_after_the_other_goes_back_all_the_way(small: SmallProject, ivan: int):
    item, (cat, dog) = small.items[0], small.classes
    decided(small, item, cat, gold=True)
    decided_by(small, ivan, item, dog, gold=False)
    decided(small, item)
    for class_id, gold in ((dog, False), (cat, True)):
        last = made_of(small, item)[-1]
        answers.undo(small.workspace, last.user_id, last.id)
        label = label_of(small, item)
        assert label is not None and (label[0], item_of(small, item).gold) == (class_id, gold)
    last = made_of(small, item)[-1]
    answers.undo(small.workspace, last.user_id, last.id)
    assert label_of(small, item) is None and made_of(small, item)[-1].verdict is Verdict.UNDO


def test_an_undone_decision_asks_again_what_it_had_spared_and_only_that(small: SmallProject, ivan: int):
    item, (ann, bob) = small.items[0], small.people[:2]
    events = [small.answer(person, item) for person in (ann, bob)]
    send_back(small, item, events[:1])
    decided_by(small, ivan, item, small.classes[0])
    send_back(small, item, events[1:])
    change = decided(small, item, small.classes[1])
    assert [item in asked_of(small, person) for person in (ann, bob)] == [False, False]
    answers.undo(small.workspace, small.owner, change.event_id)
    assert [item in asked_of(small, person) for person in (ann, bob)] == [False, True]
    answers.undo(small.workspace, ivan, made_of(small, item)[-1].id)
    assert item in asked_of(small, ann)


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


def test_a_decision_on_a_class_that_was_split_is_no_known_answer_and_is_decided_anew(small: SmallProject, ivan: int):
    item, (cat, dog) = small.items[0], small.classes
    stale = decided_by(small, ivan, item, dog, gold=True)
    split_class(small.workspace, small.owner, dog, ["poodle", "beagle"])
    with pytest.raises(Invalid, match=r"decide on it first\.$"):
        make_gold(small.workspace, small.owner, small.id, [item])
    anew = decided(small, item, cat, seen=None)  # it counts for nothing: nobody is overwritten
    assert anew.status == "saved"
    assert made_of(small, item)[-1].supersedes == stale.event_id
    restore_class(small.workspace, small.owner, dog)
    assert label_of(small, item) == (cat, Source.ADJUDICATED, 0)
    answers.undo(small.workspace, small.owner, anew.event_id)
    assert label_of(small, item) == (dog, Source.ADJUDICATED, 0)


def test_many_decisions_are_saved_in_short_transactions(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(adjudication, "TOGETHER", 2)
    monkeypatch.setattr(adjudication, "PAUSE", 0.0)
    asked = [Decision(event_id=new_event(), item_id=item, class_id=small.classes[0]) for item in small.items[:5]]
    twice = [*asked, asked[0].model_copy(update={"event_id": asked[4].event_id}), asked[0]]
    commits: list[object] = []
    event.listen(small.workspace.engine, "commit", commits.append)
    outcomes = decide(small.workspace, small.owner, small.id, twice)
    assert [outcome.status for outcome in outcomes] == [*["saved"] * 5, "repeated", "repeated"]
    assert len(commits) == 4
    assert [label_of(small, item) for item in small.items[:5]] == [(small.classes[0], Source.ADJUDICATED, 0)] * 5


def test_two_decisions_on_one_item_that_come_together_are_taken_in_their_order(small: SmallProject):
    item, (cat, dog) = small.items[0], small.classes
    both = [Decision(event_id=new_event(), item_id=item, class_id=each, gold=True) for each in (cat, dog)]
    assert [each.status for each in decide(small.workspace, small.owner, small.id, both)] == ["saved", "saved"]
    assert label_of(small, item) == (dog, Source.ADJUDICATED, 0)
    assert made_of(small, item)[-1].supersedes == both[0].event_id


def test_gold_costs_as_many_statements_for_many_items_as_for_few(small: SmallProject):
    items = small.add_items(60)
    decide(
        small.workspace, small.owner, small.id,
        [Decision(event_id=new_event(), item_id=item, class_id=small.classes[0]) for item in items],
    )  # fmt: skip
    make_gold(small.workspace, small.owner, small.id, items[:1])  # from now on the job that this asks for waits
    statements: list[str] = []
    event.listen(small.workspace.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    counts = []
    for some in (items[1:3], items[1:]):
        statements.clear()
        make_gold(small.workspace, small.owner, small.id, some)
        counts.append(len(statements))
        make_gold(small.workspace, small.owner, small.id, some, gold=False)
    assert counts[0] == counts[1]
    with pytest.raises(NotFound, match="no item 999999"):
        make_gold(small.workspace, small.owner, small.id, [*items, 999_999])
    assert not item_of(small, items[1]).gold


def test_who_is_no_expert_any_more_takes_no_decision_back(small: SmallProject):
    eve = small.people[0]
    give_role(small, eve, Role.EXPERT)
    made = decided(small, small.items[0], small.classes[1], actor_id=eve)
    give_role(small, eve, Role.ANNOTATOR)
    with pytest.raises(NotAllowed):
        answers.undo(small.workspace, eve, made.event_id)
