"""Which records may stand in one table: same data, size, budget, padding, recipe and, for clock budgets, machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from onelip.bench.records import Cell, CostEntry, CostRecord, DataInfo, Evaluation, MethodInfo, Recipe, TrainRecord
from onelip.bench.report.wording import PADDINGS, failure, joined, plain
from onelip.bench.results import Records, place


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method with one learning rate and weight decay: its runs over the seeds, and its costs.

    Attributes:
        label: The method's title; with the learning rate where one method has several rows.
        recipe: None where nothing was run.
        runs: Sorted by seed; failures included.
        absence: Why there is no run.
        cost: The method's entry of the session, with the padding that the runs used.
        yardstick: The unconstrained network's entry of the same session and padding.
        cost_absence: Why there is no cost.
    """

    method: MethodInfo
    label: str
    recipe: Recipe | None = None
    runs: tuple[TrainRecord, ...] = ()
    absence: str = "not run"
    cost: CostEntry | None = None
    yardstick: CostEntry | None = None
    cost_absence: str = "not measured"

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """The evaluations of the runs that succeeded."""
        return tuple(run.evaluation for run in self.runs if run.status == "ok" and run.evaluation is not None)

    @property
    def failures(self) -> str:
        """What became of the runs that failed, each kind once."""
        return joined(dict.fromkeys(failure(run) for run in self.runs if run.status != "ok"))

    @property
    def reason(self) -> str:
        """Why there is no result."""
        return self.failures or self.absence


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The rows of one table.

    Attributes:
        title: The facts that all rows share.
        cell: One cell of the group; only method, seed, learning rate and weight decay differ in the others. None where
            only costs were measured.
        rows: The constrained methods from the highest certified accuracy down, then the unconstrained network.
        session: The measuring session that the costs come from.
    """

    title: str
    cell: Cell | None
    data: DataInfo | None
    rows: tuple[Row, ...]
    session: CostRecord | None

    @property
    def runs(self) -> tuple[TrainRecord, ...]:
        """All runs, row by row."""
        return tuple(run for row in self.rows for run in row.runs)

    @property
    def constrained(self) -> tuple[Row, ...]:
        """The rows that are compared; the unconstrained network is only their yardstick."""
        return tuple(row for row in self.rows if row.method.constrained)


def comparisons(records: Records) -> tuple[Group, ...]:
    """One group per table: first the trained ones, then the sessions that no trained group can use."""
    tested = [run for run in records.train if run.cell.evaluate_on == "test"]
    by_key = grouped(tested)
    several_places = len({place(runs[0]) for runs in by_key.values()}) > 1
    trained = tuple(_trained_group(runs, records, several_places) for runs in by_key.values())
    used = {_network(group.runs[0]) for group in trained}
    return trained + tuple(_cost_group(session) for session in records.cost if _network(session) not in used)


def grouped(runs: Iterable[TrainRecord]) -> dict[tuple[str | float, ...], list[TrainRecord]]:
    """Runs that differ in nothing but method, seed, learning rate and weight decay, in a fixed order of the groups."""
    groups: dict[tuple[str | float, ...], list[TrainRecord]] = {}
    for run in runs:
        groups.setdefault(_key(run), []).append(run)
    return dict(sorted(groups.items()))


def labels(methods: Iterable[MethodInfo]) -> dict[str, str]:
    """A title per method name; the name is added where two methods share a title."""
    titles = {method.name: plain(method.title) for method in methods}
    counts = Counter(titles.values())
    return {name: title if counts[title] == 1 else f"{title} [{plain(name)}]" for name, title in titles.items()}


def known_methods(records: Records) -> dict[str, MethodInfo]:
    """Every method that a record of the folder speaks of."""
    found = [run.method for run in records.train]
    found += [entry.method for session in records.cost for entry in session.entries]
    return {method.name: method for method in sorted(found, key=lambda method: (method.name, method.revision))}


def _key(run: TrainRecord) -> tuple[str | float, ...]:
    cell = run.cell
    shared = cell.recipe.model_copy(update={"learning_rate": 1.0, "weight_decay": 0.0}).model_dump_json()
    seconds = float("inf") if run.budget_seconds is None else run.budget_seconds
    network = (run.data.title, run.data.digest, float(cell.width), cell.size)
    return (*network, seconds, cell.budget, cell.padding, shared, *place(run))


def _network(record: TrainRecord | CostRecord) -> tuple[object, ...]:
    if isinstance(record, CostRecord):
        return (record.model, record.width, record.image, record.classes)
    return (record.cell.model, record.cell.width, record.data.image, record.data.classes)


def _trained_group(runs: Sequence[TrainRecord], records: Records, name_the_place: bool) -> Group:
    first = runs[0]
    session = _session(first, records.cost)
    methods = known_methods(records)
    titles = labels(methods.values())
    settings: dict[tuple[str, float, float], list[TrainRecord]] = {}
    for run in sorted(runs, key=lambda run: (run.method.name, run.cell.seed)):
        recipe = run.cell.recipe
        settings.setdefault((run.method.name, recipe.learning_rate, recipe.weight_decay), []).append(run)
    times = Counter(name for name, _, _ in settings)
    rows = [
        _with_costs(_run_row(alike, titles[name], times[name] > 1), first.cell, session)
        for (name, _, _), alike in settings.items()
    ]
    started = {cell.method for cell in records.unfinished if _same_group(cell, first.cell)}
    rows += [
        _with_costs(_empty_row(method, titles[name], name in started), first.cell, session)
        for name, method in methods.items()
        if name not in times
    ]
    where = f", on {plain(first.machine.device_name)}" if name_the_place else ""
    return Group(title=_title(first) + where, cell=first.cell, data=first.data, rows=_ranked(rows), session=session)


def _run_row(runs: Sequence[TrainRecord], title: str, several: bool) -> Row:
    recipe = runs[0].cell.recipe
    setting = f", lr {recipe.learning_rate:g}, wd {recipe.weight_decay:g}" if several else ""
    return Row(method=runs[0].method, label=title + setting, recipe=recipe, runs=tuple(runs))


def _empty_row(method: MethodInfo, title: str, started: bool) -> Row:
    return Row(method=method, label=title, absence="started, not finished" if started else "not run")


def _same_group(one: Cell, other: Cell) -> bool:
    shared = ("data", "width", "budget", "padding", "evaluate_on")
    return all(getattr(one, name) == getattr(other, name) for name in shared)


def _title(run: TrainRecord) -> str:
    cell = run.cell
    return f"{plain(run.data.title)}, size {plain(cell.size)}, budget {plain(cell.budget)}, {PADDINGS[cell.padding]}"


def _session(run: TrainRecord, sessions: Iterable[CostRecord]) -> CostRecord | None:
    """The session of the same network, best on the machine and at the batch size of the training; then the latest."""
    fitting = [session for session in sessions if _network(session) == _network(run)]
    return max(fitting, key=lambda session: _nearness(session, run), default=None)


def _nearness(session: CostRecord, run: TrainRecord) -> tuple[bool, bool, bool, str]:
    here, there = session.machine, run.machine
    same_batch = session.batch_size == run.cell.recipe.batch_size
    return here.device == there.device, here.device_name == there.device_name, same_batch, session.started


def _with_costs(row: Row, cell: Cell, session: CostRecord | None) -> Row:
    if session is None:
        return row
    padding = row.method.padding if cell.padding == "paper" else cell.padding
    entries = [entry for entry in session.entries if entry.padding == padding]
    own = next((entry for entry in entries if entry.method.name == row.method.name), None)
    absence = "not measured" if own is None else failure(own)
    if own is not None and own.method.revision != row.method.revision:
        absence = f"measured at revision {own.method.revision}, trained at {row.method.revision}"
    usable = own if not absence else None
    return replace(row, cost=usable, yardstick=_yardstick(entries), cost_absence=absence)


def _yardstick(entries: Iterable[CostEntry]) -> CostEntry | None:
    return next((entry for entry in entries if not entry.method.constrained and entry.status == "ok"), None)


def _ranked(rows: Iterable[Row]) -> tuple[Row, ...]:
    def rank(row: Row) -> tuple[bool, float, str]:
        shares = [evaluation.certified[36] / evaluation.images for evaluation in row.evaluations]
        return not row.method.constrained, -sum(shares) / len(shares) if shares else 1.0, row.label

    return tuple(sorted(rows, key=rank))


def _cost_group(session: CostRecord) -> Group:
    titles = labels(entry.method for entry in session.entries)
    paddings = Counter(entry.method.name for entry in session.entries)
    rows = []
    for entry in session.entries:
        label = titles[entry.method.name] + (f", {entry.padding}" if paddings[entry.method.name] > 1 else "")
        alike = [other for other in session.entries if other.padding == entry.padding]
        absence = failure(entry)
        cost = None if absence else entry
        rows.append(Row(method=entry.method, label=label, cost=cost, yardstick=_yardstick(alike), cost_absence=absence))
    image = "x".join(map(str, session.image))
    title = f"Costs only, size {plain(session.size)}, images {image}"
    return Group(title=title, cell=None, data=None, rows=_ranked(rows), session=session)
