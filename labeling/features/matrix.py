"""The feature matrix on disk: rows in `matrix.f32` (or `.f16`), and `matrix.json`, which says how many of them count.

Rows are written and flushed before the JSON that counts them replaces the old one, so a kill at any instant leaves
a whole, perhaps shorter matrix; bytes beyond the last counted row are overwritten by the next append. No lock is
needed: what belongs into a row never changes, so two writers at once write the same bytes to the same places, and
the count is right whichever is last.
"""

import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np

from labeling.errors import Invalid, NotFound

COUNT_FILE = "matrix.json"
DATA_FILES = {"float32": "matrix.f32", "float16": "matrix.f16"}


@dataclass(frozen=True)
class Layout:
    """What `matrix.json` holds: the shape, and the encoder that filled it.

    Attributes
    ----------
    learned_from : int
        How many items the pool had when the encoder learned from it; 0 where that is not known.
    """

    rows: int
    width: int
    dtype: Literal["float32", "float16"]
    encoder: str
    version: str
    parameters: Mapping[str, int | str] = field(default_factory=dict)
    created: float = 0.0
    learned_from: int = 0


class FeatureMatrix:
    """One project's vectors under one encoder version; row i is the item whose `row` is i."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder = folder
        self.layout = layout

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        width: int,
        encoder: str,
        version: str,
        parameters: Mapping[str, int | str] | None = None,
        dtype: Literal["float32", "float16"] = "float32",
        learned_from: int = 0,
    ) -> Self:
        """Make an empty matrix in a folder that has none."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DATA_FILES[dtype]).touch()
        layout = Layout(0, width, dtype, encoder, version, dict(parameters or {}), time.time(), learned_from)
        matrix = cls(folder, layout)
        matrix._publish(matrix.layout)
        return matrix

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a matrix as it stands now; one that grows later is opened again.

        Raises
        ------
        NotFound
            If there is none.
        Invalid
            If its files do not fit each other.
        """
        try:
            layout = Layout(**json.loads((folder / COUNT_FILE).read_text(encoding="utf-8")))
            size = (folder / DATA_FILES[layout.dtype]).stat().st_size
        except FileNotFoundError as error:
            raise NotFound(f"There are no features at {folder}; encode the project first.") from error
        except (ValueError, TypeError, KeyError) as error:
            raise Invalid(
                f"{folder / COUNT_FILE} is damaged; delete the folder and encode the project again."
            ) from error
        matrix = cls(folder, layout)
        if size < layout.rows * matrix._row_bytes:
            raise Invalid(f"Rows are missing in {folder}; delete the folder and encode the project again.")
        return matrix

    @property
    def home(self) -> Path:
        """The folder of the workspace that it lies in (`Workspace.features`)."""
        return self.folder.parents[2]

    @property
    def spec(self) -> str:
        """How the encoder's weights are named; empty where it has none of somebody else's."""
        return str(self.layout.parameters.get("spec", ""))

    @property
    def setting(self) -> str:
        """What the setting `encoder` says for it."""
        return f"{self.layout.encoder}:{self.spec}" if self.spec else self.layout.encoder

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.layout.rows

    @property
    def width(self) -> int:
        """Length of a row."""
        return self.layout.width

    @property
    def version(self) -> str:
        """The encoder's version."""
        return self.layout.version

    def append(self, block: np.ndarray) -> None:
        """Add rows (n, width) at the end; when this returns they survive a kill.

        Raises
        ------
        ValueError
            If the block has another width, or holds what is not finite.
        """
        if block.ndim != 2 or block.shape[1] != self.width:
            raise ValueError(f"a block of shape {block.shape} does not fit a matrix of width {self.width}")
        with np.errstate(over="ignore"):  # what half precision cannot hold becomes infinite, and is refused below
            data = np.ascontiguousarray(block, dtype=self.layout.dtype)
        if not np.isfinite(data).all():
            raise ValueError("a feature is not a finite number")
        with open(self._data, "r+b") as file:
            file.seek(self.rows * self._row_bytes)
            file.write(data.tobytes())
            file.flush()
            os.fsync(file.fileno())
        self._publish(replace(self.layout, rows=self.rows + len(data)))

    def renew(self, *, learned_from: int = 0, parameters: Mapping[str, int | str] | None = None) -> None:
        """Make this the newest matrix again: the same was learned from more items, or brought or named once more."""
        given = dict(self.layout.parameters if parameters is None else parameters)
        self._publish(replace(self.layout, created=time.time(), learned_from=learned_from, parameters=given))

    def array(self) -> np.ndarray:
        """The rows (rows, width), mapped from disk and read-only."""
        if not self.rows:
            empty = np.empty((0, self.width), dtype=self.layout.dtype)
            empty.flags.writeable = False
            return empty
        return np.memmap(self._data, dtype=self.layout.dtype, mode="r", shape=(self.rows, self.width))

    @property
    def _data(self) -> Path:
        return self.folder / DATA_FILES[self.layout.dtype]

    @property
    def _row_bytes(self) -> int:
        return self.width * np.dtype(self.layout.dtype).itemsize

    def _publish(self, layout: Layout) -> None:
        descriptor, temporary = tempfile.mkstemp(prefix=".part-", dir=self.folder)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(layout), file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(self.folder / COUNT_FILE)
        self.layout = layout
