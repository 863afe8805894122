"""The figures over shared axes: certified accuracy by radius, accuracy against cost, learning curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from onelip.bench.choice import RADIUS
from onelip.bench.records import CURVE_STEPS, Epoch, TrainRecord
from onelip.bench.report.formats import percent
from onelip.bench.report.metrics import METRICS, RADII, SIX, Metric, interval, shown
from onelip.bench.report.palette import COLOURS, YARDSTICK, Style, styles
from onelip.bench.report.placement import Box, place
from onelip.bench.report.rows import Group, Row
from onelip.bench.report.svg import Drawing, drawing, drawn
from onelip.bench.report.wording import joined

_SIZE = (5.1, 3.6)
"""Inches of 72 points: as wide as a phone, so that the text is never scaled down below its size."""


def group_styles(groups: Sequence[Group]) -> Mapping[str, Style]:
    """One style per method for the whole page."""
    rows = [row for group in groups for row in group.rows]
    drawn = styles(row.label for row in rows if row.method.constrained)
    return drawn | {row.label: YARDSTICK for row in rows if not row.method.constrained}


def curves(group: Group, look: Mapping[str, Style], name: str) -> Drawing | None:
    """Certified accuracy over the radius; None where no run succeeded."""
    rows = [row for row in group.rows if row.evaluations]
    if not rows:
        return None
    with drawing():
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        last = min(CURVE_STEPS, max(RADII[-1] + 15, *(_last_certified(row) for row in rows)))
        for row in reversed(rows):
            _draw_curve(axes, row, look[row.label], last)
        for radius in RADII:
            axes.axvline(radius, color=COLOURS["muted"][0], linewidth=0.6, dashes=(2, 2), zorder=0.5)
        axes.set(xlim=(0, last), ylim=(0, None), xlabel="radius, in multiples of 1/255", ylabel="certified, %")
        axes.set_xticks([0, *RADII, *range(400, last + 1, 100)])
        axes.grid(visible=False, axis="x")
        _legend(figure, rows, look)
        band = " The band spans the seeds." if any(len(row.evaluations) > 1 for row in rows) else ""
        return drawn(
            figure,
            name,
            f"Certified accuracy over the radius. {_said_shares(rows)}",
            title="Certified accuracy by radius",
            caption=f"Share of the test images that are correct with a certified radius above the given one.{band}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    """What certified accuracy is drawn against.

    Attributes:
        scale: Units of the axis in one base unit.
        label: Of the axis.
    """

    metric: Metric
    scale: float
    label: str

    def of(self, row: Row) -> float | None:
        """In units of the axis."""
        value = self.metric.of(row).value
        return None if value is None else self.scale * value

    def shown(self, row: Row) -> str:
        """With its unit."""
        return f"{shown(self.metric, self.metric.of(row))} {self.metric.unit}"


_COSTS = {
    "training cost": _Cost(metric=METRICS["train_step_seconds"], scale=1e3, label="training step, ms"),
    "training memory": _Cost(metric=METRICS["train_bytes"], scale=1e-6, label="training memory, MB"),
}


def accuracy_against_costs(group: Group, look: Mapping[str, Style], name: str) -> tuple[Drawing, ...]:
    """Certified accuracy against time and against memory of a training step, where any row has both."""
    found = [
        _against(group, look, f"{name}-{index}", title, cost) for index, (title, cost) in enumerate(_COSTS.items(), 1)
    ]
    return tuple(drawing for drawing in found if drawing is not None)


def _against(group: Group, look: Mapping[str, Style], name: str, title: str, cost: _Cost) -> Drawing | None:
    """Certified accuracy at the deciding radius against one cost, with the Pareto front; None where no row has both."""
    found = [(row, cost.of(row), interval(row, RADIUS)) for row in group.constrained]
    points = [(row, x, y) for row, x, y in found if x is not None and y is not None]
    if not points:
        return None
    yardsticks = [row for row in group.rows if not row.method.constrained and cost.of(row) is not None]
    with drawing():
        figure = Figure(figsize=_SIZE)
        axes = figure.add_axes((0.1, 0.13, 0.87, 0.84))
        for row, x, (low, share, high) in points:
            _draw_point(axes, x, (100 * low, 100 * share, 100 * high), look[row.label])
        _draw_front(axes, [(x, 100 * share) for _, x, (_, share, _) in points])
        _cost_axis(axes, [x for _, x, _ in points], [cost.of(row) or 0.0 for row in yardsticks])
        axes.set_ylim(*_roomy([100 * end for _, _, (low, _, high) in points for end in (low, high)], 0.5))
        axes.set(xlabel=cost.label, ylabel=f"CRA at {RADIUS}/255, %")
        _label_points(axes, points)
        left_out = [row.label for row, x, y in found if x is None or y is None]
        parts = (
            "Up and to the left is better; the line is the Pareto front. Bars: 95 % Wilson intervals over the test "
            "images.",
            f"Grey: {joined(f'{row.label} ({cost.shown(row)})' for row in yardsticks)}." if yardsticks else "",
            f"Not drawn, for want of a number: {', '.join(left_out)}." if left_out else "",
        )
        said = "; ".join(f"{row.label} {cost.shown(row)}, {percent(y[1])} %" for row, _, y in points)
        return drawn(
            figure,
            name,
            f"Certified accuracy at {RADIUS}/255 against {title}. {said}.",
            title=f"Certified accuracy against {title}",
            caption=" ".join(filter(None, parts)),
        )


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of which none is lower in the first and higher in the second number than another, from the left.

    >>> pareto_front([(3.0, 5.0), (1.0, 2.0), (2.0, 1.0), (1.0, 1.0)])
    [(1.0, 2.0), (3.0, 5.0)]
    """
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


def _draw_front(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Steps: between two points nothing certifies more than the left one."""
    front = pareto_front(points)
    axes.plot(
        *zip(*front, strict=True),
        color=COLOURS["muted"][0],
        linewidth=1.0,
        drawstyle="steps-post",
        alpha=0.7,
        zorder=1,
    )


def learning(group: Group, look: Mapping[str, Style], name: str) -> tuple[Drawing, ...]:
    """Training loss and training accuracy over the course of the runs; nothing where no run has two entries."""
    if all(len(run.history) < 2 for run in group.runs):
        return ()
    ends = " A cross marks where a run failed." if any(run.status != "ok" for run in group.runs) else ""
    loss = _Learned(
        title="Training loss",
        label="training loss",
        caption=f"Mean over the training images of each epoch, one line per seed.{ends}",
        quantity=lambda epoch: epoch.loss,
    )
    accuracy = _Learned(
        title="Training accuracy",
        label="training accuracy, %",
        caption="On the training images as the network saw them, while it learned: not the accuracy of the tables.",
        quantity=lambda epoch: 100 * epoch.accuracy,
    )
    return _learning(group, look, f"{name}-loss", loss), _learning(group, look, f"{name}-accuracy", accuracy)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learned:
    """What is drawn over the course of training."""

    title: str
    label: str
    caption: str
    quantity: Callable[[Epoch], float]


def _said_shares(rows: Sequence[Row]) -> str:
    metric = METRICS[SIX[0]]
    values = [(row.label, metric.of(row).value) for row in rows]
    return f"At {RADIUS}/255: " + ", ".join(f"{label} {percent(v)} %" for label, v in values if v is not None) + "."


def _curve(row: Row) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Certified accuracy in percent: one line per seed, one column per radius."""
    return np.array([[100 * c / evaluation.images for c in evaluation.certified] for evaluation in row.evaluations])


def _last_certified(row: Row) -> int:
    """The largest radius at which a constrained method still certifies half a percent of the images."""
    if not row.method.constrained:
        return 0
    return int(np.flatnonzero(_curve(row).mean(0) >= 0.5).max(initial=0))


def _draw_curve(axes: Axes, row: Row, style: Style, last: int) -> None:
    shares = _curve(row)[:, : last + 1]
    radii = np.arange(last + 1)
    axes.plot(radii, shares.mean(0), color=style.colour, dashes=style.dashes)
    if len(shares) > 1:
        axes.fill_between(radii, shares.min(0), shares.max(0), color=style.colour, alpha=0.18, linewidth=0)


def _draw_point(axes: Axes, x: float, y: tuple[float, float, float], style: Style) -> None:
    low, share, high = y
    axes.errorbar(
        [x],
        [share],
        yerr=[[share - low], [high - share]],
        color=style.colour,
        marker=style.marker,
        markersize=6,
        elinewidth=1.1,
        capsize=2.5,
        linestyle="none",
    )


def _cost_axis(axes: Axes, times: Sequence[float], yardsticks: Sequence[float]) -> None:
    """A logarithmic axis with round marks, which matplotlib's own logarithmic axis lacks within one decade."""
    ends = [*times, *yardsticks]
    low, high = min(ends) / 1.15, max(ends) * 1.3
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    for time in yardsticks:
        axes.axvline(time, color=YARDSTICK.colour, linewidth=1.4, dashes=YARDSTICK.dashes)
    marks = [m * 10.0**e for e in range(-6, 8) for m in (1, 1.5, 2, 3, 5, 7)]
    axes.set_xticks([mark for mark in marks if low <= mark <= high])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda mark, _: f"{mark:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _roomy(values: Sequence[float], least: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.06 * (high - low) + least
    return low - room, high + room


def _label_points(
    axes: Axes,
    points: Sequence[tuple[Row, float, tuple[float, float, float]]],
) -> None:
    def at(x: float, y: float) -> tuple[float, float]:
        across, up = axes.transData.transform((x, 100 * y))
        return float(across), float(up)

    labels = [axes.text(0, 0, row.label, fontsize=8.5) for row, _, _ in points]
    extents = [label.get_window_extent() for label in labels]
    marks = [at(x, share) for _, x, (_, share, _) in points]
    bars = [(at(x, low), at(x, high)) for _, x, (low, _, high) in points]
    obstacles = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in marks]
    obstacles += [Box(x - 2.5, low, x + 2.5, high) for (x, low), (_, high) in bars]
    frame = axes.get_window_extent()
    boxes = place(marks, [(e.width, e.height) for e in extents], obstacles, Box(frame.x0, frame.y0, frame.x1, frame.y1))
    for label, box in zip(labels, boxes, strict=True):
        label.set(transform=None, position=(box.left, box.bottom), va="bottom")


def _learning(group: Group, look: Mapping[str, Style], name: str, learned: _Learned) -> Drawing:
    with drawing():
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        rows = [row for row in group.rows if any(run.history for run in row.runs)]
        by_clock = any(run.budget_seconds is not None for run in group.runs)
        heights = []
        for row in reversed(rows):
            for run in (run for run in row.runs if run.history):
                _draw_run(axes, run, look[row.label], by_clock, learned.quantity)
                heights += [learned.quantity(epoch) for epoch in run.history] if run.status == "ok" else []
        # A run that diverges leaves the frame: its last values would flatten all others.
        axes.set(xlim=(0, None), ylim=_roomy(heights, 0.01 * max(heights)) if heights else None, ylabel=learned.label)
        axes.set_xlabel("seconds of training" if by_clock else "epoch")
        _legend(figure, rows, look)
        said = f"{learned.label} over the course of training, one line per run"
        return drawn(figure, name, said, title=learned.title, caption=learned.caption)


def _draw_run(axes: Axes, run: TrainRecord, style: Style, by_clock: bool, quantity: Callable[[Epoch], float]) -> None:
    across = [epoch.seconds if by_clock else epoch.epoch for epoch in run.history]
    up = [quantity(epoch) for epoch in run.history]
    # A line through a single point is invisible.
    marker = style.marker if len(up) == 1 else ""
    axes.plot(across, up, color=style.colour, dashes=style.dashes, linewidth=1.3, marker=marker)
    if run.status != "ok":
        axes.plot(across[-1:], up[-1:], color=style.colour, marker="x", markersize=8, markeredgewidth=2, zorder=4)


def _legend(figure: Figure, rows: Sequence[Row], look: Mapping[str, Style]) -> None:
    handles = [
        Line2D([], [], color=look[row.label].colour, dashes=look[row.label].dashes, label=row.label) for row in rows
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=2.4, columnspacing=1.2)
