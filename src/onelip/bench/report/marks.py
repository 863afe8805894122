"""Marks of logarithmic axes in plain digits, which matplotlib writes in the markup of mathematics or leaves out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axis import XAxis, YAxis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

_STEPS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))
"""Where marks stand in each decade; the fewest that are enough are taken."""

_LEAST, _MOST = 3, 8

_NARROWEST = 1.2
"""An axis spans this ratio at least: less is rounding, or nothing to see."""


def plain_marks(axis: XAxis | YAxis) -> None:
    """Marks a logarithmic axis; once everything is drawn and its limits stand."""
    low, high = sorted(float(end) for end in axis.get_view_interval())
    if high < _NARROWEST * low:
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(_NARROWEST), middle * math.sqrt(_NARROWEST)
        axis.axes.set(**{f"{axis.axis_name}lim": (low, high)})
    axis.set_major_locator(FixedLocator(marks(low, high)))
    axis.set_major_formatter(FuncFormatter(lambda mark, _: f"{mark:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def marks(low: float, high: float) -> Sequence[float]:
    """Round numbers on a logarithmic axis; evenly spaced ones where it spans little.

    >>> marks(0.5, 2000), marks(0.6, 6), marks(35, 45)
    ([1.0, 10.0, 100.0, 1000.0], [1.0, 2.0, 5.0], [36.0, 38.0, 40.0, 42.0, 44.0])
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in _STEPS:
        every = [float(f"{step}e{decade}") for decade in decades for step in steps]
        seen = [mark for mark in every if low <= mark <= high]
        if len(seen) >= _LEAST:
            return seen[:: math.ceil(len(seen) / _MOST)]
    ticks = MaxNLocator(5, steps=(1, 2, 5, 10)).tick_values(low, high)
    return [float(mark) for mark in ticks if low <= mark <= high]
