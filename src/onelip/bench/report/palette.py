"""Colours, markers and dashes. The hues are those of Okabe and Ito, which the colour-blind can tell apart.

They are darkened until each has a contrast of 3:1 with white, which WCAG 2.2 asks of graphics, and moved apart again.
Each has a light and a dark value. Figures are drawn with the light value; `svg.py` turns it into a CSS variable, so
that one figure reads on both backgrounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

COLOURS = {
    "ink": ("#1b1f24", "#e8eaed"),
    "muted": ("#5b6470", "#a3abb5"),
    "grid": ("#dfe3e8", "#2f353d"),
    "page": ("#ffffff", "#14171b"),
    "panel": ("#f5f7f9", "#1c2026"),
    "accent": ("#005a8f", "#7cc0ee"),
    "yardstick": ("#8a929c", "#7d8590"),
    "series-1": ("#0d3582", "#3f9fdc"),
    "series-2": ("#b22207", "#f07c2c"),
    "series-3": ("#008357", "#1fbd90"),
    "series-4": ("#c67ba8", "#de97be"),
    "series-5": ("#d08200", "#eeb12e"),
    "series-6": ("#319ae4", "#9bd6f8"),
    "series-7": ("#24292f", "#f2e65c"),
}
"""Name: (light, dark); light values are unique. Series 7 is Okabe and Ito's black in light and their yellow in dark."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.6), (2, 1.2), (6, 1.5, 1.5, 1.5), (9, 2), (1, 1), (5, 1, 1, 1, 1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How one method is drawn, in every figure of a page."""

    colour: str
    marker: str
    dashes: tuple[float, ...]


YARDSTICK = Style(colour=COLOURS["yardstick"][0], marker="x", dashes=(1.2, 1.6))


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """A style per label, by alphabetical order; from the eighth on, colours repeat with other markers and dashes."""
    series = [light for name, (light, _) in COLOURS.items() if name.startswith("series-")]
    return {
        label: Style(
            colour=series[index % len(series)],
            marker=MARKERS[(index + index // len(series)) % len(MARKERS)],
            dashes=DASHES[(index + index // len(series)) % len(DASHES)],
        )
        for index, label in enumerate(sorted(set(labels)))
    }


def css_variables(dark: bool) -> str:
    """The colours as CSS custom properties."""
    return " ".join(f"--{name}: {pair[dark]};" for name, pair in COLOURS.items())
