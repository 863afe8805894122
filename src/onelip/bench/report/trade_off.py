"""Certified accuracy against what a training step costs, with the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from onelip.bench.choice import RADIUS
from onelip.bench.report.formats import percent
from onelip.bench.report.marks import plain_marks
from onelip.bench.report.metrics import METRICS, Metric, interval, shown
from onelip.bench.report.palette import COLOURS, YARDSTICK, Style
from onelip.bench.report.placement import Box, place
from onelip.bench.report.rows import Group, Row
from onelip.bench.report.svg import SIZE, Drawing, drawing, drawn, roomy
from onelip.bench.report.wording import joined


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
    found = [(row, cost.of(row), _certified(row)) for row in group.constrained]
    points = [(row, x, y) for row, x, y in found if x is not None and y is not None]
    if not points:
        return None
    yardsticks = [row for row in group.rows if not row.method.constrained and cost.of(row) is not None]
    with drawing():
        figure = Figure(figsize=SIZE)
        axes = figure.add_axes((0.1, 0.13, 0.87, 0.84))
        for row, x, (low, share, high) in points:
            _draw_point(axes, x, (100 * low, 100 * share, 100 * high), look[row.label])
        _draw_front(axes, [(x, 100 * share) for _, x, (_, share, _) in points])
        _cost_axis(axes, [x for _, x, _ in points], [cost.of(row) or 0.0 for row in yardsticks])
        axes.set_ylim(*roomy([100 * end for _, _, (low, _, high) in points for end in (low, high)], 0.5))
        axes.set(xlabel=cost.label, ylabel=f"CRA at {RADIUS}/255, %")
        _label_points(axes, points)
        left_out = [row.label for row, x, y in found if x is None or y is None]
        parts = (
            "Up and to the left is better; the line is the Pareto front. Bars: 95 % Wilson intervals over the test "
            "images, and as far as the seeds reach.",
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


def _certified(row: Row) -> tuple[float, float, float] | None:
    """Low, mean and high: Wilson's interval, and the range of the seeds where that is wider."""
    found = interval(row, RADIUS)
    if found is None:
        return None
    low, share, high = found
    seeds = [evaluation.certified[RADIUS] / evaluation.images for evaluation in row.evaluations]
    return min(low, *seeds), share, max(high, *seeds)


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
    """A logarithmic axis with room at its ends."""
    ends = [*times, *yardsticks]
    low, high = min(ends) / 1.15, max(ends) * 1.3
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    for time in yardsticks:
        axes.axvline(time, color=YARDSTICK.colour, linewidth=1.4, dashes=YARDSTICK.dashes)
    plain_marks(axes.xaxis)


def _label_points(
    axes: Axes,
    points: Sequence[tuple[Row, float, tuple[float, float, float]]],
) -> None:
    def at(x: float, y: float) -> tuple[float, float]:
        across, up = axes.transData.transform((x, 100 * y))
        return float(across), float(up)

    page = {"facecolor": COLOURS["page"][0], "edgecolor": "none", "pad": 0.5}  # the front passes below names
    labels = [axes.text(0, 0, row.label, fontsize=8.5, bbox=page, zorder=1.5) for row, _, _ in points]
    extents = [label.get_window_extent() for label in labels]
    marks = [at(x, share) for _, x, (_, share, _) in points]
    bars = [(at(x, low), at(x, high)) for _, x, (low, _, high) in points]
    obstacles = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in marks]
    obstacles += [Box(x - 2.5, low, x + 2.5, high) for (x, low), (_, high) in bars]
    frame = axes.get_window_extent()
    boxes = place(marks, [(e.width, e.height) for e in extents], obstacles, Box(frame.x0, frame.y0, frame.x1, frame.y1))
    for label, box in zip(labels, boxes, strict=True):
        label.set(transform=None, position=(box.left, box.bottom), va="bottom")
