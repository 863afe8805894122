"""Checks of what a method declares and accepts: its traits, its options, and the arguments that it refuses."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..linalg.conv import Image
from ..method import Method
from ..nn.base import LipschitzModule
from ..nn.linear import PointwiseLinear
from .dense import dense_operator
from .operator import close
from .setting import PADDINGS, LayerShape, Setting
from .subject import as_applied, inputs, make_layer, new_layer, require

OTHER_IMAGE = (6, 5)


def declared_traits_hold(method: Method, setting: Setting) -> None:
    """Each trait is declared exactly if it is observed."""
    layer = make_layer(method, setting)
    huge = make_layer(method, Setting(shape=setting.shape, weights="large", padding=setting.padding))
    padded = make_layer(method, Setting(shape=setting.shape, padding="zeros"))
    observed = {
        "constrained": float(huge.bound(setting.shape.image)) <= 1 + method.slack,
        "nonlinear": not _is_affine(layer, setting),
        "orthogonal": _is_affine(layer, setting) and _is_isometry(method, layer, setting),
        "orthogonal_zeros": _is_affine(padded, setting) and _is_isometry(method, padded, setting),
        "image_bound": not _same_weights(layer, setting.shape.image, OTHER_IMAGE),
    }
    for trait, value in observed.items():
        declared = getattr(method.traits, trait)
        require(declared == value, f"the trait {trait} is declared {declared}, and observed {value}")
    require(issubclass(method.conv2d, LipschitzModule), "conv2d is not a LipschitzModule")
    require(issubclass(method.linear, PointwiseLinear), "linear is not a PointwiseLinear")


@torch.no_grad()
def _is_affine(layer: LipschitzModule, setting: Setting) -> bool:
    first, second = inputs(setting, 2, scale=10.0).split(1)
    origin = layer(torch.zeros_like(first))
    sums = [layer(first + sign * second) - layer(first) - sign * (layer(second) - origin) for sign in (1, -1)]
    return all(close(total, torch.zeros_like(total)) for total in sums)


def _is_isometry(method: Method, layer: LipschitzModule, setting: Setting) -> bool:
    matrix = dense_operator(as_applied(layer, setting.shape), setting.shape.input_shape)
    return float(torch.linalg.svdvals(matrix)[-1]) >= 1 - method.shrinkage


def _same_weights(layer: LipschitzModule, image: Image, other: Image) -> bool:
    pairs = zip(layer.realise(image), layer.realise(other), strict=True)
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


@torch.no_grad()
def options_matter(method: Method, setting: Setting) -> None:
    """Each option is read: it changes the result as its name says."""
    _check_padding(method, setting)
    _check_bias(method, setting)
    _check_kernel_size(method, setting)
    layer, strided = method.conv2d(3, 4, 3), method.conv2d(3, 4, 3, stride=2)
    shapes = [tuple(module(torch.ones(1, 3, 4, 6)).shape) for module in (layer, strided)]
    require(shapes == [(1, 4, 4, 6), (1, 4, 2, 3)], f"strides 1 and 2 give outputs of shapes {shapes}")
    for kind, arguments in ((method.conv2d, (3, 4, 3)), (method.linear, (3, 4))):
        made: LipschitzModule = kind(*arguments, dtype=torch.float64, device="meta")
        require(all(p.is_meta for p in made.parameters()), "device is not read")
        require(all(p.dtype == torch.float64 for p in made.parameters()), "dtype is not read")


def _check_padding(method: Method, setting: Setting) -> None:
    layer, x = make_layer(method, setting), inputs(setting, 1)
    outputs: dict[str, Tensor] = {}
    for mode in (*PADDINGS, None):
        made = new_layer(method, Setting(shape=setting.shape, padding=mode)).eval()
        made.load_state_dict(layer.state_dict())
        outputs[str(mode)] = made(x)
        require(made.padding_mode == (mode or method.padding), f"padding_mode={mode!r} is not kept")
    require(not close(outputs["circular"], outputs["zeros"]), "padding_mode makes no difference")
    require(torch.equal(outputs["None"], outputs[method.padding]), "the default padding_mode is not the paper's")


def _check_bias(method: Method, setting: Setting) -> None:
    layer, x = make_layer(method, setting), inputs(setting, 1)
    moved = copy.deepcopy(layer)
    require(layer.bias is not None and moved.bias is not None, "bias=True makes no bias")
    moved.bias.add_(1.0)  # type: ignore[union-attr]
    require(not close(moved(x), layer(x)), "the bias makes no difference")
    for bare in (method.conv2d(3, 4, 3, bias=False), method.linear(3, 4, bias=False)):
        require(bare.bias is None and "bias" not in bare.state_dict(), "bias=False makes a bias")


def _check_kernel_size(method: Method, setting: Setting) -> None:
    reach = {}
    for size in (1, 3, 5):
        shape = LayerShape(name="reach", channels=(3, 3), kernel_size=size, image=(11, 11), bias=False)
        layer = make_layer(method, Setting(shape=shape, padding=setting.padding))
        impulse = torch.zeros(1, 3, 11, 11, dtype=setting.dtype)
        impulse[..., 5, 5] = 1.0
        reach[size] = int((layer(impulse).abs().amax((0, 1)) > 1e-9).sum())
    require(reach[1] == 1, f"a 1x1 kernel reaches {reach[1]} pixels")
    require(reach[1] < reach[3] <= reach[5], f"kernels of sizes 1, 3, 5 reach {list(reach.values())} pixels")


REFUSED_OPTIONS: tuple[tuple[str, object], ...] = (
    ("kernel_size", 0),
    ("kernel_size", 2),
    ("kernel_size", 3.0),
    ("stride", 0),
    ("stride", 3),
    ("stride", True),
    ("padding", "valid"),
    ("padding", 1),
    ("padding_mode", "reflect"),
    ("padding_mode", ""),
    ("groups", 2),
    ("dilation", 2),
    ("in_channels", 0),
    ("in_channels", 2.0),
    ("out_channels", 0),
    ("out_channels", -1),
    ("out_channels", "4"),
)
REFUSED_FEATURES: tuple[tuple[str, object], ...] = (
    ("in_features", 0),
    ("in_features", 2.0),
    ("out_features", 0),
    ("out_features", True),
)


@torch.no_grad()
def bad_arguments_raise(method: Method, _: Setting) -> None:
    """Arguments and inputs that do not fit raise a ValueError that names the argument and its value.

    A parameter that is not finite is no such thing as 1-Lipschitz: the bound of its layer is refused.
    """
    for name, value in REFUSED_OPTIONS:
        options: dict[str, Any] = {"in_channels": 2, "out_channels": 4, "kernel_size": 3, name: value}
        _check_refusal(partial(method.conv2d, **options), name, repr(value))
    for name, value in REFUSED_FEATURES:
        features: dict[str, Any] = {"in_features": 2, "out_features": 4, name: value}
        _check_refusal(partial(method.linear, **features), name, repr(value))
    conv, strided, linear = method.conv2d(2, 4, 3), method.conv2d(2, 4, 3, stride=2), method.linear(2, 4)
    for shape in ((1, 3, 4, 4), (2, 4, 4), (1, 2, 4)):
        _check_refusal(partial(conv, torch.zeros(shape)), "(B, 2, H, W)", str(shape))
    for image in ((3, 4), (4, 3)):
        _check_refusal(partial(strided, torch.zeros(1, 2, *image)), "stride=2", f"{image[0]}x{image[1]}")
        _check_refusal(partial(strided.bound, image), "stride=2", f"{image[0]}x{image[1]}")
    _check_refusal(partial(linear, torch.zeros(5, 3)), "(..., 2)", "(5, 3)")
    for layer in (conv, linear):
        for name, parameter in zip(layer.raw_shapes(), layer.raw(), strict=True):
            for value in (math.nan, math.inf):
                kept = parameter.flatten()[0].clone()
                parameter.view(-1)[0] = value
                _check_refusal(partial(layer.bound, (4, 4)), name, "NaN or inf")
                parameter.view(-1)[0] = kept


def _check_refusal(action: Callable[[], object], name: str, value: str) -> None:
    try:
        action()
    except ValueError as error:
        message = str(error)
        require(name in message and value in message, f"the message should name {name} and {value}: {message!r}")
        return
    require(False, f"{name} = {value} was accepted")
