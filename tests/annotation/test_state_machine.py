"""Whatever people do, in whatever order: the database agrees with a few plain dictionaries.

ASKWISE_STATE_MACHINE_EXAMPLES sets how many stories are told (a few dozen by default).
"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import col, select

from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer
from labeling.annotation.consensus import standing
from labeling.annotation.queue import Claim
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Assignment, Item, JobState, Label, ModelVersion, Project, QueueEntry, Verdict
from labeling.errors import NotFound
from labeling.learning.predictions import pool_predictions
from labeling.learning.screens import open_screen
from labeling.learning.training import live_model
from labeling.projects import update_settings
from labeling.workspace import open_workspace
from tests.db.small_project import SmallProject, new_event, not_waiting_for_the_disk

EXAMPLES = int(os.environ.get("ASKWISE_STATE_MACHINE_EXAMPLES", "60"))
STEPS = 40
ITEMS = 2  # few, so that people meet
PEOPLE = 2
LEASE_SECONDS = 180.0

Said = tuple[str, int | None]  # verdict and which class

PERSON = st.integers(0, PEOPLE - 1)
PICK = st.integers(0, 7)  # of whatever there is, the newest first
LATER = st.sampled_from([0.0, 60.0, LEASE_SECONDS, LEASE_SECONDS + 1])  # it runs up to its expiry
ACTOR = st.sampled_from([None, None, None, 0, 1])  # None: whose it is
PICKS = st.lists(PICK, max_size=3)
TAB = st.sampled_from(["tab 1", "tab 2"])
SAID = st.sampled_from(
    [("label", 0), ("label", 1), ("label", 0), ("label", 1), ("skip", None), ("unsure", None), ("label", None)]
)
WORDS = st.lists(SAID, min_size=1, max_size=3)


@dataclass
class Lease:
    """What the model knows of an assignment; `open` until it is answered or given back."""

    user: int
    item: int
    token: str
    client: str | None
    expires: float
    state: str = "open"


@dataclass
class Given:
    """What the model knows of an answer; `changed` names what superseded it."""

    sent: Answer
    user: int
    item: int
    lease: int
    changed: str | None = None
    batch: str | None = None


@dataclass
class Shift:
    """Claim items, now or a while later, perhaps in exchange for others, and answer as many as there are words for."""

    person: int
    count: int
    client: str
    resume: bool
    exchanged: list[int]
    later: float
    said: list[Said]


class Labeling(RuleBasedStateMachine):
    """Several people label one small project, and a worker retrains, over a clock that the rules turn."""

    def __init__(self, templates: dict[bool, SmallProject], folder: Path) -> None:
        super().__init__()
        self.templates = templates
        self.root = Path(mkdtemp(dir=folder)) / "workspace"
        self.now = 1_000_000_000.0
        self.overlap = 1
        self.leases: dict[int, Lease] = {}
        self.given: dict[str, Given] = {}
        self.undone: list[tuple[str, str | None]] = []
        self.ranked: list[int] = []
        self.versions = 0

    def teardown(self) -> None:
        self.small.workspace.engine.dispose()
        shutil.rmtree(self.root.parent)

    # What the dictionaries say

    def live(self, item: int, *, of: int | None = None, without: int | None = None) -> list[int]:
        """The leases of an item that run now, of one user or without one."""
        return [
            i
            for i, lease in self.leases.items()
            if lease.item == item and lease.state == "open" and lease.expires > self.now
            and (of is None or lease.user == of) and (without is None or lease.user != without)
        ]  # fmt: skip

    def standing(self, item: int, user: int | None = None) -> list[Given]:
        """The answers to an item that nothing has changed."""
        return [g for g in self.given.values() if g.item == item and g.changed is None and user in (None, g.user)]

    def votes(self, item: int) -> list[int]:
        return [g.sent.class_id for g in self.standing(item) if g.sent.class_id is not None]

    def has_room(self, item: int, user: int) -> bool:
        return len(self.votes(item)) + len(self.live(item, without=user)) < self.overlap

    def open_to(self, user: int) -> list[int]:
        """The items that this person may be asked now, in the order in which they are asked."""
        order = self.ranked + [item for item in self.spread_out if item not in self.ranked]
        return [
            item
            for item in order
            if len(self.votes(item)) + len(self.live(item)) < self.overlap
            and not self.standing(item, user) and not self.live(item, of=user)
        ]  # fmt: skip

    def label(self, item: int) -> int | None:
        ranked = Counter(self.votes(item)).most_common(2)
        if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
            return None
        return ranked[0][0]

    def some(self, things: Any, pick: int) -> Any:
        return list(things)[-1 - pick % len(things)]

    def user(self, person: int) -> int:
        return self.small.people[person]

    def note(self, claim: Claim, user: int, client: str | None) -> None:
        """Enter a new lease into the dictionaries."""
        assert claim.assignment_id not in self.leases
        assert claim.expires == self.now + LEASE_SECONDS
        self.leases[claim.assignment_id] = Lease(user, claim.item.id, claim.token, client, claim.expires)

    def close(self, user: int, item: int) -> None:
        """An answer answers every lease that the person has on the item."""
        for lease in self.leases.values():
            if (lease.user, lease.item, lease.state) == (user, item, "open"):
                lease.state = "answered"

    def answer(self, said: Said, **how: Any) -> Answer:
        verdict, index = said
        class_id = None if index is None else self.small.classes[index]
        return Answer(event_id=new_event(), verdict=verdict, class_id=class_id, **how)

    def submit(self, user: int, answer: Answer) -> str:
        (outcome,) = answers.submit(self.small.workspace, user, [answer], now=self.now)
        assert outcome.event_id == answer.event_id
        assert bool(outcome.why) == (outcome.status == "refused")
        return outcome.status

    # What people, the clock and the worker do

    @initialize(overlap=st.sampled_from([1, 2]), learned=st.booleans())
    def begin(self, overlap: int, learned: bool) -> None:
        template = self.templates[learned]
        shutil.copytree(template.workspace.root, self.root)
        self.small = replace(template, workspace=not_waiting_for_the_disk(open_workspace(self.root)))
        self.versions = int(learned)
        with reading(self.small.workspace.engine) as session:
            spread = select(Item.id).order_by(col(Item.content_hash))
            self.spread_out = [i for i in session.exec(spread).all() if i is not None]
            self.ranked = list(session.exec(select(QueueEntry.item_id).order_by(col(QueueEntry.position))).all())
            for a in session.exec(select(Annotation)).all():
                assert a.assignment_id is not None
                sent = Answer(event_id=a.id, verdict="label", class_id=a.class_id)
                self.given[a.id] = Given(sent, a.user_id, a.item_id, a.assignment_id)
        self.overlap = overlap
        update_settings(self.small.workspace, self.small.owner, self.small.id, {"overlap": overlap})

    @rule(
        shifts=st.lists(
            st.builds(Shift, PERSON, st.integers(1, 3), TAB, st.booleans(), PICKS, LATER, WORDS), max_size=4
        )
    )
    def work(self, shifts: list[Shift]) -> None:
        for shift in shifts:
            self.claim(**vars(shift))

    def claim(
        self, person: int, count: int, client: str, resume: bool, exchanged: list[int], later: float, said: list[Said]
    ) -> None:
        self.now += later
        user = self.user(person)
        back = [self.some(self.leases, pick) for pick in exchanged] if self.leases else []
        for i in back:
            if self.leases[i].user == user and self.leases[i].state == "open":
                self.leases[i].state = "released"
        mine = [i for item in self.small.items for i in self.live(item, of=user)] if resume else []
        held = sorted(i for i in mine if self.leases[i].client == client)[:count]
        fresh = self.open_to(user)[: count - len(held)]
        if not held and not fresh:
            held = sorted(i for i in mine if self.leases[i].client != client)[:count]
        claims = queue.claim(
            self.small.workspace, user, self.small.id, count, client=client, resume=resume, release=back, now=self.now
        )
        assert [c.item.id for c in claims] == [self.leases[i].item for i in held] + fresh
        for i, again in zip(held, claims, strict=False):
            assert (again.assignment_id, again.token) == (i, self.leases[i].token)
            self.leases[i].client, self.leases[i].expires = client, self.now + LEASE_SECONDS
        for new in claims[len(held) :]:
            self.note(new, user, client)
        for claim, words in zip(claims, said, strict=False):
            self.save_under(claim.assignment_id, words, user, "")

    @precondition(lambda self: self.leases)
    @rule(pick=PICK, late=st.booleans(), said=SAID, actor=ACTOR, token=st.sampled_from(["", "", "", "", "", "wrong "]))
    def save(self, pick: int, late: bool, said: Said, actor: int | None, token: str) -> None:
        """Answer under a lease that need not be new: a running, lapsed, answered or returned one, mostly one's own."""
        lapsed = [i for i, lease in self.leases.items() if lease.state == "open" and lease.expires <= self.now]
        i = self.some(lapsed if late and lapsed else self.leases, pick)
        self.save_under(i, said, self.leases[i].user if actor is None else self.user(actor), token)

    def save_under(self, i: int, said: Said, user: int, token: str) -> None:
        lease = self.leases[i]
        admitted = (
            user == lease.user and not token and not self.standing(lease.item, user) and lease.state != "answered"
        )
        running = lease.state == "open" and lease.expires > self.now
        expected = admitted and (running or self.has_room(lease.item, user)) and said != ("label", None)
        sent = self.answer(said, assignment_id=i, token=token + lease.token)
        assert self.submit(user, sent) == ("saved" if expected else "refused")
        if expected:
            lease.state = "answered"
            self.close(user, lease.item)
            self.given[sent.event_id] = Given(sent, user, lease.item, i)

    @precondition(lambda self: self.given)
    @rule(pick=PICK, actor=st.one_of(st.none(), PERSON), client=TAB)
    def repeat(self, pick: int, actor: int | None, client: str) -> None:
        """Send an answer again, and an undo, as after a lost connection."""
        if self.undone:
            event, undo_id = self.some(self.undone, pick)
            self.withdraw(event, undo_id, client, None)
        given = self.some(self.given.values(), pick)
        user = given.user if actor is None else self.user(actor)
        assert self.submit(user, given.sent) == ("repeated" if user == given.user else "refused")

    @precondition(lambda self: self.given)
    @rule(pick=PICK, said=SAID, actor=ACTOR)
    def correct(self, pick: int, said: Said, actor: int | None) -> None:
        event = self.some(self.given, pick)
        given = self.given[event]
        user = given.user if actor is None else self.user(actor)
        fits = said[0] != "label" or given.sent.verdict == "label" or self.has_room(given.item, user)
        expected = user == given.user and given.changed is None and fits and said != ("label", None)
        sent = self.answer(said, supersedes=event)
        assert self.submit(user, sent) == ("saved" if expected else "refused")
        if expected:
            given.changed = sent.event_id
            self.close(user, given.item)
            self.given[sent.event_id] = Given(sent, user, given.item, given.lease)

    @precondition(lambda self: self.given)
    @rule(pick=PICK, named=st.booleans(), client=TAB, actor=ACTOR)
    def undo(self, pick: int, named: bool, client: str, actor: int | None) -> None:
        event = self.some(self.given, pick)
        self.withdraw(event, new_event() if named else None, client, actor)

    def withdraw(self, event: str, undo_id: str | None, client: str, actor: int | None) -> None:
        given = self.given[event]
        user = given.user if actor is None else self.user(actor)
        asked = (self.small.workspace, user, event)
        if user != given.user:
            with pytest.raises(NotFound):
                answers.undo(*asked, undo_id=undo_id, client=client, now=self.now)
            return
        undone = answers.undo(*asked, undo_id=undo_id, client=client, now=self.now)
        name = f"undo {undo_id}"
        if given.changed is None:
            given.changed = name
            self.undone.append((event, undo_id))
            assert undone.status == "undone"
            assert (undone.claim is not None) == self.has_room(given.item, user)
            if undone.claim is not None:
                assert undone.claim.item.id == given.item
                self.note(undone.claim, user, client)
        elif given.changed == name:
            held = self.live(given.item, of=user)
            assert undone.status == "repeated"
            assert ([undone.claim.assignment_id] if undone.claim else []) == held
        else:
            assert (undone.status, undone.claim) == ("refused", None)

    @rule(person=PERSON, index=st.sampled_from([None, 0, 1]), count=st.integers(1, 3), client=TAB, said=WORDS)
    def screen(self, person: int, index: int | None, count: int, client: str, said: list[Said]) -> None:
        """Open a screen of what the model believes is one class, and answer as many as there are words for, as one."""
        user, class_id = self.user(person), None if index is None else self.small.classes[index]
        made = open_screen(self.small.workspace, user, self.small.id, class_id, count, client=client, now=self.now)
        expected = self.screen_of(user, class_id, count)
        assert [claim.item.id for claim in made.claims] == expected
        assert bool(made.why) == (not expected)
        for claim in made.claims:
            self.note(claim, user, client)
        batch = new_event()
        pairs = [
            (claim, self.answer(words, assignment_id=claim.assignment_id, token=claim.token, batch=batch))
            for claim, words in zip(made.claims, said, strict=False)
        ]
        outcomes = answers.submit(self.small.workspace, user, [answer for _, answer in pairs], now=self.now)
        for (claim, sent), outcome in zip(pairs, outcomes, strict=True):
            nameless = sent.verdict == "label" and sent.class_id is None
            assert outcome.status == ("refused" if nameless else "saved")
            if not nameless:
                self.leases[claim.assignment_id].state = "answered"
                self.close(user, claim.item.id)
                self.given[sent.event_id] = Given(sent, user, claim.item.id, claim.assignment_id, batch=batch)

    def screen_of(self, user: int, class_id: int | None, count: int) -> list[int]:
        """The items that a screen should have."""
        made = pool_predictions(self.small.workspace, live_model(self.small.workspace, self.small.id))
        if made is None:
            return []
        rows = sorted(range(len(self.small.items)), key=lambda row: made.confidence[row])
        doubtful = [(self.small.items[row], made.class_ids[made.classes[row]]) for row in rows]
        still = Counter(believed for item, believed in doubtful if len(self.votes(item)) < self.overlap)
        wanted = [class_id] if class_id else sorted(still, key=lambda each: (-still[each], each))
        open_now = self.open_to(user)
        screens = ([item for item, b in doubtful if b == each and item in open_now] for each in wanted)
        return next((screen[:count] for screen in screens if screen), [])

    @precondition(lambda self: any(given.batch for given in self.given.values()))
    @rule(pick=PICK, client=TAB, actor=ACTOR)
    def undo_screen(self, pick: int, client: str, actor: int | None) -> None:
        batch = self.some([given.batch for given in self.given.values() if given.batch], pick)
        screen = {event: given for event, given in self.given.items() if given.batch == batch}
        owner = next(iter(screen.values())).user
        user = owner if actor is None else self.user(actor)
        if user != owner:
            with pytest.raises(NotFound):
                answers.undo_batch(self.small.workspace, user, batch, client=client, now=self.now)
            return
        undone = answers.undo_batch(self.small.workspace, user, batch, client=client, now=self.now)
        if any(self.corrected(given) for given in screen.values()):
            assert (undone.status, undone.claims) == ("refused", [])
            return
        standing = [event for event, given in screen.items() if given.changed is None]
        assert undone.status == ("undone" if standing else "repeated")
        for event in standing:
            self.given[event].changed = "undo None"
            self.undone.append((event, None))
        claims = {claim.item.id: claim for claim in undone.claims}
        for event, given in screen.items():
            held = self.live(given.item, of=user)
            new = not held and event in standing and self.has_room(given.item, user)
            assert (given.item in claims) == bool(held or new)
            if new:
                self.note(claims[given.item], user, client)
            elif held:
                assert [claims[given.item].assignment_id] == held

    def corrected(self, given: Given) -> bool:
        """Whether a correction of this answer stands."""
        while given.changed in self.given:
            given = self.given[given.changed]
            if given.changed is None:
                return True
        return False

    @rule(person=PERSON, named=st.one_of(st.none(), PICKS))
    def renew(self, person: int, named: list[int] | None) -> None:
        """Renew all leases that run, or the named ones; lapsed ones come back while their item has room."""
        user = self.user(person)
        asked = None if named is None or not self.leases else [self.some(self.leases, pick) for pick in named]
        renewed = []
        for i, lease in sorted(self.leases.items()):
            if lease.user == user and lease.state == "open" and (asked is None or i in asked):
                lapsed = lease.expires <= self.now
                doubled = lapsed and self.live(lease.item, of=user)
                if not lapsed or (asked is not None and self.has_room(lease.item, user) and not doubled):
                    lease.expires = self.now + LEASE_SECONDS
                    renewed.append(i)
        got, expires = queue.renew(self.small.workspace, user, self.small.id, asked, now=self.now)
        assert (sorted(got), expires) == (renewed, self.now + LEASE_SECONDS)

    @precondition(lambda self: self.leases)
    @rule(person=PERSON, named=PICKS)
    def release(self, person: int, named: list[int]) -> None:
        user = self.user(person)
        asked = {self.some(self.leases, pick) for pick in named}
        back = [i for i in asked if self.leases[i].user == user and self.leases[i].state == "open"]
        assert queue.release(self.small.workspace, user, self.small.id, sorted(asked)) == len(back)
        for i in back:
            self.leases[i].state = "released"

    @rule(restarted=st.booleans())
    def retrain(self, restarted: bool) -> None:
        if restarted:
            self.restart()
        job = self.small.learn()
        assert (job.state, job.error) == (JobState.DONE, "")
        labels = [label for item in self.small.items if (label := self.label(item)) is not None]
        if len(set(labels)) > 1:
            self.versions += 1
        else:
            assert job.message
        live = live_model(self.small.workspace, self.small.id)
        assert (live.number if live else 0) == self.versions
        if live is not None and len(set(labels)) > 1:
            seen = [event for event, given in self.given.items() if given.changed is None and given.sent.class_id]
            assert (live.labels, live.annotation_hash) == (
                len(labels), hashlib.sha256("\n".join(seen).encode()).hexdigest(),
            )  # fmt: skip
        with reading(self.small.workspace.engine) as session:
            entries = session.exec(select(QueueEntry.item_id).order_by(col(QueueEntry.position)))
            self.ranked = list(entries.all())
        assert sorted(self.ranked) == [i for i in self.small.items if len(self.votes(i)) < self.overlap]

    def restart(self) -> None:
        self.small.workspace.engine.dispose()
        self.small = replace(self.small, workspace=not_waiting_for_the_disk(open_workspace(self.root)))

    # What holds after every step

    @invariant()
    def the_database_says_the_same(self) -> None:
        with reading(self.small.workspace.engine) as session:
            stood = session.exec(select(Annotation).where(standing())).all()
            labels = session.exec(select(Label)).all()
            counts = dict(session.exec(select(Item.id, Item.answers)).all())
            leased = select(Assignment).where(Assignment.state == "leased", col(Assignment.expires) > self.now)
            held = session.exec(leased).all()
            versions = len(session.exec(select(ModelVersion.id)).all())
            undone = len(session.exec(select(Annotation.id).where(Annotation.verdict == Verdict.UNDO)).all())
            project = session.get_one(Project, self.small.id)
            user = self.some(self.small.people, len(self.leases) + len(self.given))  # each in turn
            left = queue.remaining(session, user, project, self.now)
        assert {(a.id, a.user_id, a.item_id, a.verdict.value, a.class_id) for a in stood} == {
            (event, g.user, g.item, g.sent.verdict, g.sent.class_id if g.sent.verdict == "label" else None)
            for event, g in self.given.items()
            if g.changed is None
        }
        agreed = {item: label for item in self.small.items if (label := self.label(item)) is not None}
        assert {label.item_id: label.class_id for label in labels} == agreed
        assert counts == {item: len(self.votes(item)) for item in self.small.items}
        running = {i for item in self.small.items for i in self.live(item)}
        assert {a.id for a in held} == running
        assert left == len(self.open_to(user))
        assert (versions, undone) == (self.versions, len(self.undone))

    @invariant()
    def no_item_is_asked_too_often(self) -> None:
        for item in self.small.items:
            people = [self.leases[i].user for i in self.live(item)]
            assert len(people) == len(set(people)), "leased twice to one person at a time"
            assert len(self.votes(item)) + len(people) <= self.overlap, "beyond overlap"


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, SmallProject]]:
    """Projects with features, made once: each story begins with a copy of the workspace of one.

    In the one that has learned, the owner has answered two more items, and a model has learned from that.
    """
    made = {}
    for learned in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("ASKWISE_DATABASE_URL", raising=False)
            workspace = open_workspace(tmp_path_factory.mktemp("template") / "workspace")
        items = ITEMS + 2 * learned
        small = SmallProject.make(
            workspace, items=items, people=PEOPLE, strategy="least_confident", lease_seconds=int(LEASE_SECONDS)
        )
        small.add_features(np.random.default_rng(0).normal(size=(items, 2)).astype(np.float32))
        if learned:
            for item, class_id in zip(small.items[ITEMS:], small.classes, strict=True):
                small.answer(small.owner, item, class_id)
            small.learn()
        workspace.engine.dispose()
        made[learned] = small
    yield made


def test_people_and_worker_in_any_order_agree_with_plain_dictionaries(
    templates: dict[bool, SmallProject], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("ASKWISE_DATABASE_URL", raising=False)
    run_state_machine_as_test(
        lambda: Labeling(templates, tmp_path),
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )  # fmt: skip
