"""docs/reference.md as the code has it: `python -m tests.reference` writes it anew, and a test holds that it is so."""

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import typer
from pydantic_core import PydanticUndefined

from labeling.cli import app
from labeling.projects import Settings
from labeling.verbs import OpenWorkspace
from labeling.web.api import create_api
from labeling.workspace import open_workspace

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference.md"
ENVIRONMENT = {
    "ASKWISE_WORKSPACE": "the workspace's folder (default `askwise-workspace`)",
    "ASKWISE_PORT": "the port of the app (default 8501)",
    "ASKWISE_DATABASE_URL": "the database (default: SQLite in the workspace)",
    "ASKWISE_URL": "the app's address as browsers know it, which the command line puts before links (default: none)",
    "ASKWISE_TRUSTED_PROXIES": "addresses or networks of proxies whose `X-Forwarded-*` headers are believed",
    "ASKWISE_USER_HEADER": "the header in which these proxies name the user, such as `X-Forwarded-User`",
    "ASKWISE_OIDC_ISSUER": "the OpenID Connect provider through which people may sign in",
    "ASKWISE_OIDC_CLIENT_ID": "what it knows Askwise by",
    "ASKWISE_OIDC_CLIENT_SECRET": "and the secret of the two",
    "ASKWISE_OIDC_ADMIT": "domains of verified e-mail addresses whose people need no invitation (default: none)",
    "ASKWISE_IMPORT_FOLDER": "where pages and the API may import from (default: `import` in the workspace)",
}


def reference() -> str:
    """The whole page."""
    parts = [
        "# Reference",
        "",
        "Written from the code by `make reference`. Explanations are in the README and under `concepts/`.",
        "",
        "## Commands",
        "",
        *_commands(typer.main.get_command(app), "askwise"),
        "## Settings of a project",
        "",
        "On the Settings page, with `askwise project settings`, or `PATCH /api/v1/projects/{id}/settings`.",
        "",
        "| setting | default | is |",
        "|---|---|---|",
        *_settings(),
        "",
        "## Environment",
        "",
        "| variable | is |",
        "|---|---|",
        *(f"| `{name}` | {meaning} |" for name, meaning in ENVIRONMENT.items()),
        "",
        "## REST",
        "",
        "A write needs a JSON body (an upload: `application/octet-stream`) and the header `X-Askwise: 1`.",
        "Who acts is the bearer of a token (`Authorization: Bearer`), the signed-in browser, or, while there are no "
        "accounts, the local user.",
        "",
        "| request | parameters | does |",
        "|---|---|---|",
        *_routes(),
        "",
        "## Python",
        "",
        "`labeling.open_workspace(path)` gives a workspace with these verbs.",
        "",
        "| verb | does |",
        "|---|---|",
        *_verbs(),
    ]
    return "\n".join(parts) + "\n"


def environment_of_the_code() -> set[str]:
    """The variables that the code names."""
    code = [*(ROOT / "labeling").rglob("*.py"), ROOT / "Makefile"]
    return {name for path in code for name in re.findall(r"ASKWISE_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8"))}


def _commands(group: Any, name: str) -> Iterator[str]:
    for short, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name} {short}")
            continue
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and not getattr(p, "hidden", False)]
        shown = "".join(f" {_argument(a)}" for a in arguments)
        yield from (f"### `{name} {short}{shown}`", "", _line(command.help), "")
        rows = [*((_argument(a), a.help) for a in arguments if getattr(a, "help", None)), *map(_option, options)]
        if rows:
            yield from ("| option | is |", "|---|---|")
            yield from (f"| `{option}` | {_line(text)} |" for option, text in rows)
            yield ""


def _argument(argument: Any) -> str:
    shown = (argument.metavar or argument.name).upper() + ("..." if argument.nargs == -1 else "")
    return shown if argument.required else f"[{shown}]"


def _option(option: Any) -> tuple[str, str]:
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names, option.help or ""
    kind = option.type_descriptor.annotation
    words = [word.value for word in kind] if isinstance(kind, type) and issubclass(kind, Enum) else get_args(kind)
    choices = "\\|".join(map(str, words)) if words and all(isinstance(word, str) for word in words) else ""
    value = option.metavar or choices or option.name.upper()
    default = (
        "" if option.default in (None, "", ()) else f" (default: {getattr(option.default, 'value', option.default)})"
    )
    return f"{names} {value}", f"{option.help or ''}{default}"


def _settings() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        default = (
            field.default if field.default is not PydanticUndefined else field.get_default(call_default_factory=True)
        )
        yield f"| `{name}` | `{default}` | {_line(field.description)} |"


def _routes() -> Iterator[str]:
    with TemporaryDirectory() as folder:
        workspace = open_workspace(folder)
        paths = create_api(workspace).openapi()["paths"]
        workspace.engine.dispose()
    for path, verbs in paths.items():
        for verb, route in verbs.items():
            named = ", ".join(f"`{p['name']}`" for p in route.get("parameters", []) if p["in"] == "query")
            says = route.get("description", "").split("\n\n")[0]
            yield f"| `{verb.upper()} /api/v1{path}` | {named} | {_line(says)} |"


def _verbs() -> Iterator[str]:
    for name, function in inspect.getmembers(OpenWorkspace, inspect.isfunction):
        if not name.startswith("_"):
            parameters = [
                f"{p.name}=" if p.default is not p.empty else ("**" if p.kind is p.VAR_KEYWORD else "") + p.name
                for p in list(inspect.signature(function).parameters.values())[1:]
                if p.name != "progress"
            ]
            first = (inspect.getdoc(function) or "").split("\n\n")[0]
            yield f"| `{name}({', '.join(parameters)})` | {_line(first)} |"


def _line(text: str | None) -> str:
    return " ".join((text or "").replace("|", "\\|").split())


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
