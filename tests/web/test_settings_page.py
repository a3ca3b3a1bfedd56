"""The Settings page as a script: classes, settings and near-duplicates, for owners and for those who only read."""

import re
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from sqlmodel import delete, select
from streamlit.testing.v1 import AppTest

from labeling import jobs, projects
from labeling.annotation.merging import merge_class
from labeling.classes import ClassDetail, add_class, class_changes, edit_class, list_classes, retire_class
from labeling.db.engine import writing
from labeling.db.schema import Event, JobKind, Membership, Role
from labeling.features.clip import Clip
from labeling.features.matrix import FeatureMatrix
from labeling.features.words import keep_word
from labeling.intake.near_duplicates import link_near_duplicates
from labeling.learning import word_preview
from labeling.users import local_user
from labeling.web import current, settings_classes, settings_history, settings_people
from labeling.web.frame import PAGES, plain
from labeling.web.server import app_options
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject, not_waiting_for_the_disk

WORDS, LABELING = ":material/translate: Words", ":material/tune: Labeling"
NEAR = ":material/content_copy: Near-duplicates"
PEOPLE = ":material/group: People and answers"
HISTORY = ":material/history: History"
STORY = "the pump in the northern hall rattled again this morning and nobody came to look at it"

Show = Callable[..., AppTest]


@pytest.fixture
def project(workspace: Workspace) -> SmallProject:
    """A project in which the local user is an owner."""
    current.serve(not_waiting_for_the_disk(workspace))
    me = local_user(workspace)
    made = SmallProject.make(workspace, classes=("cat", "dog", "cow"), people=1)
    with writing(workspace.engine) as session:
        session.get_one(Membership, (made.id, me)).role = Role.OWNER
    return made


@pytest.fixture
def show(workspace: Workspace, project: SmallProject) -> Show:
    """Open the page at one of its tabs."""

    def show(tab: str | None = None, **state: object) -> AppTest:
        app = AppTest.from_file(app_options(workspace, with_worker=False)["script_path"], default_timeout=60)
        app.run()
        for name, value in state.items():
            app.session_state[name] = value
        if tab is not None:
            app.session_state["settings_tab"] = tab
        app.switch_page(str(PAGES / "settings.py")).run()
        assert not app.exception, app.exception
        return app

    return show


def words(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.error, app.info)
    return "\n".join([element.value for kind in kinds for element in kind] + [button.label for button in app.button])


def there(project: SmallProject) -> dict[str, ClassDetail]:
    return {c.name: c for c in list_classes(project.workspace, project.owner, project.id)}


def annotator(project: SmallProject) -> None:
    me = local_user(project.workspace)
    with writing(project.workspace.engine) as session:
        session.get_one(Membership, (project.id, me)).role = Role.ANNOTATOR


def run(changed: Any) -> AppTest:
    """Run the page after what was done to it or to one of its elements."""
    app: AppTest = changed.run()
    assert not app.exception, app.exception
    return app


def test_classes_are_listed_with_their_labels_and_those_out_of_use(show: Show, project: SmallProject) -> None:
    project.answer(project.people[0], project.items[0], project.classes[2])
    merge_class(project.workspace, project.owner, project.classes[2], project.classes[0])
    retire_class(project.workspace, project.owner, project.classes[1])
    app = show()
    said = words(app)
    assert "1 label]" in said and "merged into cat" in said and "retired" in said
    assert [e.label for e in app.expander] == ["Out of use: 2"]


def test_a_class_is_added_moved_and_brought_back(show: Show, project: SmallProject) -> None:
    app = show()
    app.text_input(key="new_class_name").set_value("owl")
    run(next(b for b in app.button if b.label == "Add").click())
    assert list(there(project)) == ["cat", "dog", "cow", "owl"]
    app = show()
    run(app.button(key=f"class_up_{there(project)['owl'].id}").click())
    assert list(there(project)) == ["cat", "dog", "owl", "cow"]
    retire_class(project.workspace, project.owner, project.classes[0])
    app = show()
    run(app.button(key=f"class_back_{project.classes[0]}").click())
    assert not there(project)["cat"].retired


def test_a_class_that_cannot_be_added_is_one_sentence(show: Show, project: SmallProject) -> None:
    app = show()
    app.text_input(key="new_class_name").set_value("cat")
    run(next(b for b in app.button if b.label == "Add").click())
    assert [e.value for e in app.error] == [plain("There is a class “cat” already; choose another name.")]


def editing(show: Show, project: SmallProject, dialog: str, name: str) -> tuple[AppTest, Callable[[AppTest], AppTest]]:
    """The page with a dialog on it, and how to run it again with the dialog still there."""
    opened = (dialog, there(project)[name].id)

    def again(app: AppTest) -> AppTest:
        app.session_state[settings_classes.DIALOG] = opened
        return run(app)

    return show(**{settings_classes.DIALOG: opened}), again


def test_a_class_is_edited_and_takes_a_key_from_another(show: Show, project: SmallProject) -> None:
    app, again = editing(show, project, "edit", "cat")
    next(t for t in app.text_input if t.label == "Name").set_value("Cat & <b>co</b>")
    next(s for s in app.selectbox if s.label == "Key").select("2")
    next(t for t in app.text_area if t.label == "Description").set_value("furry")
    next(t for t in app.toggle if t.label == "Colour").set_value(True)
    app = again(app)
    app.session_state[settings_classes.DIALOG] = ("edit", project.classes[0])
    run(next(b for b in app.button if b.label == "Save").click())
    cat = there(project)["Cat & <b>co</b>"]
    assert (cat.key, cat.description, cat.colour) == ("2", "furry", settings_classes.COLOUR)
    assert there(project)["dog"].key is None


def test_examples_are_chosen_among_labeled_items(show: Show, project: SmallProject) -> None:
    project.answer(project.people[0], project.items[0], project.classes[0])
    app, again = editing(show, project, "edit", "cat")
    app.checkbox(key=f"example_{project.classes[0]}_{project.items[0]}").set_value(True)
    app = again(app)
    app.session_state[settings_classes.DIALOG] = ("edit", project.classes[0])
    run(next(b for b in app.button if b.label == "Save").click())
    assert there(project)["cat"].examples == [project.items[0]]


def test_a_name_that_is_taken_keeps_the_dialog_and_says_so(show: Show, project: SmallProject) -> None:
    app, again = editing(show, project, "edit", "cat")
    next(t for t in app.text_input if t.label == "Name").set_value("dog")
    app = again(app)
    app.session_state[settings_classes.DIALOG] = ("edit", project.classes[0])
    run(next(b for b in app.button if b.label == "Save").click())
    assert "or merge “cat” into it" in app.error[0].value.replace("\\", "")
    assert list(there(project)) == ["cat", "dog", "cow"]


def test_a_class_is_merged_in_a_dialog(show: Show, project: SmallProject) -> None:
    app, again = editing(show, project, "merge", "cow")
    next(s for s in app.selectbox if "stands for" in s.label).select(project.classes[1])
    app = again(app)
    app.session_state[settings_classes.DIALOG] = ("merge", project.classes[2])
    run(next(b for b in app.button if b.label == "Merge").click())
    assert there(project)["cow"].merged_into == project.classes[1]


def test_who_is_no_owner_reads_and_changes_nothing(show: Show, project: SmallProject) -> None:
    annotator(project)
    app = show()
    assert "owners can change them" in words(app)
    assert not {"Add", "Edit"} & {b.label for b in app.button} and len(app.text_input) == 0
    app = show(LABELING)
    inputs = [*app.selectbox, *app.number_input, *app.text_area]
    assert inputs and all(i.disabled for i in inputs)
    app = show(PEOPLE)
    inputs = [*app.radio, *app.selectbox, *app.number_input, *app.toggle]
    assert len(inputs) == 7 and all(i.disabled for i in inputs)


def test_settings_are_saved_as_they_are_changed(show: Show, project: SmallProject) -> None:
    app = show(LABELING)
    run(app.selectbox(key=f"setting_strategy_{project.id}").select("margin"))
    app = show(LABELING)
    run(app.number_input(key=f"setting_target_accuracy_{project.id}").set_value(90.0))
    app = show(LABELING)
    run(app.text_area(key=f"setting_guidelines_{project.id}").set_value("Look twice."))
    seen = projects.read_project(project.workspace, project.owner, project.id)
    assert (seen.settings.strategy, seen.settings.target_accuracy, seen.guidelines) == ("margin", 0.9, "Look twice.")
    assert "likeliest classes" in words(show(LABELING))


def test_a_page_that_was_open_shows_what_somebody_else_set_meanwhile(show: Show, project: SmallProject) -> None:
    app = show(PEOPLE)
    projects.update_settings(project.workspace, project.owner, project.id, {"overlap": 7})
    assert run(app).number_input(key=f"setting_overlap_{project.id}").value == 7


def now(project: SmallProject) -> projects.Settings:
    return projects.read_project(project.workspace, project.owner, project.id).settings


def test_how_many_answers_an_item_gets_is_one_choice(show: Show, project: SmallProject) -> None:
    mode, overlap = f"setting_answers_{project.id}", f"setting_overlap_{project.id}"
    app = show(PEOPLE)
    assert app.radio(key=mode).value == "once" and overlap not in [n.key for n in app.number_input]
    app = run(app.radio(key=mode).set_value("same"))
    assert (now(project).opinions, now(project).overlap) == ("fixed", 2)
    app = run(app.number_input(key=overlap).set_value(4))
    app = run(app.radio(key=mode).set_value("need"))
    assert (now(project).opinions, now(project).overlap) == ("by_need", projects.MOST_BY_NEED)
    assert "where the model objects" in words(app)
    app = run(app.number_input(key=f"setting_certainty_{project.id}").set_value(99.0))
    assert now(project).certainty == 0.99
    app = run(app.radio(key=mode).set_value("once"))
    assert (now(project).opinions, now(project).overlap) == ("fixed", 1)
    run(app.radio(key=mode).set_value("need"))
    assert now(project).overlap == projects.MOST_BY_NEED


def test_what_becomes_of_answers_and_how_people_are_checked_is_saved(show: Show, project: SmallProject) -> None:
    app = run(show(PEOPLE).selectbox(key=f"setting_consensus_{project.id}").select("crowdlab"))
    assert "the model beside them" in words(app)
    for name, shown in (("gold_share", 20.0), ("hidden_share", 15.0)):
        app = run(app.number_input(key=f"setting_{name}_{project.id}").set_value(shown))
    for name in ("soft_labels", "blind"):
        app = run(app.toggle(key=f"setting_{name}_{project.id}").set_value(True))
    kept = now(project)
    assert (kept.consensus, kept.gold_share, kept.hidden_share) == ("crowdlab", 0.2, 0.15)
    assert kept.soft_labels and kept.blind


def test_hiding_by_itself_says_what_it_needs(show: Show, project: SmallProject) -> None:
    app = run(show(PEOPLE).radio(key=f"setting_suggestions_{project.id}").set_value("auto"))
    assert now(project).suggestions == "auto"
    assert "10 percent will do" in words(app)
    app = run(app.number_input(key=f"setting_hidden_share_{project.id}").set_value(10.0))
    assert "10 percent will do" not in words(app)


def test_every_way_to_a_label_is_explained() -> None:
    field = projects.Settings.model_fields["consensus"].annotation
    assert set(settings_people.CONSENSUS) == set(get_args(field))


def test_every_built_in_strategy_is_explained() -> None:
    explained = (PAGES / "settings.py").read_text(encoding="utf-8")
    for name in projects.strategy_names():
        assert f'    "{name}": "' in explained


def test_columns_of_rows_can_be_put_first(show: Show, project: SmallProject) -> None:
    assert not show(LABELING).multiselect
    project.add_items(1, fields={"site": "Harbour", "depth": 4})
    app = show(LABELING)
    (columns,) = app.multiselect
    assert columns.options == ["site", "depth"]
    run(columns.select("depth"))
    assert projects.read_project(project.workspace, project.owner, project.id).settings.columns == ["depth"]


def encoders(app: AppTest, project: SmallProject) -> Any:
    return app.selectbox(key=f"setting_encoder_{project.id}")


def setting(project: SmallProject) -> str:
    return projects.read_project(project.workspace, project.owner, project.id).settings.encoder


def test_an_encoder_with_weights_is_taken_when_they_are_named(show: Show, project: SmallProject) -> None:
    project.add_features(np.eye(6, 3, dtype=np.float32))
    app = show(LABELING)
    assert not [t for t in app.text_input if t.label == "Weights"]
    app = run(encoders(app, project).select("clip"))
    assert setting(project) == "auto"  # nothing is begun before it is said with which weights
    (weights,) = [t for t in app.text_input if t.label == "Weights"]
    assert weights.placeholder == Clip.default and plain("ARCHITECTURE@FILE") in words(app)
    weights.set_value(" /models/mine ")
    app = run(next(b for b in app.button if b.label == "Use clip").click())
    assert setting(project) == "clip:/models/mine"
    assert encoders(app, project).value == "clip"
    assert [t.value for t in app.text_input if t.label == "Weights"] == ["/models/mine"]
    assert plain("Until clip (/models/mine) has every item, the model learns from pixels.") in words(app)
    app = run(encoders(app, project).select("pixels"))
    assert setting(project) == "pixels"


def test_an_encoder_that_is_not_installed_says_how_to_get_it(
    show: Show, project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clip, "installed", classmethod(lambda cls: False))
    app = run(encoders(show(LABELING), project).select("clip"))
    assert plain("pip install 'askwise[clip]'") in words(app)
    assert "Use clip" not in [b.label for b in app.button] and setting(project) == "auto"


def test_features_that_cannot_be_made_say_why_and_what_goes_on(show: Show, project: SmallProject) -> None:
    project.add_features(np.eye(6, 3, dtype=np.float32))
    projects.update_settings(project.workspace, project.owner, project.id, {"encoder": "clip:/gone"})
    job = jobs.take(project.workspace, "w", kinds={JobKind.ENCODE})
    assert job is not None
    with writing(project.workspace.engine) as session:
        jobs.finish(session, job, error="There is no such folder.")
    app = show(LABELING)
    assert [e.value for e in app.error] == [plain("There is no such folder. The model goes on with pixels.")]
    app = run(next(b for b in app.button if b.label == "Try again").click())
    assert not app.error and "has every item" in words(app)


def test_features_that_are_at_hand_are_gone_back_to(show: Show, project: SmallProject) -> None:
    project.add_features(np.eye(6, 3, dtype=np.float32))
    project.add_features(np.eye(6, 3, dtype=np.float32), version="pixels-newer")
    assert "Go back" not in [b.label for b in show(LABELING).button]  # of one kind, the newest
    FeatureMatrix.create(
        project.workspace.features(project.id, "hog-1"), width=3, encoder="hog", version="hog-1"
    ).append(np.eye(6, 3))
    projects.update_settings(project.workspace, project.owner, project.id, {"encoder": "hog"})
    app = show(LABELING)
    run(app.button(key="use_pixels").click())
    assert setting(project) == "pixels"


@pytest.fixture
def sorted_by_words(project: SmallProject, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """The project with features that know words, and a model that knows nothing else."""
    monkeypatch.setattr(word_preview, "PATIENCE_SECONDS", 0.0)
    projects.update_settings(project.workspace, project.owner, project.id, {"encoder": "clip", "templates": ["a {}"]})
    matrix = FeatureMatrix.create(
        project.workspace.features(project.id, "clip-1"), width=3, encoder="clip", version="clip-1",
        parameters={"spec": Clip.default, "weights": "1", "columns": 3},
    )  # fmt: skip
    matrix.append(np.tile(np.eye(3, dtype=np.float32), (2, 1)))
    for text, at in {"a cat": 0, "a dog": 1, "a cow": 2, "it barks": 1, "it purrs": 0}.items():
        keep_word(matrix, text, np.eye(3, dtype=np.float32)[at])
    project.learn()
    return project


def field(app: AppTest, project: SmallProject, of: int) -> Any:
    return app.text_area(key=f"words_{project.id}_{of}")


def test_words_are_edited_with_their_effect_before_they_are_saved(show: Show, sorted_by_words: SmallProject) -> None:
    project = sorted_by_words
    cat, dog, _ = project.classes
    app = show(WORDS)
    assert "By words alone, on 6 items." in words(app)
    assert field(app, project, dog).placeholder == "a dog"
    app = run(field(app, project, dog).set_value("it purrs\n\n"))
    app = run(field(app, project, cat).set_value("it barks"))
    assert "**4** of 6 items change their class." in words(app)
    assert ":gray[cat →] **dog**" in words(app)
    assert there(project)["dog"].prompts == []
    app = show(WORDS, **{f"words_draft_{project.id}": dict(app.session_state[f"words_draft_{project.id}"])})
    assert field(app, project, dog).value == "it purrs\n\n"  # what was typed outlives a look elsewhere
    app = run(next(b for b in app.button if b.label == "Save").click())
    assert (there(project)["cat"].prompts, there(project)["dog"].prompts) == (["it barks"], ["it purrs"])
    assert "change their class" not in words(app) and not [b for b in app.button if b.label == "Discard"]


def test_words_that_nobody_has_read_yet_are_waited_for(show: Show, sorted_by_words: SmallProject) -> None:
    project = sorted_by_words
    app = run(field(show(WORDS), project, 0).set_value("a photo of a {}"))
    assert "new words are not read" in words(app)
    app = run(next(b for b in app.button if b.label == "Discard").click())
    assert field(app, project, 0).value == "a {}" and "By words alone" in words(app)


def test_words_that_cannot_be_are_refused_in_one_sentence_and_stay_on_the_page(
    show: Show, sorted_by_words: SmallProject
) -> None:
    project = sorted_by_words
    app = run(field(show(WORDS), project, 0).set_value("it barks"))
    assert "have the same texts" in app.warning[0].value
    app = run(next(b for b in app.button if b.label == "Save").click())
    assert "where the class name goes" in app.error[0].value
    assert field(app, project, 0).value == "it barks"
    assert projects.read_project(project.workspace, project.owner, project.id).settings.templates == ["a {}"]


def test_annotators_read_words_and_change_none(show: Show, sorted_by_words: SmallProject) -> None:
    annotator(sorted_by_words)
    app = show(WORDS)
    assert not app.text_area and "a dog" in words(app)


def test_where_words_do_nothing_the_tab_says_how_to_get_there(show: Show, project: SmallProject) -> None:
    project.add_features(np.eye(6, 3, dtype=np.float32))
    app = show(WORDS)
    assert "choose clip under Labeling" in words(app) and not app.text_area


def test_near_duplicates_are_counted_and_shown(show: Show, project: SmallProject) -> None:
    assert "0 of 6 items were looked at" in words(show(NEAR))
    project.add_items(1, text=STORY)
    project.add_items(1, text=STORY.upper() + "!")
    link_near_duplicates(project.workspace, project.id)
    said = words(show(NEAR))
    assert "**2** items in **1** group are nearly the same." in said and plain(STORY) in said
    assert "looked at so far" not in said


def test_peoples_text_is_shown_as_it_is(show: Show, project: SmallProject) -> None:
    hostile = "a *b* [c](http://d) :red[e] $f$ <i>g</i> `h`"
    add_class(project.workspace, project.owner, project.id, class_changes(name=hostile, description=hostile))
    said = words(show())
    assert plain(hostile) in said and hostile not in said


def lines(app: AppTest) -> list[tuple[str, str]]:
    """What the history tells: who with the time, and what."""
    told = [element.value for element in app.markdown]
    first = next((at for at, value in enumerate(told) if re.match(r":gray\[\d\d:\d\d\]", value)), len(told))
    return list(zip(told[first::2], told[first + 1 :: 2], strict=True))


def test_the_history_is_told_by_day_the_newest_first(show: Show, project: SmallProject) -> None:
    edit_class(project.workspace, project.owner, project.classes[0], class_changes(name="feline"))
    with writing(project.workspace.engine) as session:
        made = session.exec(select(Event).where(Event.kind == "project created")).one()
        made.created = 1_700_000_000.0
    app = show(HISTORY)
    newest, oldest = lines(app)
    assert newest[1] == plain("The class “cat” was renamed “feline”.")
    assert oldest == (":gray[22:13] **animals owner**", plain("The project “animals” was created."))
    assert app.subheader[-1].value == "Tuesday, 14 November 2023" and len(app.subheader) == 2
    assert "Show earlier" not in words(app)


def test_earlier_events_are_shown_when_they_are_asked_for(
    show: Show, project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_history, "PAGE", 2)
    for name in ("a", "b", "c"):
        edit_class(project.workspace, project.owner, project.classes[0], class_changes(name=name))
    app = show(HISTORY)
    assert len(lines(app)) == 2
    app = run(next(b for b in app.button if b.label == "Show earlier").click())
    assert len(lines(app)) == 4 and "Show earlier" not in words(app)


def test_names_in_the_history_are_shown_as_they_are(show: Show, project: SmallProject) -> None:
    hostile = "a *b* [c](http://d) :red[e] | <i>g</i>"
    add_class(project.workspace, project.owner, project.id, class_changes(name=hostile))
    told = lines(show(HISTORY))[0][1]
    assert plain(hostile) in told and hostile not in told


def test_the_history_says_whom_it_is_for_and_when_it_is_empty(show: Show, project: SmallProject) -> None:
    with writing(project.workspace.engine) as session:
        session.exec(delete(Event))
    assert "Nothing happened yet" in [s.value for s in show(HISTORY).subheader]
    annotator(project)
    app = show(HISTORY)
    assert "The history is for owners" in [s.value for s in app.subheader] and not lines(app)
