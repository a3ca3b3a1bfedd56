"""Insights for experts and owners: how far people agree, how well they answer, and what suggestions do to them."""

import re
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from sqlmodel import col, select
from starlette.testclient import TestClient

from labeling import projects
from labeling.annotation import answers, queue
from labeling.assurance.carelessness import Carelessness
from labeling.assurance.suggestion_pull import measure_pull
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, Job, JobKind, JobState, Membership, Reliability, Role, User
from labeling.learning.behind import Between, Checked, Shared, Taken
from labeling.learning.people_records import Record
from labeling.users import local_user
from labeling.web import current, insights_agreement, insights_pull, insights_quality
from labeling.web.frame import plain
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, answer_to
from tests.web.conftest import Connect
from tests.web.test_insights_tabs import Open, ran, show, words

__all__ = ["show"]  # a fixture

NAMES = ["Ann *b*", "Bob", "Eve"]


@pytest.fixture
def me(workspace: Workspace) -> int:
    current.serve(workspace)
    return local_user(workspace)


@pytest.fixture
def project(workspace: Workspace, me: int) -> SmallProject:
    """An owner's project: three people answered nine items, the third of them by lot."""
    made = SmallProject.make(workspace, items=9, people=3, overlap=3)
    with writing(workspace.engine) as session:
        session.get_one(Membership, (made.id, me)).role = Role.OWNER
        for item in made.items:
            session.get_one(Item, item).text = f"text of {item}"
    said = [[0, 1] * 5, [0, 1] * 4 + [1], [1, 1, 0, 1, 0, 0, 1, 0, 1]]
    for person, chosen in zip(made.people, said, strict=True):
        claims = {claim.item.id: claim for claim in queue.claim(workspace, person, made.id, 9)}
        given = [
            answer_to(claims[item], made.classes[which], seconds=1.0)
            for item, which in zip(made.items, chosen, strict=False)
        ]
        assert {one.status for one in answers.submit(workspace, person, given)} == {"saved"}
    return made


def gold(person: int, *, careless: bool) -> dict[str, Any]:
    right, share = (31, 0.4) if careless else (47, 0.01)
    found = Carelessness(
        person, 50, right, 47.2, share, share / 2, share * 1.3, 20.0, 2.5, careless, 9 if careless else None
    )
    return asdict(found)


def weighed(project: SmallProject, pull: dict[str, Any] | None = None) -> None:
    """What a worker would have found: the third person is careless."""
    with writing(project.workspace.engine) as session:
        for user in project.people:
            careless = user == project.people[2]
            figures = {"answers": 9, "agreement": 0.9, "seconds": 1.5, "gold": gold(user, careless=careless)}
            row = {"accuracy": 0.58 if careless else 0.96, "flagged": careless, "figures": figures}
            session.add(Reliability(project_id=project.id, user_id=user, **row))
        now = time.time()
        done = {"kind": JobKind.WEIGH, "state": JobState.DONE, "started": now, "finished": now}
        session.add(Job(project_id=project.id, report={"pull": pull}, **done))


def become(project: SmallProject, me: int, role: Role) -> None:
    with writing(project.workspace.engine) as session:
        session.get_one(Membership, (project.id, me)).role = role


def followers(share: float, n: int = 400, alone: float = 0.05) -> dict[str, Any]:
    """The pull on two people who answer as suggested so often, where every second suggestion is wrong."""
    rng = np.random.default_rng(1)
    truth, wrong, shown = np.zeros(n, np.int64), np.arange(n) % 2 == 0, rng.random(n) < 0.5
    suggested = wrong.astype(np.int64)
    follows = rng.random(n) < np.where(shown, share, alone)
    found = asdict(measure_pull(shown, suggested, np.where(wrong & follows, 1, 0), truth, np.arange(n) // 2 % 2))
    found["by_person"] = {str(who): one for who, one in found["by_person"].items()}
    found["by_class"] = {str(which): one for which, one in found["by_class"].items()}
    return found


# Agreement


def test_the_tab_says_how_far_people_agree_and_on_how_many_items(show: Open, project: SmallProject) -> None:
    app = show(project, "agreement")
    (metric,) = app.metric
    assert metric.label == "Krippendorff’s alpha"
    assert "95 %" in metric.delta
    said = words(app)
    assert "On 9 items that several people answered" in said
    assert "With fewer than 50 items the interval is too narrow" in said
    assert len(app.get("vega_lite_chart")) == 4


def test_its_figures_offer_the_least_agreement_first(show: Open, project: SmallProject) -> None:
    by_class, by_people = show(project, "agreement").selectbox
    assert by_class.options[0] == "All items that several people answered: 9"
    assert by_people.options[0].startswith("cat or dog: ")
    assert "kappa" in by_people.options[1]
    assert by_people.options[-1].startswith("animals person 0 and animals person 1: kappa")


@pytest.mark.parametrize(
    ("row", "part", "expected"),
    [("classes", "all", 9), ("classes", "not the same", 5), ("people", "the same", 8), ("people", "not the same", 1)],
)
def test_the_items_behind_a_figure_can_be_narrowed(
    show: Open, project: SmallProject, row: str, part: str, expected: int
) -> None:
    ann, bob, _ = project.people
    which = Shared() if row == "classes" else Between(first=ann, second=bob)
    app = show(project, "agreement", **{f"insights_agreement_{row}": which})
    (choice,) = app.radio
    assert f"**{expected}** item" in words(ran(choice.set_value(part).run()))


def test_behind_a_confusion_are_its_items(show: Open, project: SmallProject) -> None:
    cat, dog = project.classes
    app = show(project, "agreement", insights_agreement_people=Taken(one=cat, other=dog))
    assert "**5** items" in words(app)


def test_where_nobodys_answers_meet_it_says_how_they_would(show: Open, workspace: Workspace, me: int) -> None:
    bare = projects.create_project(workspace, me, "bare", ["a", "b"])
    app = show(SmallProject(workspace, bare, me, (), (), ()), "agreement")
    assert "Nobody’s answers meet yet" in words(app)
    assert [button.label for button in app.button] == ["Go to Settings"]


def test_many_people_are_a_table(show: Open, project: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights_agreement, "MOST_PEOPLE", 2)
    app = show(project, "agreement")
    assert len(app.get("vega_lite_chart")) == 3
    assert list(app.dataframe[0].value.columns) == ["One", "Other", "Kappa", "Said the same", "Items"]
    assert len(app.dataframe[0].value) == 3


def test_annotators_read_who_sees_it(show: Open, project: SmallProject, me: int) -> None:
    become(project, me, Role.ANNOTATOR)
    app = show(project, "agreement")
    assert "seen by the experts and owners" in words(app)
    assert not app.metric and not app.get("vega_lite_chart")
    people = words(show(project, "people"))
    assert "How well people answer" not in people and "pull" not in people


@pytest.mark.parametrize(
    ("value", "low", "said"),
    [
        (0.9, 0.85, "can be relied on.$"), (0.82, 0.7, "may be below 0.8 by chance"), (0.7, 0.6, "fairly well"),
        (0.3, 0.2, "too little"), (-0.1, -0.2, "no more than by chance"),
    ],
)  # fmt: skip
def test_an_alpha_is_said_in_words(value: float, low: float, said: str) -> None:
    assert re.search(said, insights_agreement.meaning(value, low))


# The quality of people


def test_a_flag_comes_with_its_evidence_in_one_sentence(show: Open, project: SmallProject) -> None:
    weighed(project)
    said = words(show(project, "people"))
    assert "animals person 2 seems to answer without looking" in said.replace("\\", "")
    assert (
        "Wrong on 19 of 50 gold items where others would be wrong on 3; about 40% of the answers have nothing to do "
        "with the item (20% to 52%)." in said
    )
    assert said.count("seems to answer without looking") == 1


def test_the_evidence_behind_a_flag_is_a_click_away(show: Open, project: SmallProject) -> None:
    weighed(project)
    eve = project.people[2]
    app = ran(show(project, "people").button(key=f"evidence_{eve}").click().run())
    assert app.selectbox(key="insights_people_row").value == Checked(user_id=eve, right=False)
    assert "animals person 2: 19 gold items wrong" in app.selectbox(key="insights_people_row").options


def test_the_flagged_are_first_in_the_table(show: Open, project: SmallProject) -> None:
    weighed(project)
    table = next(t.value for t in show(project, "people").dataframe if "Careless" in t.value.columns)
    assert table["Person"][0] == "animals person 2"
    assert list(table["Right"].round()) == [58, 96, 96]
    assert list(table["Gold right"]) == [31, 47, 47]


def test_answers_are_set_aside_and_count_again(show: Open, project: SmallProject) -> None:
    weighed(project)
    eve = project.people[2]
    app = show(project, "people")
    assert "labels are derived anew without them, and the model learns without them" in words(app)
    app = ran(app.button(key=f"sure_{eve}").click().run())
    assert is_aside(project, eve)
    said = words(app)
    assert "are set aside: they count for nothing" in said and "seems to answer" not in said
    with reading(project.workspace.engine) as session:
        waiting = session.exec(select(Job.kind).where(col(Job.state) == JobState.QUEUED)).all()
    assert {JobKind.TRAIN, JobKind.WEIGH} <= set(waiting)
    app = ran(app.button(key=f"back_{eve}").click().run())
    assert not is_aside(project, eve)
    assert "seems to answer without looking" in words(app)


def is_aside(project: SmallProject, user: int) -> bool:
    with reading(project.workspace.engine) as session:
        return session.get_one(Membership, (project.id, user)).set_aside is not None


def test_who_is_not_flagged_can_be_set_aside_too(show: Open, project: SmallProject) -> None:
    weighed(project)
    ann = project.people[0]
    app = show(project, "people", insights_aside_whose=ann)
    ran(app.button(key=f"sure_{ann}").click().run())
    assert is_aside(project, ann)


def test_experts_see_the_evidence_and_set_nobody_aside(show: Open, project: SmallProject, me: int) -> None:
    weighed(project)
    become(project, me, Role.EXPERT)
    app = show(project, "people")
    assert "seems to answer without looking" in words(app)
    assert not [button for button in app.button if button.label in ("Set their answers aside", "Let them count again")]


def test_without_gold_items_it_says_how_to_make_some(show: Open, project: SmallProject) -> None:
    said = words(show(project, "people"))
    assert "There are no gold items yet" in said and "press `g`" in said
    assert "As soon as answers have been weighed" in said


def test_names_are_shown_as_they_are(show: Open, project: SmallProject) -> None:
    weighed(project)
    with writing(project.workspace.engine) as session:
        session.get_one(User, project.people[2]).name = NAMES[0]
    said = words(show(project, "people"))
    assert plain(NAMES[0]) in said and NAMES[0] not in said


def test_who_answered_no_gold_item_has_no_evidence() -> None:
    record = Record(
        user_id=1, name="x", answers=3, accuracy=0.9, agreement=None, seconds=None, flagged=False, set_aside=None,
        gold=None,
    )  # fmt: skip
    assert insights_quality.evidence(record) == "No gold item was answered yet."


# The pull of suggestions


def test_the_experiment_is_begun_where_nothing_is_hidden(show: Open, project: SmallProject, me: int) -> None:
    app = show(project, "people")
    ran(app.button(key="insights_pull_begin").click().run())
    assert projects.read_project(project.workspace, me, project.id).settings.hidden_share == 0.1
    app = show(project, "people")
    assert "They are hidden for 10% of the items, by lot" in words(app)


def test_who_does_not_own_the_project_reads_who_can(show: Open, project: SmallProject, me: int) -> None:
    become(project, me, Role.EXPERT)
    app = show(project, "people")
    assert "owners can begin" in words(app)
    assert not [button for button in app.button if button.key == "insights_pull_begin"]


def test_what_wrong_suggestions_did_is_said_and_shown_per_person_and_class(show: Open, project: SmallProject) -> None:
    pull = followers(0.6)
    pull["by_person"] = dict(zip(map(str, project.people), pull["by_person"].values(), strict=False))
    pull["by_class"] = {str(project.classes[0]): pull["by_class"]["0"]}
    weighed(project, pull)
    app = show(project, "people")
    overall = pull["overall"]
    said = words(app)
    assert f"Of **{overall['shown']}** wrong suggestions shown" in said
    assert f"of {overall['hidden']}. Seeing it changes that by" in said
    person, of_class = [t.value for t in app.dataframe if "Pull" in t.value.columns]
    assert set(person["Person"]) == {"animals person 0", "animals person 1"}
    assert list(of_class["Class"]) == ["cat"]
    assert of_class["Pull"][0] == pytest.approx(100 * overall["pull"]["value"])


@pytest.mark.parametrize(
    ("share", "n", "expected"),
    [(0.9, 2000, "harm"), (0.05, 40, "unknown")],
)  # fmt: skip
def test_what_to_do_follows_from_the_intervals(share: float, n: int, expected: str) -> None:
    assert insights_pull.verdict(followers(share, n)) == expected


def test_a_pull_that_helps_on_balance_is_kept() -> None:
    pull = followers(0.6)
    pull["harmful"], pull["net"] = False, {"value": 0.1, "low": 0.05, "high": 0.15}
    assert insights_pull.verdict(pull) == "pull and help"
    pull["net"] = {"value": 0.0, "low": -0.05, "high": 0.05}
    assert insights_pull.verdict(pull) == "pull"
    pull["overall"]["pull"] = {"value": 0.0, "low": -0.05, "high": 0.05}
    pull["net"] = {"value": 0.1, "low": 0.05, "high": 0.15}
    assert insights_pull.verdict(pull) == "help"


def test_suggestions_that_do_harm_are_hidden_by_a_button(show: Open, project: SmallProject, me: int) -> None:
    weighed(project, followers(0.9, 2000))
    app = show(project, "people")
    assert "They do harm on balance" in words(app)
    ran(app.button(key="insights_pull_hide").click().run())
    assert projects.read_project(project.workspace, me, project.id).settings.suggestions == "hide"
    app = show(project, "people")
    assert "Suggestions are hidden now" in words(app)
    assert not [button for button in app.button if button.key == "insights_pull_hide"]


@pytest.mark.parametrize(
    ("shown", "hidden", "said"), [(0, 5, "No wrong suggestion was shown yet"), (5, 0, "none was hidden yet")]
)
def test_a_side_without_answers_is_said(shown: int, hidden: int, said: str) -> None:
    counts = {"shown": shown, "shown_alike": 1, "hidden": hidden, "hidden_alike": 0}
    assert said in insights_pull.told({**counts, "pull": {"value": None, "low": -1.0, "high": 1.0}})


# REST


def test_agreement_and_people_are_for_experts(client: TestClient, connect: Connect, small: SmallProject) -> None:
    for path in ("agreement", "people"):
        assert client.get(f"/api/v1/projects/{small.id}/{path}").status_code == 200
        refused = connect("animals person 0").get(f"/api/v1/projects/{small.id}/{path}")
        assert refused.status_code == 403


def test_they_say_what_the_page_says(client: TestClient, small: SmallProject) -> None:
    with writing(small.workspace.engine) as session:
        figures = {"answers": 9, "agreement": None, "seconds": None, "gold": gold(small.people[1], careless=True)}
        row = {"accuracy": 0.58, "flagged": True, "figures": figures}
        session.add(Reliability(project_id=small.id, user_id=small.people[1], **row))
    read = client.get(f"/api/v1/projects/{small.id}/people").json()
    assert [(one["name"], one["flagged"], one["gold"]["right"]) for one in read["people"]] == [
        ("animals person 1", True, 31)
    ]
    assert (read["gold_items"], read["pull"]) == (0, None)
    agreement = client.get(f"/api/v1/projects/{small.id}/agreement").json()
    assert agreement == {"items": 0, "alpha": None, "classes": [], "periods": [], "pairs": [], "confusion": []}


def test_an_annotator_cannot_ask_for_the_items_behind_agreement(connect: Connect, small: SmallProject) -> None:
    path = f"/api/v1/projects/{small.id}/insights/items"
    for query in ("kind=shared", "kind=between&first=1&second=2", "kind=taken&one=1&other=2", "kind=checked&user_id=1"):
        assert connect("animals person 0").get(f"{path}?{query}").status_code == 403
