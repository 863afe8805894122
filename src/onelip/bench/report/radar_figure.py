"""The radar, as SVG: one small figure per method, or all of them on one sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from onelip.bench.report.groups import Row
from onelip.bench.report.palette import COLOURS, Style
from onelip.bench.report.radar import Radar
from onelip.bench.report.svg import Drawing, drawing, to_svg

_SHORT_AXES = ("CRA", "Acc.", "Train\ntime", "Infer\ntime", "Train\nmem.", "Infer\nmem.")


def radar_panels(radar: Radar, look: Mapping[str, Style], name: str) -> tuple[Drawing, ...]:
    """One small radar per method: seven polygons on one another could not be told apart."""
    return tuple(
        _radar_panel(row, scores, radar.axes, look[row.label], f"{name}-{index}")
        for index, (row, scores) in enumerate(radar.scores)
    )


def radar_sheet(radar: Radar, look: Mapping[str, Style], name: str) -> str:
    """All radars in one figure, for a page that cannot lay them out itself."""
    columns = min(4, len(radar.scores))
    lines = math.ceil(len(radar.scores) / columns)
    with drawing():
        figure = Figure(figsize=(2.5 * columns, 2.5 * lines))
        for index, (row, scores) in enumerate(radar.scores):
            left, bottom = (index % columns) / columns, 1 - (index // columns + 1) / lines
            axes = figure.add_axes(
                (left + 0.21 / columns, bottom + 0.16 / lines, 0.58 / columns, 0.58 / lines), polar=True
            )
            assert isinstance(axes, PolarAxes)
            _draw_radar(axes, scores, look[row.label])
            axes.set_title(row.label, fontsize=11, pad=24)
        said = "; ".join(_said_scores(row, scores, radar.axes) for row, scores in radar.scores)
        return to_svg(figure, name, f"Radar charts, scores from 1 (worst) to 5 (best). {said}.")


def _radar_panel(row: Row, scores: Sequence[float], titles: Sequence[str], style: Style, name: str) -> Drawing:
    with drawing():
        figure = Figure(figsize=(2.5, 2.15))
        axes = figure.add_axes((0.21, 0.17, 0.58, 0.68), polar=True)
        assert isinstance(axes, PolarAxes)
        _draw_radar(axes, scores, style)
        svg = to_svg(figure, name, f"Radar, scores from 1 to 5. {_said_scores(row, scores, titles)}.")
    return Drawing(title=row.label, svg=svg, caption="")


def _draw_radar(axes: PolarAxes, scores: Sequence[float], style: Style) -> None:
    angles = np.linspace(0, 2 * np.pi, len(scores), endpoint=False)
    closed = np.append(angles, angles[0])
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.grid(visible=False)
    axes.spines["polar"].set_visible(False)
    for ring in range(1, 6):
        axes.plot(closed, np.full(len(closed), ring), color=COLOURS["grid"][0], linewidth=0.7, zorder=1)
    for angle in angles:
        axes.plot([angle, angle], [0, 5], color=COLOURS["grid"][0], linewidth=0.7, zorder=1)
    around = [*scores, scores[0]]
    axes.fill(closed, around, facecolor=style.colour, alpha=0.22, zorder=2)
    axes.plot(closed, around, color=style.colour, marker=style.marker, markersize=3.5, zorder=3, clip_on=False)
    axes.set_ylim(0, 5)
    axes.set_yticks([])
    axes.set_xticks([])
    for angle, title in zip(angles, _SHORT_AXES, strict=True):
        _name_axis(axes, float(angle), title.split("\n"))


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


def _said_scores(row: Row, scores: Sequence[float], titles: Sequence[str]) -> str:
    said = ", ".join(f"{title} {score:.1f}" for title, score in zip(titles, scores, strict=True))
    return f"{row.label}: {said}"
