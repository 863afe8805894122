"""`onelip grid`: comparisons that are known by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onelip.cli import choosing, options
from onelip.cli.display import say, show_pictures
from onelip.cli.errors import clear_errors
from onelip.cli.forecast import list_grids, show_forecast
from onelip.cli.options import HOW, WHAT
from onelip.cli.running import kept, networks_of, refuse, run_comparison
from onelip.cli.times import budget_text, deadline_of
from onelip.errors import DataError, OnelipError

if TYPE_CHECKING:
    import torch

    from onelip.bench.comparison import Comparison
    from onelip.bench.data import ImageData
    from onelip.bench.grid import Grid
    from onelip.method import Method

EXAMPLES = """\
[bold]Examples[/bold]

What there is:

[cyan]onelip grid[/cyan]

What one takes, before it runs:

[cyan]onelip grid paper --dry-run[/cyan]

All methods on CIFAR-10 on two cores, half an hour at a time:

[cyan]onelip grid cpu --data-dir DIR --limit 30m --out results[/cyan]

A part of a grid, with a method of your own:

[cyan]onelip grid paper --data cifar10 --sizes XS --budget 2h --method mine:MINE --data-dir DIR --device cuda[/cyan]"""


def _instead(what: str, *names: str) -> Any:
    return typer.Option(
        *names, help=f"{what} instead of the grid's, separated by commas.", rich_help_panel=WHAT, show_default=False
    )


def grid(
    name: Annotated[str | None, typer.Argument(help="A grid; without one, all are listed.", show_default=False)] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it takes, and run nothing.")] = False,
    data: Annotated[list[str] | None, _instead("Data sets")] = None,
    data_dir: options.DataDir = None,
    methods: Annotated[str | None, _instead("Methods")] = None,
    own: options.OwnMethods = None,
    sizes: Annotated[str | None, _instead("Sizes")] = None,
    budgets: Annotated[str | None, _instead("Budgets", "--budget")] = None,
    seeds: Annotated[str | None, _instead("Seeds")] = None,
    search: choosing.Draws = None,
    search_budget: choosing.SearchBudget = None,
    rates: choosing.Rates = None,
    decays: choosing.Decays = None,
    sampler: choosing.Sampler = None,
    pruner: choosing.Pruner = None,
    device: options.Device = "cpu",
    costs: options.Costs = True,
    limit: options.Limit = None,
    skip: Annotated[
        bool, typer.Option("--skip", help="Leave out what cannot run here, and run the rest.", rich_help_panel=HOW)
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the records. [dim]Default: the grid's name.[/dim]", show_default=False),
    ] = None,
    force: options.Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON instead of tables.")] = False,
) -> None:
    """Run a comparison that is known by name: the paper's, its ablations, or one for an afternoon on two cores.

    Like onelip compare, it skips what is there, goes on where it stopped, and can be run by several processes at once.
    """
    folder = out or Path(name or "comparison")
    with clear_errors(lambda: kept(folder, force)):
        deadline = deadline_of(limit)
        if as_json and not (name and dry_run):
            raise OnelipError("--json belongs to onelip grid NAME --dry-run")
        if name is None:
            list_grids()
            return
        from onelip.bench.grids import find_grid
        from onelip.bench.measure.machine import find_device
        from onelip.bench.selection import find_methods

        asked = find_grid(name)
        searched = choosing.search_of(
            asked.search, draws=search, budget=search_budget, rates=rates, decays=decays, sampler=sampler, pruner=pruner
        )
        changes = {
            "methods": options.method_names(methods, own) if methods is not None else (*asked.methods, *(own or ())),
            "data": options.data_names(data) if data is not None else asked.data,
            "sizes": options.size_list(sizes) if sizes is not None else asked.sizes,
            "budgets": options.each(budgets, budget_text) if budgets is not None else asked.budgets,
            "seeds": options.seed_list(seeds) if seeds is not None else asked.seeds,
            "search": searched,
        }
        asked = asked.model_copy(update=changes)
        found, where = find_methods(asked.methods), find_device(device)
        if dry_run:
            show_forecast(name, asked, found, where, data_dir, as_json=as_json)
            return
        comparison = _possible(asked, found, where, data_dir, skip=skip)
        run_comparison(comparison, folder, costs=costs, force=force, deadline=deadline)


def _possible(
    grid: Grid, methods: tuple[Method, ...], device: torch.device, data_dir: Path | None, *, skip: bool
) -> Comparison:
    """The comparison without what cannot be built anywhere; what cannot run here is refused, or left out too."""
    from onelip.bench.comparison import Comparison
    from onelip.bench.forecast import Images, Networks, impossible, unaugmented
    from onelip.bench.grid import settings

    loaded, absent = _loaded(grid.data, data_dir)
    images = [*map(Images.of, loaded), *map(Images.published, absent)]
    every = settings(grid, (method.name for method in methods), (one.name for one in images))
    useless = absent | unaugmented(loaded, grid.recipe)
    never, here = impossible(every, Networks(grid, methods, images, device), useless)
    for reason in dict.fromkeys(never.values()):
        say(f"Left out, {networks_of(never, reason)}: {reason}")
    if skip:
        for reason in dict.fromkeys(here.values()):
            say(f"Skipped, {networks_of(here, reason)}: {reason}")
    else:
        refuse(here, "; --skip leaves out what cannot run here")
    without = frozenset(never.keys() | here.keys())
    if without == set(every):
        raise OnelipError("nothing of the grid is left to run")
    return Comparison(grid=grid, methods=methods, data=loaded, device=device, without=without)


def _loaded(names: Sequence[str], data_dir: Path | None) -> tuple[tuple[ImageData, ...], dict[str, str]]:
    """The data sets that are here, and why the others are not."""
    from onelip.bench.data import DATASETS, load

    loaded, absent = [], {}
    for name in names:
        try:
            loaded.append(load(name, data_dir, track=show_pictures))
        except DataError as error:
            if name.partition("@")[0] not in DATASETS:
                raise
            absent[name] = str(error)
    return tuple(loaded), absent
