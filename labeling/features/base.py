"""What an encoder is: items in, vectors out, and a version that says exactly which vectors."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Kind = Literal["image", "text", "row"]
KIND_WORDS: dict[Kind, str] = {"image": "images", "text": "texts", "row": "rows"}

WORDS_FOLDER = "words"  # beside a matrix: vectors of texts (`labeling.features.words`)

State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Content:
    """What an encoder sees of an item: exactly one of these.

    Attributes
    ----------
    image : bytes or Path or None
        An image that the safe opener wrote, or the file that holds it.
    text : str or None
    fields : mapping or None
        A row's values by the names of its columns.
    """

    image: bytes | Path | None = None
    text: str | None = None
    fields: Mapping[str, Any] | None = None

    @property
    def kind(self) -> Kind | None:
        """What there is; None of an item that holds nothing."""
        if self.image is not None:
            return "image"
        if self.text is not None:
            return "text"
        return "row" if self.fields is not None else None


class Encoder(Protocol):
    """Turns items of one kind into vectors. Two encoders of one version give the same vector for the same item.

    Attributes
    ----------
    name : str
        What a project's settings call it.
    kind : {"image", "text", "row"} or None
        Of its items; None where it is all the same.
    sample : int
        From how many items of the pool it learns at most; 0 where it knows all beforehand. One that learned from fewer
        learns anew when the pool has grown much.
    chunk : int
        How many items are encoded at once: few enough to be stopped soon.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind | None]
    sample: ClassVar[int]
    chunk: ClassVar[int]

    @classmethod
    def fit(cls, items: Sequence[Content]) -> Self:
        """An encoder that suits these items, at least one of them."""

    @classmethod
    def restore(cls, parameters: Mapping[str, int | str], state: State) -> Self:
        """The encoder that once had these parameters and this state."""

    @property
    def parameters(self) -> Mapping[str, int | str]:
        """The few numbers and words that it takes to make this encoder again, beside its state."""

    @property
    def state(self) -> State:
        """The arrays that it learned; none where it learns nothing."""

    @property
    def version(self) -> str:
        """Name of the folder of its matrices: see `version_of`."""

    @property
    def width(self) -> int:
        """Length of a vector."""

    def encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        """Vectors of n items of its kind: (n, width)."""


@runtime_checkable
class Worded(Protocol):
    """An encoder that understands words: what they say and what an item shows are near each other."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of t texts, beside those of its items: (t, width), of unit length."""


def version_of(name: str, parameters: Mapping[str, int | str], code: int, state: State | None = None) -> str:
    """A short version: the name and a hash over all that decides on the vectors.

    `code` rises when the code makes other vectors of the same items.
    """
    said = hashlib.sha256(json.dumps([name, dict(parameters), code], sort_keys=True).encode())
    for key, array in sorted((state or {}).items()):
        said.update(f"{key} {array.dtype.str} {array.shape}".encode())
        said.update(np.ascontiguousarray(array).tobytes())
    return f"{name}-{said.hexdigest()[:12]}"


def as_array(words: Any) -> NDArray[np.uint8]:
    """Anything that JSON can say as an array, so that it can lie beside numbers: bytes of UTF-8."""
    return np.frombuffer(json.dumps(words, ensure_ascii=False).encode(), dtype=np.uint8)


def from_array(array: NDArray[np.uint8]) -> Any:
    """What `as_array` was given."""
    return json.loads(array.tobytes().decode())
