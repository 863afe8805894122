"""A finished run in three arithmetics: what each certifies, what the float32 program takes and errs by."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import get_args

import torch
from torch import Tensor

from onelip.bench.arithmetics import REVISION, ArithmeticsRecord, RoundingRecord
from onelip.bench.measure.machine import describe_machine
from onelip.bench.measure.timing import interleave
from onelip.bench.single import Opened, Recertified, evaluate_again
from onelip.certify import Arithmetic
from onelip.certify.tightness import ModuleRounding, rounding_by_module
from onelip.nn.freeze import freeze

ROUNDS, SINGLE_ROUNDS, WARMUP = 12, 100, 2
"""Of batches, and of single images, whose milliseconds scatter more; rounds before either that do not count."""
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
    x, few = (_first(run, images, device) for images in (record.cell.recipe.batch_size, IMAGES))
    note("timing the program beside the plain frozen network")
    seconds = _times({"plain": freeze(run.model, run.data.image), "program": program}, x, device)
    note("measuring what the program errs by")
    bounds = certifier.errors(few, result.answers.radii[:IMAGES].to(device))
    modules = rounding_by_module(certifier, few)
    apart = certifier.logits(few) - certifier.model(few.to(torch.float64))
    return ArithmeticsRecord(
        cell=record.cell,
        started=record.started,
        revision=REVISION,
        machine=describe_machine(device),
        block=program.block,
        evaluations=(evaluations["real"], evaluations["float64"], evaluations["executed"]),
        timed=len(x),
        images=len(few),
        measured=_finite(float(apart.norm(dim=1).amax())),
        bound=_finite(float(bounds.median())),
        modules=tuple(map(_rounding, modules)),
        **seconds,
    )


def _times(models: Mapping[str, torch.nn.Module], x: Tensor, device: torch.device) -> dict[str, tuple[float, ...]]:
    """Seconds of inference of a batch and of its first image, by name; apart, for a batch empties caches of weights."""
    seconds: dict[str, tuple[float, ...]] = {}
    for suffix, images, rounds in (("", x, ROUNDS), ("_single", x[:1], SINGLE_ROUNDS)):
        cases = {f"{name}{suffix}": functools.partial(_inferred, model, images) for name, model in models.items()}
        seconds |= interleave(cases, rounds=rounds, warmup=WARMUP, device=device)
    return seconds


def _first(run: Opened, images: int, device: torch.device) -> Tensor:
    return run.data.to_float(run.data.test_images[:images].to(device))


def _rounding(module: ModuleRounding) -> RoundingRecord:
    """As a record; weights whose products overflow float32 err by NaN."""
    numbers = {name: _finite(getattr(module, name)) for name in ("measured", "bound", "passed_on")}
    return RoundingRecord(name=module.name, kind=module.kind, **numbers)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _inferred(model: torch.nn.Module, x: Tensor) -> Tensor:
    result: Tensor = model(x)
    return result
