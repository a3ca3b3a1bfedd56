"""An encoder of texts that understands words, without weights: a text is the sum of what its words mean.

It stands in for the model behind `labeling.features.sentences`, whose own code loads, keeps and names it. How often it
was loaded, and what it was given, is there to be looked at.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.features import pretrained
from labeling.features.base import Content
from labeling.features.pretrained import Unavailable
from labeling.features.sentences import Sentences

COLUMNS = 16


@dataclass
class Speaking:
    """The model, and the machine that loads it: of a spec "broken" nothing can be had."""

    weights: str = "0" * 16
    columns: int = COLUMNS
    chunk: int = 8
    loads: list[str] = field(default_factory=list)
    embedded: list[str] = field(default_factory=list)
    encoded: list[str] = field(default_factory=list)

    def open(self, spec: str, _home: Path) -> "Speaking":
        if spec == "broken":
            raise Unavailable("The weights cannot be had; name others.")
        self.loads.append(spec)
        return self

    def encode(self, items: Sequence[Content]) -> NDArray[np.float32]:
        texts = [item.text or "" for item in items]
        self.encoded += texts
        return np.stack([self._said(text) for text in texts])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += texts
        return np.stack([self._said(text) for text in texts])

    def _said(self, text: str) -> NDArray[np.float32]:
        words = text.lower().split() or [""]
        meant = sum(np.random.default_rng(zlib.crc32((self.weights + w).encode())).normal(size=COLUMNS) for w in words)
        return np.asarray(meant / np.linalg.norm(meant), dtype=np.float32)


def speak(monkeypatch: pytest.MonkeyPatch) -> Speaking:
    """Put it in the place of sentence-transformers."""
    made = Speaking()
    monkeypatch.setattr(Sentences, "open", made.open)
    monkeypatch.setattr(Sentences, "installed", classmethod(lambda _cls: True))
    monkeypatch.setattr(pretrained, "_models", type(pretrained._models)())
    return made
