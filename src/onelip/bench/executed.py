"""A finished run in three arithmetics: what each certifies, what the float32 program takes and errs by."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import get_args

import torch
from torch import Tensor

from onelip.bench.arithmetics import REVISION, ArithmeticsRecord, RoundingRecord
from onelip.bench.measure.machine import describe_machine
from onelip.bench.measure.timing import interleave
from onelip.bench.single import Opened, Recertified, evaluate_again
from onelip.certify import Arithmetic
from onelip.certify.tightness import rounding_by_module
from onelip.nn.freeze import freeze

ROUNDS, WARMUP = 12, 2
IMAGES = 64
"""Of so many of the first test images errors are measured."""


@torch.no_grad()
def arithmetics_record(
    run: Opened, result: Recertified, *, device: torch.device, note: Callable[[str], None]
) -> ArithmeticsRecord:
    """Certifies a run in the other arithmetics too, and measures its program.

    Args:
        run: See `open_run`.
        result: What the program achieves, in "executed" arithmetic.
        device: Where to evaluate.
        note: Is told what is being done.
    """
    record, certifier = run.record, result.answers.certifier
    program = certifier.program
    assert program is not None
    evaluations = {one.arithmetic: one for one in (result.repeated, result.evaluation)}
    for arithmetic in get_args(Arithmetic):
        if arithmetic not in evaluations:
            evaluations[arithmetic] = evaluate_again(run, arithmetic, device=device, note=note)
    x = run.data.to_float(run.data.test_images[: record.cell.recipe.batch_size].to(device))
    note("timing the program beside the plain frozen network")
    plain = freeze(run.model, run.data.image)
    cases = {"plain": (plain, x), "program": (program, x)}
    cases |= {f"{name}_single": (model, x[:1]) for name, (model, _) in list(cases.items())}
    timed = {name: functools.partial(_inferred, model, images) for name, (model, images) in cases.items()}
    seconds = interleave(timed, rounds=ROUNDS, warmup=WARMUP, device=device)
    note("measuring what the program errs by")
    few, few_radii = x[:IMAGES], result.answers.radii[:IMAGES].to(device)
    bounds = certifier.errors(few, few_radii)
    modules = rounding_by_module(certifier, few)
    apart = certifier.logits(few) - certifier.model(few.to(torch.float64))
    return ArithmeticsRecord(
        cell=record.cell,
        started=record.started,
        revision=REVISION,
        machine=describe_machine(device),
        block=program.block,
        evaluations=(evaluations["real"], evaluations["float64"], evaluations["executed"]),
        images=len(few),
        measured=float(apart.norm(dim=1).amax()),
        bound=_finite(float(bounds.median())),
        modules=tuple(RoundingRecord(**asdict(one) | {"bound": _finite(one.bound)}) for one in modules),
        **seconds,
    )


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def _inferred(model: torch.nn.Module, x: Tensor) -> Tensor:
    result: Tensor = model(x)
    return result
