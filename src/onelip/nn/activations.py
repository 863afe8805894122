"""Activations of Lipschitz constant 1 that keep the norm of gradients; exact in floating point."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import UnsupportedShapeError


class MaxMin(nn.Module):
    """Sorts each pair of channels (2i, 2i + 1) into (max, min); an odd last channel passes through.

    Anil, Lucas & Grosse, ICML 2019, arXiv 1811.05381.

    >>> MaxMin()(torch.tensor([[1.0, 2.0, 5.0]]))
    tensor([[2., 1., 5.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Tensor of the same shape (B, C, ...)."""
        pairs = x.shape[1] // 2
        first, second = x[:, : 2 * pairs].unflatten(1, (pairs, 2)).unbind(2)
        ordered = torch.stack([torch.maximum(first, second), torch.minimum(first, second)], dim=2).flatten(1, 2)
        return ordered if x.shape[1] == 2 * pairs else torch.cat([ordered, x[:, 2 * pairs :]], dim=1)


class GroupSort(nn.Module):
    """Sorts each group of consecutive channels in descending order (Anil, Lucas & Grosse, ICML 2019).

    Args:
        group_size: Channels per group; the number of channels must be a multiple of it.
    """

    def __init__(self, group_size: int) -> None:
        super().__init__()
        if group_size < 1:
            raise UnsupportedShapeError(f"group_size={group_size} must be a positive integer")
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        """Tensor of the same shape (B, C, ...)."""
        if x.shape[1] % self.group_size:
            raise UnsupportedShapeError(f"{x.shape[1]} channels are not a multiple of group_size={self.group_size}")
        groups = x.unflatten(1, (x.shape[1] // self.group_size, self.group_size))
        return groups.sort(dim=2, descending=True).values.flatten(1, 2)

    def extra_repr(self) -> str:
        """The group size."""
        return f"{self.group_size}"


class Abs(nn.Module):
    """Absolute value."""

    def forward(self, x: Tensor) -> Tensor:
        """Tensor of the same shape."""
        return x.abs()
