"""`onelip report`: tables and page from records, also where torch is not installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from onelip.cli.errors import clear_errors
from onelip.cli.options import AsJson


def report(
    folder: Annotated[
        Path, typer.Argument(help="A folder of onelip compare, train or measure, or one that holds several.")
    ],
    export: Annotated[
        Path | None,
        typer.Option(
            help="Also write every figure as SVG and PDF, and every table as LaTeX, CSV and Markdown, into a folder; "
            "what an earlier export left there, listed in its export.json, is removed.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the comparison of a folder's records, and rebuild report.html and report.md in it.

    The report is made from the records alone: it needs no torch, no data and no weights.

    Example: onelip report comparison
    """
    with clear_errors():
        if as_json:
            _print_json(folder)
        else:
            print_report(folder)
        if export is not None:
            _export(folder, export, quiet=as_json)


def _export(folder: Path, target: Path, *, quiet: bool) -> None:
    from onelip.bench.report.export import export
    from onelip.bench.report.page import page
    from onelip.bench.results import load_records

    written = export(page(load_records(folder)), target)
    if not quiet:
        typer.echo(f"Figures and tables: {len(written)} files in {target}")


def print_report(folder: Path) -> None:
    """Builds the page; prints the tables, the verdict and where the page is."""
    from rich.console import Console
    from rich.text import Text

    from onelip.bench.report.build import build_report
    from onelip.bench.report.depth_figure import undiagnosed
    from onelip.bench.report.groups import comparisons
    from onelip.bench.report.tables import print_tables
    from onelip.bench.report.verdict import verdict
    from onelip.bench.results import load_records

    records = load_records(folder)
    paths = build_report(folder)
    console = Console()
    print_tables(records, console)
    console.print()
    console.print(Text(verdict(records), "bold"))
    console.print()
    if note := undiagnosed(comparisons(records), records.depths):
        console.print(Text(note, "dim"))
    typer.echo(f"Report: {paths.html}")


def _print_json(folder: Path) -> None:
    from onelip.bench.report.build import build_report
    from onelip.bench.report.tables import rows_as_json
    from onelip.bench.report.verdict import verdict
    from onelip.bench.results import load_records

    records = load_records(folder)
    paths = build_report(folder)
    content = {
        "html": str(paths.html),
        "markdown": str(paths.markdown),
        "verdict": verdict(records),
        "rows": rows_as_json(records),
        "unfinished": [cell.id for cell in records.unfinished],
        "not_used": [f"{rejected.path}: {rejected.reason}" for rejected in (*records.stale, *records.corrupt)],
    }
    typer.echo(json.dumps(content, indent=2, allow_nan=False))
