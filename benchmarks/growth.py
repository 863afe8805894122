"""How the time of each method's layer grows with batch, image side, channels and kernel, beside theory.

    python benchmarks/growth.py --out results/growth           # about ten minutes on two cores
    python benchmarks/growth.py --rounds 1 --methods aol,soc --small

Writes growth.json (every sample), growth.md (the table of exponents) and growth.svg (the figure). With --again the
table and the figure are made anew from growth.json.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from onelip.bench.growth import BASE, RANGES, Ranges, measure_growth
from onelip.bench.measure.machine import find_device
from onelip.bench.report.growth import GrowthRecord, markdown, svg
from onelip.bench.selection import find_methods
from onelip.errors import OnelipError
from onelip.files import write_text

SMALL: Ranges = {"batch": (1, 2), "side": (4, 8), "channels": (2, 4), "kernel": (3, 5)}


def main(
    *,
    methods: Annotated[str, typer.Option(help="Names, separated by commas.")] = "all",
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    rounds: Annotated[int, typer.Option(help="Samples of each point.", min=1)] = 8,
    small: Annotated[bool, typer.Option("--small", help="Two small values of each variable, for a trial.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Measure nothing; table and figure from growth.json.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the three files.")] = Path("growth"),
) -> None:
    """Measures, prints and records."""
    console = Console()
    try:
        asked, found = find_methods(methods.split(",")), find_device(device)
        if again and not (out / "growth.json").exists():
            raise OnelipError(f"{out / 'growth.json'} is not there; measure first, without --again")
    except OnelipError as error:
        Console(stderr=True).print(f"[red]Error:[/] {error}")
        raise typer.Exit(2) from error
    out.mkdir(parents=True, exist_ok=True)
    if again:
        record = GrowthRecord.model_validate_json((out / "growth.json").read_text(encoding="utf-8"))
    else:
        ranges = SMALL if small else RANGES
        note = partial(console.print, style="dim")
        record = measure_growth(asked, found, base=BASE, ranges=ranges, rounds=rounds, note=note)
        write_text(out / "growth.json", record.model_dump_json(indent=1))
    write_text(out / "growth.md", markdown(record))
    write_text(out / "growth.svg", svg(record))
    console.print(Markdown(markdown(record)))


if __name__ == "__main__":
    typer.run(main)
