"""How fast CLIP encodes: a project of images through the product, beside a bare open_clip loop over the same files.

The bare loop opens each stored image, prepares it and encodes batches of 64; the product does so from the database to
the matrix on disk, flushed after each chunk. They take turns, each in a process and with a peak of memory of its own.

python -m tests.benchmarks.bench_clip                    the small model of the tests, and ViT-B-32 with random weights
python -m tests.benchmarks.bench_clip --images 6000 --models tiny
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.report import print_table
from tests.serving import noisy_digits

BATCH = 64
IMAGES = {"tiny": 6000, "ViT-B-32": 256}
ROUNDS = 3


def make(model: str, folder: Path) -> Path:
    """A folder with the model's configuration and random weights: what they are makes no difference to speed."""
    from tests import tiny_clip

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


def bare(root: Path, folder: Path) -> tuple[int, float]:
    """Images, and the seconds of the loop without loading the model."""
    import open_clip
    import torch
    from PIL import Image

    from labeling.workspace import open_workspace

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    files = sorted(path for path in (open_workspace(root).root / "media").rglob("*") if path.is_file())
    began = time.perf_counter()
    with torch.inference_mode():
        for start in range(0, len(files), BATCH):
            images = [preprocess(Image.open(path)) for path in files[start : start + BATCH]]
            model.encode_image(torch.stack(images), normalize=True).numpy()
    return len(files), time.perf_counter() - began


def product(root: Path, folder: Path) -> tuple[int, float]:
    """The same through the product, into features that are thrown away."""
    import shutil

    from labeling.features.clip import Clip
    from labeling.features.encoding import encode_project
    from labeling.workspace import open_workspace

    workspace = open_workspace(root)
    shutil.rmtree(workspace.root / "features", ignore_errors=True)
    Clip.load(str(folder), workspace.root)
    began = time.perf_counter()
    matrix = encode_project(workspace, 1)
    assert matrix is not None
    return matrix.rows, time.perf_counter() - began


def measured(way: str, root: Path, folder: Path) -> dict[str, float]:
    """Images a second and peak memory in MB, from a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_clip", "--run", way, str(root), str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    result: dict[str, float] = json.loads(told)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs=3, metavar=("WAY", "ROOT", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--images", type=int)
    parser.add_argument("--models", default="tiny,ViT-B-32")
    asked = parser.parse_args()
    if asked.run:
        way, root, folder = asked.run
        images, seconds = {"bare": bare, "product": product}[way](Path(root), Path(folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        print(json.dumps({"rate": images / seconds, "peak": peak}))
        return
    from labeling.intake.importer import import_records
    from labeling.projects import create_project
    from labeling.users import local_user
    from labeling.workspace import open_workspace

    for model in asked.models.split(","):
        with TemporaryDirectory(prefix="askwise-bench-", ignore_cleanup_errors=True) as scratch:
            folder, root = make(model, Path(scratch) / "model"), Path(scratch) / "workspace"
            workspace = open_workspace(root)
            me = local_user(workspace)
            made = create_project(workspace, me, "digits", ["a", "b"], settings={"encoder": f"clip:{folder}"})
            import_records(workspace, made, noisy_digits(asked.images or IMAGES[model]), actor_id=me)
            runs: dict[str, dict[str, object]] = {}
            for round_ in range(1, ROUNDS + 1):
                one, other = measured("bare", root, folder), measured("product", root, folder)
                runs[f"round {round_}"] = {
                    "bare loop, images/s": one["rate"],
                    "product, images/s": other["rate"],
                    "ratio": other["rate"] / one["rate"],
                    "bare loop, peak MB": round(one["peak"]),
                    "product, peak MB": round(other["peak"]),
                }
            print_table(f"{model}, {asked.images or IMAGES[model]:,} images, {os.cpu_count()} cores", runs)


if __name__ == "__main__":
    main()
