"""The README's third-party strategy runs as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest

from strategies import Pool, available_strategies, get_strategy, reasons, select

README = Path(__file__).parents[2] / "README.md"
EXAMPLE = re.compile(
    r"<!-- example: strategy -->\n+```python\n(?P<code>.*?)```.*?```toml\n(?P<declaration>.*?)```", re.DOTALL
)


class Confident:
    classes = np.array([0, 1, 2])

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        return np.abs(features) / np.abs(features).sum(axis=1, keepdims=True)


def test_the_strategy_in_the_readme_works_as_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    example = EXAMPLE.search(README.read_text(encoding="utf-8"))
    assert example, "README.md shows no strategy after <!-- example: strategy -->"
    declared = re.fullmatch(
        r'\[project\.entry-points\."askwise\.strategies"\]\n(?P<name>\w+) = "(?P<module>\w+):\w+"\n',
        example["declaration"],
    )
    assert declared, "README.md does not declare its strategy"

    (tmp_path / f"{declared['module']}.py").write_text(example["code"], encoding="utf-8")
    metadata = tmp_path / "readme_example-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: readme-example\nVersion: 1.0\n")
    group = example["declaration"].replace('project.entry-points."askwise.strategies"', "askwise.strategies")
    (metadata / "entry_points.txt").write_text(group.replace('"', ""))
    monkeypatch.syspath_prepend(tmp_path)

    assert declared["name"] in available_strategies()
    strategy = get_strategy(declared["name"])
    features = np.random.default_rng(0).normal(size=(40, 3))
    pool = Pool(features, [0, 1, 2, 3], [0, 0, 1, 2], np.arange(4, 40), 3)
    for model in (None, Confident()):
        utilities = strategy.utilities(pool, model, np.random.default_rng(0))
        backwards = Pool(features, pool.labeled, pool.targets, pool.candidates[::-1], 3)
        assert np.array_equal(utilities[::-1], strategy.utilities(backwards, model, np.random.default_rng(0)))
        chosen = pool.candidates[select(utilities, pool.candidates, 5, np.random.default_rng(0))]
        assert len(reasons(strategy, pool, model, chosen, ["a", "b", "c"])) == 5


def test_the_example_is_short():
    example = EXAMPLE.search(README.read_text(encoding="utf-8"))
    assert example
    lines = [line for line in example["code"].splitlines() if line.strip()]
    assert len(lines) <= 15
