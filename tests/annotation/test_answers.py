"""Answers: saved exactly once, corrected and withdrawn without ever being changed."""

import threading

import pytest
from pydantic import ValidationError
from sqlmodel import select

from labeling import jobs
from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Item, JobKind, Label, LabelClass, Membership, Source, Verdict
from labeling.errors import NotFound
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user, answer_to, new_event


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace)


def label_of(small: SmallProject, item: int) -> tuple[int, float, Source, int] | None:
    with reading(small.workspace.engine) as session:
        found = session.get(Label, item)
        return (found.class_id, found.confidence, found.source, found.answers) if found else None


def stored(small: SmallProject) -> list[Annotation]:
    with reading(small.workspace.engine) as session:
        return list(session.exec(select(Annotation).order_by(Annotation.seq)).all())


def submit_one(small: SmallProject, actor: int, answer: Answer, **options: float) -> tuple[str, str]:
    (outcome,) = answers.submit(small.workspace, actor, [answer], **options)
    assert outcome.event_id == answer.event_id
    return outcome.status, outcome.why


def test_a_saved_answer_is_the_items_label_at_once(small: SmallProject):
    item = small.items[0]
    small.answer(small.people[0], item, small.classes[1])
    assert label_of(small, item) == (small.classes[1], 1.0, Source.SINGLE, 1)


def test_an_answer_keeps_everything_that_came_with_it(small: SmallProject):
    claim = small.lease(small.people[0], small.items[0])
    given = answer_to(claim, small.classes[1], seconds=1.5, note="blurred \N{CAT}", flagged=True)
    assert submit_one(small, small.people[0], given, now=claim.expires - 1) == ("saved", "")
    (saved,) = stored(small)
    assert (saved.id, saved.user_id, saved.item_id) == (given.event_id, small.people[0], small.items[0])
    assert (saved.verdict, saved.class_id, saved.seconds) == (Verdict.LABEL, small.classes[1], 1.5)
    assert (saved.note, saved.flagged, saved.assignment_id) == ("blurred \N{CAT}", True, claim.assignment_id)
    assert saved.created == claim.expires - 1


def test_repeating_an_event_returns_repeated_and_changes_nothing(small: SmallProject):
    claim = small.lease(small.people[0], small.items[0])
    given = answer_to(claim, small.classes[0])
    assert submit_one(small, small.people[0], given) == ("saved", "")
    other = given.model_copy(update={"class_id": small.classes[1]})
    assert submit_one(small, small.people[0], other) == ("repeated", "")
    assert [a.class_id for a in stored(small)] == [small.classes[0]]


def test_an_event_twice_in_one_batch_is_saved_once(small: SmallProject):
    given = answer_to(small.lease(small.people[0], small.items[0]), small.classes[0])
    outcomes = answers.submit(small.workspace, small.people[0], [given, given])
    assert [o.status for o in outcomes] == ["saved", "repeated"]


def test_one_event_sent_by_many_threads_at_once_is_saved_exactly_once(small: SmallProject):
    claims = queue.claim(small.workspace, small.people[0], small.id, 6)
    given = [answer_to(claim, small.classes[0]) for claim in claims]
    start = threading.Barrier(8)
    statuses: list[str] = []

    def send() -> None:
        start.wait()
        statuses.extend(o.status for o in answers.submit(small.workspace, small.people[0], given))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == ["repeated"] * 42 + ["saved"] * 6
    assert len(stored(small)) == 6


def test_somebody_elses_event_id_is_refused_and_tells_nothing(small: SmallProject):
    ann, bob = small.people
    event = small.answer(ann, small.items[0])
    status, why = submit_one(small, bob, answer_to(small.lease(bob, small.items[1]), small.classes[0], event_id=event))
    assert status == "refused" and "somebody else" in why
    assert len(stored(small)) == 1


@pytest.mark.parametrize("verdict", ["skip", "unsure"])
def test_a_skipped_or_unsure_item_has_no_label_and_is_asked_of_others_only(small: SmallProject, verdict: str):
    ann, bob = small.people
    item = small.items[0]
    small.answer(ann, item, verdict=verdict)
    assert label_of(small, item) is None
    assert item not in [c.item.id for c in queue.claim(small.workspace, ann, small.id, 200)]
    queue.release(small.workspace, ann, small.id, range(1, 100))
    assert item in [c.item.id for c in queue.claim(small.workspace, bob, small.id, 200)]


def test_a_skip_carries_no_class_whatever_was_sent(small: SmallProject):
    claim = small.lease(small.people[0], small.items[0])
    given = answer_to(claim, verdict="skip").model_copy(update={"class_id": small.classes[0]})
    assert submit_one(small, small.people[0], given)[0] == "saved"
    assert [a.class_id for a in stored(small)] == [None]


@pytest.mark.parametrize("change", [{"token": "guess"}, {"token": ""}, {"assignment_id": None}, {"assignment_id": 999}])
def test_an_answer_without_the_leases_token_is_refused(small: SmallProject, change: dict[str, object]):
    given = answer_to(small.lease(small.people[0], small.items[0]), small.classes[0])
    status, why = submit_one(small, small.people[0], given.model_copy(update=change))
    assert status == "refused" and "not leased to you" in why
    assert stored(small) == []


def test_another_persons_lease_does_not_admit_an_answer(small: SmallProject):
    ann, bob = small.people
    given = answer_to(small.lease(ann, small.items[0]), small.classes[0])
    assert submit_one(small, bob, given)[0] == "refused"
    assert submit_one(small, ann, given)[0] == "saved"


def test_an_answer_refused_for_its_class_leaves_the_lease_to_be_answered_properly(small: SmallProject):
    other = SmallProject.make(small.workspace, name="vehicles", items=1)
    claim = small.lease(small.people[0], small.items[0])
    assert submit_one(small, small.people[0], answer_to(claim, other.classes[0]))[0] == "refused"
    assert claim.assignment_id in queue.renew(small.workspace, small.people[0], small.id)[0]
    assert submit_one(small, small.people[0], answer_to(claim, small.classes[0])) == ("saved", "")


def test_a_retired_class_is_refused_by_its_name(small: SmallProject):
    with writing(small.workspace.engine) as session:
        session.get_one(LabelClass, small.classes[1]).retired = True
    claim = small.lease(small.people[0], small.items[0])
    status, why = submit_one(small, small.people[0], answer_to(claim, small.classes[1]))
    assert status == "refused" and "“dog”" in why


def test_one_refused_answer_does_not_hold_up_the_others_of_its_batch(small: SmallProject):
    first, second = queue.claim(small.workspace, small.people[0], small.id, 2)
    given = [
        answer_to(first, small.classes[0]),
        answer_to(first, small.classes[0]),
        answer_to(second, small.classes[1]),
    ]
    outcomes = answers.submit(small.workspace, small.people[0], given)
    assert [o.status for o in outcomes] == ["saved", "refused", "saved"]
    assert len(stored(small)) == 2


def test_a_late_answer_is_taken_while_nobody_else_has_the_item(small: SmallProject):
    claim = small.lease(small.people[0], small.items[0])
    late = claim.expires + 1000
    assert submit_one(small, small.people[0], answer_to(claim, small.classes[0]), now=late) == ("saved", "")


def test_a_late_answer_is_refused_once_the_item_is_somebody_elses(small: SmallProject):
    ann, bob = small.people
    claim = small.lease(ann, small.items[0])
    small.lease(bob, small.items[0], now=claim.expires + 1)
    status, why = submit_one(small, ann, answer_to(claim, small.classes[0]), now=claim.expires + 2)
    assert status == "refused" and "ran out" in why


def test_a_correction_stands_in_place_of_the_answer_it_corrects(small: SmallProject):
    ann, item = small.people[0], small.items[0]
    event = small.answer(ann, item, small.classes[0])
    better = Answer(event_id=new_event(), supersedes=event, verdict="label", class_id=small.classes[1])
    assert submit_one(small, ann, better) == ("saved", "")
    assert label_of(small, item) == (small.classes[1], 1.0, Source.SINGLE, 1)
    first, second = stored(small)
    assert (first.id, first.class_id, first.supersedes) == (event, small.classes[0], None)  # as it was given
    assert (second.supersedes, second.assignment_id) == (event, first.assignment_id)


def test_an_answer_is_corrected_once_and_then_its_correction(small: SmallProject):
    ann = small.people[0]
    event = small.answer(ann, small.items[0])
    first = Answer(event_id=new_event(), supersedes=event, verdict="unsure")
    again = Answer(event_id=new_event(), supersedes=event, verdict="skip")
    assert submit_one(small, ann, first)[0] == "saved"
    assert submit_one(small, ann, again)[0] == "refused"
    assert submit_one(small, ann, again.model_copy(update={"supersedes": first.event_id}))[0] == "saved"
    assert label_of(small, small.items[0]) is None


def test_nobody_corrects_or_undoes_another_persons_answer(small: SmallProject):
    ann, bob = small.people
    event = small.answer(ann, small.items[0])
    theft = Answer(event_id=new_event(), supersedes=event, verdict="label", class_id=small.classes[1])
    assert submit_one(small, bob, theft)[0] == "refused"
    with pytest.raises(NotFound):
        answers.undo(small.workspace, bob, event)
    assert len(stored(small)) == 1


def test_a_skip_becomes_a_label_only_while_the_item_has_room(small: SmallProject):
    ann, bob = small.people
    skipped = small.answer(ann, small.items[0], verdict="skip")
    small.answer(bob, small.items[0])
    late = Answer(event_id=new_event(), supersedes=skipped, verdict="label", class_id=small.classes[1])
    assert submit_one(small, ann, late)[0] == "refused"
    assert label_of(small, small.items[0]) == (small.classes[0], 1.0, Source.SINGLE, 1)


def test_undo_withdraws_the_answer_and_puts_the_item_before_the_person_again(small: SmallProject):
    ann, item = small.people[0], small.items[0]
    event = small.answer(ann, item)
    undone = answers.undo(small.workspace, ann, event, client="tab")
    assert undone.status == "undone" and undone.claim is not None and undone.claim.item.id == item
    assert label_of(small, item) is None
    assert submit_one(small, ann, answer_to(undone.claim, small.classes[1])) == ("saved", "")
    assert [a.verdict for a in stored(small)] == [Verdict.LABEL, Verdict.UNDO, Verdict.LABEL]


def test_a_repeated_undo_returns_the_same_lease_and_withdraws_nothing_else(small: SmallProject):
    ann = small.people[0]
    event, undo_id = small.answer(ann, small.items[0]), new_event()
    first = answers.undo(small.workspace, ann, event, undo_id=undo_id)
    again = answers.undo(small.workspace, ann, event, undo_id=undo_id)
    other = answers.undo(small.workspace, ann, event, undo_id=new_event())
    assert (first.status, again.status, other.status) == ("undone", "repeated", "refused")
    assert first.claim is not None and again.claim is not None and other.claim is None
    assert (again.claim.assignment_id, again.claim.token) == (first.claim.assignment_id, first.claim.token)
    assert len(stored(small)) == 2


def test_the_lease_of_an_undone_answer_admits_no_second_one(small: SmallProject):
    ann = small.people[0]
    claim = small.lease(ann, small.items[0])
    given = answer_to(claim, small.classes[0])
    submit_one(small, ann, given)
    answers.undo(small.workspace, ann, given.event_id)
    status, why = submit_one(small, ann, answer_to(claim, small.classes[0]))
    assert status == "refused" and "undone" in why


def test_an_undo_id_that_is_taken_is_refused_in_a_sentence(small: SmallProject):
    ann = small.people[0]
    first, second = small.answer(ann, small.items[0]), small.answer(ann, small.items[1])
    undone = answers.undo(small.workspace, ann, second, undo_id=first)
    assert (undone.status, undone.claim) == ("refused", None) and undone.why
    assert len(stored(small)) == 2


def test_an_undo_id_sent_as_an_answer_is_not_reported_as_saved_before(small: SmallProject):
    ann, undo_id = small.people[0], new_event()
    answers.undo(small.workspace, ann, small.answer(ann, small.items[0]), undo_id=undo_id)
    given = answer_to(small.lease(ann, small.items[1]), small.classes[0], event_id=undo_id)
    assert submit_one(small, ann, given)[0] == "refused"


def test_undoing_a_skip_of_an_item_that_others_have_filled_gives_no_lease(small: SmallProject):
    ann, bob = small.people
    skipped = small.answer(ann, small.items[0], verdict="skip")
    small.answer(bob, small.items[0])
    undone = answers.undo(small.workspace, ann, skipped)
    assert (undone.status, undone.claim) == ("undone", None) and "Somebody else" in undone.why


def test_an_undo_of_an_undo_is_no_answer_of_ones_own(small: SmallProject):
    ann, undo_id = small.people[0], new_event()
    answers.undo(small.workspace, ann, small.answer(ann, small.items[0]), undo_id=undo_id)
    with pytest.raises(NotFound):
        answers.undo(small.workspace, ann, undo_id)


@pytest.mark.parametrize("event", ["", "nobody's", "'; drop table annotation; --"])
def test_an_event_id_that_nobody_sent_finds_no_answer(small: SmallProject, event: str):
    with pytest.raises(NotFound):
        answers.undo(small.workspace, small.people[0], event)


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_id": ""}, {"event_id": "a b"}, {"event_id": "x" * 65}, {"verdict": "undo"}, {"verdict": "yes"},
        {"seconds": -1}, {"seconds": float("nan")}, {"note": "x" * 10_001}, {"supersedes": "no id"},
    ],
)  # fmt: skip
def test_an_answer_that_makes_no_sense_is_not_an_answer(wrong: dict[str, object]):
    with pytest.raises(ValidationError):
        Answer(**{"event_id": new_event(), "verdict": "skip", **wrong})


def test_most_votes_win_and_level_votes_are_no_label(workspace: Workspace):
    small = SmallProject.make(workspace, people=3, items=1, overlap=3)
    item, (cat, dog) = small.items[0], small.classes
    small.answer(small.people[0], item, cat)
    assert label_of(small, item) == (cat, 1.0, Source.SINGLE, 1)
    event = small.answer(small.people[1], item, dog)
    assert label_of(small, item) is None
    small.answer(small.people[2], item, dog)
    assert label_of(small, item) == (dog, 2 / 3, Source.CONSENSUS, 3)
    answers.undo(workspace, small.people[1], event)
    assert label_of(small, item) is None


def test_votes_for_a_merged_class_count_for_the_one_it_went_into(workspace: Workspace):
    small = SmallProject.make(workspace, people=2, items=1, overlap=2, classes=("cat", "kitten"))
    cat, kitten = small.classes
    with writing(workspace.engine) as session:
        session.get_one(LabelClass, kitten).merged_into = cat
    small.answer(small.people[0], small.items[0], cat)
    small.answer(small.people[1], small.items[0], kitten)
    assert label_of(small, small.items[0]) == (cat, 1.0, Source.CONSENSUS, 2)
    assert [a.class_id for a in stored(small)] == [cat, kitten]  # as they were given


def test_an_answer_of_somebody_who_left_the_project_is_refused(small: SmallProject):
    ann = small.people[0]
    claim, event = small.lease(ann, small.items[0]), small.answer(ann, small.items[1])
    with writing(small.workspace.engine) as session:
        session.delete(session.get_one(Membership, (small.id, ann)))
    correction = Answer(event_id=new_event(), supersedes=event, verdict="skip")
    given = [answer_to(claim, small.classes[0]), correction]
    assert [o.status for o in answers.submit(small.workspace, ann, given)] == ["refused", "refused"]
    with pytest.raises(NotFound):
        answers.undo(small.workspace, ann, event)


def test_a_strangers_token_and_assignment_open_nothing(small: SmallProject):
    stranger = add_user(small.workspace, "mallory")
    claim = small.lease(small.people[0], small.items[0])
    assert submit_one(small, stranger, answer_to(claim, small.classes[0]))[0] == "refused"


def test_ten_answers_ask_for_one_training(small: SmallProject):
    for item in small.items:
        small.answer(small.people[0], item)
    with reading(small.workspace.engine) as session:
        waiting = jobs.unfinished(session, small.id)
    assert [job.kind for job in waiting] == [JobKind.TRAIN]


def test_the_count_of_an_items_answers_is_that_of_its_standing_labels(workspace: Workspace):
    small = SmallProject.make(workspace, people=3, overlap=3)
    ann, bob, cleo = small.people
    item = small.items[0]
    event = small.answer(ann, item)
    small.answer(bob, item, verdict="skip")
    small.answer(cleo, item, small.classes[1])
    answers.undo(workspace, ann, event)
    with reading(workspace.engine) as session:
        assert session.get_one(Item, item).answers == 1
