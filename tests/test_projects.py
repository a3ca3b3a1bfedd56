"""Projects: what they are called, what their classes and settings may be, and who sees them."""

import pytest
from sqlmodel import select

from labeling import jobs, projects
from labeling.classes import KEYS, add_classes, classes_of
from labeling.db.engine import reading, writing
from labeling.db.schema import Event, JobKind, LabelClass, Project, Role
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.features import encoding
from labeling.features.encoding import AUTO
from labeling.projects import (
    ENCODERS,
    Settings,
    create_project,
    find_project,
    list_projects,
    read_project,
    strategy_names,
    update_settings,
)
from labeling.workspace import Workspace
from strategies import available_strategies
from tests.db.small_project import add_user


@pytest.fixture
def ada(workspace: Workspace) -> int:
    return add_user(workspace, "ada")


def classes(workspace: Workspace, project: int) -> list[tuple[str, str | None]]:
    with reading(workspace.engine) as session:
        return [(c.name, c.key) for c in classes_of(session, project)]


def test_who_makes_a_project_owns_it_and_everybody_else_annotates_in_it(workspace: Workspace, ada: int):
    bob = add_user(workspace, "bob")
    made = create_project(workspace, ada, "birds", ["wren", "robin"], guidelines="Look twice.")
    assert [(p.id, p.name, p.role, p.class_count) for p in list_projects(workspace, ada)] == [
        (made, "birds", Role.OWNER, 2)
    ]
    seen = read_project(workspace, bob, made)
    assert (seen.role, seen.guidelines, seen.items, seen.labels) == (Role.ANNOTATOR, "Look twice.", 0, 0)


def test_a_project_is_found_by_its_name_or_its_number(workspace: Workspace, ada: int):
    made = create_project(workspace, ada, "birds", [])
    assert find_project(workspace, ada, "birds") == find_project(workspace, ada, str(made)) == made
    with pytest.raises(Invalid, match="there are: birds"):
        find_project(workspace, ada, "fish")


def test_a_project_that_is_called_like_another_ones_number_is_found_by_its_name(workspace: Workspace, ada: int):
    first = create_project(workspace, ada, "birds", [])
    second = create_project(workspace, ada, str(first), [])
    assert find_project(workspace, ada, str(first)) == second


def test_a_project_is_hidden_from_who_came_later(workspace: Workspace, ada: int):
    made = create_project(workspace, ada, "birds", [])
    late = add_user(workspace, "late")
    assert list_projects(workspace, late) == []
    with pytest.raises(NotFound):
        read_project(workspace, late, made)


@pytest.mark.parametrize("name", ["", "   ", "a\0b", "x" * 201])
def test_a_project_or_class_without_a_proper_name_is_refused(workspace: Workspace, ada: int, name: str):
    with pytest.raises(Invalid):
        create_project(workspace, ada, name, [])
    with pytest.raises(Invalid):
        create_project(workspace, ada, "birds", ["wren", name])
    assert list_projects(workspace, ada) == []


def test_a_name_is_taken_only_once(workspace: Workspace, ada: int):
    create_project(workspace, ada, "birds", [])
    with pytest.raises(Invalid, match="already there"):
        create_project(workspace, ada, " birds ", [])
    with pytest.raises(Invalid, match="named twice"):
        create_project(workspace, ada, "fish", ["carp", "pike", " carp"])


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("overlap", 0), ("overlap", 101), ("overlap", "many"), ("lease_seconds", 0), ("lease_seconds", 100_000),
        ("suggestions", "sometimes"), ("overlapp", 2), ("strategy", 3),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused_by_its_name(
    workspace: Workspace, ada: int, setting: str, value: object
):
    with pytest.raises(Invalid, match=f"“{setting}”"):
        create_project(workspace, ada, "birds", [], settings={setting: value})
    made = create_project(workspace, ada, "birds", [])
    with pytest.raises(Invalid, match=f"“{setting}”"):
        update_settings(workspace, ada, made, {setting: value})


def test_settings_change_one_by_one_and_the_change_is_on_record(workspace: Workspace, ada: int):
    made = create_project(workspace, ada, "birds", [], settings={"overlap": 2})
    assert update_settings(workspace, ada, made, {"lease_seconds": 60}) == Settings(overlap=2, lease_seconds=60)
    with reading(workspace.engine) as session:
        events = [(e.user_id, e.kind, e.detail) for e in session.exec(select(Event)).all()]
    assert events[-1] == (ada, "settings changed", {"lease_seconds": 60})


@pytest.mark.parametrize(("given", "most"), [({}, 5), ({"overlap": 3}, 3), ({"overlap": 1}, 1)])
def test_answers_by_need_leave_room_for_five_unless_told_otherwise(workspace: Workspace, ada: int, given, most: int):
    by_need = {"opinions": "by_need", **given}
    made = create_project(workspace, ada, "made so", ["cat", "dog"], settings=by_need)
    changed = create_project(workspace, ada, "changed later", ["cat", "dog"])
    update_settings(workspace, ada, changed, by_need)
    assert [read_project(workspace, ada, one).settings.overlap for one in (made, changed)] == [most, most]


@pytest.mark.parametrize("setting", ["strategy", "encoder"])
def test_a_strategy_or_encoder_that_is_not_there_is_refused_with_those_that_are(
    workspace: Workspace, ada: int, setting: str
):
    with pytest.raises(Invalid, match=f"“{setting}” cannot be “crystal ball”; there are: a"):
        create_project(workspace, ada, "birds", [], settings={setting: "crystal ball"})
    made = create_project(workspace, ada, "birds", [])
    with pytest.raises(Invalid, match="there are: "):
        update_settings(workspace, ada, made, {setting: "crystal ball"})
    with writing(workspace.engine) as session:  # as when the package that brought it was removed
        session.get_one(Project, made).settings = {setting: "crystal ball"}
    assert update_settings(workspace, ada, made, {"overlap": 2}).overlap == 2


def test_what_projects_know_by_name_is_what_there_is():
    assert strategy_names() == available_strategies()
    assert set(ENCODERS) == {AUTO, *encoding.ENCODERS}


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"strategy": "margin"}, {JobKind.TRAIN}), ({"near_duplicates": "once"}, {JobKind.TRAIN}),
        ({"encoder": "pixels"}, {JobKind.ENCODE}), ({"lease_seconds": 60}, set()), ({"overlap": 1}, set()),
    ],
)  # fmt: skip
def test_a_setting_that_moves_the_ranking_or_the_features_has_them_made_anew(
    workspace: Workspace, ada: int, changes: dict[str, object], asked: set[JobKind]
):
    made = create_project(workspace, ada, "birds", [])
    update_settings(workspace, ada, made, changes)
    with reading(workspace.engine) as session:
        assert {job.kind for job in jobs.unfinished(session, made)} == asked


def test_guidelines_change_and_pages_that_are_open_are_told(workspace: Workspace, ada: int):
    made = create_project(workspace, ada, "birds", [], guidelines="Look.")
    update_settings(workspace, ada, made, {"guidelines": " Look twice.\n"})
    seen = read_project(workspace, ada, made)
    assert (seen.guidelines, seen.schema_version) == ("Look twice.", 2)
    update_settings(workspace, ada, made, {"guidelines": "Look twice."})
    assert read_project(workspace, ada, made).schema_version == 2
    for wrong in ("a\0b", "x" * 20_001, 3):
        with pytest.raises(Invalid):
            update_settings(workspace, ada, made, {"guidelines": wrong})


def test_only_the_owner_changes_settings(workspace: Workspace, ada: int):
    bob = add_user(workspace, "bob")
    made = create_project(workspace, ada, "birds", [])
    with pytest.raises(NotAllowed, match="owner"):
        update_settings(workspace, bob, made, {"overlap": 2})
    with pytest.raises(NotFound):
        update_settings(workspace, add_user(workspace, "late"), made, {"overlap": 2})


def test_classes_get_digits_and_then_letters(workspace: Workspace, ada: int):
    names = [f"class {i}" for i in range(40)]
    made = create_project(workspace, ada, "many", names)
    assert classes(workspace, made) == list(zip(names, [*KEYS, None, None, None, None], strict=True))


def test_a_class_of_one_character_has_that_key(workspace: Workspace, ada: int):
    made = create_project(workspace, ada, "digits", [str(digit) for digit in range(10)])
    assert classes(workspace, made) == [(str(digit), str(digit)) for digit in range(10)]
    made = create_project(workspace, ada, "letters", ["B", "A", "?"])
    assert classes(workspace, made) == [("B", "b"), ("A", "a"), ("?", "1")]


def test_no_two_classes_share_a_key(workspace: Workspace, ada: int):
    made = create_project(workspace, ada, "odd", ["first", "1", "A", "a", "2"])
    keys = [key for _, key in classes(workspace, made)]
    assert None not in keys and len(set(keys)) == len(keys)


def test_classes_are_added_once_and_their_ids_stay(workspace: Workspace, ada: int):
    made = create_project(workspace, ada, "birds", ["wren"])
    with writing(workspace.engine) as session:
        first = add_classes(session, made, ["wren", "robin"])
        session.get_one(LabelClass, first["wren"]).retired = True
    with writing(workspace.engine) as session:
        again = add_classes(session, made, ["owl", "robin", "owl"])
    assert {name: again[name] for name in first} == first
    assert [name for name, _ in classes(workspace, made)] == ["wren", "robin", "owl"]
    assert projects.read_project(workspace, ada, made).class_count == 2
