"""What the project says of itself is true: settings, versions, documentation, and what continuous integration runs."""

import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from streamlit import config as streamlit_config

import labeling
from labeling.cli import app as command_line
from labeling.web.api import create_api
from labeling.workspace import Workspace

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SETTINGS = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))


def option_names(settings: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of all options in a settings file."""
    names = []
    for key, value in settings.items():
        names += option_names(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return names


def known_options() -> set[str]:
    return {
        f"{section}.{name}" for section, name in (key.rsplit(".", 1) for key in streamlit_config.get_config_options())
    }


@pytest.mark.parametrize("name", option_names(SETTINGS))
def test_streamlit_still_knows_each_setting(name: str):
    assert name in known_options()


def test_the_app_is_private_and_quiet_unless_told_otherwise():
    assert SETTINGS["server"]["address"] == "127.0.0.1"
    assert SETTINGS["browser"]["gatherUsageStats"] is False
    assert SETTINGS["client"]["showErrorDetails"] == "none"
    assert SETTINGS["runner"]["postScriptGC"] is False
    assert SETTINGS["server"]["fileWatcherType"] == "none"


def test_the_theme_fetches_nothing_from_other_hosts():
    assert "://" not in (ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8")


def luminance(colour: str) -> float:
    """Relative luminance of `#RRGGBB`, as WCAG 2.2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def mixed(over: str, under: str, share: float) -> str:
    """A colour that covers so much of another."""
    parts = (share * int(over[i : i + 2], 16) + (1 - share) * int(under[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part):02X}" for part in parts)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_can_be_read_in_both_modes(mode: str):
    theme = SETTINGS["theme"][mode]
    surfaces = [
        part[name] for part in (theme, theme["sidebar"]) for name in ("backgroundColor", "secondaryBackgroundColor")
    ]
    assert contrast("#FFFFFF", theme["primaryColor"]) >= 4.5
    assert all(contrast(theme["textColor"], surface) >= 7 for surface in surfaces)
    captions = [(mixed(theme["textColor"], surface, 0.6), surface) for surface in surfaces[:2]]
    assert all(contrast(caption, surface) >= 4.5 for caption, surface in captions)
    assert all(contrast(theme["linkColor"], surface) >= 4.5 for surface in surfaces)
    assert contrast(theme["dataframeHeaderTextColor"], theme["dataframeHeaderBackgroundColor"]) >= 4.5
    # Graphics need 3:1 (WCAG 1.4.11).
    assert contrast(theme["primaryColor"], theme["backgroundColor"]) >= 3
    assert all(contrast(colour, theme["backgroundColor"]) >= 3 for colour in theme["chartCategoricalColors"])


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("scale", ["chartSequentialColors", "chartDivergingColors"])
def test_a_colour_scale_has_the_ten_steps_that_streamlit_takes(mode: str, scale: str):
    assert len(set(SETTINGS["theme"][mode][scale])) == 10


def constraint_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_every_dependency_has_a_known_good_version_that_it_allows():
    pinned = {}
    for line in constraint_lines():
        name, version = line.split("==")
        pinned[canonicalize_name(name)] = version
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *(text for extra in extras.values() for text in extra)]:
        wanted = Requirement(text)
        if wanted.name == PROJECT["name"]:  # an extra that has the others in it
            assert wanted.extras <= set(extras)
            continue
        assert pinned[canonicalize_name(wanted.name)] in wanted.specifier


def test_constraints_are_names_and_exact_versions_only():
    assert [line for line in constraint_lines() if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
    assert "://" not in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_the_newest_release_in_the_changelog_is_this_version():
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert released[0] == labeling.__version__


def test_the_readme_opens_with_the_two_commands_that_matter():
    blocks = re.findall(
        r"```(?:bash|sh|console)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    commands = [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]
    assert commands[:2] == ["make run", "make test"]


def test_every_make_target_that_the_documentation_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        named = re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert named
        assert {a or b for a, b in named} <= targets


def command_names(group: Any, prefix: str = "askwise") -> set[str]:
    """Full names of a command group's commands: `askwise project create`."""
    names = set()
    for name, command in group.commands.items():
        nested = hasattr(command, "commands")
        names |= command_names(command, f"{prefix} {name}") if nested else {f"{prefix} {name}"}
    return names


def test_the_readme_names_every_command_and_no_other():
    rows = re.findall(r"^\| `(askwise [^`]+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    documented = {re.match(r"askwise( [a-z]+)+", row).group(0) for row in rows}
    assert documented == command_names(typer.main.get_command(command_line))


def test_the_readme_names_every_request_and_no_other(workspace: Workspace):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    documented = re.findall(r"`(GET|POST|PUT|PATCH|DELETE) /api/v1([^`? ]+)", text)
    routes = create_api(workspace).openapi()["paths"]
    served = {(verb.upper(), path) for path, verbs in routes.items() for verb in verbs}
    assert {(verb, re.sub(r"{\w+}", "{}", path)) for verb, path in documented} == {
        (verb, re.sub(r"{\w+}", "{}", path)) for verb, path in served
    }


def test_continuous_integration_runs_what_everyone_runs():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "exec make test"


def test_every_strategy_that_is_announced_can_be_loaded():
    announced = {point.name: point for point in entry_points(group="askwise.strategies")}
    for name in PROJECT["entry-points"]["askwise.strategies"]:
        assert announced[name].load()().name == name
