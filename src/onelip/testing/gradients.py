"""Checks of gradients: none is dead, and all are those of the function that the layer computes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.func import functional_call

from ..method import Method
from .setting import Setting
from .subject import inputs, make_layer, require

DEAD = 1e-8
"""A gradient below this times that of the output is rounding noise."""

LOUD = 1e4
"""Scale of inputs that no bias outweighs: they reach hidden channels of small weights through a ReLU."""
STEP = 1e-6
"""Of finite differences."""
ESTIMATED, DIRECTION = 1e-9, 0.2
"""Outputs that differ by more rest on estimates; relative error that the gradient of an estimate may have."""


def every_parameter_learns(method: Method, setting: Setting) -> None:
    """Each parameter, in each of its rows, has a finite non-zero gradient under a random linear functional."""
    layer = make_layer(method, setting)
    x = torch.cat([inputs(setting, 16), inputs(setting, 16, seed=1, scale=LOUD)])
    for mode in ("training", "eval"):
        output = layer.train(mode == "training")(x)
        direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(0), dtype=output.dtype)
        parameters = dict(layer.named_parameters())
        gradients = torch.autograd.grad(output, list(parameters.values()), direction, allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            require(gradient is not None, f"{name} takes no part in {mode} mode")
            _check_rows(f"{name} in {mode} mode", gradient, float(direction.norm()))


def _check_rows(name: str, gradient: Tensor, scale: float) -> None:
    require(gradient.isfinite().all(), f"the gradient of {name} is not finite")
    rows = gradient.reshape(gradient.shape[0], -1) if gradient.dim() else gradient.reshape(1, 1)
    sizes = rows.norm(dim=1)
    dead = [index for index, size in enumerate(sizes.tolist()) if size <= DEAD * scale]
    require(not dead, f"the gradient of {name} is zero in rows {dead}")


def gradients_are_right(method: Method, setting: Setting) -> None:
    """Gradients of inputs and parameters agree with finite differences, in eval mode and in training mode.

    Where training only estimates what eval mode bounds, the estimate may be differentiated as if it had converged: then
    the gradient must have the direction and the size of the true one.
    """
    layer, x = make_layer(method, setting), inputs(setting, 2).requires_grad_()
    names = [name for name, _ in layer.named_parameters()]
    values = [parameter.detach().clone().requires_grad_() for parameter in layer.parameters()]

    def apply(x: Tensor, *parameters: Tensor) -> Tensor:
        result: Tensor = functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))
        return result

    gradcheck(apply, (x, *values))
    exact = apply(x, *values)
    layer.train()
    estimated = not torch.allclose(apply(x, *values), exact, rtol=ESTIMATED, atol=ESTIMATED)
    if estimated:
        _check_direction(apply, x, values)
    else:
        gradcheck(apply, (x, *values))


def _check_direction(apply: Callable[..., Tensor], x: Tensor, values: list[Tensor]) -> None:
    direction = torch.randn(apply(x, *values).shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    claimed = torch.autograd.grad((apply(x, *values) * direction).sum(), values)
    for index, value in enumerate(values):
        true = torch.zeros_like(value).flatten()
        for entry, step in enumerate(STEP * torch.eye(value.numel(), dtype=value.dtype)):
            ahead, behind = ([*values[:index], value + s * step.view_as(value), *values[index + 1 :]] for s in (1, -1))
            true[entry] = ((apply(x, *ahead) - apply(x, *behind)) * direction).sum().detach() / (2 * STEP)
        error = float((claimed[index].flatten() - true).norm() / true.norm())
        require(error <= DIRECTION, f"in training mode the gradient of parameter {index} is off by {error:.0%}")
