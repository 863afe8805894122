"""Convolutions in float32 whose order of summation is known as far as rounding needs it.

A sum of n products that a library evaluates in an order of its own choosing errs by up to n units of roundoff. Here a
library sums over a block of input channels only, and the sums of the blocks are added pairwise: with blocks of 16
channels that are 9 * 16 + log2(c / 16) units for a 3x3 kernel on c channels, not 9 c. Shapes: B images, O output
channels, I input channels, K kernel side, H x W image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..errors import UnsupportedShapeError
from ..linalg.conv import Padding, transpose_kernel
from ..linalg.convolve import circular_pad
from .arguments import positive
from .reshape import fit_channels

AT_ONCE = 2**22
"""Numbers of all blocks of a 1x1 kernel that are kept at once."""
BLOCK = 16
"""Input channels that are summed over at a time: as many as wide vector instructions hold, so that speed is kept."""


def checked_block(block: object) -> int | None:
    """A number of input channels to sum over at a time; None for all.

    >>> checked_block(16)
    16

    Raises:
        UnsupportedShapeError: If it is none.
    """
    try:
        return None if block is None else positive("block", block)
    except UnsupportedShapeError as error:
        raise UnsupportedShapeError(f"{error}, or None for sums over all input channels at once") from None


class BlockedConv2d(nn.Module):
    """A convolution with "same" padding, summed over blocks of input channels, which are then added pairwise.

    Args:
        kernel_OIKK: The kernel; K odd.
        bias_O: Is added last; None for none.
        padding: "circular" or "zeros".
        block: Input channels that are summed over at a time; None for all.

    Raises:
        UnsupportedShapeError: If the block is no positive integer, and not None.
    """

    def __init__(self, kernel_OIKK: Tensor, bias_O: Tensor | None, *, padding: Padding, block: int | None) -> None:
        super().__init__()
        block = checked_block(block)
        self.out_channels, self.in_channels, self.side, _ = kernel_OIKK.shape
        self.padding: Padding = padding
        self.block = min(self.in_channels, block or self.in_channels)
        kernel_OIKK = kernel_OIKK.detach()
        parts = kernel_OIKK.split(self.block, 1)
        self.count = len(parts)
        self.is_pointwise = self.side == 1 and self.count > 1 and self.in_channels % self.block == 0
        if self.is_pointwise:
            self.register_buffer("matrices", torch.stack([part.flatten(1).mT for part in parts]))
        else:
            for index, part in enumerate(parts):
                self.register_buffer(f"kernel{index}", part.clone())
        self.bias: Tensor | None
        self.register_buffer("bias", None if bias_O is None else bias_O.detach().clone())

    @property
    def kernel(self) -> Tensor:
        """The kernel, shape (O, I, K, K)."""
        if self.is_pointwise:
            return self.get_buffer("matrices").flatten(0, 1).mT[..., None, None]
        return torch.cat(self._parts(), 1)

    @property
    def roundings(self) -> int:
        """How many roundings a product of two numbers passes through at most: its own, those of sums, of the bias."""
        return self.block * self.side**2 + math.ceil(math.log2(self.count)) + (self.bias is not None) + 1

    def forward(self, x_BIHW: Tensor) -> Tensor:
        """Images (B, O, H, W)."""
        if self.is_pointwise:
            return self._pointwise(x_BIHW)
        half = self.side // 2
        if self.padding == "circular":
            x_BIHW, half = circular_pad(x_BIHW, half), 0
        if self.count == 1:
            return F.conv2d(x_BIHW, self._parts()[0], self.bias, padding=half)
        blocks = zip(x_BIHW.split(self.block, 1), self._parts(), strict=True)
        total = added_pairwise(F.conv2d(x, kernel, padding=half) for x, kernel in blocks)
        return total if self.bias is None else total.add_(self.bias[:, None, None])

    def _pointwise(self, x_BIHW: Tensor) -> Tensor:
        """A 1x1 kernel by one product of matrices per block, all at once: convolutions of single pixels are slow."""
        matrices = self.get_buffer("matrices")
        pixels = x_BIHW.movedim(1, -1).reshape(-1, self.count, self.block)
        most = max(1, AT_ONCE // (self.count * self.out_channels))
        sums = [_halved(torch.bmm(part.transpose(0, 1), matrices)) for part in pixels.split(most)]
        total = torch.cat(sums) if self.bias is None else torch.cat(sums).add_(self.bias)
        return total.view(len(x_BIHW), *x_BIHW.shape[-2:], -1).movedim(-1, 1)

    def _parts(self) -> list[Tensor]:
        return [self.get_buffer(f"kernel{index}") for index in range(self.count)]

    def extra_repr(self) -> str:
        """Channels, side, padding and block."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.side}, padding={self.padding!r}, "
            f"block={self.block}, bias={self.bias is not None}"
        )


def _halved(parts: Tensor) -> Tensor:
    """The sum over the first dimension, which is added half to half, an odd last one as it is: as `added_pairwise`."""
    while len(parts) > 1:
        half = len(parts) // 2
        sums = parts[:half] + parts[half : 2 * half]
        parts = sums if len(parts) % 2 == 0 else torch.cat([sums, parts[-1:]])
    return parts[0]


def added_pairwise(parts: Iterable[Tensor]) -> Tensor:
    """The sum of N tensors, which it overwrites: each passes through ceil(log2(N)) sums, and as many are kept at once.

    >>> added_pairwise(torch.tensor(float(number)) for number in range(7))
    tensor(21.)
    """
    waiting: list[Tensor] = []
    for number, part in enumerate(parts, start=1):
        waiting.append(part)
        # As a counter in binary carries: two sums of equally many parts become one.
        while number % 2 == 0:
            last = waiting.pop()
            waiting[-1] = waiting[-1].add_(last)
            number //= 2  # noqa: PLW2901
    while len(waiting) > 1:
        last = waiting.pop()
        waiting[-1] = waiting[-1].add_(last)
    return waiting[0]


class BlockedResidual(nn.Module):
    """The residual layer x - K^T T relu(K x + b), T a diagonal, of two blocked convolutions.

    Args:
        kernel_CCKK: The kernel K.
        scale_C: The diagonal of T.
        bias_C: The bias b; None for none.
        out_channels: Outputs that are kept; fewer input channels than C are padded with zeros.
        padding: "circular" or "zeros".
        block: As of `BlockedConv2d`.
    """

    def __init__(
        self,
        kernel_CCKK: Tensor,
        scale_C: Tensor,
        bias_C: Tensor | None,
        *,
        out_channels: int,
        padding: Padding,
        block: int | None,
    ) -> None:
        super().__init__()
        back = transpose_kernel(kernel_CCKK * -scale_C[:, None, None, None])
        self.there = BlockedConv2d(kernel_CCKK, bias_C, padding=padding, block=block)
        self.back = BlockedConv2d(back, None, padding=padding, block=block)
        self.out_channels = out_channels

    def forward(self, x_BIHW: Tensor) -> Tensor:
        """Images (B, out_channels, H, W)."""
        x_BCHW = fit_channels(x_BIHW, self.there.in_channels)
        hidden_BCHW = self.there(x_BCHW).relu_()
        total: Tensor = self.back(hidden_BCHW).add_(x_BCHW)
        return total[:, : self.out_channels]


def series_blocks(block: int | None, degree: int) -> tuple[int | None, ...]:
    """Input channels that the terms of a series sum over at a time.

    A quarter of a block for the first, twice as many for each one after it, and at least 1: where ||L|| is near 1, the
    terms of order i + 1 are i + 1 times smaller than those of order i, and so is what they err by.

    >>> series_blocks(16, 5)
    (4, 8, 16, 32, 64)

    Raises:
        UnsupportedShapeError: If the block is no positive integer, and not None.
    """
    if (block := checked_block(block)) is None:
        return (None,) * degree
    return tuple(max(1, block * 2**order // 8) for order in range(1, degree + 1))


class BlockedSeries(nn.Module):
    """The exponential series sum_{i <= d} L^i x / i! of a convolution L, of d blocked convolutions.

    Args:
        kernel_CCKK: The kernel of L.
        degree: The number d of terms besides x.
        bias_O: Is added last; None for none.
        out_channels: Outputs that are kept; fewer input channels than C are padded with zeros.
        padding: "circular" or "zeros".
        block: As of `BlockedConv2d`, for the third term: see `series_blocks`.
    """

    def __init__(
        self,
        kernel_CCKK: Tensor,
        degree: int,
        bias_O: Tensor | None,
        *,
        out_channels: int,
        padding: Padding,
        block: int | None,
    ) -> None:
        super().__init__()
        kernels = [kernel_CCKK / order for order in range(1, degree + 1)]
        self.convolutions = nn.ModuleList(
            BlockedConv2d(one, None, padding=padding, block=own)
            for one, own in zip(kernels, series_blocks(block, degree), strict=True)
        )
        self.out_channels = out_channels
        self.bias: Tensor | None
        self.register_buffer("bias", None if bias_O is None else bias_O.detach().clone())

    def forward(self, x_BIHW: Tensor) -> Tensor:
        """Images (B, out_channels, H, W)."""
        first = self.convolutions[0]
        assert isinstance(first, BlockedConv2d)
        term = fit_channels(x_BIHW, first.in_channels)
        total = term
        for convolution in self.convolutions:
            term = convolution(term)
            total = total + term
        total = total[:, : self.out_channels]
        return total if self.bias is None else total + self.bias[:, None, None]


class OnVectors(nn.Module):
    """A module of images, applied to vectors (..., C) as images of one pixel."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (..., outputs)."""
        images: Tensor = self.module(x.reshape(-1, x.shape[-1], 1, 1))
        return images.reshape(*x.shape[:-1], images.shape[1])


def convolutions(module: nn.Module) -> Iterator[BlockedConv2d]:
    """The blocked convolutions of a model."""
    return (one for one in module.modules() if isinstance(one, BlockedConv2d))
