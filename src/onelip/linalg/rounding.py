"""How far floating point may lie from real arithmetic: bounds of rounding errors in float64.

Assumed is IEEE 754 float64 with round to nearest, sums of products in any order, with or without fused operations:
a sum of n products errs by at most gamma_n = n u / (1 - n u), u = 2^-53, times the sum of their absolute values
(Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). What underflow loses, gradual or flushed,
is far below `TINY`. The bounds are computed in floating point themselves: `UP` pays for that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

UNIT_ROUNDOFF = 2.0**-53
TINY = 1e-280
HUGE = 1e280
"""Above this nothing is said: a sum could overflow."""
UP = 1 + 2.0**-40


def gamma(terms: int) -> float:
    """gamma_n, for any n that a layer has."""
    return terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF)


@dataclass(frozen=True, slots=True)
class Computed:
    """What is known of a tensor that was computed: norms in L2 of one input's share of it.

    Attributes:
        size: Upper bound of the norm of the exact tensor.
        error: Upper bound of the norm of computed minus exact.
    """

    size: float
    error: float

    @property
    def reach(self) -> float:
        """Upper bound of the norm of the computed tensor."""
        return (self.size + self.error) * UP

    def linear(self, *, norm: float, rounding: float, shift: float = 0.0, shift_rounding: float = 0.0) -> Computed:
        """The image under x -> A x + b, or any map of Lipschitz constant `norm` that takes 0 to b.

        Args:
            norm: Upper bound of ||A||.
            rounding: Evaluating A x at a computed x errs by at most this times ||x||, in the norm.
            shift: Upper bound of ||b||.
            shift_rounding: What evaluating errs by besides, in multiples of ||b||.
        """
        size = (norm * self.size + shift) * UP
        # What a factor lost to underflow below the smallest number counts by the size of the input.
        error = (norm * self.error + (rounding + TINY) * self.reach + shift_rounding * shift + TINY) * UP
        return Computed(size, error).checked

    def through(self, *, norm: float, shift: float, local: float) -> Computed:
        """The image under a map f of Lipschitz constant `norm`.

        Args:
            norm: Upper bound of the constant.
            shift: Upper bound of ||f(0)||.
            local: Upper bound of what evaluating f at the computed x errs by.
        """
        return Computed((norm * self.size + shift) * UP, (norm * self.error + local + TINY) * UP).checked

    @property
    def as_given(self) -> Computed:
        """The computed tensor taken for exact: where the errors of one map begin."""
        return Computed(self.reach, 0.0)

    def plus(self, other: Computed) -> Computed:
        """The sum of two computed tensors, or their difference."""
        rounded = UNIT_ROUNDOFF * (self.reach + other.reach)
        return Computed((self.size + other.size) * UP, (self.error + other.error + rounded + TINY) * UP).checked

    @property
    def checked(self) -> Computed:
        """The same, or that nothing is known where something could overflow."""
        return self if self.reach < HUGE else Computed(math.inf, math.inf)


def convolution_rounding(x: Computed, kernel_OIKK: Tensor, bias_O: Tensor | None, pixels: int, norm: float) -> Computed:
    """What is known of a convolution in float64, of operator norm at most `norm`, that makes so many pixels."""
    charge, absolute, shift = gamma(kernel_OIKK[0].numel() + 2), absolute_norm(kernel_OIKK), length(bias_O, pixels)
    if not absolute * x.reach + shift < HUGE:  # partial sums are no larger
        return Computed(math.inf, math.inf)
    return x.linear(norm=norm, rounding=charge * absolute, shift=shift, shift_rounding=charge)


def absolute_norm(kernel_OIKK: Tensor) -> float:
    """Upper bound of the norm of the convolution with the absolute values of a kernel, with either padding.

    The square root of the largest row sum times the largest column sum.
    """
    absolute_OI = kernel_OIKK.to(torch.float64).abs().sum((-2, -1))
    largest = math.sqrt(float(absolute_OI.sum(0).amax())) * math.sqrt(float(absolute_OI.sum(1).amax()))
    return largest * (1 + gamma(kernel_OIKK.numel() + 8)) * UP


def length(vector: Tensor | None, copies: int) -> float:
    """Upper bound of the norm of so many copies of a vector; 0 for None."""
    return 0.0 if vector is None else float(norms(vector.reshape(1, -1))) * copies**0.5 * UP


def norms(vectors: Tensor) -> Tensor:
    """Upper bounds of the norms of vectors (..., N) in float64, without under- and overflow of squares: shape (...).

    None is smaller than `TINY`, below which products round too much.
    """
    vectors = vectors.detach().to(torch.float64)
    largest = vectors.abs().amax(-1, keepdim=True)
    unit = torch.where(largest > 0, largest, 1.0)
    found = torch.linalg.vector_norm(vectors / unit, dim=-1) * unit[..., 0] * (1 + gamma(vectors.shape[-1] + 8)) * UP
    return found + TINY
