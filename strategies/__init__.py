"""Which item next: arrays in, arrays out. A utility is always "higher = ask sooner"."""

from strategies.base import (
    LinearModel,
    Model,
    Pool,
    Strategy,
    StrategyError,
    phase,
    random_utilities,
    reasons,
    score_in_blocks,
    variety,
)
from strategies.registry import available_strategies, get_strategy
from strategies.selection import select

__all__ = [
    "LinearModel",
    "Model",
    "Pool",
    "Strategy",
    "StrategyError",
    "available_strategies",
    "get_strategy",
    "phase",
    "random_utilities",
    "reasons",
    "score_in_blocks",
    "select",
    "variety",
]
