"""Modules that move, select, shift or scale values; but for scaling each has Lipschitz constant 1, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..errors import UnsoundError, UnsupportedShapeError


def fit_channels(x_BCHW: Tensor, channels: int) -> Tensor:
    """Appends channels of zeros, or keeps the first ones, so that there are `channels`."""
    missing = channels - x_BCHW.shape[1]
    if missing > 0:
        return F.pad(x_BCHW, (0, 0) * (x_BCHW.dim() - 2) + (0, missing))
    return x_BCHW[:, :channels] if missing < 0 else x_BCHW


class Center(nn.Module):
    """Subtracts one constant per channel: the first module of a network, so that radii speak of pixels.

    Args:
        mean: One number per channel, in the units of the pixels.
    """

    mean: Tensor

    def __init__(
        self, mean: Sequence[float], *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(tuple(mean), device=device, dtype=dtype or torch.get_default_dtype()))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Images of the same shape.

        Raises:
            UnsupportedShapeError: If the images have another number of channels.
        """
        return _images(self, x_BCHW, self.mean.numel()) - self.mean[:, None, None]

    def extra_repr(self) -> str:
        """The number of channels."""
        return f"channels={self.mean.numel()}"


class Normalize(nn.Module):
    """Divides each channel by a positive constant, such as the standard deviation of its pixels.

    Its Lipschitz constant is 1 / min(std): radii still speak of the pixels before the division.

    Args:
        std: One positive finite number per channel, in the units of the pixels.

    Raises:
        UnsoundError: If a number, in the module's dtype, is not positive and finite, or there is none.
    """

    std: Tensor

    def __init__(
        self, std: Sequence[float], *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("std", torch.tensor(tuple(std), device=device, dtype=dtype or torch.get_default_dtype()))
        self.smallest()

    def smallest(self) -> float:
        """The smallest number.

        Raises:
            UnsoundError: If one is not positive and finite, as after loading other numbers, or they are not one row.
        """
        if self.std.dim() != 1 or not self.std.numel() or not bool(((self.std > 0) & self.std.isfinite()).all()):
            raise UnsoundError(f"std={self.std.tolist()} must be one positive finite number per channel")
        return float(self.std.amin())

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Images of the same shape.

        Raises:
            UnsupportedShapeError: If the images have another number of channels.
        """
        return _images(self, x_BCHW, self.std.numel()) / self.std[:, None, None]

    def extra_repr(self) -> str:
        """The number of channels."""
        return f"channels={self.std.numel()}"


class FitChannels(nn.Module):
    """Appends zero channels to images or vectors, or keeps the first channels.

    Args:
        channels: Channels of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise UnsupportedShapeError(f"channels={channels} must be a positive integer")
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Tensor of shape (B, channels, ...)."""
        return fit_channels(x, self.channels)

    def extra_repr(self) -> str:
        """The number of channels."""
        return f"{self.channels}"


def _images(module: nn.Module, x_BCHW: Tensor, channels: int) -> Tensor:
    if x_BCHW.dim() != 4 or x_BCHW.shape[1] != channels:
        raise UnsupportedShapeError(
            f"{type(module).__name__} expects images of shape (B, {channels}, H, W), got {tuple(x_BCHW.shape)}"
        )
    return x_BCHW
