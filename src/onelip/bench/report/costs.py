"""Which measuring session a table takes its costs from, and how they come into the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import eq
from typing import Literal

from onelip.bench.origin import MethodInfo
from onelip.bench.records import CostEntry, CostRecord, TrainRecord
from onelip.bench.report.rows import Row
from onelip.bench.report.titles import labels
from onelip.bench.report.wording import failure
from onelip.bench.results import machine_place

Fitness = tuple[tuple[bool, ...], int, bool, str]


def network(record: TrainRecord | CostRecord) -> tuple[object, ...]:
    """What a run and a session must share, so that the costs are those of the trained networks."""
    if isinstance(record, CostRecord):
        return (record.model, record.width, record.kernel_size, record.image, record.classes)
    cell, data = record.cell, record.data
    return (cell.model, cell.width, cell.kernel_size, data.image, data.classes)


def best_session(rows: Sequence[Row], sessions: Iterable[CostRecord]) -> CostRecord | None:
    """The session of the same networks that fits best, see `_fitness`; None where there is none.

    Args:
        rows: Of one table; some have runs.
        sessions: All that are known.
    """
    run = next(run for row in rows for run in row.runs)
    fitting = [session for session in sessions if network(session) == network(run)]
    return max(fitting, key=lambda session: _fitness(session, rows, run), default=None)


def with_costs(row: Row, session: CostRecord | None) -> Row:
    """A row with its costs of a session, or with the reason why it has none."""
    if session is None:
        return row
    own = _entry(session, row.method, row.padding)
    absence = "not measured" if own is None else failure(own)
    if own is not None and own.method.revision != row.method.revision:
        absence = f"measured at revision {own.method.revision}, trained at {row.method.revision}"
    return replace(row, cost=None if absence else own, yardstick=_yardstick(session, row.padding), cost_absence=absence)


def per_padding(rows: Sequence[Row], session: CostRecord | None) -> list[Row]:
    """The rows with the unconstrained network once per padding in use: a ratio refers to that of its own padding."""
    used = sorted({row.padding for row in rows if row.method.constrained})
    unconstrained: dict[str, list[Row]] = {}
    for row in rows:
        if not row.method.constrained:
            unconstrained.setdefault(row.method.name, []).append(row)
    yardsticks = [row for alike in unconstrained.values() for row in _yardsticks(alike, used, session)]
    return [*(row for row in rows if row.method.constrained), *yardsticks]


def cost_rows(session: CostRecord) -> list[Row]:
    """One row per entry of a session that belongs to no comparison."""
    titles = labels(entry.method for entry in session.entries)
    times = Counter(entry.method.name for entry in session.entries)
    rows = (
        Row(
            method=entry.method,
            title=titles[entry.method.name],
            detail=f", {entry.padding}" if times[entry.method.name] > 1 else "",
            padding=entry.padding,
        )
        for entry in session.entries
    )
    return [with_costs(row, session) for row in rows]


def _fitness(session: CostRecord, rows: Sequence[Row], run: TrainRecord) -> Fitness:
    """The more of the place agrees the better; then more methods of the table, its batch size, the latest session."""
    here, there = (machine_place(record.machine, by_clock=True) for record in (session, run))
    entries = [(row.method.revision, _entry(session, row.method, row.padding)) for row in rows if row.runs]
    covered = sum(entry is not None and entry.method.revision == revision for revision, entry in entries)
    same_batch = session.batch_size == run.cell.recipe.batch_size
    return tuple(map(eq, here, there)), covered, same_batch, session.started


def _entry(session: CostRecord, method: MethodInfo, padding: str) -> CostEntry | None:
    found = (entry for entry in session.entries if (entry.method.name, entry.padding) == (method.name, padding))
    return next(found, None)


def _yardstick(session: CostRecord, padding: str) -> CostEntry | None:
    entries = (entry for entry in session.entries if entry.padding == padding)
    return next((entry for entry in entries if not entry.method.constrained and entry.status == "ok"), None)


def _yardsticks(
    alike: Sequence[Row], used: Sequence[Literal["circular", "zeros"]], session: CostRecord | None
) -> list[Row]:
    """The rows of one unconstrained method, and one more for each padding that was measured and not trained."""
    first = alike[0]
    more = [
        Row(method=first.method, title=first.title, padding=padding)
        for padding in used
        if padding != first.padding and session is not None and _entry(session, first.method, padding) is not None
    ]
    kept = [*alike, *more] if first.runs or first.padding in used or not more else more
    if len({row.padding for row in kept}) == 1:
        return kept
    return [replace(row, detail=f", {row.padding}{row.detail}") for row in kept]
