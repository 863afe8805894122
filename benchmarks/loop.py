"""Images per second in the training loop, beside those of bare training steps.

    python benchmarks/loop.py --data cifar10 --data-dir DIR --out results/loop      # about seven minutes on two cores
    python benchmarks/loop.py --methods aol,soc --size 8 --budget 5s                # embedded digits, for a trial

The loop is that of `onelip train` and `onelip compare`: augmented images, schedule, metrics, reports; checkpoints,
where the budget is of more than an epoch and 30 s. Its clock stands still while bare steps of a second network of the
same kind are taken, in turn with those of the loop. Writes loop.json (every sample) and loop.md (the table).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onelip.__main__ import keep_memory, wait_asleep
from onelip.cli import options
from onelip.cli.errors import clear_errors
from onelip.cli.running import refuse
from onelip.cli.times import budget_text

ALL_FAILED = 1


def main(
    *,
    data: Annotated[str, typer.Option(help=f"{options.DATA_SETS}, or a folder of pictures.")] = "digits",
    data_dir: options.DataDir = None,
    methods: options.Methods = None,
    size: Annotated[str, typer.Option(help="XS, S, M, L or a width as a number.")] = "XS",
    budget: options.Budget = "30s",
    device: options.Device = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Replace the loop.json that is there.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the two files.")] = Path("loop"),
) -> None:
    """Measures, prints and records."""
    keep_memory()
    wait_asleep()
    with clear_errors():
        from rich.console import Console
        from rich.markdown import Markdown

        from onelip.bench.comparison import Comparison
        from onelip.bench.data import load
        from onelip.bench.folder import held
        from onelip.bench.forecast import refusals
        from onelip.bench.grid import Grid
        from onelip.bench.measure.machine import find_device
        from onelip.bench.overhead import markdown, measure_overhead
        from onelip.bench.selection import find_methods
        from onelip.bench.train.progress import show_progress
        from onelip.errors import RecordError
        from onelip.files import write_text

        file = out / "loop.json"
        if file.exists() and not force:
            raise RecordError(f"{file} is there; name another --out, or replace it with --force")
        grid = Grid(
            methods=options.method_names(methods, None),
            data=(data,),
            sizes=(size,),
            budgets=(budget_text(budget),),
        )
        asked = Comparison(
            grid=grid,
            methods=find_methods(grid.methods),
            data=(load(data, data_dir, resize=None),),
            device=find_device(device),
        )
        refuse(refusals(asked), "")
        jobs = [asked.job(task, asked.unsearched) for task in asked.tasks]
        with held(out):
            record = measure_overhead(jobs, asked.device, show=show_progress)
            Console().print(Markdown(markdown(record)))
            if not any(one.loop for one in record.overheads):
                raise typer.Exit(ALL_FAILED)
            write_text(file, record.model_dump_json(indent=1))
            write_text(out / "loop.md", markdown(record))


if __name__ == "__main__":
    typer.run(main)
