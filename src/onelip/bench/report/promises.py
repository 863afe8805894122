"""What each promise costs: certified accuracy in real arithmetic, in float64, and of the float32 program."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from onelip.bench.arithmetics import ArithmeticsRecord, RoundingRecord
from onelip.bench.choice import RADIUS
from onelip.bench.records import Evaluation
from onelip.bench.report.cells import Column, Line, Table, TableCell
from onelip.bench.report.formats import percent, two_decimals
from onelip.bench.report.palette import COLOURS, Style
from onelip.bench.report.rows import Group, Row
from onelip.bench.report.svg import Drawing, drawing, drawn
from onelip.bench.report.wording import joined
from onelip.bench.statistics import ratio_quartiles, wilson

_SHADES = (0.35, 0.65, 1.0)
"""How solid the bars of real arithmetic, float64 and float32 are."""
_SIZE = (5.1, 3.4)
NOTHING = 1e-30
"""What flushing tiny numbers may lose; modules that only move values are charged for that."""


def promises(group: Group, arithmetics: Sequence[ArithmeticsRecord]) -> Table | None:
    """One line per method, of its first seed that was certified in all three; None where none was."""
    found = _found(group, arithmetics)
    if not found:
        return None
    rounds = joined(sorted({str(len(one.plain)) for _, one in found}))
    shares = "95 % Wilson interval"
    ratios = f"plain frozen network in the same round; quartiles, n = {rounds}"
    batches = joined(sorted({str(one.batch) for _, one in found}))
    columns = (
        *(Column(title=f"CRA {RADIUS}, {name}", unit="%", note=shares) for name in ("real", "float64", "executed")),
        Column(title="Executed over real"),
        Column(title=f"Inference of {batches}", unit="\u00d7", note=ratios),
        Column(title="Inference of 1", unit="\u00d7", note=ratios),
        Column(title="Charged for float32", note="norm of the logits' error, median"),
        Column(title="Measured", note="largest"),
    )
    return Table(
        caption=f"Certified accuracy at radius {RADIUS}/255 by what is promised: in real arithmetic, as the network is "
        "evaluated in float64, as the float32 program is executed on this machine",
        head="Method",
        columns=columns,
        lines=tuple(Line(head=row.label, cells=_cells(one)) for row, one in found),
    )


def _cells(one: ArithmeticsRecord) -> tuple[TableCell, ...]:
    real, _, executed = (evaluation.certified[RADIUS] for evaluation in one.evaluations)
    return (
        *(_share(evaluation.certified[RADIUS], evaluation.images) for evaluation in one.evaluations),
        TableCell(text=two_decimals(executed / real)) if real else TableCell(text="\u2014", missing=True),
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
    found = _found(group, arithmetics)
    if not found:
        return None
    with drawing():
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes: Axes = figure.subplots()
        for index, shade in enumerate(_SHADES):
            shares = [
                100 * one.evaluations[index].certified[RADIUS] / one.evaluations[index].images for _, one in found
            ]
            places = [place + 0.27 * (index - 1) for place in range(len(found))]
            colour = COLOURS["accent"][0]
            axes.bar(places, shares, 0.25, color=colour, alpha=shade, label=found[0][1].evaluations[index].arithmetic)
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
            "executed.",
        )


def rounding_drawing(
    group: Group, arithmetics: Sequence[ArithmeticsRecord], look: Mapping[str, Style], name: str
) -> Drawing | None:
    """What each layer of the float32 program errs by, and what is charged for it."""
    found = [(row, one) for row, one in _found(group, arithmetics) if _own(one)]
    if not found:
        return None
    with drawing():
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes: Axes = figure.subplots()
        for row, one in reversed(found):
            style = look[row.label]
            _draw(axes, _own(one), lambda module: module.bound, style.colour, style.dashes)
            _draw(axes, _own(one), lambda module: module.measured, style.colour, (1, 1))
        axes.set(yscale="log", xlabel="modules that round, in their order", ylabel="norm of the module's own error")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda mark, _: f"{mark:g}"))
        handles = [
            Line2D([], [], color=look[r.label].colour, dashes=look[r.label].dashes, label=r.label) for r, _ in found
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=2.4, columnspacing=1.2)
        said = "; ".join(
            f"{row.label} {_or_infinite(one.measured):.1g} measured at the logits, "
            f"{_or_infinite(one.bound):.1g} charged"
            for row, one in found
        )
        images = joined(sorted({str(one.images) for _, one in found}))
        return drawn(
            figure,
            name,
            f"What each layer of the float32 program errs by, and what is charged for it. At the end of all: {said}.",
            title="How tight the bounds of float32 are",
            caption="Upper lines: charged, whatever the order inside a sum; dotted lower lines: measured, the largest "
            f"of {images} test images. What one layer errs by, all layers behind it pass on.",
        )


def _or_infinite(norm: float | None) -> float:
    return math.inf if norm is None else norm


def _percent(evaluation: Evaluation) -> str:
    return percent(evaluation.certified[RADIUS] / evaluation.images)


def _found(group: Group, arithmetics: Sequence[ArithmeticsRecord]) -> list[tuple[Row, ArithmeticsRecord]]:
    pairs = ((row, _of(row, arithmetics)) for row in group.rows)
    return [(row, one) for row, one in pairs if one is not None]


def _of(row: Row, arithmetics: Sequence[ArithmeticsRecord]) -> ArithmeticsRecord | None:
    runs = [(run.cell, run.started) for run in row.runs]
    return next((one for run in runs for one in arithmetics if (one.cell, one.started) == run), None)


def _own(one: ArithmeticsRecord) -> list[RoundingRecord]:
    """The modules that round at all, and have a bound."""
    return [module for module in one.modules if module.bound is not None and module.bound > NOTHING]


def _draw(
    axes: Axes,
    modules: Sequence[RoundingRecord],
    quantity: Callable[[RoundingRecord], float | None],
    colour: str,
    dashes: tuple[float, ...],
) -> None:
    heights = [quantity(module) or float("nan") for module in modules]
    axes.plot(range(1, len(heights) + 1), heights, color=colour, dashes=dashes, linewidth=1.2)
