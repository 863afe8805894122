"""What a trained network achieves on images: accuracy, and the whole curve of certified accuracy."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor, nn

from onelip.bench.data.base import ImageData
from onelip.bench.records import CURVE_STEPS, Evaluation
from onelip.certify import lipschitz_bound
from onelip.certify.radius import margins, radii_from_margins
from onelip.nn.freeze import freeze


@torch.no_grad()
def evaluate(model: nn.Module, data: ImageData, *, batch_size: int, device: torch.device) -> Evaluation:
    """Evaluates a network, moved to the device, on the test images.

    An image counts as correct if its class has the single largest logit: a tie or a NaN is neither correct nor robust.
    Evaluated and bounded is one frozen copy, with weights constructed anew, so that both speak of the same weights.

    Args:
        model: Maps (B, C, H, W) to logits (B, classes).
        data: Its test images are used.
        batch_size: Images per forward pass.
        device: Where to evaluate.

    Raises:
        UnsoundError: If the network has no proved and finite bound.
    """
    began = time.perf_counter()
    frozen = freeze(model.to(device), data.image)
    bound = lipschitz_bound(frozen, data.image)
    leads_N = torch.cat(
        [
            margins(frozen(data.to_float(images.to(device))), labels.to(device)).cpu()
            for images, labels in zip(
                data.test_images.split(batch_size), data.test_labels.split(batch_size), strict=True
            )
        ]
    )
    return Evaluation(
        images=len(leads_N),
        correct=int((leads_N > 0).sum()),
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
