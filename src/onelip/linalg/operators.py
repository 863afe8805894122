"""Proved norms as operators of torch, for constructions: compilers and transforms leave them alone.

A proof looks at numbers and takes another way for other numbers, so it cannot be traced. As operators the bounds are
the same in eager mode, in compiled networks and under `torch.func`. Shapes as in `conv`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .conv import Image, Padding, phases, spectral_matrices_at, torus
from .estimates import NO_SECOND_DERIVATIVE, peak_frequency, start_vector
from .proof import conv_largest_norm_bound

KRYLOV_STEPS, SQUARINGS = 20, 20
"""Towards the singular vectors that derivatives are made of."""


def conv_norm_bound(kernel_OIKK: Tensor, image: Image, padding: Padding) -> Tensor:
    """Proved upper bounds of the norms of convolutions on images of one size, tight up to 1e-6, differentiable.

    Circular: the largest norm of a spectral matrix on the image's own torus. Zero padding: that on a torus larger by
    K // 2, of which the operator is a compression.

    Args:
        kernel_OIKK: Kernels as realised, any real dtype, shape (..., O, I, K, K).
        image: Height and width.
        padding: "circular" or "zeros".

    Returns:
        Bounds of shape (...), float64; infinite where an entry is not finite.
    """
    size = kernel_OIKK.shape[-1]
    around = (1, 1) if size == 1 else torus(image, size, padding)
    bounds: Tensor = _NormBound.apply(kernel_OIKK.to(torch.float64), *around)  # type: ignore[no-untyped-call]
    return bounds


def matrix_norm_bound(matrices: Tensor) -> Tensor:
    """The same for matrices, shape (..., M, N)."""
    return conv_norm_bound(matrices[..., None, None], (1, 1), "circular")


@torch.library.custom_op("onelip::norm_bounds", mutates_args=(), schema="(Tensor kernels, SymInt[] image) -> Tensor")
def _bounds(kernels: Tensor, image: list[int]) -> Tensor:
    height, width = image
    single = kernels.reshape(-1, *kernels.shape[-4:])
    bounds = [conv_largest_norm_bound(kernel, (height, width), "circular")[0] for kernel in single]
    return kernels.new_tensor(bounds).view(kernels.shape[:-4])


@torch.library.custom_op("onelip::norm_gradients", mutates_args=(), schema="(Tensor kernels, SymInt[] image) -> Tensor")
def _gradients(kernels: Tensor, image: list[int]) -> Tensor:
    """The derivative Re(u^H dV v) of the largest norm, u and v the singular vectors of the spectral matrix V."""
    height, width = image
    # The derivative is the same for every multiple of a kernel.
    kernels = kernels / kernels.abs().amax((-4, -3, -2, -1), keepdim=True).clamp(min=torch.finfo(kernels.dtype).tiny)
    peak = peak_frequency(kernels, (height, width), steps=KRYLOV_STEPS)
    matrix = spectral_matrices_at(kernels, (height, width), peak)
    right = _leading_vector(matrix)
    image_of = matrix @ right
    left = image_of / torch.linalg.vector_norm(image_of, dim=(-2, -1), keepdim=True).clamp(min=1e-30)
    outer = (left.conj() @ right.mT)[..., None]
    size = kernels.shape[-1]
    cosines, sines = (
        wave[peak][..., None, None, :] for wave in phases(size, (height, width), kernels.dtype, kernels.device)
    )
    return (outer.real * cosines - outer.imag * sines).unflatten(-1, (size, size)).contiguous()


def _leading_vector(matrices: Tensor) -> Tensor:
    """Right singular vectors of the largest singular value, by squaring the Gram matrix; shape (..., N, 1)."""
    gram = matrices.mH @ matrices
    for _ in range(SQUARINGS):
        trace = gram.diagonal(dim1=-2, dim2=-1).real.sum(-1)
        gram = gram / trace.clamp(min=torch.finfo(trace.dtype).tiny)[..., None, None]
        gram = gram @ gram
    vector = gram @ start_vector(matrices.shape[-1], matrices)
    return vector / torch.linalg.vector_norm(vector, dim=(-2, -1), keepdim=True).clamp(min=1e-30)


_bounds.register_fake(lambda kernels, _image: kernels.new_empty(kernels.shape[:-4]))
_gradients.register_fake(lambda kernels, _image: kernels.new_empty(kernels.shape))
_bounds.register_vmap(lambda _info, dims, kernels, image: (_bounds(kernels.movedim(dims[0], 0), image), 0))
_gradients.register_vmap(lambda _info, dims, kernels, image: (_gradients(kernels.movedim(dims[0], 0), image), 0))


class _NormBound(torch.autograd.Function):
    """`_bounds` with its derivative; a function of its own, as torch.func cannot differentiate custom operators."""

    generate_vmap_rule = True

    @staticmethod
    def forward(kernels: Tensor, height: int, width: int) -> Tensor:
        bounds: Tensor = _bounds(kernels, [height, width])
        return bounds

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, int], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.image = inputs[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (kernels,) = ctx.saved_tensors
        derivative: Tensor = _NormDerivative.apply(kernels, *ctx.image)  # type: ignore[no-untyped-call]
        return gradients[0][..., None, None, None, None] * derivative, None, None


class _NormDerivative(torch.autograd.Function):
    """`_gradients`, which refuses to be differentiated: to be silent would drop a part of a second derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(kernels: Tensor, height: int, width: int) -> Tensor:
        derivative: Tensor = _gradients(kernels, [height, width])
        return derivative

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, int], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise RuntimeError(NO_SECOND_DERIVATIVE)
