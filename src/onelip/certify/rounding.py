"""Rounding errors of a frozen model evaluated in float64: module by module, composed; an unknown module is refused."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import nn

from ..bound import Bound
from ..errors import UnsoundError
from ..linalg import rounding
from ..linalg.rounding import Computed, convolution_rounding, length
from ..nn.activations import Abs, GroupSort, MaxMin
from ..nn.freeze import CircularConv2d, FrozenLayer, ImageModel
from ..nn.linear import PointwiseLinear
from ..nn.refusals import children, refuse_hooks, refuse_inherited
from ..nn.reshape import Center, FitChannels, Normalize
from ..nn.sum import Sum
from .lipschitz import Shape, bound_and_shape, summed


@dataclass(frozen=True, slots=True)
class Step:
    """One module of a chain.

    Attributes:
        name: Its path in the model.
        bound: Of its Lipschitz constant.
        inputs: Shape of its input, without the batch.
        branches: Of a `Sum`: the chains of its branches, whose bounds are in that of the sum.
    """

    name: str
    module: nn.Module
    bound: Bound
    inputs: Shape
    branches: tuple[tuple[Step, ...], ...] = ()

    @property
    def kind(self) -> str:
        """The module's class, for a frozen layer that of the layer."""
        return type(self.module.skeleton if isinstance(self.module, FrozenLayer) else self.module).__name__


@dataclass(frozen=True, slots=True)
class Plan:
    """How the steps of a model are found.

    Attributes:
        prepared: Makes of a module, and of the shape of its input, the one that is bounded and evaluated.
        enough: For the name of a module a bound that needs not be improved.
    """

    prepared: Callable[[nn.Module, Shape], nn.Module] = lambda module, _: module
    enough: Callable[[str], float] = lambda _: 0.0


Rule = Callable[[nn.Module, Shape, Computed, float], Computed]
M = TypeVar("M", bound=nn.Module)

_RULES: dict[type[nn.Module], Rule] = {}

EXACT = (MaxMin, GroupSort, Abs, FitChannels, nn.ReLU, nn.Identity, nn.Dropout, nn.Flatten, nn.PixelUnshuffle)
"""Modules that move, select or change the sign of values, of constant 1, and take 0 to 0."""


def register_rounding(kind: type[M]) -> Callable[[Callable[[M, Shape, Computed, float], Computed]], Rule]:
    """Registers how a module of exactly this type carries a computed tensor in float64.

    Args:
        kind: The module's type.

    Returns:
        A decorator for a function `rule(module, shape, x, norm) -> Computed` of the input's shape, of what is known of
        the input, and of the module's Lipschitz bound.
    """

    def register(rule: Callable[[M, Shape, Computed, float], Computed]) -> Rule:
        _RULES[kind] = cast("Rule", rule)
        return _RULES[kind]

    return register


@torch.no_grad()
def steps(model: nn.Module, shape: Shape, plan: Plan | None = None) -> tuple[Step, ...]:
    """The modules that a model passes its input through, each with its bound.

    Args:
        model: A frozen model, or one whose layers the plan prepares.
        shape: Of one input.
        plan: What to do other than to take modules as they are and to bound them as tightly as can be proved.

    Raises:
        UnsoundError: If a module has no proved bound, or its rounding errors are not known.
    """
    return tuple(_steps(model, shape, "", plan or Plan())[0])


def flattened(steps: Sequence[Step]) -> Iterator[Step]:
    """All steps, those of the branches of a sum before the sum."""
    for step in steps:
        for branch in step.branches:
            yield from flattened(branch)
        yield step


def evaluation_error(chain: tuple[Step, ...], size: float) -> float:
    """Proved bound of the rounding error of a frozen model in float64, in the L2 norm of its output.

    It holds for every input of at most this norm: computed output minus exact output.

    Args:
        chain: See `steps`.
        size: Upper bound of the norm of the input.
    """
    return carried(chain, Computed(size, 0.0)).error


def carried(chain: tuple[Step, ...], known: Computed) -> Computed:
    """What is known of the output of a chain, from what is known of its input."""
    for step in chain:
        known = carried_through(step, known)
    return known


def carried_through(step: Step, known: Computed) -> Computed:
    """What is known of the output of one step."""
    if type(step.module) is Sum:
        return _added(step.module.weights, [carried(branch, known) for branch in step.branches])
    return _RULES[type(step.module)](step.module, step.inputs, known, float(step.bound))


def _added(weights: tuple[float, ...], terms: list[Computed]) -> Computed:
    """One product per branch whose weight is not 1, and one sum per branch but the first."""
    products = [
        term if weight == 1 else term.linear(norm=abs(weight), rounding=rounding.UNIT_ROUNDOFF * abs(weight))
        for weight, term in zip(weights, terms, strict=True)
    ]
    return functools.reduce(Computed.plus, products)


def _steps(module: nn.Module, shape: Shape, name: str, plan: Plan) -> tuple[list[Step], Shape]:
    refuse_hooks(module)
    module = module.plain() if isinstance(module, ImageModel) else module
    if type(module) is nn.Sequential:
        found: list[Step] = []
        for path, child in children(module, name):
            inner, shape = _steps(child, shape, path, plan)
            found += inner
        return found, shape
    if type(module) is Sum:
        return _branching(module, shape, name, plan)
    module = plan.prepared(module, shape)
    if type(module) not in _RULES:
        raise UnsoundError(
            f"the rounding errors of {type(module).__module__}.{type(module).__qualname__} are not known; register "
            'them with onelip.certify.register_rounding, or ask for radii in real arithmetic, arithmetic="real"'
        )
    bound, after = bound_and_shape(module, shape, enough=plan.enough(name))
    return [Step(name, module, bound, shape)], after


def _branching(module: Sum, shape: Shape, name: str, plan: Plan) -> tuple[list[Step], Shape]:
    chains = [
        _steps(branch, shape, _path(name, f"branches.{index}"), plan) for index, branch in enumerate(module.branches)
    ]
    bounds = [(Bound.product(step.bound for step in chain), inner) for chain, inner in chains]
    bound, after = summed(module, bounds)
    return [Step(name, module, bound, shape, tuple(tuple(chain) for chain, _ in chains))], after


def _path(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _exact(_: nn.Module, __: Shape, x: Computed, ___: float) -> Computed:
    return x


_RULES.update(dict.fromkeys(EXACT, _exact))


def is_exact(module: nn.Module) -> bool:
    """Whether a module is one that moves, selects or changes the sign of values, and rounds nothing in any type."""
    return _RULES.get(type(module)) is _exact


def has_rounding(module: nn.Module) -> bool:
    """Whether it is known how a module of exactly this type rounds in float64."""
    return type(module) in _RULES


def register_exact(*kinds: type[nn.Module]) -> None:
    """Registers modules like those of `EXACT`."""
    _RULES.update(dict.fromkeys(kinds, _exact))


@register_rounding(Center)
def _center(module: Center, shape: Shape, x: Computed, _: float) -> Computed:
    return x.plus(Computed(length(module.mean, math.prod(shape[1:])), 0.0))


@register_rounding(Normalize)
def _normalize(_: Normalize, __: Shape, x: Computed, norm: float) -> Computed:
    return x.linear(norm=norm, rounding=rounding.UNIT_ROUNDOFF * norm)


@register_rounding(FrozenLayer)
def _frozen(module: FrozenLayer, shape: Shape, x: Computed, norm: float) -> Computed:
    kind = type(module.skeleton)
    refuse_inherited(kind, "rounding")
    vectors = isinstance(module.skeleton, PointwiseLinear)
    return module.rounding(x, (math.prod(shape[:-1]), 1) if vectors else (shape[1], shape[2]), norm)


@register_rounding(nn.Linear)
def _linear(module: nn.Linear, shape: Shape, x: Computed, norm: float) -> Computed:
    rows = math.prod(shape[:-1])
    return convolution_rounding(x, module.weight[:, :, None, None], module.bias, rows, norm)


@register_rounding(CircularConv2d)
def _circular(module: CircularConv2d, shape: Shape, x: Computed, norm: float) -> Computed:
    return _convolution(module, shape, x, norm)


@register_rounding(nn.Conv2d)
def _convolution(module: nn.Conv2d, shape: Shape, x: Computed, norm: float) -> Computed:
    return convolution_rounding(x, module.weight, module.bias, math.prod(shape[1:]), norm)
