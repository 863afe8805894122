"""The check that weights kept in eval mode are never those of other parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..linalg.conv import Image
from ..method import Method
from ..nn.base import LipschitzModule
from ..nn.construct import construct_all
from .operator import close
from .setting import Setting
from .subject import inputs, make_layer, new_layer, require

Edit = Callable[[LipschitzModule, LipschitzModule], LipschitzModule]
"""Gives a layer the parameters of a donor, or others; returns the layer to look at."""


def memo_never_stale(method: Method, setting: Setting) -> None:
    """After any edit a used layer computes what an unused layer of the same parameters computes.

    Edits through `.data` in place are seen by no counter: they are followed by `forget()`, `eval()` or `train()`.
    """
    x = inputs(setting, 2)
    for name, edit in EDITS.items():
        layer, donor = make_layer(method, setting), make_layer(method, setting, seed=1)
        before = _output(layer, x)
        require(torch.equal(before, _output(layer, x)), "the kept weights give another output than the first pass")
        layer = edit(layer, donor)
        expected = _output(_unused(method, setting, layer), x)
        for after in (_output(layer, x), _output(layer, x, grouped=True)):
            require(torch.equal(after, expected), f"after {name} the layer computes with stale weights")
        require(not close(expected, before), f"{name} did not change the output")
    _check_functional_call(method, setting, x)
    _check_gradients(method, setting, x)
    if not setting.shape.is_linear:
        _check_image_sizes(method, setting, x)
    _check_dtypes(method, setting, x)


@torch.no_grad()
def _output(layer: LipschitzModule, x: Tensor, *, grouped: bool = False) -> Tensor:
    if not grouped:
        return layer(x)
    return layer(x, construct_all([layer], [layer.inner_image(_image(x))])[0])


def _image(x: Tensor) -> Image:
    return (x.shape[2], x.shape[3]) if x.dim() == 4 else (1, 1)


@torch.no_grad()
def _unused(method: Method, setting: Setting, layer: LipschitzModule) -> LipschitzModule:
    """A layer of the same parameters that has never been applied."""
    twin = new_layer(method, setting).eval().to(next(layer.parameters()).dtype)
    for parameter, values in zip(twin.parameters(), layer.parameters(), strict=True):
        parameter.copy_(values)
    return twin


def _optimiser_step(layer: LipschitzModule, donor: LipschitzModule) -> LipschitzModule:
    return _step(layer, torch.optim.SGD(layer.parameters(), lr=1.0), donor)


def _fused_step(layer: LipschitzModule, donor: LipschitzModule) -> LipschitzModule:
    return _step(layer.train(), torch.optim.Adam(layer.parameters(), lr=0.5, fused=True), donor).eval()


def _step(layer: LipschitzModule, optimiser: torch.optim.Optimizer, donor: LipschitzModule) -> LipschitzModule:
    for parameter, target in zip(layer.parameters(), donor.parameters(), strict=True):
        parameter.grad = parameter.detach() - target.detach()
    optimiser.step()
    return layer


def _copy_values(layer: LipschitzModule, donor: LipschitzModule) -> LipschitzModule:
    for parameter, values in zip(layer.parameters(), donor.parameters(), strict=True):
        parameter.copy_(values)
    return layer


def _copy_values_in_inference_mode(layer: LipschitzModule, donor: LipschitzModule) -> LipschitzModule:
    with torch.inference_mode():
        return _copy_values(layer, donor)


def _load(layer: LipschitzModule, donor: LipschitzModule) -> LipschitzModule:
    layer.load_state_dict(donor.state_dict())
    return layer


def _load_and_assign(layer: LipschitzModule, donor: LipschitzModule) -> LipschitzModule:
    layer.load_state_dict(donor.state_dict(), assign=True)
    return layer


def _replace(layer: LipschitzModule, donor: LipschitzModule) -> LipschitzModule:
    for name, parameter in list(donor.named_parameters()):
        setattr(layer, name, nn.Parameter(parameter.detach().clone()))
    return layer


def _set_data(layer: LipschitzModule, donor: LipschitzModule) -> LipschitzModule:
    for parameter, values in zip(layer.parameters(), donor.parameters(), strict=True):
        parameter.data = values.detach().clone()
    return layer


def _write_data(layer: LipschitzModule, donor: LipschitzModule) -> LipschitzModule:
    for parameter, values in zip(layer.parameters(), donor.parameters(), strict=True):
        parameter.data.copy_(values)
    return layer


def _write_data_and_forget(layer: LipschitzModule, donor: LipschitzModule) -> LipschitzModule:
    _write_data(layer, donor).forget()
    return layer


def _write_data_and_eval(layer: LipschitzModule, donor: LipschitzModule) -> LipschitzModule:
    return _write_data(layer, donor).eval()


def _edit_a_copy(layer: LipschitzModule, donor: LipschitzModule) -> LipschitzModule:
    with torch.no_grad():
        return _copy_values(copy.deepcopy(layer), donor)


EDITS: dict[str, Edit] = {
    "an optimiser step": _optimiser_step,
    "a fused optimiser step between train() and eval()": _fused_step,
    "an edit under no_grad": torch.no_grad()(_copy_values),
    "an edit under inference_mode": _copy_values_in_inference_mode,
    "load_state_dict": _load,
    "load_state_dict(assign=True)": _load_and_assign,
    "replacing the parameters": _replace,
    "setting parameter.data": _set_data,
    "writing to parameter.data, and forget()": _write_data_and_forget,
    "writing to parameter.data, and eval()": _write_data_and_eval,
    "deepcopy and an edit of the copy": _edit_a_copy,
}


def _check_functional_call(method: Method, setting: Setting, x: Tensor) -> None:
    layer, donor = make_layer(method, setting), make_layer(method, setting, seed=1)
    own, other = _output(layer, x), _output(donor, x)
    parameters: dict[str, Tensor] = dict(donor.named_parameters())
    for values in (parameters, {name: parameter.detach() for name, parameter in parameters.items()}):
        with torch.no_grad():
            require(torch.equal(functional_call(layer, values, (x,)), other), "functional_call reads kept weights")
        require(torch.equal(_output(layer, x), own), "functional_call leaves its weights in the layer")


def _check_gradients(method: Method, setting: Setting, x: Tensor) -> None:
    layer = make_layer(method, setting)
    _output(layer, x)
    for _ in range(2):
        gradients = torch.autograd.grad(layer(x).sum(), list(layer.parameters()), allow_unused=True)
        require(all(gradient is not None for gradient in gradients), "the kept weights hide a parameter's gradient")


def _check_image_sizes(method: Method, setting: Setting, x: Tensor) -> None:
    layer = make_layer(method, setting)
    larger = torch.cat([torch.cat([x, x], dim=2), torch.cat([x, x], dim=2)], dim=3)
    for images in (x, larger, x.transpose(2, 3), x):
        expected = _output(_unused(method, setting, layer), images)
        require(torch.equal(_output(layer, images), expected), "the weights are those of another image size")


def _check_dtypes(method: Method, setting: Setting, x: Tensor) -> None:
    layer = make_layer(method, setting)
    for dtype in (torch.float32, torch.float64, torch.float32):
        _output(layer.to(dtype), x.to(dtype))
        expected = _output(_unused(method, setting, layer), x.to(dtype))
        require(torch.equal(_output(layer, x.to(dtype)), expected), f"the weights are not those of {dtype}")
