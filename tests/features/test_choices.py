"""What a page says of the encoders: those that fit, what they need, which is at work, at hand, and on its way."""

import numpy as np
import pytest

from labeling import jobs
from labeling.db.engine import writing
from labeling.db.schema import JobKind, Role
from labeling.errors import NotAllowed, NotFound
from labeling.features.choices import ABOUT, MEASURED, WAYS, encode_again, encoder_choices, feature_state
from labeling.features.clip import Clip
from labeling.features.encoding import ENCODERS, encode_project
from labeling.features.matrix import FeatureMatrix
from labeling.features.pretrained import Pretrained
from labeling.features.sentences import Sentences
from labeling.users import grant
from labeling.workspace import Workspace
from tests.db.small_project import add_user
from tests.features.contents import rows, sentences, shapes


@pytest.mark.parametrize(
    ("items", "names"),
    [
        (shapes(3), ["patches", "hog", "pixels", "clip", "brought"]),
        (shapes(3, side=8), ["hog", "patches", "pixels", "clip", "brought"]),
        (sentences(3), ["tfidf", "sentences", "brought"]),
        (rows(3), ["table", "brought"]),
        ([], ["patches", "hog", "pixels", "clip", "brought"]),
    ],
)
def test_the_encoders_for_a_kind_of_item_are_offered_the_best_without_a_download_first(
    workspace: Workspace, project: int, owner: int, add, items: list, names: list[str]
):
    add(items)
    offered = encoder_choices(workspace, owner, project)
    assert offered.setting == "auto" and offered.kept == []
    assert [choice.name for choice in offered.choices] == names
    assert [choice.best for choice in offered.choices] == [True] + [False] * (len(names) - 1)
    assert not any(choice.live for choice in offered.choices)
    assert {c.name for c in offered.choices if c.default} == {"clip", "sentences"} & set(names)


def test_the_one_that_is_at_work_is_said(workspace: Workspace, project: int, owner: int, add, choose):
    add(shapes(3))
    choose("hog")
    encode_project(workspace, project)
    offered = encoder_choices(workspace, owner, project)
    assert offered.setting == "hog"
    assert [choice.name for choice in offered.choices if choice.live] == ["hog"]
    assert [(kept.setting, kept.rows, kept.live) for kept in offered.kept] == [("hog", 3, True)]


@pytest.mark.parametrize(("items", "kind"), [(shapes(3), Clip), (sentences(3), Sentences)])
def test_what_is_better_is_offered_and_how_to_get_it_where_it_is_not_installed(
    workspace: Workspace,
    project: int,
    owner: int,
    add,
    choose,
    items: list,
    kind: type[Pretrained],
    monkeypatch: pytest.MonkeyPatch,
):
    add(items)
    monkeypatch.setattr(Pretrained, "installed", classmethod(lambda cls: True))
    offered = encoder_choices(workspace, owner, project)
    assert offered.better.endswith(f"Choose “{kind.name}”.")
    assert {c.missing for c in offered.choices} == {""}
    monkeypatch.setattr(Pretrained, "installed", classmethod(lambda cls: False))
    offered = encoder_choices(workspace, owner, project)
    assert f"pip install 'askwise[{kind.extra}]'" in offered.better
    (missing,) = [c.missing for c in offered.choices if c.name == kind.name]
    assert f"pip install 'askwise[{kind.extra}]'" in missing
    choose(f"{kind.name}:/somewhere")
    assert encoder_choices(workspace, owner, project).better == ""


def test_features_side_by_side_are_at_hand_each_with_its_weights(
    workspace: Workspace, project: int, owner: int, add, choose
):
    add(shapes(3))
    for name in ("hog", "pixels"):
        choose(name)
        encode_project(workspace, project)
    made(workspace, project, "clip-one", "ViT-B-32/one", 3)
    made(workspace, project, "clip-two", "/two", 2)  # not done yet
    kept = encoder_choices(workspace, owner, project).kept
    assert [each.setting for each in kept] == ["clip:ViT-B-32/one", "pixels", "hog"]
    assert [each.name for each in kept if each.live] == ["pixels"]


def made(workspace: Workspace, project: int, version: str, spec: str, rows: int) -> None:
    """Features of CLIP, so many rows of them."""
    parameters: dict[str, int | str] = {"spec": spec, "weights": version, "columns": 2}
    FeatureMatrix.create(
        workspace.features(project, version), width=2, encoder="clip", version=version, parameters=parameters
    ).append(np.ones((rows, 2)))


def test_how_far_new_features_are_is_told_with_those_that_are_used_until_then(
    workspace: Workspace, project: int, owner: int, add, choose
):
    add(shapes(4))
    assert feature_state(workspace, owner, project).model_dump() == {
        "live": "", "coming": "", "share": 0.0, "message": "", "problem": "",
    }  # fmt: skip
    choose("hog")
    encode_project(workspace, project)
    choose("clip:/two")
    with writing(workspace.engine) as session:
        jobs.request(session, project, JobKind.ENCODE)
    made(workspace, project, "clip-two", "/two", 1)
    state = feature_state(workspace, owner, project)
    assert (state.live, state.coming, state.share) == ("hog", "clip (/two)", 0.25)
    assert state.message == "1 of 4 items have features"
    job = jobs.take(workspace, "w")
    assert job is not None
    jobs.beat(workspace, job, 0.5, "2 of 4 images encoded, 3 a second, 1 s left")
    assert feature_state(workspace, owner, project).message == "2 of 4 images encoded, 3 a second, 1 s left"
    with writing(workspace.engine) as session:
        jobs.finish(session, job, error="The weights are not there.")
    state = feature_state(workspace, owner, project)
    assert (state.live, state.coming, state.problem) == ("hog", "", "The weights are not there.")
    encode_again(workspace, owner, project)
    assert feature_state(workspace, owner, project).problem == ""


def test_every_encoder_is_described_and_measured():
    assert set(ABOUT) == set(ENCODERS) and set(MEASURED) == set(ENCODERS) - {"brought"}
    assert set(WAYS) == {kind for kind in ENCODERS.values() if issubclass(kind, Pretrained)}


def test_strangers_are_told_nothing_and_annotators_start_nothing(workspace: Workspace, project: int, owner: int, add):
    add(shapes(3))
    mallory = add_user(workspace, "mallory")
    for door in (encoder_choices, feature_state, encode_again):
        with pytest.raises(NotFound):
            door(workspace, mallory, project)
    with writing(workspace.engine) as session:
        grant(session, project, mallory, Role.ANNOTATOR)
    assert encoder_choices(workspace, mallory, project).choices
    with pytest.raises(NotAllowed):
        encode_again(workspace, mallory, project)
