"""Labels that came with items: an oracle's, or answers that count like those of people."""

import pytest
from sqlmodel import col, select

from labeling.annotation import answers, queue
from labeling.annotation.answers import Answer
from labeling.annotation.consensus import settle
from labeling.classes import classes_of
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Item, Label, Origin, Role, Source, Verdict
from labeling.intake import records
from labeling.intake.importer import Labels, import_records
from labeling.intake.ledger import ImportReport
from labeling.intake.records import Record
from labeling.learning.snapshot import take_snapshot
from labeling.projects import create_project
from labeling.users import grant
from labeling.workspace import Workspace
from tests.db.small_project import add_user, answer_to, new_event

CLASSES = ("ham", "spam")


@pytest.fixture
def mails(workspace: Workspace, owner: int) -> int:
    return create_project(workspace, owner, "mails", CLASSES)


def bring(
    workspace: Workspace, project: int, owner: int, labels: Labels, *given: tuple[str, str | None]
) -> ImportReport:
    found = [Record(name, text=f"text of {name}", label=label) for name, label in given]
    return import_records(workspace, project, records.Source("text", found, len(found)), actor_id=owner, labels=labels)


def labels_of(workspace: Workspace, project: int) -> dict[str, tuple[str, Source, int]]:
    """Name of each labeled item: its class, where the label is from, of how many answers."""
    with reading(workspace.engine) as session:
        names = {c.id: c.name for c in classes_of(session, project)}
        query = select(Item, Label).join(Label, col(Label.item_id) == Item.id).where(Item.project_id == project)
        for item, label in session.exec(query).all():
            assert item.answers == label.answers
        return {i.external_id: (names[v.class_id], v.source, v.answers) for i, v in session.exec(query).all()}


def settled_again(workspace: Workspace, project: int) -> None:
    """Derive every label anew from the answers."""
    with writing(workspace.engine) as session:
        for item_id in session.exec(select(Item.id).where(Item.project_id == project)).all():
            settle(session, item_id or 0)


def test_imported_labels_are_answers_that_the_model_learns_from(workspace: Workspace, mails: int, owner: int):
    report = bring(workspace, mails, owner, "imported", ("a", "ham"), ("b", "spam"), ("c", None), ("d", "eggs"))
    assert (report.added, report.labeled) == (4, 3)
    expected = {name: (label, Source.IMPORTED, 1) for name, label in (("a", "ham"), ("b", "spam"), ("d", "eggs"))}
    assert labels_of(workspace, mails) == expected
    with reading(workspace.engine) as session:
        given = session.exec(select(Annotation)).all()
        known = session.exec(select(Item.known_class_id)).all()
    assert {(g.user_id, g.verdict, g.origin, g.assignment_id) for g in given} == {
        (owner, Verdict.LABEL, Origin.IMPORTED, None)
    }
    assert set(known) == {None}
    snapshot = take_snapshot(workspace, mails, rows=4)
    assert list(snapshot.labeled) == [0, 1, 3]
    assert [snapshot.class_names[t] for t in snapshot.targets] == ["ham", "spam", "eggs"]
    assert list(snapshot.open_rows) == [2]


def test_bulk_labels_are_those_that_answers_one_by_one_would_have(workspace: Workspace, mails: int, owner: int):
    bring(workspace, mails, owner, "imported", ("a", "ham"), ("b", "spam"), ("c", None))
    before = labels_of(workspace, mails)
    settled_again(workspace, mails)
    assert labels_of(workspace, mails) == before


def test_importing_the_same_labels_again_changes_nothing(workspace: Workspace, mails: int, owner: int):
    given = [("a", "ham"), ("b", "spam")]
    bring(workspace, mails, owner, "imported", *given)
    with reading(workspace.engine) as session:
        before = [(a.id, a.seq) for a in session.exec(select(Annotation)).all()]
    again = bring(workspace, mails, owner, "imported", *given)
    other = bring(workspace, mails, owner, "imported", ("a", "spam"))
    assert (again.labeled, other.labeled) == (0, 0)
    with reading(workspace.engine) as session:
        assert [(a.id, a.seq) for a in session.exec(select(Annotation)).all()] == before


@pytest.mark.parametrize("labels", ["oracle", "imported"])
def test_labels_can_be_brought_later(workspace: Workspace, mails: int, owner: int, labels: Labels):
    bring(workspace, mails, owner, "ignore", ("a", "ham"), ("b", "spam"))
    assert labels_of(workspace, mails) == {}
    later = bring(workspace, mails, owner, labels, ("b", "spam"), ("a", None))
    assert (later.added, later.duplicates) == (0, 2)
    with reading(workspace.engine) as session:
        names = {c.id: c.name for c in classes_of(session, mails)}
        known = dict(session.exec(select(Item.external_id, Item.known_class_id)).all())
    if labels == "imported":
        assert labels_of(workspace, mails) == {"b": ("spam", Source.IMPORTED, 1)}
        assert known == {"a": None, "b": None}
    else:
        assert labels_of(workspace, mails) == {}
        assert {name: names.get(i) for name, i in known.items()} == {"a": None, "b": "spam"}


def test_an_oracle_that_is_known_is_not_exchanged(workspace: Workspace, mails: int, owner: int):
    bring(workspace, mails, owner, "oracle", ("a", "ham"))
    bring(workspace, mails, owner, "oracle", ("a", "spam"))
    with reading(workspace.engine) as session:
        names = {c.id: c.name for c in classes_of(session, mails)}
        assert names[session.exec(select(Item.known_class_id)).one()] == "ham"


def test_what_people_have_settled_stands(workspace: Workspace, mails: int, owner: int):
    bring(workspace, mails, owner, "ignore", ("a", None), ("b", None))
    bob = add_user(workspace, "bob")
    with writing(workspace.engine) as session:
        grant(session, mails, bob, Role.ANNOTATOR)
        ham = classes_of(session, mails)[0].id
    for claim in queue.claim(workspace, bob, mails, 1):
        answers.submit(workspace, bob, [answer_to(claim, ham)])
    (settled,) = labels_of(workspace, mails)
    report = bring(workspace, mails, owner, "imported", ("a", "spam"), ("b", "spam"))
    assert report.labeled == 1
    assert labels_of(workspace, mails)[settled] == ("ham", Source.SINGLE, 1)


def test_where_several_people_answer_an_import_is_one_of_them(workspace: Workspace, owner: int):
    project = create_project(workspace, owner, "mails", CLASSES, settings={"overlap": 2})
    bring(workspace, project, owner, "ignore", ("a", None))
    bob = add_user(workspace, "bob")
    with writing(workspace.engine) as session:
        grant(session, project, bob, Role.ANNOTATOR)
        ham = classes_of(session, project)[0].id
    (claim,) = queue.claim(workspace, bob, project, 1)
    answers.submit(workspace, bob, [answer_to(claim, ham)])
    assert bring(workspace, project, owner, "imported", ("a", "ham")).labeled == 1
    assert labels_of(workspace, project) == {"a": ("ham", Source.CONSENSUS, 2)}


def test_an_imported_answer_can_be_undone_by_who_imported_it(workspace: Workspace, mails: int, owner: int):
    bring(workspace, mails, owner, "imported", ("a", "ham"))
    with reading(workspace.engine) as session:
        event = session.exec(select(Annotation.id)).one()
    undone = answers.undo(workspace, owner, event)
    assert (undone.status, undone.claim) == ("undone", None)
    assert answers.undo(workspace, owner, event).status == "repeated"
    assert labels_of(workspace, mails) == {}
    assert [claim.item.external_id for claim in queue.claim(workspace, owner, mails, 1)] == ["a"]
    assert bring(workspace, mails, owner, "imported", ("a", "ham")).labeled == 0  # what was withdrawn stays so


def test_an_imported_answer_cannot_be_corrected_in_place_and_says_what_can(
    workspace: Workspace, mails: int, owner: int
):
    bring(workspace, mails, owner, "imported", ("a", "ham"))
    with reading(workspace.engine) as session:
        event = session.exec(select(Annotation.id)).one()
        spam = classes_of(session, mails)[1].id
    correction = Answer(event_id=new_event(), supersedes=event, verdict="label", class_id=spam)
    (outcome,) = answers.submit(workspace, owner, [correction])
    assert (outcome.status, "came with an import" in outcome.why) == ("refused", True)


def test_a_class_that_was_merged_stands_for_the_other_one(workspace: Workspace, mails: int, owner: int):
    with writing(workspace.engine) as session:
        ham, spam = classes_of(session, mails)
        spam.merged_into = ham.id
    bring(workspace, mails, owner, "imported", ("a", "spam"))
    assert labels_of(workspace, mails) == {"a": ("ham", Source.IMPORTED, 1)}
