"""Networks layer by layer: how much of a batch's variance and of the loss's gradient is left where."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from onelip.bench.depth import DEPTHS, DepthRecord, ModuleRecord
from onelip.bench.report.legend import legend
from onelip.bench.report.marks import plain_marks
from onelip.bench.report.palette import Style
from onelip.bench.report.rows import Group, Row
from onelip.bench.report.svg import Drawing, drawing, drawn
from onelip.bench.report.wording import joined

_SIZE = (5.1, 5.0)
_PANELS: tuple[tuple[str, Callable[[ModuleRecord], float | None]], ...] = (
    ("variance of activations", lambda module: module.variance),
    ("norm of the loss's gradient", lambda module: module.gradient),
)


def depth_drawing(group: Group, depths: Sequence[DepthRecord], look: Mapping[str, Style], name: str) -> Drawing | None:
    """Both over the modules with weights, one line per method; None where no network of the group was diagnosed."""
    found = [(row, depth) for row in group.rows if (depth := _of(row, depths)) is not None and _own(depth)]
    if not found:
        return None
    with drawing():
        figure = Figure(figsize=_SIZE, layout="constrained")
        panels = figure.subplots(len(_PANELS), 1, sharex=True)
        for axes, (title, quantity) in zip(panels, _PANELS, strict=True):
            for row, depth in reversed(found):
                _draw(axes, depth, look[row.label], quantity)
            axes.set(ylabel=title, yscale="log")
            plain_marks(axes.yaxis)
        panels[-1].set_xlabel("layer with weights")
        labels = [row.label for row, _ in found]
        legend(figure, {label: look[label] for label in labels}, marked=labels)
        broken = [row.label for row, depth in found if any(one.broken for one in depth.modules)]
        fault = f" Not 1-Lipschitz as measured: {joined(broken)}." if broken else ""
        missing = [row.label for row in group.rows if row.evaluations and _of(row, depths) is None]
        rest = f" Not diagnosed: {joined(missing)}. {DEPTHS.command} does it." if missing else ""
        images = joined(sorted({str(depth.images) for _, depth in found}))
        return drawn(
            figure,
            name,
            f"Variance of the activations and norm of the gradient after each layer: {_said(found)}.",
            title="Layer by layer",
            caption=f"On {images} test images, after each layer with weights, of the first seed that was diagnosed. A "
            f"1-Lipschitz layer cannot raise the variance; an orthogonal one keeps the gradient's norm.{fault}{rest}",
        )


def undiagnosed(groups: Sequence[Group], depths: Sequence[DepthRecord]) -> str:
    """How the figure is had where runs succeeded and none was diagnosed; empty otherwise."""
    rows = [row for group in groups for row in group.rows if row.evaluations]
    if not rows or any(_of(row, depths) is not None for row in rows):
        return ""
    return "No run here was diagnosed: onelip diagnose RUN adds a figure of what each layer does to a batch."


def _of(row: Row, depths: Sequence[DepthRecord]) -> DepthRecord | None:
    runs = [(run.cell, run.started) for run in row.runs]
    return next((depth for run in runs for depth in depths if (depth.cell, depth.started) == run), None)


def _own(depth: DepthRecord) -> list[ModuleRecord]:
    """The modules with weights."""
    return [module for module in depth.modules if module.parametrised]


def _draw(axes: Axes, depth: DepthRecord, style: Style, quantity: Callable[[ModuleRecord], float | None]) -> None:
    values = [quantity(module) for module in _own(depth)]
    heights = [value if value else math.nan for value in values]
    axes.plot(
        range(1, len(heights) + 1),
        heights,
        color=style.colour,
        dashes=style.dashes,
        marker=style.marker,
        markersize=3,
        linewidth=1.2,
    )


def _said(found: Sequence[tuple[Row, DepthRecord]]) -> str:
    parts = []
    for row, depth in found:
        first, last = (
            "not finite" if module.gradient is None else f"{module.gradient:.2g}"
            for module in (_own(depth)[0], _own(depth)[-1])
        )
        parts.append(f"{row.label} gradient {first} at the first and {last} at the last layer")
    return "; ".join(parts)
