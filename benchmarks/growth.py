"""How the time of each method's layer grows with batch, image side, channels and kernel, beside theory.

    python benchmarks/growth.py --out results/growth           # about ten minutes on two cores
    python benchmarks/growth.py --rounds 1 --methods aol,soc --small

Writes growth.json (every sample), growth.md (the table of exponents), growth.svg and growth.pdf (the figure). With
--again the table and the figure are made anew from growth.json, and nothing is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onelip.__main__ import keep_memory, wait_asleep
from onelip.cli import options
from onelip.cli.errors import clear_errors

ALL_FAILED = 1
ROUNDS = 8


def main(
    *,
    methods: Annotated[str | None, typer.Option(help="Names, separated by commas.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; cpu by default.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Samples of each point; 8 by default.", min=1)] = None,
    small: Annotated[bool, typer.Option("--small", help="Two small values of each variable, for a trial.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Measure nothing; table and figure from growth.json.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the growth.json that is there.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the files.")] = Path("growth"),
) -> None:
    """Measures, prints and records."""
    keep_memory()
    wait_asleep()
    with clear_errors():
        from rich.console import Console
        from rich.markdown import Markdown

        from onelip.bench.folder import held
        from onelip.bench.growth import BASE, RANGES, SMALL, measure_growth
        from onelip.bench.measure.machine import find_device
        from onelip.bench.reading import read_as
        from onelip.bench.report.export import write_drawing
        from onelip.bench.report.growth import GrowthRecord, growth_drawing, markdown
        from onelip.bench.selection import find_methods
        from onelip.errors import OnelipError, RecordError
        from onelip.files import write_text

        file = out / "growth.json"
        if again and (small or force or (methods, device, rounds) != (None, None, None)):
            raise OnelipError("--again takes what growth.json has, and no other option than --out")
        if again and not file.exists():
            raise RecordError(f"{file} is not there; measure first, without --again")
        if file.exists() and not again and not force:
            raise RecordError(f"{file} is there; --again makes table and figure from it, --force measures anew")
        with held(out):
            if again:
                record = read_as(GrowthRecord, file)
            else:
                asked, found = find_methods(options.method_names(methods, None)), find_device(device or "cpu")
                ranges = SMALL if small else RANGES
                record = measure_growth(
                    asked, found, base=BASE, ranges=ranges, rounds=rounds or ROUNDS, note=typer.echo
                )
            Console().print(Markdown(markdown(record)))
            if not record.points:
                raise typer.Exit(ALL_FAILED)
            if not again:
                write_text(file, record.model_dump_json(indent=1))
            write_text(out / "growth.md", markdown(record))
            write_drawing(growth_drawing(record), out)


if __name__ == "__main__":
    typer.run(main)
