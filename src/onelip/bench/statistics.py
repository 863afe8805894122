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


def stands_above(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    """Whether one number is above another by more than their spreads leave to chance.

    It is where the interval of their difference lies above zero: a - b > sqrt((a - low_a)^2 + (high_b - b)^2), which
    joins the spreads of two independent numbers (Newcombe, Interval estimation for the difference between independent
    proportions, Statistics in Medicine 17, 1998, method 10; of shares the spreads are Wilson's). That spreads touch
    decides nothing: two of 95 % each may, and their difference still be none of chance.

    Args:
        one: Lower end, value and upper end.
        other: Likewise.

    >>> wide, low, far = (0.48, 0.50, 0.52), (0.45, 0.47, 0.49), (0.46, 0.48, 0.50)
    >>> stands_above(wide, low), stands_above(wide, far), stands_above(low, wide)
    (True, False, False)
    """
    low, middle, _ = one
    _, below, high = other
    return middle - below > ((middle - low) ** 2 + (high - below) ** 2) ** 0.5


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
