"""The radar, as SVG: one small figure per method, or all of them on one sheet; the first is the key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from onelip.bench.report.palette import COLOURS, Style
from onelip.bench.report.radar import DIRECTION, Radar
from onelip.bench.report.svg import Drawing, drawing, drawn

_AXES = ("CRA", "Accuracy", "Training\nspeed", "Inference\nspeed", "Low\ntraining\nmemory", "Low\ninference\nmemory")
"""Named for what grows outwards: of times and of bytes, less is better."""

_RINGS = range(1, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """One polygon with its title; none for the key."""

    title: str
    scores: tuple[float, ...] = ()
    spreads: tuple[tuple[float, float], ...] = ()
    style: Style | None = None

    def said(self, titles: Sequence[str]) -> str:
        named = ", ".join(
            f"{title} {score:.1f}" + ("" if low == high else f" ({low:.1f} to {high:.1f})")
            for title, score, (low, high) in zip(titles, self.scores, self.spreads, strict=True)
        )
        return f"{self.title}: {named}"


def radar_panels(radar: Radar, look: Mapping[str, Style], name: str) -> tuple[Drawing, ...]:
    """The key, and one small radar per method: seven polygons on one another could not be told apart."""
    drawings = []
    for index, shape in enumerate(_shapes(radar, look)):
        with drawing():
            figure = Figure(figsize=(2.75, 2.15))
            axes = figure.add_axes((0.235, 0.17, 0.53, 0.68), polar=True)
            assert isinstance(axes, PolarAxes)
            _draw_radar(axes, shape)
            said = f" {shape.said(radar.axes)}." if shape.scores else ""
            drawings.append(
                drawn(figure, f"{name}-{index}", f"Radar, {DIRECTION}.{said}", title=shape.title, caption="")
            )
    return tuple(drawings)


def radar_sheet(radar: Radar, look: Mapping[str, Style], name: str) -> Drawing:
    """The key and all radars in one figure, for a page that cannot lay them out itself."""
    shapes = _shapes(radar, look)
    columns = min(4, len(shapes))
    lines = math.ceil(len(shapes) / columns)
    with drawing():
        figure = Figure(figsize=(2.75 * columns, 2.5 * lines))
        for index, shape in enumerate(shapes):
            left, bottom = (index % columns) / columns, 1 - (index // columns + 1) / lines
            axes = figure.add_axes(
                (left + 0.235 / columns, bottom + 0.16 / lines, 0.53 / columns, 0.58 / lines), polar=True
            )
            assert isinstance(axes, PolarAxes)
            _draw_radar(axes, shape)
            axes.set_title(shape.title, fontsize=11, pad=24)
        said = "; ".join(shape.said(radar.axes) for shape in shapes if shape.scores)
        return drawn(figure, name, f"Radar charts, {DIRECTION}. {said}.", title="Radar", caption="")


def _shapes(radar: Radar, look: Mapping[str, Style]) -> list[_Shape]:
    methods = (
        _Shape(title=row.label, scores=scores, spreads=spreads, style=look[row.label])
        for (row, scores), spreads in zip(radar.scores, radar.spreads, strict=True)
    )
    return [_Shape(title="How to read"), *methods]


def _draw_radar(axes: PolarAxes, shape: _Shape) -> None:
    angles = np.linspace(0, 2 * np.pi, len(_AXES), endpoint=False)
    closed = np.append(angles, angles[0])
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.grid(visible=False)
    axes.spines["polar"].set_visible(False)
    for ring in _RINGS:
        axes.plot(closed, np.full(len(closed), ring), color=COLOURS["grid"][0], linewidth=0.7, zorder=1)
    for angle in angles:
        axes.plot([angle, angle], [0, 5], color=COLOURS["grid"][0], linewidth=0.7, zorder=1)
    if shape.style is None:
        _draw_key(axes)
    else:
        around = [*shape.scores, shape.scores[0]]
        colour = shape.style.colour
        axes.fill(closed, around, facecolor=colour, alpha=0.16, zorder=2)
        inner, outer = ([*ends, ends[0]] for ends in zip(*shape.spreads, strict=True))
        axes.fill_between(closed, inner, outer, color=colour, alpha=0.3, linewidth=0, zorder=2.5)
        axes.plot(closed, around, color=colour, marker=shape.style.marker, markersize=3.5, zorder=3, clip_on=False)
    axes.set_ylim(0, 5)
    axes.set_yticks([])
    axes.set_xticks([])
    for angle, title in zip(angles, _AXES, strict=True):
        _name_axis(axes, float(angle), title.split("\n"))


def _draw_key(axes: PolarAxes) -> None:
    """The scores of the rings, and which end is better."""
    # On the middle of the rings' edges, away from the names of the axes.
    texts = [(np.pi / 6, ring * math.cos(np.pi / 6), str(ring)) for ring in _RINGS]
    texts += [(np.pi, depth, line) for depth, line in zip((1.4, 2.8), DIRECTION.split(", "), strict=True)]
    for angle, radius, text in texts:
        box = {"facecolor": COLOURS["page"][0], "edgecolor": "none", "pad": 0.8}
        axes.text(angle, radius, text, ha="center", va="center", fontsize=8.5, color=COLOURS["ink"][0], bbox=box)


def _name_axis(axes: PolarAxes, angle: float, lines: Sequence[str]) -> None:
    """Each line is a text of its own, anchored on the side of the axis: the browser's font has other widths."""
    across, up = math.sin(angle), math.cos(angle)
    side = "center" if abs(across) < 0.1 else "left" if across > 0 else "right"
    height = 10.5
    # The whole label hangs below the lowest point, stands above the highest, and is centred beside the others.
    first = (len(lines) - 1) * height / 2 if abs(across) > 0.1 else (len(lines) - 1) * height if up > 0 else 0.0
    for index, line in enumerate(lines):
        axes.annotate(
            line,
            (angle, 5.0),
            xytext=(7 * across, 9 * up + first - index * height),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=9.5,
            color=COLOURS["muted"][0],
            annotation_clip=False,
        )
