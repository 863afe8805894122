"""`onelip replay`: a run trained again, to see whether the same comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onelip.cli import options
from onelip.cli.display import say
from onelip.cli.errors import clear_errors

DIFFERS = 1
"""Exit code when something else came out."""


def replay(
    folder: options.Run,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the new run.")],
    method: options.MovedMethod = None,
    data: options.MovedData = None,
    data_dir: options.DataDir = None,
    device: options.Device = "cpu",
) -> None:
    """Train a finished run again, step by step as it was, and say whether the same comes out.

    How many steps fit into a time depends on the machine and its moods. The run's record has every plan that was made;
    followed again they give, on the CPU of the same machine, the same weights to the bit. The same command goes on with
    what was interrupted.

    Example: onelip replay comparison/aol-XS-digits-20s-s0-0123456789 --out again
    """
    with clear_errors(lambda: f"The last checkpoint is kept in {out}; the same command goes on from it."):
        from onelip.bench.measure.machine import find_device
        from onelip.bench.replay import replay_run
        from onelip.bench.train.progress import show_progress

        result = replay_run(
            folder,
            out,
            method=method,
            data=data,
            data_dir=data_dir,
            device=find_device(device),
            say=say,
            show=show_progress,
        )
        if not result.differences:
            known = "history, accuracy, radii and bound, to the bit"
            compared = result.same_weights is not None
            say(f"The same came out: {f'weights, {known}' if compared else f'{known}; the weights were not kept'}.")
            return
        say(f"Something else came out: {', '.join(result.differences)}.")
        say(f"{'; '.join(result.elsewhere)}." if result.elsewhere else "The machine and the program are the same.")
        raise typer.Exit(DIFFERS)
