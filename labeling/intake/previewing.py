"""A preview from a process of its own: whatever a file does to its reader, the server that shows it goes on.

A few hundred bytes of Parquet can stand for gigabytes of text, and not every library that reads a format was written
with such files in mind. Beyond its memory or its time, the process ends, and that is a sentence like any other.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from labeling.errors import AskwiseError, Invalid
from labeling.intake.records import Preview, Reading

MAX_MEMORY = 2 * 1024**3  # bytes of address space, libraries included
SECONDS = 60.0


def preview_apart(path: Path, reading: Reading | None, rows: int) -> Preview:
    """`labeling.intake.sources.preview`, in a process of its own.

    Raises
    ------
    Invalid
        If the file cannot be read as a whole, or not with this much memory and time.
    """
    asked = {"path": str(path), "reading": (reading or Reading()).model_dump(), "rows": rows}
    settings = {name: value for name, value in os.environ.items() if not name.startswith("ASKWISE_")}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            input=json.dumps(asked), capture_output=True, encoding="utf-8", timeout=SECONDS, check=False,
            env={**settings, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"},
        )  # fmt: skip
        answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    except subprocess.TimeoutExpired:
        answer = {
            "refused": f"{path.name} takes longer than {SECONDS:g} seconds to look at; split it into smaller files."
        }
    if "refused" in answer:
        raise Invalid(answer["refused"])
    if "preview" not in answer:
        raise Invalid(f"{path.name} cannot be read: its rows are too large for the memory there is; make them smaller.")
    return Preview.model_validate(answer["preview"])


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    from labeling.intake.sources import preview

    try:
        found = preview(Path(asked["path"]), Reading.model_validate(asked["reading"]), asked["rows"])
    except AskwiseError as error:
        return {"refused": str(error)}
    return {"preview": found.model_dump(mode="json")}


def _limit() -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _limit()
    sys.stdout.write(json.dumps(_answer(json.load(sys.stdin))))
