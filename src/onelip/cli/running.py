"""What `onelip compare` and `onelip grid` have in common: a comparison is checked, announced, run and reported."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from onelip.cli.display import live_notes, note_unused_gpu, say
from onelip.cli.report import print_report
from onelip.errors import OnelipError, RecordError
from onelip.files import remove

if TYPE_CHECKING:
    from onelip.bench.comparison import Comparison
    from onelip.bench.grid import Grid, Setting, Task
    from onelip.bench.search import Draws
    from onelip.bench.shared import SharedFolder

ALL_FAILED = 1
"""Exit code when no run of a constrained method has a result."""


def run_comparison(asked: Comparison, out: Path, *, costs: bool, force: bool, deadline: float | None) -> None:
    """Runs what is missing, and prints the report.

    Args:
        asked: What is compared; it was found to be possible.
        out: Folder of the records.
        costs: Whether to measure costs.
        force: Whether to do again, and replace, what is there.
        deadline: Moment of `time.monotonic` after which no training is to end; or None.

    Raises:
        typer.Exit: No run has a result.
    """
    from onelip.bench.compare import ComparisonRun
    from onelip.bench.place import place_of
    from onelip.bench.results import holds_records
    from onelip.bench.shared import SharedFolder
    from onelip.bench.train.progress import show_progress

    _check_search(asked.grid)
    shared = SharedFolder(out, say)
    with shared.entered(place_of(asked.device), alone=force):
        run = ComparisonRun(
            asked,
            _draws(asked, out, shared, force=force),
            out,
            shared=shared,
            costs=costs,
            force=force,
            deadline=deadline,
            say=say,
            show=show_progress,
            watch=live_notes,
        )
        names = ", ".join(method.title for method in asked.methods)
        say(f"Comparing {names} on {', '.join(data.title for data in asked.data)}; records in {out}")
        if missing := run.missing():
            count = f"{len(missing)} of {len(asked.tasks)} runs to do on {asked.device}"
            say(f"{count}: {duration(asked.grid, missing)}")
            note_unused_gpu(asked.device)
            _warn_beside(asked.grid, shared)
        records = run.execute()
        if holds_records(out):  # a short limit leaves none
            print_report(out)
    constrained = [record for record in records if record.method.constrained] or records
    if constrained and all(record.status != "ok" for record in constrained):
        raise typer.Exit(ALL_FAILED)


def refuse(refused: Mapping[Setting, str], advice: str) -> None:
    """Says which networks cannot be trained, those with the same reason together.

    Raises:
        OnelipError: There are any.
    """
    if not refused:
        return
    reasons = list(dict.fromkeys(refused.values()))
    if len(reasons) == 1:
        raise OnelipError(f"{networks_of(refused, reasons[0])}: {reasons[0]}{advice}")
    for reason in reasons:
        typer.echo(f"onelip: {networks_of(refused, reason)}: {reason}", err=True)
    raise OnelipError(f"{len(refused)} networks cannot be trained here, nothing was begun{advice}")


def networks_of(refused: Mapping[Setting, str], reason: str) -> str:
    """The networks that are refused for a reason, in a few words."""
    settings = [setting for setting, why in refused.items() if why == reason]
    parts = []
    for data in dict.fromkeys(setting.data for setting in settings):
        alike = [setting for setting in settings if setting.data == data]
        methods = list(dict.fromkeys(setting.method for setting in alike))
        sizes = list(dict.fromkeys(setting.size for setting in alike))
        parts.append(f"{', '.join(methods)} {', '.join(sizes)} on {data}")
    return "; ".join(parts)


def duration(grid: Grid, tasks: Sequence[Task]) -> str:
    """How long trainings take, as far as their budgets say."""
    from onelip.bench.grid import budget_of
    from onelip.bench.train.budget import Budget

    budgets = [budget_of(grid, task) for task in tasks]
    seconds = [Budget.parse(budget).seconds for budget in budgets]
    if None in seconds:
        return " and ".join(dict.fromkeys(budgets)).replace("epoch", " epoch") + " each"
    total = sum(filter(None, seconds))
    if total >= 5400:
        return f"about {total / 3600:,.1f} hours of training"
    return f"about {total / 60:.0f} minutes of training" if total >= 90 else f"about {total:.0f} seconds of training"


def _check_search(grid: Grid) -> None:
    """Before anything is written."""
    from onelip.bench.grid import Search
    from onelip.bench.study import check_installed

    if isinstance(grid.search, Search):
        check_installed()


def _warn_beside(grid: Grid, shared: SharedFolder) -> None:
    """Says what becomes of budgets in time where two processes share processors."""
    from onelip.bench.train.budget import Budget

    search = [] if grid.search is None else [grid.search.budget]
    timed = any(Budget.parse(budget).seconds is not None for budget in (*grid.budgets, *search))
    if timed and shared.is_beside():
        say(
            "Another process works here on the same machine and device: with a budget in time both take fewer steps "
            "than they would alone. Their records say so; budgets in epochs do not suffer."
        )


def kept(out: Path, force: bool) -> str:
    """What Ctrl-C left, and how to go on."""
    from onelip.bench.results import load_records

    count = 0
    with contextlib.suppress(RecordError):
        count = len(load_records(out).train)
    runs = "1 finished run is" if count == 1 else f"{count} finished runs are"
    again = (
        "the same command begins anew; without --force it takes what is there as done, also what was not replaced yet"
        if force
        else "the same command goes on from there"
    )
    return f"{runs} in {out}; {again}. onelip report {out} shows what there is."


def _draws(asked: Comparison, out: Path, shared: SharedFolder, *, force: bool) -> Draws | None:
    """What trials try."""
    from onelip.bench.grid import Scan
    from onelip.bench.search import STORAGE_NAME, Listed, Studied

    grid = asked.grid
    if grid.search is None:
        return None
    if isinstance(grid.search, Scan):
        return Listed(grid.search, grid.recipe)
    path = out / STORAGE_NAME
    if force:
        remove(path)
    draws = Studied(grid.search, grid.recipe, out, shared, asked.experiment)
    say(f"The search can be watched meanwhile: optuna-dashboard sqlite:///{path}")
    return draws
