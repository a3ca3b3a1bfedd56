"""What an encoder is: item in, vector out, and a version that says exactly which vector."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np


class Encoder(Protocol):
    """Turns images into vectors. Two encoders of one version give the same vector for the same image."""

    @property
    def name(self) -> str:
        """What a project's settings call it."""

    @property
    def parameters(self) -> Mapping[str, int]:
        """All that it takes to make this encoder again."""

    @property
    def version(self) -> str:
        """Name of the folder of its matrices: see `version_of`."""

    @property
    def width(self) -> int:
        """Length of a vector."""

    def encode(self, images: Sequence[bytes | Path]) -> np.ndarray:
        """Vectors of n images that the safe opener wrote: (n, width) float32."""


def version_of(name: str, parameters: Mapping[str, int], code: int) -> str:
    """A short version: the name and a hash over name, parameters and `code`, which rises when the vectors change."""
    said = json.dumps([name, dict(parameters), code], sort_keys=True)
    return f"{name}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"
