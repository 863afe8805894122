"""The largest norm of a stack of matrices, proved by the residual of a Cholesky factorisation.

`norms.norm_bound` bounds every matrix of a stack, differentiably, as constructions need it. Certificates need one
number for all frequencies; this way to it takes a few products instead of two dozen. Shapes and rounding as in `conv`
and `norms`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .conv import Image, Padding, spectral_matrices, torus, zero_padded_matrix
from .norms import CUT, UNIT_ROUNDOFF, frobenius, gram_error, scaled, spectral_error, start_vector

LARGEST = 4096
"""Side of the largest square operator that is written out."""
KRYLOV_STEPS, ROUNDING = 100, 1e-9
FIRST_EXCESS, GROWTH = 1e-8, 10.0
"""How far above the estimated square of the norm the first attempt of a proof lies, and the growth per failure."""


def largest_norm_bound(matrices: Tensor) -> float:
    """Proved upper bound of the largest spectral norm of a stack of matrices, tight up to 1e-6.

    For each matrix A let G be the Gram matrix A^H A as computed, R the Cholesky factor of s I - G as computed, and
    E = s I - G - R R^H. Then s I - A^H A = R R^H + E + (G - A^H A) >= -(||E||_F + ||G - A^H A||_F) I, so that ||A||^2
    is at most s plus both norms. They are bounded by what was computed and the rounding errors of the products; how R
    was found plays no part. An estimate of the norm proposes s; where no factor exists, s grows.

    Args:
        matrices: float64 or complex128, shape (..., M, N).

    Returns:
        The bound; infinite where an entry is not finite.

    Raises:
        TypeError: If the matrices are of another dtype.
    """
    if matrices.dtype not in (torch.float64, torch.complex128):
        raise TypeError(f"largest_norm_bound needs float64 or complex128 matrices, not {matrices.dtype}")
    stack, unit = scaled(matrices.reshape(1, -1, matrices.shape[-1]))
    stack = stack.reshape(-1, *matrices.shape[-2:])
    total = float(frobenius(stack).amax())
    if not math.isfinite(total):
        return math.inf
    if stack.shape[-2] < stack.shape[-1]:
        stack = stack.mH
    gram = stack.mH @ stack
    estimate, excess, bound = _largest_eigenvalue_estimate(gram), FIRST_EXCESS, total
    while 0 < (shift := estimate * (1 + excess)) < total**2:
        square = _eigenvalue_bound(gram, shift)
        if square is not None:
            bound = min(total, math.sqrt(square + float(gram_error(stack).amax())) * (1 + 4 * UNIT_ROUNDOFF))
            break
        excess *= GROWTH
    return float(unit) * (bound + CUT) * (1 + 4 * UNIT_ROUNDOFF)


def conv_largest_norm_bound(kernel_OIKK: Tensor, image: Image, padding: Padding) -> tuple[float, str]:
    """Proved upper bound of the norm of one convolution on images of one size, and by which way it was found.

    Circular padding: the largest norm of a spectral matrix, tight. Zero padding: the norm of the dense operator where
    that is small enough to be written out, tight; else that on a torus larger by K // 2, of which the operator is a
    compression.

    Args:
        kernel_OIKK: The kernel as realised, any real dtype.
        image: Height and width.
        padding: "circular" or "zeros".

    Returns:
        The bound, infinite where an entry is not finite, and the way in words.
    """
    kernel, size = kernel_OIKK.to(torch.float64), kernel_OIKK.shape[-1]
    if padding == "zeros" and size > 1 and _fits_dense(kernel, image):
        return largest_norm_bound(zero_padded_matrix(kernel, image)), "dense operator"
    around = (1, 1) if size == 1 else torus(image, size, padding)
    largest = largest_norm_bound(spectral_matrices(kernel, around))
    bound = (largest + float(spectral_error(kernel))) * (1 + 4 * UNIT_ROUNDOFF)
    return bound, "spectral matrices" if around == image or size == 1 else "spectral matrices of a larger torus"


def _fits_dense(kernel_OIKK: Tensor, image: Image) -> bool:
    return kernel_OIKK.shape[0] * kernel_OIKK.shape[1] * math.prod(image) ** 2 <= LARGEST**2


def _eigenvalue_bound(gram: Tensor, shift: float) -> float | None:
    """Proved bound of all eigenvalues of each G, little more than the shift s; None where an s I - G has no factor."""
    difference = -gram
    difference.diagonal(dim1=-2, dim2=-1).add_(shift)
    factor, failed = torch.linalg.cholesky_ex(difference)
    if bool(failed.any()):
        return None
    residual = frobenius(difference - factor @ factor.mH)
    rounding = gram_error(factor.mH) + 2 * UNIT_ROUNDOFF * frobenius(difference)
    return (shift + float((residual + rounding).amax()) * (1 + 8 * UNIT_ROUNDOFF)) * (1 + 4 * UNIT_ROUNDOFF)


def _largest_eigenvalue_estimate(gram: Tensor) -> float:
    """The largest eigenvalue of the matrices of a stack (F, N, N), each on a Krylov space, from below."""
    count, size, _ = gram.shape
    basis = start_vector(size, gram).expand(count, -1, -1)
    basis = basis / torch.linalg.vector_norm(basis, dim=-2, keepdim=True)
    for _ in range(min(KRYLOV_STEPS, size) - 1):
        image = vector = gram @ basis[..., -1:]
        for _ in range(2):
            vector = vector - basis @ (basis.mH @ vector)
        before, length = (torch.linalg.vector_norm(v, dim=-2, keepdim=True) for v in (image, vector))
        # What is left of a vector of the space itself is rounding: it would not be orthogonal to the basis.
        basis = torch.cat([basis, torch.where(length > ROUNDING * before, vector / length, 0.0)], dim=-1)
    return float(torch.linalg.eigvalsh(basis.mH @ gram @ basis).amax())
