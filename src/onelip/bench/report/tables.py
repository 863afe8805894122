"""The comparison on a terminal, and for scripts."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from onelip.bench.report import sheets
from onelip.bench.report.cells import Table, best_printed, spread_text
from onelip.bench.report.groups import Group, Row, comparisons
from onelip.bench.report.metrics import METRICS, SIX, Metric, judged, shown
from onelip.bench.report.scans import scans
from onelip.bench.report.wording import joined
from onelip.bench.results import Records

WIDE = 116
"""Columns of a terminal from which on a number and its small print stand side by side."""

_HEADINGS = dict(zip(SIX, ("CRA 36", "Accuracy", "Train step", "Infer step", "Train mem.", "Infer mem."), strict=True))

_LEGEND = (
    "Shares: 95 % Wilson interval for one seed, lowest to highest for several. Times: median \u00b1 half the "
    "interquartile range. \u00d7: multiples of the unconstrained network's, same padding and session. n: seeds and "
    "time samples."
)


def print_tables(records: Records, console: Console) -> None:
    """Print the six metrics of every comparison, what failed, the scans, and the files that were not used."""
    groups = comparisons(records)
    for group in groups:
        _print_group(group, console)
    if groups:
        console.print(Text(_LEGEND, "dim"))
    for scan in scans(records):
        _print_listing(scan.table, console)
        for warning in scan.warnings:
            console.print(Text(warning, "yellow"))
    aside = sheets.set_aside(records)
    if aside is not None:
        _print_listing(aside, console)


def rows_as_json(records: Records) -> list[dict[str, object]]:
    """One flat dictionary per row of the comparisons, numbers in base units (shares, seconds, bytes).

    For each metric `key`: `key`, and where they exist `key_low`, `key_high` (its spread) and `key_n` (seeds or
    samples); a missing number is None, and `missing` says why.
    """
    return [_flat(group, row) for group in comparisons(records) for row in group.rows]


def _print_group(group: Group, console: Console) -> None:
    """Foreign text is wrapped in `Text`, so that it is never read as markup."""
    wide = console.width >= WIDE
    table = _frame("Method", gap=2 if wide else 1)
    for key, heading in _HEADINGS.items():
        title = f"{heading} " if wide else heading.removesuffix(" step").removesuffix(" mem.") + "\n"
        table.add_column(Text(title + METRICS[key].unit), justify="right", overflow="fold")
    table.add_column(Text("n"), justify="right")
    best = {key: best_printed(METRICS[key], group.rows) for key in SIX}
    for row in group.rows:
        entries = [_entry(METRICS[key], row, best[key], wide) for key in SIX]
        table.add_row(
            Text(row.label), *entries, Text(_sizes(row), "dim"), style=None if row.method.constrained else "dim"
        )
    console.print(Text(group.title, "bold"), table, sep="\n")
    for line in _gaps(group):
        console.print(Text(line, "yellow"))
    console.print()


def _frame(head: str, gap: int = 2) -> RichTable:
    frame = RichTable(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, gap - 1, 0, 0))
    frame.add_column(Text(head), overflow="fold")
    return frame


def _entry(metric: Metric, row: Row, best: str | None, wide: bool) -> Text:
    value = metric.of(row)
    text = shown(metric, value)
    entry = Text(text, "bold green" if text == best and row.method.constrained else "")
    if value.value is None:
        return entry
    if not metric.ratio:
        return entry + Text((" " if wide else "\n") + spread_text(metric, value), "dim")
    if value.low is not None and value.high is not None:
        entry += Text(f" \u00b1{50 * (value.high - value.low) / value.value:.0f}%", "dim")
    ratio = judged(metric).of(row)
    multiple = f"\u00d7{shown(judged(metric), ratio)}" if ratio.value is not None else ""
    return entry + Text((" " if wide else "\n") + multiple, "dim")


def _sizes(row: Row) -> str:
    """Seeds and time samples."""
    counts = (METRICS["cra_36"].of(row).n, METRICS["train_step_seconds"].of(row).n)
    return "/".join(str(count) if count else "\u2014" for count in counts)


def _gaps(group: Group) -> Iterator[str]:
    """Why numbers are missing, one line per row and reason; then what failing runs said."""
    for row in group.rows:
        reasons: dict[str, list[str]] = {}
        for key in SIX:
            if missing := METRICS[key].of(row).missing:
                reasons.setdefault(missing, []).append(METRICS[key].title)
        for reason, titles in reasons.items():
            yield f"{row.label}: {reason}; no {joined(titles, 'or')}."
    failed = sheets.failures(group)
    for line in failed.lines if failed else ():
        what, _, message = line.cells
        if not message.missing:
            yield f"{line.head}, {what.text}: {message.text}"


def _print_listing(table: Table, console: Console) -> None:
    listing = _frame(table.head)
    for column in table.columns:
        listing.add_column(Text(column.title), justify="right" if column.numeric else "left", overflow="fold")
    for line in table.lines:
        cells = [
            Text(cell.note if cell.missing else cell.text, "bold green" if cell.best else "") for cell in line.cells
        ]
        listing.add_row(Text(line.head), *cells, style="dim" if line.muted else None)
    console.print("", Text(table.caption, "bold"), listing, sep="\n")


def _flat(group: Group, row: Row) -> dict[str, object]:
    cell = group.cell
    flat: dict[str, object] = {
        "data": group.data.name if group.data else None,
        "size": cell.size if cell else group.session.size if group.session else None,
        "budget": cell.budget if cell else None,
        "padding": cell.padding if cell else None,
        "method": row.method.name,
        "title": row.method.title,
        "constrained": row.method.constrained,
        "learning_rate": row.recipe.learning_rate if row.recipe else None,
        "weight_decay": row.recipe.weight_decay if row.recipe else None,
        "seeds": [run.cell.seed for run in row.runs],
        "statuses": [run.status for run in row.runs],
        "images": row.evaluations[0].images if row.evaluations else None,
    }
    return flat | _numbers(row)


def _numbers(row: Row) -> dict[str, object]:
    numbers: dict[str, object] = {}
    missing: dict[str, str] = {}
    for key, metric in METRICS.items():
        value = metric.of(row)
        numbers[key] = value.value
        if value.value is None:
            missing[key] = value.missing
        elif metric.spread != "exact":
            numbers |= {f"{key}_low": value.low, f"{key}_high": value.high, f"{key}_n": value.n}
    return numbers | {"missing": missing}
