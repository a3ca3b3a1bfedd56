"""One machine's pool: 100,000 items with 512 features, 10 classes, 1,000 labels. Learning, asking, and every page.

python -m tests.benchmarks.bench_scale [learning|asking|pages] ...
"""

import json
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright
from sqlmodel import col, insert, select

from labeling import jobs
from labeling.annotation.consensus import settle
from labeling.db.engine import writing
from labeling.db.schema import Annotation, Item, JobKind, Verdict
from labeling.features.matrix import FeatureMatrix
from labeling.learning.worker import work_off
from labeling.projects import create_project
from labeling.users import issue_token, local_user
from labeling.workspace import Workspace, open_workspace
from tests.benchmarks.bench_latency import label
from tests.benchmarks.bench_rest import Seen, together
from tests.benchmarks.report import in_ms, machine, percentiles, print_table, scratch
from tests.browser.driving import launch
from tests.serving import Served, class_ids, serving

ITEMS, WIDTH, CLASSES, LABELS = 100_000, 512, 10, 1_000
PEOPLE, ANSWERS = 8, 60
PAUSE = 0.5  # seconds that each of the eight looks at an item: between half and one and a half times this
PAGES = ("", "label", "insights", "export", "settings")
VISITS = 5
VERSION = "brought-bench"


def make(root: Path) -> list[str]:
    """The workspace; returns a token for each of its annotators."""
    workspace = open_workspace(root)
    me = local_user(workspace)
    project_id = create_project(
        workspace, me, "scale", [f"class {c}" for c in range(CLASSES)], settings={"encoder": "brought"}
    )
    rng = np.random.default_rng(0)
    truth = rng.integers(CLASSES, size=ITEMS)
    centres = rng.normal(size=(CLASSES, WIDTH)).astype(np.float32)
    matrix = FeatureMatrix.create(
        workspace.features(project_id, VERSION), width=WIDTH, encoder="brought", version=VERSION
    )
    for start in range(0, ITEMS, 10_000):
        of = truth[start : start + 10_000]
        matrix.append(0.25 * centres[of] + rng.normal(size=(len(of), WIDTH)).astype(np.float32))
    names = sorted(class_ids(workspace, project_id).items())
    ids = [class_id for _, class_id in names]
    with writing(workspace.engine) as session:
        session.connection().execute(
            insert(Item),
            [
                {
                    "project_id": project_id, "external_id": f"item-{row:06d}", "content_hash": uuid.UUID(int=row).hex,
                    "text": f"Item {row}, which only its features tell apart.", "row": row, "meta": {},
                    "known_class_id": ids[truth[row]], "answers": 0, "created": time.time(),
                }
                for row in range(ITEMS)
            ],
        )  # fmt: skip
    answer(workspace, project_id, me, rng.choice(ITEMS, LABELS, replace=False))
    with writing(workspace.engine) as session:
        job_id = jobs.request(session, project_id, JobKind.TRAIN).id
    assert job_id is not None
    work_off(workspace, job_id, lambda _fraction, _message: None)
    tokens = [issue_token(workspace, f"annotator {n}") for n in range(PEOPLE)]
    workspace.engine.dispose()
    return tokens


def answer(workspace: Workspace, project_id: int, user_id: int, rows: np.ndarray) -> None:
    """Let somebody have labeled these rows rightly."""
    with writing(workspace.engine) as session:
        chosen = session.exec(
            select(Item.id, Item.known_class_id).where(
                Item.project_id == project_id, col(Item.row).in_([int(row) for row in rows])
            )
        ).all()
        for item_id, class_id in chosen:
            assert item_id is not None
            given = Annotation(
                id=str(uuid.uuid4()), project_id=project_id, item_id=item_id, user_id=user_id, verdict=Verdict.LABEL,
                class_id=class_id, seconds=1.0,
            )  # fmt: skip
            session.add(given)
        session.flush()
        for item_id, _ in chosen:
            assert item_id is not None
            settle(session, item_id)


def bench_learning(served: Served) -> dict[str, object]:
    """One answer a second, for a minute: from accepted to a ranking that has seen it."""
    with served.connect() as connection:
        while connection.get("/health")["worker_heartbeat"] is None:
            time.sleep(0.05)
        return label(connection, served.root, 60, 1.0)


def bench_asking(served: Served, tokens: list[str], pause: float) -> dict[str, object]:
    """Eight people at once, each claiming an item, looking at it, answering it."""
    ids = truth_of(served)

    def person(number: int, start: threading.Barrier) -> Seen:
        seen, moments = Seen(), random.Random(number)
        with served.connect(tokens[number]) as connection:

            def ask(path: str, body: object, took: list[float]) -> dict[str, list[dict[str, object]]]:
                began = time.perf_counter()
                status, told = connection.ask("POST", f"/api/v1{path}", body)
                took.append(time.perf_counter() - began)
                if status != 200:
                    seen.wrong.append(f"{path}: {status} {told[:300]!r}")
                read: dict[str, list[dict[str, object]]] = json.loads(told)
                return read

            start.wait()
            for _ in range(ANSWERS):
                for claim in ask("/projects/1/claims", {"count": 1}, seen.claims)["claims"]:
                    time.sleep(pause * moments.uniform(0.5, 1.5))
                    given = {
                        "event_id": str(uuid.uuid4()), "assignment_id": claim["assignment_id"],
                        "token": claim["token"], "verdict": "label", "class_id": ids[claim["item"]["id"]],  # type: ignore[index]
                        "seconds": pause,
                    }  # fmt: skip
                    ask("/annotations", {"annotations": [given]}, seen.submits)
        return seen

    seen, effort = together(PEOPLE, served, person)
    wrong = [what for one in seen for what in one.wrong]
    for what in wrong[:5]:
        print(what)
    claims = [s for one in seen for s in one.claims]
    return {
        "answers": sum(len(one.submits) for one in seen),
        "not 200": len(wrong),
        "next item, ms p50 / p95": in_ms(claims),
        "submit, ms p50 / p95": in_ms([s for one in seen for s in one.submits]),
        "answers/s": sum(len(one.submits) for one in seen) / effort.seconds,
        "web process, share of a core": effort.web / effort.seconds,
        "clients, share of a core": effort.clients / effort.seconds,
    }


def truth_of(served: Served) -> dict[int, int]:
    """The id of each item's true class."""
    workspace = open_workspace(served.root)
    with workspace.engine.connect() as connection:
        found = dict(connection.exec_driver_sql("SELECT id, known_class_id FROM item").all())
    workspace.engine.dispose()
    return found  # type: ignore[return-value]


CONTENT = "[data-testid=stMain] :is(h1, h2, h3, p, button, .askwise)"
SHOWN = f"() => document.querySelector('{CONTENT}') !== null"
SETTLED = f"""() => {{
  const app = document.querySelector('[data-testid=stApp]');
  return app?.dataset.testScriptState === 'notRunning' && document.querySelector('{CONTENT}') !== null;
}}"""
ASKED = "() => window.painted === true"  # the first item can be answered


def bench_pages(served: Served) -> dict[str, dict[str, object]]:
    """Each page in a browser that has been here before: from the address to content, in seconds."""
    runs: dict[str, dict[str, object]] = {}
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script("document.addEventListener('askwise:painted', () => (window.painted = true));")
        page.goto(f"http://127.0.0.1:{served.port}/")
        page.wait_for_function(SETTLED)
        for name in PAGES:
            moments = {"content": SHOWN, "all of it": ASKED if name == "label" else SETTLED}
            took: dict[str, list[float]] = {moment: [] for moment in moments}
            for _ in range(VISITS):
                began = time.perf_counter()
                page.goto(f"http://127.0.0.1:{served.port}/{name}")
                for moment, reached in moments.items():
                    page.wait_for_function(reached)
                    took[moment].append(time.perf_counter() - began)
            runs[name or "projects"] = {
                f"{moment}, s {which}": value
                for moment, seconds in took.items()
                for which, value in zip(("p50", "p95"), percentiles(seconds), strict=True)
            }
        browser.close()
    return runs


def main(parts: list[str]) -> None:
    with scratch() as root:
        began = time.perf_counter()
        tokens = make(root)
        print(f"made in {time.perf_counter() - began:.0f} s; {machine()}")
        with serving(root) as served:
            run: dict[str, Callable[[], dict[str, dict[str, object]]]] = {
                "learning": lambda: {"one answer a second": bench_learning(served)},
                "asking": lambda: {
                    "8 people, about half a second each": bench_asking(served, tokens, PAUSE),
                    "8 people without a pause": bench_asking(served, tokens, 0.0),
                },
                "pages": lambda: bench_pages(served),
            }
            for part in parts or list(run):
                title = f"{part}: {ITEMS:,} items x {WIDTH} features, {CLASSES} classes, {LABELS:,} labels"
                print_table(title, run[part]())


if __name__ == "__main__":
    main(sys.argv[1:])
