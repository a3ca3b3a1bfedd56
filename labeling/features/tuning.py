"""CLIP tuned on labels: the last blocks of its image tower learn, the rest and the words stay as they are.

What lies before those blocks is the same whatever they learn, so it is reckoned once for each image, and once for each
of a few crops of it; tuning itself, and encoding anew with tuned weights, begin from there. So several tunings, of
different parts of the labels, cost little more than one.

The recipe: a linear classifier is fitted to the features as they were, and then learns on together with the blocks, so
that its first, blind steps do not spoil what the tower knows [1]_. Where the classes have words, the images are pulled
towards these too, in the same way as CLIP once learned, so that words go on to fit [2]_. The rate falls with the width
of the tower, as Adam's must for towers of different widths to learn alike [3]_. Nothing is chosen on the way: whether
the outcome is better is for answers to say that it has not seen (`labeling.learning.tuning_job`).

References
----------
.. [1] Kumar, Raghunathan, Jones, Ma, Liang, "Fine-tuning can distort pretrained features and underperform
   out-of-distribution", ICLR 2022.
.. [2] Goyal, Kumar, Garg, Kolter, Raghunathan, "Finetune like you pretrain: improved finetuning of zero-shot vision
   models", CVPR 2023.
.. [3] Yang, Hu et al., "Tensor programs V: tuning large neural networks via zero-shot hyperparameter transfer", 2022.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from labeling.features.base import Content
from labeling.features.clip import CONFIG, Clip, ClipModel
from labeling.features.pretrained import Unavailable
from labeling.features.rasters import opaque, open_image, source_of
from labeling.features.tuned import ABOUT_FILE, About

BLOCKS = 2  # of the image tower, from its end, that learn
EPOCHS, MOST_STEPS, BATCH = 40, 1_500, 32
RATE = 0.064  # of AdamW, over the width of the tower: 1e-3 at 64, 8e-5 at 768
WARM_UP = 0.1  # share of the steps in which the rate rises; then it falls along a cosine
VIEWS = 4  # of each image: as it is encoded, and crops of it
CROP = {"scale": (0.8, 1.0)}  # share of the image that a crop shows
PROBE_STRENGTH = 3.0  # C of the classifier to begin with, on rows about one long
MEMORY = 0.3  # share of what is free that the images may take
LOOKED_AT = 64  # images at once
CLOSE = 0.02  # by how much a vector, whose length is one, may differ where it is reckoned in two parts
WEIGHTS_FILE = "open_clip_model.safetensors"
PARTIAL = ".part-"  # folders that are being written

Weights = Mapping[str, Any]  # tensors by their names in the image tower
Tick = Callable[[int, int], None]  # how many are done, of how many; what it raises ends the work


class Tuner:
    """A model that is to be tuned on n images. It must be nobody else's: its weights change meanwhile.

    Parameters
    ----------
    model
        Opened for this purpose alone (`Clip.open`).
    items
        The images.
    progress
        Told how many have been looked at, of how many.

    Attributes
    ----------
    views : int
        Of each image, as far as there is memory for them.
    seen : int
        How many images went through the blocks that learn, forth and back.

    Raises
    ------
    Unavailable
        If the tower is of another kind than a vision transformer of open_clip's own, or there is too little memory.
    """

    def __init__(
        self,
        model: ClipModel,
        items: Sequence[Content],
        *,
        blocks: int = BLOCKS,
        seed: int = 0,
        progress: Tick | None = None,
    ) -> None:
        self.model = model
        self._visual = _vision_transformer(model)
        self._first = max(0, len(self._visual.transformer.resblocks) - blocks)
        self._parameters = dict(self._learning())
        model.model.requires_grad_(False)
        for parameter in self._parameters.values():
            parameter.requires_grad_(True)
        self._tokens = self._look(items, seed, progress)
        self.views = len(self._tokens)
        self.seen = 0

    def tune(
        self,
        rows: NDArray[np.integer],
        targets: NDArray[np.integer],
        *,
        words: NDArray[np.floating] | None = None,
        seed: int = 0,
        progress: Tick | None = None,
    ) -> Weights:
        """Weights tuned on the labels ``targets`` (l,), class indices of at least two classes, of images ``rows`` (l,).

        Parameters
        ----------
        words : (k, columns), optional
            Vectors of the words for the classes.
        progress
            Told how many steps have been taken, of how many.
        """
        import torch
        from torch.nn.functional import cross_entropy, normalize

        device, random = self.model.device, np.random.default_rng(seed)
        classes, indices = np.unique(targets, return_inverse=True)
        probe = _Probe.fitted(self.vectors(rows), indices, device)
        said = None
        if words is not None:
            said = normalize(torch.tensor(words[classes], dtype=torch.float32, device=device), dim=-1)
            said = said * self.model.model.logit_scale.detach().exp().float()
        answers = torch.from_numpy(indices).to(device)
        per_epoch = -(-len(rows) // BATCH)
        steps = min(EPOCHS * per_epoch, MOST_STEPS)
        rate = RATE / self._tokens.shape[-1]
        learning = [*self._parameters.values(), probe.coef, probe.intercept]
        optimizer = torch.optim.AdamW(learning, lr=rate, weight_decay=0.0, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=WARM_UP)
        with self._changing():
            step = 0
            while step < steps:
                for batch in np.array_split(random.permutation(len(rows)), per_epoch)[: steps - step]:
                    with self._precision(learning=True):
                        vectors = self._tail(self._tokens[random.integers(self.views, size=len(batch)), rows[batch]])
                        vectors = normalize(vectors.float(), dim=-1)
                        loss = cross_entropy(probe(vectors), answers[batch])
                        if said is not None:
                            loss = loss + cross_entropy(vectors @ said.T, answers[batch])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                    step, self.seen = step + 1, self.seen + len(batch)
                    if progress is not None:
                        progress(step, steps)
            return {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    def vectors(self, rows: NDArray[np.integer], weights: Weights | None = None) -> NDArray[np.float32]:
        """Vectors of some images under tuned weights, or as they were before: (n, columns), of unit length."""
        import torch

        with self._changing(weights), torch.inference_mode(), self._precision():
            parts = [rows[start : start + LOOKED_AT] for start in range(0, len(rows), LOOKED_AT)]
            seen = [self._tail(self._tokens[0, part]).float() for part in parts]
            seen = [torch.nn.functional.normalize(part, dim=-1).cpu().numpy() for part in seen]
        return np.concatenate([np.empty((0, self.model.columns), dtype=np.float32), *seen])

    def save(self, weights: Weights, folder: Path, about: About) -> str:
        """Write the model with tuned weights into a new folder of ``folder``, whole or not at all; returns its name.

        The folder is one that open_clip itself opens (`local-dir:`), and is named by the hash of its weights.

        Raises
        ------
        Unavailable
            If what was written cannot be opened again.
        """
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=folder))
        try:
            self._write(weights, partial, about)
            name = Clip.open(partial.name, folder).weights
            if (folder / name).exists():
                (folder / name).touch()  # nobody shall take it for one that was left over
            else:
                partial.rename(folder / name)
            return name
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _write(self, weights: Weights, folder: Path, about: About) -> None:
        from safetensors.torch import save_file

        with self._changing(weights):
            tensors = {name: tensor.cpu().contiguous() for name, tensor in self.model.model.state_dict().items()}
            save_file(tensors, folder / WEIGHTS_FILE)
        config = {"model_cfg": self.model.config, "preprocess_cfg": self.model.model.visual.preprocess_cfg}
        (folder / CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")
        (folder / ABOUT_FILE).write_text(json.dumps(vars(about)), encoding="utf-8")
        for path in folder.iterdir():
            with path.open("rb+") as written:
                os.fsync(written.fileno())

    def _learning(self) -> Iterator[tuple[str, Any]]:
        """What learns: the last blocks, and all that follows them."""
        kept = tuple(f"transformer.resblocks.{place}." for place in range(self._first))
        before = ("conv1.", "class_embedding", "positional_embedding", "ln_pre.", *kept)
        for name, parameter in self._visual.named_parameters():
            if not name.startswith(before):
                yield name, parameter

    @contextmanager
    def _changing(self, weights: Weights | None = None) -> Iterator[None]:
        """The model with other weights, or with ones that change, while the block runs."""
        before = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        try:
            self._put(weights or {})
            yield
        finally:
            self._put(before)
            for parameter in self._parameters.values():
                parameter.grad = None

    def _put(self, weights: Weights) -> None:
        import torch

        with torch.no_grad():
            for name, tensor in weights.items():
                self._parameters[name].copy_(tensor)

    def _precision(self, *, learning: bool = False) -> Any:
        """Half precision on a GPU: as in encoding; and while it learns, one with the range of full precision."""
        import torch

        on_gpu = self.model.device.type == "cuda"
        if not learning:
            return torch.autocast(self.model.device.type, torch.float16, enabled=on_gpu)
        half = on_gpu and torch.cuda.is_bf16_supported()
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=half)

    def _look(self, items: Sequence[Content], seed: int, progress: Tick | None) -> Any:
        """What comes out of the blocks that do not learn: (views, n, tokens, width), in half precision."""
        import torch
        from open_clip.transform import PreprocessCfg, image_transform_v2

        cropped = image_transform_v2(PreprocessCfg(**self._visual.preprocess_cfg), is_train=True, aug_cfg=CROP)
        with torch.random.fork_rng(devices=[]), torch.no_grad(), self._precision():
            torch.manual_seed(seed)
            first = items[:LOOKED_AT]
            whole = self._head([self._views(item, cropped, 1)[0] for item in first])
            self._check(whole, first)
            count = self._affordable(whole[0].numel() * 2 * len(items))
            shape = (count, len(items), *whole.shape[1:])
            tokens = torch.empty(shape, dtype=torch.float16, device=self.model.device)
            for start in range(0, len(items), LOOKED_AT):
                part = items[start : start + LOOKED_AT]
                views = [self._views(item, cropped, count) for item in part]
                for view in range(count):
                    tokens[view, start : start + len(part)] = self._head([of_item[view] for of_item in views]).half()
                if progress is not None:
                    progress(start + len(part), len(items))
        return tokens

    def _views(self, item: Content, cropped: Callable[[Any], Any], count: int) -> list[Any]:
        """An image as it is encoded, and crops of it, so many in all."""
        with open_image(source_of(item), side=self.model.side) as image:
            shown = opaque(image).convert("RGB")
            return [self.model.preprocess(shown), *(cropped(shown) for _ in range(count - 1))]

    def _head(self, images: list[Any]) -> Any:
        import torch

        tokens = self._visual._embeds(torch.stack(images).to(self.model.device))
        for block in self._visual.transformer.resblocks[: self._first]:
            tokens = block(tokens)
        return tokens

    def _tail(self, tokens: Any) -> Any:
        tokens = tokens.float()
        for block in self._visual.transformer.resblocks[self._first :]:
            tokens = block(tokens)
        pooled, _ = self._visual._pool(tokens)
        return pooled if self._visual.proj is None else pooled @ self._visual.proj

    def _check(self, tokens: Any, items: Sequence[Content]) -> None:
        """Hold the two parts of the tower against the whole: a later open_clip might put other things between."""
        import torch

        parts = torch.nn.functional.normalize(self._tail(tokens).float(), dim=-1).cpu().numpy()
        if np.abs(parts - self.model.encode(items)).max() > CLOSE:
            raise Unavailable(_OTHER_TOWER)

    def _affordable(self, size: int) -> int:
        """How many views there is memory for, each of so many bytes."""
        import torch

        on_gpu = self.model.device.type == "cuda"
        free = torch.cuda.mem_get_info()[0] if on_gpu else psutil.virtual_memory().available
        if size > MEMORY * free:
            raise Unavailable(
                "There is not enough memory to tune this model; close other programs, or choose a smaller one."
            )
        return min(VIEWS, int(MEMORY * free / size))


_OTHER_TOWER = (
    "Only vision transformers of open_clip's own can be tuned, and the image tower of this model is none; choose one "
    f"such as {Clip.default}."
)


def _vision_transformer(model: ClipModel) -> Any:
    """The image tower, if it is one whose blocks can be told apart."""
    visual = model.model.visual
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
    if not blocks or not all(hasattr(visual, part) for part in ("_embeds", "_pool", "proj")):
        raise Unavailable(_OTHER_TOWER)
    return visual


@dataclass(frozen=True)
class _Probe:
    """A linear classifier on features that are centred and about one long."""

    centre: Any
    length: float
    coef: Any
    intercept: Any

    @classmethod
    def fitted(cls, vectors: NDArray[np.float32], indices: NDArray[np.integer], device: Any) -> "_Probe":
        """Fit it to rows (l, columns) and class indices (l,)."""
        import torch

        centre = vectors.mean(axis=0)
        length = float(np.linalg.norm(vectors - centre, axis=1).mean()) or 1.0
        fit = LogisticRegression(C=PROBE_STRENGTH, max_iter=1000).fit((vectors - centre) / length, indices)
        coef, intercept = fit.coef_, fit.intercept_
        if len(coef) == 1:  # two classes: the softmax of ±w/2 is the same classifier
            coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
        learns = [torch.tensor(a, dtype=torch.float32, device=device, requires_grad=True) for a in (coef, intercept)]
        return cls(torch.from_numpy(centre).to(device), length, *learns)

    def __call__(self, vectors: Any) -> Any:
        """Logits (b, k) of rows (b, columns)."""
        return ((vectors - self.centre) / self.length) @ self.coef.T + self.intercept
