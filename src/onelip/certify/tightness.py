"""How tight the bounds of a float32 program are: what its modules err by on given inputs, beside what is charged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..linalg.precision import sums_of_products
from ..linalg.rounding import norms
from .plain import plain_evaluation
from .radius import Certifier


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleRounding:
    """One module of a float32 program; norms over the entries of one input, the largest over the inputs.

    Attributes:
        name: Its path.
        kind: The class of what it evaluates, for a layer that of the layer.
        measured: ||P(v) - f(v)|| at the inputs v that the program computes for it, f evaluated in float64.
        bound: What is charged for these inputs, with nothing around them.
        passed_on: The Lipschitz bound of the modules behind it: the factor by which either reaches the logits.
    """

    name: str
    kind: str
    measured: float
    bound: float
    passed_on: float


@torch.no_grad()
def rounding_by_module(certifier: Certifier, x: Tensor) -> tuple[ModuleRounding, ...]:
    """What each module of a program errs by, and what is charged for it; branches of sums are passed over.

    Args:
        certifier: Of "executed" arithmetic.
        x: Inputs, shape (B, *S).

    Raises:
        ValueError: If the certifier has no program.
    """
    program, along = certifier.program, certifier.along
    if program is None or along is None:
        raise ValueError(f"radii in {certifier.arithmetic} speak of no float32 program")
    found, value = [], x.to(torch.float32)
    none_B = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for index, step in enumerate(certifier.steps):
        module, wide = program.model.get_submodule(step.name), value.to(torch.float64)
        with plain_evaluation(x):
            exact = step.module(wide.clone())
        with sums_of_products(x.device):
            value = module(value.clone())
        if step.branches:
            continue
        passed_on = 1.0
        for later in certifier.steps[index + 1 :]:
            passed_on *= float(later.bound)
        found.append(
            ModuleRounding(
                name=step.name,
                kind=step.kind,
                measured=float(norms((value.to(torch.float64) - exact).flatten(1)).amax()),
                bound=float(along.charge(step, wide, exact, none_B).amax()),
                passed_on=passed_on,
            )
        )
    return tuple(found)
