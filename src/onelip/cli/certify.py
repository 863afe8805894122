"""`onelip certify`: a trained network, bounded and evaluated anew."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli import options
from onelip.cli.display import live_notes, meaning, print_arithmetics, print_evaluation, print_siege, say
from onelip.cli.errors import clear_errors
from onelip.errors import OnelipError, plain

if TYPE_CHECKING:
    from onelip.bench.attacked import Siege
    from onelip.bench.recertify import Recertification
    from onelip.bench.single import Recertified
    from onelip.certify import Arithmetic

BROKEN = 1
"""Exit code where an attack broke a certificate, now or before."""


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
        int | None,
        typer.Option(
            help="Input channels that the layers of the float32 program sum over at a time (terms of series: over a "
            "quarter of it and more): fewer of them round less and take longer; 0 for all, as plain layers do. "
            "[dim]Default: 16.[/dim]",
            min=0,
            show_default=False,
        ),
    ] = None,
    attack: Annotated[
        int,
        typer.Option(
            help="Attack this many test images, inside their certified radii and at 36/255.", min=0, show_default=False
        ),
    ] = 0,
    attack_restarts: Annotated[
        int | None,
        typer.Option(
            help="Random starts of each attack: more of them try more. [dim]Default: 1.[/dim]",
            min=1,
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Certify a trained network again: accuracy, certified accuracy, Lipschitz bound.

    The weights are read from the folder, every layer is bounded anew, and each test image gets the radius in the L2
    norm inside which no change of its pixels changes its (correct) class. CRA 36/255 is the share of images whose
    radius is greater than 36/255.

    What is proved in float64 is written to certificate.json in the folder, for others to check with onelip verify;
    what is proved of the float32 program to certificate-executed.json, and what each arithmetic certifies and takes to
    arithmetics.json, for onelip report. Both are written before an attack begins, and removed if it breaks them.
    """
    found: Recertification | None = None
    with clear_errors(lambda: _kept(found)):
        from onelip.bench import recertify as steps
        from onelip.bench.measure.machine import find_device
        from onelip.bench.single import open_run

        spoken_of, device_ = options.arithmetic(arithmetic), find_device(device)
        sums, restarts = _block(block, spoken_of), _restarts(attack_restarts, attack)
        opened = open_run(run, method=method, data=data, data_dir=data_dir)
        found = steps.to_be_certified(opened, run, device=device_, arithmetic=spoken_of, block=sums)
        try:
            with live_notes("certify") as note:
                steps.recertify(found, note)
            _warn(found.refuted)
            if found.result is not None and not as_json:
                print_evaluation(opened.record, found.result.evaluation, block=found.promise.block)
                say(_against_the_record(found.result))
            if spoken_of == "executed" and not found.broken:
                _price(found, silent=as_json)
            if attack and not found.broken:
                _attack(found, attack, restarts, silent=as_json)
        finally:
            for line in found.broken:
                _warn(line)
            if as_json and (found.result is not None or found.broken):
                typer.echo(json.dumps(_facts(run, found), indent=2))
        if found.certificate in found.written and not as_json:
            say(f"Certificate: {found.certificate}; onelip verify {found.certificate} checks it.")
        if found.broken or found.refuted:
            raise typer.Exit(BROKEN)
        # A folder that cannot be written to costs the certificate, and not what was found out.
        if found.failed is not None:
            raise found.failed


def _block(given: int | None, spoken_of: Arithmetic) -> int | None:
    """The block of the float32 program, None for all channels.

    Raises:
        OnelipError: One is given, and there is no such program.
    """
    from onelip.nn.blocked import BLOCK

    if given is None:
        return BLOCK
    if spoken_of != "executed":
        raise OnelipError(
            f"--block {given} is of the float32 program, which --arithmetic executed certifies; in {spoken_of} "
            "arithmetic nothing is summed in blocks: leave it out"
        )
    return given or None


def _restarts(given: int | None, attack: int) -> int:
    """Random starts of each attack.

    Raises:
        OnelipError: They are given, and nothing is attacked.
    """
    if given is not None and not attack:
        raise OnelipError(
            f"--attack-restarts {given} is of attacks: say how many images with --attack, or leave it out"
        )
    return given or 1


def _kept(found: Recertification | None) -> str:
    """What Ctrl-C left."""
    if found is None or not (found.written or found.broken):
        return "Nothing was written."
    if found.written:
        return f"Kept: {', '.join(map(str, found.written))}."
    return f"There is no certificate in {found.promise.title}."


def _warn(line: str) -> None:
    if line:
        typer.echo(f"onelip: {line}", err=True)


def _price(found: Recertification, *, silent: bool) -> None:
    from onelip.bench.recertify import price

    with live_notes("certify") as note:
        price(found, note)
    if silent or found.prices is None:
        return
    print_arithmetics(found.prices)
    if found.withheld:
        say(f"{found.arithmetics} is not written: {found.withheld}.")


def _attack(found: Recertification, images: int, restarts: int, *, silent: bool) -> None:
    from onelip.bench.recertify import attack

    try:
        with live_notes("attack") as note:
            attack(found, images=images, restarts=restarts, note=note)
    except OnelipError as error:
        # What was broken until then is the answer, and this why there is no more of it.
        if not found.broken:
            raise
        _warn(plain(str(error)))
    if found.siege is not None and not silent:
        print_siege(found.siege)


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


def _facts(run: Path, found: Recertification) -> dict[str, object]:
    cell, promise = found.run.record.cell, found.promise
    return {
        "run": str(run),
        "method": cell.method,
        "data": cell.data,
        "evaluate_on": cell.evaluate_on,
        "arithmetic": promise.arithmetic,
        "arithmetic_means": meaning(promise.arithmetic, promise.block),
        **_evaluation_facts(found.result),
        "certificate": _if_written(found, found.certificate),
        "refuted": found.refuted or None,
        "broken": list(found.broken),
        **_price_facts(found),
        **_attack_facts(found.siege),
    }


def _evaluation_facts(result: Recertified | None) -> dict[str, object]:
    """Nothing where a program errs by too much to be evaluated."""
    from onelip.bench.report.metrics import RADII

    if result is None:
        return {}
    evaluation = result.evaluation
    return {
        "images": evaluation.images,
        "correct": evaluation.correct,
        "accuracy": evaluation.correct / evaluation.images,
        "cra": {str(radius): evaluation.certified[radius] / evaluation.images for radius in RADII},
        "certified": list(evaluation.certified),
        "lipschitz": evaluation.lipschitz,
        "agrees_with_record": result.agrees,
    }


def _if_written(found: Recertification, path: Path) -> str | None:
    return str(path) if path in found.written else None


def _price_facts(found: Recertification) -> dict[str, object]:
    if found.prices is None:
        return {}
    content = json.loads(found.prices.model_dump_json(exclude={"cell"}))
    return {"arithmetics": content, "arithmetics_file": _if_written(found, found.arithmetics)}


def _attack_facts(siege: Siege | None) -> dict[str, object]:
    if siege is None:
        return {}
    names = ("images", "correct", "certified", "standing", "probes", "broken")
    attacks = {"attacks": [asdict(tally) for tally in siege.tallies.values()], "foolbox_missing": siege.missing}
    return {"attack": {name: getattr(siege, name) for name in names} | attacks}
