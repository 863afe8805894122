"""The comparison on a terminal, and for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from onelip.bench.records import CostRecord
from onelip.bench.report import sheets
from onelip.bench.report.cells import Table, TableCell, best_printed, is_best, ratio_text, spread_text
from onelip.bench.report.cost_sheet import costs
from onelip.bench.report.groups import comparisons
from onelip.bench.report.metrics import METRICS, SIX, Metric, shown
from onelip.bench.report.rows import Group, Row
from onelip.bench.report.scans import scans
from onelip.bench.report.wording import joined
from onelip.bench.results import Records, machine_place, place

WIDE = 116
"""Columns of a terminal from which on a number and its small print stand side by side."""

HEAD = 11
"""Columns of a terminal that a method's name may take before it is folded."""

_SHORT = ("Train step", "Infer step", "Train mem.", "Infer mem.")
_HEADINGS = dict(zip(SIX, (METRICS[SIX[0]].title, METRICS[SIX[1]].title, *_SHORT), strict=True))

_LEGEND = (
    "Shares: 95 % Wilson interval for one seed, lowest to highest for several. Times: median \u00b1 half the "
    "interquartile range. \u00d7: multiples of the unconstrained network's, same padding and session. Green: best of "
    "the numbers themselves, whatever their ratio. n: seeds and time samples."
)


_COST_LEGEND = (
    "Times: median \u00b1 half the interquartile range. u: multiples of the unconstrained network, same padding; "
    "p: of plain torch (nn.Conv2d, circular padding, contiguous, eager); both of the same session, round by round. "
    "Other libraries as shipped: some construct their weights anew in every inference step."
)


def print_tables(records: Records, console: Console) -> None:
    """Print the six metrics of every comparison, what failed, the scans, and the files that were not used.

    Of sessions that no comparison takes its costs from, print these.
    """
    groups = comparisons(records)
    trained = [group for group in groups if group.cell is not None]
    for group in trained:
        _print_group(group, console)
    if trained:
        console.print(Text(_LEGEND, "dim"))
    sessions = [group.session for group in groups if group.cell is None and group.session is not None]
    if sessions:
        print_costs(sessions, console)
    for scan in scans(records):
        print_listing(scan.table, console)
        for warning in scan.warnings:
            console.print(Text(warning, "yellow"))
    aside = sheets.set_aside(records, groups)
    if aside is not None:
        print_listing(aside, console)


def print_costs(sessions: Iterable[CostRecord], console: Console) -> None:
    """Print the costs of measuring sessions, and what failed in them."""
    for session in sessions:
        print_listing(costs(session), console)
        for line in sheets.session_failures(session):
            what, became, message = (cell.text for cell in line.cells)
            console.print(Text(f"{line.head}, {what}: {became}. {message}", "yellow"))
    console.print(Text(_COST_LEGEND, "dim"))


def rows_as_json(records: Records) -> list[dict[str, object]]:
    """One flat dictionary per row of the comparisons, numbers in base units (shares, seconds, bytes).

    `padding` is what the comparison asked for ("paper": each method's own), `layer_padding` what the row's layers use,
    `place` what the results depend on besides: the kind of device, and for clock budgets also the machine.

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
    frame.add_column(Text(head), overflow="fold", min_width=HEAD)
    return frame


def _entry(metric: Metric, row: Row, best: str | None, wide: bool) -> Text:
    value = metric.of(row)
    text = shown(metric, value)
    entry = Text(text, "bold green" if is_best(metric, row, best) else "")
    if value.value is None:
        return entry
    if not metric.ratio:
        return entry + Text((" " if wide else "\n") + spread_text(metric, value), "dim")
    if value.low is not None and value.high is not None:
        entry += Text(f" \u00b1{50 * (value.high - value.low) / value.value:.0f}%", "dim")
    return entry + Text((" " if wide else "\n") + ratio_text(metric, row), "dim")


def _sizes(row: Row) -> str:
    """Seeds and time samples."""
    counts = (METRICS[SIX[0]].of(row).n, METRICS["train_step_seconds"].of(row).n)
    return "/".join(str(count) if count else "\u2014" for count in counts)


def _gaps(group: Group) -> Iterator[str]:
    """Why numbers are missing, one line per row and reason; then what failing runs said."""
    for row in (row for row in group.rows if row.method.constrained or row.runs):
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


def print_listing(table: Table, console: Console) -> None:
    """Print a table with its caption."""
    listing = _frame(table.head)
    for column in table.columns:
        listing.add_column(
            Text(f"{column.title}\n{column.unit}".strip()),
            justify="right" if column.numeric else "left",
            overflow="fold",
        )
    for line in table.lines:
        cells = [_listed(cell) for cell in line.cells]
        listing.add_row(Text(line.head), *cells, style="dim" if line.muted else None)
    console.print("", Text(table.caption, "bold"), listing, sep="\n")


def _listed(cell: TableCell) -> Text:
    if cell.missing:
        return Text(cell.note)
    text = Text(cell.text, "bold green" if cell.best else "")
    return text + Text(f"\n{cell.note}", "dim") if cell.note else text


def _flat(group: Group, row: Row) -> dict[str, object]:
    cell, session = group.cell, group.session
    flat: dict[str, object] = {
        "data": group.data.name if group.data else None,
        "size": cell.size if cell else session.size if session else None,
        "kernel_size": cell.kernel_size if cell else session.kernel_size if session else None,
        "budget": cell.budget if cell else None,
        "padding": cell.padding if cell else None,
        "layer_padding": row.padding,
        "batch_size": cell.recipe.batch_size if cell else session.batch_size if session else None,
        "augment": cell.recipe.augment if cell else None,
        "place": list(_place(group)),
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


def _place(group: Group) -> tuple[str, ...]:
    """The kind of device; for clock budgets and mere costs also its name, the processor and the threads."""
    if group.runs:
        return place(group.runs[0])
    return machine_place(group.session.machine, by_clock=True) if group.session else ()


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
