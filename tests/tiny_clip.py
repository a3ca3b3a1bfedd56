"""A real, small CLIP of our own making, for tests: no weights can be downloaded where they run.

A genuine open_clip model of 3.4 million parameters, trained on half of scikit-learn's digits with captions such as
"a handwritten three": about 25 s, and 96 % zero-shot accuracy on the other half. torch is imported when used.
`python -m tests.tiny_clip FOLDER` makes it, `python -m tests.tiny_clip FOLDER untrained` one with random weights.
"""

import json
import math
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.intake.demo import DIGITS, digits_source

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PHRASINGS = (
    "{}",
    "a {}",
    "the {}",
    "a handwritten {}",
    "a handwritten digit {}",
    "a digit {}",
    "the digit {}",
    "the number {}",
    "a photo of a {}",
    "a photo of a {}.",
    "a photo of the digit {}.",
    "a photo of the digit {}",
    "a photo of the number {}",
    "a picture of a {}",
    "a drawing of a {}",
    "an image of the digit {}",
)  # each is said with the word and with the figure
CONFIG: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 64, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}
PREPROCESSING: dict[str, Any] = {
    "size": 32,
    "mode": "RGB",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
TRAINED = DIGITS // 2
EPOCHS, BATCH, RATE, SEED = 36, 100, 1e-3, 0


def trained_rows() -> NDArray[np.int64]:
    """The digits that the model has seen: half of them, in ascending order; row 7 is `digits-0007` of the demo."""
    return np.sort(_shuffled()[:TRAINED])


def held_out_rows() -> NDArray[np.int64]:
    """The digits that it has never seen, in ascending order: for pools and for what tests measure."""
    return np.sort(_shuffled()[TRAINED:])


def digit_targets() -> NDArray[np.int64]:
    """The true classes of all 1,797 digits."""
    return np.array([int(record.label or 0) for record in digits_source().records])


def digit_pictures() -> list[bytes]:
    """All 1,797 digits as PNG files, as the demo has them."""
    return [record.read() for record in digits_source().records if record.read]


def make(folder: Path, *, trained: bool = True) -> Path:
    """Make the model and save it as a folder that `local-dir:` names; without training it takes a second."""
    import torch
    from safetensors.torch import save_file

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model is no quicker on two, and much slower where others want them too
    try:
        torch.manual_seed(SEED)
        model = _model()
        if trained:
            _train(model)
    finally:
        torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": CONFIG, "preprocess_cfg": PREPROCESSING}, indent=1)
    )
    return folder


def as_checkpoint(folder: Path, target: Path) -> Path:
    """The weights of such a folder as a state dict `target` (.pt), with the plain configuration beside it (.json)."""
    import torch
    from safetensors.torch import load_file

    target.parent.mkdir(parents=True, exist_ok=True)
    torch.save(load_file(folder / "open_clip_model.safetensors"), target)
    target.with_suffix(".json").write_text(json.dumps(CONFIG, indent=1))
    return target


def bare_vectors(folder: Path, pictures: Sequence[bytes] = (), texts: Sequence[str] = ()) -> tuple[Any, Any]:
    """What plain open_clip makes of pictures and of texts: two float32 arrays (n, 64) of unit length."""
    import open_clip
    import torch
    from PIL import Image

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    images = np.empty((0, CONFIG["embed_dim"]), dtype=np.float32)
    words = images
    with torch.no_grad():
        if pictures:
            pixels = torch.stack([preprocess(Image.open(BytesIO(picture))) for picture in pictures])
            images = model.encode_image(pixels, normalize=True).numpy()
        if texts:
            words = model.encode_text(tokenize(list(texts)), normalize=True).numpy()
    return images, words


def zero_shot_accuracy(folder: Path, phrasing: str = "a handwritten {}", names: Sequence[str] = NAMES) -> float:
    """Share of the held-out digits that are nearest, by plain cosine, to the text of their own class."""
    rows = held_out_rows()
    pictures = digit_pictures()
    images, words = bare_vectors(folder, [pictures[i] for i in rows], [phrasing.format(name) for name in names])
    return float(np.mean((images @ words.T).argmax(axis=1) == digit_targets()[rows]))


def _shuffled() -> NDArray[np.int64]:
    return np.random.default_rng(SEED).permutation(DIGITS)


def _model() -> Any:
    from open_clip.model import CLIP

    return CLIP(**CONFIG)


def _train(model: Any) -> None:
    """Contrast pictures with captions, both ways; whatever says the same digit is no contrast but a match."""
    import torch
    from open_clip import SimpleTokenizer
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image
    from torch.nn import functional

    preprocess = image_transform_v2(PreprocessCfg(**PREPROCESSING), is_train=False)
    pictures, rows = digit_pictures(), trained_rows()
    pixels = torch.stack([preprocess(Image.open(BytesIO(pictures[i]))) for i in rows])
    targets = torch.from_numpy(digit_targets()[rows])
    tokenize = SimpleTokenizer(context_length=CONFIG["text_cfg"]["context_length"])
    said = [[phrasing.format(name) for phrasing in PHRASINGS for name in (NAMES[k], str(k))] for k in range(10)]
    tokens = torch.stack([tokenize(captions) for captions in said])  # (10, captions of a class, 16)

    steps = EPOCHS * (len(rows) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    model.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(rows)).split(BATCH):
            if len(batch) < BATCH:
                continue
            digits = targets[batch]
            captions = tokens[digits, torch.randint(tokens.shape[1], (BATCH,))]
            images, words, scale = model(_moved(pixels[batch]), captions)
            logits = scale * images @ words.T
            same = (digits[:, None] == digits).float()
            match = same / same.sum(dim=1, keepdim=True)
            loss = (functional.cross_entropy(logits, match) + functional.cross_entropy(logits.T, match)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
    model.eval()


def _moved(pixels: Any) -> Any:
    """Pictures (n, 3, 32, 32), each shifted by up to a pixel of 8 and turned, slanted and stretched a little."""
    import torch
    from torch.nn import functional

    n = len(pixels)
    angle, slant = (torch.rand(2, n) - 0.5) * 0.5
    wide, high = 1 + (torch.rand(2, n) - 0.5) * 0.3
    right, down = (torch.rand(2, n) - 0.5) * 0.5  # the picture is 2 wide, a pixel of 8 is 0.25
    cos, sin = torch.cos(angle), torch.sin(angle)
    moves = torch.stack(
        [torch.stack([wide * cos, slant - sin, right], dim=1), torch.stack([sin, high * cos, down], dim=1)], dim=1
    )
    grid = functional.affine_grid(moves, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


if __name__ == "__main__":
    if sys.argv[2:] == ["untrained"]:
        make(Path(sys.argv[1]), trained=False)
    else:
        made = make(Path(sys.argv[1]))
        print(f"{made}: zero-shot {zero_shot_accuracy(made):.1%} on {len(held_out_rows())} held-out digits")
