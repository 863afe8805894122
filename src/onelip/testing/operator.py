"""Checks of the operator that a layer applies: its norm, its bound, its agreement with dense references."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..certify.lipschitz import lipschitz_bound
from ..linalg.conv import Padding
from ..method import Method
from ..nn.base import LipschitzModule
from ..nn.freeze import CircularConv2d
from .dense import convolution_matrix, dense_operator, largest_slope
from .setting import Setting
from .subject import as_applied, inputs, make_layer, require

EXACT = 1e-10
"""What float64 must agree to."""
SINGULAR_VALUES = 1e-12
"""Relative error that a singular value decomposition in float64 may have."""
TIGHT, TIGHT_ZEROS = 1e-6, 0.02
"""How far a bound may exceed the norm: in general, and with zero padding."""


def tolerance(method: Method, dtype: torch.dtype) -> float:
    """How far above 1 the norm of a constrained layer may lie."""
    return EXACT if dtype == torch.float64 else method.slack


def rounding(dtype: torch.dtype) -> float:
    """Relative difference that two ways to evaluate the same layer may have."""
    return EXACT if dtype == torch.float64 else 1e-5


def is_one_lipschitz(method: Method, setting: Setting) -> None:
    """The operator as applied has norm at most 1, and the bound says so; a yardstick's norm is at most its bound."""
    layer = make_layer(method, setting)
    slope, bound = largest_slope(method, layer, setting), float(layer.bound(setting.shape.image))
    require(slope <= bound * (1 + SINGULAR_VALUES), f"the norm {slope!r} exceeds the bound {bound!r}")
    if method.traits.constrained:
        limit = 1 + tolerance(method, setting.dtype)
        require(slope <= limit, f"the norm is {slope!r}, more than {limit!r}")
        require(bound <= 1 + method.slack, f"the bound is {bound!r}, more than 1 + {method.slack}")


def bound_is_sound(method: Method, setting: Setting) -> None:
    """The bounds of the layer and of the frozen layer are at least the norm of the operator as applied.

    The bound is asked for in training mode: it speaks of eval mode there too.
    """
    layer = make_layer(method, setting)
    slope = largest_slope(method, layer, setting)
    shape = setting.shape.input_shape
    bounds = {
        "layer.bound": layer.bound(setting.shape.image),
        "layer.bound in training mode": layer.train().bound(setting.shape.image),
        "lipschitz_bound(layer)": lipschitz_bound(layer.eval(), shape),
        "lipschitz_bound(frozen layer)": lipschitz_bound(as_applied(layer, setting.shape), shape),
    }
    for name, bound in bounds.items():
        limit = float(bound) * (1 + SINGULAR_VALUES)
        require(slope <= limit, f"{name} is {float(bound)!r}, but the norm is {slope!r}")


def finite(method: Method, setting: Setting) -> None:
    """Weights and bound are finite, and outputs and gradients are, in eval mode and in training mode."""
    layer = make_layer(method, setting)
    x = inputs(setting, 2)
    weights = layer.realise(setting.shape.image)
    require(all(bool(tensor.isfinite().all()) for tensor in weights), "a constructed weight is not finite")
    require(math.isfinite(float(layer.bound(setting.shape.image))), "the bound is not finite")
    for mode in ("eval", "training"):
        output = layer.train(mode == "training")(x)
        require(output.isfinite().all(), f"an output in {mode} mode is not finite")
        gradients = torch.autograd.grad(output.sum(), list(layer.parameters()), allow_unused=True)
        for (name, _), gradient in zip(layer.named_parameters(), gradients, strict=True):
            known = gradient is not None and bool(gradient.isfinite().all())
            require(known, f"the gradient of {name} in {mode} mode is missing or not finite")


def bound_is_tight(method: Method, setting: Setting) -> None:
    """The bound exceeds the norm by a factor of at most 1 + 1e-6, or 1.02 with zero padding.

    The largest slope of a nonlinear layer is found through its bias, which switches all of its ReLUs on or off.
    """
    layer = make_layer(method, setting)
    slope, bound = largest_slope(method, layer, setting), float(layer.bound(setting.shape.image))
    excess = TIGHT_ZEROS if has_zero_border(layer) and not method.traits.nonlinear else TIGHT
    require(bound <= slope * (1 + excess), f"the bound is {bound!r}, but the norm is {slope!r}")


def has_zero_border(layer: LipschitzModule) -> bool:
    """Whether zero padding plays a part."""
    return layer.padding_mode == "zeros" and layer.kernel_size > 1


def tightness_is_known(method: Method, setting: Setting) -> bool:
    """Whether `bound_is_tight` makes a statement."""
    return setting.shape.bias or not method.traits.nonlinear


def preserves_norm_if_orthogonal(method: Method, setting: Setting) -> None:
    """No singular value of the operator lies below 1 by more than the shrinkage that the method declares."""
    layer = make_layer(method, setting)
    values = torch.linalg.svdvals(dense_operator(as_applied(layer, setting.shape), setting.shape.input_shape))
    smallest = float(values[-1])
    require(smallest >= 1 - method.shrinkage, f"the smallest singular value is {smallest!r}")


def should_preserve_norm(method: Method, setting: Setting) -> bool:
    """Orthogonal methods with at least as many output as input channels, on the paddings for which they say so."""
    kept = method.traits.orthogonal_zeros if setting.padding == "zeros" else method.traits.orthogonal
    return kept and setting.shape.widens


def matches_dense_reference(method: Method, setting: Setting) -> None:
    """The output of a layer is what its dense operator gives; images of a batch do not meet; shifts commute.

    A layer that freezes to `nn.Conv2d` or `nn.Linear` is compared with that kernel's matrix, written out.
    """
    layer, x = make_layer(method, setting), inputs(setting, 3)
    with torch.no_grad():
        output = layer(x)
        alone = torch.cat([layer(x[index : index + 1]) for index in range(3)])
        require(close(output, alone), "an image's output depends on the rest of its batch")
        _check_shifts(layer, setting, x, output)
        if not method.traits.nonlinear:
            matrix = _reference_matrix(layer, setting)
            constant = layer(torch.zeros_like(x[:1])).double()
            expected = (x.double().flatten(1) @ matrix.T).reshape(output.shape) + constant
            require(close(output, expected), "the output is not that of the dense operator")
        if setting.shape.is_linear:
            leading = layer(x[None, :, None])
            require(close(leading, output[None, :, None]), "leading dimensions of vectors are not kept")


def _reference_matrix(layer: LipschitzModule, setting: Setting) -> Tensor:
    frozen = as_applied(layer, setting.shape)
    if isinstance(frozen, nn.Linear):
        return frozen.weight
    inner = frozen[-1] if isinstance(frozen, nn.Sequential) else frozen
    if not isinstance(inner, nn.Conv2d):
        return dense_operator(frozen, setting.shape.input_shape)
    padding: Padding = "circular" if isinstance(inner, CircularConv2d) else "zeros"
    matrix = convolution_matrix(inner.weight, layer.inner_image(setting.shape.image), padding)
    size = math.prod(setting.shape.input_shape)
    basis = torch.eye(size, dtype=torch.float64).reshape(size, *setting.shape.input_shape)
    return matrix @ F.pixel_unshuffle(basis, setting.shape.stride).flatten(1).T


def _check_shifts(layer: LipschitzModule, setting: Setting, x: Tensor, output: Tensor) -> None:
    if setting.shape.is_linear or has_zero_border(layer):
        return
    stride = setting.shape.stride
    shifted = layer(torch.roll(x, (stride, 2 * stride), dims=(2, 3)))
    require(close(shifted, torch.roll(output, (1, 2), dims=(2, 3))), "a shift of the image does not shift the output")


def close(actual: Tensor, expected: Tensor) -> bool:
    """Whether two outputs of one layer agree up to rounding, relative to the largest value."""
    scale = max(1.0, float(expected.abs().max()))
    difference = float((actual.double() - expected.double()).abs().max())
    return difference <= rounding(actual.dtype) * scale
