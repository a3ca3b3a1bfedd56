"""CLIP: images and words in one space, by any model that open_clip can open.

A spec names the weights in one of these ways:

- `ARCHITECTURE/TAG`, such as `ViT-B-32/datacomp_xl_s13b_b90k`: downloaded once, then kept by open_clip;
- a folder that holds `open_clip_config.json` and the weights, as `hf-hub:` repositories do;
- `ARCHITECTURE@FILE`: a checkpoint of our own; in the place of the architecture's name may stand its `.json` file.

Weights are read as safetensors or with `weights_only`: nothing in them is executed.
"""

import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labeling.features.base import Content, Kind
from labeling.features.pretrained import Pretrained, Unavailable, check_memory, hash_of
from labeling.features.rasters import THREADS, opaque, open_image, source_of

CONFIG = "open_clip_config.json"
WEIGHTS = (".safetensors", ".bin", ".pth", ".pt")
IN_A_GO = 3e9  # parameters of the image tower times images: about a second's work for two cores
CHUNKS = 16, 1024  # images in a chunk, at least and at most
ON_GPU = 512
SMALL = 8192  # bytes of an image: of smaller ones, threads cost more than they bring
BATCH = 64  # images, or texts, in memory at once on a CPU; more images of a small model


@dataclass(frozen=True)
class Clip(Pretrained):
    """Images as CLIP sees them, and words beside them."""

    name: ClassVar[str] = "clip"
    kind: ClassVar[Kind | None] = "image"
    default: ClassVar[str] = "ViT-B-32/datacomp_xl_s13b_b90k"
    extra: ClassVar[str] = "clip"
    module: ClassVar[str] = "open_clip"

    @classmethod
    def open(cls, spec: str, home: Path) -> "ClipModel":
        """Load the model that a spec names.

        Raises
        ------
        Unavailable
            If its weights cannot be had or used, in one sentence.
        """
        return open_clip_model(spec, home)


@dataclass(frozen=True, eq=False)
class ClipModel:
    """An open_clip model in memory.

    Attributes
    ----------
    model : torch.nn.Module
        In evaluation mode, on ``device``.
    preprocess : callable
        From an image to what the model sees.
    tokenizer : callable
        From texts to what the model reads.
    config : dict
        What open_clip says of its architecture.
    """

    model: Any
    preprocess: Callable[[Any], Any]
    tokenizer: Callable[[list[str]], Any]
    device: Any
    weights: str
    columns: int
    chunk: int
    config: dict[str, Any]

    def encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        """Vectors of n images, of unit length: (n, columns)."""
        if not items:
            return np.empty((0, self.columns), dtype=np.float32)
        batch = ON_GPU if self.device.type == "cuda" else max(BATCH, self.chunk // 4)
        parts = [items[start : start + batch] for start in range(0, len(items), batch)]
        if _bytes_of(items[0]) < SMALL:
            return np.concatenate([self._see(self._stack(map(self._prepared, part))) for part in parts])
        with ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(THREADS) as threads:
            # While the model looks at one batch, the images of the next are decoded.
            stacks = (ahead.submit(self._stack, threads.map(self._prepared, part)) for part in parts)
            return np.concatenate([self._see(stack) for stack in _one_ahead(stacks)])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of t texts, of unit length: (t, columns)."""
        import torch

        vectors = [np.empty((0, self.columns), dtype=np.float32)]
        for start in range(0, len(texts), BATCH):
            tokens = self.tokenizer(list(texts[start : start + BATCH])).to(self.device)
            with torch.inference_mode():
                vectors.append(self.model.encode_text(tokens, normalize=True).float().cpu().numpy())
        return np.concatenate(vectors)

    def _stack(self, images: Iterable[Any]) -> Any:
        import torch

        return torch.stack(list(images))

    def _prepared(self, item: Content) -> Any:
        with open_image(source_of(item), side=self.side) as image:
            return self.preprocess(opaque(image))

    @property
    def side(self) -> int:
        """Of what the model sees, in pixels: a JPEG need not be decoded much larger."""
        size = self.model.visual.image_size
        return int(max(size) if isinstance(size, tuple | list) else size)

    def _see(self, images: Any) -> NDArray[np.float32]:
        """Vectors of images (n, 3, side, side); on a GPU in half precision, and in halves where they are too many."""
        import torch

        on_gpu = self.device.type == "cuda"
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.float16, enabled=on_gpu):
                vectors = self.model.encode_image(images.to(self.device, non_blocking=True))
                vectors = torch.nn.functional.normalize(vectors.float(), dim=-1)
            return np.asarray(vectors.cpu().numpy(), dtype=np.float32)
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
            torch.cuda.empty_cache()
            return np.concatenate([self._see(half) for half in images.split((len(images) + 1) // 2)])


def open_clip_model(spec: str, home: Path) -> ClipModel:
    """Load the open_clip model that a spec names; paths are looked up from ``home``.

    Raises
    ------
    Unavailable
        If its weights cannot be had or used, in one sentence.
    """
    with _located(spec, home) as (architecture, checkpoint):  # before torch, whose import takes seconds
        try:
            import torch
            from open_clip.transform import PreprocessCfg, image_transform_v2
        except Exception as error:  # versions that do not fit each other fail in many ways
            raise Unavailable(
                f"CLIP is installed but does not start ({_first_line(error)}); install torch, torchvision and "
                "open_clip_torch again, all three together."
            ) from error
        if checkpoint is not None and checkpoint.exists():
            check_memory(checkpoint, spec)
        try:
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            model = _create(architecture, checkpoint, spec, device)
            config = _said_of(architecture, checkpoint)
            tokenizer = _tokenizer(architecture, checkpoint)
            preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
            model.eval()
            with torch.inference_mode():
                said = model.encode_text(tokenizer(["a"]).to(device))
                seen = model.encode_image(preprocess(Image.new("RGB", (8, 8), "gray"))[None].to(device))
        except (MemoryError, Unavailable):
            raise
        except Exception as error:  # a checkpoint or a configuration can be wrong in any way
            if "allocate memory" in str(error) or "out of memory" in str(error):
                raise
            raise Unavailable(_why(spec, architecture, checkpoint, error)) from error
    if said.shape != seen.shape or not torch.isfinite(said + seen).all():
        raise Unavailable(f"The weights of “{spec}” make no usable vectors; download or save them again.")
    tower = sum(parameter.numel() for parameter in model.visual.parameters())
    chunk = ON_GPU if device.type == "cuda" else int(np.clip(IN_A_GO / tower, *CHUNKS))
    weights = hash_of(model.state_dict(), model.visual.preprocess_cfg)
    return ClipModel(model, preprocess, tokenizer, device, weights, said.shape[1], chunk, config)


@contextmanager
def _located(spec: str, home: Path) -> Iterator[tuple[str, Path | None]]:
    """What open_clip calls the architecture of a spec, and the file of its weights; None where it downloads them.

    Raises
    ------
    Unavailable
        If there is no such folder or file.
    """
    architecture, at, file = spec.partition("@")
    folder_named = home / Path(spec).expanduser()
    if at and not folder_named.is_dir():
        checkpoint = home / Path(file).expanduser()
        if not checkpoint.is_file():
            raise Unavailable(f"There is no checkpoint {checkpoint}; check the name.")
        if checkpoint.suffix not in WEIGHTS:
            raise Unavailable(f"{checkpoint} is no checkpoint that can be read; name one of {', '.join(WEIGHTS)}.")
        if not architecture.endswith(".json"):
            yield architecture, checkpoint
            return
        with tempfile.TemporaryDirectory(prefix="clip-", ignore_cleanup_errors=True) as folder:
            config = _config(home / Path(architecture).expanduser())
            (Path(folder) / CONFIG).write_text(json.dumps(config), encoding="utf-8")
            yield f"local-dir:{folder}", checkpoint
        return
    if folder_named.is_dir():
        if not (folder_named / CONFIG).is_file():
            raise Unavailable(f"There is no {CONFIG} in {folder_named}; name a folder that open_clip has written.")
        # Repositories often hold the same weights in another library's form too, as model.safetensors.
        files = [path for ending in WEIGHTS for path in sorted(folder_named.glob(f"*{ending}"), key=_open_clip_first)]
        if not files:
            raise Unavailable(f"There are no weights in {folder_named}; put a .safetensors file there.")
        _config(folder_named / CONFIG)
        yield f"local-dir:{folder_named}", files[0]
    elif spec.startswith("hf-hub:"):
        yield spec, None
    elif "/" not in spec or Path(spec).expanduser().is_absolute() or spec.startswith("."):
        raise Unavailable(
            f"“{spec}” is neither a folder nor an architecture with a tag, as in {Clip.default}; check the name."
        )
    else:
        yield spec, None


def _open_clip_first(path: Path) -> tuple[bool, str]:
    return not path.name.startswith("open_clip"), path.name


def _config(path: Path) -> dict[str, Any]:
    """What a file says of an architecture, in the form that a folder has: with the preprocessing, where that is said.

    Raises
    ------
    Unavailable
        If it says nothing of the kind.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        config = said if "model_cfg" in said else {"model_cfg": said}
        told = {"embed_dim", "vision_cfg", "text_cfg"} <= set(config["model_cfg"])
    except (OSError, ValueError, TypeError):
        told = False
    if not told:
        raise Unavailable(f"{path} is not a JSON file that says what the architecture is; check it.")
    return dict(config)


def _create(architecture: str, checkpoint: Path | None, spec: str, device: Any) -> Any:
    """The model with its weights."""
    import open_clip
    from open_clip.factory import load_checkpoint

    if checkpoint is None:
        if architecture.startswith("hf-hub:"):
            return open_clip.create_model(architecture, device=device, require_pretrained=True)
        name, tag = _name_and_tag(architecture)
        tags = open_clip.list_pretrained_tags_by_model(name)
        if name not in open_clip.list_models():
            raise Unavailable(f"open_clip knows no architecture “{name}”; {Clip.default} is one that it knows.")
        if tag not in tags:
            known = f"it knows {', '.join(tags)}" if tags else f"it knows none: name a checkpoint, as in “{name}@FILE”"
            raise Unavailable(f"open_clip knows no weights “{tag}” of {name}; {known}.")
        return open_clip.create_model(name, tag, device=device, require_pretrained=True)
    with _without_warning():
        model = open_clip.create_model(architecture, device=device, load_weights=False, pretrained_text=False)
    load_checkpoint(model, str(checkpoint), weights_only=True)
    return model


@contextmanager
def _without_warning() -> Iterator[None]:
    """Keep open_clip from saying that a model has no weights, which it is about to be given."""

    def is_other(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(("No pretrained weights", "Local config loaded, but no"))

    logging.getLogger().addFilter(is_other)
    try:
        yield
    finally:
        logging.getLogger().removeFilter(is_other)


def _name_and_tag(spec: str) -> tuple[str, str]:
    """As open_clip knows them: some names have a slash of their own."""
    name, _, tag = spec.rpartition("/")
    return name.replace("/", "-"), tag


def _said_of(architecture: str, checkpoint: Path | None) -> dict[str, Any]:
    """What open_clip says of an architecture."""
    import open_clip

    if checkpoint is None and not architecture.startswith("hf-hub:"):
        architecture = _name_and_tag(architecture)[0]
    return dict(open_clip.get_model_config(architecture) or {})


def _tokenizer(architecture: str, checkpoint: Path | None) -> Any:
    """The tokenizer of an architecture; a configuration may not have code run that lies beside it."""
    import open_clip

    config = _said_of(architecture, checkpoint)
    if checkpoint is None and not architecture.startswith("hf-hub:"):
        architecture = _name_and_tag(architecture)[0]
    if config.get("text_cfg", {}).get("hf_tokenizer_name"):
        return open_clip.get_tokenizer(architecture, trust_remote_code=False)
    return open_clip.get_tokenizer(architecture)


def _why(spec: str, architecture: str, checkpoint: Path | None, error: Exception) -> str:
    """Why a model cannot be opened, and what to do."""
    if checkpoint is None:
        return (
            f"The weights “{spec}” cannot be downloaded; connect to the internet once, or name a checkpoint on this "
            "machine, as in “clip:FOLDER” or “clip:ARCHITECTURE@FILE”."
        )
    if "not found in built-ins" in str(error):
        return f"open_clip knows no architecture “{architecture}”; name one that it knows, or a .json file."
    if any(word in str(error) for word in ("state_dict", "shape", "pos_embed width")):
        return f"The weights in {checkpoint} do not fit the architecture that they are said to have; name another."
    if "Weights only load failed" in str(error):
        return (
            f"{checkpoint} is damaged, or holds more than weights, such as code, which is not run; save the weights "
            "alone, as .safetensors."
        )
    return f"{checkpoint} is not a checkpoint that can be read ({_first_line(error)}); download or save it again."


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].split(". ")[0][:120].rstrip(".") if lines else type(error).__name__


def _bytes_of(item: Content) -> int:
    image = source_of(item)
    return len(image) if isinstance(image, bytes) else image.stat().st_size


def _one_ahead(futures: Iterator[Any]) -> Iterator[Any]:
    """Results in their order; each next one is begun before the last is handed out."""
    waiting = next(futures)
    for following in futures:
        yield waiting.result()
        waiting = following
    yield waiting.result()
