"""The report as Markdown, for a repository or a terminal without a browser."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from onelip.bench.report.cells import Column, Table, TableCell
from onelip.bench.report.page import Page, Section
from onelip.bench.report.radar import DIRECTION

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def to_markdown(page: Page, radar_file: str | None) -> str:
    """Lay the page out as Markdown.

    Args:
        page: What to say.
        radar_file: Name of the first section's radar, beside the Markdown file.
    """
    parts = [f"# {page.title}"]
    for index, section in enumerate(page.sections):
        parts += _section(section, radar_file if index == 0 else None)
    if not page.sections:
        parts.append("No verdict: there is no finished run on test images.")
    parts += ["## Learning rates"] * bool(page.scans)
    for scan, _ in page.scans:
        parts += [escaped(scan.table.caption), table_to_markdown(scan.table), *map(escaped, scan.warnings)]
    parts += ["## How to read it", _definitions(page.how_to_read)]
    for title, table in (("Records not used", page.set_aside), ("Machine and versions", page.machines)):
        if table is not None:
            parts += [f"## {title}", table_to_markdown(table)]
    parts += ["## Rebuild", f"In the folder of the records: `{page.command}`"]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    r"""Foreign text without effect on the layout.

    >>> escaped("<b>|x_1|")
    '\\<b\\>\\|x\\_1\\|'
    """
    return _SPECIAL.sub(r"\\\1", text)


def table_to_markdown(table: Table) -> str:
    """A table without its caption."""
    rule = ["---", *("---:" if column.numeric else "---" for column in table.columns)]
    lines = [
        _row([escaped(table.head), *(_heading(column) for column in table.columns)]),
        _row(rule),
        *(_row([escaped(line.head), *map(_entry, line.cells)]) for line in table.lines),
    ]
    return "\n".join(lines)


def _section(section: Section, radar_file: str | None) -> Iterator[str]:
    yield f"## {escaped(section.title)}"
    yield f"**{escaped(section.verdict.headline)}** {escaped(' '.join(section.verdict.details))}".strip()
    yield table_to_markdown(section.main)
    if radar_file is not None:
        yield f"![Radar: scores of the six metrics; {DIRECTION}]({radar_file})"
        yield escaped(section.radar_note)
    if section.further is not None:
        yield table_to_markdown(section.further)
    for table in (section.promises, section.failures, section.costs, section.operations, section.runs):
        if table is not None and table.lines:
            yield f"### {escaped(table.caption)}"
            yield table_to_markdown(table)
            if table is section.promises and section.uncertified:
                yield escaped(section.uncertified)
    yield "### Protocol"
    yield _definitions(section.protocol)


def _definitions(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- **{escaped(term)}**: {escaped(text)}" for term, text in pairs)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _heading(column: Column) -> str:
    title = column.title + (f", {column.unit}" if column.unit else "")
    return escaped(title) + (f" ({escaped(column.note)})" if column.note else "")


def _entry(cell: TableCell) -> str:
    text = f"**{escaped(cell.text)}**" if cell.best else escaped(cell.text)
    return f"{text} ({escaped(cell.note)})" if cell.note else text
