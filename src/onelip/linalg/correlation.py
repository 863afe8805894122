"""Self-correlations of kernels, and the sums of their absolute values that AOL and SLL scale by.

Shapes: O output channels, I input channels, K kernel side, L leading dimensions taken together, `...` any of them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .again import gradients_by_torch, is_plain, needs_torch
from .autocast import without_autocast


def self_correlation(kernel_OIKK: Tensor) -> Tensor:
    """Kernel of A A^T, where A is the convolution on an unbounded image: shape (..., O, O, 2K - 1, 2K - 1).

    In float64, in which libraries convolve slowly, as products of matrices; else as a convolution.
    """
    if kernel_OIKK.dtype == torch.float64:
        return _by_products(kernel_OIKK)
    *batch, out_channels, in_channels, size, _ = kernel_OIKK.shape
    product_LOOEE = _by_convolution(kernel_OIKK.reshape(-1, out_channels, in_channels, size, size))
    return product_LOOEE.reshape(*batch, out_channels, out_channels, 2 * size - 1, 2 * size - 1)


def absolute_correlation(kernel_OIKK: Tensor) -> Tensor:
    """|A A^T|, absolute values summed over the positions of the self-correlation: shape (..., O, O)."""
    if not is_plain(kernel_OIKK):
        return absolute_sums(kernel_OIKK)
    sums: Tensor = _AbsoluteSums.apply(kernel_OIKK.reshape(-1, *kernel_OIKK.shape[-4:]))  # type: ignore[no-untyped-call]
    return sums.view(*kernel_OIKK.shape[:-4], *sums.shape[-2:])


def absolute_sums(kernel_OIKK: Tensor) -> Tensor:
    """`absolute_correlation`, differentiated by torch."""
    return self_correlation(kernel_OIKK).abs().sum((-2, -1))


class _AbsoluteSums(torch.autograd.Function):
    """`absolute_sums` with one convolution in its backward pass.

    Note [backward pass of absolute sums]: the self-correlation C is symmetric under an exchange of both channels and
    both directions. So the derivatives by its two factors K are the same convolution of K, once with the gradient of C,
    sgn(C) G, and once with that of its mirror image, sgn(C) G^T.
    """

    @staticmethod
    def forward(ctx: Any, kernel_LOIKK: Tensor) -> Tensor:
        product_LOOEE = self_correlation(kernel_LOIKK)
        ctx.save_for_backward(kernel_LOIKK, product_LOOEE)
        return product_LOOEE.abs().sum((-2, -1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None]:
        (kernel, product), (gradient_LOO,) = ctx.saved_tensors, gradients
        with without_autocast(kernel.device):
            if needs_torch(gradient_LOO):
                (found,) = gradients_by_torch(absolute_sums, (kernel,), (True,), gradient_LOO)
                return (found,)
            signed_LOOEE = product.sign().mul_((gradient_LOO + gradient_LOO.mT)[..., None, None])
            images = signed_LOOEE.transpose(0, 1).flatten(1, 2)
            count, size = kernel.shape[0], kernel.shape[-1]
            found = F.conv_transpose2d(images, kernel.flatten(0, 1), padding=size - 1, groups=count)
            return (found.unflatten(1, (count, -1)).transpose(0, 1),)


def _by_convolution(kernel_LOIKK: Tensor) -> Tensor:
    """Self-correlations as a convolution in groups, shape (L, O, O, 2K - 1, 2K - 1)."""
    count, size = kernel_LOIKK.shape[0], kernel_LOIKK.shape[-1]
    images = kernel_LOIKK.transpose(0, 1).flatten(1, 2)
    product = F.conv2d(images, kernel_LOIKK.flatten(0, 1), padding=size - 1, groups=count)
    return product.unflatten(1, (count, -1)).transpose(0, 1)


def _by_products(kernel_OIKK: Tensor) -> Tensor:
    """One product per offset of one half of the offsets; the other half holds their transposes."""
    size = kernel_OIKK.shape[-1]
    offsets = [(down, right) for down in range(1 - size, size) for right in range(1 - size, size)]
    half = [_correlation_at(kernel_OIKK, offset) for offset in offsets[: len(offsets) // 2 + 1]]
    whole = torch.stack(half + [product.mT for product in reversed(half[:-1])], dim=-1)
    return whole.unflatten(-1, (2 * size - 1, 2 * size - 1))


def _correlation_at(kernel_OIKK: Tensor, offset: tuple[int, int]) -> Tensor:
    """Sum over all pairs of taps at this offset of one tap times the transpose of the other."""
    size = kernel_OIKK.shape[-1]
    rows, columns = (slice(max(0, shift), size + min(0, shift)) for shift in offset)
    other_rows, other_columns = (slice(max(0, -shift), size + min(0, -shift)) for shift in offset)
    return kernel_OIKK[..., rows, columns].flatten(-3) @ kernel_OIKK[..., other_rows, other_columns].flatten(-3).mT
