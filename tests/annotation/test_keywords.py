"""What a claim says of the model's reading: the words of this text, the columns of this row, and only when shown."""

from pathlib import Path

import pytest
from sqlmodel import col, select

from labeling.annotation import answers, queue
from labeling.annotation.claims import Claim
from labeling.annotation.keywords import NONE, READ, SHOWN, Keywords, keywords_file, load_keywords
from labeling.db.engine import writing
from labeling.db.schema import Item, ModelState, ModelVersion, QueueEntry, Ranking
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, answer_to

TEXT = "The Prime Minister met the oil minister; oil prices rose."


def words(**weights: float) -> Keywords:
    return Keywords({1: weights})


def test_the_words_of_a_text_that_speak_most_come_first():
    known = words(oil=0.5, prices=0.9, football=2.0, the=0.01)
    assert known.found_in(TEXT, 1) == ["prices", "oil"]  # “the” hardly says anything beside them
    assert words(the=0.01).found_in(TEXT, 1) == ["the"]
    assert known.found_in(TEXT, 2) == []
    assert known.found_in("", 1) == []


def test_few_are_marked_and_only_in_the_part_that_is_shown_at_first():
    many = words(**{f"w{i}": float(i) for i in range(1, 40)})
    assert many.found_in(" ".join(many.terms[1]), 1) == [f"w{i}" for i in range(39, 39 - SHOWN, -1)]
    assert words(oil=1.0).found_in("x " * READ + "oil", 1) == []


def test_what_is_saved_beside_a_head_is_read_again(tmp_path: Path):
    head = tmp_path / "heads" / "project-1-2-a.npz"
    Keywords({3: {"Öl": 0.25}}, ["depth"]).save(head)
    assert keywords_file(head).name == "project-1-2-a.keywords.json"
    assert load_keywords(head) == Keywords({3: {"Öl": 0.25}}, ["depth"])
    assert [path.name for path in head.parent.iterdir()] == [keywords_file(head).name]


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"terms": 3}', '{"terms": {"x": {}}, "columns": []}'])
def test_missing_or_damaged_keywords_are_none(tmp_path: Path, content: str | None):
    head = tmp_path / "head.npz"
    if content is not None:
        keywords_file(head).write_text(content)
    assert load_keywords(head) is NONE


def with_model(
    workspace: Workspace, known: Keywords, *, text: str | None, fields: dict[str, object] | None, **settings: object
) -> SmallProject:
    """A project of one item, suggested to be of the first class by a live model version with these keywords."""
    small = SmallProject.make(workspace, items=1, **settings)
    head = f"project-{small.id}-1-w.npz"
    Keywords({small.classes[0]: known.terms.get(1, {})}, known.columns).save(workspace.head(head))
    with writing(workspace.engine) as session:
        item = session.exec(select(Item).where(col(Item.id) == small.items[0])).one()
        item.text, item.fields = text, fields
        version = ModelVersion(
            project_id=small.id, number=1, state=ModelState.LIVE, encoder="words", feature_version="words-1",
            annotation_seq=0, annotation_hash="", labels=2, code_version="0", seed=0, path=head,
        )  # fmt: skip
        session.add(version)
        session.flush()
        ranking = Ranking(
            project_id=small.id, model_version_id=version.id, strategy="random", annotation_seq=0, candidates=1
        )
        session.add(ranking)
        session.flush()
        session.add(
            QueueEntry(
                ranking_id=ranking.id, position=0, item_id=item.id, utility=1.0,
                suggestion_class_id=small.classes[0], suggestion_confidence=0.8,
            )
        )  # fmt: skip
    return small


def claimed(small: SmallProject) -> Claim:
    (claim,) = queue.claim(small.workspace, small.people[0], small.id)
    return claim


def test_a_claim_marks_the_words_for_the_suggestion(workspace: Workspace):
    small = with_model(workspace, words(oil=0.5, prices=0.9), text=TEXT, fields=None)
    assert claimed(small).keywords == ["prices", "oil"]


def test_an_undo_brings_the_marked_words_back(workspace: Workspace):
    small = with_model(workspace, words(oil=0.5), text=TEXT, fields=None)
    given = answer_to(claimed(small), small.classes[1])
    answers.submit(workspace, small.people[0], [given])
    again = answers.undo(workspace, small.people[0], given.event_id).claim
    assert again is not None and again.keywords == ["oil"]


def test_nothing_is_marked_where_the_suggestion_is_hidden(workspace: Workspace):
    small = with_model(workspace, words(oil=0.5), text=TEXT, fields=None, suggestions="hide")
    assert claimed(small).keywords == []


WIDE = {f"c{i}": i for i in range(14)}


def test_the_columns_that_the_project_names_come_first_in_that_order(workspace: Workspace):
    small = with_model(workspace, words(), text=None, fields=WIDE, columns=["c9", "gone", "c3"])
    item = claimed(small).item
    assert item.fields is not None and list(item.fields)[:4] == ["c9", "c3", "c0", "c1"]
    assert (item.shown_first, item.fields) == (2, WIDE)


def test_else_those_that_weigh_most_come_first_in_the_rows_own_order(workspace: Workspace):
    by_weight = ["c13", "c2", "elsewhere", "c7", "c5", "c1", "c11", "c12", "c4", "c0"]
    small = with_model(workspace, Keywords({}, by_weight), text=None, fields=WIDE)
    item = claimed(small).item
    assert item.fields is not None
    assert list(item.fields)[:9] == ["c1", "c2", "c4", "c5", "c7", "c11", "c12", "c13", "c0"]
    assert (item.shown_first, item.fields) == (8, WIDE)


def test_a_short_row_stays_as_it_is(workspace: Workspace):
    row = {f"c{i}": i for i in range(5)}
    small = with_model(workspace, Keywords({}, ["c4", "c1"]), text=None, fields=row)
    item = claimed(small).item
    assert item.fields is not None and list(item.fields) == list(row)
    assert item.shown_first == 5
