"""What a trained network achieves on images: accuracy, and the whole curve of certified accuracy."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor, nn

from onelip.bench.data.base import ImageData
from onelip.bench.measure.precision import full_precision
from onelip.bench.records import CURVE_STEPS, Evaluation, Recipe
from onelip.certify import lipschitz_bound
from onelip.certify.radius import margins, radii_from_margins
from onelip.nn.freeze import freeze
from onelip.nn.loss import MarginCrossEntropy

NOT_FINITE = 1e300


@torch.no_grad()
@full_precision()
def evaluate(model: nn.Module, data: ImageData, recipe: Recipe, *, device: torch.device) -> Evaluation:
    """Evaluates a network, moved to the device, on the test images, in full float32.

    An image counts as correct if its class has the single largest logit: a tie or a NaN is neither correct nor robust.
    Evaluated and bounded is one frozen copy, with weights constructed anew, so that both speak of the same weights.

    Args:
        model: Maps (B, C, H, W) to logits (B, classes).
        data: Its test images are used.
        recipe: Its loss and its batch size are used.
        device: Where to evaluate.

    Raises:
        UnsoundError: If the network has no proved and finite bound.
    """
    began = time.perf_counter()
    frozen = freeze(model.to(device), data.image)
    bound = lipschitz_bound(frozen, data.image)
    loss = MarginCrossEntropy(recipe.margin, recipe.temperature)
    leads, losses = [], []
    parts = (tensor.split(recipe.batch_size) for tensor in (data.test_images, data.test_labels))
    for images_BCHW, labels_B in zip(*parts, strict=True):
        logits_BK = frozen(data.to_float(images_BCHW.to(device))).cpu()
        leads.append(margins(logits_BK, labels_B))
        losses.append(float(loss(logits_BK.double(), labels_B)) * len(labels_B))
    leads_N, mean = torch.cat(leads), math.fsum(losses) / len(data.test_labels)
    return Evaluation(
        images=len(leads_N),
        largest_class=int(data.test_labels.bincount().max()),
        correct=int((leads_N > 0).sum()),
        loss=mean if math.isfinite(mean) else NOT_FINITE,
        certified=tuple(certified_counts(radii_from_margins(leads_N, bound))),
        lipschitz=max(float(bound), math.ulp(0.0)),
        seconds=time.perf_counter() - began,
    )


def certified_counts(radii_N: Tensor) -> list[int]:
    """How many radii are greater than k/255, for k = 0 .. `CURVE_STEPS`.

    No float64 lies between k/255 and the float64 nearest to it, so that rounding the threshold never lets a radius
    through that is not greater.
    """
    thresholds_K = torch.arange(CURVE_STEPS + 1, dtype=torch.float64, device=radii_N.device) / 255
    ordered_N = radii_N.to(torch.float64).sort().values
    below_K = torch.searchsorted(ordered_N, thresholds_K, right=True)
    return [int(count) for count in len(radii_N) - below_K]
