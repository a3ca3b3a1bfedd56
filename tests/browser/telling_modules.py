"""The `askwise` command, which says when it ends what this process had imported.

A name a line, in the file that TELL_MODULES names; what it starts (the worker) says nothing.
"""

import atexit
import os
import sys
from pathlib import Path

from labeling import cli


def tell(target: Path) -> None:
    target.write_text("\n".join(sorted(sys.modules)), encoding="utf-8")


if __name__ == "__main__":
    atexit.register(tell, Path(os.environ.pop("TELL_MODULES")))
    cli.main()
