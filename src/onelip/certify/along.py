"""Rounding errors along the activations of a batch: those of each input, and those of every perturbed one around it.

`rounding.evaluation_error` knows of an input its norm only. Here every module is charged for the norm of what was
computed before it, and a module of a float32 program for what it computed. docs/certification.md, sections 6 and 8,
have the inequalities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..errors import UnsoundError, UnsupportedShapeError
from ..linalg import float32
from ..linalg.rounding import UNIT_ROUNDOFF, UP, Computed, norms
from ..nn.sum import Sum
from .executed import Charge, charge_of
from .plain import LARGEST, plain_evaluation
from .rounding import Step, carried_through, evaluation_error, flattened


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A batch on its way through a chain, and what is known of it, shape (B,) each.

    Attributes:
        x: As computed, float64.
        error: Bounds of the norm of computed minus exact.
        around: The same for every perturbed input, as float64 or the float32 program computes it.
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
        program: The modules, by the names of the steps, that perturbed inputs pass through in float32; None where they
            are evaluated in float64 as well.

    Attributes:
        coefficients: A bound of the error of the output from the norm of the input alone: the first number plus the
            second times the norm.

    Raises:
        UnsoundError: If something could overflow.
    """

    def __init__(self, chain: tuple[Step, ...], program: nn.Module | None = None) -> None:
        self.chain = chain
        self.coefficients = evaluation_error(chain, 0.0), evaluation_error(chain, LARGEST) / LARGEST * UP
        leaves = [step for step in flattened(chain) if not step.branches]
        self._locals = {id(step): _local_error(step) for step in leaves}
        self._charges: dict[int, Charge] = {}
        self._in_float32 = program is not None
        if program is not None:
            for step in flattened(chain):
                _refuse_large_weights(step)
            for step in leaves:
                module = program.get_submodule(step.name)
                self._charges[id(step)] = charge_of(step, module, self._locals[id(step)])

    def at(self, x: Tensor, radii_B: Tensor) -> State:
        """The output for inputs in float64, and what is known of it within radii (B,) around them."""
        zero_B, (none, one) = torch.zeros_like(radii_B), self.coefficients
        with plain_evaluation(x):
            state = self._through(self.chain, State(x=x, error=zero_B, around=zero_B, reach=radii_B))
        sizes_B = norms(x.flatten(1))
        error, around = (
            torch.where(size_B <= LARGEST, (none + one * size_B * UP) * UP, math.inf)
            for size_B in (sizes_B, (sizes_B + radii_B) * UP)
        )
        if self._in_float32:
            return replace(state, error=state.error.minimum(error))
        return replace(state, error=state.error.minimum(error), around=state.around.minimum(around))

    def charge(self, step: Step, x: Tensor, out: Tensor, far_B: Tensor) -> Tensor:
        """What a module of the program errs by near an input x, see `executed.Charge`."""
        return self._charges[id(step)](x, out, far_B)

    def _through(self, chain: tuple[Step, ...], state: State) -> State:
        for step in chain:
            state = self._added(step, state) if step.branches else self._step(step, state)
        return state

    def _step(self, step: Step, state: State) -> State:
        (none, one), bound = self._locals[id(step)], float(step.bound)
        here_B, far_B = norms(state.x.flatten(1)), (state.error + state.reach + state.around) * UP
        known_B = (here_B + far_B) * UP <= LARGEST
        out = step.module(state.x.clone())
        there_B = self.charge(step, state.x, out, far_B) if self._in_float32 else none + one * (here_B + far_B) * UP
        return State(
            x=out,
            error=torch.where(known_B, (bound * state.error + none + one * here_B) * UP, math.inf),
            around=torch.where(known_B, (bound * state.around + there_B) * UP, math.inf),
            reach=bound * state.reach * UP,
        )

    def _added(self, step: Step, state: State) -> State:
        """A sum: each branch, its product with a weight, and the sum so far."""
        assert isinstance(step.module, Sum)
        total: State | None = None
        for weight, branch in zip(step.module.weights, step.branches, strict=True):
            term = self._times(self._through(branch, state), weight)
            total = term if total is None else self._plus(total, term)
        assert total is not None
        return total

    def _times(self, state: State, weight: float) -> State:
        if weight == 1:
            return state
        size = abs(weight)
        known = {name: size * getattr(state, name) * UP for name in ("error", "around", "reach")}
        if self._in_float32:  # the program's weight is rounded too, and flushed where it is tiny
            lost_B = (norms(state.x.flatten(1)) + state.error + state.reach + state.around) * UP
            known["around"] += lost_B * (size * float32.UNIT_ROUNDOFF + float32.SMALLEST) * UP
            known["around"] += size * float32.flushed_entries(state.x)
        return self._rounded(replace(state, x=weight * state.x, **known))

    def _plus(self, one: State, other: State) -> State:
        if one.x.shape != other.x.shape:
            raise UnsupportedShapeError(
                f"branches of a Sum give shapes {tuple(one.x.shape)} and {tuple(other.x.shape)}"
            )
        names = ("x", "error", "around", "reach")
        return self._rounded(State(**{name: getattr(one, name) + getattr(other, name) for name in names}))

    def _rounded(self, state: State) -> State:
        """What is known after one more rounding of every entry."""
        here_B, far_B = norms(state.x.flatten(1)), (state.error + state.reach + state.around) * UP
        wide_B = (here_B + far_B) * UNIT_ROUNDOFF * UP
        more_B = float32.rounded_once(state.x, far_B) if self._in_float32 else wide_B
        return replace(
            state, error=(state.error + here_B * UNIT_ROUNDOFF * UP) * UP, around=(state.around + more_B) * UP
        )


def _refuse_large_weights(step: Step) -> None:
    """Weights of a sum that float32 does not hold would be infinite in a program, whatever they multiply."""
    if isinstance(step.module, Sum) and any(abs(weight) >= float32.HUGE for weight in step.module.weights):
        raise UnsoundError(f"a float32 program cannot hold the weights {step.module.weights} of {step.name or 'a Sum'}")


def _local_error(step: Step) -> tuple[float, float]:
    """What evaluating a module at a computed input errs by: the first number plus the second times its norm."""
    none, largest = (carried_through(step, Computed(size, 0.0)).error for size in (0.0, LARGEST))
    if not math.isfinite(largest):
        raise UnsoundError(f"evaluating {step.name or 'the model'} could overflow")
    return none, largest / LARGEST * UP
