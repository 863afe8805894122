"""What the modules of a float32 program add to the rounding error of all inputs near one: a bound per module and input.

Each speaks of `f`, what a module is in real arithmetic, and of `P`, what the program computes. At every input `v` of
the module that lies within `far` of the known `z`, ||P(v) - f(v)|| is at most what is returned. Sums of absolute values
are computed at `z`, and charged from norms for the rest of the way. Where `f` has other weights than `P`, as who
constructs them anew may find, the difference is charged, or refused. docs/certification.md, section 6, has the
inequalities. Shapes: B inputs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UnsoundError
from ..linalg.conv import transpose_kernel
from ..linalg.convolve import convolve
from ..linalg.float32 import HUGE, flushed, flushed_entries, gamma, rounded_once
from ..linalg.precision import sums_of_products
from ..linalg.proof import conv_largest_norm_bound
from ..linalg.rounding import UP, absolute_norm, norms
from ..linalg.series import carried_on_bounds
from ..nn.base import LipschitzModule
from ..nn.blocked import BlockedConv2d, BlockedResidual, BlockedSeries, OnVectors, convolutions
from ..nn.executed import Widened, executed_convolution, executed_layer, executed_linear
from ..nn.freeze import FrozenLayer
from ..nn.reshape import Center, fit_channels
from .rounding import Step, is_exact

Charge = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From the input z of a module, its output there, (B, ...) in float64, and how far others lie, (B,), to bounds (B,)."""


def charge_of(step: Step, module: nn.Module, local: tuple[float, float]) -> Charge:
    """How a module of a program is charged.

    Args:
        step: What the module computes in real arithmetic, with its bound.
        module: Of the program.
        local: What evaluating the step in float64 errs by: the first number plus the second times the norm of its
            input.

    Raises:
        UnsoundError: If nothing is known of the module, or it has other weights than the step, of which nothing is.
    """
    if isinstance(module, OnVectors):
        return _reshaped(charge_of(step, module.module, local), lambda z: z.reshape(-1, z.shape[-1], 1, 1))
    if type(module) is nn.Sequential and len(module) == 2 and type(module[0]) is nn.PixelUnshuffle:
        return _reshaped(charge_of(step, module[1], local), module[0])
    if isinstance(module, Widened):
        _refuse_other_weights(step, module.module)
        return functools.partial(_widened, local=local, bound=float(step.bound))
    if is_exact(module):
        return lambda z, _, far_B: torch.full_like(far_B, flushed_entries(z))
    if type(module) not in _CHARGES:
        raise UnsoundError(f"how {type(module).__name__} rounds in float32 is not known")
    return _CHARGES[type(module)](step, module)


def _reshaped(inner: Charge, reorder: Callable[[Tensor], Tensor]) -> Charge:
    """The charge of a module of images behind a reordering of its input; several images may be of one input."""

    def charge(z: Tensor, out: Tensor, far_B: Tensor) -> Tensor:
        return inner(reorder(z), out, far_B)

    return charge


def _widened(z: Tensor, out: Tensor, far_B: Tensor, *, local: tuple[float, float], bound: float) -> Tensor:
    """Evaluating in float64, and rounding once."""
    there_B = (norms(z.flatten(1)) + far_B) * UP
    wide_B = (local[0] + local[1] * there_B) * UP
    return (wide_B + bound * flushed_entries(z) + rounded_once(out, (bound * far_B + 2 * wide_B) * UP)) * UP


class Sums:
    """The charge of a blocked convolution.

    Args:
        module: The convolution.
        meant: The kernel that the step has in the place of the module's own, which was rounded; None for the same.
        shift: How far the module's bias lies from that of the step, see `_apart`.
    """

    def __init__(self, module: BlockedConv2d, *, meant: Tensor | None = None, shift: float = 0.0) -> None:
        kernel = module.kernel.to(torch.float64)
        self.padding, self.absolute_OIKK = module.padding, module.kernel.abs()
        self.bias_O = None if module.bias is None else module.bias.abs()
        self.growth = absolute_norm(kernel)
        self.gamma = gamma(module.roundings)
        # What is meant was computed in float64, which rounds it by itself.
        self.departs = 0.0 if meant is None else absolute_norm(kernel - meant) + 2.0**-50 * self.growth
        self.shift = shift
        self.largest = float(kernel.abs().amax())
        self.operations = kernel[0].numel() + module.count + 2
        # What the sums of absolute values, in float32 in any order, err by themselves.
        self.up = (1 + gamma(kernel[0].numel() + 8)) * UP

    def size(self, z: Tensor, far_B: Tensor) -> Tensor:
        """Upper bounds of the norms of all sums of absolute values."""
        with sums_of_products(z.device):
            sums = convolve(z.abs().to(torch.float32), self.absolute_OIKK, self.bias_O, self.padding)
        inputs_B = norms(z.reshape(len(far_B), -1))
        lost_B = flushed(self.operations, sums.numel() // len(far_B), self.largest, inputs_B)
        return (norms(sums.reshape(len(far_B), -1)) * self.up + lost_B + self.growth * far_B) * UP

    def error(self, z: Tensor, far_B: Tensor, size_B: Tensor) -> Tensor:
        """The bounds, from the sizes."""
        pixels = len(z) // len(far_B) * math.prod(z.shape[-2:])
        inputs_B = norms(z.reshape(len(far_B), -1)) + far_B
        lost_B = flushed(self.operations, pixels * len(self.absolute_OIKK), self.largest, inputs_B)
        other_B = self.departs * inputs_B + self.shift * pixels**0.5
        return torch.where(size_B < HUGE, (self.gamma * size_B + other_B + lost_B) * UP, math.inf)

    def __call__(self, z: Tensor, _: Tensor, far_B: Tensor) -> Tensor:
        """As a `Charge`."""
        return self.error(z, far_B, self.size(z, far_B))


def convolution_charge(step: Step, module: BlockedConv2d) -> Sums:
    """The charge of a plain convolution, or of a layer that is one.

    Raises:
        UnsoundError: If the layer is frozen to one, and the kernel that it applies is not known otherwise.
    """
    evaluated = step.module
    if isinstance(evaluated, nn.Conv2d):
        found: nn.Module = executed_convolution(evaluated, None)
    elif isinstance(evaluated, nn.Linear):
        found = executed_linear(evaluated, None)
    else:
        assert isinstance(evaluated, FrozenLayer)
        found = executed_layer(evaluated, None)
    own = next(convolutions(found), None)
    if own is None:
        raise UnsoundError(f"the kernel that {step.kind} applies is not known; give its family a `register_executed`")
    return Sums(module, meant=_other(own.kernel, module.kernel), shift=_apart(own.bias, module.bias))


class ResidualCharge:
    """The charge of a residual layer x - K^T T relu(K x + b): both convolutions, T K as it is rounded, the sum.

    ||sqrt(T) K||^2 is at most 1 + the layer's bound, so that ||K|| and ||K^T T|| are at most its root over and times
    sqrt(T).
    """

    def __init__(self, step: Step, module: BlockedResidual) -> None:
        kernel, scale = _weights(step)
        self.channels, self.padding, self.kernel = module.there.in_channels, module.there.padding, kernel
        self.bias = _skeleton(step).bias
        meant = transpose_kernel(kernel * -scale.expand(self.channels)[:, None, None, None])
        shift = _apart(self.bias, module.there.bias)
        self.there = Sums(module.there, meant=_other(kernel, module.there.kernel), shift=shift)
        self.back = Sums(module.back, meant=meant)
        root, root_T = math.sqrt(1 + float(step.bound)) * UP, scale.sqrt()
        smallest = float(root_T.amin())
        self.there_norm = min(absolute_norm(kernel), root / smallest * UP if smallest > 0 else math.inf)
        self.back_norm = min(absolute_norm(meant), root * float(root_T.amax()) * UP)

    def __call__(self, z: Tensor, _: Tensor, far_B: Tensor) -> Tensor:
        """As a `Charge`."""
        z = fit_channels(z, self.channels)
        hidden = convolve(z, self.kernel, self.bias, self.padding).relu_()
        size_B = self.there.size(z, far_B)
        first_B = self.there.error(z, far_B, size_B)
        # The hidden values were computed in float64, which errs by less than float32 does in the same sums.
        hidden_far_B = (self.there_norm * far_B + 2 * first_B) * UP
        update_B = self.back.size(hidden, hidden_far_B)
        second_B = self.back.error(hidden, hidden_far_B, update_B)
        last_B = rounded_once(z.reshape(len(far_B), -1), (far_B + update_B + second_B) * UP)
        return (self.back_norm * first_B + second_B + last_B) * UP


class SeriesCharge:
    """The charge of an exponential series of convolutions: each term, its kernel as it is rounded, each sum.

    What a term errs by reaches the sum through what the later terms make of it, see `carried_on_bounds`.

    Raises:
        UnsoundError: If the convolution is not skew.
    """

    def __init__(self, step: Step, module: BlockedSeries) -> None:
        self.kernel = _weights(step)[0]
        if not torch.equal(self.kernel, -transpose_kernel(self.kernel)):
            raise UnsoundError(f"how the series of {step.kind} rounds is not known: its kernel is not skew")
        convolutions = [one for one in module.convolutions if isinstance(one, BlockedConv2d)]
        self.channels, self.padding = convolutions[0].in_channels, convolutions[0].padding
        image = _skeleton(step).inner_image((step.inputs[1], step.inputs[2]))
        self.norm, _ = conv_largest_norm_bound(self.kernel, image, self.padding)
        self.terms = [Sums(one, meant=self.kernel / order) for order, one in enumerate(convolutions, start=1)]
        self.carried_on = carried_on_bounds(self.norm, len(convolutions))
        self.has_bias, self.shift = module.bias is not None, _apart(_skeleton(step).bias, module.bias)

    def __call__(self, z: Tensor, out: Tensor, far_B: Tensor) -> Tensor:
        """As a `Charge`."""
        term = total = fit_channels(z, self.channels)
        charged_B = torch.zeros_like(far_B)
        # How far what the program computes may lie from what is computed here.
        term_far_B = total_far_B = far_B
        for order, (charge, carried_on) in enumerate(zip(self.terms, self.carried_on, strict=True), start=1):
            own_B = charge(term, term, term_far_B)
            term = convolve(term, self.kernel / order, None, self.padding)
            total = total + term
            # Evaluating a term here, and adding it, errs by less than what is charged for float32: twice that is far.
            term_far_B = (self.norm / order * UP * term_far_B + 2 * own_B) * UP
            total_far_B = (total_far_B + term_far_B) * UP
            last_B = rounded_once(total.reshape(len(far_B), -1), total_far_B)
            total_far_B = (total_far_B + 2 * last_B) * UP
            charged_B = (charged_B + carried_on * own_B + last_B) * UP
        if self.shift:
            shift = self.shift * math.prod(out.shape[-2:]) ** 0.5
            charged_B, total_far_B = (charged_B + shift) * UP, (total_far_B + shift) * UP
        if not self.has_bias:
            return charged_B
        return (charged_B + rounded_once(out.reshape(len(far_B), -1), total_far_B)) * UP


def _subtraction(step: Step, module: Center) -> Charge:
    _refuse_other_weights(step, module)
    return lambda _, out, far_B: rounded_once(out, far_B)


def _weights(step: Step) -> tuple[Tensor, ...]:
    """The constructed weights that a step applies, in float64."""
    assert isinstance(step.module, FrozenLayer)
    return step.module.weights()


def _other(meant: Tensor, own: Tensor) -> Tensor | None:
    """A kernel in float64, where it is not the module's own bit by bit."""
    return None if torch.equal(own.to(torch.float64), meant) else meant


def _apart(meant: Tensor | None, own: Tensor | None) -> float:
    """How far two biases lie from each other, in the norm of one pixel; 0 where they are equal, None is zeros."""
    wide = [0.0 if bias is None else bias.to(torch.float64) for bias in (meant, own)]
    difference = torch.as_tensor(wide[0] - wide[1])
    return float(norms(difference.reshape(-1))) * UP if bool(difference.any()) else 0.0


def _refuse_other_weights(step: Step, module: nn.Module) -> None:
    """Raises where a module of the program does not hold the tensors of its step, bit by bit or NaN.

    Raises:
        UnsoundError: If it does not.
    """
    meant, own = _tensors(step.module), _tensors(module)
    if meant.keys() != own.keys() or not all(_same(own[name].to(one), one) for name, one in meant.items()):
        raise UnsoundError(f"the float32 program has other weights than {step.name or 'the model'}, constructed anew")


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Those of a module's state, which may hold what is no tensor."""
    return {name: one for name, one in module.state_dict().items() if isinstance(one, Tensor)}


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


def _skeleton(step: Step) -> LipschitzModule:
    assert isinstance(step.module, FrozenLayer)
    return step.module.skeleton


_CHARGES: dict[type[nn.Module], Callable[[Step, Any], Charge]] = {
    BlockedConv2d: convolution_charge,
    BlockedResidual: ResidualCharge,
    BlockedSeries: SeriesCharge,
    Center: _subtraction,
}
