"""`onelip measure`: costs alone, without training."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli import options
from onelip.cli.display import live_notes, note_unused_gpu, say
from onelip.cli.errors import clear_errors
from onelip.cli.options import HOW, WHAT
from onelip.cli.profile import print_profiles
from onelip.cli.times import limit_seconds
from onelip.errors import OnelipError

if TYPE_CHECKING:
    from onelip.bench.costs import Case
    from onelip.bench.others import Other
    from onelip.bench.records import CostRecord
    from onelip.bench.subject import Workload

ALL_FAILED = 1
"""Exit code when none of the named methods could be measured."""


def measure(
    *,
    methods: options.Methods = None,
    own: options.OwnMethods = None,
    sizes: options.Sizes = "XS",
    image: Annotated[
        str, typer.Option(help="Channels x height x width of the (random) images.", rich_help_panel=WHAT)
    ] = "3x32x32",
    classes: Annotated[int, typer.Option(help="Number of classes.", rich_help_panel=WHAT, min=1)] = 10,
    padding: options.PaddingOption = "paper",
    kernel_size: options.Kernels = "3",
    batch_size: options.BatchSize = 256,
    rounds: Annotated[int, typer.Option(help="Time samples of each kind.", rich_help_panel=HOW, min=1)] = 30,
    limit: Annotated[
        str,
        typer.Option(help="Take fewer samples than --rounds, but at least 8, after this time.", rich_help_panel=HOW),
    ] = "10m",
    device: options.Device = "cpu",
    peers: Annotated[
        bool,
        typer.Option("--peers", help="Measure orthogonium and deel-torchlip too, if installed.", rich_help_panel=WHAT),
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Then show where a training step's time goes.", rich_help_panel=WHAT)
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the records.", show_default=False)] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure time, memory and operations of the methods, without training.

    All networks of a size are measured in turn in one session, together with the unconstrained network and with what
    one would write in plain torch, so that what else the machine does meets all of them alike. Weights of an inference
    step are constructed once, before, and that time is measured apart; other libraries do as they are shipped.

    Example: onelip measure --sizes XS,S --image 1x8x8
    """
    with clear_errors(lambda: "Finished sessions are kept." if out else "Nothing was written."):
        shape, seconds, kernel = (
            image_shape(image),
            limit_seconds(limit),
            options.kernel_choice(kernel_size),
        )
        if profile and as_json:
            raise OnelipError("--profile prints tables, and --json prints none; leave one of them out")
        from onelip.bench.costs import cases_of, workloads_for
        from onelip.bench.measure.machine import find_device
        from onelip.bench.selection import find_methods
        from onelip.bench.shared import SharedFolder

        found, asked = find_device(device), find_methods(options.method_names(methods, own))
        cases = cases_of(asked, options.padding_choice(padding))
        others = _others(peers, quiet=as_json)
        workloads = workloads_for(
            cases,
            options.size_list(sizes),
            image=shape,
            classes=classes,
            batch_size=batch_size,
            device=found,
            kernel_size=kernel,
        )
        if not as_json:
            note_unused_gpu(found)
        with (
            contextlib.nullcontext()
            if out is None
            else SharedFolder(out, _tell if as_json else say).entered(alone=True)
        ):
            records = [
                _measured(workload, cases, others=others, rounds=rounds, seconds=seconds, out=out)
                for workload in workloads
            ]
        _print(records, as_json, out)
        if profile:
            for workload in workloads:
                print_profiles(cases, workload)
        _exit_if_all_failed(records, {method.name for method in asked})


def _tell(line: str) -> None:
    """Beside what a script reads."""
    typer.echo(line, err=True)


def image_shape(text: str) -> tuple[int, int, int]:
    """The image shape (C, H, W) in a text such as 3x32x32.

    Raises:
        OnelipError: It is no shape.
    """
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise OnelipError(f"--image {text!r} is not allowed; give channels x height x width, such as 3x32x32")
    channels, height, width = map(int, parts)
    return channels, height, width


def _exit_if_all_failed(records: Sequence[CostRecord], names: Set[str]) -> None:
    entries = [entry for record in records for entry in record.entries if entry.method.name in names]
    if all(entry.status != "ok" for entry in entries):
        raise typer.Exit(ALL_FAILED)


def _others(peers: bool, quiet: bool) -> tuple[Other, ...]:
    from onelip.bench.others import PEERS, PLAIN, installed

    if not peers:
        return (PLAIN,)
    there, absent = installed(PEERS)
    if absent and not quiet:
        say(f"Not installed, and left out: {', '.join(absent)}")
    return (PLAIN, *there)


def _measured(
    workload: Workload,
    cases: Sequence[Case],
    *,
    others: Sequence[Other],
    rounds: int,
    seconds: float | None,
    out: Path | None,
) -> CostRecord:
    from onelip.bench.costs import measure_costs
    from onelip.bench.sessions import keep

    with live_notes(f"costs, size {workload.size}") as note:
        record = measure_costs(cases, workload, rounds=rounds, time_limit=seconds, others=others, note=note)
    if out is not None:
        keep(record, out)
    return record


def _print(records: list[CostRecord], as_json: bool, out: Path | None) -> None:
    if as_json:
        typer.echo(json.dumps([record.model_dump(mode="json") for record in records], indent=2))
        return
    from rich.console import Console

    from onelip.bench.report.tables import print_costs

    print_costs(records, Console())
    if out is not None:
        say(f"Records: {out}; onelip report {out} makes a page of them.")
