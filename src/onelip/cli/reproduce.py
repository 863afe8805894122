"""`onelip reproduce`: records beside the published numbers, also where torch is not installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli.errors import clear_errors
from onelip.cli.options import AsJson, AsMarkdown
from onelip.errors import OnelipError, plain

if TYPE_CHECKING:
    from onelip.bench.report.reproduction import Reproduction
    from onelip.bench.results import Records

All = Annotated[bool, typer.Option("--all", help="List the published results without a record too.")]


def reproduce(
    folder: Annotated[
        Path, typer.Argument(help="A folder of onelip compare or train, or one that holds several.", show_default=False)
    ],
    everything: All = False,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Lay a folder's records beside the numbers of "1-Lipschitz Layers Compared" (arXiv 2311.16833), cell by cell.

    It shows the difference, what was not as published, and a verdict by the rule that it prints. It needs no torch,
    no data and no weights.

    Example: onelip reproduce comparison
    """
    with clear_errors():
        if as_json and as_markdown:
            raise OnelipError("--json and --markdown exclude each other")
        from onelip.bench.published import paper
        from onelip.bench.report.reproduce import reproductions, without_record
        from onelip.bench.results import load_records

        records, published = load_records(folder), paper()
        found = reproductions(records, published)
        left = without_record(found, published)
        if as_json:
            cells = (*found, *left) if everything else found
            typer.echo(json.dumps([cell.model_dump(mode="json") for cell in cells], indent=2, allow_nan=False))
        else:
            _show(found, left, len(published.accuracy), everything, as_markdown)
        _tell_unused(records)


def _show(
    found: tuple[Reproduction, ...], left: tuple[Reproduction, ...], published: int, everything: bool, markdown: bool
) -> None:
    from rich.console import Console

    from onelip.bench.report import reproduce_sheet as sheet

    tables = (*sheet.reproduction_tables(found), *[sheet.missing_table(left)] * bool(everything and left))
    sentences = tuple(sheet.notes(found, left, published))
    if markdown:
        typer.echo(sheet.reproductions_to_markdown(tables, sentences))
    else:
        sheet.print_reproductions(tables, sentences, Console())


def _tell_unused(records: Records) -> None:
    """On standard error, so that what a script reads stays whole."""
    for rejected in (*records.stale, *records.corrupt):
        typer.echo(f"Not used: {plain(rejected.path)}: {plain(rejected.reason)}", err=True)
