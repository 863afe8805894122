"""What the float32 program errs by, layer by layer and at the end of all, and what is charged for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from onelip.bench.arithmetics import ArithmeticsRecord, RoundingRecord
from onelip.bench.report.legend import legend
from onelip.bench.report.marks import plain_marks
from onelip.bench.report.palette import Style
from onelip.bench.report.promises import certified, each
from onelip.bench.report.rows import Group
from onelip.bench.report.svg import Drawing, drawing, drawn

_SIZE = (5.1, 3.4)
_WIDTHS = (5, 1)
NOTHING = 1e-30
"""What flushing tiny numbers may lose; modules that only move values are charged for that."""
_THICK, _THIN = 1.5, 0.7


def rounding_drawing(
    group: Group, arithmetics: Sequence[ArithmeticsRecord], look: Mapping[str, Style], name: str
) -> Drawing | None:
    """The errors of each layer by itself, and beside them those of the logits."""
    found = [(row, one) for row, one in certified(group, arithmetics) if _own(one)]
    if not found:
        return None
    with drawing():
        figure = Figure(figsize=_SIZE, layout="constrained")
        layers, logits = figure.subplots(1, 2, sharey=True, width_ratios=_WIDTHS)
        for place, (row, one) in reversed(list(enumerate(found))):
            style = look[row.label]
            _draw(layers, _own(one), lambda module: module.bound, style, measured=False)
            _draw(layers, _own(one), lambda module: module.measured, style, measured=True)
            _draw_end(logits, place, one, style)
        layers.set(yscale="log", xlabel="modules that round, in their order", ylabel="norm of the error")
        logits.set(xlabel="logits", xticks=[], xlim=(-0.8, len(found) - 0.2))
        plain_marks(layers.yaxis)
        legend(figure, {row.label: look[row.label] for row, _ in found}, [row.label for row, _ in found])
        said = "; ".join(
            f"{row.label} {_or_infinite(one.measured):.1g} measured at the logits, "
            f"{_or_infinite(one.bound):.1g} charged"
            for row, one in found
        )
        images = each(one.images for _, one in found)
        return drawn(
            figure,
            name,
            f"What each layer of the float32 program errs by, and what is charged for it. At the end of all: {said}.",
            title="How tight the bounds of float32 are",
            caption="Upper lines: what is charged for each module's own error, whatever the order inside a sum; thin "
            f"lower lines with marks: measured, the largest of {images} test images. What one layer errs by, all "
            "layers behind it pass on. Right: of the logits, what was measured (mark) and the median charge (bar).",
        )


def _or_infinite(norm: float | None) -> float:
    return math.inf if norm is None else norm


def _own(one: ArithmeticsRecord) -> list[RoundingRecord]:
    """The modules that round at all, and have a bound."""
    return [module for module in one.modules if module.bound is not None and module.bound > NOTHING]


def _draw(
    axes: Axes,
    modules: Sequence[RoundingRecord],
    quantity: Callable[[RoundingRecord], float | None],
    style: Style,
    *,
    measured: bool,
) -> None:
    heights = [quantity(module) or float("nan") for module in modules]
    axes.plot(
        range(1, len(heights) + 1),
        heights,
        color=style.colour,
        dashes=style.dashes,
        marker=style.marker if measured else "",
        markersize=3,
        linewidth=_THIN if measured else _THICK,
    )


def _draw_end(axes: Axes, place: int, one: ArithmeticsRecord, style: Style) -> None:
    ends = [number or float("nan") for number in (one.measured, one.bound)]
    axes.plot([place, place], ends, color=style.colour, dashes=style.dashes, linewidth=_THIN)
    for height, marker in zip(ends, (style.marker, "_"), strict=True):
        axes.plot([place], [height], color=style.colour, marker=marker, markersize=4, linestyle="none")
