"""Exponents of growth: measured, as the operations count, and in theory; as a table and a figure. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import NonNegativeInt, PositiveInt

from onelip.bench.origin import Machine, MethodInfo, Model, Positive
from onelip.bench.report.palette import COLOURS
from onelip.bench.report.svg import Drawing, drawing, drawn
from onelip.bench.report.wording import software
from onelip.errors import plain

Quantity = Literal["forward", "construction"]
Variable = Literal["batch", "side", "channels", "kernel"]

QUANTITIES: dict[Quantity, str] = {"forward": "Forward pass of a batch, weights given", "construction": "Construction"}
VARIABLES: dict[Variable, str] = {
    "batch": "batch",
    "side": "image side",
    "channels": "channels",
    "kernel": "kernel side",
}


_MEASURED, _COUNTED, _THEORY = (
    "measured between the two largest values (line: between any neighbours)",
    "as our formula counts",
    "in theory (the paper's table)",
)


class GrowthPoint(Model):
    """One layer's time at one value of one variable.

    Attributes:
        value: Of the variable; the others are those of the base.
        seconds: Samples.
        macs: Multiply-accumulates by the method's formula.
        theory: The exponent of the variable in the paper's table, where there is one.
    """

    method: MethodInfo
    quantity: Quantity
    variable: Variable
    value: PositiveInt
    seconds: tuple[Positive, ...]
    macs: NonNegativeInt
    theory: float | None


class GrowthFailure(Model):
    """A method of which nothing was measured, and why."""

    method: MethodInfo
    message: str


class GrowthRecord(Model):
    """A session of `benchmarks/growth.py`.

    Attributes:
        base: The layer from which one number at a time departs.
    """

    kind: Literal["growth"] = "growth"
    machine: Machine
    started: str
    base: dict[Variable, PositiveInt]
    points: tuple[GrowthPoint, ...]
    failures: tuple[GrowthFailure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exponent:
    """How one method's time grows with one variable.

    Attributes:
        measured: Slope of the median times over the values, both in logarithms, by least squares.
        lowest: Of the slopes between neighbouring values.
        highest: Of those.
        last: Between the two largest values.
        counted: Between the two largest values, of the formula's multiply-accumulates; None where there are none.
        theory: In the paper's table.
    """

    method: MethodInfo
    quantity: Quantity
    variable: Variable
    measured: float
    lowest: float
    highest: float
    last: float
    counted: float | None
    theory: float | None


def exponents(record: GrowthRecord) -> tuple[Exponent, ...]:
    """One for each method, quantity and variable, in the record's order."""
    keys = dict.fromkeys((point.method, point.quantity, point.variable) for point in record.points)
    return tuple(_exponent(record, *key) for key in keys)


def _exponent(record: GrowthRecord, method: MethodInfo, quantity: Quantity, variable: Variable) -> Exponent:
    key = method, quantity, variable
    points = [point for point in record.points if (point.method, point.quantity, point.variable) == key]
    points.sort(key=lambda point: point.value)
    values = np.log([point.value for point in points])
    times = np.log([median(point.seconds) for point in points])
    macs = [point.macs for point in points]
    between = np.diff(times) / np.diff(values)
    return Exponent(
        method=method,
        quantity=quantity,
        variable=variable,
        measured=_slope(values, times),
        lowest=float(between.min()),
        highest=float(between.max()),
        last=float(between[-1]),
        counted=_slope(values[-2:], np.log(macs[-2:])) if all(macs) else None,
        theory=points[0].theory,
    )


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.polyfit(x, y, 1)[0])


def markdown(record: GrowthRecord) -> str:
    """The table: measured exponent, and behind it that of the count and that of theory."""
    found = exponents(record)
    base = ", ".join(f"{VARIABLES[name]} {value}" for name, value in record.base.items())
    lines = [
        f"Exponents of growth of one layer around {base}; {record.machine.device_name}, "
        f"{record.machine.threads} threads, torch {record.machine.torch}, onelip {software(record.machine)}.",
        "",
        "Each cell: measured over all values, measured between the two largest; there counted by our formula, and the "
        "paper's theory.",
    ]
    for quantity, title in QUANTITIES.items():
        lines += [
            "",
            f"### {title}",
            "",
            "| | " + " | ".join(VARIABLES.values()) + " |",
            "|---|" + "---|" * len(VARIABLES),
        ]
        for method in dict.fromkeys(one.method for one in found if one.quantity == quantity):
            row = {one.variable: one for one in found if (one.method, one.quantity) == (method, quantity)}
            cells = (_cell(row[name]) if name in row else "-" for name in VARIABLES)
            lines.append(f"| {method.title} | " + " | ".join(cells) + " |")
    if record.failures:
        lines += ["", *(f"- {one.method.title}: {plain(one.message)}" for one in record.failures)]
    return "\n".join(lines) + "\n"


def _cell(one: Exponent) -> str:
    measured, last, counted, theory = map(_rounded, (one.measured, one.last, one.counted, one.theory))
    return f"**{measured}**, {last}; {counted}, {theory}"


def _rounded(exponent: float | None) -> str:
    return "-" if exponent is None else f"{round(exponent, 1) + 0.0:.1f}"  # no -0.0


def growth_drawing(record: GrowthRecord) -> Drawing:
    """A panel per quantity and variable: for each method the measured exponent, the counted one, and theory's.

    Measured between the two largest values, where what every step costs, however small, weighs least.
    """
    said = "; ".join(
        f"{one.method.title} {one.quantity} {one.variable} {_rounded(one.measured)}" for one in exponents(record)
    )
    with drawing():
        return drawn(
            _figure(record),
            "growth",
            f"Exponents of growth. {said}.",
            title="Exponents of growth",
            caption="How the time of one layer grows: measured, as our formulas count, and in the paper's table.",
        )


def _figure(record: GrowthRecord) -> Figure:
    found = exponents(record)
    methods = list(dict.fromkeys(one.method for one in found))
    result = Figure(figsize=(9.6, 5.4), layout="constrained")
    grid = result.subplots(len(QUANTITIES), len(VARIABLES), sharex=True, sharey=True, squeeze=False)
    for row, quantity in zip(grid, QUANTITIES, strict=True):
        for axes, variable in zip(row, VARIABLES, strict=True):
            for one in _of(found, quantity, variable):
                place = len(methods) - 1 - methods.index(one.method)
                _draw(axes, one, place)
            axes.set(xlim=(-0.6, 4.6), ylim=(-0.6, len(methods) - 0.4), xticks=range(5))
            axes.set_yticks(range(len(methods)), [method.title for method in methods[::-1]])
            axes.grid(visible=True, axis="x")
            axes.tick_params(left=False)
        row[0].set_ylabel(QUANTITIES[quantity].split(" of")[0])
    for above, below, title in zip(grid[0], grid[-1], VARIABLES.values(), strict=True):
        above.set_title(title)
        below.set_xlabel("exponent")
    handles, labels = grid[0][0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    result.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=3)
    return result


def _of(found: tuple[Exponent, ...], quantity: Quantity, variable: Variable) -> Iterator[Exponent]:
    return (one for one in found if (one.quantity, one.variable) == (quantity, variable))


def _draw(axes: Axes, one: Exponent, place: int) -> None:
    ink, accent, muted = (COLOURS[name][0] for name in ("ink", "accent", "muted"))
    axes.plot([one.lowest, one.highest], [place, place], color=accent, linewidth=1.5, alpha=0.4, zorder=2)
    axes.plot(one.last, place, "o", color=accent, zorder=4, label=_MEASURED)
    if one.counted is not None:
        axes.plot(one.counted, place, "|", color=ink, markersize=11, markeredgewidth=1.6, zorder=3, label=_COUNTED)
    if one.theory is not None:
        axes.plot(one.theory, place, "D", color="none", markeredgecolor=muted, markersize=8, zorder=1, label=_THEORY)
