"""Estimates of spectral norms, on Krylov spaces: they may steer a training and never certify.

With steps of Lanczos (Golub & Van Loan, Matrix Computations, 2013, section 10.1) A^H A becomes a small tridiagonal
matrix T on an orthonormal basis Q of the Krylov space of a fixed start. The largest eigenvalue of T and its vector are
the estimate; it is taken as Q T^k e_1 with a large k, which does not suffer where the basis loses its orthogonality
(Druskin & Knizhnerman, 1991). No state is kept from one call to the next.

Shapes: vectors are rows. A complex vector is two, its real and its imaginary part, so that P = 2; a real one has P = 1.
Rows times a matrix whose rows lie together in memory run at the speed of the memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .again import in_nested_forward_mode
from .conv import Image, Padding, phases, spectral_matrices_at, torus

SQUARINGS = 8
"""Of T."""

NO_SECOND_DERIVATIVE = "the norm that a layer is divided by has no second derivative"


def start_vector(size: int, like: Tensor) -> Tensor:
    """Where iterations begin: fixed, and orthogonal to nothing that a network would know of; shape (size, 1)."""
    index = torch.arange(size, device=like.device, dtype=torch.float64)
    return torch.cos(1 + 0.7 * index.square()).to(like.dtype)[:, None]


class _Stack(NamedTuple):
    """Matrices A of shape M x N, with real and imaginary parts one above the other where they are complex.

    Attributes:
        there: A^T, shape (..., P N, M).
        back: A, shape (..., P M, N).
    """

    there: Tensor
    back: Tensor

    def normal(self, rows: Tensor) -> Tensor:
        """A^H A times each vector, shape (..., P, N)."""
        if rows.shape[-2] == 1:
            return rows @ self.there @ self.back
        real, imaginary = rows.unbind(-2)
        images = torch.cat([real, -imaginary, imaginary, real], -1).unflatten(-1, (2, -1)) @ self.there
        real, imaginary = images.unbind(-2)
        return torch.cat([real, imaginary, imaginary, -real], -1).unflatten(-1, (2, -1)) @ self.back


def _length(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=(-2, -1), keepdim=True)


def _unit(rows: Tensor) -> Tensor:
    """Of length 1, or of zeros."""
    return rows / _length(rows).clamp(min=torch.finfo(rows.dtype).tiny)


def _at(stack: Tensor, index: Tensor) -> Tensor:
    """Matrices (..., M, N) of a stack (..., F, M, N), by an index (...)."""
    return stack.gather(-3, index[..., None, None, None].expand(*index.shape, 1, *stack.shape[-2:])).squeeze(-3)


def _lanczos(matrices: _Stack, start: Tensor, steps: int) -> tuple[list[Tensor], Tensor]:
    """Basis vectors (..., P, N) of a Krylov space, and T, shape (..., S, S).

    Where the space ends before the steps do, what is left of a vector is rounding, and all further vectors are zeros.
    """
    basis = [_unit(start)]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    largest = torch.zeros_like(start[..., :1, :1])
    while True:
        rows = matrices.normal(basis[-1])
        largest = largest.maximum(_length(rows))
        if beside:
            rows = rows - beside[-1] * basis[-2]
        diagonal.append((rows * basis[-1]).sum((-2, -1), keepdim=True))
        if len(basis) == steps:
            break
        rows = rows - diagonal[-1] * basis[-1]
        length = _length(rows)
        goes_on = length > torch.finfo(rows.dtype).eps * largest
        beside.append(length)
        basis.append((rows / length).where(goes_on, 0))
    tridiagonal = torch.diag_embed(torch.cat(diagonal, -1)[..., 0, :])
    if beside:
        upper = torch.diag_embed(torch.cat(beside, -1)[..., 0, :], offset=1)
        tridiagonal = tridiagonal + upper + upper.mT
    return basis, tridiagonal


def _leading(tridiagonal: Tensor) -> Tensor:
    """T^k e_1, k = 2^SQUARINGS, as rows of length 1, shape (..., 1, S)."""
    power = tridiagonal
    for _ in range(SQUARINGS):
        trace = power.diagonal(dim1=-2, dim2=-1).sum(-1).clamp(min=torch.finfo(power.dtype).tiny)
        power = power / trace[..., None, None]
        power = power @ power
    return _unit(power[..., :1, :])


def _combined(basis: list[Tensor], coefficients: Tensor) -> Tensor:
    """Unit vectors (..., P, N)."""
    return _unit((coefficients @ torch.stack(basis, -3).flatten(-2)).unflatten(-1, basis[0].shape[-2:])[..., 0, :, :])


def leading_vector(matrices: _Stack, start: Tensor, steps: int) -> Tensor:
    """Right singular vectors near the largest singular value, of length 1, shape (..., P, N)."""
    basis, tridiagonal = _lanczos(matrices, start, steps)
    return _combined(basis, _leading(tridiagonal))


def _to_unit_scale(weights: Tensor, dims: tuple[int, ...]) -> Tensor:
    """A multiple, which has the same singular vectors, of which products neither vanish nor grow without limit."""
    return weights / weights.abs().amax(dims, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


def _wide(weights: Tensor) -> Tensor:
    """In a dtype in which torch has complex products."""
    return weights.to(torch.promote_types(weights.dtype, torch.float32))


def norm_estimate(matrices: Tensor, *, steps: int = 12) -> Tensor:
    """Estimates of the spectral norms of real matrices, from below, differentiable.

    Returns:
        Estimates of shape (...), in the matrices' dtype, but in float32 for less precise ones.
    """
    matrices = _wide(matrices)
    with torch.no_grad():
        back = _to_unit_scale(matrices.detach(), (-2, -1))
        start = start_vector(back.shape[-1], back).mT.expand(*back.shape[:-2], -1, -1)
        rows = leading_vector(_Stack(back.mT.contiguous(), back), start, steps)
    return _norm_along(matrices, rows.mT)


def conv_norm_estimate(
    kernel_OIKK: Tensor, image: Image, padding: Padding, *, steps: int = 6, refining: int = 16
) -> Tensor:
    """Estimates of the norms of convolutions, from below, differentiable.

    Args:
        kernel_OIKK: Kernels of shape (..., O, I, K, K).
        image: Height and width.
        padding: "circular" or "zeros".
        steps: At every frequency, to find that of the largest norm. A 1x1 kernel has one frequency only.
        refining: Steps there, from what the others found.

    Returns:
        Estimates of shape (...), in the kernel's dtype, but in float32 for less precise ones.
    """
    kernel_OIKK = _wide(kernel_OIKK)
    size = kernel_OIKK.shape[-1]
    if size == 1:
        return norm_estimate(kernel_OIKK.flatten(-3), steps=refining)
    around = torus(image, size, padding)
    with torch.no_grad():
        spectrum = _spectrum(_to_unit_scale(kernel_OIKK.detach(), (-4, -3, -2, -1)), around)
        peak, start = _peak(spectrum, steps)
        rows = leading_vector(_Stack(*(_at(stack, peak) for stack in spectrum)), start, refining)
        vector = torch.complex(*rows.unbind(-2))
    return _norm_along(spectral_matrices_at(kernel_OIKK, around, peak), vector[..., None])


def _norm_along(matrices: Tensor, unit_vectors: Tensor) -> Tensor:
    """Norms of A v, where v is of length 1 and near that of the largest, the norm of A."""
    if torch.compiler.is_compiling():  # compilers refuse second derivatives themselves
        return torch.linalg.vector_norm(matrices @ unit_vectors, dim=(-2, -1))
    if in_nested_forward_mode():
        raise RuntimeError(NO_SECOND_DERIVATIVE)
    norms: Tensor = _NormAlong.apply(matrices, unit_vectors)  # type: ignore[no-untyped-call]
    return norms


class _NormAlong(torch.autograd.Function):
    """`_norm_along`, of which the derivative needs no motion of v, as no vector has a larger norm.

    A second derivative does. To be silent would drop that part: it is refused.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(matrices: Tensor, unit_vectors: Tensor) -> Tensor:
        return torch.linalg.vector_norm(matrices @ unit_vectors, dim=(-2, -1))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx: Any, tangents: Tensor, _: None) -> Tensor:
        direction: Tensor = _NormDirection.apply(*ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return (direction.conj() * tangents).real.sum((-2, -1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        direction: Tensor = _NormDirection.apply(*ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return gradients[0][..., None, None] * direction, None


class _NormDirection(torch.autograd.Function):
    """u v^H for A v = s u: the derivative of `_NormAlong`, which refuses to be differentiated."""

    generate_vmap_rule = True

    @staticmethod
    def forward(matrices: Tensor, unit_vectors: Tensor) -> Tensor:
        images = matrices @ unit_vectors
        norms = torch.linalg.vector_norm(images, dim=(-2, -1), keepdim=True)
        return torch.where(norms > 0, images / norms, 0) @ unit_vectors.mH

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise RuntimeError(NO_SECOND_DERIVATIVE)


def peak_frequency(kernel_OIKK: Tensor, image: Image, *, steps: int) -> Tensor:
    """Index (...) of the frequency of the half spectrum at which a convolution has the largest norm, by estimate."""
    peak, _ = _peak(_spectrum(kernel_OIKK, image), steps)
    return peak


def _spectrum(kernel_OIKK: Tensor, image: Image) -> _Stack:
    """Spectral matrices at every frequency of the half spectrum, as `conv.spectral_matrices`."""
    *_, out_channels, in_channels, size, _ = kernel_OIKK.shape
    waves = torch.stack(phases(size, image, kernel_OIKK.dtype, kernel_OIKK.device), 1).flatten(0, 1)
    back = waves @ kernel_OIKK.flatten(-2).flatten(-3, -2).mT
    there = waves @ kernel_OIKK.transpose(-4, -3).flatten(-2).flatten(-3, -2).mT
    count = waves.shape[0] // 2
    return _Stack(
        there.unflatten(-1, (in_channels, out_channels)).unflatten(-3, (count, 2)).flatten(-3, -2),
        back.unflatten(-1, (out_channels, in_channels)).unflatten(-3, (count, 2)).flatten(-3, -2),
    )


def _peak(spectrum: _Stack, steps: int) -> tuple[Tensor, Tensor]:
    """Index of the frequency with the largest estimate, shape (...), and its vector, shape (..., 2, N)."""
    start = start_vector(spectrum.back.shape[-1], spectrum.back).mT
    start = torch.cat([start, torch.zeros_like(start)], -2).expand(*spectrum.back.shape[:-2], -1, -1)
    basis, tridiagonal = _lanczos(spectrum, start, steps)
    coefficients = _leading(tridiagonal)
    peak = (coefficients @ tridiagonal * coefficients).sum((-2, -1)).argmax(-1)
    return peak, _combined([_at(rows, peak) for rows in basis], _at(coefficients, peak))


def _lanczos_macs(rows: int, columns: int, steps: int, parts: int) -> int:
    return 2 * steps * parts**2 * rows * columns + SQUARINGS * steps**3


def norm_estimate_macs(rows: int, columns: int, steps: int) -> int:
    """Multiply-accumulates of `norm_estimate` for one matrix."""
    return _lanczos_macs(rows, columns, steps, 1) + steps * columns + rows * columns


def conv_norm_estimate_macs(channels: int, size: int, around: Image, steps: int, refining: int) -> int:
    """Multiply-accumulates of `conv_norm_estimate` for one kernel of so many channels on a torus."""
    if size == 1:
        return norm_estimate_macs(channels, channels, refining)
    frequencies, entries = around[0] * (around[1] // 2 + 1), channels**2
    transform = (4 * frequencies + 2) * size**2 * entries
    searching = frequencies * (_lanczos_macs(channels, channels, steps, 2) + steps**2) + 2 * steps * channels
    refined = _lanczos_macs(channels, channels, refining, 2) + 2 * refining * channels
    return transform + searching + refined + 4 * entries
