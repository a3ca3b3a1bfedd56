"""Imports run one way, modules stay small, and what is dangerous is nowhere."""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TOP = {
    "app", "cli", "class_commands", "history_commands", "people_commands", "review_commands", "terminal", "verbs",
    "web", "__main__",
}  # fmt: skip
MIDDLE = {"delivery", "assurance", "annotation", "learning", "intake", "features"}
BESIDE_DB = {
    "workspace", "projects", "classes", "users", "jobs", "accounts", "attempts", "invitations", "signing_in",
    "audit_log", "audit_sentences",
}  # fmt: skip
# What a part of labeling/ may import from labeling/ and strategies/ besides itself.
MAY_IMPORT = {
    **dict.fromkeys(TOP, TOP | MIDDLE | BESIDE_DB | {"db", "errors", "strategies"}),
    **dict.fromkeys(MIDDLE, MIDDLE | BESIDE_DB | {"db", "errors"}),
    **dict.fromkeys(BESIDE_DB, BESIDE_DB | {"db", "errors"}),
    "db": {"errors"},
    "errors": set(),
    "strategies": set(),
}
MAY_IMPORT["learning"] = MAY_IMPORT["learning"] | {"strategies"}
MAY_IMPORT["labeling"] = (
    TOP | MIDDLE | BESIDE_DB | {"db", "errors", "strategies"}
)  # the package itself: its public names

MAY_USE_SQL = MIDDLE | BESIDE_DB | {"db"}
MAY_USE_STREAMLIT = {"app", "web"}
STRATEGIES_MAY_USE = sys.stdlib_module_names | {"numpy", "scipy", "sklearn"}
SHARES_ALIASES = "labeling.db.aliases"
RUNS_CODE_ON_LOAD = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal"}
RUNS_CODE_IN_A_BROWSER = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write")
SAYS_NOTHING = {"utils", "helpers", "models"}
LONGEST = 500


@dataclass(frozen=True)
class Import:
    """One imported module, as in `import target`; `lazy` when inside a function."""

    target: str
    line: int
    lazy: bool

    @property
    def distribution(self) -> str:
        return self.target.split(".")[0]


def product_files(root: Path) -> list[Path]:
    """Code of the product: app.py, labeling/ and strategies/."""
    found = [root / "app.py"] if (root / "app.py").exists() else []
    for folder in ("labeling", "strategies"):
        found += [p for p in sorted((root / folder).rglob("*")) if p.suffix in {".py", ".js", ".css"}]
    return found


def part_of(module: str) -> str:
    """The part of the house that a module belongs to: `labeling.web.api` is in `web`."""
    names = module.split(".")
    return names[1] if names[0] == "labeling" and len(names) > 1 else names[0]


def imports_of(tree: ast.Module, path: Path, root: Path) -> Iterator[Import]:
    """Every module that a file imports, relative ones resolved; `from labeling import db` is `labeling.db`."""
    package = path.relative_to(root).parent.parts

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for name in child.names:
                    yield Import(name.name, child.lineno, lazy)
            elif isinstance(child, ast.ImportFrom):
                above = package[: len(package) - child.level + 1] if child.level else ()
                base = ".".join([*above, *([child.module] if child.module else [])])
                for name in child.names:
                    inside = root.joinpath(*base.split("."), name.name)
                    is_module = inside.is_dir() or inside.with_suffix(".py").is_file()
                    yield Import(f"{base}.{name.name}" if is_module else base, child.lineno, lazy)
            else:
                yield from visit(child, lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    return visit(tree, False)


def import_violations(here: str, found: Import, where: Path) -> Iterator[str]:
    """What is wrong with one import in a module of the part `here`."""
    there = part_of(found.target)
    if found.distribution in {"labeling", "strategies", "app"}:
        # `from labeling import __version__` is open to all; other public names of the package are for users of it.
        public_name = there == "labeling" and here != "strategies"
        if there != here and not public_name and there not in MAY_IMPORT[here]:
            yield f"{here} imports {there}"
        return
    if here == "strategies" and found.distribution not in STRATEGIES_MAY_USE:
        yield f"strategies imports {found.distribution}"
    if found.distribution == "streamlit" and here not in MAY_USE_STREAMLIT:
        yield "streamlit outside web/ and app.py"
    if found.distribution in {"sqlmodel", "sqlalchemy"} and here not in MAY_USE_SQL:
        yield "SQL where no transaction is owned"
    if found.distribution in {"torch", "open_clip"}:
        if here != "features" and where.as_posix() != "labeling/learning/zero_shot.py":
            yield f"{found.distribution} outside features/ and learning/zero_shot.py"
        if not found.lazy:
            yield f"{found.distribution} is imported before it is used"
    if found.distribution in RUNS_CODE_ON_LOAD:
        yield f"{found.distribution} runs code on load"


def call_violations(module: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Calls that run what they load, put data on a page as HTML, or go wrong where threads meet."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"read_pickle", "to_pickle"}:
            yield node.lineno, f"{node.attr} runs code on load"
        if isinstance(node, ast.Attribute) and node.attr == "load" and getattr(node.value, "id", "") == "joblib":
            yield node.lineno, "joblib.load runs code on load"
        if isinstance(node, ast.ImportFrom) and node.module == "joblib" and any(n.name == "load" for n in node.names):
            yield node.lineno, "joblib.load runs code on load"
        if (
            isinstance(node, ast.ImportFrom)
            and any(n.name == "aliased" for n in node.names)
            and module != SHARES_ALIASES
        ):
            yield node.lineno, "aliased is not safe among threads; labeling.db.aliases is"
        if isinstance(node, ast.keyword) and not (isinstance(node.value, ast.Constant) and node.value.value is False):
            if node.arg == "allow_pickle":
                yield node.value.lineno, "allow_pickle runs code on load"
            if node.arg == "unsafe_allow_html":
                yield node.value.lineno, "unsafe_allow_html"


def violations(root: Path) -> list[str]:
    """Everything in which the product under `root` departs from the layout, one sentence each."""
    found: list[str] = []
    uses: dict[str, set[str]] = defaultdict(set)
    dask: set[Path] = set()
    for path in product_files(root):
        where = path.relative_to(root)
        text = path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > LONGEST:
            found.append(f"{where}: {lines} lines, more than {LONGEST}")
        if path.stem in SAYS_NOTHING or path.parent.name in SAYS_NOTHING:
            found.append(f"{where}: the name {path.stem} says nothing")
        if path.suffix != ".py":
            found += [f"{where}: {word}" for word in RUNS_CODE_IN_A_BROWSER if word in text]
            continue
        tree = ast.parse(text)
        module = where.with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        here = part_of(module)
        if here not in MAY_IMPORT:
            found.append(f"{where}: {here} has no place in the layout")
            continue
        for imported in imports_of(tree, path, root):
            found += [f"{where}:{imported.line}: {wrong}" for wrong in import_violations(here, imported, where)]
            if part_of(imported.target) in MIDDLE - {here} and imported.distribution == "labeling":
                uses[here].add(part_of(imported.target))
            if imported.distribution in {"dask", "distributed"}:
                dask.add(where)
        found += [f"{where}:{line}: {wrong}" for line, wrong in call_violations(module, tree)]
    if len(dask) > 1:
        found.append(f"dask in more than one module: {', '.join(map(str, sorted(dask)))}")
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as cycle:
        found.append(f"packages import each other in a circle: {' -> '.join(cycle.args[1])}")
    return found


def test_the_product_keeps_to_its_layout():
    assert violations(ROOT) == []


GOOD = {
    "app.py": "from labeling.web.server import create_app\n",
    "strategies/__init__.py": "",
    "strategies/base.py": "import math\nimport numpy as np\nfrom sklearn.base import clone\nfrom scipy import stats\n",
    "strategies/margin.py": "from .base import math\n",
    "labeling/__init__.py": "from labeling.workspace import open_workspace\n__version__ = '1'\n",
    "labeling/errors.py": "",
    "labeling/workspace.py": "from sqlalchemy import Engine\nfrom labeling import db\n",
    "labeling/db/__init__.py": "import sqlmodel\nfrom labeling.errors import AskwiseError\n",
    "labeling/features/__init__.py": "def encode():\n    import torch\n",
    "labeling/learning/__init__.py": "from strategies import base\nfrom labeling import features, jobs, __version__\n",
    "labeling/jobs.py": "from labeling.workspace import open_workspace\n",
    "labeling/web/__init__.py": "",
    "labeling/web/server.py": "import streamlit\nstreamlit.text('no pickle or innerHTML')\n",
    "labeling/web/labeller.js": "node.textContent = item.text;\n",
}


def write_tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_tree_that_keeps_to_the_layout_has_no_violations(tmp_path: Path):
    assert violations(write_tree(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("strategies/a.py", "from labeling.errors import AskwiseError\n", "strategies imports errors"),
        ("strategies/a.py", "import labeling\n", "strategies imports labeling"),
        ("strategies/a.py", "def f():\n    import pandas\n", "strategies imports pandas"),
        ("labeling/errors.py", "from labeling import db\n", "errors imports db"),
        ("labeling/db/a.py", "from labeling import workspace\n", "db imports workspace"),
        ("labeling/db/a.py", "from ..learning import fit\n", "db imports learning"),
        ("labeling/users.py", "import labeling.annotation.queue\n", "users imports annotation"),
        ("labeling/delivery/a.py", "from labeling.web import api\n", "delivery imports web"),
        ("labeling/intake/a.py", "import strategies\n", "intake imports strategies"),
        ("labeling/cli.py", "import streamlit.web\n", "streamlit outside web/"),
        ("labeling/cli.py", "def f():\n    from sqlmodel import select\n", "SQL where no transaction is owned"),
        ("labeling/web/api.py", "import sqlalchemy as sa\n", "SQL where no transaction is owned"),
        ("labeling/features/a.py", "import torch\n", "torch is imported before it is used"),
        ("labeling/learning/a.py", "def f():\n    import torch\n", "torch outside features/"),
        ("labeling/web/a.py", "async def f():\n    import open_clip\n", "open_clip outside features/"),
        ("labeling/learning/a.py", "import pickle\n", "pickle runs code on load"),
        ("labeling/learning/a.py", "import joblib\njoblib.load('x')\n", "joblib.load runs code on load"),
        ("labeling/learning/a.py", "from joblib import load\n", "joblib.load runs code on load"),
        ("labeling/learning/a.py", "import numpy\nnumpy.load('x', allow_pickle=True)\n", "allow_pickle"),
        ("labeling/intake/a.py", "import pandas\npandas.read_pickle('x')\n", "read_pickle runs code on load"),
        ("labeling/learning/a.py", "from sqlalchemy.orm import aliased\n", "aliased is not safe among threads"),
        ("labeling/web/a.py", "st.markdown('x', unsafe_allow_html=True)\n", "unsafe_allow_html"),
        ("labeling/web/a.js", "node.innerHTML = item.text;\n", "innerHTML"),
        ("labeling/web/a.css", "a {}\n" * 501, "501 lines"),
        ("labeling/web/utils.py", "", "says nothing"),
        ("labeling/helpers/__init__.py", "", "says nothing"),
        ("labeling/other.py", "", "no place in the layout"),
    ],
)
def test_each_departure_from_the_layout_is_found(tmp_path: Path, name: str, text: str, expected: str):
    found = violations(write_tree(tmp_path, {**GOOD, name: text}))
    assert any(sentence.startswith(name) and expected in sentence for sentence in found), found


def test_packages_that_import_each_other_are_found(tmp_path: Path):
    circle = write_tree(tmp_path, {**GOOD, "labeling/features/a.py": "import labeling.learning\n"})
    assert any("in a circle" in sentence for sentence in violations(circle))


def test_dask_is_in_one_module_at_most(tmp_path: Path):
    one = write_tree(tmp_path, {**GOOD, "labeling/features/a.py": "import dask\n"})
    assert violations(one) == []
    two = write_tree(tmp_path, {"labeling/learning/b.py": "from distributed import Client\n"})
    assert any("dask in more than one module" in sentence for sentence in violations(two))
