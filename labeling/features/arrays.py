"""Named arrays in a file (`.npz`), there whole or not at all; nothing in them is ever executed."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from labeling.errors import Invalid


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays to ``path``, in the place of what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    with open(descriptor, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    Path(partial).replace(path)


def load_arrays(path: Path, what: str) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` wrote.

    Raises
    ------
    Invalid
        If the file is missing or damaged; ``what`` says what it is, as in "The pool's shape".
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile) as error:
        raise Invalid(f"{what} at {path} is missing or damaged; delete its folder.") from error
