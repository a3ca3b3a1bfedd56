"""The process that serves people never loads a model: a whole session with CLIP, and then a look at its modules."""

import re
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page

from labeling import jobs, open_workspace
from labeling.db.engine import writing
from labeling.db.schema import JobKind
from labeling.intake.importer import import_records
from labeling.users import local_user
from tests.serving import Connection, noisy_digits, processes_of, serve
from tests.tiny_clip import NAMES

pytestmark = pytest.mark.browser

HEAVY = {"torch", "torchvision", "open_clip", "sentence_transformers", "transformers", "timm", "safetensors"}
PAGES = ("", "label", "insights", "settings", "export")
WAIT_SECONDS = 120


def test_the_web_process_never_imports_torch(
    tmp_path: Path, page: Page, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
):
    root, told = tmp_path / "workspace", tmp_path / "modules.txt"
    opened = open_workspace(root)
    project = opened.create_project("digits", list(NAMES), encoder=f"clip:{tiny_clip}")
    import_records(opened.workspace, project, noisy_digits(200), actor_id=local_user(opened.workspace))
    with writing(opened.workspace.engine) as session:
        jobs.request(session, project, JobKind.ENCODE)
    monkeypatch.setenv("TELL_MODULES", str(told))
    served = serve(root, command=(sys.executable, "-m", "tests.browser.telling_modules"))
    try:
        with served.connect() as web:
            wait_for_model(web, project)
            worker = next(p for p in processes_of(root) if "worker" in p.cmdline())
            assert any("libtorch" in mapped.path for mapped in worker.memory_maps()), "no model was ever loaded"
        for name in PAGES:
            page.goto(f"http://127.0.0.1:{served.port}/{name}?project={project}")
            page.get_by_test_id("stAppViewContainer").wait_for()
            page.wait_for_timeout(1000)
            for tab in page.get_by_role("tab").all():
                tab.click()
                page.wait_for_timeout(300)
        with served.connect() as web:
            claims = web.post(f"/projects/{project}/claims", {"count": 4})["claims"]
            assert all(claim["suggestion"] for claim in claims)
            found = web.post(f"/projects/{project}/find", {"text": "a handwritten three", "count": 10})
            assert len(found["claims"]) == 10
            assert not any("libtorch" in mapped.path for mapped in psutil.Process(served.process.pid).memory_maps())
        served.process.send_signal(signal.SIGINT)
        served.process.wait(30)
    finally:
        served.stop()
    modules = set(told.read_text(encoding="utf-8").split())
    assert "labeling.web.api" in modules
    assert not {name for name in modules if re.split(r"\.", name)[0] in HEAVY}


def wait_for_model(web: Connection, project: int) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        if web.get(f"/projects/{project}")["model_version"] is not None:
            return
        time.sleep(0.2)
    raise AssertionError("no model within two minutes")
