"""The published numbers beside ours as tables, in Markdown and on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.text import Text

from onelip.bench.report.cells import Column, Line, Table, TableCell, text_cell
from onelip.bench.report.markdown import escaped, table_to_markdown
from onelip.bench.report.metrics import METRICS
from onelip.bench.report.reproduce import RULE
from onelip.bench.report.reproduction import Number, Reproduction
from onelip.bench.report.tables import print_listing
from onelip.bench.report.wording import kernels

WIDTH = 120
"""Columns of prose in Markdown."""


def reproduction_tables(found: Iterable[Reproduction]) -> tuple[Table, ...]:
    """One table per comparison: what of it has a published counterpart."""
    groups: dict[str, list[Reproduction]] = {}
    for cell in found:
        if cell.ours is not None and cell.published is not None:
            groups.setdefault(cell.ours.comparison, []).append(cell)
    return tuple(_table(f"{title}, beside the published numbers", cells) for title, cells in groups.items())


def missing_table(left: Sequence[Reproduction]) -> Table:
    """The published cells without a record."""
    columns = (Column(title="Size", numeric=False), Column(title="Data set", numeric=False), *_columns(left))
    lines = tuple(
        Line(
            head=cell.method,
            cells=(text_cell(cell.size + kernels(cell.kernel_size)), text_cell(cell.data), *_cells(cell, left)),
        )
        for cell in left
    )
    return Table(caption="Published, without a record of ours", head="Method", columns=columns, lines=lines)


def notes(found: Iterable[Reproduction], left: Sequence[Reproduction], published: int) -> Iterator[str]:
    """What has no counterpart on either side, and the rule of the verdicts.

    Args:
        found: What was laid beside.
        left: The published cells that no record stands beside.
        published: Number of all published cells.
    """
    alone = [cell for cell in found if cell.published is None and cell.ours is not None]
    named = dict.fromkeys(f"{cell.ours.title} ({cell.reason})" for cell in alone if cell.ours is not None)
    if named:
        yield f"Nothing is published to lay beside: {', '.join(named)}."
    yield f"{len(left)} of {published} published cells have no record of ours beside them."
    yield RULE


def reproductions_to_markdown(tables: Iterable[Table], sentences: Iterable[str]) -> str:
    """Tables with their captions, then the sentences."""
    parts = [part for table in tables for part in (_prose(table.caption), table_to_markdown(table))]
    return "\n\n".join([*parts, _prose(" ".join(sentences))])


def print_reproductions(tables: Iterable[Table], sentences: Iterable[str], console: Console) -> None:
    """The same on a terminal."""
    for table in tables:
        print_listing(table, console)
    console.print()
    for sentence in sentences:
        console.print(Text(sentence, "dim"))


def _prose(text: str) -> str:
    return textwrap.fill(escaped(text), WIDTH, break_long_words=False, break_on_hyphens=False)


def _table(caption: str, cells: Sequence[Reproduction]) -> Table:
    """What is the same in every line stands above, once."""
    several = len(cells) > 1
    verdicts = list(dict.fromkeys(map(_verdict, cells)))
    shared = [text for text in _further(cells[0]) if several and all(text in _further(cell) for cell in cells)]
    judged_once = several and len(verdicts) == 1
    columns = [*_columns(cells), Column(title="Also differs", numeric=False)]
    if not judged_once:
        columns.insert(-1, Column(title="Verdict", numeric=False))
    lines = []
    for cell in cells:
        assert cell.ours is not None
        further = text_cell("; ".join(text for text in _further(cell) if text not in shared))
        judged = () if judged_once else (text_cell(_verdict(cell)),)
        lines.append(Line(head=cell.ours.title, cells=(*_cells(cell, cells), *judged, further)))
    above = "; ".join([*verdicts * judged_once, *shared])
    whole = f"{caption}. All of them: {above}" if above else caption
    return Table(caption=whole, head="Method", columns=tuple(columns), lines=tuple(lines))


def _metrics(cells: Iterable[Reproduction]) -> list[str]:
    """The metrics that are published of any of the cells."""
    return list(dict.fromkeys(number.metric for cell in cells for number in cell.numbers))


def _columns(cells: Sequence[Reproduction]) -> tuple[Column, ...]:
    ours = any(cell.ours is not None for cell in cells)
    note = "ours / published, difference in points" if ours else ""
    shares = (METRICS[key] for key in _metrics(cells))
    numbers = (Column(title=metric.title, unit=metric.unit, note=note) for metric in shares)
    return (*numbers, Column(title="Published", numeric=False))


def _cells(cell: Reproduction, cells: Sequence[Reproduction]) -> tuple[TableCell, ...]:
    """The numbers that are published of any of the cells, and where this one's are from."""
    numbers = {number.metric: number for number in cell.numbers}
    found = [
        _number(numbers[key], alone=cell.ours is None) if key in numbers else text_cell("") for key in _metrics(cells)
    ]
    published = cell.published
    return (
        *found,
        text_cell(f"{published.hours} h" if published else "", _printed(published.source) if published else ""),
    )


def _printed(source: str) -> str:
    """The table's number, from "arXiv 2311.16833 full text Table 9"."""
    return source[source.index("Table") :]


def _number(number: Number, *, alone: bool) -> TableCell:
    theirs = f"{number.published:.1f}"
    if number.ours is None or number.difference is None:
        return text_cell(theirs if alone else f"\u2014 / {theirs}")
    difference = f"{number.difference:+.1f}".replace("-", "\u2212")
    return text_cell(f"{number.ours:.1f} / {theirs}", difference)


def _verdict(cell: Reproduction) -> str:
    return f"{cell.verdict}: {cell.reason}" if cell.reason else cell.verdict


def _further(cell: Reproduction) -> list[str]:
    return [difference.text for difference in cell.differences if not difference.decisive]
