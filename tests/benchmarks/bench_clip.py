"""How fast CLIP encodes: a project of images through the product, beside a bare open_clip loop over the same files.

The bare loop opens each stored image, prepares it and encodes batches of 64; the product does so from the database to
the matrix on disk, flushed after each chunk. They take turns in one process, with a model each; a first round is not
counted.

python -m tests.benchmarks.bench_clip                    the small model of the tests, and ViT-B-32 with random weights
python -m tests.benchmarks.bench_clip --images 6000 --models tiny
"""

import argparse
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil

from labeling.features.clip import Clip
from labeling.features.encoding import encode_project
from labeling.intake.importer import import_records
from labeling.projects import create_project
from labeling.users import local_user
from labeling.workspace import Workspace, open_workspace
from tests import tiny_clip
from tests.benchmarks.report import print_table
from tests.serving import noisy_digits

BATCH = 64
IMAGES = {"tiny": 6000, "ViT-B-32": 256}
ROUNDS = 5


def make(model: str, folder: Path) -> Path:
    """A folder with the model's configuration and random weights: what they are makes no difference to speed."""
    if model == "tiny":
        return tiny_clip.make(folder, trained=False)
    import open_clip
    from safetensors.torch import save_file

    made = open_clip.create_model(model)
    folder.mkdir(parents=True)
    save_file({name: tensor.contiguous() for name, tensor in made.state_dict().items()}, folder / "model.safetensors")
    config = {"model_cfg": open_clip.get_model_config(model), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def bare(workspace: Workspace, folder: Path) -> Callable[[], int]:
    """The loop, its model loaded: it returns how many images it encoded."""
    import open_clip
    import torch
    from PIL import Image

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    files = sorted(path for path in (workspace.root / "media").rglob("*") if path.is_file())

    def run() -> int:
        with torch.inference_mode():
            for start in range(0, len(files), BATCH):
                images = [preprocess(Image.open(path)) for path in files[start : start + BATCH]]
                model.encode_image(torch.stack(images), normalize=True).numpy()
        return len(files)

    return run


def product(workspace: Workspace, folder: Path) -> Callable[[], int]:
    """The same through the product, into features that are thrown away."""
    Clip.load(str(folder), workspace.root)

    def run() -> int:
        shutil.rmtree(workspace.root / "features", ignore_errors=True)
        matrix = encode_project(workspace, 1)
        assert matrix is not None
        return matrix.rows

    return run


def measured(work: Callable[[], int]) -> tuple[float, float]:
    """Images a second, and the most memory of this process meanwhile, in MB."""
    process, done = psutil.Process(), threading.Event()
    most = [process.memory_info().rss]

    def watch() -> None:
        while not done.wait(0.1):
            most.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    images = work()
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    return images / seconds, max(most) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int)
    parser.add_argument("--models", default="tiny,ViT-B-32")
    asked = parser.parse_args()
    for model in asked.models.split(","):
        with TemporaryDirectory(prefix="askwise-bench-", ignore_cleanup_errors=True) as scratch:
            folder = make(model, Path(scratch) / "model")
            workspace = open_workspace(Path(scratch) / "workspace")
            me = local_user(workspace)
            made = create_project(workspace, me, "digits", ["a", "b"], settings={"encoder": f"clip:{folder}"})
            import_records(workspace, made, noisy_digits(asked.images or IMAGES[model]), actor_id=me)
            ways = {"bare": bare(workspace, folder), "product": product(workspace, folder)}
            rounds = [{way: measured(work) for way, work in ways.items()} for _ in range(ROUNDS + 1)][1:]
            runs = {
                f"round {number}": {
                    "bare loop, images/s": round_["bare"][0],
                    "product, images/s": round_["product"][0],
                    "ratio": round_["product"][0] / round_["bare"][0],
                    "bare loop, peak MB": round(round_["bare"][1]),
                    "product, peak MB": round(round_["product"][1]),
                }
                for number, round_ in enumerate(rounds, 1)
            }
            print_table(f"{model}, {asked.images or IMAGES[model]:,} images", runs)
            rates = {way: median(round_[way][0] for round_ in rounds) for way in ways}
            print(f"ratio of the medians: {rates['product'] / rates['bare']:.2f}")


if __name__ == "__main__":
    main()
