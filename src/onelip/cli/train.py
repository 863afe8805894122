"""`onelip train`: one training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onelip.cli import options
from onelip.cli.display import note_unused_gpu, print_evaluation, say, show_pictures
from onelip.cli.errors import clear_errors
from onelip.cli.options import WHAT
from onelip.cli.running import refuse
from onelip.cli.times import budget_text

FAILED = 1
"""Exit code of a training that did not succeed."""


def train(
    *,
    out: Annotated[Path, typer.Option(help="Folder of this run: weights, record, checkpoint.")],
    method: Annotated[
        str, typer.Option(help="A name from onelip methods, or package.module:NAME of your own.", rich_help_panel=WHAT)
    ],
    data: Annotated[
        str, typer.Option(help=f"{options.DATA_SETS}, or a folder of pictures.", rich_help_panel=WHAT)
    ] = "digits",
    data_dir: options.DataDir = None,
    resize: options.Resize = None,
    size: Annotated[str, typer.Option(help="XS, S, M, L or a width as a number.", rich_help_panel=WHAT)] = "XS",
    budget: options.Budget = "20s",
    seed: Annotated[int, typer.Option(help="Random seed.", rich_help_panel=WHAT, min=0, max=2**63 - 1)] = 0,
    padding: options.PaddingOption = "paper",
    kernel_size: options.Kernels = "3",
    device: options.Device = "cpu",
    learning_rate: options.LearningRate = 0.1,
    weight_decay: options.WeightDecay = 1e-5,
    batch_size: options.BatchSize = 256,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same options.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the run that the folder holds.")] = False,
) -> None:
    """Train one network, certify it on the test images, and keep it.

    The weights are in model.safetensors, and what came out is in record.json. A checkpoint is written at the end of an
    epoch, at most twice a minute: --resume goes on from it.
    """
    with clear_errors(lambda: _kept(out)):
        recipe = options.recipe(learning_rate=learning_rate, weight_decay=weight_decay, batch_size=batch_size)
        from onelip.bench.comparison import Comparison
        from onelip.bench.data import load
        from onelip.bench.forecast import refusals
        from onelip.bench.grid import Grid
        from onelip.bench.measure.machine import find_device
        from onelip.bench.selection import find_method
        from onelip.bench.single import run_alone
        from onelip.bench.train.progress import show_progress

        grid = Grid(
            methods=(method,),
            data=(data,),
            sizes=(size,),
            budgets=(budget_text(budget),),
            paddings=(options.padding_choice(padding),),
            kernel_sizes=(options.kernel_choice(kernel_size),),
            seeds=(seed,),
            recipe=recipe,
        )
        asked = Comparison(
            grid=grid,
            methods=(find_method(method),),
            data=(load(data, data_dir, resize=resize, track=show_pictures),),
            device=find_device(device),
        )
        refuse(refusals(asked), "")
        job = asked.job(asked.tasks[0], asked.unsearched)
        note_unused_gpu(asked.device)
        record = run_alone(job, out, device=asked.device, resume=resume, force=force, say=say, show=show_progress)
        if record.evaluation is None:
            say(f"{record.status}: {record.message}")
            raise typer.Exit(FAILED)
        print_evaluation(record, record.evaluation)
        say(f"Weights and record: {out}")


def _kept(out: Path) -> str:
    """What Ctrl-C left, and how to go on."""
    from onelip.bench.results import RECORD_NAME
    from onelip.bench.train.checkpoint import FILE_NAME

    if (out / RECORD_NAME).exists():
        return f"{out} holds a finished run."
    if (out / FILE_NAME).exists():
        return f"The last checkpoint is kept in {out}; the same command with --resume goes on from it."
    return "There was no checkpoint yet; the same command with --force begins anew."
