"""The diagnosis of a network in words and as a figure: four quantities over the depth, with what is wrong marked."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from onelip.bench.report.formats import bound_digits
from onelip.bench.report.marks import plain_marks
from onelip.bench.report.palette import COLOURS
from onelip.bench.report.svg import Drawing, drawing, drawn
from onelip.errors import plain

if TYPE_CHECKING:
    from onelip.certify.diagnose import LayerDiagnosis

    Layers = Sequence[LayerDiagnosis]

_ALARM = COLOURS["series-2"][0]
_LINE = COLOURS["accent"][0]
_MUTED = COLOURS["muted"][0]

_NAMED = 4
"""As many broken modules does the figure name; a network of them would leave no room."""

_MANY = 30
"""Length ratios above this stand on decades."""

_TICKS = 16
"""As many modules are named along the axis, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """One quantity over the depth; a length ratio stands on a scale from 0 with a line at 1, others on decades."""

    title: str
    value: Callable[[LayerDiagnosis], float | None]
    ratio: bool


_PANELS = (
    _Panel(title="Variance of the activations over the batch", value=lambda layer: layer.variance, ratio=False),
    _Panel(title="Proved bound of the module", value=lambda layer: layer.bound, ratio=True),
    _Panel(title="Norm preservation, random directions", value=lambda layer: layer.preservation, ratio=True),
    _Panel(title="Gradient norm of the loss at the output", value=lambda layer: layer.gradient, ratio=False),
)


def finding(layers: Layers, most: int | None = None) -> str:
    """What the diagnosis comes to, in a sentence or a few.

    Args:
        layers: In the order in which they act.
        most: As many broken modules are named; None: all.
    """
    parts = list(_not_finite(layers))
    broken = [f"{_called(layer)} {_reason(layer)}" for layer in layers if layer.broken and layer.finite]
    if broken:
        more = [f"and {len(broken) - most} more"] if most is not None and len(broken) > most else []
        parts.append(f"Broken: {'; '.join(broken[:most] + more)}.")
    return " ".join(parts) or "No module raises the variance of the activations, and none stretches small steps."


def factor(value: float) -> str:
    """A ratio in three digits, or as many as tell it from 1; below 1 three nines say that it is close.

    >>> factor(1 + 1e-12), factor(0.123456), factor(1.00002), factor(0.99999), factor(float("nan"))
    ('1', '0.123', '1.00002', '0.999', 'nan')
    """
    if abs(value - 1) > 1e-6 and f"{value:.3g}" == "1":
        return f"{value:.7g}" if value > 1 else "0.999"
    return f"{value:.3g}"


def diagnosis_drawing(layers: Layers, title: str) -> Drawing:
    """The figure.

    Args:
        layers: At least one, in the order in which they act.
        title: What was diagnosed, on what.
    """
    said = finding(layers, _NAMED)
    with drawing():
        lines = textwrap.wrap(said, 108)
        figure = Figure(figsize=(7.6, 6.9 + 0.17 * len(lines)))
        axes: Sequence[Axes] = figure.subplots(len(_PANELS), sharex=True)
        _write_head(figure, [plain(title), *lines], _ALARM if any(_wrong(layer) for layer in layers) else _MUTED)
        for panel, place in zip(_PANELS, axes, strict=True):
            _draw_panel(place, panel, layers)
        _mark_stages(axes, layers)
        _mark_broken(axes, layers)
        _name_modules(axes[-1], layers)
        return drawn(figure, "diagnosis", f"{title}. {said}", title=title, caption=said)


def _write_head(figure: Figure, lines: Sequence[str], colour: str) -> None:
    """The title and the finding, and room for them above the panels."""
    height = figure.get_figheight()
    for index, line in enumerate(lines):
        bold = {"fontsize": 11, "fontweight": "bold"} if not index else {"color": colour}
        figure.text(0.012, 1 - (0.22 + 0.19 * index) / height, line, **bold)
    top = 1 - (0.58 + 0.19 * len(lines)) / height
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.5 / height, top=top, hspace=0.36)


def _wrong(layer: LayerDiagnosis) -> bool:
    return layer.broken or not (layer.finite and math.isfinite(layer.gradient))


def _not_finite(layers: Layers) -> Iterator[str]:
    lost = [layer for layer in layers if not layer.finite]
    blind = [layer for layer in layers if not math.isfinite(layer.gradient)]
    if lost:
        yield f"Values are not finite from {_called(lost[0])} on."
    elif blind:
        yield f"Gradients are not finite up to {_called(blind[-1])}."


def _called(layer: LayerDiagnosis) -> str:
    return plain(f"{layer.name} ({layer.kind})")


def _reason(layer: LayerDiagnosis) -> str:
    if layer.growth > 1:
        text = f"raises the variance {factor(layer.growth)} times"
    elif layer.preservation > 1:
        text = f"stretches small steps {factor(layer.preservation)} times"
    else:
        text = (
            f"has the variance {factor(layer.growth)} and small steps {factor(layer.preservation)} times what they were"
        )
    beyond = layer.bound is not None and layer.exceeds(layer.bound)
    return text + (f", beyond its proved bound {bound_digits(layer.bound or 0.0)}" if beyond else "")


def _draw_panel(axes: Axes, panel: _Panel, layers: Layers) -> None:
    values = [panel.value(layer) for layer in layers]
    heights = [math.nan if value is None or not _drawable(value, panel) else value for value in values]
    axes.plot(heights, color=_LINE, linewidth=1.3)
    own = [index for index, layer in enumerate(layers) if layer.parametrised]
    axes.plot(own, [heights[index] for index in own], color=_LINE, marker="o", markersize=3.2, linestyle="none")
    axes.set_title(panel.title, loc="left", fontsize=8.5, color=COLOURS["ink"][0], pad=5)
    axes.grid(visible=False, axis="x")
    known = [value for value in heights if not math.isnan(value)]
    _scale(axes, panel, known)
    wrong = [index for index, value in enumerate(values) if value is not None and not math.isfinite(value)]
    absent = [index for index, value in enumerate(heights) if math.isnan(value) and index not in wrong]
    for indices, colour in ((absent, _MUTED), (wrong, _ALARM)):
        _cross(axes, indices, colour)


def _drawable(value: float, panel: _Panel) -> bool:
    return math.isfinite(value) and (panel.ratio or value > 0)


def _scale(axes: Axes, panel: _Panel, known: Sequence[float]) -> None:
    if panel.ratio:
        highest = max(1.0, *known, 1.0)
        axes.axhline(1.0, color=_MUTED, linewidth=0.7, dashes=(2, 2), zorder=0.5)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))
        if highest > _MANY:
            axes.set_yscale("symlog", linthresh=1.0)
        # matplotlib writes powers in the markup of mathematics, which a drawing does not read.
        axes.yaxis.set_major_formatter(FuncFormatter(lambda mark, _: f"{mark:g}"))
        axes.set_ylim(0, 1.15 * highest)
    elif known:
        axes.set_yscale("log")
        axes.set_ylim(min(known) / 1.6, max(known) * 1.6)
        plain_marks(axes.yaxis)
    else:
        axes.set_yticks([])


def _cross(axes: Axes, indices: Sequence[int], colour: str) -> None:
    """Crosses along the lower edge, where there is no number to draw."""
    heights = [0.06] * len(indices)
    transform = axes.get_xaxis_transform()
    axes.plot(indices, heights, transform=transform, color=colour, marker="x", markersize=4, linestyle="none")


def _mark_stages(axes: Sequence[Axes], layers: Layers) -> None:
    """A line where the image size changes, and the size above."""
    axes[0].set_title(_PANELS[0].title, loc="left", fontsize=8.5, color=COLOURS["ink"][0], pad=17)
    begin = 0
    for size, stage in groupby(layers, key=lambda layer: "\u00d7".join(map(str, layer.shape[1:]))):
        length = len(list(stage))
        if begin:
            for place in axes:
                place.axvline(begin - 0.5, color=COLOURS["grid"][0], linewidth=0.9, zorder=0.4)
        if size and length >= len(layers) / 16:
            axes[0].annotate(
                size,
                (begin + (length - 1) / 2, 1.0),
                xycoords=axes[0].get_xaxis_transform(),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=_MUTED,
            )
        begin += length


def _mark_broken(axes: Sequence[Axes], layers: Layers) -> None:
    broken = [index for index, layer in enumerate(layers) if layer.broken]
    for index in broken:
        for place in axes:
            place.axvspan(index - 0.5, index + 0.5, color=_ALARM, alpha=0.18, linewidth=0, zorder=0.6)
    for index in broken[:_NAMED]:
        # Of several only the names: their kinds stand in the head. Below bounds there is room.
        text = _called(layers[index]) if len(broken) == 1 else plain(layers[index].name)
        axes[1].annotate(
            text,
            (index, 0.0),
            xycoords=axes[1].get_xaxis_transform(),
            xytext=(-6 if index > len(layers) / 2 else 6, 12),
            textcoords="offset points",
            ha="right" if index > len(layers) / 2 else "left",
            fontsize=8,
            color=_ALARM,
        )


def _name_modules(axes: Axes, layers: Layers) -> None:
    step = math.ceil(len(layers) / _TICKS)
    shown = range(0, len(layers), step)
    axes.set_xticks(list(shown), [plain(layers[index].name) for index in shown])
    axes.set_xlim(-0.8, len(layers) - 0.2)
    axes.set_xlabel("modules in the order in which they act; dot: has weights; cross: zero or none, red: not finite")
