"""`onelip budget`: what a training time is in epochs, on this machine and as published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli import options
from onelip.cli.display import live_notes, note_unused_gpu
from onelip.cli.errors import clear_errors
from onelip.cli.options import HOW, WHAT
from onelip.errors import OnelipError

if TYPE_CHECKING:
    from onelip.bench.costs import Case
    from onelip.bench.data import DataSource
    from onelip.bench.report.epochs import Epochs
    from onelip.bench.subject import Workload

ALL_FAILED = 1
TIMED = "train_step"


def budget(
    *,
    data: Annotated[
        str, typer.Option(help="A data set of onelip data list; its files need not be here.", rich_help_panel=WHAT)
    ] = "cifar10",
    methods: options.Methods = None,
    own: options.OwnMethods = None,
    sizes: options.Sizes = "XS",
    budgets: Annotated[
        str, typer.Option(help="Training times, separated by commas.", rich_help_panel=WHAT)
    ] = "10m,2h,10h,24h",
    padding: options.PaddingOption = "paper",
    batch_size: options.BatchSize = 256,
    rounds: Annotated[int, typer.Option(help="Time samples per network.", rich_help_panel=HOW, min=1)] = 8,
    device: options.Device = "cpu",
    as_json: options.AsJson = False,
) -> None:
    """Measure training steps, and say how many epochs each budget is: here, and as published.

    Steps are measured on random images of the data set's size, all networks in turn. Augmentation, evaluation and
    checkpoints take a few per cent besides.

    Example: onelip budget --sizes XS,S --budgets 10m,2h
    """
    with clear_errors():
        from onelip.bench.costs import cases_of, workloads_for
        from onelip.bench.data import find_source
        from onelip.bench.measure.machine import find_device
        from onelip.bench.selection import find_methods

        source, seconds, found = find_source(data), _seconds(budgets), find_device(device)
        content = source.content
        cases = cases_of(find_methods(options.method_names(methods, own)), options.padding_choice(padding))
        workloads = workloads_for(
            cases,
            options.size_list(sizes),
            image=content.image,
            classes=content.classes,
            batch_size=min(batch_size, content.train),  # as a training takes it
            device=found,
        )
        if not as_json:
            note_unused_gpu(found)
        rows = [
            row
            for workload in workloads
            for row in _measured(source, cases, workload, rounds=rounds, seconds=seconds, quiet=as_json)
        ]
        if as_json:
            typer.echo(json.dumps([row.model_dump(mode="json") for row in rows], indent=2))
        if all(row.step is None for row in rows):
            raise typer.Exit(ALL_FAILED)


def _measured(
    source: DataSource,
    cases: Sequence[Case],
    workload: Workload,
    *,
    rounds: int,
    seconds: dict[str, float],
    quiet: bool,
) -> tuple[Epochs, ...]:
    """The epochs of all networks of one size, printed unless they are asked for as JSON."""
    from rich.console import Console

    from onelip.bench.costs import measure_costs
    from onelip.bench.published import epoch_budgets
    from onelip.bench.report.epochs import epochs_of, epochs_table
    from onelip.bench.report.tables import print_listing

    with live_notes(f"training steps, size {workload.size}") as note:
        record = measure_costs(cases, workload, rounds=rounds, time_limit=None, phases=(TIMED,), note=note)
    rows = epochs_of(record, seconds, images=source.content.train, data=source.name, published=epoch_budgets())
    if not quiet:
        print_listing(epochs_table(rows, record, source.title), Console())
    return rows


def _seconds(texts: str) -> dict[str, float]:
    """Seconds of each budget, by its canonical text."""
    from onelip.bench.train.budget import Budget

    found = {}
    for text in options.listed(texts):
        budget = Budget.parse(text)
        if budget.seconds is None:
            raise OnelipError(f"--budgets {text!r} is not allowed; give times such as 10m,2h")
        found[str(budget)] = budget.seconds
    if not found:
        raise OnelipError("--budgets names none; give times such as 10m,2h")
    return found
