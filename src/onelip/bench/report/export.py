"""Figures and tables as files for papers: each figure as SVG and PDF, each table as LaTeX, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from onelip.bench.report.cells import Column, Table, TableCell
from onelip.bench.report.markdown import escaped, table_to_markdown
from onelip.bench.report.page import Page, Section
from onelip.bench.report.svg import Drawing, standalone
from onelip.errors import RecordError
from onelip.files import remove, write_bytes, write_text

FIGURE_KINDS: Mapping[str, Callable[[Drawing], bytes]] = MappingProxyType(
    {".svg": lambda drawing: (standalone(drawing.svg) + "\n").encode(), ".pdf": Drawing.pdf}
)
"""How a figure is written, by the suffix of its file."""

_TABLE_KINDS = (".tex", ".csv", ".md")

LIST_NAME = "export.json"
"""Names the files of an export by what made them, so that the next one removes those of its own that it does not
write."""

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
    """Writes all figures and tables of a report into a folder, and removes what an earlier export left there.

    Returns:
        The files, in the order of the page.

    Raises:
        RecordError: One cannot be written or removed, or the list of the earlier export cannot be read.
    """
    return write_parts(tuple(_drawings(page)), dict(_tables(page)), folder, maker="report")


def write_parts(
    drawings: Sequence[Drawing], tables: Mapping[str, Table], folder: Path, *, maker: str
) -> tuple[Path, ...]:
    """Writes figures and tables into a folder, and removes what the same maker wrote there before and does not now.

    Args:
        drawings: Figures with the names of their files.
        tables: Tables by the names of their files.
        folder: Where `LIST_NAME` says what was written.
        maker: What writes.

    Returns:
        The files.

    Raises:
        RecordError: One cannot be written or removed, or the list cannot be read.
    """
    listed = _listed(folder)
    now = [f"{one.name}{suffix}" for one in drawings for suffix in FIGURE_KINDS]
    now += [f"{name}{suffix}" for name in tables for suffix in _TABLE_KINDS]
    _list(
        folder, listed | {maker: {*listed.get(maker, ()), *now}}
    )  # also if this is interrupted, the next export knows what it may remove
    written: list[Path] = []
    for drawing in drawings:
        written += write_drawing(drawing, folder)
    for name, table in tables.items():
        written += _write_table(name, table, folder)
    kept = {name for other, names in listed.items() if other != maker for name in names}
    for name in set(listed.get(maker, ())) - kept - set(now):
        remove(folder / name)
    _list(folder, listed | {maker: now})
    return tuple(written)


def write_drawing(drawing: Drawing, folder: Path) -> list[Path]:
    """Writes a figure as SVG and PDF.

    Returns:
        The files.

    Raises:
        RecordError: One cannot be written.
    """
    paths = []
    for suffix, content in FIGURE_KINDS.items():
        paths.append(folder / f"{drawing.name}{suffix}")
        write_bytes(paths[-1], content(drawing))
    return paths


def _write_table(name: str, table: Table, folder: Path) -> list[Path]:
    texts = to_latex(table), to_csv(table), f"{escaped(table.caption)}\n\n{table_to_markdown(table)}\n"
    paths = [folder / f"{name}{suffix}" for suffix in _TABLE_KINDS]
    for path, text in zip(paths, texts, strict=True):
        write_text(path, text)
    return paths


def _listed(folder: Path) -> dict[str, Iterable[str]]:
    """What was written there before, by what wrote it."""
    path = folder / LIST_NAME
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read ({error}); remove it, and what else is out of date") from error
    suffixes = (*FIGURE_KINDS, *_TABLE_KINDS)
    lists = list(found.values()) if isinstance(found, dict) else [None]
    known = all(
        isinstance(names, list)
        and all(isinstance(one, str) and Path(one).name == one and Path(one).suffix in suffixes for one in names)
        for names in lists
    )
    if not known:
        raise RecordError(f"{path} does not list figures and tables of its folder; export into another folder")
    return dict(found)


def _list(folder: Path, files: Mapping[str, Iterable[str]]) -> None:
    write_text(
        folder / LIST_NAME, json.dumps({maker: sorted(names) for maker, names in files.items()}, indent=2) + "\n"
    )


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
        ("promises", section.promises),
        ("radar", section.scores),
        ("costs", section.costs),
        ("operations", section.operations),
        ("runs", section.runs),
        ("failures", section.failures),
    )


def to_csv(table: Table) -> str:
    """A table with the parts of its notes, and notes that are words alone, in columns of their own.

    Numbers are written so that programs read them: without separators of thousands, multiples without their sign.
    Other text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    rows = [[table.head], *([line.head] for line in table.lines)]
    for index, column in enumerate(table.columns):
        made = _csv_columns(column, [line.cells[index] for line in table.lines])
        for row, texts in zip(rows, zip(*made, strict=True), strict=True):
            row.extend(texts)
    writer.writerows([_inert(text) for text in row] for row in rows)
    return buffer.getvalue()


def _csv_columns(column: Column, cells: Sequence[TableCell]) -> Iterator[list[str]]:
    """The heading and the entries of a column, of each part of its notes, and of what is left of these."""
    head = _heading(column)
    texts = ["" if cell.missing else cell.text for cell in cells]
    yield [head, *(map(_number, texts) if column.numeric else texts)]
    for name in dict.fromkeys(name for cell in cells for name, _ in cell.parts):
        yield [f"{head}: {name}", *(_number(dict(cell.parts).get(name, "")) for cell in cells)]
    notes = ["" if cell.parts else cell.note for cell in cells]
    if any(notes):
        yield [f"{head}: note", *notes]


def _number(text: str) -> str:
    """A number as a program reads it, without the spread behind it; anything else as it is.

    >>> _number("1,575,296"), _number("\u00d72.10"), _number("28.0 \u00b13%"), _number("a, b")
    ('1575296', '2.10', '28.0', 'a, b')
    """
    found = re.fullmatch(r"\u00d7?(\d[\d,]*(?:\.\d+)?)(?: \u00b1\d+%)?", text)
    return text if found is None else found[1].replace(",", "")


def _inert(text: str) -> str:
    r"""A cell that spreadsheets only show.

    >>> _inert('=HYPERLINK("x")'), _inert("-0.5"), _inert("a=b")
    ('\'=HYPERLINK("x")', '-0.5', 'a=b')
    """
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
    return text


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
    title = column.title + (f", {column.unit}" if column.unit else "")
    return f"{title} ({column.note})" if column.note else title


def _entry(cell: TableCell) -> str:
    text = rf"\textbf{{{tex(cell.text)}}}" if cell.best else tex(cell.text)
    return f"{text} ({tex(cell.note)})" if cell.note else text


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)
