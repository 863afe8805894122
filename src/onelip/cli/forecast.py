"""What grids take, printed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from onelip.cli.display import say
from onelip.cli.running import networks_of

if TYPE_CHECKING:
    import torch
    from rich.table import Table

    from onelip.bench.forecast import Forecast, Images
    from onelip.bench.grid import Grid
    from onelip.method import Method

ABSENT = "the pictures are not here; --data-dir names their folder, and onelip data fetch gets them"


def list_grids() -> None:
    """Prints all grids that are known by name."""
    import torch
    from rich.console import Console

    from onelip.bench.forecast import Images, Networks, forecast, impossible
    from onelip.bench.grid import settings
    from onelip.bench.grids import GRIDS
    from onelip.bench.selection import find_methods

    table = _table("Grid", "Runs", "Hours", "What it is")
    for name, made in GRIDS.items():
        grid = made()
        images = [Images.published(one) for one in grid.data]
        methods = find_methods(grid.methods)
        networks = Networks(grid, methods, images, torch.device("cpu"))
        every = settings(grid, grid.methods, grid.data)
        never, _ = impossible(every, networks, {})
        rows = forecast(grid, (one for one in every if one not in never), networks)
        table.add_row(name, f"{_runs(rows):,}", _hours(_seconds(rows)), (made.__doc__ or "").partition("\n")[0])
    Console().print(table)
    say("onelip grid NAME --dry-run says more; onelip grid NAME runs it.")


def show_forecast(
    name: str,
    grid: Grid,
    methods: tuple[Method, ...],
    device: torch.device,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Prints what a grid takes, and what of it cannot run here; reads no image of a data set that has a name."""
    from onelip.bench.data import DATASETS, load
    from onelip.bench.forecast import Images, Networks, forecast, impossible
    from onelip.bench.grid import settings

    images = [Images.published(one) if one.partition("@")[0] in DATASETS else Images.of(load(one)) for one in grid.data]
    absent = {one: ABSENT for one in grid.data if not _is_here(one, data_dir)}
    networks = Networks(grid, methods, images, device)
    every = settings(grid, (method.name for method in methods), (one.name for one in images))
    never, here = impossible(every, networks, absent)
    rows = forecast(grid, (one for one in every if one not in never), networks)
    if as_json:
        facts = {
            "grid": grid.model_dump(mode="json"),
            "networks": [_facts(row) for row in rows],
            "impossible": [{**one._asdict(), "reason": why} for one, why in never.items()],
            "not_here": [{**one._asdict(), "reason": why} for one, why in here.items()],
        }
        typer.echo(json.dumps(facts, indent=2))
        return
    _print(name, grid, rows, {one.name: one for one in images})
    for word, refused in (("Left out", never), ("Cannot run here", here)):
        for reason in dict.fromkeys(refused.values()):
            say(f"{word}, {networks_of(refused, reason)}: {reason}")


def _is_here(name: str, data_dir: Path | None) -> bool:
    from onelip.bench.data import DATASETS
    from onelip.bench.data.base import named_folder

    source, folder = DATASETS.get(name.partition("@")[0]), named_folder(data_dir)
    return source is None or not source.needs_folder or (folder is not None and source.find(folder) is not None)


def _print(name: str, grid: Grid, rows: Sequence[Forecast], images: dict[str, Images]) -> None:
    from rich.console import Console

    from onelip.bench.report.wording import PADDINGS, counted, joined, kernels

    table = _table("Data", "Size", "Methods", "Trials", "Final runs", "Hours", "Disk")
    for row in rows:
        setting = row.setting
        padding = f", {PADDINGS[setting.padding]}" if len(grid.paddings) > 1 else ""
        kernel = kernels(setting.kernel_size)
        table.add_row(
            images[setting.data].title,
            f"{setting.size}{padding}{kernel}",
            *(f"{number:,}" for number in (row.methods, row.trials, row.finals)),
            _hours(row.seconds),
            _size(row.disk),
        )
    table.add_section()
    total = sum(row.disk for row in rows)
    trials, finals = sum(row.trials for row in rows), sum(row.finals for row in rows)
    table.add_row("All", "", "", f"{trials:,}", f"{finals:,}", _hours(_seconds(rows)), _size(total))
    Console().print(table)
    seeds = joined(map(str, grid.seeds))
    say(f"{name}: {counted(_runs(rows), 'run')}, with budgets of {joined(grid.budgets)}, and seeds {seeds}.")
    if grid.search is not None:
        say(f"Learning rates: {counted(grid.search.draws, 'trial')} of {grid.search.budget} per method and network.")
    say("Evaluation takes a few per cent besides, and measuring costs some minutes per network.")


def _facts(row: Forecast) -> dict[str, object]:
    facts = row.setting._asdict()
    del facts["method"]
    counts = {name: getattr(row, name) for name in ("methods", "trials", "finals", "seconds", "disk")}
    return facts | counts


def _runs(rows: Iterable[Forecast]) -> int:
    return sum(row.trials + row.finals for row in rows)


def _seconds(rows: Iterable[Forecast]) -> float | None:
    seconds = [row.seconds for row in rows]
    return None if None in seconds else sum(filter(None, seconds))


def _hours(seconds: float | None) -> str:
    """Hours of training; budgets in epochs take what they take.

    >>> _hours(5400), _hours(154), _hours(None)
    ('1.5', '0.04', '?')
    """
    return "?" if seconds is None else f"{seconds / 3600:,.1f}" if seconds > 3600 else f"{seconds / 3600:.1g}"


def _size(number: int) -> str:
    """Bytes, for people.

    >>> _size(1_500_000), _size(2_340_000_000)
    ('2 MB', '2.3 GB')
    """
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"


def _table(*headings: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        left = heading in ("Grid", "What it is", "Data", "Size")
        table.add_column(heading, justify="left" if left else "right")
    return table
