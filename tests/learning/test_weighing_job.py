"""Weighing all answers: labels, doubts, who is relied on, and what is asked again follow from them."""

import numpy as np
import pytest
from sqlmodel import col, select

from labeling import jobs
from labeling.annotation import answers, queue
from labeling.annotation.adjudication import Decision, decide
from labeling.annotation.merging import merge_class
from labeling.db.engine import reading, writing
from labeling.db.schema import (
    Doubt,
    Event,
    Item,
    Job,
    JobKind,
    JobState,
    Label,
    Membership,
    Method,
    Reason,
    Reliability,
    Role,
    Source,
)
from labeling.learning.head import LinearHead
from labeling.learning.people_records import read_records
from labeling.learning.training import learn
from labeling.learning.versions import live_model
from labeling.learning.weighing_job import run_weighing
from labeling.projects import update_settings
from labeling.users import grant
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, answer_to, new_event

ITEMS = 60


def weigh(small: SmallProject) -> Job:
    """Run one weighing in this process."""
    with writing(small.workspace.engine) as session:
        jobs.request(session, small.id, JobKind.WEIGH)
    job = jobs.take(small.workspace, "worker", project_id=small.id, kinds={JobKind.WEIGH})
    assert job is not None and job.id is not None
    run_weighing(small.workspace, job)
    ended = jobs.read(small.workspace, job.id)
    assert (ended.state, ended.error) == (JobState.DONE, "")
    return ended


def give(small: SmallProject, person: int, chosen: dict[int, int]) -> None:
    """Answer these items, each with the class of this index."""
    claims = {c.item.id: c for c in queue.claim(small.workspace, person, small.id, 200)}
    sent = [answer_to(claims[item], small.classes[index]) for item, index in chosen.items()]
    outcomes = answers.submit(small.workspace, person, sent)
    assert {o.status for o in outcomes} == {"saved"}
    left = [c.assignment_id for item, c in claims.items() if item not in chosen]
    queue.release(small.workspace, person, small.id, left)


def stored(small: SmallProject) -> dict[int, Label]:
    with reading(small.workspace.engine) as session:
        return {label.item_id: label for label in session.exec(select(Label)).all()}


def doubts(small: SmallProject) -> dict[int, Doubt]:
    with reading(small.workspace.engine) as session:
        return {one.item_id: one for one in session.exec(select(Doubt)).all()}


@pytest.fixture
def crowd(workspace: Workspace) -> SmallProject:
    """Two who are right, and one who answers at random; each item has all three answers. The truth alternates."""
    small = SmallProject.make(workspace, items=ITEMS, people=3, classes=("cat", "dog", "cow"), overlap=3)
    rng = np.random.default_rng(0)
    truth = [row % 3 for row in range(ITEMS)]
    for person in range(3):
        said = truth if person < 2 else rng.integers(0, 3, ITEMS).tolist()
        give(small, small.people[person], dict(zip(small.items, said, strict=True)))
    return small


def test_labels_carry_how_sure_they_are_and_how_they_came_about(crowd: SmallProject):
    before = stored(crowd)
    assert {label.method for label in before.values()} == {Method.MAJORITY}
    weigh(crowd)
    after = stored(crowd)
    assert [after[i].class_id for i in crowd.items] == [crowd.classes[row % 3] for row in range(ITEMS)]
    assert {label.method for label in after.values()} == {Method.DIFFICULTY}
    assert {label.source for label in after.values()} == {Source.CONSENSUS}
    assert all(label.confidence > 0.9 and label.distribution for label in after.values())


def test_no_label_is_doubted_for_the_class_that_it_has(crowd: SmallProject):
    for _ in range(2):
        weigh(crowd)
        labels = stored(crowd)
        assert all(one.class_id != labels[item].class_id for item, one in doubts(crowd).items() if item in labels)


def test_people_are_relied_on_as_far_as_they_are_right(crowd: SmallProject):
    weigh(crowd)
    found = {one.user_id: one for one in read_records(crowd.workspace, crowd.owner, crowd.id).people}
    right, also, random = (found[person].accuracy for person in crowd.people)
    assert min(right, also) > 0.9 and random < 0.6
    assert [found[person].answers for person in crowd.people] == [ITEMS] * 3


def test_a_tie_is_broken_where_one_is_relied_on_and_the_other_is_not(crowd: SmallProject):
    items = crowd.add_items(2)
    update_settings(crowd.workspace, crowd.owner, crowd.id, {"overlap": 2})
    for person, index in ((0, 0), (2, 1)):
        give(crowd, crowd.people[person], dict.fromkeys(items, index))
    assert not set(items) & set(stored(crowd))
    weigh(crowd)
    label = stored(crowd)[items[0]]
    assert (label.class_id, label.source, label.answers) == (crowd.classes[0], Source.CONSENSUS, 2)


def test_what_cannot_be_told_gets_no_label_though_one_is_relied_on_and_the_other_is_not(crowd: SmallProject):
    (item,) = crowd.add_items(1)
    update_settings(crowd.workspace, crowd.owner, crowd.id, {"overlap": 2})
    for person, index in ((0, 0), (2, 1)):
        give(crowd, crowd.people[person], {item: index})
    made = Decision(event_id=new_event(), item_id=item, verdict="unsure")
    decide(crowd.workspace, crowd.owner, crowd.id, [made])
    weigh(crowd)
    assert item not in stored(crowd) and item not in doubts(crowd)


def test_what_an_expert_decided_stays_and_teaches_whom_to_rely_on(crowd: SmallProject):
    made = Decision(event_id=new_event(), item_id=crowd.items[0], class_id=crowd.classes[2])
    decide(crowd.workspace, crowd.owner, crowd.id, [made])
    weigh(crowd)
    label = stored(crowd)[crowd.items[0]]
    assert (label.class_id, label.confidence, label.source) == (crowd.classes[2], 1.0, Source.ADJUDICATED)
    assert crowd.items[0] not in doubts(crowd)


def test_who_is_set_aside_counts_for_nothing(crowd: SmallProject):
    with writing(crowd.workspace.engine) as session:
        session.get_one(Membership, (crowd.id, crowd.people[0])).set_aside = 1.0
    weigh(crowd)
    assert {one.user_id for one in read_records(crowd.workspace, crowd.owner, crowd.id).people} == {*crowd.people[1:]}


def test_by_need_another_opinion_is_asked_where_people_disagree_and_not_elsewhere(workspace: Workspace):
    small = SmallProject.make(
        workspace, items=ITEMS, people=3, classes=("cat", "dog", "cow"), overlap=3, opinions="by_need"
    )
    truth = dict(zip(small.items, [row % 3 for row in range(ITEMS)], strict=True))
    give(small, small.people[0], truth)
    assert queue.count_remaining(workspace, small.people[1], small.id) == 0
    weigh(small)  # nobody else answered: one person's word is not enough for 0.95
    with reading(workspace.engine) as session:
        wanted = set(session.exec(select(Item.wanted)).all())
    assert wanted == {2}
    give(small, small.people[1], {**truth, **{i: (truth[i] + 1) % 3 for i in small.items[:5]}})
    weigh(small)
    with reading(workspace.engine) as session:
        asked = set(session.exec(select(Item.id).where(col(Item.wanted) == 3)).all())
    assert set(small.items[:5]) <= asked and len(asked) < 20
    claims = queue.claim(workspace, small.people[2], small.id, 10)
    assert {c.reason for c in claims} == {Reason.OVERLAP}
    assert {c.item.id for c in claims} <= asked


def test_the_ranking_says_why_another_opinion_is_asked(workspace: Workspace):
    small = SmallProject.make(
        workspace, items=ITEMS, people=3, classes=("cat", "dog"), overlap=3, opinions="by_need", strategy="margin"
    )
    rows = np.eye(2, dtype=np.float32)[[row % 2 for row in range(ITEMS)]]
    small.add_features(rows + np.random.default_rng(0).normal(0, 0.1, rows.shape).astype(np.float32))
    chosen = {item: row % 2 for row, item in enumerate(small.items)}
    some = dict(list(chosen.items())[:40])
    give(small, small.people[0], some)
    second = dict(list(chosen.items())[:30])
    with writing(workspace.engine) as session:  # the second is asked the same
        for item_id in second:
            session.get_one(Item, item_id).wanted = 2
    give(small, small.people[1], {**second, small.items[0]: 1})
    small.learn()
    weigh(small)
    small.learn()
    claims = queue.claim(workspace, small.people[2], small.id, 3)
    (again,) = (c for c in claims if c.item.id == small.items[0])
    assert (again.reason, again.why) == (Reason.OVERLAP, "another opinion: people disagree")
    assert claims[0].item.id == small.items[0]  # the model is sure of what is left


def test_a_label_that_everything_speaks_against_is_doubted(workspace: Workspace):
    small = SmallProject.make(workspace, items=ITEMS, people=1, classes=("cat", "dog"), strategy="margin")
    rows = np.eye(2, dtype=np.float32)[[row % 2 for row in range(ITEMS)]] * 3
    small.add_features(rows + np.random.default_rng(0).normal(0, 0.1, rows.shape).astype(np.float32))
    wrong = small.items[7]
    give(small, small.people[0], {item: row % 2 if item != wrong else 0 for row, item in enumerate(small.items)})
    small.learn()
    weigh(small)
    found = doubts(small)
    gravest = max(found.values(), key=lambda one: one.score)
    assert (gravest.item_id, gravest.class_id) == (wrong, small.classes[1])
    assert {item for item, one in found.items() if one.objects} == {wrong}
    assert "“dog”" in gravest.why


def test_a_careless_person_is_flagged_by_gold_items_and_the_log_says_so(workspace: Workspace):
    small = SmallProject.make(workspace, items=ITEMS, people=4, classes=("a", "b", "c", "d"), gold_share=0.5)
    with writing(workspace.engine) as session:
        grant(session, small.id, small.owner, Role.OWNER)
    golden = small.items[:45]
    made = [
        Decision(event_id=new_event(), item_id=item, class_id=small.classes[row % 4], gold=True)
        for row, item in enumerate(golden)
    ]
    assert {d.status for d in decide(workspace, small.owner, small.id, made)} == {"saved"}
    rng = np.random.default_rng(1)
    for at, person in enumerate(small.people):
        seen = 0
        while seen < 45:
            claims = queue.claim(workspace, person, small.id, 10)
            assert {c.reason for c in claims} <= {Reason.STRATEGY, Reason.OVERLAP}
            sent, plain = [], []
            for claim in claims:
                if claim.item.id in golden:
                    row = golden.index(claim.item.id)
                    careless = at == 3 and rng.random() < 0.7
                    sent.append(answer_to(claim, small.classes[rng.integers(4) if careless else row % 4]))
                else:
                    plain.append(claim.assignment_id)
            answers.submit(workspace, person, sent)
            queue.release(workspace, person, small.id, plain)
            seen += len(sent)
    weigh(small)
    found = read_records(workspace, small.owner, small.id)
    assert [one.user_id for one in found.people if one.flagged] == [small.people[3]]
    assert found.gold_items == 45 and found.people[0].gold is not None and found.people[0].gold["answered"] == 45
    with reading(workspace.engine) as session:
        told = session.exec(select(Event).where(Event.kind == "person flagged")).all()
        assert len(session.exec(select(Reliability)).all()) == 4
    assert [event.detail["user"] for event in told] == [small.people[3]]
    weigh(small)
    with reading(workspace.engine) as session:
        assert len(session.exec(select(Event).where(Event.kind == "person flagged")).all()) == 1


def test_an_answer_given_meanwhile_is_not_overwritten(crowd: SmallProject, monkeypatch: pytest.MonkeyPatch):
    from labeling.learning import weighing_job

    read = weighing_job.gather

    def and_then_somebody_answers(workspace: Workspace, project_id: int):
        found = read(workspace, project_id)
        made = Decision(event_id=new_event(), item_id=crowd.items[0], class_id=crowd.classes[1])
        decide(workspace, crowd.owner, project_id, [made])
        return found

    monkeypatch.setattr(weighing_job, "gather", and_then_somebody_answers)
    weigh(crowd)
    assert stored(crowd)[crowd.items[0]].source is Source.ADJUDICATED
    assert stored(crowd)[crowd.items[1]].method is Method.DIFFICULTY


def test_a_class_that_was_merged_meanwhile_gets_no_label_and_all_is_weighed_again(
    crowd: SmallProject, monkeypatch: pytest.MonkeyPatch
):
    from labeling.learning import weighing_job

    read = weighing_job.gather

    def and_then_classes_change(workspace: Workspace, project_id: int):
        found = read(workspace, project_id)
        monkeypatch.undo()
        merge_class(workspace, crowd.owner, crowd.classes[1], crowd.classes[0])
        return found

    monkeypatch.setattr(weighing_job, "gather", and_then_classes_change)
    weigh(crowd)
    assert crowd.classes[1] not in {label.class_id for label in stored(crowd).values()}
    assert waiting_jobs(crowd) >= {JobKind.WEIGH}


def waiting_jobs(small: SmallProject) -> set[JobKind]:
    with reading(small.workspace.engine) as session:
        return set(session.exec(select(Job.kind).where(Job.state == JobState.QUEUED)).all())


def work_off(small: SmallProject, most: int = 12) -> int:
    """Run whatever waits and what follows from it; returns how many jobs that were."""
    for count in range(most):
        job = jobs.take(small.workspace, "worker", project_id=small.id, kinds={JobKind.TRAIN, JobKind.WEIGH})
        if job is None:
            return count
        (learn if job.kind is JobKind.TRAIN else run_weighing)(small.workspace, job)
    return most


def test_the_worker_comes_to_rest_after_an_undo_and_the_weighed_label_is_back(crowd: SmallProject):
    crowd.add_features(np.eye(3, dtype=np.float32)[[row % 3 for row in range(ITEMS)]])
    update_settings(crowd.workspace, crowd.owner, crowd.id, {"overlap": 2})
    (item,) = crowd.add_items(1)
    for person, index in ((0, 0), (2, 1)):
        give(crowd, crowd.people[person], {item: index})
    assert work_off(crowd) < 12
    before = stored(crowd)[item]
    made = Decision(event_id=new_event(), item_id=item, class_id=crowd.classes[2])
    decide(crowd.workspace, crowd.owner, crowd.id, [made])
    answers.undo(crowd.workspace, crowd.owner, made.event_id)
    assert work_off(crowd) < 12
    after = stored(crowd)[item]
    assert (after.class_id, after.method) == (before.class_id, Method.DIFFICULTY)


def test_merging_classes_weighs_the_answers_anew(crowd: SmallProject):
    crowd.add_features(np.eye(3, dtype=np.float32)[[row % 3 for row in range(ITEMS)]])
    crowd.learn()
    work_off(crowd)
    merge_class(crowd.workspace, crowd.owner, crowd.classes[2], crowd.classes[1])
    assert {label.method for label in stored(crowd).values()} == {Method.DIFFICULTY, Method.MAJORITY}
    work_off(crowd)
    assert {label.method for label in stored(crowd).values()} == {Method.DIFFICULTY}


def test_two_people_alone_are_not_told_apart(workspace: Workspace):
    small = SmallProject.make(workspace, items=ITEMS, people=2, classes=("cat", "dog", "cow"), overlap=2)
    truth = {item: row % 3 for row, item in enumerate(small.items)}
    give(small, small.people[0], truth)
    give(
        small, small.people[1], {item: (index + (row % 4 == 0)) % 3 for row, (item, index) in enumerate(truth.items())}
    )
    weigh(small)
    labels = stored(small)
    assert set(labels) == {item for row, item in enumerate(small.items) if row % 4}
    assert {label.method for label in labels.values()} == {Method.MAJORITY}


def test_where_everybody_is_set_aside_nothing_is_doubted_and_why_they_were_stays(crowd: SmallProject):
    weigh(crowd)
    known = {one.user_id for one in read_records(crowd.workspace, crowd.owner, crowd.id).people}
    with writing(crowd.workspace.engine) as session:
        session.add(Doubt(item_id=crowd.items[0], project_id=crowd.id, score=0.9, class_id=crowd.classes[1]))
        for person in crowd.people:
            session.get_one(Membership, (crowd.id, person)).set_aside = 1.0
    weigh(crowd)
    assert not doubts(crowd)
    assert {one.user_id for one in read_records(crowd.workspace, crowd.owner, crowd.id).people} == known


def test_agreement_with_others_leaves_ones_own_answer_out(workspace: Workspace):
    small = SmallProject.make(workspace, items=4, people=3, overlap=3)
    cat, dog = 0, 1
    for person, said in enumerate(([cat, cat, dog, cat], [cat, dog, dog, dog], [cat, dog, cat, dog])):
        give(small, small.people[person], dict(zip(small.items, said, strict=True)))
    weigh(small)
    found = {one.user_id: one.agreement for one in read_records(workspace, small.owner, small.id).people}
    # The first meets two who agree on items 0, 1 and 3, and is with them on the first of these.
    assert found[small.people[0]] == pytest.approx(1 / 3)
    assert found[small.people[1]] == pytest.approx(1.0)  # the others agree on item 0 alone


def test_the_model_may_learn_from_how_likely_each_class_is(crowd: SmallProject):
    rows = np.eye(3, dtype=np.float32)[[row % 3 for row in range(ITEMS)]]
    crowd.add_features(rows + np.random.default_rng(0).normal(0, 0.3, rows.shape).astype(np.float32))
    weigh(crowd)
    with writing(crowd.workspace.engine) as session:
        a, b = (str(c) for c in crowd.classes[:2])
        for item_id in crowd.items[::3]:  # all of the first class may as well be the second
            session.get_one(Label, item_id).distribution = {a: 0.55, b: 0.45}
    confidence = {}
    for soft in (False, True):
        update_settings(crowd.workspace, crowd.owner, crowd.id, {"soft_labels": soft, "head": "logistic"})
        crowd.learn()
        live = live_model(crowd.workspace, crowd.id)
        assert live is not None and live.path is not None
        head = LinearHead.load(crowd.workspace.head(live.path))
        confidence[soft] = head.predict_proba(rows[:1])[0]
    assert confidence[False][0] > 0.85
    assert confidence[True][0] == pytest.approx(0.55, abs=0.1) and confidence[True][1] == pytest.approx(0.45, abs=0.1)
