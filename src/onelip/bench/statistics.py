"""Intervals and medians: what stands beside every number of the report. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Z95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution: two-sided 95 %."""

DECISIVE_SAMPLES = 8
"""The quartiles of fewer time samples decide nothing."""


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """Wilson's score interval for a share, at 95 %.

    It stays inside [0, 1] and does not collapse to a point at 0 or at `trials` successes, which the textbook interval
    p +- z sqrt(p (1 - p) / n) does.

    Args:
        successes: May be a mean over seeds, hence a fraction.
        trials: Number of images.

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: `trials` is not positive, or `successes` lies outside 0 .. `trials`.

    >>> low, high = wilson(8, 10)
    >>> round(low, 4), round(high, 4)
    (0.4902, 0.9433)
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"wilson: successes = {successes}, trials = {trials}; 0 <= successes <= trials >= 1 is needed")
    share = successes / trials
    squeeze = 1 + Z95**2 / trials
    centre = (share + Z95**2 / (2 * trials)) / squeeze
    half = Z95 / squeeze * (share * (1 - share) / trials + Z95**2 / (4 * trials**2)) ** 0.5
    # Rounding must not push the interval off its own estimate at 0 and at 1.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def quartiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile, interpolated linearly.

    >>> quartiles([1.0, 2.0, 3.0, 4.0, 5.0])
    (2.0, 3.0, 4.0)
    """
    low, middle, high = np.percentile(samples, (25, 50, 75))
    return float(low), float(middle), float(high)


def ratio_quartiles(samples: Sequence[float], units: Sequence[float]) -> tuple[float, float, float]:
    """Quartiles of how many units the samples take.

    Equally many of both are rounds of one session: what slows the machine for a while slows both of a pair, and falls
    out of their ratio. Otherwise each sample is divided by the median unit.

    >>> ratio_quartiles([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    (2.0, 2.0, 2.5)
    >>> ratio_quartiles([2.0, 4.0, 6.0], [1.0, 2.0, 3.0, 2.0])
    (1.5, 2.0, 2.5)
    """
    paired = units if len(units) == len(samples) else [quartiles(units)[1]] * len(samples)
    return quartiles([sample / unit for sample, unit in zip(samples, paired, strict=True)])
