"""A finished run diagnosed: what every module of its network does to the first test images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from onelip.bench.depth import DepthRecord, ModuleRecord
from onelip.bench.records import TrainRecord
from onelip.bench.single import Opened
from onelip.certify.diagnose import LayerDiagnosis, diagnose
from onelip.nn.loss import MarginCrossEntropy


def diagnose_run(
    run: Opened, *, images: int, device: torch.device, note: Callable[[str], None]
) -> tuple[LayerDiagnosis, ...]:
    """Diagnoses a network module by module on the first test images, with the loss of its run.

    Args:
        run: See `open_run`.
        images: How many; all where there are fewer.
        device: Where to evaluate.
        note: Is told what is being done.

    Raises:
        UnsupportedShapeError: There is one image only, which has no variance.
    """
    recipe, data = run.record.cell.recipe, run.data
    x, y = (tensor[:images].to(device) for tensor in (data.test_images, data.test_labels))
    loss = MarginCrossEntropy(recipe.margin, recipe.temperature)
    return diagnose(run.model.to(device), data.to_float(x), y, loss=loss, note=note)


def depth_record(record: TrainRecord, layers: Sequence[LayerDiagnosis], images: int) -> DepthRecord:
    """A diagnosis as a record; what is not finite is not there."""
    return DepthRecord(
        cell=record.cell,
        started=record.started,
        images=images,
        modules=tuple(
            ModuleRecord(
                name=layer.name,
                kind=layer.kind,
                shape=layer.shape,
                parametrised=layer.parametrised,
                variance=_finite(layer.variance),
                growth=_finite(layer.growth),
                bound=_finite(layer.bound),
                preservation=_finite(layer.preservation),
                gradient=_finite(layer.gradient),
                broken=layer.broken,
            )
            for layer in layers
        ),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
