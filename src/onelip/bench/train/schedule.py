"""The one-cycle schedule of learning rate and momentum, as a function of how much of the training is done.

L. Smith, N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2018,
arXiv 1708.07120; the curve is that of `torch.optim.lr_scheduler.OneCycleLR` with its defaults.
"""

from __future__ import annotations

import math

from onelip.bench.records import Recipe

START_DIVISOR = 25.0
END_DIVISOR = 1e4


def one_cycle(progress: float, recipe: Recipe) -> tuple[float, float]:
    """Learning rate and momentum at a point of the training.

    The learning rate rises from its peak / 25 to its peak in the share `recipe.warmup` of the training, then falls
    to its start / 10,000, both along half a cosine; the momentum falls and rises the other way. Step s of S has
    progress s / (S - 1). `OneCycleLR` differs by a constant of less than one step: its peak is at step
    pct_start * S - 1, here it is at step warmup * (S - 1), so that the curve does not depend on S.

    Args:
        progress: From 0, the first step, to 1, the last.
        recipe: Gives the peak learning rate, the range of the momentum, and the warm-up.

    Returns:
        Learning rate and momentum.
    """
    assert 0 <= progress <= 1
    low, high = recipe.momentum
    peak = recipe.learning_rate
    start = peak / START_DIVISOR
    if progress <= recipe.warmup:
        share = progress / recipe.warmup
        return _cosine(start, peak, share), _cosine(high, low, share)
    share = (progress - recipe.warmup) / (1 - recipe.warmup)
    return _cosine(peak, start / END_DIVISOR, share), _cosine(low, high, share)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
