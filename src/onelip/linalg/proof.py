"""The largest norm of a stack of matrices, proved by the residual of a Cholesky factorisation.

Shapes and rounding as in `conv` and `norms`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .banded import zero_padded_norm_bound
from .conv import Image, Padding, spectral_matrices, torus
from .estimates import start_vector
from .krylov import largest_eigenvalue_estimate, norm_proved, room_for
from .norms import CUT, TINY, frobenius, gram_error, product_error, scaled, spectral_error
from .rounding import UNIT_ROUNDOFF

LARGEST = 4096
"""Channels times pixels up to which the operator of a convolution with zero padding is factorised itself."""
CLOSE = 9.5e-7
"""How far a bound may lie above a known part of the norm to be called tight, if a tighter one is expensive."""
EXPENSIVE = 2**24
"""Multiplications of a product of two stacks that are."""
HALVED = 64
"""From matrices of twice this size on products with a triangular factor skip blocks of zeros."""
POWER_STEPS, CANDIDATES = 8, 4
"""How the matrices of a stack are found that are worth a Krylov space, and how many are."""


def largest_norm_bound(matrices: Tensor, *, enough: float = 0.0) -> float:
    """Proved upper bound of the largest spectral norm of a stack of matrices, tight up to 1e-6.

    For each matrix A let G be the Gram matrix A^H A as computed. Where all G are close to a multiple c I of the
    identity, ||A||^2 <= c + ||G - c I||_F + ||G - A^H A||_F is tight already. Otherwise let R be the Cholesky factor of
    s I - G as computed, and E = s I - G - R R^H. Then s I - A^H A = R R^H + E + (G - A^H A)
    >= -(||E||_F + ||G - A^H A||_F) I, so that ||A||^2 is at most s plus both norms. They are bounded by what was
    computed and the rounding errors of the products; how R was found plays no part. An estimate of the norm proposes s;
    where no factor exists, s grows.

    Args:
        matrices: float64 or complex128, shape (..., M, N).
        enough: A bound that needs not be improved. A bound that this function gave is always found enough, also on
            another machine.

    Returns:
        The bound; infinite where an entry is not finite.

    Raises:
        TypeError: If the matrices are of another dtype.
    """
    if matrices.dtype not in (torch.float64, torch.complex128):
        raise TypeError(f"largest_norm_bound needs float64 or complex128 matrices, not {matrices.dtype}")
    stack, unit = scaled(matrices.reshape(1, -1, matrices.shape[-1]))
    return float(unit) * _scaled_norm_bound(stack.reshape(-1, *matrices.shape[-2:]), enough / float(unit))


def _scaled_norm_bound(stack: Tensor, enough: float) -> float:
    """The same for a stack (F, M, N) of entries near 1."""
    total = float(frobenius(stack).amax())
    if not math.isfinite(total):
        return math.inf
    if stack.shape[-2] < stack.shape[-1]:
        stack = stack.mH
    gram, charge = stack.mH @ stack, float(gram_error(stack).amax())
    square, part = _near_identity(gram)
    near, room = math.sqrt(square + charge) * (1 + 4 * UNIT_ROUNDOFF), room_for(*stack.shape[-2:])
    expensive = gram.numel() * gram.shape[-1] > EXPENSIVE
    search = _Search(gram)
    return norm_proved(
        search.prove,
        search.estimate,
        charge=charge,
        known=min(total, near),
        wanted=enough,
        room=room,
        tight=expensive and near * (1 + room) <= math.sqrt(max(part - charge, 0.0)) * (1 + CLOSE),
    )


def _near_identity(gram: Tensor) -> tuple[float, float]:
    """Proved bound c + ||G - c I||_F of the eigenvalues of each G, and a number on a diagonal, which is no larger."""
    diagonal = gram.diagonal(dim1=-2, dim2=-1)
    entries, middle = diagonal.clone(), diagonal.real.mean(-1)
    diagonal.sub_(middle[:, None])
    rest = frobenius(gram) * (1 + 4 * UNIT_ROUNDOFF) + UNIT_ROUNDOFF * gram.shape[-1] * entries.real.abs().amax(-1)
    diagonal.copy_(entries)
    return float(((middle + rest) * (1 + 4 * UNIT_ROUNDOFF)).amax()), float(entries.real.amax())


class _Search:
    """The Gram matrices G of a stack, and what is known of their largest eigenvalue."""

    def __init__(self, gram: Tensor) -> None:
        self.gram = gram
        self._open = torch.ones(gram.shape[0], dtype=torch.bool, device=gram.device)

    def estimate(self) -> float:
        """The largest eigenvalue, from below: on Krylov spaces of those G that power steps find the largest for.

        Only those are tried that no factor was found for the last time.
        """
        gram = self.gram[self._open]
        start = start_vector(gram.shape[-1], gram).expand(gram.shape[0], -1, -1)
        vector = start
        for _ in range(POWER_STEPS):
            vector = gram @ (vector / torch.linalg.vector_norm(vector, dim=-2, keepdim=True).clamp(min=TINY))
        chosen = torch.linalg.vector_norm(vector, dim=-2)[:, 0].topk(min(CANDIDATES, gram.shape[0])).indices
        gram, start = gram[chosen], start[chosen]
        return largest_eigenvalue_estimate(lambda vector: gram @ vector, start)

    def prove(self, shift: float) -> float | None:
        """Proved bound of all eigenvalues of each G, little above the shift s; None where an s I - G has no factor."""
        difference = -self.gram
        difference.diagonal(dim1=-2, dim2=-1).add_(shift)
        factor, failed = torch.linalg.cholesky_ex(difference)
        if bool(failed.any()):
            self._open = failed != 0
            return None
        return float(_eigenvalue_bounds(difference, factor, shift).amax())


def _eigenvalue_bounds(difference: Tensor, factor: Tensor, shift: float) -> Tensor:
    """Proved bounds of the eigenvalues of each G, whatever the factor of s I - G is."""
    residual = _residual(difference, factor)
    # The entry that is subtracted from is one more term of a sum.
    rounding = product_error(factor.shape[-1] + 1) * (frobenius(factor).square() + frobenius(difference))
    return (shift + (residual + rounding) * (1 + 8 * UNIT_ROUNDOFF)) * (1 + 4 * UNIT_ROUNDOFF)


def _residual(difference: Tensor, factor: Tensor) -> Tensor:
    """Upper bound of ||D - R R^H||_F, R lower triangular; of a large D the upper right quarter is not read.

    It is taken for the adjoint of the lower left one, as it is but for rounding that is bounded for each entry.
    """
    half = factor.shape[-1] // 2
    if half < HALVED:
        return frobenius(torch.baddbmm(difference, factor, factor.mH, alpha=-1))
    first, second = factor[:, :half, :half], factor[:, half:]
    top = torch.baddbmm(difference[:, :half, :half], first, first.mH, alpha=-1)
    left = torch.baddbmm(difference[:, half:, :half], second[..., :half], first.mH, alpha=-1)
    rest = torch.baddbmm(difference[:, half:, half:], second, second.mH, alpha=-1)
    parts = frobenius(top).square() + 2 * frobenius(left).square() + frobenius(rest).square()
    return parts.sqrt() * (1 + 8 * UNIT_ROUNDOFF)


def conv_largest_norm_bound(
    kernel_OIKK: Tensor, image: Image, padding: Padding, *, enough: float = 0.0
) -> tuple[float, str]:
    """Proved upper bound of the norm of one convolution on images of one size, and by which way it was found.

    Circular padding: the largest norm of a spectral matrix, tight. Zero padding: that on a torus larger by K // 2, of
    which the operator is a compression; and on small images the norm of the operator itself, tight.

    Args:
        kernel_OIKK: The kernel as realised, any real dtype.
        image: Height and width.
        padding: "circular" or "zeros".
        enough: A bound that needs not be improved: nothing more is tried below it.

    Returns:
        The bound, infinite where an entry is not finite, and the way in words. Tight is up to 1e-6, and up to 1e-13 of
        the norms of the taps, where these cancel.
    """
    kernel, size = kernel_OIKK.to(torch.float64), kernel_OIKK.shape[-1]
    if size == 1:
        return largest_norm_bound(kernel.flatten(-3), enough=enough), "matrix"
    flat, unit = scaled(kernel.flatten(1)[None])
    bound, way = _scaled_conv_bound(flat.view_as(kernel), image, padding, enough / float(unit) - CUT)
    return float(unit) * (bound + CUT), way


def _scaled_conv_bound(kernel: Tensor, image: Image, padding: Padding, enough: float) -> tuple[float, str]:
    """The same for a kernel of entries near 1, larger than 1x1."""
    size = kernel.shape[-1]
    charge = float(spectral_error(kernel)) * (1 + 4 * UNIT_ROUNDOFF)
    matrices = spectral_matrices(kernel, torus(image, size, padding))
    largest = _scaled_norm_bound(matrices, enough * (1 - 16 * UNIT_ROUNDOFF) - charge)
    bound = (largest + charge) * (1 + 4 * UNIT_ROUNDOFF) if math.isfinite(charge) else math.inf
    if enough < bound < math.inf:
        # Room for a machine that comes to other spectral matrices, by up to two charges.
        bound += 2 * charge
    if padding == "circular" or not math.isfinite(bound):
        return bound, "spectral matrices"
    if bound <= enough or max(kernel.shape[:2]) * math.prod(image) > LARGEST:
        return bound, "spectral matrices of a larger torus"
    return min(bound, zero_padded_norm_bound(kernel, image, enough=enough)), "rows of pixels"
