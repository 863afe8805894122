"""What a trained network achieves on images: accuracy, and the whole curve of certified accuracy."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor, nn

from onelip.bench.data.base import ImageData
from onelip.bench.measure.precision import full_precision
from onelip.bench.records import CURVE_STEPS, Evaluation, Recipe
from onelip.certify.radius import Arithmetic, Certifier, leads
from onelip.nn.loss import MarginCrossEntropy

NOT_FINITE = 1e300


@torch.no_grad()
@full_precision()
def evaluate(
    model: nn.Module, data: ImageData, recipe: Recipe, *, device: torch.device, arithmetic: Arithmetic = "real"
) -> Evaluation:
    """Evaluates a network, moved to the device, on the test images, in full float32.

    An image counts as correct if its class has the single largest logit: a tie or a NaN is neither correct nor robust.
    Evaluated and bounded is one frozen copy, with weights constructed anew, so that both speak of the same weights.

    Args:
        model: Maps (B, C, H, W) to logits (B, classes).
        data: Its test images are used.
        recipe: Its loss and its batch size are used.
        device: Where to evaluate.
        arithmetic: What the radii speak of.

    Raises:
        UnsoundError: If the network has no proved and finite bound.
    """
    began = time.perf_counter()
    certifier = Certifier(model.to(device), data.image, arithmetic=arithmetic)
    loss = MarginCrossEntropy(recipe.margin, recipe.temperature)
    correct, radii, losses = 0, [], []
    parts = (tensor.split(recipe.batch_size) for tensor in (data.test_images, data.test_labels))
    for images_BCHW, labels_B in zip(*parts, strict=True):
        x_BCHW, y_B = data.to_float(images_BCHW.to(device)), labels_B.to(device)
        logits_BK = certifier.logits(x_BCHW)
        radii.append(certifier.radii_of(logits_BK, x_BCHW, y_B).cpu())
        correct += int((leads(logits_BK, y_B).amin(1) > 0).sum())
        losses.append(float(loss(logits_BK, y_B)) * len(y_B))
    mean = math.fsum(losses) / len(data.test_labels)
    return Evaluation(
        images=len(data.test_labels),
        largest_class=int(data.test_labels.bincount().max()),
        correct=correct,
        loss=mean if math.isfinite(mean) else NOT_FINITE,
        certified=tuple(certified_counts(torch.cat(radii))),
        lipschitz=max(float(certifier.bound), math.ulp(0.0)),
        arithmetic=arithmetic,
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
