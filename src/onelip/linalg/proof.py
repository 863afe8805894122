"""The largest norm of a stack of matrices, proved by the residual of a Cholesky factorisation.

`norms.norm_bound` bounds every matrix of a stack, differentiably. Certificates need one number for all frequencies:
this way to it takes a few products, not two dozen. Constructions need the first for the largest matrix only, and the
second finds out which that may be. Shapes and rounding as in `conv` and `norms`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .banded import zero_padded_norm_bound
from .conv import Image, Padding, spectral_matrices, torus
from .krylov import largest_eigenvalue_estimate, norm_proved
from .norms import (
    CUT,
    TIGHT_SQUARINGS,
    TINY,
    UNIT_ROUNDOFF,
    frobenius,
    gram_error,
    norm_bound,
    scaled,
    spectral_error,
    start_vector,
)

LARGEST = 4096
"""Channels times pixels up to which the operator of a convolution with zero padding is factorised itself."""
SLACK = 1 + 1e-6
"""More than the rounding of a proof: how far below what is to be proved of other matrices the proof is tried."""
POWER_STEPS, CANDIDATES = 4, 4
"""How the matrices of a stack are found that are worth a Krylov space, and how many are."""


def largest_norm_bound(matrices: Tensor, *, enough: float = 0.0) -> float:
    """Proved upper bound of the largest spectral norm of a stack of matrices, tight up to 1e-6.

    For each matrix A let G be the Gram matrix A^H A as computed, R the Cholesky factor of s I - G as computed, and
    E = s I - G - R R^H. Then s I - A^H A = R R^H + E + (G - A^H A) >= -(||E||_F + ||G - A^H A||_F) I, so that ||A||^2
    is at most s plus both norms. They are bounded by what was computed and the rounding errors of the products; how R
    was found plays no part. An estimate of the norm proposes s; where no factor exists, s grows.

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
    stack = stack.reshape(-1, *matrices.shape[-2:])
    total = float(frobenius(stack).amax())
    if not math.isfinite(total):
        return math.inf
    if stack.shape[-2] < stack.shape[-1]:
        stack = stack.mH
    search, charge = _Search(stack.mH @ stack), float(gram_error(stack).amax())
    bound = norm_proved(
        search.prove,
        search.estimate,
        charge=charge,
        known=total,
        wanted=enough / float(unit),
        size=max(stack.shape[-2:]),
    )
    return float(unit) * bound


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
        difference, factor, failed = _factored(self.gram, shift)
        if bool(failed.any()):
            self._open = failed
            return None
        return float(_eigenvalue_bounds(difference, factor, shift).amax())

    def contenders(self, looseness: float) -> Tensor:
        """Which G may have an eigenvalue that is the largest of all up to this factor: their indices."""
        largest = self.estimate()
        difference, factor, failed = _factored(self.gram, largest / (looseness * SLACK))
        below = _eigenvalue_bounds(difference, factor, largest / (looseness * SLACK)) <= largest / looseness
        return (failed | ~below).nonzero()[:, 0]


def _factored(gram: Tensor, shift: float) -> tuple[Tensor, Tensor, Tensor]:
    """For each G the matrix s I - G, its Cholesky factor, and whether there is none."""
    difference = -gram
    difference.diagonal(dim1=-2, dim2=-1).add_(shift)
    factor, failed = torch.linalg.cholesky_ex(difference)
    return difference, factor, failed != 0


def _eigenvalue_bounds(difference: Tensor, factor: Tensor, shift: float) -> Tensor:
    """Proved bounds of the eigenvalues of each G, whatever the factor of s I - G is."""
    residual = frobenius(difference - factor @ factor.mH)
    rounding = gram_error(factor.mH) + 2 * UNIT_ROUNDOFF * frobenius(difference)
    return (shift + (residual + rounding) * (1 + 8 * UNIT_ROUNDOFF)) * (1 + 4 * UNIT_ROUNDOFF)


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
        The bound, infinite where an entry is not finite, and the way in words.
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
    largest = largest_norm_bound(matrices, enough=enough * (1 - 16 * UNIT_ROUNDOFF) - charge)
    bound = (largest + charge) * (1 + 4 * UNIT_ROUNDOFF) if math.isfinite(charge) else math.inf
    if padding == "circular" or not math.isfinite(bound):
        return bound, "spectral matrices"
    if bound <= enough or max(kernel.shape[:2]) * math.prod(image) > LARGEST:
        return bound, "spectral matrices of a larger torus"
    return min(bound, zero_padded_norm_bound(kernel, image, enough=enough)), "rows of pixels"


def conv_norm_bound(kernel_OIKK: Tensor, image: Image, padding: Padding, *, squarings: int = TIGHT_SQUARINGS) -> Tensor:
    """Proved upper bound of the spectral norm of convolutions on images of one size, differentiable.

    Circular: the largest norm of a spectral matrix on the image's own torus, tight. Zero padding: that on a torus
    larger by K // 2, of which the operator is a compression.

    Args:
        kernel_OIKK: Kernels as realised, any real dtype, shape (..., O, I, K, K).
        image: Height and width.
        padding: "circular" or "zeros".
        squarings: See `norm_bound`.

    Returns:
        Bounds of shape (...), float64.
    """
    kernel = kernel_OIKK.to(torch.float64)
    if kernel.shape[-1] == 1:
        return norm_bound(kernel.flatten(-3), squarings=squarings)
    matrices = spectral_matrices(kernel, torus(image, kernel.shape[-1], padding))
    stacks = matrices.reshape(-1, *matrices.shape[-3:]) if _may_look(matrices) else ()
    if len(stacks):
        bounds = [norm_bound(stack[_contenders(stack, squarings)], squarings=squarings).amax() for stack in stacks]
        largest = torch.stack(bounds).view(matrices.shape[:-3])
    else:
        largest = norm_bound(matrices, squarings=squarings).amax(-1)
    return (largest + spectral_error(kernel)) * (1 + 4 * UNIT_ROUNDOFF)


@torch.no_grad()
def _contenders(matrices: Tensor, squarings: int) -> Tensor:
    """Those matrices of a stack whose `norm_bound` may be the largest of all; the others need none."""
    stack, _ = scaled(matrices.detach().reshape(1, -1, matrices.shape[-1]))
    stack = stack.reshape(matrices.shape)
    if stack.shape[-2] < stack.shape[-1]:
        stack = stack.mH
    if not bool(torch.isfinite(stack.abs().amax())):
        return torch.arange(len(stack), device=stack.device)
    return _Search(stack.mH @ stack).contenders(stack.shape[-1] ** 0.5 ** (squarings + 1))


def _may_look(matrices: Tensor) -> bool:
    """Whether what is computed may depend on numbers: not where it is traced or transformed."""
    traced = torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None
    return type(matrices) is Tensor and matrices.device.type != "meta" and not traced
