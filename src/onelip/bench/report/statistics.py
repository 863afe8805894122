"""Intervals and medians: what stands beside every number of the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Z95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution: two-sided 95 %."""


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
