"""Bounds and rounding errors of torch's activations that act on each entry.

Where a continuous function h of one variable has slopes of absolute value at most c between its kinks, the map H that
applies it to each entry has Lipschitz constant at most c: ||H(x) - H(y)||^2 = sum_i |h(x_i) - h(y_i)|^2, and each term
is at most c^2 |x_i - y_i|^2.
Each c below is also approached by some slope. Functions that jump (`nn.Hardshrink`, `nn.Threshold`) have no constant.

Rounding errors are known of those that only compare, and of those that round once or twice. Of exp, tanh and log1p no
library publishes a bound of the error: such modules have a Lipschitz bound, and no radii in float64.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import nn

from ..bound import Bound, rounded_up
from ..errors import UnsoundError, UnsupportedShapeError
from ..linalg import rounding
from ..linalg.rounding import Computed
from ..nn.refusals import checked_dtype
from .lipschitz import Rule, Shape, register_bound
from .rounding import register_exact, register_rounding

SELU_SLOPE = 1.0507009873554804934 * 1.6732632423543772848 * rounding.UP
"""The slope of SELU just below 0, its scale times its alpha; what rounds both and their product is paid for."""

SLOPES: dict[type[nn.Module], tuple[float, str]] = {
    nn.ReLU6: (1.0, "slopes 0 and 1"),
    nn.Dropout1d: (1.0, "the identity in eval mode"),
    nn.Dropout2d: (1.0, "the identity in eval mode"),
    nn.AlphaDropout: (1.0, "the identity in eval mode"),
    nn.Tanh: (1.0, "slopes 1 - tanh^2"),
    nn.Tanhshrink: (1.0, "slopes tanh^2"),
    nn.Sigmoid: (0.25, "slopes s (1 - s), s in (0, 1)"),
    nn.LogSigmoid: (1.0, "slopes in (0, 1)"),
    nn.Softsign: (1.0, "slopes 1 / (1 + |x|)^2"),
    nn.Hardsigmoid: (rounded_up(Fraction(1, 6)), "slopes 0 and 1/6"),
    nn.Hardswish: (1.5, "slopes 0, 1 and (2 x + 3) / 6 for |x| < 3"),
    nn.SELU: (SELU_SLOPE, "slopes scale and scale alpha exp(x), x < 0"),
}
"""Activations without options: the largest slope, and why."""

SOFTPLUS_THRESHOLD = 20.0


def _constant(value: float, why: str) -> Rule:
    return lambda module, shape: (Bound(value, f"{type(module).__name__}: {why}"), shape)


for _kind, (_value, _why) in SLOPES.items():
    register_bound(_kind)(_constant(_value, _why))

register_exact(nn.ReLU6, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)


@register_rounding(nn.Softsign)
def _softsign_rounding(_: nn.Softsign, __: Shape, x: Computed, norm: float) -> Computed:
    """A sum and a quotient, x / (1 + |x|), each relative to the result, which is no larger than x."""
    return x.linear(norm=norm, rounding=rounding.gamma(2))


def _number(module: nn.Module, name: str, value: float) -> float:
    """An option as a number; Python's max would pass over a NaN."""
    if math.isnan(value):
        raise UnsoundError(f"no bound of {type(module).__name__}: its {name} is NaN")
    return float(value)


@register_bound(nn.LeakyReLU)
def _leaky(module: nn.LeakyReLU, shape: Shape) -> tuple[Bound, Shape]:
    slope = abs(_number(module, "negative_slope", module.negative_slope))
    return Bound(max(1.0, slope), f"LeakyReLU: slopes 1 and {module.negative_slope}"), shape


@register_rounding(nn.LeakyReLU)
def _leaky_rounding(module: nn.LeakyReLU, _: Shape, x: Computed, norm: float) -> Computed:
    return x.linear(norm=norm, rounding=rounding.UNIT_ROUNDOFF * abs(module.negative_slope))


@register_bound(nn.PReLU)
def _prelu(module: nn.PReLU, shape: Shape) -> tuple[Bound, Shape]:
    channels = module.weight.numel()
    if channels != 1 and shape[:1] != (channels,):
        raise UnsupportedShapeError(f"this PReLU takes inputs of {channels} channels, not {shape}")
    return Bound(max(1.0, _steepest(module)), "PReLU: max(1, max |weight|)"), shape


@register_rounding(nn.PReLU)
def _prelu_rounding(module: nn.PReLU, _: Shape, x: Computed, norm: float) -> Computed:
    return x.linear(norm=norm, rounding=rounding.UNIT_ROUNDOFF * _steepest(module))


def _steepest(module: nn.PReLU) -> float:
    weight = checked_dtype(module.weight.detach(), "PReLU").to(torch.float64)
    return _number(module, "weight", float(weight.abs().amax()))


@register_bound(nn.Hardtanh)
def _hardtanh(module: nn.Hardtanh, shape: Shape) -> tuple[Bound, Shape]:
    for name in ("min_val", "max_val"):
        _number(module, name, getattr(module, name))
    return Bound(1.0, "Hardtanh: slopes 0 and 1"), shape


@register_rounding(nn.Hardtanh)
def _hardtanh_rounding(module: nn.Hardtanh, shape: Shape, x: Computed, norm: float) -> Computed:
    """Exact; but 0 goes to the nearest number of the interval, which need not be 0."""
    at_zero = abs(min(max(0.0, module.min_val), module.max_val))
    return x.through(norm=norm, shift=at_zero * math.sqrt(math.prod(shape)) * rounding.UP, local=0.0)


@register_bound(nn.Softshrink)
def _softshrink(module: nn.Softshrink, shape: Shape) -> tuple[Bound, Shape]:
    if not module.lambd >= 0:
        raise UnsoundError(f"no bound of Softshrink with lambd={module.lambd}: it must be at least 0")
    return Bound(1.0, "Softshrink: slopes 0 and 1"), shape


@register_rounding(nn.Softshrink)
def _softshrink_rounding(_: nn.Softshrink, __: Shape, x: Computed, norm: float) -> Computed:
    """One difference, which is no larger than x."""
    return x.linear(norm=norm, rounding=rounding.UNIT_ROUNDOFF)


@register_bound(nn.ELU)
def _elu(module: nn.ELU, shape: Shape) -> tuple[Bound, Shape]:
    """Slopes 1 and alpha exp(x) for x < 0, of either sign; continuous at 0 for every alpha."""
    alpha = abs(_number(module, "alpha", module.alpha))
    return Bound(max(1.0, alpha), f"ELU: slopes 1 and {module.alpha} exp(x), x < 0"), shape


@register_bound(nn.CELU)
def _celu(module: nn.CELU, shape: Shape) -> tuple[Bound, Shape]:
    """Slopes 1 and exp(x / alpha) for x < 0, which grow without bound where alpha is negative."""
    if not module.alpha > 0:
        raise UnsoundError(f"no bound of CELU with alpha={module.alpha}: it must be positive")
    return Bound(1.0, "CELU: slopes 1 and exp(x / alpha), x < 0"), shape


@register_bound(nn.Softplus)
def _softplus(module: nn.Softplus, shape: Shape) -> tuple[Bound, Shape]:
    """Of log(1 + exp(beta x)) / beta, whose slopes are 1 / (1 + exp(-beta x)).

    Above the threshold torch returns x itself. The jump there, log1p(exp(-threshold)) / beta, is at the default of 20
    less than 1.1e-10 of the value, and is taken for rounding; with a lower threshold it is refused.
    """
    if not (module.beta > 0 and module.threshold >= SOFTPLUS_THRESHOLD):
        raise UnsoundError(
            f"no bound of Softplus with beta={module.beta} and threshold={module.threshold}: beta must be positive, "
            f"and the threshold, where torch's function jumps, at least {SOFTPLUS_THRESHOLD:g}"
        )
    return Bound(1.0, "Softplus: slopes in (0, 1); its jump at the threshold is taken for rounding"), shape
