"""What encoders share whose weights somebody else has trained: how they are named, loaded once, and told apart.

A project's settings name such an encoder with its weights: `clip:ViT-B-32/datacomp_xl_s13b_b90k`, say, or
`sentences:/path/to/a/folder`. What stands behind the colon is the spec. The version of the features follows from the
weights themselves, wherever they lie.
"""

import hashlib
import importlib.util
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import psutil
from numpy.typing import NDArray

from labeling.errors import Invalid
from labeling.features.base import Content, Kind, State, version_of

KEPT = 2  # models held in memory at once
ROOM = 2  # times the size of its file that a model takes while it is loaded


class Unavailable(Invalid):
    """The weights of an encoder cannot be had or used; a project goes on with the encoder that it had."""


class Loaded(Protocol):
    """A model in memory, ready to encode.

    Attributes
    ----------
    weights : str
        Hash of all that decides on its vectors.
    columns : int
        Length of a vector.
    chunk : int
        How many items it encodes within a second or two.
    """

    @property
    def weights(self) -> str: ...  # noqa: D102

    @property
    def columns(self) -> int: ...  # noqa: D102

    @property
    def chunk(self) -> int: ...  # noqa: D102

    def encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        """Vectors of n items, of unit length: (n, columns)."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of t texts, of unit length: (t, columns)."""


@dataclass(frozen=True)
class Pretrained(ABC):
    """An encoder that knows all beforehand.

    Attributes
    ----------
    spec : str
        How the settings name the weights.
    weights : str
        Their hash.
    columns : int
    chunk : int
    home : Path
        The folder of the workspace, from which paths in a spec are looked up unless they are absolute.
    """

    spec: str
    weights: str
    columns: int
    home: Path = field(default_factory=Path, compare=False)
    chunk: int = field(default=32, compare=False)
    name: ClassVar[str]
    kind: ClassVar[Kind | None]
    sample: ClassVar[int] = 0
    default: ClassVar[str]  # spec
    extra: ClassVar[str]  # of the package, with which it comes
    module: ClassVar[str]  # that has to be there
    code: ClassVar[int] = 1

    @classmethod
    @abstractmethod
    def open(cls, spec: str, home: Path) -> Loaded:
        """Load the weights.

        Raises
        ------
        Unavailable
            If they cannot be had or used, in one sentence.
        """

    @classmethod
    def installed(cls) -> bool:
        """Whether what it needs is there; nothing is imported."""
        return importlib.util.find_spec(cls.module) is not None

    @classmethod
    def load(cls, spec: str, home: Path) -> Self:
        """The encoder that a spec names, with its weights in memory.

        Raises
        ------
        Unavailable
            If they cannot be had or used, in one sentence.
        """
        if not cls.installed():
            raise Unavailable(f"The encoder “{cls.name}” is not installed; {how_to_install(cls.extra)}.")
        spec = spec or cls.default
        loaded = _kept(cls, spec, home)
        return cls(spec, loaded.weights, loaded.columns, home, loaded.chunk)

    @classmethod
    def fit(cls, items: Sequence[Content]) -> Self:
        """The encoder with its default weights, whatever the items."""
        return cls.load("", Path())

    @classmethod
    def restore(cls, parameters: Mapping[str, int | str], state: State) -> Self:
        """The encoder that once had these parameters; its weights are loaded when it is used."""
        return cls(str(parameters["spec"]), str(parameters["weights"]), int(parameters["columns"]))

    @property
    def parameters(self) -> Mapping[str, int | str]:
        """Where the weights come from, their hash, and the length of a vector."""
        return {"spec": self.spec, "weights": self.weights, "columns": self.columns}

    @property
    def state(self) -> State:
        """Nothing is learned here."""
        return {}

    @property
    def version(self) -> str:
        """Name of the folder of its matrices: the same weights make the same features, wherever they come from."""
        return version_of(self.name, {"weights": self.weights, "columns": self.columns}, self.code)

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self.columns

    def encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        """Vectors of n items of its kind, of unit length: (n, width).

        Raises
        ------
        Unavailable
            If the weights are gone, or are not those that it had.
        """
        with memory_for(self.spec):
            return self._loaded().encode(items)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of t texts, of unit length: (t, width).

        Raises
        ------
        Unavailable
            If the weights are gone, or are not those that it had.
        """
        with memory_for(self.spec):
            return self._loaded().embed(texts)

    def _loaded(self) -> Loaded:
        loaded = _kept(type(self), self.spec, self.home)
        if loaded.weights != self.weights:
            raise Unavailable(
                f"The weights at “{self.spec}” are not those that the features were made with; put those back, or "
                "choose the encoder once more on the Settings page."
            )
        return loaded


def how_to_install(extra: str) -> str:
    """What to type for an extra of the package."""
    return f"run `pip install 'askwise[{extra}]'` and start Askwise again"


@contextmanager
def memory_for(spec: str) -> Iterator[None]:
    """Say in one sentence that there was not enough memory for a model."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = str(error).lower()
        if isinstance(error, MemoryError) or "out of memory" in said or "allocate memory" in said:
            raise Unavailable(
                f"There is not enough memory for “{spec}”; close other programs, or choose a smaller model."
            ) from error
        raise


def check_memory(path: Path, spec: str) -> None:
    """Refuse weights that would not fit: a system that runs out of memory ends the worker without a word.

    Raises
    ------
    Unavailable
        If there is less memory than loading the file takes.
    """
    if ROOM * path.stat().st_size > psutil.virtual_memory().available:
        raise Unavailable(f"There is not enough memory for “{spec}”; close other programs, or choose a smaller model.")


def hash_of(arrays: Mapping[str, Any], *about: object) -> str:
    """Hash of a model's tensors, in order of their names, and of what else decides on its vectors."""
    said = hashlib.sha256(repr(about).encode())
    for name, tensor in sorted(arrays.items()):
        array = tensor.detach().cpu().float().contiguous().numpy()
        said.update(f"{name} {array.shape}".encode())
        said.update(array.tobytes())
    return said.hexdigest()[:16]


_models: OrderedDict[tuple[str, str, tuple[int, ...]], Loaded] = OrderedDict()
_loading = threading.Lock()


def _kept(kind: type[Pretrained], spec: str, home: Path) -> Loaded:
    """The model that a spec names; the last few are kept in memory, as long as their files stay as they are."""
    key = (kind.name, spec, _stamp(spec, home))
    with _loading:
        if key not in _models:
            with memory_for(spec):
                _models[key] = kind.open(spec, home)
        _models.move_to_end(key)
        while len(_models) > KEPT:
            _models.popitem(last=False)
        return _models[key]


def _stamp(spec: str, home: Path) -> tuple[int, ...]:
    """When the files that a spec names were last written, and their sizes; nothing where it names none.

    Raises
    ------
    Unavailable
        If no file can have such a name, or it may not be looked at.
    """
    stamp: list[int] = []
    try:
        for named in dict.fromkeys([spec, *spec.split("@")]):
            path = home / Path(named).expanduser()
            files = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
            stamp += [number for file in files for number in (file.stat().st_mtime_ns, file.stat().st_size)]
    except FileNotFoundError:  # gone since
        return ()
    except (OSError, RuntimeError, ValueError) as error:
        raise Unavailable(f"“{spec[:100]}” names nothing that can be looked up; check the name.") from error
    return tuple(stamp)
