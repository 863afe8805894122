"""`onelip compare`: the program's main job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli import choosing, options
from onelip.cli.display import show_pictures
from onelip.cli.errors import clear_errors
from onelip.cli.running import kept, refuse, run_comparison
from onelip.cli.times import budget_text, deadline_of
from onelip.errors import OnelipError

if TYPE_CHECKING:
    from onelip.bench.data import ImageData

EXAMPLES = """\
[bold]Examples[/bold]

All methods on small pictures of digits, a few minutes:

[cyan]onelip compare --budget 20s[/cyan]

Two sizes on CIFAR-10, ten minutes and three seeds each:

[cyan]onelip compare --data cifar10 --data-dir DIR --sizes XS,S --budget 10m --seeds 0,1,2[/cyan]

A method of your own, MINE in mine.py, beside all others:

[cyan]onelip compare --method mine:MINE[/cyan]"""


def compare(
    *,
    data: options.DataSets = None,
    data_dir: options.DataDir = None,
    resize: options.Resize = None,
    methods: options.Methods = None,
    own: options.OwnMethods = None,
    sizes: options.Sizes = "XS",
    budgets: options.Budgets = "20s",
    seeds: options.Seeds = "0",
    padding: options.Paddings = "paper",
    kernel_sizes: options.KernelSizes = "3",
    device: options.Device = "cpu",
    learning_rate: options.LearningRate = 0.1,
    weight_decay: options.WeightDecay = 1e-5,
    batch_size: options.BatchSize = 256,
    scan: choosing.ScanRates = None,
    scan_budget: choosing.ScanBudget = None,
    search: choosing.Draws = None,
    search_budget: choosing.SearchBudget = None,
    rates: choosing.Rates = None,
    decays: choosing.Decays = None,
    sampler: choosing.Sampler = None,
    pruner: choosing.Pruner = None,
    costs: options.Costs = True,
    limit: options.Limit = None,
    out: Annotated[Path, typer.Option(help="Folder of the records and the report.")] = Path("comparison"),
    force: options.Force = False,
) -> None:
    """Train, certify and measure methods side by side, and say which one to take.

    Every run and every measurement is a file in the folder --out, written when it is done. The same command again skips
    what is there: after Ctrl-C it goes on where it stopped, and a second process beside the first takes other runs. A
    run that fails is a result too, and the others go on.
    """
    with clear_errors(lambda: kept(out, force)):
        deadline = deadline_of(limit)
        recipe = options.recipe(learning_rate=learning_rate, weight_decay=weight_decay, batch_size=batch_size)
        from onelip.bench.comparison import Comparison
        from onelip.bench.forecast import refusals
        from onelip.bench.grid import Grid
        from onelip.bench.measure.machine import find_device
        from onelip.bench.selection import find_methods

        scanned = choosing.scan_of(scan, scan_budget)
        searched = choosing.search_of(
            draws=search, budget=search_budget, rates=rates, decays=decays, sampler=sampler, pruner=pruner
        )
        if scanned is not None and searched is not None:
            raise OnelipError("--scan and --search exclude each other: both choose a learning rate")
        grid = Grid(
            methods=options.method_names(methods, own),
            data=options.data_names(data if data is not None else ["digits"]),
            sizes=options.size_list(sizes),
            budgets=options.each(budgets, budget_text),
            paddings=options.each(padding, options.padding_choice),
            kernel_sizes=options.each(kernel_sizes, options.kernel_choice),
            seeds=options.seed_list(seeds),
            recipe=recipe,
            search=scanned or searched,
        )
        asked = Comparison(
            grid=grid,
            methods=find_methods(grid.methods),
            data=_load(grid.data, data_dir, resize),
            device=find_device(device),
        )
        refuse(refusals(asked), "")
        run_comparison(asked, out, costs=costs, force=force, deadline=deadline)


def _load(names: Sequence[str], data_dir: Path | None, resize: int | None) -> tuple[ImageData, ...]:
    from onelip.bench.data import load

    return tuple(load(name, data_dir, resize=resize, track=show_pictures) for name in names)
