"""`onelip theory`: what a layer costs by formula, beside the published formulas and beside measurements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.cli import options
from onelip.cli.errors import clear_errors
from onelip.cli.options import HOW, WHAT
from onelip.errors import OnelipError

if TYPE_CHECKING:
    from onelip.bench.theory import Sheet
    from onelip.linalg.conv import Image
    from onelip.method import Method


SINGLE = ("batch", "image", "channels", "out_channels", "kernel", "padding", "table", "as_markdown")
"""Parameters that speak of a single layer, and not of the networks of a session."""


def theory(
    context: typer.Context,
    *,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "--methods",
            help="Names, also separated by commas, or package.module:NAME; repeatable. [dim]Default: all.[/dim]",
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images.", rich_help_panel=WHAT, min=1)] = 256,
    image: Annotated[
        str, typer.Option(help="Side, or height x width, such as 32 or 32x48.", rich_help_panel=WHAT)
    ] = "32",
    channels: Annotated[int, typer.Option(help="Input channels.", rich_help_panel=WHAT, min=1)] = 64,
    out_channels: Annotated[
        int | None,
        typer.Option(help="Output channels. [dim]Default: as many.[/dim]", rich_help_panel=WHAT, min=1),
    ] = None,
    kernel: Annotated[int, typer.Option(help="Side of the kernel, odd.", rich_help_panel=WHAT, min=1)] = 3,
    padding: options.PaddingOption = "paper",
    table: Annotated[
        bool,
        typer.Option("--table", help="The published table, row by row, and why ours differs.", rich_help_panel=HOW),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            help="A folder with measuring sessions: formulas beside measured time and bytes.",
            rich_help_panel=HOW,
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="With --against: write the figure (SVG, PDF) and the table (LaTeX, CSV, Markdown) into a folder; what "
            "an earlier call wrote there, listed in its export.json, is replaced.",
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
    as_markdown: options.AsMarkdown = False,
) -> None:
    """Say what a layer of each method costs, by formula: multiply-accumulates and memory, in training and inference.

    Each formula is that of the layer as it is implemented here, and is checked by tests against the operations and the
    bytes that are counted. Beside it stands the published one.

    Example: onelip theory --method cayley,lot --batch 256 --image 32 --channels 64 --kernel 3
    """
    with clear_errors():
        if as_json and as_markdown:
            raise OnelipError("--json and --markdown exclude each other")
        if out is not None and against is None:
            raise OnelipError("--out belongs to --against: what is measured, and what formulas say of it")
        from onelip.bench.selection import find_methods

        named = [part for name in methods or ["all"] for part in options.listed(name)]
        if not named:
            raise OnelipError("--method names no method; onelip methods lists them")
        found = find_methods(named)
        if against is not None:
            _refuse_options(context)
            _compare(against, out, found, as_json=as_json)
            return
        from onelip.bench.theory import sheets

        made = sheets(
            found,
            batch=batch,
            image=image_size(image),
            channels=(channels, out_channels or channels),
            kernel_size=kernel,
            padding=options.padding_choice(padding),
        )
        if as_json:
            typer.echo(json.dumps([one.as_json() for one in made], indent=2))
        else:
            _show(made, table=table, markdown=as_markdown)


def _refuse_options(context: typer.Context) -> None:
    """Raises where something was given that says nothing beside `--against`."""
    given = [name for name in SINGLE if str(context.get_parameter_source(name)).rpartition(".")[2] != "DEFAULT"]
    if given:
        names = ", ".join(f"--{name.removeprefix('as_').replace('_', '-')}" for name in given)
        raise OnelipError(f"{names}: --against speaks of the networks that were measured, and not of a layer of yours")


def image_size(text: str) -> Image:
    """Height and width in a text such as 32 or 32x48.

    Raises:
        OnelipError: It is none.
    """
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise OnelipError(f"--image {text!r} is not allowed; give a side such as 32, or height and width such as 32x48")
    return int(parts[0]), int(parts[-1])


def _show(made: Sequence[Sheet], *, table: bool, markdown: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from onelip.bench.report.markdown import escaped, table_to_markdown
    from onelip.bench.report.tables import print_listing
    from onelip.bench.theory_sheet import LEGEND, comparison_tables, published_table, quantity_table

    if table:
        tables = [published_table(made)]
        reasons = [f"{one.method.title}: {one.departs}" for one in made if one.departs]
    elif len(made) == 1:
        tables, reasons = [quantity_table(made[0])], [made[0].departs]
    else:
        tables, reasons = list(comparison_tables(made)), []
    if markdown:
        typer.echo(f"{escaped(LEGEND)}\n")
        for one in tables:
            typer.echo(f"{escaped(one.caption)}\n\n{table_to_markdown(one)}\n")
        typer.echo("\n\n".join(map(escaped, filter(None, reasons))))
        return
    console = Console()
    for one in tables:
        print_listing(one, console)
    for reason in filter(None, reasons):
        console.print(Text(reason))
    console.print(Text(LEGEND, "dim"))


def _compare(folder: Path, out: Path | None, methods: Sequence[Method], *, as_json: bool) -> None:
    """Formulas beside the measuring sessions of a folder."""
    from dataclasses import asdict

    from rich.console import Console

    from onelip.bench.report import theory as beside
    from onelip.bench.report.export import write_parts
    from onelip.bench.report.tables import print_listing
    from onelip.bench.results import load_records
    from onelip.bench.theory_costs import held

    sessions = load_records(folder).cost
    if not sessions:
        raise OnelipError(f"{folder} holds no measuring session; onelip measure --out {folder} makes one")
    found = {session.id: held(session, methods) for session in sessions}
    if not any(one.entry.method.constrained for networks in found.values() for one in networks):
        raise OnelipError(f"{folder} holds no constrained network of these methods beside the unconstrained one")
    shown = [session for session in sessions if any(one.entry.method.constrained for one in found[session.id])]
    names = ["theory"] if len(shown) == 1 else [f"theory-{number}" for number, _ in enumerate(shown, start=1)]
    tables = {name: beside.table(session, found[session.id]) for name, session in zip(names, shown, strict=True)}
    if as_json:
        rows = [
            {"session": name, "method": one.entry.method.name, "padding": one.entry.padding}
            | {**asdict(one.said), "over_unconstrained": beside.multiples(one)}
            for name, networks in found.items()
            for one in networks
        ]
        typer.echo(json.dumps(rows, indent=2))
    elif out is None:
        for table in tables.values():
            print_listing(table, Console())
    if out is not None:
        drawings = [beside.theory_drawing(found[session.id], name) for name, session in zip(names, shown, strict=True)]
        written = write_parts(drawings, tables, out, maker="theory")
        typer.echo(f"Written: {', '.join(map(str, written))}", err=as_json)
