"""What each promise costs: certified accuracy in real arithmetic, in float64, and of the float32 program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from onelip.bench.arithmetics import ARITHMETICS, ORDER, ArithmeticsRecord
from onelip.bench.choice import RADIUS
from onelip.bench.records import Evaluation
from onelip.bench.report.cells import Column, Line, Table, TableCell
from onelip.bench.report.formats import percent, two_decimals
from onelip.bench.report.palette import COLOURS
from onelip.bench.report.rows import Group, Row
from onelip.bench.report.svg import Drawing, drawing, drawn
from onelip.bench.report.wording import counted, device, joined
from onelip.bench.statistics import ratio_quartiles, wilson

READING = (
    "What each promise costs",
    "One run of each method, whose seed is named, certified three times; other tables have means over the seeds. Real: "
    "as if nothing rounded, the margin over \u221a2 times the bound of the whole network, as papers do. Float64: the "
    "network as float64 evaluates it, its rounding paid for; executed: its float32 program, likewise, on the machine "
    "that the table names. Both of these take the distances between the rows of the last layer times the bound of the "
    "layers before it, where it is linear. That can certify more than \u221a2 does: real may be less than they are, "
    "and what float32 costs is executed over float64. Of SOC's series the later terms are summed over more channels at "
    "a time than the program's other sums.",
)
"""For those who read the page."""
_FILLS: tuple[tuple[float, str], ...] = ((0.0, "////"), (0.65, ""), (1.0, ""))
"""How solid the bars of real arithmetic, float64 and float32 are, and their hatching; all have an outline."""
_SIZE = (5.1, 3.4)
_Found: TypeAlias = "list[tuple[Row, ArithmeticsRecord]]"


def promises(group: Group, arithmetics: Sequence[ArithmeticsRecord]) -> Table | None:
    """One line per method, of its first seed that was certified in all three; None where none was."""
    found = certified(group, arithmetics)
    if not found:
        return None
    batches = each(one.batch for _, one in found)
    columns = (
        Column(title="Seed"),
        *(Column(title=f"CRA {RADIUS}, {name}", unit="%", note="95 % Wilson interval") for name in ORDER),
        Column(title="Executed over float64"),
        Column(title=f"Inference of {batches}", unit="\u00d7", note=_ratios(len(one.plain) for _, one in found)),
        Column(title="Inference of 1", unit="\u00d7", note=_ratios(len(one.plain_single) for _, one in found)),
        Column(title="Charged for float32", note="norm of the logits' error, median"),
        Column(title="Measured", note="largest"),
    )
    return Table(
        caption=f"Certified accuracy at radius {RADIUS}/255 of one run of each method, by what is promised: in real "
        f"arithmetic, as the network is evaluated in float64, as the float32 program is executed {_where(found)}",
        head="Method",
        columns=columns,
        lines=tuple(Line(head=_head(row, one, found), cells=_cells(one)) for row, one in found),
    )


def uncertified(group: Group, arithmetics: Sequence[ArithmeticsRecord]) -> str:
    """Which methods the table lacks, and how they are had; empty where it lacks none, or there is no table."""
    missing = [row.label for row in group.constrained if row.evaluations and _of(row, arithmetics) is None]
    if not missing or not certified(group, arithmetics):
        return ""
    return f"Not certified in float32: {joined(missing)}. {ARITHMETICS.command} does it."


def each(numbers: Iterable[int]) -> str:
    """Different numbers, each once."""
    return joined(map(str, sorted(set(numbers))))


def _ratios(rounds: Iterable[int]) -> str:
    return f"plain frozen network in the same round; quartiles, n = {each(rounds)}"


def _place(one: ArithmeticsRecord) -> str:
    """Where a program was executed, and how it sums."""
    sums = (
        "all input channels at once" if one.block is None else f"up to {counted(one.block, 'input channel')} at a time"
    )
    return f"on {device(one.machine)}, {counted(one.machine.threads, 'thread')}, which sums over {sums}"


def _where(found: _Found) -> str:
    places = {_place(one) for _, one in found}
    return places.pop() if len(places) == 1 else "as each line says"


def _head(row: Row, one: ArithmeticsRecord, found: _Found) -> str:
    places = {_place(other) for _, other in found}
    return row.label + (f", {_place(one)}" if len(places) > 1 else "")


def _cells(one: ArithmeticsRecord) -> tuple[TableCell, ...]:
    _, float64, executed = (evaluation.certified[RADIUS] for evaluation in one.evaluations)
    return (
        TableCell(text=str(one.cell.seed)),
        *(_share(evaluation.certified[RADIUS], evaluation.images) for evaluation in one.evaluations),
        TableCell(text=two_decimals(executed / float64)) if float64 else TableCell(text="\u2014", missing=True),
        _ratio(one.program, one.plain),
        _ratio(one.program_single, one.plain_single),
        _error(one.bound),
        _error(one.measured),
    )


def _error(norm: float | None) -> TableCell:
    return TableCell(text="\u2014", missing=True) if norm is None else TableCell(text=f"{norm:.2g}")


def _share(count: int, images: int) -> TableCell:
    low, high = (percent(end) for end in wilson(count, images))
    return TableCell(text=percent(count / images), note=f"{low}\u2013{high}", parts=(("low", low), ("high", high)))


def _ratio(samples: Sequence[float], units: Sequence[float]) -> TableCell:
    low, middle, high = map(two_decimals, ratio_quartiles(samples, units))
    return TableCell(text=middle, note=f"{low}\u2013{high}", parts=(("low", low), ("high", high)))


def promises_drawing(group: Group, arithmetics: Sequence[ArithmeticsRecord], name: str) -> Drawing | None:
    """The same as bars, three per method."""
    found = certified(group, arithmetics)
    if not found:
        return None
    with drawing():
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes: Axes = figure.subplots()
        for index, (shade, hatch) in enumerate(_FILLS):
            shares = [
                100 * one.evaluations[index].certified[RADIUS] / one.evaluations[index].images for _, one in found
            ]
            places = [place + 0.27 * (index - 1) for place in range(len(found))]
            colour = COLOURS["accent"][0]
            fill = to_rgba(colour, shade)
            axes.bar(places, shares, 0.25, facecolor=fill, edgecolor=colour, hatch=hatch, label=ORDER[index])
        axes.set_xticks(range(len(found)), [row.title for row, _ in found])
        axes.set(ylabel=f"CRA {RADIUS}, %")
        axes.grid(visible=False, axis="x")
        figure.legend(loc="outside lower center", ncols=3)
        said = "; ".join(
            f"{row.label} {joined(f'{_percent(each)} % {each.arithmetic}' for each in one.evaluations)}"
            for row, one in found
        )
        return drawn(
            figure,
            name,
            f"Certified accuracy at radius {RADIUS}/255 in each arithmetic: {said}.",
            title="What each promise costs",
            caption="Certified in real arithmetic, as float64 evaluates the network, and as the float32 program is "
            f"executed {_where(found)}; one run of each method.",
        )


def _percent(evaluation: Evaluation) -> str:
    return percent(evaluation.certified[RADIUS] / evaluation.images)


def certified(group: Group, arithmetics: Sequence[ArithmeticsRecord]) -> _Found:
    """The rows that have such a record, with it."""
    pairs = ((row, _of(row, arithmetics)) for row in group.rows)
    return [(row, one) for row, one in pairs if one is not None]


def _of(row: Row, arithmetics: Sequence[ArithmeticsRecord]) -> ArithmeticsRecord | None:
    runs = [(run.cell, run.started) for run in row.runs]
    return next((one for run in runs for one in arithmetics if (one.cell, one.started) == run), None)
