"""`onelip certify`: a trained network, bounded and evaluated anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli import options
from onelip.cli.display import REAL_ARITHMETIC, print_evaluation, say
from onelip.cli.errors import clear_errors

if TYPE_CHECKING:
    from onelip.bench.single import Recertified


def certify(
    run: Annotated[Path, typer.Argument(help="Folder of one run, written by onelip train or onelip compare.")],
    *,
    data: Annotated[
        str | None,
        typer.Option(help="Where the run's folder of pictures is now, if it was moved.", show_default=False),
    ] = None,
    data_dir: options.DataDir = None,
    method: Annotated[
        str | None,
        typer.Option(help="Where a method of your own is, package.module:NAME.", show_default=False),
    ] = None,
    device: options.Device = "cpu",
    as_json: options.AsJson = False,
) -> None:
    """Certify a trained network again: accuracy, certified accuracy, Lipschitz bound.

    The weights are read from the folder, every layer is bounded anew, and each test image gets the radius in the L2
    norm inside which no change of its pixels changes its (correct) class, in real arithmetic. CRA 36/255 is the share
    of images whose radius is greater than 36/255.
    """
    with clear_errors():
        from onelip.bench.measure.machine import find_device
        from onelip.bench.single import certify_again

        result = certify_again(run, method=method, data=data, data_dir=data_dir, device=find_device(device))
        if as_json:
            typer.echo(json.dumps(_facts(run, result), indent=2))
            return
        print_evaluation(result.record, result.evaluation)
        say(
            "These are the numbers of its record."
            if result.agrees
            else "The record has other numbers: it was made on another machine or with another version, or changed."
        )


def _facts(run: Path, result: Recertified) -> dict[str, object]:
    from onelip.bench.report.metrics import RADII

    record, evaluation = result.record, result.evaluation
    return {
        "run": str(run),
        "method": record.cell.method,
        "data": record.cell.data,
        "evaluate_on": record.cell.evaluate_on,
        "images": evaluation.images,
        "correct": evaluation.correct,
        "accuracy": evaluation.correct / evaluation.images,
        "cra": {str(radius): evaluation.certified[radius] / evaluation.images for radius in RADII},
        "certified": list(evaluation.certified),
        "lipschitz": evaluation.lipschitz,
        "arithmetic": evaluation.arithmetic,
        "arithmetic_means": REAL_ARITHMETIC,
        "agrees_with_record": result.agrees,
    }
