"""Polar factors by products alone: for GPUs, on which decompositions of many matrices are slow and wait for the host.

An odd polynomial of a matrix, X (a I + b X^H X + c (X^H X)^2), applies a s + b s^3 + c s^5 to its singular values s. A
few such steps take all of them from an interval [l, 1] to 1. Each of the first polynomials is the one nearest to 1, in
the largest error, on the upper part of the interval that the steps before have left (on all of it the composition would
be optimal: Nakatsukasa & Freund, SIAM Review 2016; Amsel, Persson, Musco & Gower, 2025). The last ones are flat at 1
(Newton and Schulz's). Their error is far below roundoff, so that no singular value ends above 1 but by rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .autocast import without_autocast

RANGE = 1e-4
"""Singular values that reach 1, as a share of the bound that a matrix is divided by. Smaller ones end below 1."""
EXCHANGES = 30
SPREAD = 10.0
"""Over which part of an interval a polynomial is the nearest to 1. Over all of it, it would be still steeper at 0, but
take some large singular values to small ones, which the rounding of float32 is not small against."""
SAFETY = 1.01
"""By which matrices are divided before each of the first steps: a polynomial is steep at the upper end of its interval,
where it returns to that end, and would throw what rounding has lifted above it further and further away."""
NEAR, FLAT_STEPS = 0.1, 3
"""Width of an interval around 1 in which Newton and Schulz's polynomial is as good, and how often that is taken: the
first two take a distance of 0.05 to 1e-10, the third takes the derivative to 0, which the first steps enlarge."""
SMALLEST = 1e-19
"""Floor of norms and singular values: a gradient divided by it is still a finite float32."""


def _nearest_to_one(lower: float, upper: float) -> tuple[tuple[float, float, float], float]:
    """The odd polynomial of degree 5 with the smallest largest error on an interval, and that error.

    By Remez' exchange: at the ends and at the two extremes between them the error is the same, with alternating signs.
    """
    points = np.array([lower, lower + (upper - lower) / 4, lower + 3 * (upper - lower) / 4, upper])
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    for _ in range(EXCHANGES):
        a, b, c, error = np.linalg.solve(np.stack([points, points**3, points**5, signs], axis=1), np.ones(4))
        squares = np.roots([5 * c, 3 * b, a])
        extremes = np.sort(np.sqrt(squares.real.clip(min=0)))
        points[1:3] = extremes.clip(lower, upper)
    return (float(a), float(b), float(c)), abs(float(error))


def _coefficients() -> tuple[tuple[float, float, float], ...]:
    """(a, b, c) of each step."""
    lower, upper, steps = RANGE, 1.0, []
    while upper - lower > NEAR:
        step, error = _nearest_to_one(max(lower, upper / SPREAD), upper)
        a, b, c = (c / SAFETY**power for c, power in zip(step, (1, 3, 5), strict=True))
        steps.append((a, b, c))
        lower, upper = min(a * lower + b * lower**3 + c * lower**5, 1 - error), 1 + error
    steps += FLAT_STEPS * [(15 / 8, -10 / 8, 3 / 8)]
    return tuple(steps)


STEPS = _coefficients()
"""(a, b, c) of each, found once: a compiler that traces the steps sees numbers."""


def polar_by_products(matrices: Tensor) -> Tensor:
    """Polar factor, as `orthogonal.polar`, where the condition number is below 1 / `RANGE` by a margin.

    The matrices are divided by the smaller of two bounds of their norm: that of Frobenius, and the root of the largest
    row sum times the largest column sum. Singular values of at least `RANGE` of that end at 1, smaller ones below.

    Args:
        matrices: Real or complex, shape (..., M, N).

    Returns:
        Matrices of the same shape; no singular value above 1 but by rounding.
    """
    if matrices.shape[-2] < matrices.shape[-1]:
        return polar_by_products(matrices.mH).mH
    result: Tensor = _PolarByProducts.apply(matrices)  # type: ignore[no-untyped-call]
    return result


def _norm_bound(matrices: Tensor) -> Tensor:
    """Shape (..., 1, 1). No square of an entry is taken that may be no number."""
    absolute = matrices.abs()
    largest = absolute.amax((-2, -1), keepdim=True).clamp(min=SMALLEST)
    share = absolute / largest
    mixed = share.sum(-1).amax(-1).sqrt() * share.sum(-2).amax(-1).sqrt()
    return largest * torch.linalg.matrix_norm(share).minimum(mixed).clamp(min=1)[..., None, None]


class _PolarByProducts(torch.autograd.Function):
    """The steps, and their derivative.

    Note [derivative by products]: the derivative of the polar factor is its own adjoint (see the note in `orthogonal`:
    the formula for the gradient is that for a direction). So the gradient of V is the derivative in the direction of
    the incoming gradient, which the same steps carry along; nothing is kept for it but V. Every step adds rounding: in
    float32 the gradient has about two digits fewer than that of a decomposition. Torch can differentiate the steps
    again; the bound is a constant for it, as the factor is that of every multiple of V.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(matrices: Tensor) -> Tensor:
        result = matrices / _norm_bound(matrices)
        for a, b, c in STEPS:
            gram = result.mH @ result
            result = a * result + result @ (b * gram + c * gram @ gram)
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (matrices,) = ctx.saved_tensors
        with without_autocast(matrices.device):
            bound = _norm_bound(matrices.detach())
            result, moved = matrices / bound, gradients[0] / bound
            for a, b, c in STEPS:
                gram = result.mH @ result
                half = result.mH @ moved
                turned = half + half.mH
                crossed = gram @ turned
                factor, change = b * gram + c * gram @ gram, b * turned + c * (crossed + crossed.mH)
                result, moved = a * result + result @ factor, a * moved + moved @ factor + result @ change
            return moved
