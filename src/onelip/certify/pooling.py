"""Bounds and rounding errors of torch's pooling of images.

A window of a pooling is the product of a window of rows and a window of columns; the windows of each axis are listed
and counted here as torch lays them out, with padding, dilation and partial windows. Padding and positions outside of
the image belong to no window: they hold no entry (-inf for a maximum, 0 for a sum).

Shapes are those of one input without the batch, (C, H, W).
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import SupportsIndex

import torch
from torch import nn

from ..bound import Bound, rounded_up
from ..errors import UnsoundError
from ..linalg.proof import largest_norm_bound
from ..linalg.rounding import UP, Computed, gamma
from .lipschitz import Shape, register_bound
from .modules import image_after
from .rounding import register_exact, register_rounding

Numbers = SupportsIndex | Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a pooling sees along one axis at one place.

    Attributes:
        entries: Indices of the entries of the image that lie in it.
        length: Its length, padding included; the part behind the padding on the far side does not count.
    """

    entries: tuple[int, ...]
    length: int


@register_bound(nn.MaxPool2d)
def _max_pool(module: nn.MaxPool2d, shape: Shape) -> tuple[Bound, Shape]:
    """The square root of the largest number of windows that an entry lies in.

    |max_W x - max_W y| <= max_W |x - y|, whose square is at most the sum of |x_i - y_i|^2 over the window; summed over
    the windows, each entry counts as often as there are windows that it lies in. It is attained: where one entry is
    larger than all others, every window that it lies in shows it.
    """
    _refuse_indices(module)
    rows, columns, after = _windows(module, shape, module.padding, module.dilation)
    return _overlapping(module, rows, columns), after


@register_bound(nn.LPPool2d)
def _lp_pool(module: nn.LPPool2d, shape: Shape) -> tuple[Bound, Shape]:
    """As for `nn.MaxPool2d`, since the norm of a window changes by at most the norm of the difference.

    Refused are other norms than 2, and windows that reach over the edge: torch scales those up.
    """
    rows, columns, after = _windows(module, shape)
    if module.norm_type != 2 or _partial(rows, module.kernel_size, 0) or _partial(columns, module.kernel_size, 1):
        raise UnsoundError(f"no bound of this LPPool2d: {module.extra_repr()}; known are norm_type=2 and whole windows")
    return _overlapping(module, rows, columns), after


def _partial(windows: Sequence[Window], kernel: Numbers, axis: int) -> bool:
    return any(window.length < _pair(kernel)[axis] for window in windows)


def _overlapping(module: nn.Module, rows: Sequence[Window], columns: Sequence[Window]) -> Bound:
    depth = math.prod(max(Counter(chain(*(one.entries for one in axis))).values()) for axis in (rows, columns))
    why = f"{type(module).__name__}: root of {depth}, the largest number of windows that an entry lies in"
    return Bound(_root(Fraction(depth)), why)


@register_rounding(nn.MaxPool2d)
def _max_pool_rounding(_: nn.MaxPool2d, __: Shape, x: Computed, norm: float) -> Computed:
    """Exact, and 0 goes to 0."""
    return x.through(norm=norm, shift=0.0, local=0.0)


@register_bound(nn.AvgPool2d)
def _avg_pool(module: nn.AvgPool2d, shape: Shape) -> tuple[Bound, Shape]:
    """The product of the norms of the averages along rows and along columns, whose Kronecker product it is.

    Of each the norm is at most the root of the largest row sum times the largest column sum (in rational numbers), and
    at most what a Cholesky residual proves. The first is exact where windows do not overlap: 1 / k for k x k.
    """
    rows, columns, after = _windows(module, shape, module.padding)
    override = 1 if module.divisor_override is None else abs(int(module.divisor_override))
    square = Fraction(1, override**2)
    for size, windows in ((shape[1], rows), (shape[2], columns)):
        square *= _average_square(size, windows, _divisors(module, windows))
    return Bound(_root(square), "AvgPool2d: norms of the averages along rows and along columns"), after


def _divisors(module: nn.AvgPool2d, windows: Sequence[Window]) -> list[int]:
    if module.divisor_override is not None:
        return [1] * len(windows)
    return [window.length if module.count_include_pad else len(window.entries) for window in windows]


def _average_square(size: int, windows: Sequence[Window], divisors: Sequence[int]) -> Fraction:
    """Upper bound of the square of the norm of sums over windows, each divided by its divisor."""
    sums = [Fraction(len(window.entries), divisor) for window, divisor in zip(windows, divisors, strict=True)]
    columns: Counter[int] = Counter()
    matrix = torch.zeros(len(windows), size, dtype=torch.float64)
    for row, (window, divisor) in enumerate(zip(windows, divisors, strict=True)):
        columns.update(dict.fromkeys(window.entries, Fraction(1, divisor)))
        matrix[row, list(window.entries)] = 1 / divisor
    # Each entry of the matrix was rounded once, and all are positive.
    proved = largest_norm_bound(matrix) * UP
    return min(max(sums) * max(columns.values()), Fraction(proved) ** 2)


@register_rounding(nn.AvgPool2d)
def _avg_pool_rounding(module: nn.AvgPool2d, _: Shape, x: Computed, norm: float) -> Computed:
    """Sums of at most k x k entries, and a quotient; the weights are positive, so that their norm is the map's."""
    terms = math.prod(_pair(module.kernel_size))
    return x.linear(norm=norm, rounding=gamma(terms + 2) * norm)


@register_bound(nn.AdaptiveMaxPool2d)
def _adaptive_max_pool(module: nn.AdaptiveMaxPool2d, shape: Shape) -> tuple[Bound, Shape]:
    """As `nn.MaxPool2d` with windows that do not overlap."""
    _refuse_indices(module)
    _, after = _blocks(module, shape)
    return Bound(1.0, "AdaptiveMaxPool2d: maxima over windows that do not overlap"), after


register_exact(nn.AdaptiveMaxPool2d)


@register_bound(nn.AdaptiveAvgPool2d)
def _adaptive_avg_pool(module: nn.AdaptiveAvgPool2d, shape: Shape) -> tuple[Bound, Shape]:
    """The mean of n entries has norm 1 / sqrt(n), and windows that do not overlap are orthogonal."""
    size, after = _blocks(module, shape)
    return Bound(_root(Fraction(1, size)), f"AdaptiveAvgPool2d: means of {size} entries each"), after


@register_rounding(nn.AdaptiveAvgPool2d)
def _adaptive_avg_pool_rounding(module: nn.AdaptiveAvgPool2d, shape: Shape, x: Computed, norm: float) -> Computed:
    """Sums, and at most two quotients, or a product with a quotient."""
    size, _ = _blocks(module, shape)
    return x.linear(norm=norm, rounding=gamma(size + 3) * norm)


def _blocks(module: nn.Module, shape: Shape) -> tuple[int, Shape]:
    """How many entries a window has, and the shape of the output."""
    after = image_after(module, shape)
    if shape[1] % after[1] or shape[2] % after[2]:
        raise UnsoundError(
            f"no bound of {type(module).__name__} from {shape[1]}x{shape[2]} to {after[1]}x{after[2]}: the sides of "
            "the output must divide those of the input"
        )
    return shape[1] // after[1] * (shape[2] // after[2]), after


def _refuse_indices(module: nn.MaxPool2d | nn.AdaptiveMaxPool2d) -> None:
    if module.return_indices:
        raise UnsoundError(f"no bound of {type(module).__name__} with return_indices=True")


def _windows(
    module: nn.MaxPool2d | nn.AvgPool2d | nn.LPPool2d, shape: Shape, padding: Numbers = 0, dilation: Numbers = 1
) -> tuple[list[Window], list[Window], Shape]:
    """The windows of rows, those of columns, and the shape of the output."""
    after = image_after(module, shape)
    stride = module.kernel_size if module.stride is None else module.stride
    named = {"kernel": module.kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    options = {name: _pair(numbers) for name, numbers in named.items()}
    found = [
        _along(shape[axis + 1], after[axis + 1], **{name: pair[axis] for name, pair in options.items()})
        for axis in (0, 1)
    ]
    if not all(window.entries for windows in found for window in windows):
        raise UnsoundError(f"no bound of this {type(module).__name__} on {shape}: a window holds no entry of the image")
    return found[0], found[1], after


def _along(size: int, count: int, *, kernel: int, stride: int, padding: int, dilation: int) -> list[Window]:
    windows = []
    for start in range(-padding, count * stride - padding, stride):
        places = range(start, start + kernel * dilation, dilation)
        inside = tuple(place for place in places if 0 <= place < size)
        windows.append(Window(entries=inside, length=min(start + kernel, size + padding) - start))
    return windows


def _pair(numbers: Numbers) -> tuple[int, int]:
    if isinstance(numbers, SupportsIndex):
        return operator.index(numbers), operator.index(numbers)
    if len(numbers) not in (1, 2):
        raise UnsoundError(f"no bound of a pooling with the option {tuple(numbers)}: it must be one number or two")
    return operator.index(numbers[0]), operator.index(numbers[-1])


def _root(square: Fraction) -> float:
    """A float64 that is at least the square root, and next to it."""
    root = rounded_up(Fraction(math.sqrt(square)))
    while Fraction(root) ** 2 < square:
        root = math.nextafter(root, math.inf)
    return root
