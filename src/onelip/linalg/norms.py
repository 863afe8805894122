"""What proofs of spectral norms are made of, in float64: sizes of matrices and of the rounding of their products.

All assume IEEE 754 float64 with round to nearest and products summed in any order (u = 2^-53,
gamma_n = n u / (1 - n u); Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapter 3). Complex arithmetic
is real arithmetic on twice as many terms.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .rounding import UNIT_ROUNDOFF, gamma

TINY, CUT = 2.0**-500, 2.0**-470
"""Entries that are cut off (products of two are normal numbers still), and more than all of a matrix together."""
UNDERFLOW = 2.0**-900
"""More than all products of a Gram matrix can lose to underflow."""
EXPONENT_BITS = 0x7FF0000000000000


def _real(matrices: Tensor) -> Tensor:
    """Real and imaginary parts of the entries, shape (..., M, N, 1 or 2)."""
    return torch.view_as_real(matrices.resolve_conj()) if matrices.is_complex() else matrices[..., None]


def _up(value: Tensor) -> Tensor:
    return value * (1 + 4 * UNIT_ROUNDOFF)


def frobenius(matrices: Tensor) -> Tensor:
    """Upper bound of the Frobenius norm of each float64 matrix, shape (...)."""
    terms = matrices.shape[-2] * matrices.shape[-1] * (2 if matrices.is_complex() else 1)
    norm = torch.linalg.vector_norm(_real(matrices), dim=(-3, -2, -1))
    return (norm + UNDERFLOW**0.5) * (1 + gamma(terms + 8))


def _gram(matrices: Tensor) -> Tensor:
    if matrices.shape[-2] < matrices.shape[-1]:
        matrices = matrices.mH
    return matrices.mH @ matrices


def gram_error(matrices: Tensor) -> Tensor:
    """Upper bound of ||fl(A^H A) - A^H A||_F for each float64 matrix, shape (...).

    Real and imaginary part of an entry each err by gamma times a sum of products of absolute values, together by at
    most sqrt(2) of that.
    """
    return product_error(max(matrices.shape[-2:])) * frobenius(matrices).square()


def product_error(terms: int) -> float:
    """What an entry of a product of so many (complex) terms errs by, over the sum of the terms' absolute values."""
    return 2 * gamma(2 * terms + 8)


def spectral_error(kernel_OIKK: Tensor) -> Tensor:
    """Upper bound of the rounding in every spectral matrix of a float64 kernel, in the Frobenius norm, shape (...)."""
    return gamma(2 * kernel_OIKK.shape[-1] ** 2 + 128) * frobenius(kernel_OIKK.abs().sum((-2, -1)))


def _without_tiny(matrices: Tensor) -> Tensor:
    real = F.hardshrink(_real(matrices), TINY)
    return torch.view_as_complex(real) if matrices.is_complex() else real[..., 0]


def _largest_entry(matrices: Tensor) -> Tensor:
    """Largest absolute value of a real or imaginary part, shape (...)."""
    return torch.linalg.vector_norm(_real(matrices), math.inf, dim=(-3, -2, -1))


def _power_of_two_above(value: Tensor) -> Tensor:
    """The next power of two of float64 values, by their bits exactly; 1 for subnormal ones."""
    power = (value.detach().view(torch.int64) & EXPONENT_BITS).view(torch.float64)
    return torch.where(power > 0, 2 * power, 1.0)


def scaled(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices divided by a power of two above their entries, without entries below `TINY`; and that power, (...).

    Products of two entries then are normal numbers, and what was cut off has a norm below `CUT`.
    """
    unit = _power_of_two_above(_largest_entry(matrices))
    return _without_tiny(matrices / unit[..., None, None]), unit


def isometry_defect(matrices: Tensor) -> Tensor:
    """Upper bound of ||A^H A - I||_F for each float64 matrix (of A A^H - I where A is wide), shape (...).

    Every singular value of A lies within sqrt(1 - defect) and sqrt(1 + defect).
    """
    gram = _gram(matrices)
    residual = gram - torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    slack = gram_error(matrices) + 2 * UNIT_ROUNDOFF * frobenius(gram)
    return _up(frobenius(residual) + _up(slack))


def contract(matrices: Tensor) -> Tensor:
    """Divides each nearly isometric matrix by a proved bound of its norm, where that exceeds 1.

    The bound is sqrt(1 + ||A^H A - I||_F), taken in float64 of the matrix as it is; the gradient does not see it.

    Returns:
        Matrices of the same shape and dtype, of norm at most 1 plus one rounding of the division.
    """
    wide = matrices.detach().to(torch.complex128 if matrices.is_complex() else torch.float64)
    scale = _up((1 + isometry_defect(wide)).sqrt())
    return matrices / scale.clamp(min=1).to(matrices.real.dtype)[..., None, None]
