"""Name -> strategy. Built-ins and third parties come in by the same door, the entry points of `GROUP`.

A package adds a strategy by declaring it in its ``pyproject.toml``::

    [project.entry-points."askwise.strategies"]
    my_strategy = "my_package.my_module:MyStrategy"
"""

import inspect
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from strategies.base import NEEDS, Strategy, StrategyError

GROUP = "askwise.strategies"


class UnknownStrategy(StrategyError):
    """No installed package declares a strategy of this name."""


class BadOption(StrategyError):
    """A strategy was given an option that it does not take."""


class BrokenStrategy(StrategyError):
    """A declared strategy cannot be loaded, is not a strategy, or two packages declare the name."""


def available_strategies() -> list[str]:
    """Names of the installed strategies, in alphabetical order. Nothing is imported for it."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def get_strategy(name: str, **options: Any) -> Strategy:
    """Make the strategy called ``name``.

    Raises
    ------
    UnknownStrategy, BadOption, BrokenStrategy
        With a sentence that says what would work.
    """
    made = _load(name)
    takes = inspect.signature(made).parameters
    unknown = sorted(set(options) - set(takes))
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        known = f"it takes {', '.join(takes)}" if takes else "it takes none"
        raise BadOption(f"The strategy {name!r} has no option {unknown[0]!r}; {known}.")
    try:
        strategy = made(**options)
    except StrategyError:
        raise
    except (TypeError, ValueError) as error:
        raise BadOption(f"The strategy {name!r} cannot be made with these options: {error}.") from error
    if not isinstance(strategy, Strategy) or not frozenset(strategy.needs) <= NEEDS:
        raise BrokenStrategy(
            f"The strategy {name!r} must have a name, its needs (of {', '.join(sorted(NEEDS))}) and "
            "utilities(pool, model, rng)."
        )
    return strategy


def _load(name: str) -> Any:
    """What the entry point called ``name`` refers to."""
    declared = {entry.value: entry for entry in entry_points(group=GROUP, name=name)}
    if not declared:
        known = ", ".join(available_strategies())
        hint = (
            f"the known ones are {known}"
            if known
            else "none is installed: run `pip install -e .` where pyproject.toml is"
        )
        raise UnknownStrategy(f"There is no strategy {name!r}; {hint}.")
    if len(declared) > 1:
        packages = " and ".join(sorted(_package(entry) for entry in declared.values()))
        raise BrokenStrategy(f"More than one package declares a strategy {name!r} ({packages}); uninstall all but one.")
    (entry,) = declared.values()
    try:
        return entry.load()
    except Exception as error:  # a third party's module can fail in any way while it is imported
        raise BrokenStrategy(
            f"The strategy {name!r} of the package {_package(entry)} does not load ({error}); update or uninstall it."
        ) from error


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value
