"""The items behind a figure, and who may see them."""

import numpy as np
import pytest

from labeling.annotation import answers, queue
from labeling.annotation.adjudication import Decision, decide
from labeling.db.engine import writing
from labeling.db.schema import Membership, Role
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.learning import insights
from labeling.learning.behind import (
    Behind,
    Between,
    By,
    Checked,
    Confused,
    During,
    Met,
    OfClass,
    Shared,
    Taken,
    Took,
    Which,
    items_behind,
)
from labeling.projects import update_settings
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, add_user, answer_to, new_event


@pytest.fixture
def project(workspace: Workspace) -> SmallProject:
    """Ann and Bob answered two items each for the first model, which then met an answer as suggested and one not."""
    made = SmallProject.make(workspace, items=10)
    cat, dog = made.classes
    ann, bob = made.people
    made.add_features(np.array([[0.0], [1.0], [0.1], [0.9], [0.2], [0.8], [0.3], [0.7], [0.4], [0.6]], np.float32))
    for person, place, class_id in ((ann, 0, cat), (ann, 1, dog), (bob, 2, cat), (bob, 3, dog)):
        made.answer(person, made.items[place], class_id, seconds=1.0)
    assert made.learn().error == ""
    made.answer(ann, made.items[4], cat, seconds=2.0, note="whiskers", flagged=True)
    made.answer(bob, made.items[5], cat, seconds=20.0)
    made.answer(bob, made.items[6], verdict="unsure", seconds=900.0)
    return made


def behind(project: SmallProject, which: Which, actor: int | None = None, **more: int) -> Behind:
    return items_behind(project.workspace, actor or project.owner, project.id, which, **more)


def places(project: SmallProject, found: Behind) -> list[int]:
    return [project.items.index(item.item_id) for item in found.items]


def test_behind_a_model_version_are_the_answers_it_met(project: SmallProject) -> None:
    (point,) = insights.read_progress(project.workspace, project.owner, project.id).curve
    found = behind(project, Met(first=point.first, last=point.last))
    assert places(project, found) == [5, 4]
    assert (found.total, found.hidden) == (point.answers, 0)
    assert places(project, behind(project, Met(first=1, last=1, right=True))) == [4]
    assert places(project, behind(project, Met(first=1, last=1, right=False))) == [5]
    assert places(project, behind(project, Met(first=2, last=9))) == []


def test_behind_a_class_are_the_items_that_carry_it(project: SmallProject) -> None:
    cat, dog = project.classes
    assert sorted(places(project, behind(project, OfClass(class_id=cat)))) == [0, 2, 4, 5]
    assert sorted(places(project, behind(project, OfClass(class_id=dog)))) == [1, 3]


def test_behind_a_cell_are_the_items_that_were_taken_for_another_class(project: SmallProject) -> None:
    cat, dog = project.classes
    found = behind(project, Confused(suggested=dog, answered=cat))
    assert places(project, found) == [5]
    (answer,) = found.items[0].answers
    assert (answer.answer, answer.suggestion, answer.right, answer.version) == ("cat", "dog", False, 1)
    assert answer.confidence is not None and 0.5 < answer.confidence < 1


def test_behind_a_person_are_all_their_answers_the_newest_first(project: SmallProject) -> None:
    ann, bob = project.people
    assert places(project, behind(project, By(user_id=bob))) == [6, 5, 3, 2]
    (answer,) = behind(project, By(user_id=ann)).items[0].answers
    assert (answer.person, answer.note, answer.flagged, answer.seconds, answer.mine) == (
        "animals person 0", "whiskers", True, 2.0, False,
    )  # fmt: skip


def test_behind_a_stretch_of_time_are_its_answers(project: SmallProject) -> None:
    slots = insights.read_progress(project.workspace, project.owner, project.id).slots
    found = [behind(project, During(start=slot.start, end=slot.end)) for slot in slots]
    assert [one.total for one in found] == [slot.answers for slot in slots]


def test_behind_a_bar_of_times_are_the_answers_that_took_so_long(project: SmallProject) -> None:
    bob = project.people[1]
    assert sorted(places(project, behind(project, Took(low=0.5, high=3.0)))) == [0, 1, 2, 3, 4]
    assert sorted(places(project, behind(project, Took(low=0.5, high=3.0, user_id=bob)))) == [2, 3]
    assert places(project, behind(project, Took(low=0.5, high=5000.0, user_id=bob)))[:1] == [5]


def test_every_figure_counts_what_is_behind_it(project: SmallProject) -> None:
    seen = insights.read_insights(project.workspace, project.owner, project.id)
    for cell in seen.classes.confusion:
        assert behind(project, Confused(suggested=cell.suggested, answered=cell.answered)).total == cell.answers
    for one in seen.classes.classes:
        assert behind(project, OfClass(class_id=one.id)).total == one.labels
    for bar in seen.people.durations.bins:
        assert behind(project, Took(low=bar.start, high=bar.end)).total == bar.answers


def test_an_annotator_sees_their_own_answers_and_how_many_are_hidden(project: SmallProject) -> None:
    ann, bob = project.people
    cat = project.classes[0]
    found = behind(project, OfClass(class_id=cat), actor=ann)
    assert sorted(places(project, found)) == [0, 4]
    assert (found.total, found.hidden) == (2, 2)
    assert {answer.person for item in found.items for answer in item.answers} == {"animals person 0"}
    assert all(answer.mine for item in found.items for answer in item.answers)
    for others in (By(user_id=bob), Took(low=0.5, high=5000.0, user_id=bob)):
        with pytest.raises(NotAllowed):
            behind(project, others, actor=ann)


def test_an_annotator_is_not_told_the_label_that_others_gave(project: SmallProject) -> None:
    ann = project.people[0]
    item = project.items[0]
    other = next(c for c in project.classes if c != project.classes[0])
    decide(project.workspace, project.owner, project.id, [Decision(event_id=new_event(), item_id=item, class_id=other)])
    label = {}
    for actor in (ann, project.owner):
        (found,) = (one for one in behind(project, By(user_id=ann), actor=actor).items if one.item_id == item)
        label[actor] = found.label
    assert (label[ann], label[project.owner]) == ("cat", "dog")


def test_an_expert_sees_everybodys_answers(project: SmallProject) -> None:
    with writing(project.workspace.engine) as session:
        session.get_one(Membership, (project.id, project.people[0])).role = Role.EXPERT
    assert behind(project, By(user_id=project.people[1]), actor=project.people[0]).total == 4


def test_pages_do_not_overlap_and_leave_nothing_out(project: SmallProject) -> None:
    which = OfClass(class_id=project.classes[0])
    pages = [behind(project, which, offset=at, limit=3) for at in (0, 3, 6)]
    assert [len(page.items) for page in pages] == [3, 1, 0]
    assert {page.total for page in pages} == {4}
    assert sorted(place for page in pages for place in places(project, page)) == [0, 2, 4, 5]


@pytest.mark.parametrize("bounds", [{"offset": -1}, {"limit": 0}, {"limit": 101}])
def test_a_page_out_of_bounds_is_one_sentence(project: SmallProject, bounds: dict[str, int]) -> None:
    with pytest.raises(Invalid, match="Ask for 1 to 100 items"):
        behind(project, By(user_id=project.owner), **bounds)


def test_another_projects_class_has_nothing_behind_it_here(project: SmallProject) -> None:
    other = SmallProject.make(project.workspace, name="plants", classes=("moss", "fern"))
    other.answer(other.owner, other.items[0])
    assert behind(project, OfClass(class_id=other.classes[0])).total == 0
    assert behind(project, By(user_id=other.owner)).total == 0


def test_a_stranger_sees_no_items(project: SmallProject) -> None:
    with pytest.raises(NotFound):
        behind(project, By(user_id=project.owner), actor=add_user(project.workspace, "stranger"))


def gold_asked(project: SmallProject, person: int, *, wrong: int) -> list[int]:
    """Items that are made gold and then asked of a person, who gets the first `wrong` of them wrong."""
    cat, dog = project.classes
    update_settings(project.workspace, project.owner, project.id, {"gold_share": 0.5})
    project.add_items(1)  # that somebody could be asked instead
    gold = project.items[7:10]
    made = [Decision(event_id=new_event(), item_id=item, class_id=cat, gold=True) for item in gold]
    assert {d.status for d in decide(project.workspace, project.owner, project.id, made)} == {"saved"}
    asked: list[int] = []
    for _ in range(60):
        for claim in queue.claim(project.workspace, person, project.id, 1):
            if claim.item.id not in gold:
                queue.release(project.workspace, person, project.id, [claim.assignment_id])
                continue
            answer = answer_to(claim, dog if len(asked) < wrong else cat)
            assert answers.submit(project.workspace, person, [answer])[0].status == "saved"
            asked.append(claim.item.id)
        if len(asked) == len(gold):
            break
    assert sorted(asked) == sorted(gold)
    return asked


def test_behind_a_flag_are_the_gold_items_that_were_answered_wrongly(project: SmallProject) -> None:
    bob = project.people[1]
    asked = gold_asked(project, bob, wrong=2)
    for right, expected in ((None, asked), (False, asked[:2]), (True, asked[2:])):
        found = behind(project, Checked(user_id=bob, right=right))
        assert {item.item_id for item in found.items} == set(expected)
    assert behind(project, Checked(user_id=project.people[0])).total == 0


def test_an_annotator_cannot_tell_which_items_are_gold(project: SmallProject) -> None:
    bob = project.people[1]
    gold_asked(project, bob, wrong=1)
    found = behind(project, By(user_id=bob), actor=bob)
    assert found.total == 7
    assert "gold" not in found.model_dump_json()
    with pytest.raises(NotAllowed):
        behind(project, Checked(user_id=bob), actor=bob)


@pytest.mark.parametrize("which", [Shared(disagree=True), Between(first=1, second=2), Taken(one=1, other=2)])
def test_whether_others_agree_is_not_for_annotators(project: SmallProject, which: Which) -> None:
    with pytest.raises(NotAllowed):
        behind(project, which, actor=project.people[0])
