"""Suggestions hidden at random while people label: what is told of their pull, and what the project does about it."""

import numpy as np
import pytest
from sqlmodel import select

from labeling.annotation import answers, queue
from labeling.annotation.adjudication import Decision, decide
from labeling.db.engine import reading
from labeling.db.schema import Event
from labeling.learning.gathered import gather
from labeling.learning.people_records import read_records
from labeling.projects import read_project, update_settings
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, answer_to, new_event
from tests.learning.test_weighing_job import weigh

ITEMS = 100
PEOPLE = 5
FIRST = 20  # labels that the model learns from


def label_all(small: SmallProject, truth: dict[int, int], follows: float, seed: int = 0) -> tuple[int, int]:
    """Everybody answers everything, as suggested in a share of the cases where the suggestion is seen; returns how
    often a suggestion was shown, and hidden.
    """
    rng, shown, hidden = np.random.default_rng(seed), 0, 0
    for person in small.people:
        while claims := queue.claim(small.workspace, person, small.id, 50):
            sent = []
            for claim in claims:
                chosen = small.classes[truth[claim.item.id]]
                shown, hidden = shown + (claim.suggestion is not None), hidden + (claim.suggestion is None)
                if claim.suggestion is not None and rng.random() < follows:
                    chosen = claim.suggestion.class_id
                sent.append(answer_to(claim, chosen))
            assert {o.status for o in answers.submit(small.workspace, person, sent)} == {"saved"}
    return shown, hidden


def make_misled(workspace: Workspace, people: int, **settings: object) -> tuple[SmallProject, dict[int, int]]:
    """A project whose model knows nothing: what items are has nothing to do with how they look."""
    small = SmallProject.make(workspace, items=ITEMS, people=people, strategy="margin", **settings)
    rng = np.random.default_rng(0)
    small.add_features(rng.normal(size=(ITEMS, 3)).astype(np.float32))
    truth = {item: int(rng.integers(2)) for item in small.items}
    for item in small.items[:FIRST]:
        small.answer(small.owner, item, small.classes[truth[item]])
    small.learn()
    return small, truth


@pytest.fixture
def misled(workspace: Workspace) -> tuple[SmallProject, dict[int, int]]:
    """Five people answer each item; what it is follows from those who saw no suggestion."""
    return make_misled(workspace, PEOPLE, overlap=PEOPLE + 1, hidden_share=0.5)


def settle(small: SmallProject, truth: dict[int, int]) -> None:
    """An expert decides on everything as it is."""
    made = [Decision(event_id=new_event(), item_id=i, class_id=small.classes[c]) for i, c in truth.items()]
    assert {d.status for d in decide(small.workspace, small.owner, small.id, made)} == {"saved"}


def test_the_share_that_follows_wrong_suggestions_is_found(misled: tuple[SmallProject, dict[int, int]]):
    small, truth = misled
    shown, hidden = label_all(small, truth, follows=0.3)
    assert min(shown, hidden) > 60
    weigh(small)
    pull = read_records(small.workspace, small.owner, small.id).pull
    assert pull is not None
    followed = pull["overall"]["followed"]
    assert followed["low"] < 0.3 < followed["high"] and followed["low"] > 0
    assert set(pull["by_person"]) == {str(person) for person in small.people}
    assert set(pull["by_class"]) == {str(class_id) for class_id in small.classes}
    assert (shown + hidden) / 2 < pull["shown"] + pull["hidden"] < shown + hidden  # where others tell what the item is


def test_where_they_do_harm_the_project_hides_them_if_it_may(misled: tuple[SmallProject, dict[int, int]]):
    small, truth = misled
    label_all(small, truth, follows=0.9)
    weigh(small)
    assert read_project(small.workspace, small.owner, small.id).settings.suggestions == "show"
    update_settings(small.workspace, small.owner, small.id, {"suggestions": "auto"})
    weigh(small)
    assert read_project(small.workspace, small.owner, small.id).settings.suggestions == "hide"
    with reading(small.workspace.engine) as session:
        (told,) = session.exec(select(Event).where(Event.kind == "suggestions hidden")).all()
    assert told.detail["harmful"] is True and told.user_id is None
    weigh(small)  # what was found stays to be seen, and answers from now on, all without suggestions, are no experiment
    assert read_records(small.workspace, small.owner, small.id).pull["harmful"] is True
    (span,) = gather(small.workspace, small.id).randomised
    assert span[1] == told.created


def test_decisions_that_came_after_the_answers_say_nothing_of_the_pull(workspace: Workspace):
    """Experts look at what people disagree on: of these answers, more were wrong than of all."""
    small, truth = make_misled(workspace, 1, hidden_share=0.5)
    shown, hidden = label_all(small, truth, follows=0.3)
    settle(small, truth)
    weigh(small)
    pull = read_records(small.workspace, small.owner, small.id).pull
    assert shown + hidden == ITEMS - FIRST
    assert pull["shown"] + pull["hidden"] == 0 and pull["overall"]["followed"]["low"] is None


def test_gold_items_tell_of_the_pull(workspace: Workspace):
    small, truth = make_misled(workspace, 1, hidden_share=0.5, gold_share=0.5)
    golden = small.items[FIRST:60]
    made = [Decision(event_id=new_event(), item_id=i, class_id=small.classes[truth[i]], gold=True) for i in golden]
    assert {d.status for d in decide(small.workspace, small.owner, small.id, made)} == {"saved"}
    small.learn()
    label_all(small, truth, follows=1.0)
    weigh(small)
    pull = read_records(small.workspace, small.owner, small.id).pull
    assert pull["overall"]["followed"]["low"] is not None


def test_answers_from_before_the_experiment_say_nothing(workspace: Workspace):
    small, truth = make_misled(workspace, 1)
    shown, hidden = label_all(small, truth, follows=0.5)
    assert (shown, hidden) == (ITEMS - FIRST, 0)
    settle(small, truth)
    update_settings(small.workspace, small.owner, small.id, {"hidden_share": 0.2})
    weigh(small)
    assert read_records(small.workspace, small.owner, small.id).pull is None


def test_what_is_hidden_stays_hidden_for_that_person(misled: tuple[SmallProject, dict[int, int]]):
    small, _ = misled
    first = {c.item.id: c.suggestion for c in queue.claim(small.workspace, small.people[0], small.id, 50, client="a")}
    again = queue.claim(small.workspace, small.people[0], small.id, 50, client="a", resume=True)
    assert {c.item.id: c.suggestion for c in again} == first
    assert 10 < sum(s is None for s in first.values()) < 40
