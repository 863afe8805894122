"""Kernels of convolutions: their spectral matrices, transposes and compositions.

Shapes: O output channels, I input channels, K kernel side, H x W image, F = H (W // 2 + 1) frequencies of the half
spectrum, `...` any leading dimensions. A kernel acts as `torch.nn.functional.conv2d` does, centred (odd K).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.grad import conv2d_weight

Padding = Literal["circular", "zeros"]
Image = tuple[int, int]

ALL = slice(None)


def transpose_kernel(kernel_OIKK: Tensor) -> Tensor:
    """Kernel of the transposed operator: channels exchanged, both axes reversed; shape (..., I, O, K, K)."""
    return kernel_OIKK.transpose(-4, -3).flip(-2, -1)


def torus(image: Image, kernel_size: int, padding: Padding) -> Image:
    """Torus whose circular convolution covers the operator on an image.

    With circular padding it is the image itself. With zero padding the operator is a compression of the circular
    one on any torus that leaves room for half a kernel between the image and its next copy: side + K // 2.

    Returns:
        Height and width of the torus.
    """
    if padding == "circular":
        return image
    return image[0] + kernel_size // 2, image[1] + kernel_size // 2


def phases(size: int, image: Image, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the DFT that takes a K x K kernel to the half spectrum of an H x W torus.

    Angles are reduced to [0, 2 pi) in integers before they are rounded; each entry errs by at most 40 units of
    roundoff.

    Returns:
        Two tensors of shape (F, K * K).
    """
    height, width = image
    offset = torch.arange(size, device=device) - size // 2
    rows = torch.outer(torch.arange(height, device=device), offset) % height
    columns = torch.outer(torch.arange(width // 2 + 1, device=device), offset) % width
    turns = rows.to(torch.float64)[:, None, :, None] / height + columns.to(torch.float64)[None, :, None, :] / width
    angle = (2 * math.pi * (turns % 1.0)).reshape(-1, size * size)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def spectral_matrices(kernel_OIKK: Tensor, image: Image, frequencies_F: Tensor | slice = ALL) -> Tensor:
    """Spectral matrices of the circular convolution with a kernel, at every frequency of the half spectrum.

    The kernel is folded onto the torus where it is larger. The singular values of the operator are exactly those of
    these matrices (the other half of the spectrum holds their conjugates).

    Args:
        kernel_OIKK: Real kernel, shape (..., O, I, K, K).
        image: Height and width of the torus.
        frequencies_F: Indices of the frequencies that are wanted, if not all are.

    Returns:
        Complex matrices, shape (..., F, O, I).
    """
    *_, out_channels, in_channels, size, _ = kernel_OIKK.shape
    cosines_FK, sines_FK = (wave[frequencies_F] for wave in phases(size, image, kernel_OIKK.dtype, kernel_OIKK.device))
    taps = kernel_OIKK.flatten(-2).flatten(-3, -2).transpose(-2, -1)
    spectrum = torch.complex(cosines_FK @ taps, sines_FK @ taps)
    return spectrum.unflatten(-1, (out_channels, in_channels))


def self_correlation(kernel_OIKK: Tensor) -> Tensor:
    """Kernel of A A^T, where A is the convolution on an unbounded image: shape (..., O, O, 2K - 1, 2K - 1).

    In float64, in which libraries convolve slowly, as products of matrices; else as a convolution.
    """
    *batch, out_channels, in_channels, size, _ = kernel_OIKK.shape
    if kernel_OIKK.dtype == torch.float64:
        return _self_correlation_by_products(kernel_OIKK)
    stack = kernel_OIKK.reshape(-1, out_channels, in_channels, size, size)
    count = stack.shape[0]
    images = stack.transpose(0, 1).reshape(out_channels, count * in_channels, size, size)
    filters = stack.reshape(count * out_channels, in_channels, size, size)
    product = F.conv2d(images, filters, padding=size - 1, groups=count)
    product = product.unflatten(1, (count, out_channels)).permute(1, 0, 2, 3, 4)
    return product.reshape(*batch, out_channels, out_channels, 2 * size - 1, 2 * size - 1)


def _self_correlation_by_products(kernel_OIKK: Tensor) -> Tensor:
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


class _CircularPad(torch.autograd.Function):
    """Circular padding by copies of whole slices; its derivative is `_CircularFold`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x_BIHW: Tensor, padding: int) -> Tensor:
        batch, channels, height, width = x_BIHW.shape
        tall, wide = height + 2 * padding, width + 2 * padding
        if _is_channels_last(x_BIHW):
            result = x_BIHW.new_empty(batch, tall, wide, channels).permute(0, 3, 1, 2)
        else:
            result = x_BIHW.new_empty(batch, channels, tall, wide)
        middle = slice(padding, width + padding)
        result[:, :, padding : height + padding, middle] = x_BIHW
        result[:, :, :padding, middle] = x_BIHW[:, :, height - padding :]
        result[:, :, height + padding :, middle] = x_BIHW[:, :, :padding]
        result[:, :, :, :padding] = result[:, :, :, width : width + padding]
        result[:, :, :, width + padding :] = result[:, :, :, padding : 2 * padding]
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.padding = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _CircularFold.apply(gradients[0], ctx.padding), None  # type: ignore[no-untyped-call]


class _CircularFold(torch.autograd.Function):
    """Adjoint of `_CircularPad`: adds the margins to the pixels that they were copied from."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x_BIHW: Tensor, padding: int) -> Tensor:
        height, width = x_BIHW.shape[2] - 2 * padding, x_BIHW.shape[3] - 2 * padding
        rows = x_BIHW[:, :, padding : height + padding].clone()
        rows[:, :, height - padding :] += x_BIHW[:, :, :padding]
        rows[:, :, :padding] += x_BIHW[:, :, height + padding :]
        result = rows[:, :, :, padding : width + padding].clone()
        result[:, :, :, width - padding :] += rows[:, :, :, :padding]
        result[:, :, :, :padding] += rows[:, :, :, width + padding :]
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.padding = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _CircularPad.apply(gradients[0], ctx.padding), None  # type: ignore[no-untyped-call]


def _is_channels_last(x_BIHW: Tensor) -> bool:
    return x_BIHW.stride(1) == 1 and x_BIHW.is_contiguous(memory_format=torch.channels_last)


def circular_pad(x_BIHW: Tensor, padding: int) -> Tensor:
    """Pads images circularly on all four sides, by any amount, also more than a side."""
    if padding == 0:
        return x_BIHW
    height, width = x_BIHW.shape[-2:]
    if padding <= min(height, width):
        result: Tensor = _CircularPad.apply(x_BIHW, padding)  # type: ignore[no-untyped-call]
        return result
    rows = torch.arange(-padding, height + padding, device=x_BIHW.device) % height
    columns = torch.arange(-padding, width + padding, device=x_BIHW.device) % width
    return x_BIHW.index_select(-2, rows).index_select(-1, columns)


def convolve(x_BIHW: Tensor, kernel_OIKK: Tensor, bias_O: Tensor | None, padding: Padding) -> Tensor:
    """Convolution with "same" padding: images of shape (B, O, H, W)."""
    half = kernel_OIKK.shape[-1] // 2
    if padding == "circular":
        return F.conv2d(circular_pad(x_BIHW, half), kernel_OIKK, bias_O)
    return F.conv2d(x_BIHW, kernel_OIKK, bias_O, padding=half)


def kernel_gradient(x_BIHW: Tensor, shape: Sequence[int], dy_BOHW: Tensor, padding: Padding) -> Tensor:
    """The derivative of `convolve` by its kernel, of this shape (O, I, K, K), for a gradient of its output."""
    half = shape[-1] // 2
    if padding == "circular":
        return conv2d_weight(circular_pad(x_BIHW, half), shape, dy_BOHW)
    return conv2d_weight(x_BIHW, shape, dy_BOHW, padding=half)


def convolve_transposed(x_BOHW: Tensor, kernel_OIKK: Tensor, padding: Padding) -> Tensor:
    """The transposed operator of `convolve` with the same kernel and padding: images of shape (B, I, H, W)."""
    if padding == "circular":
        return convolve(x_BOHW, transpose_kernel(kernel_OIKK), None, padding)
    return F.conv_transpose2d(x_BOHW, kernel_OIKK, padding=kernel_OIKK.shape[-1] // 2)
