"""One door for built-ins and third parties."""

from pathlib import Path

import pytest

from strategies import StrategyError, available_strategies, get_strategy
from strategies.committee import Committee, max_disagreement
from strategies.registry import BadOption, BrokenStrategy, UnknownStrategy

MODULE = """
class Coin:
    name = "coin"
    needs = frozenset()

    def __init__(self, sides=2):
        if sides < 1:
            raise ValueError("a coin needs a side")
        self.sides = sides

    def utilities(self, pool, model, rng):
        return rng.integers(self.sides, size=len(pool.features))[pool.candidates].astype(float)

class NotOne:
    name = "not_one"
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a distribution that declares strategies, as far as Python can tell."""

    def installed(package: str, entries: str, module: str = MODULE) -> None:
        site = tmp_path / package
        metadata = site / f"{package}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[askwise.strategies]\n{entries}\n")
        (site / f"{package}.py").write_text(module)
        monkeypatch.syspath_prepend(site)

    return installed


def test_an_installed_package_brings_its_strategy_in_by_the_same_door(install):
    install("coin_one", "coin = coin_one:Coin")
    assert "coin" in available_strategies()
    assert get_strategy("coin", sides=6).sides == 6


def test_names_come_in_alphabetical_order():
    assert available_strategies() == sorted(available_strategies())


def test_options_reach_the_strategy():
    committee = get_strategy("committee", disagreement="max_disagreement")
    assert isinstance(committee, Committee)
    assert committee.measure is max_disagreement


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownStrategy, match=r"no strategy 'magic'; the known ones are adaptive, .*random"):
        get_strategy("magic")


def test_where_nothing_is_installed_it_says_how_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("strategies.registry.entry_points", lambda **_: [])
    with pytest.raises(UnknownStrategy, match="pip install -e"):
        get_strategy("margin")


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("margin", {"depth": 3}, "no option 'depth'; it takes none"),
        ("committee", {"seats": 3}, "no option 'seats'; it takes disagreement, bootstraps, members"),
        ("coin", {"sides": 0}, "a coin needs a side"),
    ],
)
def test_a_bad_option_is_named(install, name: str, options: dict, sentence: str):
    install("coin_two", "coin = coin_two:Coin")
    with pytest.raises(BadOption, match=sentence):
        get_strategy(name, **options)


def test_a_bad_value_lists_the_good_ones():
    with pytest.raises(StrategyError, match="vote_entropy, consensus_entropy, max_disagreement"):
        get_strategy("committee", disagreement="loud")


def test_two_packages_cannot_share_a_name(install):
    install("coin_three", "margin = coin_three:Coin")
    with pytest.raises(BrokenStrategy, match="askwise and coin_three"):
        get_strategy("margin")


@pytest.mark.parametrize(
    ("entry", "module"),
    [("broken:Coin", "raise OSError('no luck')"), ("broken:Missing", MODULE), ("broken:NotOne", MODULE)],
)
def test_a_strategy_that_cannot_be_used_is_named_and_harms_no_other(install, monkeypatch, entry: str, module: str):
    monkeypatch.delitem(__import__("sys").modules, "broken", raising=False)
    install("broken", f"coin = {entry}", module)
    assert "coin" in available_strategies()
    with pytest.raises(BrokenStrategy, match="'coin'"):
        get_strategy("coin")
    assert get_strategy("margin").name == "margin"
