"""`onelip certify`: a trained network, bounded and evaluated anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli import options
from onelip.cli.display import ARITHMETICS, live_notes, print_arithmetics, print_evaluation, print_siege, say
from onelip.cli.errors import clear_errors
from onelip.errors import RecordError
from onelip.files import remove, write_text

if TYPE_CHECKING:
    import torch

    from onelip.bench.arithmetics import ArithmeticsRecord
    from onelip.bench.attacked import Siege
    from onelip.bench.single import Opened, Recertified
    from onelip.certify import Arithmetic

BROKEN = 1
"""Exit code where an attack broke a certificate, now or before."""

_REFUTED = "{} holds images that broke a certificate of this network, and until it is moved away {}"


def certify(
    run: options.Run,
    *,
    data: options.MovedData = None,
    data_dir: options.DataDir = None,
    method: options.MovedMethod = None,
    device: options.Device = "cpu",
    arithmetic: Annotated[
        str,
        typer.Option(
            help="float64: the network as float64 evaluates it, rounding paid for. executed: the network's certified "
            "program of float32, as this machine executes it. real: as papers do it, as if there were no rounding."
        ),
    ] = "float64",
    block: Annotated[
        int,
        typer.Option(
            help="Input channels that the float32 program sums over at a time: fewer of them round less and take "
            "longer; 0 for all, as a plain convolution does.",
            min=0,
        ),
    ] = 16,
    attack: Annotated[
        int,
        typer.Option(
            help="Attack this many test images, inside their certified radii and at 36/255.", min=0, show_default=False
        ),
    ] = 0,
    attack_restarts: Annotated[
        int, typer.Option(help="Random starts of each attack: more of them try more.", min=1)
    ] = 1,
    as_json: options.AsJson = False,
) -> None:
    """Certify a trained network again: accuracy, certified accuracy, Lipschitz bound.

    The weights are read from the folder, every layer is bounded anew, and each test image gets the radius in the L2
    norm inside which no change of its pixels changes its (correct) class. CRA 36/255 is the share of images whose
    radius is greater than 36/255.

    What is proved in float64 is written to certificate.json in the folder, for others to check with onelip verify;
    what is proved of the float32 program to certificate-executed.json, and what each arithmetic certifies and takes to
    arithmetics.json, for onelip report.
    """
    with clear_errors():
        from onelip.bench.arithmetics import ARITHMETICS_NAME
        from onelip.bench.attacked import BROKEN_NAME
        from onelip.bench.measure.machine import find_device
        from onelip.bench.saved import CERTIFICATE_NAME, EXECUTED_CERTIFICATE_NAME
        from onelip.bench.single import certify_again, open_run, write_certificate

        spoken_of, found = options.arithmetic(arithmetic), find_device(device)
        opened = open_run(run, method=method, data=data, data_dir=data_dir)
        with live_notes("certify") as note:
            result = certify_again(opened, device=found, arithmetic=spoken_of, block=block or None, note=note)
            prices = _prices(opened, result, found, note) if spoken_of == "executed" else None
        siege = _attack(opened, attack, attack_restarts, found, (spoken_of, block or None)) if attack else None
        broken = siege is not None and bool(siege.broken) and spoken_of != "real"
        refuted = not broken and spoken_of != "real" and (run / BROKEN_NAME).exists()
        path, written = run / (EXECUTED_CERTIFICATE_NAME if prices else CERTIFICATE_NAME), None
        # An earlier one says what was just refuted.
        if siege is not None and broken:
            _tell_break(siege, run, _discarded(path))
        if not as_json:
            print_evaluation(result.record, result.evaluation)
            say(_against_the_record(result))
            if prices is not None:
                print_arithmetics(prices)
            if siege is not None:
                print_siege(siege)
        # A folder that cannot be written to costs the certificate, and not what was found out.
        try:
            if refuted:
                typer.echo(f"onelip: {_REFUTED.format(run / BROKEN_NAME, _discarded(path))}", err=True)
            elif spoken_of != "real" and not broken:
                write_certificate(opened, result, path)
                written = str(path)
            if prices is not None:
                write_text(run / ARITHMETICS_NAME, prices.model_dump_json(indent=2) + "\n")
        finally:
            if as_json:
                facts = _facts(run, result) | {"certificate": written} | _attack_facts(siege) | _price_facts(prices)
                typer.echo(json.dumps(facts, indent=2))
        if written and not as_json:
            say(f"Certificate: {path}; onelip verify {path} checks it.")
        if broken or refuted:
            raise typer.Exit(BROKEN)


def _prices(
    opened: Opened, result: Recertified, device: torch.device, note: Callable[[str], None]
) -> ArithmeticsRecord:
    from onelip.bench.executed import arithmetics_record

    return arithmetics_record(opened, result, device=device, note=note)


def _price_facts(prices: ArithmeticsRecord | None) -> dict[str, object]:
    return {} if prices is None else {"arithmetics": json.loads(prices.model_dump_json(exclude={"cell"}))}


def _attack(
    opened: Opened, images: int, restarts: int, device: torch.device, spoken_of: tuple[Arithmetic, int | None]
) -> Siege:
    from onelip.bench.attacked import besiege

    arithmetic, block = spoken_of
    batch_size = opened.record.cell.recipe.batch_size
    with live_notes("attack") as note:
        return besiege(
            opened.model,
            opened.data,
            images=images,
            batch_size=batch_size,
            device=device,
            arithmetic=arithmetic,
            block=block,
            restarts=restarts,
            note=note,
        )


def _attack_facts(siege: Siege | None) -> dict[str, object]:
    if siege is None:
        return {}
    names = ("images", "correct", "certified", "standing", "probes", "broken")
    attacks = {"attacks": [asdict(tally) for tally in siege.tallies.values()], "foolbox_missing": siege.missing}
    return {"attack": {name: getattr(siege, name) for name in names} | attacks}


def _discarded(certificate: Path) -> str:
    """Removes a certificate that is refuted; says what became of it."""
    try:
        remove(certificate)
    except RecordError as error:
        return f"{error}; what lies there is refuted"
    return "there is no certificate"


def _tell_break(siege: Siege, run: Path, fate: str) -> None:
    typer.echo(f"onelip: A certificate was broken: this is a fault of the program; {fate}", err=True)
    try:
        images = f"The images are in {siege.save(run)}"
    except RecordError as error:
        images = f"The images that broke it are not kept: {error}"
    typer.echo(f"onelip: {images}", err=True)


def _against_the_record(result: Recertified) -> str:
    from onelip.bench.choice import RADIUS

    if not result.agrees:
        return "The record has other numbers: it was made on another machine or with another version, or changed."
    if result.then.arithmetic == result.evaluation.arithmetic:
        return "These are the numbers of its record."
    then, now = (e.certified[RADIUS] for e in (result.then, result.evaluation))
    return (
        f"In {result.then.arithmetic} arithmetic these are the numbers of its record: {then} images are certified at "
        f"{RADIUS}/255 there, {now} here."
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
        "arithmetic_means": ARITHMETICS[evaluation.arithmetic],
        "agrees_with_record": result.agrees,
    }
