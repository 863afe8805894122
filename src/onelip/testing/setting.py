"""The settings in which a method is checked: weights x shape x padding x dtype, all of them or a pairwise cover."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from ..linalg.conv import Image, Padding

WeightKind = Literal["fresh", "trained", "stretched", "large", "small", "high_pass", "rank_one", "zero"]
WEIGHTS: tuple[WeightKind, ...] = ("fresh", "trained", "stretched", "large", "small", "high_pass", "rank_one", "zero")
"""As initialised; after optimiser steps; those with rows times 1 to 1e-3, all times 1e4, all times 1e-4, with the mean
of each kernel taken off, with all rows equal, and zero."""
FULL_RANK: tuple[WeightKind, ...] = ("fresh", "trained", "stretched")
PADDINGS: tuple[Padding, ...] = ("circular", "zeros")
DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """One layer and the images it is used on.

    Attributes:
        name: For test ids.
        channels: Input and output channels (features of a linear layer).
        kernel_size: Of the convolution; None stands for the method's linear layer.
        image: Height and width of the input.
        stride: Of the convolution.
        bias: Whether there is one.
    """

    name: str
    channels: tuple[int, int]
    kernel_size: int | None = 3
    image: Image = (1, 1)
    stride: int = 1
    bias: bool = True

    @property
    def is_linear(self) -> bool:
        """Whether the method's linear layer is meant."""
        return self.kernel_size is None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch."""
        return self.channels[:1] if self.is_linear else (self.channels[0], *self.image)

    @property
    def inner_channels(self) -> int:
        """Input channels after the pixel unshuffle of the stride."""
        return self.channels[0] * self.stride**2

    @property
    def fits(self) -> bool:
        """Whether the kernel is no larger than the image, so that each of its entries counts."""
        return (self.kernel_size or 1) * self.stride <= min(self.image)

    @property
    def widens(self) -> bool:
        """Whether there are at least as many output channels as inner input channels."""
        return self.channels[1] >= self.inner_channels


SHAPES: tuple[LayerShape, ...] = (
    LayerShape(name="wide", channels=(5, 2), image=(4, 4)),
    LayerShape(name="tall", channels=(2, 5), image=(4, 5), bias=False),
    LayerShape(name="square", channels=(3, 3), image=(5, 7)),
    LayerShape(name="even", channels=(4, 4), image=(6, 4), bias=False),
    LayerShape(name="large_image", channels=(1, 2), image=(12, 13)),
    LayerShape(name="single", channels=(1, 2), image=(3, 5)),
    LayerShape(name="pointwise", channels=(3, 4), kernel_size=1, image=(3, 4)),
    LayerShape(name="five", channels=(2, 3), kernel_size=5, image=(7, 6)),
    LayerShape(name="five_on_pixel", channels=(3, 4), kernel_size=5),
    LayerShape(name="five_on_strip", channels=(3, 2), kernel_size=5, image=(2, 3), bias=False),
    LayerShape(name="three_on_strip", channels=(2, 2), image=(1, 4)),
    LayerShape(name="strided", channels=(2, 8), image=(4, 6), stride=2),
    LayerShape(name="strided_wide", channels=(2, 3), image=(2, 6), stride=2, bias=False),
    LayerShape(name="strided_five", channels=(1, 4), kernel_size=5, image=(4, 2), stride=2),
    LayerShape(name="strided_pointwise", channels=(1, 5), kernel_size=1, image=(4, 4), stride=2),
    LayerShape(name="many", channels=(32, 32), image=(2, 2)),
    LayerShape(name="many_pointwise", channels=(48, 64), kernel_size=1, image=(1, 2)),
    LayerShape(name="linear_wide", channels=(7, 3), kernel_size=None),
    LayerShape(name="linear_tall", channels=(3, 7), kernel_size=None, bias=False),
    LayerShape(name="linear_square", channels=(6, 6), kernel_size=None),
)
"""No more than 160 input values each, so that dense operators stay small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One layer of a method: its shape, padding and dtype, and how its weights are made.

    Attributes:
        shape: The layer's shape.
        weights: How its weights are made.
        padding: Padding mode; None takes the method's own, and is the only value for linear layers.
        dtype: Of the parameters.
    """

    shape: LayerShape
    weights: WeightKind = "trained"
    padding: Padding | None = None
    dtype: torch.dtype = torch.float64

    @property
    def id(self) -> str:
        """Name in test ids."""
        padding = [] if self.padding is None else [self.padding]
        return "-".join([self.shape.name, self.weights, *padding, str(self.dtype).removeprefix("torch.")])


def settings(
    *, weights: Sequence[WeightKind] = WEIGHTS, dtypes: Sequence[torch.dtype] = DTYPES, full: bool
) -> tuple[Setting, ...]:
    """Settings of all shapes and both paddings: the whole product, or a cover of all pairs of values."""
    sizes = (len(SHAPES), len(weights), len(PADDINGS), len(dtypes))
    rows = itertools.product(*map(range, sizes)) if full else pairwise_cover(sizes)
    result = {}
    for a, b, c, d in rows:
        padding = None if SHAPES[a].is_linear else PADDINGS[c]
        setting = Setting(shape=SHAPES[a], weights=weights[b], padding=padding, dtype=dtypes[d])
        result[setting.id] = setting
    return tuple(result.values())


@functools.cache
def pairwise_cover(sizes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Rows of the product of ranges of these sizes in which every pair of values of two factors occurs at least once.

    Greedy and deterministic: each row is the first of those that cover the most pairs not covered yet.

    >>> len(pairwise_cover((4, 3, 2)))
    12
    """
    candidates = {row: _pairs(row) for row in itertools.product(*map(range, sizes))}
    missing = set().union(*candidates.values())
    rows: list[tuple[int, ...]] = []
    while missing:
        rows.append(max(candidates, key=lambda row: len(candidates[row] & missing)))
        missing -= candidates[rows[-1]]
    return tuple(rows)


def _pairs(row: tuple[int, ...]) -> set[tuple[tuple[int, int], ...]]:
    return set(itertools.combinations(enumerate(row), 2))
