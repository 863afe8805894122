"""The truncated exponential series of skew-symmetric operators: value, gradient and proved norm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .again import gradients_by_torch, is_plain, needs_torch
from .autocast import autocast_to, lowered, without_autocast
from .conv import Image, Padding, transpose_kernel
from .convolve import convolve, kernel_gradient
from .rounding import UP

PART = 2**20
"""Numbers of an image tensor that are taken through all terms at a time."""
KEPT = 128
"""Pixels of all terms of an image that are kept for the backward pass: two of 8 x 8 pixels, of larger ones soon none.
It then computes fewer terms again: at XS a training step takes 8 % fewer multiplications, and 31 % more memory."""


def exponential_series(matrices: Tensor, degree: int) -> Tensor:
    """sum_{i <= degree} M^i / i! by Horner's rule, shape (..., N, N); `degree` - 1 products."""
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    result = identity + matrices / degree
    for order in range(degree - 1, 0, -1):
        result = identity + matrices @ result / order
    return result


def kept_terms(degree: int, image: Image) -> int:
    """How many terms of the series the backward pass is not to compute again."""
    return min(degree - 1, KEPT // max(1, image[0] * image[1]))


def series_working(images: tuple[int, int, int, int], size: int, padding: Padding, degree: int) -> int:
    """Peak of the numbers that `convolution_series` holds on a CPU where no gradient is recorded, its result included.

    The kernels of all terms; of a part of the batch one term, the next one, and what it is made of.

    Args:
        images: Their shape (B, C, H, W).
        size: Side of the kernel.
        padding: Of the convolution.
        degree: Of the series.
    """
    batch, channels, height, width = images
    numbers, extra = channels * height * width, 2 * (size // 2)
    padded = channels * (height + extra) * (width + extra) if padding == "circular" else 0
    at_once = min(batch, max(1, PART // max(1, numbers)))
    return batch * numbers + degree * channels**2 * size**2 + at_once * (2 * numbers + padded)


def _squared_modulus(degree: int) -> list[Fraction]:
    """Coefficients c_j of |p(i t)|^2 = sum_j c_j t^(2 j), p the series of this degree, exactly."""
    cosine = {2 * j: Fraction((-1) ** j, math.factorial(2 * j)) for j in range(degree // 2 + 1)}
    sine = {2 * j + 1: Fraction((-1) ** j, math.factorial(2 * j + 1)) for j in range((degree + 1) // 2)}
    coefficients = [Fraction(0)] * (degree + 1)
    for part in (cosine, sine):
        for first, one in part.items():
            for second, other in part.items():
                coefficients[(first + second) // 2] += one * other
    return coefficients


def exponential_series_bound(norm: float, degree: int, *, intervals: int = 1 << 17) -> float:
    """Proved upper bound of ||sum_{i <= degree} L^i / i!|| over all skew L with ||L|| <= norm.

    A skew L is normal with spectrum i [-norm, norm], so the norm is the largest |p(i t)| there. |p(i t)|^2 is a
    polynomial f in t^2 with known rational coefficients: between two nodes at distance h it exceeds the larger nodal
    value by at most h^2 / 8 max |f''|. Rounding is charged by the sum of absolute terms.
    """
    if not math.isfinite(norm):
        return math.inf
    end = norm * norm * (1 + 1e-15)
    nodes = np.linspace(0.0, end, intervals + 1)
    coefficients = [float(coefficient) for coefficient in _squared_modulus(degree)]
    value = np.polynomial.polynomial.polyval(nodes, coefficients)
    magnitude = sum(abs(c) * end**power for power, c in enumerate(coefficients))
    curvature = sum(abs(c) * power * (power - 1) * end ** max(power - 2, 0) for power, c in enumerate(coefficients))
    rounding = (8 * degree + 16) * 2.0**-53 * magnitude
    between = (end / intervals) ** 2 / 8 * curvature * (1 + 1e-12)
    return float(np.sqrt(np.max(value) + between + rounding) * (1 + 1e-15))


def carried_on_bounds(norm: float, degree: int) -> tuple[float, ...]:
    """Proved bounds of ||sum_{i <= j <= degree} i! / j! L^(j - i)|| over all skew L with ||L|| <= norm, i = 1, 2, ...

    What term i of a series errs by reaches its sum through this operator, where each term is computed from the one
    before. With no last degree it is the mean of exp(s L) over s in [0, 1] with weights i (1 - s)^(i - 1), and exp(s L)
    is unitary: its norm is at most 1. What lies beyond the last degree is at most a geometric series.

    >>> [round(bound, 2) for bound in carried_on_bounds(2.0, 4)]
    [1.2, 1.2, 1.3, 1.0]

    Args:
        norm: Upper bound of ||L||.
        degree: Of the series, at least 1.
    """
    bounds = []
    for first in range(1, degree + 1):
        term, by_norms = 1.0, 1.0
        for order in range(first + 1, degree + 1):
            term *= norm / order
            by_norms += term
        rest = term * norm / (degree + 1)
        ratio = norm / (degree + 2)
        unitary = 1 + rest / (1 - ratio) if ratio < 1 else math.inf
        bounds.append(min(by_norms, unitary) * UP)
    return tuple(bounds)


def convolution_series(x_BCHW: Tensor, kernel_CCKK: Tensor, degree: int, padding: Padding) -> Tensor:
    """sum_{i <= degree} L^i x / i!, where L is the convolution with a kernel.

    Term by term, parts of a batch at a time. The backward pass computes the terms of large images again: it keeps these
    alone, as that of one convolution does, and not `degree` images for each.

    Args:
        x_BCHW: Images.
        kernel_CCKK: Of L; odd K.
        degree: At least 1.
        padding: Of L.

    Returns:
        Images like x; under autocast in its dtype.
    """
    if (dtype := autocast_to(x_BCHW.device)) is not None:
        x_BCHW, kernel_CCKK = lowered(dtype, x_BCHW, kernel_CCKK)
        with without_autocast(x_BCHW.device):
            return convolution_series(x_BCHW, kernel_CCKK, degree, padding)
    if not is_plain(x_BCHW, kernel_CCKK):
        return series_by_terms(x_BCHW, kernel_CCKK, degree, padding)
    if not torch.is_grad_enabled():
        kernel_CCKK = kernel_CCKK.detach()  # no backward pass: no term is kept for it
    y_BCHW: Tensor = _Series.apply(x_BCHW, kernel_CCKK, degree, padding)  # type: ignore[no-untyped-call]
    return y_BCHW


def series_by_terms(x_BCHW: Tensor, kernel_CCKK: Tensor, degree: int, padding: Padding) -> Tensor:
    """The same, differentiated by torch: plain, and keeping all terms."""
    term = total = x_BCHW
    for order in range(1, degree + 1):
        term = convolve(term, kernel_CCKK / order, None, padding)
        total = total + term
    return total


class _Series(torch.autograd.Function):
    """`convolution_series` with the backward pass of its terms.

    Note [backward pass of the series]: with t_0 = x, t_i = L t_{i-1} / i and y = t_0 + ... + t_d, the gradients are
    g_d = dy and g_{i-1} = dy + L^T g_i / i, and that of the kernel is the sum of those of the convolutions t_i.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, degree: int, padding: Padding) -> Tensor:
        ctx.degree, ctx.padding = degree, padding
        kernels = [kernel / order for order in range(1, degree + 1)]
        result, kept = torch.empty_like(x), []
        count = kept_terms(degree, (x.shape[2], x.shape[3])) if ctx.needs_input_grad[1] and len(x) else 0
        for part in _parts(x):
            term, total = x[part], result[part].copy_(x[part])
            for order, one in enumerate(kernels, start=1):
                term = convolve(term, one, None, padding)
                total += term
                if order <= count:
                    kept.append(term)
        ctx.save_for_backward(x, kernel, *kept)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x, kernel, *kept), (dy,) = ctx.saved_tensors, gradients
        wanted = ctx.needs_input_grad[:2]
        with without_autocast(x.device):
            if needs_torch(dy):
                by_terms = partial(series_by_terms, degree=ctx.degree, padding=ctx.padding)
                return *gradients_by_torch(by_terms, (x, kernel), wanted, dy), None, None
            found = _gradients(x, kernel, dy, ctx.degree, ctx.padding, kept=kept, of_kernel=wanted[1])
            return *(gradient if want else None for gradient, want in zip(found, wanted, strict=True)), None, None


def _gradients(
    x: Tensor, kernel: Tensor, dy: Tensor, degree: int, padding: Padding, *, kept: list[Tensor], of_kernel: bool
) -> tuple[Tensor, Tensor]:
    """Gradients by x and, if it is asked for, by the kernel; without it no term is computed again.

    Kept are the first terms of each part of the batch, part by part.
    """
    kernels = [kernel / order for order in range(1, degree + 1)]
    transposed = [transpose_kernel(one) for one in kernels]
    dx, dkernel = torch.empty_like(x), torch.zeros_like(kernel)
    parts = list(_parts(x))
    count = len(kept) // max(1, len(parts))
    for index, part in enumerate(parts):
        terms = [x[part], *kept[index * count : (index + 1) * count]]
        for one in kernels[count:-1] if of_kernel else ():
            terms.append(convolve(terms[-1], one, None, padding))
        gradient = dy[part]
        for order in range(degree, 0, -1):
            if of_kernel:
                dkernel.add_(kernel_gradient(terms.pop(), kernel.shape, gradient, padding), alpha=1 / order)
            gradient = convolve(gradient, transposed[order - 1], None, padding)
            gradient = torch.add(gradient, dy[part], out=dx[part] if order == 1 else gradient)
    return dx, dkernel


def _parts(x: Tensor) -> Iterator[slice]:
    """Parts of a batch that stay in a cache; on a GPU one."""
    count = max(1, PART // max(1, x[0].numel())) if x.device.type == "cpu" and len(x) else max(1, len(x))
    for start in range(0, len(x), count):
        yield slice(start, start + count)
