"""What tuning CLIP brings, what it costs, and how often chance alone would let it go live.

`python -m tests.benchmarks.bench_tuning [FOLDER]`: FOLDER holds the tiny CLIP (`python -m tests.tiny_clip FOLDER`); it
is made where it is missing. Digits that it has never seen, as it knows them and changed in ways that it does not: 300
labels, accuracy on the other 599 of the default head, and zero-shot, before and after. Then labels without any sense,
where nothing may go live but by chance: `--null N` seeds. With a GPU, also the rate of ViT-B-32 with random weights.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from labeling.features.base import Content
from labeling.features.clip import Clip, ClipModel
from labeling.features.tuning import Tuner
from labeling.learning.learner import Learner
from labeling.learning.tuning_trial import FOLDS, Comparison, compare_tuned
from labeling.learning.zero_shot import Words
from tests.benchmarks.report import print_table
from tests.tiny_clip import NAMES, digit_pictures, digit_targets, held_out_rows, make

LABELS = 300
PHOTOS, SIDE = 2_000, 224  # of the full-size model

Change = Callable[[Image.Image], Image.Image]


def noisy(image: Image.Image) -> Image.Image:
    """With noise of a quarter of the range."""
    pixels = np.asarray(image, dtype=float)
    noise = np.random.default_rng(int(pixels.sum())).normal(0, 70, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


CHANGES: dict[str, Change] = {
    "as they are": lambda image: image,
    "negatives": ImageOps.invert,
    "on their side": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "noisy": noisy,
}


def shown(change: Change) -> list[Content]:
    """The digits that the model has never seen, changed."""
    pictures, contents = digit_pictures(), []
    for row in held_out_rows():
        out = BytesIO()
        change(Image.open(BytesIO(pictures[row])).convert("L")).save(out, "PNG")
        contents.append(Content(image=out.getvalue()))
    return contents


def words_of(model: ClipModel) -> np.ndarray:
    """The words for the digits."""
    return model.embed([f"a handwritten {name}" for name in NAMES])


def right(vectors: np.ndarray, targets: np.ndarray, words: np.ndarray) -> tuple[float, float]:
    """Share that is right of what the default head says of the digits without a label, and of what words alone say."""
    learner, learned = Learner(vectors, words=Words(words)), np.arange(LABELS)
    model = learner.learn(learned, targets[:LABELS]).model
    assert model is not None
    said = np.asarray(model.classes)[model.predict_proba(learner.see(vectors[LABELS:])).argmax(axis=1)]
    zero_shot = (vectors[LABELS:] @ words.T).argmax(axis=1)
    return float(np.mean(said == targets[LABELS:])), float(np.mean(zero_shot == targets[LABELS:]))


def tune_digits(folder: Path) -> None:
    """Before and after, on digits changed in several ways."""
    targets, runs = digit_targets()[held_out_rows()], {}
    for name, change in CHANGES.items():
        tuner = Tuner(Clip.open(str(folder), Path()), shown(change))
        words, everything = words_of(tuner.model), np.arange(len(targets))
        began = time.perf_counter()
        weights = tuner.tune(np.arange(LABELS), targets[:LABELS], words=words)
        seconds = time.perf_counter() - began
        before, after = (right(tuner.vectors(everything, given), targets, words) for given in (None, weights))
        runs[name] = {
            "head before": f"{before[0]:.1%}", "head after": f"{after[0]:.1%}",
            "zero-shot before": f"{before[1]:.1%}", "zero-shot after": f"{after[1]:.1%}",
            "seconds for one tuning": f"{seconds:.1f}", "images a second": f"{tuner.seen / seconds:,.0f}",
        }  # fmt: skip
    print_table(f"{LABELS} labels, accuracy on {len(targets) - LABELS} other digits", runs)


def tuned(tuner: Tuner, targets: np.ndarray, words: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Vectors of all items under weights that were tuned on some labels."""
    return tuner.vectors(np.arange(len(targets)), tuner.tune(rows, targets[rows], words=words))


def count_chance(folder: Path, seeds: int) -> None:
    """How often labels that say nothing would let a tuned encoder go live."""
    tuner = Tuner(Clip.open(str(folder), Path()), shown(CHANGES["as they are"])[:200])
    everything, words = np.arange(200), words_of(tuner.model)
    vectors, found = tuner.vectors(everything), list[Comparison]()
    for seed in range(seeds):
        targets = np.random.default_rng(seed).integers(0, 3, 200)
        found.append(compare_tuned(vectors, targets, partial(tuned, tuner, targets, words[:3]), words=words[:3]))
    gains = [one.after - one.before for one in found]
    run = {
        "seeds": seeds, "would go live": sum(one.is_better for one in found),
        "mean gain, points": f"{100 * np.mean(gains):+.1f}", "its deviation": f"{100 * np.std(gains):.1f}",
        "half an interval, mean": f"{100 * np.mean([one.high - one.low for one in found]) / 2:.1f}",
    }  # fmt: skip
    print_table(f"200 labels of 3 classes by lot, {FOLDS} folds", {"random labels": run})


def tune_full_size() -> None:
    """The rate of ViT-B-32 with random weights, on a GPU."""
    import open_clip
    import torch

    if not torch.cuda.is_available():
        print("No GPU here: the full-size model was not tuned.")
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.save(open_clip.create_model("ViT-B-32").state_dict(), Path(folder) / "random.pt")
        model = Clip.open("ViT-B-32@random.pt", Path(folder))
    rng, photos = np.random.default_rng(0), []
    for _ in range(PHOTOS):
        out = BytesIO()
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(out, "JPEG")
        photos.append(Content(image=out.getvalue()))
    began = time.perf_counter()
    tuner = Tuner(model, photos)
    looked = time.perf_counter() - began
    began = time.perf_counter()
    tuner.tune(np.arange(PHOTOS), np.arange(PHOTOS) % 10)
    seconds = time.perf_counter() - began
    run = {
        "images": PHOTOS, "views of each": tuner.views, "seconds to look at them": f"{looked:.1f}",
        "seconds for one tuning": f"{seconds:.1f}", "images a second": f"{tuner.seen / seconds:,.0f}",
        "GPU memory, GB": f"{torch.cuda.max_memory_allocated() / 1e9:.1f}",
    }  # fmt: skip
    print_table("ViT-B-32, random weights", {torch.cuda.get_device_name(): run})


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="of the tiny CLIP")
    parser.add_argument("--null", type=int, default=20, help="seeds of labels without any sense")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        if not any(folder.glob("*.safetensors")):
            make(folder)
        tune_digits(folder)
        if given.null:
            count_chance(folder, given.null)
    tune_full_size()


if __name__ == "__main__":
    main()
