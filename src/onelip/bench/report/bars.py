"""Time and memory of all methods, as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from onelip.bench.report.metrics import METRICS, SIX, Metric, Value, shown
from onelip.bench.report.palette import COLOURS, Style
from onelip.bench.report.rows import Group, Row
from onelip.bench.report.svg import Drawing, drawing, drawn
from onelip.bench.report.wording import joined, shortened

_SCALES = {"ms": 1e3, "MB": 1e-6}
_LONGEST = 22
"""Characters of a label that leave room for bars."""
_WIDTH, _ROW = 5.1, 0.2
"""Inches: of the figure, as wide as the others, and of each bar."""


def cost_bars(group: Group, look: Mapping[str, Style], name: str) -> Drawing | None:
    """A panel per cost, a bar per method, the unconstrained network last; None where nothing was measured."""
    metrics = [METRICS[key] for key in SIX[2:]]
    rows = [row for row in group.rows if any(metric.of(row).value is not None for metric in metrics)]
    if not rows:
        return None
    with drawing():
        figure = Figure(figsize=(_WIDTH, 1.0 + 2 * _ROW * len(rows)), layout="constrained")
        for axes, metric in zip(figure.subplots(2, 2, sharey=True).flat, metrics, strict=True):
            _draw(axes, metric, rows, look)
        said = "; ".join(
            f"{row.label} {joined(f'{shown(metric, metric.of(row))} {metric.unit}' for metric in metrics)}"
            for row in rows
        )
        return drawn(
            figure,
            name,
            f"{joined(metric.title for metric in metrics)}: {said}.",
            title="Time and memory",
            caption="Shorter is better. Lines: quartiles of the time samples.",
        )


def _draw(axes: Axes, metric: Metric, rows: Sequence[Row], look: Mapping[str, Style]) -> None:
    scale = _SCALES[metric.unit]
    places = range(len(rows) - 1, -1, -1)
    for place, row in zip(places, rows, strict=True):
        value: Value = metric.of(row)
        if value.value is None:
            axes.text(0, place, " not measured", va="center", color=COLOURS["muted"][0])
            continue
        axes.barh(place, scale * value.value, color=look[row.label].colour, height=0.62, alpha=0.85)
        if value.low is not None and value.high is not None:
            axes.plot([scale * value.low, scale * value.high], [place] * 2, color=COLOURS["ink"][0], linewidth=1.1)
        axes.annotate(
            shown(metric, value),
            (scale * max(value.value, value.high or 0.0), place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_title(f"{metric.title}, {metric.unit}", fontsize=8.5)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.margins(x=0.22)
    axes.set_xlim(left=0)
    axes.set_yticks(list(places), [shortened(row.label, _LONGEST) for row in rows])
    axes.grid(visible=False, axis="y")
    axes.tick_params(left=False)
