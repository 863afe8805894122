"""What a trained network achieves on images: accuracy, and the whole curve of certified accuracy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from onelip.bench.data.base import ImageData
from onelip.bench.records import CURVE_STEPS, Evaluation, Recipe
from onelip.certify.radius import Arithmetic, Certifier, leads
from onelip.linalg.precision import full_precision
from onelip.nn.blocked import BLOCK
from onelip.nn.loss import MarginCrossEntropy

NOT_FINITE = 1e300


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a network says of the test images, and what is certified of it.

    Attributes:
        certifier: The network, frozen and bounded.
        logits: Shape (N, classes), float64.
        radii: Shape (N,).
        seconds: Time of evaluation and bound.
    """

    certifier: Certifier
    logits: Tensor
    radii: Tensor
    seconds: float


@torch.no_grad()
@full_precision()
def answers_of(
    model: nn.Module,
    data: ImageData,
    *,
    batch_size: int,
    device: torch.device,
    arithmetic: Arithmetic,
    block: int | None = BLOCK,
    note: Callable[[str], None] = lambda _: None,
) -> Answers:
    """Evaluates and certifies a network, moved to the device, on the test images, in full float32.

    Evaluated and bounded is one frozen copy, with weights constructed anew, so that both speak of the same weights.

    Args:
        model: Maps (B, C, H, W) to logits (B, classes).
        data: Its test images are used.
        batch_size: Images that are evaluated at a time.
        device: Where to evaluate.
        arithmetic: What the radii speak of.
        block: As of `onelip.certified_program`, for "executed".
        note: Is told how far it is.

    Raises:
        UnsoundError: If the network has no proved and finite bound.
    """
    began = time.perf_counter()
    note("bounding the layers")
    certifier = Certifier(model.to(device), data.image, arithmetic=arithmetic, block=block)
    logits, radii = [], []
    parts = (tensor.split(batch_size) for tensor in (data.test_images, data.test_labels))
    for images_BCHW, labels_B in zip(*parts, strict=True):
        x_BCHW, y_B = data.to_float(images_BCHW.to(device)), labels_B.to(device)
        logits_BK = certifier.logits(x_BCHW)
        logits.append(logits_BK.cpu())
        radii.append(certifier.radii_of(logits_BK, x_BCHW, y_B).cpu())
        note(f"{sum(map(len, radii))} of {len(data.test_labels)} images")
    seconds = time.perf_counter() - began
    return Answers(certifier=certifier, logits=torch.cat(logits), radii=torch.cat(radii), seconds=seconds)


def evaluate(
    model: nn.Module,
    data: ImageData,
    recipe: Recipe,
    *,
    device: torch.device,
    arithmetic: Arithmetic = "real",
    note: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Evaluates a network on the test images, see `answers_of` and `evaluation_of`."""
    answers = answers_of(model, data, batch_size=recipe.batch_size, device=device, arithmetic=arithmetic, note=note)
    return evaluation_of(answers, data, recipe)


def evaluation_of(answers: Answers, data: ImageData, recipe: Recipe) -> Evaluation:
    """Counts answers, and takes their mean loss.

    An image counts as correct if its class has the single largest logit: a tie or a NaN is neither correct nor robust.

    Args:
        answers: On the test images.
        data: With their labels.
        recipe: Its loss is used.
    """
    loss = MarginCrossEntropy(recipe.margin, recipe.temperature)
    parts = (tensor.split(recipe.batch_size) for tensor in (answers.logits, data.test_labels))
    losses = [float(loss(logits_BK, y_B)) * len(y_B) for logits_BK, y_B in zip(*parts, strict=True)]
    mean = math.fsum(losses) / len(data.test_labels)
    return Evaluation(
        images=len(data.test_labels),
        largest_class=int(data.test_labels.bincount().max()),
        correct=int((leads(answers.logits, data.test_labels).amin(1) > 0).sum()),
        loss=mean if math.isfinite(mean) else NOT_FINITE,
        certified=tuple(certified_counts(answers.radii)),
        lipschitz=max(float(answers.certifier.bound), math.ulp(0.0)),
        arithmetic=answers.certifier.arithmetic,
        seconds=answers.seconds,
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
