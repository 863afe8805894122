"""The tables of the report: the six metrics, the further numbers, runs, failures, operations, machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from onelip.bench.origin import Machine
from onelip.bench.records import CostEntry, CostRecord, Costs, OtherCosts, TrainRecord
from onelip.bench.report.cells import Column, Line, Table, TableCell, metric_table, text_cell
from onelip.bench.report.formats import two_decimals, whole_percent
from onelip.bench.report.groups import unused_sessions
from onelip.bench.report.metrics import FURTHER, SIX
from onelip.bench.report.rows import Group, Row
from onelip.bench.report.wording import counted, device, failure, moment, shortened, software
from onelip.bench.results import Records, Rejected
from onelip.errors import plain


def six_metrics(group: Group) -> Table:
    """The main table."""
    return metric_table(group.rows, SIX, f"The six metrics. {group.title}")


def further_numbers(group: Group) -> Table:
    """Larger radii, latency, construction, the proved bound, and how each method was trained."""
    table = metric_table(group.rows, FURTHER, f"Further numbers. {group.title}")
    extra = (Column(title="Learning rate"), Column(title="Seeds", numeric=False))
    lines = tuple(
        Line(head=line.head, cells=(*line.cells, _learning_rate(row), _seeds(row)), muted=line.muted)
        for line, row in zip(table.lines, group.rows, strict=True)
    )
    return Table(caption=table.caption, head=table.head, columns=table.columns + extra, lines=lines)


def failures(group: Group) -> Table | None:
    """The runs and measurements that failed, each with its message; None where nothing failed."""
    lines = [
        Line(head=row.label, cells=(text_cell(f"training, seed {run.cell.seed}"), *_what_happened(run)))
        for row in group.rows
        for run in row.runs
        if run.status != "ok"
    ]
    if group.session is not None:
        lines += session_failures(group.session)
    columns = tuple(Column(title=title, numeric=False) for title in ("What", "Became of it", "Message"))
    return Table(caption="What failed", head="Method", columns=columns, lines=tuple(lines)) if lines else None


def session_failures(session: CostRecord) -> Iterator[Line]:
    """The measurements of a session that failed."""
    entries: tuple[CostEntry | OtherCosts, ...] = (*session.entries, *session.others)
    for entry in entries:
        if entry.status != "ok":
            yield Line(
                head=plain(_title(entry)), cells=(text_cell(f"measuring, {entry.padding}"), *_what_happened(entry))
            )


def _title(entry: CostEntry | OtherCosts) -> str:
    return entry.method.title if isinstance(entry, CostEntry) else entry.title


def runs(group: Group) -> Table:
    """Every training run: settings, time really taken, steps, how far the schedule came, last training loss."""
    settings = ("Seed", "Learning rate", "Weight decay")
    titles = (*settings, "Status", "Seconds", "Steps", "Planned", "Schedule", "Last loss", "Started")
    return Table(
        caption="Every run",
        head="Method",
        columns=tuple(
            Column(title=title, unit="%" * (title == "Schedule"), numeric=title not in {"Status", "Started"})
            for title in titles
        ),
        lines=tuple(
            Line(head=row.label, cells=_run_cells(run), muted=not row.method.constrained)
            for row in group.rows
            for run in row.runs
        ),
    )


def operations(group: Group) -> Table | None:
    """Multiply-accumulates by each method's formula, beside what was counted; None without a session."""
    measured = [(row, row.cost) for row in group.rows if row.cost is not None]
    if group.session is None or not measured:
        return None
    caption = f"Multiply-accumulates of one forward pass of {group.session.batch_size} images, in millions"
    titles = ("By formula", "Counted", "Ratio", "Construction, by formula")
    return Table(
        caption=caption,
        head="Method",
        columns=tuple(Column(title=title) for title in titles),
        lines=tuple(
            Line(head=row.label, cells=_operation_cells(row, entry), muted=not row.method.constrained)
            for row, entry in measured
        ),
    )


def set_aside(records: Records, groups: Iterable[Group]) -> Table | None:
    """Files that were found and not used, runs that were not finished, and sessions that no table shows."""
    lines = [_file_line(rejected, "stale") for rejected in records.stale]
    lines += [_file_line(rejected, "corrupt") for rejected in records.corrupt]
    lines += [
        Line(head=plain(cell.id), cells=(text_cell("unfinished"), text_cell("started, without a usable record")))
        for cell in records.unfinished
    ]
    lines += [_session_line(session) for session in unused_sessions(records, groups)]
    columns = (Column(title="Kind", numeric=False), Column(title="Reason", numeric=False))
    return Table(caption="Not used", head="Record", columns=columns, lines=tuple(lines)) if lines else None


def machines(records: Records) -> Table:
    """Where the records come from, one line per machine and set of versions."""
    counts: dict[Machine, list[int]] = {}
    found = [(record.machine, 0) for record in records.train]
    found += [(record.machine, 1) for record in records.cost]
    found += [(record.machine, 2) for record in records.arithmetics]
    for machine, kind in found:
        counts.setdefault(machine, [0, 0, 0])[kind] += 1
    titles = ("Processor", "Threads", "Memory", "System", "Python", "torch", "onelip", "Records")
    return Table(
        caption="Machine and versions",
        head="Device",
        columns=tuple(Column(title=title, numeric=False) for title in titles),
        lines=tuple(_machine_line(machine, made) for machine, made in counts.items()),
    )


def _what_happened(result: TrainRecord | Costs) -> tuple[TableCell, TableCell]:
    return text_cell(failure(result)), text_cell(shortened(result.message))


def _learning_rate(row: Row) -> TableCell:
    return text_cell(f"{row.recipe.learning_rate:.3g}" if row.recipe else "", "" if row.recipe else row.reason)


def _seeds(row: Row) -> TableCell:
    if not row.runs:
        return text_cell("", row.reason)
    succeeded = len(row.evaluations)
    text = f"{succeeded} of {len(row.runs)}" if row.failures else str(succeeded)
    return TableCell(text=text, note=row.failures)


def _run_cells(run: TrainRecord) -> tuple[TableCell, ...]:
    recipe = run.cell.recipe
    loss = f"{run.history[-1].loss:.3g}" if run.history else ""
    texts = (
        str(run.cell.seed),
        f"{recipe.learning_rate:.3g}",
        f"{recipe.weight_decay:.2g}",
        failure(run) or "ok",
        f"{run.seconds:.1f}",
        str(run.steps),
        str(run.planned_steps),
        whole_percent(run.schedule_progress),
        loss,
        moment(run.started),
    )
    return tuple(text_cell(text) for text in texts)


def _operation_cells(row: Row, entry: CostEntry) -> tuple[TableCell, ...]:
    unit = row.yardstick.forward_macs if row.yardstick else 0
    ratio = f"\u00d7{two_decimals(entry.forward_macs / unit)}" if unit and entry.forward_macs else ""
    counts = (entry.forward_macs, entry.counted_forward_macs)
    forward, counted_forward = (f"{number / 1e6:,.1f}" if number else "" for number in counts)
    # An unconstrained network constructs nothing: there, zero is the answer and not a gap.
    construction = f"{entry.construction_macs / 1e6:,.1f}" if entry.forward_macs else ""
    return tuple(text_cell(text) for text in (forward, counted_forward, ratio, construction))


def _file_line(rejected: Rejected, kind: str) -> Line:
    return Line(head=plain(rejected.path), cells=(text_cell(kind), text_cell(shortened(rejected.reason))))


def _session_line(session: CostRecord) -> Line:
    device, networks = plain(session.machine.device_name), counted(len(session.entries), "network")
    reason = f"{networks} on {device}, {moment(session.started)}: the tables take their costs from another session"
    return Line(head=plain(session.id), cells=(text_cell("not shown"), text_cell(reason)))


def _machine_line(machine: Machine, made: Sequence[int]) -> Line:
    nouns = ("run", "session", "float32 certification")
    parts = [counted(number, noun) for number, noun in zip(made, nouns, strict=True) if number]
    texts = (
        f"{machine.processor}, {counted(machine.cores, 'core')}",
        str(machine.threads),
        f"{machine.memory_bytes / 1e9:.1f} GB",
        machine.system,
        machine.python,
        machine.torch,
        software(machine),
        ", ".join(parts),
    )
    return Line(head=device(machine), cells=tuple(text_cell(plain(text)) for text in texts))
