"""Which records may stand in one table: same data, size, budget, padding, recipe and, for clock budgets, machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from onelip.bench.choice import RADIUS
from onelip.bench.origin import MethodInfo
from onelip.bench.records import Cell, CostRecord, TrainRecord
from onelip.bench.report.costs import best_session, cost_rows, network, per_padding, with_costs
from onelip.bench.report.rows import Group, Row, setting_of
from onelip.bench.report.titles import distinct, labels, run_title, session_title
from onelip.bench.results import Records, place


def comparisons(records: Records) -> tuple[Group, ...]:
    """One group per table: first the trained ones, then the sessions that no trained group can use."""
    alike = list(grouped(run for run in records.train if run.cell.evaluate_on == "test").values())
    titles = distinct(run_title(runs[0]) for runs in alike)
    trained = [_trained_group(runs, records, title) for runs, title in zip(alike, titles, strict=True)]
    networks = {network(runs[0]) for runs in alike}
    sessions = [session for session in records.cost if network(session) not in networks]
    titles = distinct(map(session_title, sessions))
    costs = [
        Group(title=title, rows=_ranked(cost_rows(session)), session=session)
        for session, title in zip(sessions, titles, strict=True)
    ]
    return (*trained, *costs)


def unused_sessions(records: Records, groups: Iterable[Group]) -> tuple[CostRecord, ...]:
    """The sessions that no table takes its costs from."""
    used = {id(group.session) for group in groups}
    return tuple(session for session in records.cost if id(session) not in used)


def grouped(runs: Iterable[TrainRecord]) -> dict[tuple[str | float, ...], list[TrainRecord]]:
    """Runs that differ in nothing but method, seed, learning rate and weight decay, in a fixed order of the groups."""
    groups: dict[tuple[str | float, ...], list[TrainRecord]] = {}
    for run in runs:
        groups.setdefault(_key(run), []).append(run)
    return dict(sorted(groups.items()))


def known_methods(records: Records) -> dict[str, MethodInfo]:
    """Every method that a record of the folder speaks of."""
    found = [run.method for run in records.train]
    found += [entry.method for session in records.cost for entry in session.entries]
    return {method.name: method for method in sorted(found, key=lambda method: (method.name, method.revision))}


def same_networks(one: Cell, other: Cell) -> bool:
    """Whether a learning rate that was chosen for the one was chosen for the other, if the method is the same."""
    shared = ("margin", "temperature", "batch_size")
    return all(
        getattr(one, name) == getattr(other, name) for name in ("data", "width", "kernel_size", "padding")
    ) and all(getattr(one.recipe, name) == getattr(other.recipe, name) for name in shared)


def _key(run: TrainRecord) -> tuple[str | float, ...]:
    cell = run.cell
    shared = cell.recipe.model_copy(update={"learning_rate": 1.0, "weight_decay": 0.0}).model_dump_json()
    seconds = float("inf") if run.budget_seconds is None else run.budget_seconds
    augmentation = run.data.augmentation if cell.recipe.augment else ""
    data = (run.data.title, run.data.digest, augmentation, float(cell.width), cell.size, float(cell.kernel_size))
    return (*data, seconds, cell.budget, cell.padding, shared, *place(run))


def _trained_group(runs: Sequence[TrainRecord], records: Records, title: str) -> Group:
    first = runs[0].cell
    methods = known_methods(records)
    titles = labels(methods.values())
    started = {cell.method for cell in records.unfinished if _same_group(cell, first)}
    present = {run.method.name for run in runs}
    rows = _run_rows(runs, titles)
    rows += [
        _empty_row(method, titles[name], first, name in started)
        for name, method in methods.items()
        if name not in present
    ]
    session = best_session(rows, records.cost)
    held_out = [run for run in records.train if run.cell.evaluate_on == "validation"]
    return Group(
        title=title,
        cell=first,
        data=runs[0].data,
        rows=_ranked(with_costs(row, session) for row in per_padding(rows, session)),
        trials=tuple(run for run in held_out if same_networks(run.cell, first)),
        session=session,
    )


def _run_rows(runs: Iterable[TrainRecord], titles: dict[str, str]) -> list[Row]:
    settings: dict[tuple[str, float, float], list[TrainRecord]] = {}
    for run in sorted(runs, key=lambda run: (run.method.name, run.cell.seed)):
        settings.setdefault((run.method.name, *setting_of(run)), []).append(run)
    times = Counter(name for name, _, _ in settings)
    return [
        Row(
            method=alike[0].method,
            title=titles[name],
            detail=f", lr {rate:.3g}, wd {decay:.2g}" if times[name] > 1 else "",
            padding=_padding(alike[0].method, alike[0].cell),
            recipe=alike[0].cell.recipe,
            runs=tuple(alike),
        )
        for (name, rate, decay), alike in settings.items()
    ]


def _empty_row(method: MethodInfo, title: str, cell: Cell, started: bool) -> Row:
    return Row(
        method=method,
        title=title,
        padding=_padding(method, cell),
        absence="started, not finished" if started else "not run",
    )


def _padding(method: MethodInfo, cell: Cell) -> Literal["circular", "zeros"]:
    return method.padding if cell.padding == "paper" else cell.padding


def _same_group(one: Cell, other: Cell) -> bool:
    shared = ("data", "width", "kernel_size", "budget", "padding", "evaluate_on")
    return all(getattr(one, name) == getattr(other, name) for name in shared)


def _ranked(rows: Iterable[Row]) -> tuple[Row, ...]:
    def rank(row: Row) -> tuple[bool, bool, float, str]:
        shares = [evaluation.certified[RADIUS] / evaluation.images for evaluation in row.evaluations]
        share = sum(shares) / len(shares) if shares else -1.0
        return not row.method.constrained, not row.learned, -share, row.label

    return tuple(sorted(rows, key=rank))
