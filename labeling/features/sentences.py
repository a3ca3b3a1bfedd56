"""Texts as a sentence encoder reads them, by any model that sentence-transformers can open.

A spec is the name of a model, such as `all-MiniLM-L6-v2`, downloaded once and then kept, or a folder that holds one.
Weights are read as safetensors, and no code that comes with a model is run.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from labeling.features.base import Content, Kind
from labeling.features.pretrained import Pretrained, Unavailable, check_memory, hash_of

IN_A_GO = 3e9  # parameters times texts: about a second's work for two cores
CHUNKS = 16, 512
BATCH = 32
READ = 20_000  # characters of a text that are looked at
OWN = "sentence_transformers."  # modules of a model that are not code of somebody else


@dataclass(frozen=True)
class Sentences(Pretrained):
    """Texts by what they mean, and words beside them."""

    name: ClassVar[str] = "sentences"
    kind: ClassVar[Kind | None] = "text"
    default: ClassVar[str] = "all-MiniLM-L6-v2"
    extra: ClassVar[str] = "text"
    module: ClassVar[str] = "sentence_transformers"

    @classmethod
    def open(cls, spec: str, home: Path) -> "SentenceModel":
        """Load the model that a spec names.

        Raises
        ------
        Unavailable
            If its weights cannot be had or used, in one sentence.
        """
        return _open(spec, home)


@dataclass(frozen=True, eq=False)
class SentenceModel:
    """A sentence encoder in memory."""

    model: Any
    weights: str
    columns: int
    chunk: int

    def encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        """Vectors of n texts, of unit length: (n, columns)."""
        return self.embed([item.text or "" for item in items])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of t texts, of unit length: (t, columns)."""
        if not texts:
            return np.empty((0, self.columns), dtype=np.float32)
        read = [text[:READ] for text in texts]
        vectors = self.model.encode(read, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)


def _open(spec: str, home: Path) -> SentenceModel:
    try:
        import transformers
        from sentence_transformers import SentenceTransformer
    except Exception as error:  # versions that do not fit each other fail in many ways
        raise Unavailable(
            f"sentence-transformers is installed but does not start ({type(error).__name__}); install it again, "
            "together with torch."
        ) from error
    folder = home / Path(spec).expanduser()
    if folder.is_dir():
        _check(folder, spec)
    elif Path(spec).expanduser().is_absolute() or spec.startswith("."):
        raise Unavailable(f"There is no folder {folder}; check the name.")
    transformers.utils.logging.disable_progress_bar()
    try:
        model = SentenceTransformer(
            str(folder) if folder.is_dir() else spec, trust_remote_code=False, model_kwargs={"use_safetensors": True}
        )
    except MemoryError:
        raise
    except Exception as error:  # a model can be wrong in any way
        if "allocate memory" in str(error) or "out of memory" in str(error):
            raise
        if folder.is_dir():
            raise Unavailable(
                f"The model in {folder} cannot be read ({type(error).__name__}); download or save it again."
            ) from error
        raise Unavailable(
            f"The sentence encoder “{spec}” cannot be downloaded; check its name, connect to the internet once, or "
            "name a folder on this machine, as in “sentences:/path/to/folder”."
        ) from error
    model.eval()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    columns = int(np.asarray(model.encode(["a"], show_progress_bar=False)).shape[1])
    weights = hash_of(model.state_dict(), model.max_seq_length, [type(module).__name__ for module in model])
    return SentenceModel(model, weights, columns, int(np.clip(IN_A_GO / parameters, *CHUNKS)))


def _check(folder: Path, spec: str) -> None:
    """Refuse a folder without weights, or one that would have code of its own run."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise Unavailable(f"There are no weights in {folder}; put a model.safetensors file there.")
    check_memory(files[0], spec)
    try:
        parts = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        foreign = [part["type"] for part in parts if not part["type"].startswith(OWN)]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Unavailable(f"{folder} holds no sentence encoder: its modules.json is missing or damaged.") from error
    if foreign:
        raise Unavailable(f"The model in {folder} wants to run code of its own ({foreign[0]}); choose another.")
