"""The documentation is whole and true: the reference is what the code says, links lead somewhere, the tutorial runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.reference import ENVIRONMENT, PAGE, environment_of_the_code, reference

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIAL = ROOT / "docs" / "tutorial.md"


def test_the_reference_is_what_the_code_says():
    assert PAGE.read_text(encoding="utf-8") == reference(), "write it anew with `make reference`"


def test_everything_in_the_reference_is_explained():
    assert [line for line in reference().splitlines() if re.search(r"\|\s*\|$", line)] == []


def test_every_environment_variable_is_in_the_reference():
    assert environment_of_the_code() == set(ENVIRONMENT)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_to_it(page: Path):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)|(?:src|srcset)=\"([^\"]+)\"", page.read_text(encoding="utf-8"))
    files = [a or b for a, b in links if "://" not in (a or b)]
    assert [file for file in files if not (page.parent / file).exists()] == []


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                waiting.append((page.parent / link).resolve())
    assert set(DOCS) <= reached


@pytest.mark.slow
def test_the_tutorial_runs_as_it_is_written(tmp_path: Path):
    digits = load_digits()
    for number in range(240):
        folder = tmp_path / "photos" / str(digits.target[number])
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray((digits.images[number] * 15).astype("uint8")).resize((48, 48))
        image.save(folder / f"{number:03d}.jpg")
    (tmp_path / "new").mkdir()
    shutil.copy(tmp_path / "photos" / "3" / "003.jpg", tmp_path / "new" / "001.jpg")
    commands = "\n".join(re.findall(r"```bash\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL))
    written = [line for line in commands.splitlines() if not line.startswith("askwise serve")]  # that one stays
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment["ASKWISE_WORKSPACE"] = str(tmp_path / "askwise-workspace")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(written)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "dataset").iterdir())
