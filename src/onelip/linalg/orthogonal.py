"""Matrices with orthonormal rows or columns: polar factors and Cayley transforms, real and complex, batched.

Shapes: M x N matrices, `...` any leading dimensions. "Semi-orthogonal" means Q^H Q = I where M >= N, else Q Q^H = I.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from .again import hides_history
from .autocast import without_autocast
from .polynomials import SMALLEST, polar_by_products
from .stacks import in_parts

LARGEST_INVERTED = 64
"""Larger matrices are inverted in blocks. On CPUs torch's LU factorisation of stacks of matrices from about 150 rows on
is wrong where several threads share the work, or never ends (pytorch issues 141358, 142815)."""
LARGE, CONDITION = 64, 1e3
"""Sides and condition numbers of matrices whose singular vectors are found by their Gram matrices."""
NO_SECOND_DERIVATIVE = "polar factors by decompositions, which layers may be made of, have no second derivative"
SQUARES = 1e-280
"""Below it squares of singular values lose digits to underflow."""


def _singular_values(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, S and W^H of each matrix; the singular values in any order.

    Large well-conditioned matrices in double precision go by their Gram matrices, in three quarters of the time. In
    single precision LAPACK's divide and conquer gives up now and then on matrices whose singular values repeat, as
    those of nearly orthogonal ones do, or gives singular vectors that are not numbers without a word. In double
    precision their differences are far above roundoff.
    """
    found = _from_gram(matrices) if _worth_a_gram(matrices) else None
    if found is not None:
        return found
    left, singular, right = in_parts(_decomposed, matrices)
    return left, singular, right


def _decomposed(matrices: Tensor) -> tuple[Tensor, ...]:
    with suppress(torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        found = tuple(torch.linalg.svd(matrices, full_matrices=False))
        if not _may_be_seen(matrices) or all(bool(factor.isfinite().all()) for factor in found):
            return found
    wide = torch.linalg.svd(matrices.to(torch.promote_types(matrices.dtype, torch.float64)), full_matrices=False)
    return wide.U.to(matrices.dtype), wide.S.to(matrices.real.dtype), wide.Vh.to(matrices.dtype)


def _may_be_seen(matrices: Tensor) -> bool:
    """Whether a decision may rest on the numbers: those of a compiled or transformed program are not there yet."""
    hidden = torch.compiler.is_compiling() or type(matrices) is not Tensor or matrices.device.type == "meta"
    return not hidden and not torch._C._functorch.is_batchedtensor(matrices)


def _worth_a_gram(matrices: Tensor) -> bool:
    """Whether to try Gram matrices: of large matrices, whose numbers can be looked at."""
    large = matrices.real.dtype == torch.float64 and min(matrices.shape[-2:]) >= LARGE
    return large and _may_be_seen(matrices)


def _from_gram(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """U = V W S^-1 from the eigenvectors W of V^H V = W S^2 W^H; None where a condition number is above `CONDITION`.

    U is off by that number's square in units of roundoff: 1e-10 at most.
    """
    if matrices.shape[-2] < matrices.shape[-1]:
        found = _from_gram(matrices.mH)
        return None if found is None else (found[2].mH, found[1], found[0].mH)
    values, vectors = in_parts(torch.linalg.eigh, matrices.mH @ matrices)
    if not bool(((values[..., 0] * CONDITION**2 > values[..., -1]) & (values[..., 0] > SQUARES)).all()):
        return None
    singular = values.sqrt()
    return matrices @ vectors / singular[..., None, :], singular, vectors.mH


class _Polar(torch.autograd.Function):
    """Polar factor U W^H of V = U S W^H, with the derivative taken analytically.

    Note [derivative of the polar factor]: with M = U^H G W for an incoming gradient G, the gradient of V is
    U [(M - M^H) / (s_i + s_j)] W^H, and for tall V also (I - U U^H) G W S^-1 W^H: the part of G that moves the range.
    Repeated singular values do no harm, as sums stand in the denominators where the derivative of an SVD has
    differences. At a rank deficiency the factor is not unique and no derivative exists; a floor of the singular values
    keeps the result finite there.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(matrices: Tensor) -> tuple[Tensor, ...]:
        left, singular, right = _singular_values(matrices)
        # Nothing at all, but a function of the matrices: by it their derivative is one, too.
        trace = matrices.new_empty(0)
        return left @ right, trace, left, singular, right

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[2:])
        ctx.save_for_backward(*output[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        if hides_history(gradients[0]):
            raise RuntimeError(NO_SECOND_DERIVATIVE)
        with without_autocast(gradients[0].device):
            derivative: Tensor = _PolarDerivative.apply(gradients[0], *ctx.saved_tensors)  # type: ignore[no-untyped-call]
            return derivative


class _PolarDerivative(torch.autograd.Function):
    """The derivative of `_Polar`. To differentiate it is refused: to be silent would drop a part of the second one."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor, _trace: Tensor, left: Tensor, singular: Tensor, right: Tensor) -> Tensor:
        floor = torch.finfo(singular.dtype).eps * singular.amax(-1, keepdim=True)
        singular = singular.clamp(min=SMALLEST).maximum(floor)
        inner = left.mH @ gradient @ right.mH
        core = (inner - inner.mH) / (singular[..., :, None] + singular[..., None, :])
        if left.shape[-2] > right.shape[-1]:
            moved = gradient @ right.mH - left @ inner
            return (left @ core + moved / singular[..., None, :]) @ right
        if left.shape[-2] < right.shape[-1]:
            moved = left.mH @ gradient - inner @ right
            return left @ (core @ right + moved / singular[..., :, None])
        return left @ core @ right

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise RuntimeError(NO_SECOND_DERIVATIVE)


def polar(matrices: Tensor) -> Tensor:
    """Polar factor: the nearest semi-orthogonal matrix, V (V^H V)^(-1/2) where V has full column rank.

    It is the limit of the Bjorck-Bowie iteration (1971) and of coupled Newton iterations. In single precision on a GPU,
    where weights are constructed in training, it is made of products, see `polynomials`.

    Args:
        matrices: Real or complex, shape (..., M, N).

    Returns:
        Semi-orthogonal matrices of the same shape. For a rank-deficient V one of the several factors.
    """
    if matrices.device.type == "cuda" and matrices.real.dtype == torch.float32:
        return polar_by_products(matrices)
    result: Tensor = _Polar.apply(matrices)[0]  # type: ignore[no-untyped-call]
    return result


def cayley(matrices: Tensor) -> Tensor:
    """Cayley transform of U (square) or [U; V] (tall): semi-orthogonal matrices; wide ones by their adjoint.

    With A = U - U^H + V^H V it is [(I + A)^-1 (I - A); -2 V (I + A)^-1] (Trockman & Kolter, ICLR 2021,
    arXiv 2104.07167). I + A is always invertible, since its Hermitian part is at least I. Computed as
    [2 B - I; -2 V B] with B = (I + A)^-1.

    In floating point I drowns in a huge V^H V and leaves a singular matrix. A ridge of a few units of roundoff of A, as
    small as the rounding of the sum itself, keeps it regular; it makes the result smaller, never larger.

    Args:
        matrices: Real or complex, shape (..., M, N).

    Returns:
        Semi-orthogonal matrices of the same shape.
    """
    rows, columns = matrices.shape[-2:]
    if rows < columns:
        return cayley(matrices.mH).mH
    identity = torch.eye(columns, dtype=matrices.dtype, device=matrices.device)
    square, rest = matrices[..., :columns, :], matrices[..., columns:, :]
    matrix = identity + square - square.mH
    if rows > columns:  # a product with nothing would be kept for the backward pass
        matrix = matrix + rest.mH @ rest
    inverse = _inverse(matrix + _ridge(matrix) * identity)
    top = 2 * inverse - identity
    return top if rows == columns else torch.cat([top, -2 * rest @ inverse], dim=-2)


def cayley_numbers(rows: int, columns: int) -> int:
    """Numbers that `cayley` keeps of one matrix for the backward pass, its result not among them.

    Of the inverse, and of tall matrices themselves and their lower part again.
    """
    tall, small = max(rows, columns), min(rows, columns)
    if tall == small and small > LARGEST_INVERTED:
        return _kept_blocks(small, own=True)
    return _kept_inverse(small, own=True) + (2 * tall - small) * small * (tall > small)


def _ridge(matrices: Tensor) -> Tensor:
    largest = matrices.detach().abs().amax((-2, -1), keepdim=True)
    return 4 * torch.finfo(largest.dtype).eps * largest


def _inverse(matrices: Tensor) -> Tensor:
    """Inverses of matrices whose Hermitian part is positive definite, by halves.

    The leading block and its Schur complement have a Hermitian part as definite as that of the whole, so that both can
    be inverted without exchanging rows of one with rows of the other.
    """
    size = matrices.shape[-1]
    if size <= LARGEST_INVERTED:
        return torch.linalg.inv_ex(matrices).inverse  # looks at no result, for which a GPU would have to be waited for
    rows = matrices.split([size // 2, size - size // 2], dim=-2)
    (a, b), (c, d) = (row.split([size // 2, size - size // 2], dim=-1) for row in rows)
    first = _inverse(a)
    left = c @ first
    second = _inverse(d - left @ b)
    right = -first @ b @ second
    top = torch.cat([first - right @ left, right], dim=-1)
    return torch.cat([top, torch.cat([-second @ left, second], dim=-1)], dim=-2)


def _kept_inverse(size: int, *, own: bool) -> int:
    """Numbers that `_inverse` keeps of a matrix, its result among them; the matrix where it is not part of another."""
    return size**2 + (0 if size <= LARGEST_INVERTED else _kept_blocks(size, own=own))


def _kept_blocks(size: int, *, own: bool) -> int:
    half = size // 2
    rest = size - half
    blocks = half**2 + rest**2 + 3 * half * rest  # both inverses again, `left`, `right` and what it is made of
    return size**2 * own + blocks + _kept_inverse(half, own=False) + _kept_inverse(rest, own=True)
