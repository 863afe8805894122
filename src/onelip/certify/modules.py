"""Bounds and rounding errors of torch's modules that reorder, pad or normalise by stored statistics."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..bound import Bound
from ..errors import UnsoundError, UnsupportedShapeError
from ..linalg.rounding import HUGE, TINY, UP, Computed, gamma, length
from ..nn.refusals import checked_dtype
from .lipschitz import Shape, register_bound
from .rounding import register_exact, register_rounding


def shape_after(module: nn.Module, shape: Shape) -> Shape:
    """The shape of the output of a module without parameters, as torch gives it; nothing is computed.

    Raises:
        UnsupportedShapeError: If the module does not take the shape, or gives nothing for an input.
    """
    try:
        after = module(torch.empty(2, *shape, device="meta")).shape
    except (RuntimeError, ValueError) as error:
        raise UnsupportedShapeError(f"{type(module).__name__} does not take inputs {shape}: {error}") from error
    if after[0] != 2 or not after.numel():
        raise UnsupportedShapeError(f"this {type(module).__name__} makes no outputs of inputs {shape}: {module}")
    return tuple(after[1:])


def image_after(module: nn.Module, shape: Shape) -> Shape:
    """As `shape_after`, of a module that takes images only.

    Raises:
        UnsupportedShapeError: If it does not take the shape.
    """
    if len(shape) != 3:
        raise UnsupportedShapeError(f"{type(module).__name__} takes images (C, H, W), not {shape}")
    return shape_after(module, shape)


@register_bound(nn.Unflatten)
def _unflatten(module: nn.Unflatten, shape: Shape) -> tuple[Bound, Shape]:
    if not isinstance(module.dim, int) or module.dim in (0, -1 - len(shape)):
        raise UnsoundError(f"no bound of nn.Unflatten of the dimension {module.dim!r} of inputs {shape}")
    return Bound(1.0, "Unflatten: reorders values"), shape_after(module, shape)


@register_bound(nn.PixelShuffle)
def _shuffle(module: nn.PixelShuffle, shape: Shape) -> tuple[Bound, Shape]:
    return Bound(1.0, "PixelShuffle: reorders values"), image_after(module, shape)


@register_bound(nn.ChannelShuffle)
def _channel_shuffle(module: nn.ChannelShuffle, shape: Shape) -> tuple[Bound, Shape]:
    return Bound(1.0, "ChannelShuffle: reorders channels"), image_after(module, shape)


@register_bound(nn.ZeroPad2d)
def _zero_pad(module: nn.ZeroPad2d, shape: Shape) -> tuple[Bound, Shape]:
    """Appends zeros; a negative padding selects."""
    if module.value != 0:
        raise UnsoundError(f"no bound of nn.ZeroPad2d that pads with {module.value}")
    return Bound(1.0, "ZeroPad2d: appends zeros or selects"), image_after(module, shape)


register_exact(nn.Unflatten, nn.PixelShuffle, nn.ChannelShuffle, nn.ZeroPad2d)

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d


def _batch_norm(module: BatchNorm, shape: Shape) -> tuple[Bound, Shape]:
    """An affine map per channel in eval mode, a x + b with a = weight / sqrt(running_var + eps): the largest |a|."""
    dimensions = (3,) if isinstance(module, nn.BatchNorm2d) else (1, 2)
    if len(shape) not in dimensions or shape[0] != module.num_features:
        name, channels = type(module).__name__, module.num_features
        raise UnsupportedShapeError(f"{name} of {channels} channels does not take inputs {shape}")
    steepest = float(_affine(module)[0].abs().amax())
    why = f"{type(module).__name__}: max |weight| / sqrt(running_var + eps), as in eval mode"
    # A few roundings, and what may have underflowed.
    return Bound(steepest * UP + TINY, why), shape


def _batch_norm_rounding(module: BatchNorm, shape: Shape, x: Computed, norm: float) -> Computed:
    """The sum of a x, -a mean and the bias, in torch's order or as ((x - mean) / sqrt(...)) weight + bias.

    Ten roundings at most lie between each of the three terms and the result, with two for a reciprocal root.
    """
    slopes_C, centres_C, biases_C = _affine(module)
    pixels, charge = math.prod(shape[1:]), gamma(12)
    spread = float(_inverse_roots(module).amax())
    # One of the orders divides before it multiplies by the weight.
    if not spread * (x.reach + length(centres_C, pixels)) < HUGE:
        return Computed(math.inf, math.inf)
    shift = length((slopes_C * centres_C).abs() + biases_C.abs(), pixels)
    return x.linear(norm=norm, rounding=charge * norm, shift=shift, shift_rounding=charge)


register_bound(nn.BatchNorm1d)(_batch_norm)
register_bound(nn.BatchNorm2d)(_batch_norm)
register_rounding(nn.BatchNorm1d)(_batch_norm_rounding)
register_rounding(nn.BatchNorm2d)(_batch_norm_rounding)


def _affine(module: BatchNorm) -> tuple[Tensor, Tensor, Tensor]:
    """Slopes, running means and biases, in float64."""
    slopes_C, centres_C = _inverse_roots(module), _checked(module, "running_mean", module.running_mean)
    if module.weight is not None:
        slopes_C = slopes_C * _checked(module, "weight", module.weight)
    biases_C = torch.zeros_like(slopes_C) if module.bias is None else _checked(module, "bias", module.bias)
    return slopes_C, centres_C, biases_C


def _inverse_roots(module: BatchNorm) -> Tensor:
    variances_C = _checked(module, "running_var", module.running_var)
    if not (module.eps >= 0 and bool((variances_C >= 0).all()) and bool((variances_C + module.eps > TINY).all())):
        raise UnsoundError(
            f"no bound of {type(module).__name__}: eps={module.eps}, or a running variance, is too small"
        )
    return 1 / (variances_C + module.eps).sqrt()


def _checked(module: BatchNorm, name: str, tensor: Tensor | None) -> Tensor:
    kind = type(module).__name__
    if tensor is None:
        raise UnsoundError(f"no bound of {kind} without {name}: it normalises by the statistics of the batch")
    if not bool(torch.isfinite(checked_dtype(tensor, kind)).all()):
        raise UnsoundError(f"no bound of {kind}: its {name} holds NaN or inf")
    return tensor.detach().to(torch.float64)
