"""`onelip verify`: whether a certificate holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli import options
from onelip.cli.display import live_notes, meaning, say
from onelip.cli.errors import clear_errors
from onelip.errors import CertificateError

if TYPE_CHECKING:
    from onelip.certify.certificate import Certificate

DOES_NOT_HOLD = 1
"""Exit code where a certificate was edited, or a claim of it does not hold."""


def verify(
    certificate: Annotated[Path, typer.Argument(help="certificate.json, written by onelip certify.")],
    *,
    model: Annotated[
        Path | None,
        typer.Option(
            help="The network: a run folder, or its file of weights. [dim]Default: the certificate's folder.[/dim]",
            show_default=False,
        ),
    ] = None,
    data: options.MovedData = None,
    data_dir: options.DataDir = None,
    method: options.MovedMethod = None,
    device: options.Device = "cpu",
) -> None:
    """Check a certificate against a network and its test images, trusting nothing in it.

    It is checked by another way than it was made by: layers construct their weights anew and are not frozen, each
    claimed bound is proved, each image is evaluated, and rounding errors are bounded along the way of each image. The
    first claim that does not hold is printed, and the exit code is 1.

    A certificate's digest tells an edited file from a whole one. It is not a signature.
    """
    with clear_errors():
        from onelip.bench.measure.machine import find_device
        from onelip.bench.single import verify_again
        from onelip.certify.certificate import Certificate
        from onelip.errors import plain

        found = find_device(device)
        try:
            claims = Certificate.read(certificate)
            with live_notes("verify") as note:
                verify_again(
                    claims,
                    model or certificate.parent,
                    method=method,
                    data=data,
                    data_dir=data_dir,
                    device=found,
                    note=note,
                )
        except CertificateError as error:
            typer.echo(f"onelip: {certificate} does not hold: {plain(str(error))}", err=True)
            raise typer.Exit(DOES_NOT_HOLD) from None
        say(_summary(certificate, claims))


def _summary(path: Path, certificate: Certificate) -> str:
    from onelip.bench.choice import RADIUS
    from onelip.bench.report.metrics import METRICS

    radii = [one.radius for one in certificate.inputs]
    above = sum(radius > RADIUS / 255 for radius in radii)
    return (
        f"{path} holds: {len(certificate.layers)} modules, Lipschitz bound "
        f"{METRICS['lipschitz'].format(certificate.lipschitz)}; {len(radii)} images, "
        f"{sum(radius > 0 for radius in radii)} with a radius, {above} with one above {RADIUS}/255.\n"
        f"Arithmetic: {certificate.arithmetic}. {meaning(certificate.arithmetic, certificate.block)}\n"
        f"weights {certificate.weights}\ndata    {certificate.data}"
    )
