"""Tuning of CLIP: what learns and what stays, what is written, and what cannot be tuned."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labeling.features import tuned, tuning
from labeling.features.base import Content
from labeling.features.clip import Clip
from labeling.features.matrix import FeatureMatrix
from labeling.features.pretrained import Unavailable, hash_of
from labeling.features.tuned import About
from labeling.features.tuning import Tuner
from tests.tiny_clip import CONFIG, NAMES, digit_pictures, digit_targets, held_out_rows

ITEMS = 40
ABOUT = About("a base", 1, [3, 5])


def images(count: int = ITEMS) -> list[Content]:
    pictures = digit_pictures()
    return [Content(image=pictures[row]) for row in held_out_rows()[:count]]


def targets(count: int = ITEMS) -> np.ndarray:
    """Below five or not."""
    return np.asarray(digit_targets()[held_out_rows()[:count]] < 5).astype(int)


@pytest.fixture
def few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "EPOCHS", 2)


@pytest.fixture
def tuner(untrained_clip: Path, few_epochs: None) -> Tuner:
    return Tuner(Clip.open(str(untrained_clip), Path()), images())


def rows(count: int = ITEMS) -> np.ndarray:
    return np.arange(count)


def test_only_the_last_blocks_of_the_image_tower_change(tuner: Tuner):
    before = {name: tensor.clone() for name, tensor in tuner.model.model.visual.state_dict().items()}
    weights = tuner.tune(rows(), targets())
    assert set(weights) <= set(before)
    changed = {name for name, tensor in weights.items() if (tensor != before[name]).any()}
    assert changed == {
        name for name in before if name.startswith(("transformer.resblocks.1", "transformer.resblocks.2", "ln_post"))
    } | {"proj"}


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(tuner: Tuner):
    one, again, other = (tuner.tune(rows(), targets(), seed=seed) for seed in (0, 0, 1))
    assert all((one[name] == again[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)


def test_the_model_is_as_it_was_once_it_has_been_tuned(tuner: Tuner):
    state = hash_of(tuner.model.model.state_dict())
    before = tuner.vectors(rows())
    np.testing.assert_allclose(before, tuner.model.encode(images()), atol=2e-3)  # what is kept is in half precision
    tuned = tuner.vectors(rows(), tuner.tune(rows(), targets()))
    assert np.abs(tuned - before).max() > 0.01
    np.testing.assert_array_equal(tuner.vectors(rows()), before)
    assert hash_of(tuner.model.model.state_dict()) == state


def test_a_tuning_that_is_stopped_leaves_the_model_as_it_was(tuner: Tuner):
    before = tuner.vectors(rows())

    def stop(done: int, of: int) -> None:
        assert of == 2 * 2  # epochs, of two batches
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuner.tune(rows(), targets(), progress=stop)
    np.testing.assert_array_equal(tuner.vectors(rows()), before)


def test_progress_is_told_for_images_and_for_steps(untrained_clip: Path, few_epochs: None):
    looked: list[tuple[int, int]] = []
    stepped: list[tuple[int, int]] = []
    made = Tuner(
        Clip.open(str(untrained_clip), Path()), images(100), progress=lambda done, of: looked.append((done, of))
    )
    made.tune(rows(100), targets(100), progress=lambda done, of: stepped.append((done, of)))
    assert looked == [(64, 100), (100, 100)]
    assert stepped == [(step, 8) for step in range(1, 9)]
    assert made.seen == 200


def test_what_was_tuned_is_an_encoder_like_any_other(tuner: Tuner, untrained_clip: Path, tmp_path: Path):
    weights = tuner.tune(rows(), targets())
    name = tuner.save(weights, tmp_path / "encoders", ABOUT)
    encoder = Clip.load(f"encoders/{name}", tmp_path)
    assert encoder.weights == name
    assert {path.name for path in (tmp_path / "encoders").iterdir()} == {name}
    np.testing.assert_allclose(encoder.encode(images()), tuner.vectors(rows(), weights), atol=2e-3)
    base = Clip.load(str(untrained_clip), Path())
    assert encoder.version != base.version
    np.testing.assert_array_equal(encoder.embed(NAMES), base.embed(NAMES))  # words are what they were


def test_the_same_weights_are_written_once(tuner: Tuner, tmp_path: Path):
    weights = tuner.tune(rows(), targets())
    assert tuner.save(weights, tmp_path, ABOUT) == tuner.save(weights, tmp_path, ABOUT)
    assert len(list(tmp_path.iterdir())) == 1


def test_weights_that_cannot_be_opened_again_are_not_kept(
    tuner: Tuner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise Unavailable("No.")

    monkeypatch.setattr(Clip, "open", fail)
    with pytest.raises(Unavailable):
        tuner.save({}, tmp_path, ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_what_an_encoder_was_tuned_on_is_known_of_its_features(tmp_path: Path):
    home = tmp_path / "workspace"
    (home / "encoders" / "abc").mkdir(parents=True)
    (home / "encoders" / "abc" / tuned.ABOUT_FILE).write_text(json.dumps(vars(ABOUT)))

    def matrix(spec: str) -> FeatureMatrix:
        folder = home / "features" / "project-1" / spec.replace("/", "-")
        return FeatureMatrix.create(folder, width=2, encoder="clip", version="v", parameters={"spec": spec})

    made = matrix("encoders/abc")
    assert tuned.tuned_on(made) == ABOUT and tuned.tuned_on(matrix("ViT-B-32/openai")) is None
    np.testing.assert_array_equal(tuned.unseen(made, 1, np.array([2, 3, 4, 5])), [True, False, True, False])
    assert tuned.unseen(made, 2, np.array([2, 3])).all()  # the rows are those of another project


def test_two_classes_or_many_and_words_or_none_can_be_tuned_on(tuner: Tuner):
    digits = digit_targets()[held_out_rows()[:ITEMS]]
    words = tuner.model.embed(NAMES)
    some = np.flatnonzero(digits != 4)  # a class that has no label here keeps its words' place
    for given in (
        tuner.tune(some, digits[some], words=words),
        tuner.tune(some, digits[some]),
        tuner.tune(rows(), targets(), words=words[:2]),
    ):
        assert all(np.isfinite(tensor.numpy()).all() for tensor in given.values())


def other_tower(folder: Path) -> Path:
    """A CLIP whose image tower is a small ResNet."""
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    tower = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None}
    config: dict[str, Any] = {**CONFIG, "vision_cfg": tower}
    folder.mkdir()
    state = CLIP(**config).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return folder


def test_a_tower_whose_blocks_cannot_be_told_apart_is_refused(tmp_path: Path):
    with pytest.raises(Unavailable, match="Only vision transformers"):
        Tuner(Clip.open(str(other_tower(tmp_path / "resnet")), Path()), images(2))


@pytest.mark.parametrize("part", ["_embeds", "_pool"])
def test_a_tower_that_is_put_together_in_another_way_is_refused(
    untrained_clip: Path, monkeypatch: pytest.MonkeyPatch, part: str
):
    model = Clip.open(str(untrained_clip), Path())
    whole: Callable[..., Any] = model.model.visual.forward
    monkeypatch.setattr(model.model.visual, "forward", lambda images: whole(images.flip(-1)) ** 2)
    with pytest.raises(Unavailable, match="Only vision transformers"):
        Tuner(model, images(4))
    monkeypatch.undo()
    monkeypatch.delattr(type(model.model.visual), part)
    with pytest.raises(Unavailable, match="Only vision transformers"):
        Tuner(model, images(4))


def test_too_little_memory_costs_crops_and_then_the_tuning(untrained_clip: Path, monkeypatch: pytest.MonkeyPatch):
    of_a_view = 17 * 64 * 2 * ITEMS  # tokens, width, bytes
    monkeypatch.setattr(tuning.psutil, "virtual_memory", lambda: type("", (), {"available": 3 * of_a_view / 0.3}))
    monkeypatch.setattr("labeling.features.clip.check_memory", lambda *_: None)
    model = Clip.open(str(untrained_clip), Path())
    assert Tuner(model, images()).views == 3
    monkeypatch.setattr(tuning.psutil, "virtual_memory", lambda: type("", (), {"available": of_a_view}))
    with pytest.raises(Unavailable, match="not enough memory to tune"):
        Tuner(model, images())


@pytest.mark.slow
def test_tuning_teaches_the_tower_what_it_did_not_know(tiny_clip: Path):
    """Of digits that are shown upside down, ones that it was not tuned on come nearer to their words, too."""
    from io import BytesIO

    from PIL import Image, ImageOps

    def turned(picture: bytes) -> Content:
        out = BytesIO()
        ImageOps.flip(Image.open(BytesIO(picture))).save(out, "PNG")
        return Content(image=out.getvalue())

    pictures, held_out = digit_pictures(), held_out_rows()[:500]
    digits = digit_targets()[held_out]
    tuner = Tuner(Clip.open(str(tiny_clip), Path()), [turned(pictures[row]) for row in held_out])
    words = tuner.model.embed([f"a handwritten {name}" for name in NAMES])

    def zero_shot(vectors: np.ndarray) -> float:
        return float(np.mean((vectors @ words.T).argmax(axis=1) == digits[250:]))

    weights = tuner.tune(np.arange(250), digits[:250], words=words)
    before, after = (zero_shot(tuner.vectors(np.arange(250, 500), given)) for given in (None, weights))
    assert after > before + 0.2
    assert after > 0.85
