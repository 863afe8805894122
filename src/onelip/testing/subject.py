"""The layer under test: made as its setting says, always the same for the same setting."""

from __future__ import annotations

import dataclasses
import functools
import zlib

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..method import Method
from ..nn.base import LipschitzModule
from ..nn.freeze import freeze
from .setting import LayerShape, Setting, WeightKind

TRAINING_STEPS, LEARNING_RATE = 5, 0.05


def require(condition: object, reason: str) -> None:
    """Fails the check that is running, with a reason, unless the condition holds."""
    if not condition:
        raise AssertionError(reason)


def new_layer(method: Method, setting: Setting, seed: int = 0) -> LipschitzModule:
    """A layer as its constructor leaves it, in training mode."""
    shape = setting.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(setting.id.encode()) + seed)
        if shape.kernel_size is None:
            return method.linear(*shape.channels, bias=shape.bias, dtype=setting.dtype)
        return method.conv2d(
            *shape.channels,
            shape.kernel_size,
            stride=shape.stride,
            padding_mode=setting.padding,
            bias=shape.bias,
            dtype=setting.dtype,
        )


def make_layer(method: Method, setting: Setting, seed: int = 0) -> LipschitzModule:
    """The layer with its weights made as the setting says, in eval mode."""
    layer = new_layer(method, setting, seed)
    if setting.weights != "fresh":
        trained = _trained(method, dataclasses.replace(setting, weights="trained"), seed)
        with torch.no_grad():
            for parameter, values in zip(layer.parameters(), trained, strict=True):
                parameter.copy_(values)
        _edit(layer, setting.weights)
    layer.eval()
    return layer


def inputs(setting: Setting, count: int, *, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Standard normal inputs of shape (count, ...), times a scale."""
    generator = torch.Generator().manual_seed(zlib.crc32(setting.id.encode()) + 1_000_003 + seed)
    return scale * torch.randn(count, *setting.shape.input_shape, generator=generator, dtype=setting.dtype)


def as_applied(layer: LipschitzModule, shape: LayerShape) -> nn.Module:
    """The frozen layer in float64: the operator that the layer's constructed weights realise in its own dtype."""
    return freeze(layer, shape.input_shape).double()


def randomise(layer: LipschitzModule, seed: int = 0) -> LipschitzModule:
    """Draws all parameters anew; an edit that must change the layer's output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return layer


@functools.lru_cache(maxsize=512)
@torch.enable_grad()
def _trained(method: Method, setting: Setting, seed: int) -> tuple[Tensor, ...]:
    layer, x = new_layer(method, setting, seed), inputs(setting, 4, seed=seed + 17)
    with torch.no_grad():
        target = torch.roll(layer(x), 1, dims=1).cos()
    optimiser = torch.optim.Adam(layer.parameters(), lr=LEARNING_RATE)
    for _ in range(TRAINING_STEPS):
        optimiser.zero_grad()
        F.mse_loss(layer(x), target).backward()
        optimiser.step()
    return tuple(parameter.detach() for parameter in layer.parameters())


@torch.no_grad()
def _edit(layer: LipschitzModule, kind: WeightKind) -> None:
    for parameter in layer.raw():
        parameter.mul_({"large": 1e4, "small": 1e-4, "zero": 0.0}.get(kind, 1.0))
        if kind == "high_pass" and parameter.dim() == 4 and parameter.shape[-1] > 1:
            parameter.sub_(parameter.mean((-2, -1), keepdim=True))
        if parameter.dim() > 1:
            _edit_rows(parameter, kind)
        if parameter.dim() == 3:  # a stack of matrices
            _edit_rows(parameter.transpose(0, -1), kind)


def _edit_rows(matrix: Tensor, kind: WeightKind) -> None:
    if kind == "rank_one":
        matrix.copy_(matrix[:1].clone())
    elif kind == "stretched":
        matrix.mul_(torch.logspace(0, -3, len(matrix)).view(-1, *[1] * (matrix.dim() - 1)))
