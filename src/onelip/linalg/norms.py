"""Spectral norms of matrices and convolutions: proved upper bounds (float64), and estimates that may only steer.

The bounds assume IEEE 754 float64 with round to nearest and products summed in any order (u = 2^-53,
gamma_n = n u / (1 - n u); Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapter 3). Complex arithmetic
is real arithmetic on twice as many terms.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .conv import Image, Padding, spectral_matrices, torus

UNIT_ROUNDOFF = 2.0**-53
TINY, CUT = 2.0**-500, 2.0**-470
"""Entries that are cut off (products of two are normal numbers still), and more than all of a matrix together."""
UNDERFLOW = 2.0**-900
"""More than all products of a Gram matrix can lose to underflow."""
EXPONENT_BITS = 0x7FF0000000000000
SIDE_PER_STEP = 8
"""A Gram matrix is worth making up to so many rows for each step of a power iteration."""
STEPS_BETWEEN_UNITS = 8
"""Steps of a power iteration until its vector is made a unit vector again."""
REFINING_SQUARINGS = 6
"""Of the Gram matrix at the frequency of the largest norm, in estimates."""


def _real(matrices: Tensor) -> Tensor:
    """Real and imaginary parts of the entries, shape (..., M, N, 1 or 2)."""
    return torch.view_as_real(matrices.resolve_conj()) if matrices.is_complex() else matrices[..., None]


def _gamma(terms: int) -> float:
    return terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF)


def _up(value: Tensor) -> Tensor:
    return value * (1 + 4 * UNIT_ROUNDOFF)


def frobenius(matrices: Tensor) -> Tensor:
    """Upper bound of the Frobenius norm of each float64 matrix, shape (...)."""
    terms = matrices.shape[-2] * matrices.shape[-1] * (2 if matrices.is_complex() else 1)
    norm = torch.linalg.vector_norm(_real(matrices), dim=(-3, -2, -1))
    return (norm + UNDERFLOW**0.5) * (1 + _gamma(terms + 8))


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
    return 2 * _gamma(2 * terms + 8)


def spectral_error(kernel_OIKK: Tensor) -> Tensor:
    """Upper bound of the rounding in every spectral matrix of a float64 kernel, in the Frobenius norm, shape (...)."""
    return _gamma(2 * kernel_OIKK.shape[-1] ** 2 + 128) * frobenius(kernel_OIKK.abs().sum((-2, -1)))


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


def start_vector(size: int, like: Tensor) -> Tensor:
    """Where power iterations begin: fixed, and orthogonal to nothing that a network would know of; shape (size, 1)."""
    index = torch.arange(size, device=like.device, dtype=torch.float64)
    return torch.cos(1 + 0.7 * index.square()).to(like.dtype)[:, None]


def _normalise(vectors: Tensor) -> Tensor:
    """Unit vectors (..., N, 1); by real and imaginary parts, as moduli of complex numbers take several times longer."""
    return vectors / torch.linalg.vector_norm(_real(vectors), dim=(-3, -2, -1))[..., None, None].clamp(min=1e-30)


def singular_vector_estimate(matrices: Tensor, steps: int) -> Tensor:
    """Right singular vectors near the largest singular value: (A^H A)^steps of a fixed start, shape (..., N, 1).

    By products with the smaller of both Gram matrices where that is worth making, else with the matrices themselves.
    """
    adjoint = matrices.mH.resolve_conj()  # products would conjugate it anew each time
    vector = start_vector(matrices.shape[-1], matrices).expand(*matrices.shape[:-2], -1, -1)
    if min(matrices.shape[-2:]) > SIDE_PER_STEP * steps:
        for _ in range(steps):
            vector = _normalise(adjoint @ (matrices @ vector))
        return vector
    if matrices.shape[-2] >= matrices.shape[-1]:
        return _powers(adjoint @ matrices, steps, vector)
    return _normalise(adjoint @ _powers(matrices @ adjoint, steps - 1, matrices @ vector))


def _of_trace_one(gram: Tensor) -> Tensor:
    trace = gram.diagonal(dim1=-2, dim2=-1).real.sum(-1)
    return gram / trace.clamp(min=torch.finfo(trace.dtype).tiny)[..., None, None]


def _powers(gram: Tensor, steps: int, vector: Tensor) -> Tensor:
    """Unit vectors G^steps v. With a trace of 1 a product shortens no vector of interest by more than N."""
    gram, vector = _of_trace_one(gram), _normalise(vector)
    for step in range(1, steps + 1):
        vector = gram @ vector
        if step % STEPS_BETWEEN_UNITS == 0:
            vector = _normalise(vector)
    return _normalise(vector)


def singular_vector_macs(rows: int, columns: int, steps: int) -> int:
    """Multiply-accumulates of `singular_vector_estimate` for one real matrix."""
    small, both = min(rows, columns), rows * columns
    if small > SIDE_PER_STEP * steps:
        return 2 * steps * both
    return small * both + (steps * small**2 if rows >= columns else (steps - 1) * small**2 + 2 * both)


def norm_estimate(matrices: Tensor, *, steps: int = 20) -> Tensor:
    """Estimate of spectral norms, from below, differentiable: it may steer training and never certifies.

    Returns:
        Estimates of shape (...), in the matrices' real dtype.
    """
    with torch.no_grad():
        vector = singular_vector_estimate(matrices, steps)
    return torch.linalg.vector_norm(matrices @ vector, dim=(-2, -1))


def conv_norm_estimate(kernel_OIKK: Tensor, image: Image, padding: Padding, *, steps: int = 8) -> Tensor:
    """Estimate of the norm of convolutions, from below, differentiable: it may steer training only.

    Power iteration at every frequency finds the frequency of the largest norm; there, 64 further steps are taken by
    squaring the Gram matrix six times. No state is kept from one call to the next.

    Returns:
        Estimates of shape (...), in the kernel's dtype.
    """
    size = kernel_OIKK.shape[-1]
    if size == 1:
        spectrum = kernel_OIKK.flatten(-3)[..., None, :, :]
    else:
        spectrum = spectral_matrices(kernel_OIKK, torus(image, size, padding))
    with torch.no_grad():
        peak, vector = peak_of(spectrum, steps=steps, squarings=REFINING_SQUARINGS)
    index = peak[..., None, None, None].expand(*peak.shape, 1, *spectrum.shape[-2:])
    return torch.linalg.vector_norm(spectrum.gather(-3, index).squeeze(-3) @ vector, dim=(-2, -1))


def peak_of(spectrum: Tensor, *, steps: int, squarings: int) -> tuple[Tensor, Tensor]:
    """Which matrix of a stack (..., F, M, N) has the largest norm, and its right singular vector, both by estimate.

    Args:
        spectrum: The matrices.
        steps: Of power iterations with every matrix.
        squarings: Of the Gram matrix of the one that is chosen.

    Returns:
        Index of shape (...), vector of shape (..., N, 1).
    """
    vector = singular_vector_estimate(spectrum, steps)
    peak = torch.linalg.vector_norm(_real(spectrum @ vector), dim=(-3, -2, -1)).argmax(-1)
    index = peak[..., None, None, None].expand(*peak.shape, 1, *spectrum.shape[-2:])
    matrix = spectrum.gather(-3, index).squeeze(-3)
    gram = matrix.mH @ matrix
    for _ in range(squarings):
        gram = _of_trace_one(gram)
        gram = gram @ gram
    return peak, _normalise(gram @ start_vector(matrix.shape[-1], matrix))
