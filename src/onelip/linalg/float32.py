"""How far sums of products in float32 may lie from real arithmetic, per input, around what is known in float64.

Assumed is IEEE 754 float32 with round to nearest; numbers below the smallest normal one may be flushed to zero, before
and after every operation. A sum of n products, in any order, errs by at most gamma_n = n u / (1 - n u), u = 2^-24,
times the sum of their absolute values (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).
Shapes: B inputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .rounding import UP, norms

UNIT_ROUNDOFF = 2.0**-24
SMALLEST = 2.0**-126
"""The smallest normal number: what flushing to zero may lose at a time."""
HUGE = 1e37
"""Above this nothing is said: a sum could overflow."""


def gamma(terms: int) -> float:
    """gamma_n; infinite for more terms than it is known for.

    >>> 2 * 2.0**-24 < gamma(2) < 2.000001 * 2.0**-24, gamma(2**24)
    (True, inf)
    """
    share = terms * UNIT_ROUNDOFF
    return share / (1 - share) * UP if share < 1 else math.inf


def flushed(terms: int, outputs: int, largest: float, size_B: Tensor) -> Tensor:
    """What flushing to zero may add to sums of so many products, in the L2 norm: shape (B,).

    Each product and each sum may be flushed, and each factor before; half of what is said here would do.

    Args:
        terms: Of each sum.
        outputs: How many sums.
        largest: Upper bound of the magnitude of the one factors.
        size_B: Upper bounds of that of the others, such as norms of the inputs.
    """
    return 4 * SMALLEST * terms * outputs**0.5 * (1 + largest + size_B)


def rounded_once(x: Tensor, further_B: Tensor) -> Tensor:
    """What rounding tensors to float32 errs by, or a sum of two of magnitude 1 per entry that gave them: shape (B,).

    What is rounded, and what it is made of, may be flushed to zero.

    Args:
        x: Computed in float64, shape (B, ...).
        further_B: Upper bounds of how far from these the tensors lie that are rounded.
    """
    size_B = norms(x.flatten(1)) + further_B
    return torch.where(size_B < HUGE, (UNIT_ROUNDOFF * size_B + flushed_entries(x)) * UP, math.inf)


def flushed_entries(x: Tensor) -> float:
    """What flushing every entry to zero may lose, a few times over, in the L2 norm of one input's share (B, ...)."""
    return 4 * SMALLEST * math.prod(x.shape[1:]) ** 0.5 * UP
