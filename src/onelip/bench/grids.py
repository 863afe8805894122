"""The grids that are known by name, derived from one another."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from onelip.bench.grid import Grid, Scan, Search
from onelip.errors import UnknownNameError
from onelip.methods import METHODS
from onelip.models.sizes import SIZES


def paper() -> Grid:
    """Seven methods, four sizes and four data sets, as published, with the three published budgets and 10 minutes."""
    return Grid(
        methods=tuple(name for name, method in METHODS.items() if method.traits.constrained),
        data=("cifar10", "cifar100", "tiny_imagenet", "imagenette"),
        sizes=tuple(SIZES),
        budgets=("10m", "2h", "10h", "24h"),
        search=Search(draws=16, budget="2h"),
    )


def kernel1x1() -> Grid:
    """The ablation of the paper: what is lost where every kernel is 1x1."""
    return _changed(paper(), data=("cifar10",), kernel_sizes=(3, 1))


def padding() -> Grid:
    """Circular and zero padding for every method, of which the paper gives each method one."""
    return _changed(paper(), data=("cifar10",), sizes=("XS", "S"), budgets=("2h",), paddings=("circular", "zeros"))


def cpu() -> Grid:
    """All methods at size XS on CIFAR-10, with three seeds: about two hours on two cores."""
    search = Search(draws=10, budget="30s", learning_rate=(0.01, 10.0), weight_decay=None)
    return _changed(paper(), data=("cifar10",), sizes=("XS",), budgets=("4m",), seeds=(0, 1, 2), search=search)


def demo() -> Grid:
    """All methods on small pictures of digits that come with onelip: under five minutes on two cores."""
    scan = Scan(rates=(0.01, 0.1, 1.0), budget="3s")
    return _changed(cpu(), data=("digits",), budgets=("13s",), seeds=(0,), search=scan)


GRIDS: Mapping[str, Callable[[], Grid]] = MappingProxyType(
    {grid.__name__: grid for grid in (demo, cpu, paper, kernel1x1, padding)}
)
"""By name."""


def find_grid(name: str) -> Grid:
    """The grid of a name.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in GRIDS:
        near = difflib.get_close_matches(name.lower(), GRIDS, n=1)
        raise UnknownNameError(
            f"grid {name!r} is not one of {', '.join(GRIDS)}" + (f"; did you mean {near[0]}?" if near else "")
        )
    return GRIDS[name]()


def _changed(grid: Grid, **changes: Any) -> Grid:
    """A grid with other values, checked like those of a new one."""
    return Grid.model_validate(grid.model_dump() | changes)
