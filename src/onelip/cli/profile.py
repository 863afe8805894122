"""Where the time of a training step goes, as tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from onelip.cli.display import live_notes

if TYPE_CHECKING:
    from onelip.bench.costs import Case
    from onelip.bench.entrants import MethodEntrant
    from onelip.bench.measure.profile import Operation
    from onelip.bench.subject import Workload

STEPS, SHOWN = 3, 12
"""Profiled steps; operations that are shown."""


def print_profiles(cases: Iterable[Case], workload: Workload) -> None:
    """Profiles a training step of each network, one after the other, and prints its costliest operations."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from onelip.bench.entrants import MethodEntrant
    from onelip.errors import plain
    from onelip.linalg.precision import full_precision

    console = Console()
    for case in cases:
        entrant = MethodEntrant(*case)
        with live_notes(f"profile of {entrant.title}"), full_precision():
            try:
                operations = _profiled(entrant, workload)
            except Exception as error:  # noqa: BLE001  # one network's failure is told, and the others are profiled
                console.print(Text(f"\n{entrant.title}: no profile: {plain(entrant.failed(error).message)}", "yellow"))
                continue
        table = Table(box=box.SIMPLE_HEAD, show_edge=False)
        table.add_column("Operation", overflow="fold")
        for title in ("Share", "ms per step", "Calls per step"):
            table.add_column(title, justify="right")
        for one in operations[:SHOWN]:
            table.add_row(Text(one.name), f"{100 * one.share:.1f}%", f"{1e3 * one.seconds:.2f}", f"{one.calls:.0f}")
        title = f"Where a training step goes: {entrant.title}, ConvNet {workload.size}, batch {workload.batch_size}"
        console.print("", Text(title, "bold"), table, sep="\n")


def _profiled(entrant: MethodEntrant, workload: Workload) -> tuple[Operation, ...]:
    """A network's training step; the network is gone before the next one is built."""
    from onelip.bench.measure.profile import profile_operations

    network = entrant.build(workload)
    network.to_training()
    return profile_operations(network.train_step, device=workload.device, runs=STEPS)
