"""The report in parts, for papers: each figure as SVG and PDF, each table as LaTeX, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from onelip.bench.report.cells import Column, Table, TableCell
from onelip.bench.report.markdown import table_to_markdown
from onelip.bench.report.page import Page, Section
from onelip.bench.report.svg import Drawing, standalone
from onelip.files import write_bytes, write_text

_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",
    "]": "{]}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\u00d7": r"$\times$",
    "\u00b1": r"$\pm$",
    "\u2013": "--",
    "\u2014": "---",
    "\u2265": r"$\geq$",
    "\u2264": r"$\leq$",
    "\u00b7": r"$\cdot$",
    "\u221a": r"$\surd$",
    "\u2212": r"$-$",
    "\u2026": r"\dots{}",
}


def export(page: Page, folder: Path) -> tuple[Path, ...]:
    """Writes all figures and tables of a report into a folder.

    Returns:
        The files, in the order of the page.

    Raises:
        RecordError: One cannot be written.
    """
    written: list[Path] = []
    for drawing in _drawings(page):
        written += _write_drawing(drawing, folder)
    for name, table in _tables(page):
        written += _write_table(name, table, folder)
    return tuple(written)


def _drawings(page: Page) -> Iterator[Drawing]:
    for section in page.sections:
        if section.sheet is not None:
            yield section.sheet
        yield from section.drawings
    yield from (drawing for _, drawing in page.scans if drawing is not None)


def _tables(page: Page) -> Iterator[tuple[str, Table]]:
    for section in page.sections:
        for name, table in _of_section(section):
            if table is not None and table.lines:
                yield f"{section.anchor}-{name}", table
    for index, (scan, _) in enumerate(page.scans, start=1):
        yield f"scan-{index}", scan.table
    yield "machines", page.machines


def _of_section(section: Section) -> tuple[tuple[str, Table | None], ...]:
    return (
        ("metrics", section.main),
        ("further", section.further),
        ("radar", section.scores),
        ("costs", section.costs),
        ("operations", section.operations),
        ("runs", section.runs),
        ("failures", section.failures),
    )


def _write_drawing(drawing: Drawing, folder: Path) -> list[Path]:
    svg, pdf = folder / f"{drawing.name}.svg", folder / f"{drawing.name}.pdf"
    write_text(svg, standalone(drawing.svg) + "\n")
    write_bytes(pdf, drawing.pdf())
    return [svg, pdf]


def _write_table(name: str, table: Table, folder: Path) -> list[Path]:
    texts = {".tex": to_latex(table), ".csv": to_csv(table), ".md": table_to_markdown(table) + "\n"}
    for suffix, text in texts.items():
        write_text(folder / f"{name}{suffix}", text)
    return [folder / f"{name}{suffix}" for suffix in texts]


def to_csv(table: Table) -> str:
    """A table with its notes in columns of their own, where there are any."""
    noted = [any(line.cells[index].note for line in table.lines) for index in range(len(table.columns))]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    head = [table.head]
    for column, has_note in zip(table.columns, noted, strict=True):
        head += [_heading(column), *[f"{_heading(column)}: note"] * has_note]
    writer.writerow(head)
    for line in table.lines:
        row = [line.head]
        for cell, has_note in zip(line.cells, noted, strict=True):
            row += ["" if cell.missing else cell.text, *[cell.note] * has_note]
        writer.writerow(row)
    return buffer.getvalue()


def to_latex(table: Table) -> str:
    """A tabular of the package booktabs, notes in parentheses, the best in bold."""
    kinds = "l" + "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [
        f"% {_plain(table.caption)}",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        _row([table.head, *map(_heading, table.columns)]),
        r"\midrule",
        *(_row([line.head], [_entry(cell) for cell in line.cells]) for line in table.lines),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def tex(text: str) -> str:
    r"""Foreign text without effect on the layout; signs that LaTeX's fonts lack become question marks.

    >>> tex("50 % of x_1 \u00d7 2")
    '50 \\% of x\\_1 $\\times$ 2'
    """
    return "".join(_TEX.get(sign, sign if sign.isascii() else "?") for sign in text)


def _row(texts: list[str], entries: list[str] | None = None) -> str:
    return " & ".join([*map(tex, texts), *(entries or [])]) + r" \\"


def _heading(column: Column) -> str:
    return column.title + (f", {column.unit}" if column.unit else "")


def _entry(cell: TableCell) -> str:
    text = rf"\textbf{{{tex(cell.text)}}}" if cell.best else tex(cell.text)
    return f"{text} ({tex(cell.note)})" if cell.note else text


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)
