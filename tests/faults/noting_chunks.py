"""The `askwise` command, whose worker notes what it gives to CLIP: a line for each chunk, before it is encoded.

A line holds the content hashes of the chunk's images; it goes to the file that NOTE_CHUNKS names.
"""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labeling import cli
from labeling.features.base import Content
from labeling.features.clip import ClipModel

encode = ClipModel.encode


def note_and_encode(self: ClipModel, items: Sequence[Content]) -> NDArray[np.float32]:
    line = " ".join(str(item.image).rpartition("/")[2] for item in items) + "\n"
    log = os.open(os.environ["NOTE_CHUNKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, line.encode())  # in one go: a kill leaves a whole line or none
    os.close(log)
    return encode(self, items)


if __name__ == "__main__":
    ClipModel.encode = note_and_encode  # type: ignore[method-assign]
    cli.main()
