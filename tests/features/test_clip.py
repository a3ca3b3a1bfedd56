"""CLIP by its own loading code, with the real, small model of tests/tiny_clip.py."""

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from labeling.db.engine import writing
from labeling.db.schema import Item
from labeling.errors import Invalid
from labeling.features import pretrained
from labeling.features.base import Content, Worded
from labeling.features.clip import CONFIG as CONFIG_FILE
from labeling.features.clip import Clip
from labeling.features.encoding import encode_project, open_features
from labeling.features.pretrained import Unavailable
from labeling.features.words import embed_words, known_words
from labeling.workspace import Workspace
from tests import tiny_clip as digits
from tests.features.contents import shapes

pytestmark = pytest.mark.slow  # for the import of torch alone

WEIGHTS_FILE = "open_clip_model.safetensors"


@pytest.fixture(autouse=True)
def nothing_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test loads its models anew."""
    pretrained._models.clear()


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    """150 digits that the model has not seen."""
    made = digits.digit_pictures()
    return [made[row] for row in digits.held_out_rows()[:150]]


@pytest.fixture
def home(untrained_clip: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with the weights in every form: `folder`, `bare.pt` and `bare.json`."""
    made = tmp_path / "home"
    shutil.copytree(untrained_clip, made / "folder")
    digits.as_checkpoint(untrained_clip, made / "bare.pt")
    yield made
    shutil.rmtree(made)  # weights of so many tests fill a disk


@pytest.fixture
def known_to_open_clip(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The architecture by its name, and a tag of weights that are there already."""
    import open_clip.factory
    import open_clip.pretrained

    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-digits", digits.CONFIG)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-digits", {"mine": {"file": str(home / "bare.pt")}})


@pytest.fixture
def without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a network nor anything downloaded before."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def contents(pictures: list[bytes]) -> list[Content]:
    return [Content(image=picture) for picture in pictures]


def with_weights(home: Path, change: Callable[[dict[str, Any]], Any], name: str = "changed.pt") -> str:
    """The spec of a checkpoint of changed weights."""
    import torch

    torch.save(change(torch.load(home / "bare.pt", weights_only=True)), home / name)
    return f"bare.json@{name}"


def with_config(home: Path, changed: Any, name: str = "changed") -> str:
    """The spec of a folder with another configuration."""
    shutil.copytree(home / "folder", home / name)
    (home / name / CONFIG_FILE).write_text(changed if isinstance(changed, str) else json.dumps(changed))
    return name


# The vectors


def test_words_find_digits_that_the_model_has_not_seen(tiny_clip: Path):
    encoder = Clip.load(str(tiny_clip), Path())
    made, rows = digits.digit_pictures(), digits.held_out_rows()
    seen = encoder.encode(contents([made[row] for row in rows]))
    for phrasing, names in (("a handwritten {}", digits.NAMES), ("{}", digits.NAMES), ("a photo of a {}.", range(10))):
        said = encoder.embed([phrasing.format(name) for name in names])
        assert np.mean((seen @ said.T).argmax(axis=1) == digits.digit_targets()[rows]) >= 0.9


@pytest.mark.parametrize(
    "spec", ["folder", f"folder/{CONFIG_FILE}@bare.pt", f"folder/{CONFIG_FILE}@folder/{WEIGHTS_FILE}"]
)
def test_vectors_are_those_of_plain_open_clip_however_the_weights_are_named(
    home: Path, pictures: list[bytes], spec: str
):
    texts = ["three", "a handwritten three", "", "ß猫 " * 50]
    seen, said = digits.bare_vectors(home / "folder", pictures, texts)
    encoder = Clip.load(spec, home)
    assert np.allclose(encoder.encode(contents(pictures)), seen, atol=1e-5)
    assert np.allclose(encoder.embed(texts), said, atol=1e-5)


@pytest.mark.usefixtures("known_to_open_clip")
@pytest.mark.parametrize("spec", ["bare.json@bare.pt", "tiny-digits@bare.pt", "tiny-digits/mine"])
def test_an_architecture_without_preprocessing_of_its_own_has_that_of_open_clip(
    home: Path, pictures: list[bytes], spec: str
):
    plain = home / with_config(home, {"model_cfg": digits.CONFIG})
    seen, said = digits.bare_vectors(plain, pictures, ["three"])
    assert not np.allclose(digits.bare_vectors(home / "folder", pictures)[0], seen, atol=1e-3)
    encoder = Clip.load(spec, home)
    assert np.allclose(encoder.encode(contents(pictures)), seen, atol=1e-5)
    assert np.allclose(encoder.embed(["three"]), said, atol=1e-5)


def test_vectors_are_of_unit_length_and_in_order(home: Path, pictures: list[bytes]):
    encoder = Clip.load("folder", home)
    assert isinstance(encoder, Worded)
    items = [*contents(pictures), *shapes(5), *shapes(3, side=200, colour=False)]
    vectors = encoder.encode(items)
    assert vectors.shape == (158, encoder.width) == (158, 64)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    shuffled = np.random.default_rng(0).permutation(len(items))
    assert np.allclose(encoder.encode([items[i] for i in shuffled]), vectors[shuffled], atol=1e-5)
    texts = [f"the number {n}" for n in range(130)]
    said = encoder.embed(texts)
    assert np.allclose(np.linalg.norm(said, axis=1), 1, atol=1e-5)
    assert np.allclose(encoder.embed(texts[::-1]), said[::-1], atol=1e-5)


def test_nothing_has_no_vectors(home: Path):
    encoder = Clip.load("folder", home)
    assert encoder.encode([]).shape == encoder.embed([]).shape == (0, 64)


def test_of_several_weights_in_a_folder_those_of_open_clip_are_taken(home: Path):
    alone = Clip.load("folder", home)
    (home / "folder" / "model.safetensors").write_bytes(b"the same in another library's form")
    assert Clip.load("folder", home) == alone


# The version


def test_the_version_follows_the_weights_and_not_their_place(home: Path):
    here = Clip.load("folder", home)
    apart = Clip.load(f"folder/{CONFIG_FILE}@bare.pt", home)
    shutil.move(home / "folder", home / "moved@there")
    assert Clip.load("moved@there", home).version == apart.version == here.version
    assert re.fullmatch(r"clip-[0-9a-f]{12}", here.version)

    def nudge(weights: dict[str, Any]) -> dict[str, Any]:
        weights["visual.proj"][0, 0] += 1e-3
        return weights

    assert Clip.load(with_weights(home, nudge), home).version != Clip.load("bare.json@bare.pt", home).version


def test_the_version_follows_the_preprocessing(home: Path):
    preprocessing = digits.PREPROCESSING | {"mean": [0.4, 0.5, 0.5]}
    changed = with_config(home, {"model_cfg": digits.CONFIG, "preprocess_cfg": preprocessing})
    assert Clip.load(changed, home).version != Clip.load("folder", home).version


def test_half_precision_and_what_training_saves_are_read(home: Path, pictures: list[bytes]):
    whole = Clip.load("bare.json@bare.pt", home)
    training = with_weights(home, lambda w: {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in w.items()}})
    assert Clip.load(training, home).version == whole.version
    half = Clip.load(with_weights(home, lambda w: {k: v.half() for k, v in w.items()}, "half.pt"), home)
    assert np.allclose(half.encode(contents(pictures)), whole.encode(contents(pictures)), atol=0.01)


def test_what_was_saved_is_the_same_encoder(home: Path, pictures: list[bytes]):
    encoder = Clip.load(str(home / "folder"), Path())
    pretrained._models.clear()
    again = Clip.restore(json.loads(json.dumps(dict(encoder.parameters))), encoder.state)
    assert (again.version, again.width) == (encoder.version, encoder.width)
    assert np.array_equal(again.encode(contents(pictures)), encoder.encode(contents(pictures)))


def test_weights_that_have_changed_since_are_not_mixed_with_the_old(home: Path, tiny_clip: Path, pictures: list[bytes]):
    before = Clip.load("folder", home)
    shutil.copy(tiny_clip / WEIGHTS_FILE, home / "folder" / WEIGHTS_FILE)
    with pytest.raises(Unavailable, match="not those that the features were made with"):
        before.encode(contents(pictures))
    with pytest.raises(Unavailable, match="not those that the features were made with"):
        before.embed(["three"])
    assert Clip.load("folder", home).version == Clip.load(str(tiny_clip), Path()).version != before.version


# What cannot be had


def refusal(spec: str, home: Path) -> str:
    """The one sentence with which weights are refused."""
    with pytest.raises(Unavailable) as refused:
        Clip.load(spec, home)
    sentence = str(refused.value)
    assert re.fullmatch(r"[^\n]{20,1000}\.", sentence), sentence
    assert "Error(" not in sentence and "Traceback" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("ViT-B-32/no-such-tag", "open_clip knows no weights “no-such-tag” of ViT-B-32; it knows openai, "),
        ("no-such-net/openai", "open_clip knows no architecture “no-such-net”"),
        ("no-such-net@bare.pt", "open_clip knows no architecture “no-such-net”; name one that it knows"),
        ("no-such-net", "“no-such-net” is neither a folder nor an architecture with a tag"),
        ("/no/such/folder", "“/no/such/folder” is neither a folder nor an architecture with a tag"),
        ("./folders", "“./folders” is neither a folder nor an architecture with a tag"),
        ("ViT-B-32@gone.pt", "gone.pt; check the name"),
        ("ViT-B-32@folder", "There is no checkpoint"),
        ("gone.json@bare.pt", "gone.json is not a JSON file that says what the architecture is"),
        ("ViT-B-32@bare.pt", "bare.pt do not fit the architecture"),
        ("~nobody-of-that-name/folder", "names nothing that can be looked up; check the name"),
        ("fold\0er", "er” is neither a folder nor an architecture with a tag"),
        ("x" * 5000, "names nothing that can be looked up; check the name"),
    ],
)
def test_a_wrong_name_is_said_in_a_sentence(home: Path, spec: str, said: str):
    assert said in refusal(spec, home)


@pytest.mark.parametrize("spec", ["ViT-B-32/datacomp_xl_s13b_b90k", "hf-hub:nobody/nothing"])
@pytest.mark.usefixtures("without_network")
def test_without_a_network_the_way_out_is_a_checkpoint_of_ones_own(home: Path, spec: str):
    sentence = refusal(spec, home)
    assert sentence.startswith(f"The weights “{spec}” cannot be downloaded; connect to the internet once, or name a")


def test_what_is_missing_in_a_folder_is_named(home: Path):
    (home / "folder" / CONFIG_FILE).rename(home / CONFIG_FILE)
    assert refusal("folder", home).startswith(f"There is no {CONFIG_FILE} in ")
    (home / CONFIG_FILE).rename(home / "folder" / CONFIG_FILE)
    (home / "folder" / WEIGHTS_FILE).unlink()
    assert refusal("folder", home).startswith("There are no weights in ")


@pytest.mark.parametrize("source", ["bare.pt", f"folder/{WEIGHTS_FILE}"])
@pytest.mark.parametrize("left", [0, 20, 0.5, 0.99])
def test_a_broken_checkpoint_is_refused(home: Path, source: str, left: float):
    whole = (home / source).read_bytes()
    broken = home / f"broken{Path(source).suffix}"
    broken.write_bytes(whole[: int(left if left >= 1 else left * len(whole))])
    assert str(broken) in refusal(f"bare.json@{broken.name}", home)


@pytest.mark.parametrize("name", ["noise.pt", "noise.bin", "noise.safetensors", "noise.npz"])
def test_a_file_that_is_no_checkpoint_is_refused(home: Path, name: str):
    (home / name).write_bytes(np.random.default_rng(0).bytes(5000))
    assert str(home / name) in refusal(f"bare.json@{name}", home)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda weights: {}, id="nothing"),
        pytest.param(lambda weights: [*weights.values()], id="a list"),
        pytest.param(lambda weights: weights["visual.proj"], id="one tensor"),
        pytest.param(lambda weights: {**weights, "visual.proj": weights["visual.proj"][:, :3]}, id="other shapes"),
        pytest.param(lambda weights: {k: v for k, v in weights.items() if k != "visual.proj"}, id="too few"),
        pytest.param(lambda weights: {k: v * float("nan") for k, v in weights.items()}, id="not a number"),
    ],
)
def test_weights_that_make_no_model_are_refused(home: Path, change: Callable[[dict[str, Any]], Any]):
    assert "changed.pt" in refusal(with_weights(home, change), home)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param("{", id="no JSON"),
        pytest.param([], id="no configuration"),
        pytest.param({"model_cfg": {"embed_dim": 64}}, id="half a configuration"),
        pytest.param({"model_cfg": digits.CONFIG | {"embed_dim": 32}}, id="of other weights"),
        pytest.param({"model_cfg": digits.CONFIG | {"vision_cfg": {"timm_model_name": "?"}}}, id="unknown"),
        pytest.param({"model_cfg": digits.CONFIG, "preprocess_cfg": {"mean": "gray"}}, id="no preprocessing"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(home: Path, config: Any):
    assert str(home / "changed") in refusal(with_config(home, config), home)


def test_a_checkpoint_larger_than_memory_is_not_begun(home: Path):
    with open(home / "huge.safetensors", "wb") as file:
        file.truncate(psutil.virtual_memory().total)  # of holes: it takes no room
    assert refusal("bare.json@huge.safetensors", home).startswith("There is not enough memory for ")


class Booby:
    """Makes a folder when it is unpickled."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.trap),)


def test_code_in_a_pickle_is_not_run(home: Path):
    spec = with_weights(home, lambda weights: weights | {"visual.proj": Booby(home / "sprung")})
    assert "such as code, which is not run" in refusal(spec, home)
    (home / "old.pth").write_bytes(pickle.dumps(Booby(home / "sprung"), protocol=2))
    assert "such as code, which is not run" in refusal("bare.json@old.pth", home)
    (home / "folder" / WEIGHTS_FILE).unlink()
    shutil.copy(home / "changed.pt", home / "folder" / "open_clip_pytorch_model.bin")
    assert "such as code, which is not run" in refusal("folder", home)
    np.savez(home / "numpy.npz", **{"params/img/embedding/kernel": np.array([Booby(home / "sprung")])})
    assert "is no checkpoint that can be read; name one of .safetensors" in refusal("bare.json@numpy.npz", home)
    assert not (home / "sprung").exists()
    with pytest.raises(FileExistsError):  # the trap is one
        (home / "sprung").mkdir()
        pickle.loads((home / "old.pth").read_bytes())  # noqa: S301


def test_code_beside_a_tokenizer_is_not_run(home: Path):
    folder, mapped = home / "folder", {"auto_map": {"AutoTokenizer": ["booby.Tokenizer", None]}}
    text = digits.CONFIG["text_cfg"] | {"hf_tokenizer_name": "own", "tokenizer_kwargs": {"trust_remote_code": True}}
    (folder / CONFIG_FILE).write_text(json.dumps({"model_cfg": digits.CONFIG | {"text_cfg": text}}))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **mapped}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Tokenizer", **mapped}))
    (folder / "booby.py").write_text(f"from pathlib import Path\nPath({str(home / 'sprung')!r}).mkdir()\n")
    refusal("folder", home)
    assert not (home / "sprung").exists()


# In a project


@pytest.fixture
def shown(add: Callable[..., None], pictures: list[bytes]) -> Callable[[int, int], list[Content]]:
    """Import some of the digits, from one row on."""

    def add_some(first: int, stop: int) -> list[Content]:
        add(contents(pictures[first:stop]), first)
        return contents(pictures[first:stop])

    return add_some


def test_a_project_is_encoded_with_the_weights_that_its_setting_names(
    workspace: Workspace, project: int, choose: Callable[[str], None], shown: Callable[..., Any], untrained_clip: Path
):
    items, told = shown(0, 100), []
    choose(f"clip:{untrained_clip}")
    matrix = encode_project(workspace, project, progress=lambda share, line: told.append((share, line)))
    encoder = Clip.load(str(untrained_clip), Path())
    assert matrix is not None
    assert (matrix.version, matrix.rows) == (encoder.version, 100)
    assert np.allclose(matrix.array()[:100], encoder.encode(items), atol=1e-3)
    assert told[0] == (0.0, f"Loading {untrained_clip}")
    assert told[-1][0] == 1.0


def test_words_are_kept_beside_the_features(
    workspace: Workspace, project: int, choose: Callable[[str], None], shown: Callable[..., Any], untrained_clip: Path
):
    shown(0, 10)
    choose(f"clip:{untrained_clip}")
    matrix = encode_project(workspace, project)
    assert matrix is not None
    assert known_words(matrix, ["three"]) is None
    expected = digits.bare_vectors(untrained_clip, texts=["three", "four"])[1]
    assert np.allclose(embed_words(matrix, ["three", "four"]), expected, atol=1e-5)
    kept = known_words(matrix, ["four", "three"])
    assert kept is not None
    assert np.allclose(kept, expected[::-1], atol=1e-5)


def test_a_project_goes_on_with_its_features_until_those_of_other_weights_are_there(
    workspace: Workspace, project: int, choose: Callable[[str], None], shown: Callable[..., Any], untrained_clip: Path
):
    choose("hog")
    shown(0, 100)
    encode_project(workspace, project)
    choose(f"clip:{untrained_clip}")
    turns = iter([False, True])  # one chunk
    began = encode_project(workspace, project, cancelled=lambda: next(turns))
    assert began is not None
    if began.rows < 100:
        live = open_features(workspace, project)
        assert live is not None and live.layout.encoder == "hog"
    encode_project(workspace, project)
    live = open_features(workspace, project)
    assert live is not None
    assert (live.layout.encoder, live.rows) == ("clip", 100)


@pytest.mark.parametrize("before", ["hog", "clip"])
def test_with_broken_weights_a_project_goes_on_with_what_it_had(
    workspace: Workspace,
    project: int,
    choose: Callable[[str], None],
    shown: Callable[..., Any],
    home: Path,
    before: str,
):
    choose("hog" if before == "hog" else f"clip:{home / 'folder'}")
    shown(0, 20)
    had = encode_project(workspace, project)
    (home / "broken.safetensors").write_bytes((home / "folder" / WEIGHTS_FILE).read_bytes()[:-100])
    choose(f"clip:{home / 'bare.json'}@{home / 'broken.safetensors'}")
    shown(20, 40)
    with pytest.raises(Unavailable, match=r"broken\.safetensors is not a checkpoint that can be read"):
        encode_project(workspace, project)
    live = open_features(workspace, project)
    assert had is not None and live is not None
    assert (live.version, live.rows) == (had.version, 40)
    assert np.abs(live.array()[20:40]).sum(axis=1).min() > 0
    shutil.copy(home / "folder" / WEIGHTS_FILE, home / "broken.safetensors")  # put right
    encode_project(workspace, project)
    live = open_features(workspace, project)
    assert live is not None
    assert live.version == Clip.load(f"{home / 'bare.json'}@{home / 'broken.safetensors'}", Path()).version


def test_a_project_without_features_gets_the_best_there_are_without_the_weights(
    workspace: Workspace, project: int, choose: Callable[[str], None], shown: Callable[..., Any], home: Path
):
    choose(f"clip:{home / 'nowhere'}")
    shown(0, 20)
    with pytest.raises(Unavailable, match="neither a folder nor an architecture"):
        encode_project(workspace, project)
    live = open_features(workspace, project)
    assert live is not None
    assert (live.layout.encoder, live.rows) == ("hog", 20)


def test_the_same_weights_in_another_place_are_not_encoded_again(
    workspace: Workspace, project: int, choose: Callable[[str], None], shown: Callable[..., Any], home: Path
):
    choose(f"clip:{home / 'folder'}")
    shown(0, 20)
    encode_project(workspace, project)
    shutil.move(home / "folder", home / "elsewhere")
    choose(f"clip:{home / 'elsewhere'}")
    asked: list[bool] = []
    matrix = encode_project(workspace, project, cancelled=lambda: bool(asked.append(True)))
    assert matrix is not None
    assert (matrix.rows, asked) == (20, [])
    shown(20, 30)
    grown = encode_project(workspace, project)
    assert grown is not None
    assert (grown.version, grown.rows) == (matrix.version, 30)


def test_weights_are_looked_for_in_the_workspace(
    workspace: Workspace, project: int, choose: Callable[[str], None], shown: Callable[..., Any], untrained_clip: Path
):
    shutil.copytree(untrained_clip, workspace.root / "models" / "mine")
    choose("clip:models/mine")
    shown(0, 20)
    matrix = encode_project(workspace, project)
    assert matrix is not None
    assert matrix.version == Clip.load(str(untrained_clip), Path()).version
    assert embed_words(matrix, ["three"]).shape == (1, 64)


def test_items_without_an_image_are_named(
    workspace: Workspace, project: int, choose: Callable[[str], None], shown: Callable[..., Any], untrained_clip: Path
):
    choose(f"clip:{untrained_clip}")
    shown(0, 3)
    with writing(workspace.engine) as session:
        session.add(Item(project_id=project, external_id="a text", content_hash="0", text="three", row=3))
    with pytest.raises(Invalid, match="a text"):
        encode_project(workspace, project)
