"""The Lipschitz bound of a model: each module by its own proved rule, composed; an unknown module is refused.

Shapes are those of one input without the batch: (C, H, W) for images, (N,) for vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeVar, cast

import torch
from torch import nn

from ..bound import Bound, rounded_up
from ..errors import UnsoundError, UnsupportedShapeError
from ..linalg.precision import refuse_emulation
from ..linalg.proof import largest_norm_bound
from ..nn.activations import Abs, GroupSort, MaxMin
from ..nn.base import LipschitzModule
from ..nn.freeze import CircularConv2d, FrozenLayer, same_padding
from ..nn.kernel import convolution_bound
from ..nn.linear import PointwiseLinear
from ..nn.refusals import checked_dtype, children, other_path, refuse_hooks, refuse_inherited, refuse_other_path
from ..nn.reshape import Center, FitChannels, Normalize
from ..nn.sum import Sum

Shape = tuple[int, ...]
Rule = Callable[[nn.Module, Shape], tuple[Bound, Shape]]
Search = Callable[[nn.Module, Shape, float], tuple[Bound, Shape]]
"""A rule that searches for the smallest bound it can prove, and stops below one that is enough."""
M = TypeVar("M", bound=nn.Module)

_RULES: dict[type[nn.Module], Rule] = {}
_SEARCHES: dict[type[nn.Module], Search] = {}


def register_bound(kind: type[M]) -> Callable[[Callable[[M, Shape], tuple[Bound, Shape]]], Rule]:
    """Registers the rule that bounds a module of exactly this type; subclasses need a rule of their own.

    Args:
        kind: The module's type.

    Returns:
        A decorator for a function `rule(module, shape) -> (bound, shape of the output)`; the bound must hold for every
        input of that shape in eval mode.

    >>> class Negate(nn.Module):
    ...     def forward(self, x): return -x
    >>> @register_bound(Negate)
    ... def negate(module, shape): return Bound(1.0, "an isometry"), shape
    >>> float(lipschitz_bound(Negate(), (3, 8, 8)))
    1.0
    """

    def register(rule: Callable[[M, Shape], tuple[Bound, Shape]]) -> Rule:
        _RULES[kind] = cast("Rule", rule)
        return _RULES[kind]

    return register


@torch.no_grad()
def lipschitz_bound(model: nn.Module, image: tuple[int, ...]) -> Bound:
    """Proved upper bound of a model's Lipschitz constant in the L2 norm, in eval mode, in real arithmetic.

    Every layer is bounded by the norm of the operator that its constructed weights realise, at the image size that it
    sees in the model; kept weights are not read. Modules are composed through `nn.Sequential`, `Sum` and the models of
    onelip.

    Args:
        model: A layer or a model of known modules.
        image: Shape of one input: (C, H, W), or (N,) for vectors.

    Returns:
        The bound; `float(bound)` is its value, `bound.parts` those of the layers, `bound.why` what it rests on.

    Raises:
        UnsoundError: If a module has no rule, a weight is not finite, or the environment has float64 emulated.
        UnsupportedShapeError: If the image does not fit the model.
    """
    return bound_and_shape(model, tuple(image))[0]


def register_search(kind: type[M]) -> Callable[[Callable[[M, Shape, float], tuple[Bound, Shape]]], Search]:
    """Registers the `Search` of a module of exactly this type."""

    def register(search: Callable[[M, Shape, float], tuple[Bound, Shape]]) -> Search:
        _SEARCHES[kind] = cast("Search", search)
        return _SEARCHES[kind]

    return register


def bound_and_shape(module: nn.Module, shape: Shape, *, enough: float = 0.0) -> tuple[Bound, Shape]:
    """The bound of a module on inputs of one shape, and the shape of its output.

    Args:
        module: The module.
        shape: Of its input.
        enough: A bound that needs not be improved; what this function gave is found enough on any machine.
    """
    refuse_emulation()
    refuse_hooks(module)
    rule, search = _RULES.get(type(module)), _SEARCHES.get(type(module))
    if rule is None and search is not None:
        return search(module, shape, enough)
    if rule is None and isinstance(module, LipschitzModule) and other_path(module) is None:
        return _layer(module, shape, enough)
    if rule is None:
        raise UnsoundError(
            f"no proved Lipschitz bound is known for {type(module).__module__}.{type(module).__qualname__}; "
            "register one with onelip.register_bound"
        )
    return rule(module, shape)


def _spatial(module: nn.Module, shape: Shape, channels: int) -> tuple[int, int]:
    if len(shape) != 3 or shape[0] != channels:
        raise UnsupportedShapeError(f"{type(module).__name__} takes images ({channels}, H, W), not {shape}")
    return shape[1], shape[2]


def _features(module: nn.Module, shape: Shape, features: int) -> None:
    if shape[-1:] != (features,):
        raise UnsupportedShapeError(f"{type(module).__name__} takes vectors ({features},), not {shape}")


def _layer(module: LipschitzModule, shape: Shape, enough: float) -> tuple[Bound, Shape]:
    refuse_inherited(type(module), "realised_bound")
    if isinstance(module, PointwiseLinear):
        _features(module, shape, module.in_channels)
        return _named(module, module.bound((1, 1), enough=enough)), (*shape[:-1], module.out_channels)
    image = _spatial(module, shape, module.in_channels)
    height, width = module.inner_image(image)
    return _named(module, module.bound(image, enough=enough)), (module.out_channels, height, width)


def _named(module: nn.Module, bound: Bound) -> Bound:
    return Bound(bound.value, f"{type(module).__name__}: {bound.why}", bound.parts)


@register_search(FrozenLayer)
def _frozen(module: FrozenLayer, shape: Shape, enough: float) -> tuple[Bound, Shape]:
    layer = module.skeleton
    refuse_hooks(layer)
    refuse_other_path(layer)
    refuse_inherited(type(layer), "realised_bound")
    if isinstance(layer, PointwiseLinear):
        _features(layer, shape, layer.in_channels)
        return _named(layer, module.bound((1, 1), enough=enough)), (*shape[:-1], layer.out_channels)
    image = _spatial(layer, shape, layer.in_channels)
    return _named(layer, module.bound(image, enough=enough)), (layer.out_channels, *layer.inner_image(image))


@register_bound(nn.Sequential)
def sequential(module: nn.Sequential, shape: Shape) -> tuple[Bound, Shape]:
    """The product of the children's bounds, in order."""
    parts = []
    for _, child in children(module):
        bound, shape = bound_and_shape(child, shape)
        parts.append(bound)
    return Bound.product(parts), shape


@register_bound(Sum)
def _sum(module: Sum, shape: Shape) -> tuple[Bound, Shape]:
    return summed(module, [bound_and_shape(branch, shape) for branch in module.branches])


def summed(module: Sum, branches: Sequence[tuple[Bound, Shape]]) -> tuple[Bound, Shape]:
    """The bound sum_i |w_i| L_i of a sum from those of its branches, by the triangle inequality.

    Raises:
        UnsupportedShapeError: If two branches give different shapes.
    """
    if len({after for _, after in branches}) != 1:
        shapes = ", ".join(str(after) for _, after in branches)
        raise UnsupportedShapeError(f"the branches of a Sum must give one shape, not {shapes}")
    terms = [
        bound if abs(weight) == 1 else Bound.product((Bound(abs(weight), f"the weight {weight}"), bound))
        for weight, (bound, _) in zip(module.weights, branches, strict=True)
    ]
    return Bound.sum(terms), branches[0][1]


def _isometric(why: str) -> Rule:
    return lambda _, shape: (Bound(1.0, why), shape)


for _kind, _why in {
    MaxMin: "sorts pairs of channels",
    GroupSort: "sorts groups of channels",
    Abs: "slopes of absolute value 1",
    nn.ReLU: "slopes 0 and 1",
    nn.Identity: "the identity",
    nn.Dropout: "the identity in eval mode",
}.items():
    _RULES[_kind] = _isometric(_why)


@register_bound(Center)
def _center(module: Center, shape: Shape) -> tuple[Bound, Shape]:
    _spatial(module, shape, module.mean.numel())
    return Bound(1.0, "subtracts a constant"), shape


@register_bound(Normalize)
def _normalize(module: Normalize, shape: Shape) -> tuple[Bound, Shape]:
    _spatial(module, shape, module.std.numel())
    checked_dtype(module.std, "Normalize")
    return Bound(rounded_up(1 / Fraction(module.smallest())), "1 / min(std)"), shape


@register_bound(FitChannels)
def _fit(module: FitChannels, shape: Shape) -> tuple[Bound, Shape]:
    return Bound(1.0, "appends zeros or selects channels"), (module.channels, *shape[1:])


@register_bound(nn.Flatten)
def _flatten(module: nn.Flatten, shape: Shape) -> tuple[Bound, Shape]:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise UnsoundError("nn.Flatten is known with start_dim=1 and end_dim=-1 only")
    return Bound(1.0, "reorders values"), (math.prod(shape),)


@register_bound(nn.PixelUnshuffle)
def _unshuffle(module: nn.PixelUnshuffle, shape: Shape) -> tuple[Bound, Shape]:
    factor = module.downscale_factor
    if len(shape) != 3 or shape[1] % factor or shape[2] % factor:
        raise UnsupportedShapeError(f"PixelUnshuffle({factor}) takes images of sides divisible by it, not {shape}")
    return Bound(1.0, "reorders values"), (shape[0] * factor**2, shape[1] // factor, shape[2] // factor)


@register_search(nn.Linear)
def _linear(module: nn.Linear, shape: Shape, enough: float) -> tuple[Bound, Shape]:
    _features(module, shape, module.in_features)
    _check_weight(module, (module.out_features, module.in_features))
    value = largest_norm_bound(checked_dtype(module.weight, "nn.Linear").to(torch.float64), enough=enough)
    return Bound(value, "nn.Linear: spectral norm, proved by a Cholesky residual"), (*shape[:-1], module.out_features)


def _check_weight(module: nn.Linear | nn.Conv2d, expected: Shape) -> None:
    if tuple(module.weight.shape) != expected:
        raise UnsoundError(
            f"no proved bound is known for this {type(module).__name__}: {module.extra_repr()}, "
            f"with a weight of shape {tuple(module.weight.shape)}"
        )


@register_search(CircularConv2d)
def _circular(module: CircularConv2d, shape: Shape, enough: float) -> tuple[Bound, Shape]:
    return _conv2d(module, shape, enough)


@register_search(nn.Conv2d)
def _conv2d(module: nn.Conv2d, shape: Shape, enough: float) -> tuple[Bound, Shape]:
    image, size, padding = _spatial(module, shape, module.in_channels), module.kernel_size[0], same_padding(module)
    _check_weight(module, (module.out_channels, module.in_channels, size, size))
    kernel = checked_dtype(module.weight, type(module).__name__)
    bound = convolution_bound(kernel, image, padding, enough=enough)
    return _named(module, bound), (module.out_channels, *image)
