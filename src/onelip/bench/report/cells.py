"""A table as data: what the terminal, Markdown and HTML then only render."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onelip.bench.report.metrics import METRICS, Metric, Value, shown
from onelip.bench.report.rows import Row
from onelip.bench.report.wording import counted

Parts = tuple[tuple[str, str], ...]
"""What a note holds besides words: names such as "low", and numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column's heading.

    Attributes:
        unit: May be empty.
        note: What the spread is and, where all rows agree, on how many seeds or samples a number rests.
        numeric: Whether the entries are numbers, which are aligned on the right.
    """

    title: str
    unit: str = ""
    note: str = ""
    numeric: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCell:
    """One entry.

    Attributes:
        text: The number, or a dash where it is missing.
        note: Ratio and spread; or why the number is missing.
        parts: The numbers of the note, or of the spread in the text, for programs.
        best: Whether it is the best of the constrained methods, as printed and where they differ.
        missing: Whether there is no number.
    """

    text: str
    note: str = ""
    parts: Parts = ()
    best: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a table.

    Attributes:
        muted: Whether it is the yardstick rather than a competitor.
    """

    head: str
    cells: tuple[TableCell, ...]
    muted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with a caption; the first column holds the head of each line."""

    caption: str
    head: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


def metric_table(rows: Sequence[Row], keys: Sequence[str], caption: str) -> Table:
    """One line per method, one column per metric."""
    columns = [_metric_column(METRICS[key], rows) for key in keys]
    return Table(
        caption=caption,
        head="Method",
        columns=tuple(column for column, _ in columns),
        lines=tuple(
            Line(
                head=row.label,
                cells=tuple(cells[index] for _, cells in columns),
                muted=not row.method.constrained,
            )
            for index, row in enumerate(rows)
        ),
    )


def text_cell(text: str, note: str = "") -> TableCell:
    """An entry without judgement; a dash where there is no text."""
    return TableCell(text=text or "\u2014", note=note, missing=not text)


def best_printed(metric: Metric, rows: Sequence[Row]) -> str | None:
    """The best number of the constrained methods as it is printed; None where all look the same."""
    values = [value for row in rows if _competes(metric, row) and (value := metric.of(row).value) is not None]
    if metric.higher_is_better is None or len({metric.format(value) for value in values}) < 2:
        return None
    return metric.format(max(values) if metric.higher_is_better else min(values))


def is_best(metric: Metric, row: Row, best: str | None) -> bool:
    """Whether a row has the number that `best_printed` found, and not by always answering the same class."""
    return _competes(metric, row) and shown(metric, metric.of(row)) == best


def _competes(metric: Metric, row: Row) -> bool:
    return row.method.constrained and (row.learned or not metric.certified)


def ratio_text(metric: Metric, row: Row) -> str:
    """The number in multiples of the unconstrained network's; empty where there is none."""
    relative = METRICS[metric.ratio] if metric.ratio else None
    value = relative.of(row) if relative else Value()
    return f"\u00d7{shown(relative, value)}" if relative and value.value is not None else ""


def spread_text(metric: Metric, value: Value) -> str:
    """Lower and upper end, printed like the number itself; empty where there is no spread."""
    return "\u2013".join(_ends(metric, value))


def _ends(metric: Metric, value: Value) -> tuple[str, ...]:
    if value.low is None or value.high is None:
        return ()
    low, high = metric.format(value.low), metric.format(value.high)
    return () if metric.spread == "range" and low == high else (low, high)


def _metric_column(metric: Metric, rows: Sequence[Row]) -> tuple[Column, list[TableCell]]:
    values = [metric.of(row) for row in rows]
    sizes = {value.n for value in values if value.value is not None}
    common = sizes.pop() if len(sizes) == 1 else None
    best = best_printed(metric, rows)
    cells = [_metric_cell(metric, row, value, best, common is None) for row, value in zip(rows, values, strict=True)]
    return Column(title=metric.title, unit=metric.unit, note=_basis(metric, values, common)), cells


def _basis(metric: Metric, values: Sequence[Value], common: int | None) -> str:
    """What the column's small print means: the kind of spread, and n where it is the same in all rows."""
    if metric.spread == "exact" or common == 0:
        return ""
    counts = {value.n for value in values if value.value is not None}
    noun = "sample" if metric.spread == "quartiles" else "seed"
    return ", ".join(part for part in (_spread_name(metric, counts), counted(common, noun) if common else "") if part)


def _spread_name(metric: Metric, counts: set[int]) -> str:
    if metric.spread == "quartiles":
        return "quartiles"
    if counts == {1}:
        return "95 % Wilson" if metric.spread == "share" else ""
    mixed = metric.spread == "share" and 1 in counts
    return "lowest\u2013highest" + (" (one seed: 95 % Wilson)" if mixed else "")


def _metric_cell(metric: Metric, row: Row, value: Value, best: str | None, name_n: bool) -> TableCell:
    text = shown(metric, value)
    if value.value is None:
        return TableCell(text=text, note=value.missing, missing=True)
    n = str(value.n) if name_n and metric.spread != "exact" else ""
    ratio, ends = ratio_text(metric, row), _ends(metric, value)
    note = " \u00b7 ".join(filter(None, (ratio, spread_text(metric, value), n and f"n = {n}")))
    parts = (("ratio", ratio), *zip(("low", "high"), ends, strict=False), ("n", n))
    return TableCell(
        text=text, note=note, parts=tuple(part for part in parts if part[1]), best=is_best(metric, row, best)
    )
