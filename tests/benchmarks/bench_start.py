"""From the command to the first page: `askwise demo` on an empty folder, and every start after that."""

import time
from pathlib import Path

from tests.benchmarks.report import percentiles, print_table, scratch
from tests.serving import serve

AGAIN = 5


def start(root: Path) -> tuple[float, float]:
    """Start the demo and stop it; returns the seconds to a healthy API, and to the page that a browser asks for."""
    began = time.perf_counter()
    served = serve(root, verb="demo")
    try:
        healthy = time.perf_counter() - began
        with served.connect() as connection:
            status, page = connection.ask("GET", "/")
        assert status == 200 and b"<html" in page.lower(), (status, page[:300])
        return healthy, time.perf_counter() - began
    finally:
        served.stop()


if __name__ == "__main__":
    with scratch() as root:
        first = start(root)
        again = [start(root) for _ in range(AGAIN)]
    (healthy, healthy_high), (page, page_high) = (percentiles(seconds) for seconds in zip(*again, strict=True))
    print_table(
        "Seconds from `askwise demo`",
        {
            "empty folder": {"to health": first[0], "to the page": first[1]},
            f"again, median of {AGAIN}": {"to health": healthy, "to the page": page},
            "again, 95th percentile": {"to health": healthy_high, "to the page": page_high},
        },
    )
