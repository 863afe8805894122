"""Rounding errors along the activations of a batch: those of each input, and those of every perturbed one around it.

`rounding.evaluation_error` knows of an input its norm only. Here every module is charged for the norm of what was
computed before it. docs/certification.md, section 7, has the inequalities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import UnsoundError, UnsupportedShapeError
from ..linalg.rounding import UNIT_ROUNDOFF, UP, Computed, norms
from ..nn.sum import Sum
from .radius import LARGEST, plain_evaluation
from .rounding import Step, carried_through, evaluation_error, flattened


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A batch on its way through a chain, and what is known of it, shape (B,) each.

    Attributes:
        x: As computed, float64.
        error: Bounds of the norm of computed minus exact.
        around: The same for every perturbed input.
        reach: Bounds of how far from the exact tensor that of a perturbed input lies.
    """

    x: Tensor
    error: Tensor
    around: Tensor
    reach: Tensor


class ErrorsAlong:
    """A chain that evaluates batches in float64, and bounds the rounding errors.

    Args:
        chain: See `rounding.steps`; its modules are in float64.

    Attributes:
        coefficients: A bound of the error of the output from the norm of the input alone: the first number plus the
            second times the norm.

    Raises:
        UnsoundError: If something could overflow.
    """

    def __init__(self, chain: tuple[Step, ...]) -> None:
        self.chain = chain
        self.coefficients = evaluation_error(chain, 0.0), evaluation_error(chain, LARGEST) / LARGEST * UP
        self._locals = {id(step): _local_error(step) for step in flattened(chain) if not step.branches}

    def at(self, x: Tensor, radii_B: Tensor) -> State:
        """The output for inputs in float64, and what is known of it within radii (B,) around them."""
        zero_B, (none, one) = torch.zeros_like(radii_B), self.coefficients
        with plain_evaluation(x.device):
            state = self._through(self.chain, State(x=x, error=zero_B, around=zero_B, reach=radii_B))
        sizes_B = norms(x.flatten(1))
        error, around = (
            torch.where(size_B <= LARGEST, (none + one * size_B * UP) * UP, math.inf)
            for size_B in (sizes_B, (sizes_B + radii_B) * UP)
        )
        return replace(state, error=state.error.minimum(error), around=state.around.minimum(around))

    def _through(self, chain: tuple[Step, ...], state: State) -> State:
        for step in chain:
            state = self._added(step, state) if step.branches else self._step(step, state)
        return state

    def _step(self, step: Step, state: State) -> State:
        (none, one), bound = self._locals[id(step)], float(step.bound)
        here_B = norms(state.x.flatten(1))
        there_B = (here_B + state.error + state.reach + state.around) * UP
        known_B = there_B <= LARGEST
        return State(
            x=step.module(state.x.clone()),
            error=torch.where(known_B, (bound * state.error + none + one * here_B) * UP, math.inf),
            around=torch.where(known_B, (bound * state.around + none + one * there_B) * UP, math.inf),
            reach=bound * state.reach * UP,
        )

    def _added(self, step: Step, state: State) -> State:
        """A sum: each branch, its product with a weight, and the sum so far."""
        assert isinstance(step.module, Sum)
        total: State | None = None
        for weight, branch in zip(step.module.weights, step.branches, strict=True):
            term = _times(self._through(branch, state), weight)
            total = term if total is None else _plus(total, term)
        assert total is not None
        return total


def _times(state: State, weight: float) -> State:
    if weight == 1:
        return state
    size = abs(weight)
    known = {name: size * getattr(state, name) * UP for name in ("error", "around", "reach")}
    return _rounded(replace(state, x=weight * state.x, **known))


def _plus(one: State, other: State) -> State:
    if one.x.shape != other.x.shape:
        raise UnsupportedShapeError(f"branches of a Sum give shapes {tuple(one.x.shape)} and {tuple(other.x.shape)}")
    names = ("x", "error", "around", "reach")
    return _rounded(State(**{name: getattr(one, name) + getattr(other, name) for name in names}))


def _rounded(state: State) -> State:
    """What is known after one more rounding of every entry."""
    here_B = norms(state.x.flatten(1)) * UNIT_ROUNDOFF * UP
    more_B = (here_B + (state.error + state.reach + state.around) * UNIT_ROUNDOFF) * UP
    return replace(state, error=(state.error + here_B) * UP, around=(state.around + more_B) * UP)


def _local_error(step: Step) -> tuple[float, float]:
    """What evaluating a module at a computed input errs by: the first number plus the second times its norm."""
    none, largest = (carried_through(step, Computed(size, 0.0)).error for size in (0.0, LARGEST))
    if not math.isfinite(largest):
        raise UnsoundError(f"evaluating {step.name or 'the model'} could overflow")
    return none, largest / LARGEST * UP
