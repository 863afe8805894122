"""`onelip methods`: what there is to compare."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from onelip.cli.errors import clear_errors
from onelip.cli.options import AsJson, AsMarkdown, OwnMethods

if TYPE_CHECKING:
    from onelip.method import Method

HEADINGS = ("Name", "Title", "Padding", "Guarantee", "How a layer is built")


def methods(own: OwnMethods = None, as_json: AsJson = False, as_markdown: AsMarkdown = False) -> None:
    """List the methods: names for --methods, and what each does."""
    with clear_errors():
        from onelip.bench.selection import find_methods

        found = find_methods(["all", *(own or ())])
        if as_json:
            typer.echo(json.dumps([_facts(method) for method in found], indent=2))
        elif as_markdown:
            typer.echo(_markdown(found))
        else:
            _print(found)


def _facts(method: Method) -> dict[str, object]:
    keys = ("name", "title", "stands_for", "summary", "cite", "padding", "revision", "slack")
    return {key: getattr(method, key) for key in keys} | {"traits": asdict(method.traits)}


def _print(found: tuple[Method, ...]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for method in found:
        table.add_row(*map(Text, _cells(method)), style=None if method.traits.constrained else "dim")
    Console().print(table)


def _markdown(found: tuple[Method, ...]) -> str:
    rows = [HEADINGS, ("---",) * len(HEADINGS), *((f"`{name}`", *rest) for name, *rest in map(_cells, found))]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _cells(method: Method) -> tuple[str, ...]:
    spelled_out = f"{method.stands_for}: " if method.stands_for else ""
    return method.name, method.title, method.padding, _guarantee(method), spelled_out + method.summary


def _guarantee(method: Method) -> str:
    if not method.traits.constrained:
        return "none"
    if not method.traits.orthogonal:
        return "1-Lipschitz"
    always = method.padding == "circular" or method.traits.orthogonal_zeros
    return "1-Lipschitz, keeps norms" + ("" if always else " if circular")
