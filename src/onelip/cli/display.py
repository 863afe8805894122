"""What the commands write while they work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import torch
    from rich.table import Table

    from onelip.bench.arithmetics import ArithmeticsRecord
    from onelip.bench.attacked import Siege
    from onelip.bench.costs import Note
    from onelip.bench.data.pictures import Pixels
    from onelip.bench.records import Evaluation, TrainRecord
    from onelip.certify import Arithmetic


def say(line: str) -> None:
    """One line of what a command does, at once also where the output is a file."""
    typer.echo(line)


@contextmanager
def live_notes(title: str) -> Iterator[Note]:
    """Shows on a terminal what is being measured; elsewhere nothing."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    # Nothing is drawn between the notes: a thread that turns a wheel would run while times are taken.
    with Live(Text(title), console=console, auto_refresh=False, transient=True) as live:
        yield lambda note: live.update(Text(f"{title}: {note}"), refresh=True)


def show_pictures(pictures: Iterable[Pixels], title: str, count: int) -> Iterable[Pixels]:
    """Shows on a terminal how many pictures have been read; elsewhere nothing."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(pictures, title, count, console=console, transient=True, disable=not console.is_terminal)


def note_unused_gpu(device: torch.device) -> None:
    """Mentions a GPU that is there and was not asked for."""
    import torch

    if device.type == "cpu" and torch.cuda.is_available():
        say("This machine has a GPU; --device cuda uses it.")


ARITHMETICS = {
    "float64": (
        "The radii are proved for the network as it is evaluated in float64: every rounding of the evaluation is paid "
        "for, at the image and at every image inside the radius."
    ),
    "executed": (
        "The radii are proved for the network's certified program of float32 as this machine executes it: every "
        "rounding is paid for, at every image of float32 numbers inside the radius."
    ),
    "real": (
        "The radii are proved in real arithmetic: they hold for the network as its weights define it; rounding errors "
        "of evaluating it in floating point are not paid for."
    ),
}


def meaning(arithmetic: Arithmetic, block: int | None = None) -> str:
    """What radii mean; of the float32 program also how it sums."""
    if arithmetic != "executed":
        return ARITHMETICS[arithmetic]
    from onelip.bench.report.wording import counted

    if block is None:
        return f"{ARITHMETICS[arithmetic]} What it sums in float32 it sums over all input channels at once (block all)."
    channels = f"up to {counted(block, 'input channel')} at a time, later terms of series over more"
    return f"{ARITHMETICS[arithmetic]} What it sums in float32 it sums over {channels} (block {block})."


def print_evaluation(record: TrainRecord, evaluation: Evaluation, *, block: int | None = None) -> None:
    """Accuracy, certified accuracy and bound of one network; the block is that of a float32 program."""
    from rich.console import Console

    from onelip.bench.report.metrics import METRICS, RADII

    title = f"{record.method.title} {record.cell.size} on {record.data.title}, {evaluation.images} images"
    table = _table(title, "", "Share", "95 % Wilson", "Images")
    table.add_row(*_share("Accuracy", evaluation.correct, evaluation.images))
    for radius in RADII:
        table.add_row(*_share(f"CRA {radius}/255", evaluation.certified[radius], evaluation.images))
    console = Console()
    console.print(table)
    console.print(f"Lipschitz bound: {METRICS['lipschitz'].format(evaluation.lipschitz)}", highlight=False)
    console.print(f"Arithmetic: {evaluation.arithmetic}. {meaning(evaluation.arithmetic, block)}", highlight=False)


def print_arithmetics(prices: ArithmeticsRecord) -> None:
    """What each arithmetic certifies, and what the float32 program takes and errs by."""
    from rich.console import Console

    from onelip.bench.choice import RADIUS
    from onelip.bench.report.wording import counted
    from onelip.bench.statistics import ratio_quartiles

    table = _table(f"CRA {RADIUS}/255 in each arithmetic", "", "Share", "95 % Wilson", "Images")
    for evaluation in prices.evaluations:
        table.add_row(*_share(evaluation.arithmetic, evaluation.certified[RADIUS], evaluation.images))
    Console().print(table)
    for images, program, plain in (
        (prices.batch, prices.program, prices.plain),
        (1, prices.program_single, prices.plain_single),
    ):
        low, middle, high = ratio_quartiles(program, plain)
        say(
            f"The program takes {middle:.2f} times as long as the plain frozen network for {counted(images, 'image')} "
            f"(quartiles {low:.2f} to {high:.2f})."
        )
    erred = "more than float32 can hold" if prices.measured is None else f"at most {prices.measured:.2g}"
    charged = "more than is known" if prices.bound is None else f"{prices.bound:.2g}"
    say(f"Its logits err by {erred} on {counted(prices.images, 'image')}; {charged} is charged, in the median.")


def print_siege(siege: Siege) -> None:
    """What attacks came to: robust accuracy between its bounds, and each attack inside the certified radii."""
    from rich.console import Console

    from onelip.bench.choice import RADIUS

    shares = _table(f"Under attack, {siege.images} images", "", "Share", "95 % Wilson", "Images")
    shares.add_row(*_share(f"CRA {RADIUS}/255", siege.certified, siege.images))
    shares.add_row(*_share(f"Withstand attacks of {RADIUS}/255", siege.standing, siege.images))
    shares.add_row(*_share("Accuracy", siege.correct, siege.images))
    tried = _table("Inside certified radii", "Attack", "Arithmetic", "Inputs", "Probes", "Broken")
    for tally in siege.tallies.values():
        tried.add_row(tally.attack, tally.arithmetic, *(f"{n:,}" for n in (tally.inputs, tally.probes, tally.broken)))
    console = Console()
    console.print(shares)
    console.print(tried)
    for line in _verdict(siege):
        say(line)


def _verdict(siege: Siege) -> Iterator[str]:
    gap = 100 * (siege.standing - siege.certified) / siege.images
    yield f"What neither proof nor attack decides, the gap, is {gap:.1f} points."
    yield f"{siege.probes:,} probes strictly inside certified radii, and {siege.broken:,} inputs lost their answer."
    if any(tally.arithmetic == "real" and tally.broken for tally in siege.tallies.values()):
        yield "Real arithmetic does not pay for rounding: its radii are broken by the rounding of floating point."
    if siege.missing is not None:
        yield f'Only attacks of onelip ran ({siege.missing}); for more: pip install "onelip[attack]"'


def _table(title: str, first: str, *headings: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _share(name: str, count: int, images: int) -> tuple[str, str, str, str]:
    from onelip.bench.report.formats import percent
    from onelip.bench.statistics import wilson

    low, high = wilson(count, images)
    return name, f"{percent(count / images)} %", f"{percent(low)}\u2013{percent(high)}", str(count)
