"""How frozen modules are evaluated in a certified float32 program: by sums of bounded rounding, or inside float64.

A family of layers registers the module of float32 that evaluates its weights; what has none is evaluated in float64,
between inputs and outputs in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from .base import LipschitzModule, Weights
from .blocked import BlockedConv2d, OnVectors
from .freeze import FrozenLayer, same_padding
from .linear import PointwiseLinear

Builder = Callable[[LipschitzModule, Weights, int | None], "nn.Module | None"]
L = TypeVar("L", bound=LipschitzModule)

_BUILDERS: dict[type[LipschitzModule], Builder] = {}


class Widened(nn.Module):
    """A module that is evaluated in float64, between inputs and outputs in float32.

    Args:
        module: Is copied to float64, in which its weights are what they were.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).double()

    def forward(self, x: Tensor) -> Tensor:
        """What the module gives, rounded once."""
        y: Tensor = self.module(x.to(torch.float64))
        return y.to(torch.float32)


def register_executed(
    family: type[L],
) -> Callable[[Callable[[L, Weights, int | None], nn.Module | None]], Builder]:
    """Registers how a family of layers applies its weights in float32.

    It holds for layers that apply them as the family does, and not for those with an `apply_weights` of their own.

    Args:
        family: Its base class.

    Returns:
        A decorator for a function `build(layer, weights, block)` that makes the module of images, without the stride,
        with sums by that block, as of `BlockedConv2d`; or None where the layer is to be evaluated in float64.
    """

    def register(build: Callable[[L, Weights, int | None], nn.Module | None]) -> Builder:
        _BUILDERS[family] = cast("Builder", build)
        return _BUILDERS[family]

    return register


def executed_layer(frozen: FrozenLayer, block: int | None) -> nn.Module:
    """The module of a float32 program in the place of a frozen layer."""
    layer = frozen.skeleton
    for family, build in _BUILDERS.items():
        if isinstance(layer, family) and type(layer).apply_weights is family.apply_weights:
            module = build(layer, frozen.weights(), block)
            if module is not None and isinstance(layer, PointwiseLinear):
                return OnVectors(module)
            if module is not None:
                return module if layer.stride == 1 else nn.Sequential(nn.PixelUnshuffle(layer.stride), module)
    return Widened(frozen)


def executed_convolution(module: nn.Conv2d, block: int | None) -> BlockedConv2d:
    """The same for a plain convolution that keeps the size of images."""
    return BlockedConv2d(module.weight, module.bias, padding=same_padding(module), block=block)


def executed_linear(module: nn.Linear, block: int | None) -> OnVectors:
    """The same for a plain linear layer."""
    return OnVectors(BlockedConv2d(module.weight[:, :, None, None], module.bias, padding="zeros", block=block))
