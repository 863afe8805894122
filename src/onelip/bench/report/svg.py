"""From a matplotlib figure to SVG that can stand inside a page: small, deterministic, and coloured by the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
from matplotlib import style as mpl_style
from matplotlib.figure import Figure

from onelip.bench.report.palette import COLOURS, css_variables

SIZE = (5.1, 3.6)
"""Inches of 72 points: as wide as a phone, so that the text is never scaled down below its size."""

_FONT_STACK = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

_RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the layout is the same on every machine
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.labelcolor": COLOURS["muted"][0],
    "axes.edgecolor": COLOURS["grid"][0],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": COLOURS["ink"][0],
    "text.parse_math": False,  # titles are foreign text: a dollar sign is a dollar sign
    "xtick.color": COLOURS["muted"][0],
    "ytick.color": COLOURS["muted"][0],
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "axes.grid": True,
    "grid.color": COLOURS["grid"][0],
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "figure.dpi": 72,
    "savefig.transparent": True,
    "svg.fonttype": "none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure with what stands beneath it.

    Attributes:
        name: Unique in the page; of its file, too.
        figure: What the SVG was made of.
    """

    name: str
    title: str
    svg: str
    caption: str
    figure: Figure

    def pdf(self) -> bytes:
        """The figure for a paper, the same bytes every time."""
        buffer = io.BytesIO()
        with drawing(), mpl.rc_context({"pdf.fonttype": 42}):
            self.figure.savefig(
                buffer, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None}
            )
        return buffer.getvalue()


def drawn(figure: Figure, name: str, description: str, *, title: str, caption: str) -> Drawing:
    """A figure as a drawing; see `to_svg`."""
    return Drawing(name=name, title=title, svg=to_svg(figure, name, description), caption=caption, figure=figure)


@contextmanager
def drawing() -> Iterator[None]:
    """The settings under which figures are made: independent of the user's own matplotlib configuration."""
    with mpl_style.context(["default", _RC]), warnings.catch_warnings():
        # A title in a script that the layout font lacks: the browser draws it with a font of its own.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def roomy(values: Sequence[float], least: float) -> tuple[float, float]:
    """The ends of an axis on which values have room.

    Args:
        values: What is drawn.
        least: Room at either end beside a share of their range.
    """
    low, high = min(values), max(values)
    room = 0.06 * (high - low) + least
    return low - room, high + room


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an `<svg>` element for a page that defines the colours of `palette`.

    Args:
        figure: Drawn inside `drawing()`.
        name: Unique in the page; it leads every id.
        description: What a screen reader says.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg")
    return _root(_coloured(_with_own_ids(_body(buffer.getvalue()), name)), description)


def standalone(svg: str) -> str:
    """The same figure as a file of its own, which follows the reader's light or dark setting."""
    style = (
        f"<style>svg {{ {css_variables(dark=False)} "
        f"background: var(--page); font-family: {_FONT_STACK}; stroke-linejoin: round; }} "
        f"@media (prefers-color-scheme: dark) {{ svg {{ {css_variables(dark=True)} }} }}</style>"
    )
    opened = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return opened.replace(">", f">\n{style}", 1)


def _body(document: str) -> str:
    """Without XML head, metadata (it holds the date), and the style sheet, which would hold for the whole page."""
    inner = document[document.index("<svg") :]
    return re.sub(r"\s*<(metadata|style)\b.*?</\1>", "", inner, flags=re.DOTALL)


def _with_own_ids(svg: str, name: str) -> str:
    """Keep the ids that something refers to, and lead them by the figure's name: ids are unique in the whole page."""
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    return re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', svg)


def _coloured(svg: str) -> str:
    """Colours become variables with the light value to fall back on; fonts become the page's."""
    names = {light: key for key, (light, _) in COLOURS.items()}

    def variable(match: re.Match[str]) -> str:
        key = names.get(match[2])
        return f"{match[1]}: var(--{key}, {match[2]})" if key else match[0]

    svg = re.sub(r"\b(fill|stroke): (#[0-9a-f]{6})", variable, svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    # matplotlib before 3.11 writes size and family as one property.
    return re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)


def _root(svg: str, description: str) -> str:
    view_box = re.search(r'viewBox="([^"]+)"', svg)
    assert view_box is not None
    label = escape(description, quote=True)
    return re.sub(
        r"<svg[^>]*>", lambda _: f'<svg viewBox="{view_box[1]}" role="img" aria-label="{label}">', svg, count=1
    ).strip()
