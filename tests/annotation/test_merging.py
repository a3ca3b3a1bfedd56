"""Merging classes and taking them apart: no answer is lost, and labels are always those that the answers give."""

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlmodel import select

from labeling import classes, jobs
from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer
from labeling.annotation.consensus import standing
from labeling.annotation.merging import merge_class, restore_class
from labeling.classes import class_changes, list_classes, retire_class, stands_for
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Item, JobKind, Label, Origin, Project, QueueEntry, Verdict
from labeling.errors import AskwiseError, Invalid, NotAllowed, NotFound
from labeling.learning.snapshot import take_snapshot
from labeling.projects import create_project
from labeling.workspace import Workspace, open_workspace
from tests.db.small_project import SmallProject, answer_to, new_event, not_waiting_for_the_disk

EXAMPLES = int(os.environ.get("ASKWISE_STATE_MACHINE_EXAMPLES", "12"))
STEPS = 20

LabelRow = tuple[int, float, str, int]


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    return SmallProject.make(workspace, classes=("cat", "kitten", "dog"), overlap=2)


def labels(small: SmallProject) -> dict[int, LabelRow]:
    """Each item's label as it is stored: class, confidence, source, answers."""
    with reading(small.workspace.engine) as session:
        stored = session.exec(select(Label).where(Label.project_id == small.id)).all()
        return {s.item_id: (s.class_id, s.confidence, s.source.value, s.answers) for s in stored}


def labels_from_scratch(small: SmallProject) -> dict[int, LabelRow]:
    """The same from the standing answers alone."""
    with reading(small.workspace.engine) as session:
        today = stands_for(classes.classes_of(session, small.id))
        counted = select(Annotation).where(
            Annotation.project_id == small.id, Annotation.verdict == Verdict.LABEL, standing()
        )
        votes: dict[int, list[int]] = defaultdict(list)
        origins: dict[int, set[Origin]] = defaultdict(set)
        for given in session.exec(counted).all():
            assert given.class_id is not None
            votes[given.item_id].append(today[given.class_id])
            origins[given.item_id].add(given.origin)
    derived = {}
    for item, chosen in votes.items():
        ranked = Counter(chosen).most_common(2)
        if len(ranked) == 1 or ranked[0][1] > ranked[1][1]:
            source = "single" if len(chosen) == 1 else "consensus"
            source = "imported" if origins[item] == {Origin.IMPORTED} else source
            derived[item] = (ranked[0][0], ranked[0][1] / len(chosen), source, len(chosen))
    return derived


def merge(small: SmallProject, one: int, into: int) -> classes.ClassDetail:
    return merge_class(small.workspace, small.owner, one, into)


def test_answers_for_a_merged_class_count_as_the_other_one(small: SmallProject):
    cat, kitten, dog = small.classes
    ada, bob = small.people
    small.answer(ada, small.items[0], kitten)  # alone
    small.answer(ada, small.items[1], cat)  # level with each other until they are one
    small.answer(bob, small.items[1], kitten)
    small.answer(ada, small.items[2], dog)  # level, and stays so
    small.answer(bob, small.items[2], kitten)
    assert set(labels(small)) == {small.items[0]}
    merged = merge(small, kitten, cat)
    assert (merged.id, merged.labels) == (cat, 2)
    assert labels(small) == {
        small.items[0]: (cat, 1.0, "single", 1), small.items[1]: (cat, 1.0, "consensus", 2),
    }  # fmt: skip
    restore_class(small.workspace, small.owner, kitten)
    assert labels(small) == {small.items[0]: (kitten, 1.0, "single", 1)}


def test_merging_touches_no_annotation(small: SmallProject):
    small.answer(small.people[0], small.items[0], small.classes[1])

    def rows() -> list[dict[str, Any]]:
        with reading(small.workspace.engine) as session:
            return [a.model_dump() for a in session.exec(select(Annotation)).all()]

    before = rows()
    merge(small, small.classes[1], small.classes[0])
    assert rows() == before


def test_labels_that_came_with_an_import_say_so_after_a_merge(small: SmallProject):
    small.answer(small.people[0], small.items[0], small.classes[1])
    with writing(small.workspace.engine) as session:
        session.exec(select(Annotation)).one().origin = Origin.IMPORTED
    merge(small, small.classes[1], small.classes[0])
    assert labels(small)[small.items[0]][2] == "imported"


def test_an_answer_under_way_for_a_merged_class_is_taken_as_the_other_one(small: SmallProject):
    cat, kitten, _ = small.classes
    claim = small.lease(small.people[0], small.items[0])
    merge(small, kitten, cat)
    (outcome,) = answers.submit(small.workspace, small.people[0], [answer_to(claim, kitten)])
    assert outcome.status == "saved"
    assert labels(small)[small.items[0]][0] == cat


def test_a_chain_of_merges_ends_at_the_last_class_and_comes_apart_link_by_link(small: SmallProject):
    cat, kitten, dog = small.classes
    small.answer(small.people[0], small.items[0], kitten)
    merge(small, kitten, cat)
    merge(small, cat, dog)
    assert labels(small)[small.items[0]][0] == dog
    restore_class(small.workspace, small.owner, cat)
    assert labels(small)[small.items[0]][0] == cat
    restore_class(small.workspace, small.owner, kitten)
    assert labels(small)[small.items[0]][0] == kitten


def test_what_cannot_be_merged_is_told_with_the_way_out(small: SmallProject):
    cat, kitten, dog = small.classes
    merge(small, kitten, cat)
    for one, into, sentence in (
        (cat, cat, "into itself"),
        (kitten, dog, "merged into “cat” before; bring it back first"),
        (cat, kitten, "“kitten” was merged into “cat”; bring it back first"),
        (dog, kitten, "merge “dog” into that one"),
    ):
        with pytest.raises(Invalid, match=sentence):
            merge(small, one, into)
    retire_class(small.workspace, small.owner, dog)
    with pytest.raises(Invalid, match="retired; bring it back first"):
        merge(small, cat, dog)
    with pytest.raises(Invalid, match="merged into “cat” and cannot be chosen"):
        retire_class(small.workspace, small.owner, kitten)
    with pytest.raises(NotFound, match="no class 999"):
        merge(small, cat, 999)
    with pytest.raises(NotAllowed):
        merge_class(small.workspace, small.people[0], cat, dog)


def test_classes_of_two_projects_are_not_merged_by_somebody_who_owns_both(small: SmallProject):
    second = create_project(small.workspace, small.owner, "other", ["cat"])
    (theirs,) = list_classes(small.workspace, small.owner, second)
    with pytest.raises(Invalid, match="another project"):
        merge(small, small.classes[0], theirs.id)


def test_a_retired_class_can_be_merged_so_that_its_labels_are_learned(small: SmallProject):
    cat, kitten, _ = small.classes
    small.answer(small.people[0], small.items[0], kitten)
    retire_class(small.workspace, small.owner, kitten)
    assert len(take_snapshot(small.workspace, small.id, rows=6).labeled) == 0
    merge(small, kitten, cat)
    seen = take_snapshot(small.workspace, small.id, rows=6)
    assert [seen.class_ids[t] for t in seen.targets] == [cat]
    restored = restore_class(small.workspace, small.owner, kitten)
    assert (restored.retired, restored.merged_into, restored.labels) == (False, None, 1)


def test_a_class_that_comes_back_has_its_key_or_the_next_free_one(small: SmallProject):
    _, kitten, dog = small.classes
    retire_class(small.workspace, small.owner, kitten)
    assert restore_class(small.workspace, small.owner, kitten).key == "2"
    retire_class(small.workspace, small.owner, kitten)
    classes.edit_class(small.workspace, small.owner, dog, class_changes(key="2"))
    assert restore_class(small.workspace, small.owner, kitten).key == "3"


def test_the_model_learns_anew_and_suggests_the_other_class_meanwhile(workspace: Workspace):
    small = SmallProject.make(workspace, classes=("cat", "kitten"), strategy="margin")
    small.add_features(np.eye(6, dtype=np.float32))
    cat, kitten = small.classes
    for item, label in zip(small.items, (cat, kitten, kitten), strict=False):
        small.answer(small.people[0], item, label)
    small.learn()
    merge(small, kitten, cat)
    with reading(workspace.engine) as session:
        assert {e.suggestion_class_id for e in session.exec(select(QueueEntry)).all()} == {cat}
        assert [job.kind for job in jobs.unfinished(session, small.id)] == [JobKind.TRAIN]


class Changing(RuleBasedStateMachine):
    """Two people answer while their owner changes the classes."""

    def __init__(self, template: SmallProject, folder: Path) -> None:
        super().__init__()
        self.root = Path(mkdtemp(dir=folder)) / "workspace"
        shutil.copytree(template.workspace.root, self.root)
        self.small = replace(template, workspace=not_waiting_for_the_disk(open_workspace(self.root)))
        self.saved: dict[str, int] = {}  # event id -> class chosen
        self.versions = 0

    def teardown(self) -> None:
        self.small.workspace.engine.dispose()
        shutil.rmtree(self.root.parent)

    def pick(self, which: int) -> int:
        return self.ids[which % len(self.ids)]

    @property
    def ids(self) -> list[int]:
        return [c.id for c in list_classes(self.small.workspace, self.small.owner, self.small.id)]

    def attempt(self, change: Any, *given: Any) -> None:
        """Make a change that may be refused, and then is no change at all."""
        before = list_classes(self.small.workspace, self.small.owner, self.small.id)
        try:
            change(self.small.workspace, self.small.owner, *given)
        except AskwiseError:
            assert list_classes(self.small.workspace, self.small.owner, self.small.id) == before

    @rule(person=st.integers(0, 1), which=st.integers(0, 9), keep=st.booleans())
    def answer(self, person: int, which: int, keep: bool) -> None:
        user, chosen = self.small.people[person], self.pick(which)
        claims = queue.claim(self.small.workspace, user, self.small.id, 1)
        if not claims:
            return
        with reading(self.small.workspace.engine) as session:
            there = classes.classes_of(session, self.small.id)
        retired = {c.id for c in there if c.retired}
        given = Answer(
            event_id=new_event(), assignment_id=claims[0].assignment_id, token=claims[0].token, verdict="label",
            class_id=chosen,
        )  # fmt: skip
        (outcome,) = answers.submit(self.small.workspace, user, [given])
        assert outcome.status == ("refused" if stands_for(there)[chosen] in retired else "saved")
        if outcome.status == "saved":
            self.saved[given.event_id] = chosen
            if not keep:
                answers.undo(self.small.workspace, user, given.event_id)

    @rule(name=st.sampled_from(["ant", "bee", "cow", "1", "z"]))
    def add(self, name: str) -> None:
        self.attempt(classes.add_class, self.small.id, class_changes(name=name))

    @rule(
        which=st.integers(0, 9), name=st.sampled_from(["ant", "bee", "elk"]), key=st.sampled_from(["", "1", "2", "a"]),
        take=st.booleans(),
    )  # fmt: skip
    def edit(self, which: int, name: str, key: str, take: bool) -> None:
        self.attempt(classes.edit_class, self.pick(which), class_changes(name=name, key=key, take_key=take))

    @rule(which=st.lists(st.integers(0, 9), max_size=3))
    def order(self, which: list[int]) -> None:
        self.attempt(classes.order_classes, self.small.id, [self.pick(w) for w in which])

    @rule(one=st.integers(0, 9), into=st.integers(0, 9))
    def merge(self, one: int, into: int) -> None:
        self.attempt(merge_class, self.pick(one), self.pick(into))

    @rule(which=st.integers(0, 9))
    def retire(self, which: int) -> None:
        self.attempt(retire_class, self.pick(which))

    @rule(which=st.integers(0, 9))
    def restore(self, which: int) -> None:
        self.attempt(restore_class, self.pick(which))

    @invariant()
    def no_answer_is_lost(self) -> None:
        with reading(self.small.workspace.engine) as session:
            stored = {a.id: a.class_id for a in session.exec(select(Annotation)).all() if a.verdict is Verdict.LABEL}
        assert stored == self.saved

    @invariant()
    def labels_are_those_derived_from_scratch(self) -> None:
        assert labels(self.small) == labels_from_scratch(self.small)
        with reading(self.small.workspace.engine) as session:
            for item in session.exec(select(Item).where(Item.project_id == self.small.id)).all():
                counted = select(Annotation.id).where(
                    Annotation.item_id == item.id, Annotation.verdict == Verdict.LABEL, standing()
                )
                assert item.answers == len(session.exec(counted).all())

    @invariant()
    def keys_and_names_are_unique_and_merges_end(self) -> None:
        with reading(self.small.workspace.engine) as session:
            there = classes.classes_of(session, self.small.id)
            chosen_from = classes.choices(session, self.small.id)
        keys = [c.key for c in chosen_from if c.key is not None]
        assert len(set(keys)) == len(keys)
        assert len({c.name for c in there}) == len(there)
        into = {c.id: c.merged_into for c in there}
        for each in into:
            steps, last = 0, each
            while into[last] is not None:
                last, steps = into[last], steps + 1
                assert steps <= len(into)

    @invariant()
    def the_version_of_the_classes_never_falls(self) -> None:
        with reading(self.small.workspace.engine) as session:
            now = session.get_one(Project, self.small.id).schema_version
        assert now >= self.versions
        self.versions = now


@pytest.fixture
def template(workspace: Workspace) -> Iterator[SmallProject]:
    made = SmallProject.make(workspace, items=3, classes=("ant", "bee", "cow"), overlap=2)
    yield made
    made.workspace.engine.dispose()


def test_whatever_is_done_to_classes_while_people_answer(template: SmallProject, tmp_path: Path):
    template.workspace.engine.dispose()
    run_state_machine_as_test(
        lambda: Changing(template, tmp_path),
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )  # fmt: skip
