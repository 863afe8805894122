"""Activations of Lipschitz constant 1 that keep the norm of gradients; exact in floating point."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UnsupportedShapeError
from ..linalg.again import in_forward_mode, is_transformed, loses_derivatives
from ..linalg.images import is_channels_last


class _SwapPairs(torch.autograd.Function):
    """Exchanges the channels (2i, 2i + 1) where a mask says so: its own inverse, adjoint and derivative.

    Only the mask is kept for the backward pass, an eighth of what the values would take. With weights of 0 and 1 `lerp`
    is a selection of numbers whose difference is finite (others become NaN, as gradients that overflow should), and
    several times faster than `where` on every second channel.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, swap: Tensor) -> Tensor:
        share, (first, second) = swap.to(x.dtype), _pairs(x)
        return _interleaved(x, partial(torch.lerp, first, second, share), partial(torch.lerp, second, first, share))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (swap,) = ctx.saved_tensors
        return _swap_pairs(gradients[0], swap), None


class _SortPairs(torch.autograd.Function):
    """Sorts the channels (2i, 2i + 1); its derivative is `_SwapPairs`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        pair = _pairs(x)
        return _interleaved(x, partial(torch.maximum, *pair), partial(torch.minimum, *pair))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        if ctx.needs_input_grad[0]:
            first, second = _pairs(inputs[0])
            ctx.save_for_backward(first < second)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (swap,), (gradient,) = ctx.saved_tensors, gradients
        if _takes_results(swap) and _takes_results(gradient) and swap.dim() == 4 and is_channels_last(swap):
            # One that comes from vectors has planes, and residual sums would hand that on to all layers before.
            gradient = gradient.contiguous(memory_format=torch.channels_last)
        return _swap_pairs(gradient, swap)


def _swap_pairs(x: Tensor, swap: Tensor) -> Tensor:
    """Exchanges the channels (2i, 2i + 1) where told."""
    if loses_derivatives(x):
        first, second = _pairs(x)
        return _side_by_side(x, torch.where(swap, second, first), torch.where(swap, first, second))
    result: Tensor = _SwapPairs.apply(x, swap)  # type: ignore[no-untyped-call]
    return result


def _pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    even = x.shape[1] // 2 * 2
    return x[:, 0:even:2], x[:, 1:even:2]


def _interleaved(x: Tensor, first: Callable[..., Tensor], second: Callable[..., Tensor]) -> Tensor:
    """A tensor like x with two results for channels in turn, and the last one of x where their number is odd."""
    even = x.shape[1] // 2 * 2
    if not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None:
        # Of a batch may be the values, or the mask alone, which a tensor like x could not take.
        return _side_by_side(x, first(), second())
    result = torch.empty_like(x)
    places = result[:, 0:even:2], result[:, 1:even:2]
    if _takes_results(x):
        first(out=places[0])
        second(out=places[1])
    else:
        places[0].copy_(first())
        places[1].copy_(second())
    result[:, even:] = x[:, even:]
    return result


def _side_by_side(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The same of results that are there, differentiated by torch."""
    pairs = (first.shape[0], 2 * first.shape[1], *first.shape[2:])
    return torch.cat([torch.stack([first, second], dim=2).reshape(pairs), x[:, 2 * first.shape[1] :]], dim=1)


def _takes_results(x: Tensor) -> bool:
    """Whether operations may write where they are told to: not in compilers and transforms."""
    return not torch.compiler.is_compiling() and type(x) in (Tensor, nn.Parameter) and not is_transformed(x)


class MaxMin(nn.Module):
    """Sorts each pair of channels (2i, 2i + 1) into (max, min); an odd last channel passes through.

    Anil, Lucas & Grosse, ICML 2019, arXiv 1811.05381.

    >>> MaxMin()(torch.tensor([[1.0, 2.0, 5.0]]))
    tensor([[2., 1., 5.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Tensor of the same shape (B, C, ...)."""
        if in_forward_mode():
            first, second = _pairs(x)
            keep = (first >= second) | first.isnan()  # of a tie, and of what is no number, nothing is exchanged
            return _side_by_side(x, torch.where(keep, first, second), torch.where(keep, second, first))
        result: Tensor = _SortPairs.apply(x)  # type: ignore[no-untyped-call]
        return result


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
