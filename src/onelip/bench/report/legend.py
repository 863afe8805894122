"""The legend of figures in which methods are lines."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onelip.bench.report.palette import Style


def legend(figure: Figure, look: Mapping[str, Style], marked: Collection[str] = ()) -> None:
    """Puts one below a figure.

    Args:
        figure: Has a constrained layout.
        look: Styles of what is drawn, by its label.
        marked: Labels of what is drawn with markers; the others are lines alone.
    """
    handles = [
        Line2D(
            [],
            [],
            color=one.colour,
            dashes=one.dashes,
            marker=one.marker if label in marked else "",
            label=label,
        )
        for label, one in look.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=2.8, columnspacing=1.2)
