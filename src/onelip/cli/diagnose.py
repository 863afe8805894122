"""`onelip diagnose`: a trained network, module by module."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli import options
from onelip.cli.display import live_notes, say
from onelip.cli.errors import clear_errors
from onelip.errors import OnelipError, RecordError, plain

if TYPE_CHECKING:
    from rich.table import Table

    from onelip.bench.depth import DepthRecord
    from onelip.bench.records import TrainRecord
    from onelip.certify.diagnose import LayerDiagnosis

BROKEN = 1
"""Exit code where a module is not what the network claims."""


def diagnose(
    run: options.Run,
    *,
    images: Annotated[int, typer.Option(help="Measure on this many test images; more need more memory.", min=2)] = 256,
    data: options.MovedData = None,
    data_dir: options.DataDir = None,
    method: options.MovedMethod = None,
    device: options.Device = "cpu",
    as_json: options.AsJson = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where to write the figure, .svg or .pdf. [dim]Default: diagnosis.svg in RUN.[/dim]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Look for what is wrong with a trained network: what each module does to a batch, as a table and a figure.

    The variance of the activations over a batch cannot rise in a 1-Lipschitz network: where it rises, the module is
    named, and the exit code is 1. Beside it stand each module's proved Lipschitz bound, how much of a small random step
    it passes on (1: all of it), and the norm of the loss's gradient at its output. The numbers are kept in RUN, where
    onelip report finds them.

    Example: onelip diagnose run
    """
    with clear_errors():
        from onelip.bench.depth import DEPTH_NAME
        from onelip.bench.diagnosed import depth_record, diagnose_run
        from onelip.bench.measure.machine import find_device
        from onelip.bench.report.diagnosis import diagnosis_drawing, finding
        from onelip.bench.report.export import FIGURE_KINDS
        from onelip.bench.single import open_run
        from onelip.files import write_bytes

        figure = _figure_path(run, out)
        found = find_device(device)
        opened = open_run(run, method=method, data=data, data_dir=data_dir)
        with live_notes("diagnose") as note:
            layers = diagnose_run(opened, images=images, device=found, note=note)
        kept = min(images, len(opened.data.test_labels))
        title = _title(opened.record, kept)
        if not as_json:
            _print(layers, title)
            say(finding(layers) + _excuse(layers, opened.record))
        write_bytes(figure, FIGURE_KINDS[figure.suffix.lower()](diagnosis_drawing(layers, title)))
        _keep(run / DEPTH_NAME, depth_record(opened.record, layers, kept), must=out is None)
        if as_json:
            facts = {"run": str(run), "finding": finding(layers), "figure": str(figure)}
            typer.echo(json.dumps(facts | {"layers": [_facts(layer) for layer in layers]}, indent=2, allow_nan=False))
        else:
            say(f"Figure: {figure}")
        if _at_fault(layers, opened.record):
            raise typer.Exit(BROKEN)


def _figure_path(run: Path, out: Path | None) -> Path:
    from onelip.bench.depth import DEPTH_FIGURE_NAME
    from onelip.bench.report.export import FIGURE_KINDS

    path = out or run / DEPTH_FIGURE_NAME
    if path.suffix.lower() not in FIGURE_KINDS:
        raise OnelipError(f"--out {path} is not allowed; name a file that ends in {' or '.join(FIGURE_KINDS)}")
    return path


def _keep(path: Path, record: DepthRecord, *, must: bool) -> None:
    """Notes the numbers beside the run; where only the figure was asked for, elsewhere, the run may be read-only."""
    from onelip.files import write_text

    try:
        write_text(path, record.model_dump_json(indent=2) + "\n")
    except RecordError as error:
        if must:
            raise
        typer.echo(f"onelip: {plain(str(error))}; the run keeps what it had of an earlier diagnosis", err=True)


def _title(record: TrainRecord, images: int) -> str:
    return f"{record.method.title} {record.cell.size} on {record.data.title}, {images} images"


def _excuse(layers: tuple[LayerDiagnosis, ...], record: TrainRecord) -> str:
    excused = any(layer.broken for layer in layers) and not _at_fault(layers, record)
    return f" {record.method.title} is unconstrained, so that this is no fault." if excused else ""


def _at_fault(layers: tuple[LayerDiagnosis, ...], record: TrainRecord) -> bool:
    """An unconstrained network may stretch; more than a proved bound, or to infinity, no network may."""
    if record.method.constrained:
        return any(layer.broken for layer in layers)
    return any(layer.exceeds(math.inf if layer.bound is None else layer.bound) or not layer.finite for layer in layers)


def _facts(layer: LayerDiagnosis) -> dict[str, object]:
    """JSON has no NaN and no infinity; they are given as the texts "nan" and "inf"."""
    facts = asdict(layer) | {"broken": layer.broken}
    return {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in facts.items()
    }


def _print(layers: tuple[LayerDiagnosis, ...], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD)
    table.show_edge, table.padding = False, (0, 1, 0, 0)
    for heading in ("", "Module", "Output"):
        table.add_column(heading, overflow="fold")
    for heading in ("Variance", "Growth", "Bound", "Preserved", "Gradient"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in layers:
        _add(table, layer)
    Console().print(table)


def _add(table: Table, layer: LayerDiagnosis) -> None:
    from rich.text import Text

    from onelip.bench.report.diagnosis import factor
    from onelip.bench.report.formats import bound_digits

    cells = (
        plain(layer.name),
        plain(layer.kind),
        "\u00d7".join(map(str, layer.shape)),
        f"{layer.variance:.3g}",
        factor(layer.growth),
        "none" if layer.bound is None else bound_digits(layer.bound),
        factor(layer.preservation),
        f"{layer.gradient:.3g}",
    )
    style = "bold red" if layer.broken or not layer.finite else "" if layer.parametrised else "dim"
    table.add_row(*(Text(cell) for cell in cells), style=style)
