"""Convolutions of images with "same" padding: zeros, or the image's own other side.

Shapes: B images, O output channels, I input channels, K kernel side, H x W image. Odd K.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.grad import conv2d_weight

from .again import gradients_by_torch, is_plain, loses_derivatives, needs_torch
from .autocast import autocast_to, lowered, without_autocast
from .conv import Padding, transpose_kernel
from .images import empty_images, is_channels_last

AT_ONCE = 2**24
"""Bytes that the copies which torch makes of images in float64 may take, but for one image per thread."""


class _CircularPad(torch.autograd.Function):
    """Circular padding by copies of whole slices; its derivative is `_CircularFold`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x_BIHW: Tensor, padding: int) -> Tensor:
        _, channels, height, width = x_BIHW.shape
        result = empty_images(x_BIHW, channels, (height + 2 * padding, width + 2 * padding))
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
        return _circular_fold(gradients[0], ctx.padding), None


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
        return circular_pad(gradients[0], ctx.padding), None


def circular_pad(x_BIHW: Tensor, padding: int) -> Tensor:
    """Pads images circularly on all four sides, by any amount, also more than a side."""
    if padding == 0:
        return x_BIHW
    height, width = x_BIHW.shape[-2:]
    if padding > min(height, width):
        rows = torch.arange(-padding, height + padding, device=x_BIHW.device) % height
        columns = torch.arange(-padding, width + padding, device=x_BIHW.device) % width
        return x_BIHW.index_select(-2, rows).index_select(-1, columns)
    if loses_derivatives(x_BIHW):
        return F.pad(x_BIHW, (padding,) * 4, mode="circular")
    result: Tensor = _CircularPad.apply(x_BIHW, padding)  # type: ignore[no-untyped-call]
    return result


def _circular_fold(x_BIHW: Tensor, padding: int) -> Tensor:
    """Adjoint of `circular_pad` for margins no wider than a side."""
    if not loses_derivatives(x_BIHW):
        result: Tensor = _CircularFold.apply(x_BIHW, padding)  # type: ignore[no-untyped-call]
        return result
    for dim in (-2, -1):
        side = x_BIHW.shape[dim] - 2 * padding
        before, inner, after = x_BIHW.split((padding, side, padding), dim)
        zeros = torch.zeros_like(inner).narrow(dim, 0, side - padding)
        x_BIHW = inner + torch.cat((zeros, before), dim) + torch.cat((after, zeros), dim)
    return x_BIHW


def convolve(x_BIHW: Tensor, kernel_OIKK: Tensor, bias_O: Tensor | None, padding: Padding) -> Tensor:
    """Images of shape (B, O, H, W)."""
    half = kernel_OIKK.shape[-1] // 2
    if padding == "zeros" or half == 0:
        return _convolve_in_parts(x_BIHW, kernel_OIKK, bias_O, padding=half)
    tensors: tuple[Tensor, ...] = (x_BIHW, kernel_OIKK) if bias_O is None else (x_BIHW, kernel_OIKK, bias_O)
    if (dtype := autocast_to(x_BIHW.device)) is not None:
        tensors = lowered(dtype, *tensors)
        with without_autocast(x_BIHW.device):
            return convolve(tensors[0], tensors[1], tensors[2] if len(tensors) > 2 else None, padding)
    if not is_plain(*tensors):
        return convolve_padded(*tensors)
    y_BOHW: Tensor = _CircularConvolution.apply(*tensors)  # type: ignore[no-untyped-call]
    return y_BOHW


def convolve_padded(x_BIHW: Tensor, kernel_OIKK: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """`convolve` with circular padding, differentiated by torch."""
    return _convolve_in_parts(circular_pad(x_BIHW, kernel_OIKK.shape[-1] // 2), kernel_OIKK, bias_O)


def _convolve_in_parts(x_BIHW: Tensor, kernel_OIKK: Tensor, bias_O: Tensor | None, *, padding: int = 0) -> Tensor:
    """`F.conv2d`; in float64 on a CPU of a few images at a time, one per thread or more.

    Of a whole batch torch makes copies at once, in new memory: that takes longer than the products of small images.
    """
    if x_BIHW.dtype == torch.float64 and x_BIHW.device.type == "cpu" and is_plain(x_BIHW, kernel_OIKK):
        entries, threads = math.prod(kernel_OIKK.shape[2:]), torch.get_num_threads()
        copied = 8 * entries * math.prod(x_BIHW.shape[1:])
        at_once = max(1, AT_ONCE // max(copied, 1) // threads) * threads
        if entries > 1 and len(x_BIHW) > at_once:
            parts = x_BIHW.split(at_once)
            return torch.cat([F.conv2d(part, kernel_OIKK, bias_O, padding=padding) for part in parts])
    return F.conv2d(x_BIHW, kernel_OIKK, bias_O, padding=padding)


class _CircularConvolution(torch.autograd.Function):
    """`convolve_padded`, which keeps the images without their margins.

    The gradient of the images is a convolution of as many pixels; that of padded images would have the margins too.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, *bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, kernel)
        return convolve_padded(x, kernel, *bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x, kernel), (dy,) = ctx.saved_tensors, gradients
        of_x, of_kernel, *of_bias = ctx.needs_input_grad
        with without_autocast(dy.device):
            if needs_torch(dy):
                found = gradients_by_torch(convolve_padded, (x, kernel), (of_x, of_kernel), dy)
                return *found, *(dy.sum((0, 2, 3)) if want else None for want in of_bias)
            if is_channels_last(x):
                dy = dy.contiguous(memory_format=torch.channels_last)
            dx = convolve_transposed(dy, kernel, "circular") if of_x else None
            dkernel = kernel_gradient(x, kernel.shape, dy, "circular") if of_kernel else None
            return dx, dkernel, *(dy.sum((0, 2, 3)) if want else None for want in of_bias)


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
