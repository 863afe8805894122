"""The norm of a convolution with zero padding, proved by the residual of a Cholesky factorisation in blocks.

Ordered by the rows of the image, the operator A is a banded matrix of blocks: block (i, j) is the convolution of one
row, of width W, with row j - i + K // 2 of the kernel. A^T A is banded too, with K - 1 blocks on either side of the
diagonal, and so is its Cholesky factor: H steps on blocks of side I W instead of one on a matrix of side I H W. The
proof is that of `proof.largest_norm_bound`; shapes and rounding as in `conv` and `norms`.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from .conv import Image, transpose_kernel
from .convolve import convolve, convolve_transposed
from .estimates import start_vector
from .krylov import largest_eigenvalue_estimate, norm_proved, room_for
from .norms import frobenius, product_error, scaled
from .rounding import UNIT_ROUNDOFF

Blocks = dict[tuple[int, int], Tensor]
"""Blocks (i, j) with j <= i of a symmetric or lower triangular matrix; those that are missing are zero."""


def zero_padded_norm_bound(kernel_OIKK: Tensor, image: Image, *, enough: float = 0.0) -> float:
    """Proved upper bound of the norm of one convolution with zero padding on images of one size, tight up to 1e-6.

    Args:
        kernel_OIKK: float64.
        image: Height and width.
        enough: A bound that needs not be improved.

    Returns:
        The bound; infinite where an entry is not finite.
    """
    kernel_OIKK, (height, width) = _turned(kernel_OIKK, image)
    flat, unit = scaled(kernel_OIKK.flatten(1)[None])
    kernel_OIKK = flat.view_as(kernel_OIKK)
    rows_KPQ = _row_operators(kernel_OIKK, width)
    total = float(frobenius(rows_KPQ.flatten(0, 1))) * math.sqrt(height) * (1 + 4 * UNIT_ROUNDOFF)
    if not math.isfinite(total):
        return math.inf
    gram, charge = _gram(rows_KPQ, height), product_error(rows_KPQ.shape[0] * rows_KPQ.shape[1]) * total**2
    bound = norm_proved(
        lambda shift: _eigenvalue_bound(gram, shift),
        functools.cache(lambda: _estimate(kernel_OIKK, (height, width))),
        charge=charge,
        known=total,
        wanted=enough / float(unit),
        room=room_for(height * rows_KPQ.shape[1], height * rows_KPQ.shape[2]),
    )
    return float(unit) * bound


def _turned(kernel_OIKK: Tensor, image: Image) -> tuple[Tensor, Image]:
    """An operator of the same norm, with no more input than output channels, on images no wider than high."""
    if kernel_OIKK.shape[0] < kernel_OIKK.shape[1]:
        kernel_OIKK = transpose_kernel(kernel_OIKK)
    if image[0] < image[1]:
        return kernel_OIKK.mT, (image[1], image[0])
    return kernel_OIKK, image


def _row_operators(kernel_OIKK: Tensor, width: int) -> Tensor:
    """The convolutions of one row of pixels with each row of a kernel, exactly: shape (K, O W, I W)."""
    out_channels, in_channels, size, _ = kernel_OIKK.shape
    operators = kernel_OIKK.new_zeros(width, width, size, out_channels, in_channels)
    column = torch.arange(width, device=kernel_OIKK.device)
    for right in range(size):
        source = column + right - size // 2
        inside = (source >= 0) & (source < width)
        operators[column[inside], source[inside]] = kernel_OIKK[..., right].movedim(-1, 0)
    return operators.permute(2, 3, 0, 4, 1).reshape(size, out_channels * width, in_channels * width)


def _gram(rows_KPQ: Tensor, height: int) -> Blocks:
    """The blocks of A^T A: sums of products of row operators."""
    size, half = rows_KPQ.shape[0], rows_KPQ.shape[0] // 2
    products = {(a, b): rows_KPQ[a].mT @ rows_KPQ[b] for a in range(size) for b in range(a + 1)}
    blocks: Blocks = {}
    for i in range(height):
        for j in range(max(0, i - size + 1), i + 1):
            # Output row m sees input row i through kernel row i - m + half.
            seen = range(max(0, i - half), min(height, j + half + 1))
            blocks[i, j] = torch.stack([products[i - m + half, j - m + half] for m in seen]).sum(0)
    return blocks


def _estimate(kernel_OIKK: Tensor, image: Image) -> float:
    channels = kernel_OIKK.shape[1]

    def normal(vector: Tensor) -> Tensor:
        x_1IHW = vector.reshape(1, channels, *image)
        y_1IHW = convolve_transposed(convolve(x_1IHW, kernel_OIKK, None, "zeros"), kernel_OIKK, "zeros")
        return y_1IHW.reshape(1, -1, 1)

    return largest_eigenvalue_estimate(normal, start_vector(channels * math.prod(image), kernel_OIKK)[None])


def _eigenvalue_bound(gram: Blocks, shift: float) -> float | None:
    """Proved bound of the eigenvalues of G, little more than the shift s; None where s I - G has no factor."""
    difference = {place: -block for place, block in gram.items()}
    for (i, j), block in difference.items():
        if i == j:
            block.diagonal().add_(shift)
    factor = _factor(difference)
    if factor is None:
        return None
    residual, width = [], 0
    for (i, j), block in difference.items():
        shared = [m for m in range(j + 1) if (i, m) in factor and (j, m) in factor]
        product = torch.cat([factor[i, m] for m in shared], 1) @ torch.cat([factor[j, m] for m in shared], 1).mT
        width = max(width, len(shared))
        residual.append((1 if i == j else 2) * float(frobenius(block - product)) ** 2)
    # The terms of an entry are those of one row of the factor, which has no more than K blocks.
    terms = width * next(iter(gram.values())).shape[0]
    norms = _square(factor, 1) + math.sqrt(_square(difference, 2))
    rounding = product_error(terms) * norms
    return (shift + (math.sqrt(math.fsum(residual)) + rounding) * (1 + 8 * UNIT_ROUNDOFF)) * (1 + 4 * UNIT_ROUNDOFF)


def _factor(symmetric: Blocks) -> Blocks | None:
    """The Cholesky factor, block by block; None where there is none."""
    factor: Blocks = {}
    for (i, j), block in symmetric.items():
        shared = [m for m in range(j) if (i, m) in factor]
        rest = block.clone()
        for m in shared:
            rest -= factor[i, m] @ factor[j, m].mT
        if i == j:
            factor[i, i], failed = torch.linalg.cholesky_ex(rest)
            if bool(failed):
                return None
        else:
            factor[i, j] = torch.linalg.solve_triangular(factor[j, j].mT, rest, upper=True, left=False)
    return factor


def _square(blocks: Blocks, copies: int) -> float:
    """Upper bound of the squared Frobenius norm; blocks off the diagonal stand for so many."""
    parts = [(1 if i == j else copies) * float(frobenius(block)) ** 2 for (i, j), block in blocks.items()]
    return math.fsum(parts) * (1 + 4 * UNIT_ROUNDOFF)
