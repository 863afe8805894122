"""The options that say how learning rates and weight decays are chosen, and how their texts are read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onelip.cli import options
from onelip.cli.options import HOW
from onelip.cli.times import budget_text
from onelip.errors import OnelipError

if TYPE_CHECKING:
    from onelip.bench.grid import Scan, Search

ScanRates = Annotated[
    str | None,
    typer.Option(
        "--scan",
        help="Learning rates, such as 0.01,0.03,0.1,0.3: each method tries them on a held-out tenth of the training "
        "images and uses the best. Needs --scan-budget.",
        rich_help_panel=HOW,
        show_default=False,
    ),
]
ScanBudget = Annotated[
    str | None, typer.Option(help="Training per learning rate tried.", rich_help_panel=HOW, show_default=False)
]
Draws = Annotated[
    int | None,
    typer.Option(
        "--search",
        help="Search learning rate and weight decay: so many trials per method on a held-out tenth of the training "
        "images. Needs --search-budget.",
        rich_help_panel=HOW,
        show_default=False,
        min=1,
    ),
]
SearchBudget = Annotated[str | None, typer.Option(help="Training per trial.", rich_help_panel=HOW, show_default=False)]
Rates = Annotated[
    str | None,
    typer.Option(
        "--search-rates",
        help="Lowest and highest learning rate. [dim]Default: 1e-4,10.[/dim]",
        rich_help_panel=HOW,
        show_default=False,
    ),
]
Decays = Annotated[
    str | None,
    typer.Option(
        "--search-decays",
        help="Lowest and highest weight decay, or none to search only learning rates. "
        "[dim]Default: 3.2e-6,3.2e-4.[/dim]",
        rich_help_panel=HOW,
        show_default=False,
    ),
]
Sampler = Annotated[
    str | None,
    typer.Option(
        help="How trials are drawn: random (the same for every method), tpe or gp. [dim]Default: random.[/dim]",
        rich_help_panel=HOW,
        show_default=False,
    ),
]
Pruner = Annotated[
    str | None,
    typer.Option(
        help="How trials are given up early: none, median, halving or hyperband. [dim]Default: none.[/dim]",
        rich_help_panel=HOW,
        show_default=False,
    ),
]


def scan_of(rates: str | None, budget: str | None) -> Scan | None:
    """The scan that --scan and --scan-budget ask for.

    Raises:
        OnelipError: One of them is missing or is not what it should be.
    """
    from onelip.bench.grid import Scan

    if (rates is None) != (budget is None):
        raise OnelipError("--scan and --scan-budget belong together: which learning rates, and how long to try each")
    if rates is None or budget is None:
        return None
    found = options.numbers("--scan", rates, float, "learning rates such as 0.01,0.1")
    if not all(0 < rate < math.inf for rate in found):
        raise OnelipError(f"--scan {rates!r} is not allowed; learning rates are positive numbers, such as 0.01,0.1")
    return Scan(rates=found, budget=budget_text(budget))


def search_of(known: Scan | Search | None = None, **asked: Any) -> Scan | Search | None:
    """The search that the options ask for.

    Args:
        known: What the options change; None: none but that of the options.
        asked: Values of `Draws`, `SearchBudget`, `Rates`, `Decays`, `Sampler` and `Pruner`, by the names draws, budget,
            rates, decays, sampler and pruner; None where an option was not given.

    Raises:
        OnelipError: Names the option that is missing or not allowed.
    """
    from onelip.bench.grid import PRUNERS, SAMPLERS, Search

    given = {name: value for name, value in asked.items() if value is not None}
    if not given:
        return known
    if not isinstance(known, Search):
        if missing := {"draws", "budget"} - given.keys():
            names = {"draws": "--search, how many trials", "budget": "--search-budget, how long each trains"}
            raise OnelipError(f"a search needs {' and '.join(names[name] for name in sorted(missing, reverse=True))}")
        known = None
    changes: dict[str, Any] = known.model_dump() if known else {}
    if "draws" in given:
        changes["draws"] = given["draws"]
    if "budget" in given:
        changes["budget"] = budget_text(given["budget"])
    if "rates" in given:
        changes["learning_rate"] = _ends("--search-rates", given["rates"])
    if "decays" in given:
        none = given["decays"] == "none"
        changes["weight_decay"] = None if none else _ends("--search-decays", given["decays"])
    for name, valid in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        if name in given:
            changes[name] = options.one_of(name, given[name], valid)
    found = Search(**changes)
    ranges = [one for one in (found.learning_rate, found.weight_decay) if one is not None]
    if found.draws > 1 and all(low == high for low, high in ranges):
        raise OnelipError(f"in --search-rates and --search-decays nothing varies: {found.draws} trials would be one")
    return found


def _ends(option: str, text: str) -> tuple[float, float]:
    """The two ends of a range."""
    found = options.numbers(option, text, float, "two numbers such as 0.01,10")
    low, high = found[0], found[-1]
    if len(found) > 2 or not 0 < low <= high < math.inf:
        raise OnelipError(f"{option} {text!r} is not allowed; give the lowest and the highest, such as 0.01,10")
    return low, high
