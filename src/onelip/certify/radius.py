"""Certified radii from margins and Lipschitz bounds."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..bound import Bound
from ..errors import UnsoundError
from ..nn.freeze import freeze
from .lipschitz import lipschitz_bound


def margins(logits_BK: Tensor, y_B: Tensor) -> Tensor:
    """Logit of the true class minus the largest other one, float64, shape (B,); NaN and single classes give 0."""
    logits = logits_BK.to(torch.float64)
    if logits.shape[1] < 2:
        return logits.new_zeros(logits.shape[0])
    index = y_B[:, None]
    others = logits.scatter(1, index, -math.inf)
    margin = logits.gather(1, index)[:, 0] - others.amax(1)
    finite = torch.isfinite(logits).all(1)
    return torch.where(finite, margin, 0.0)


def radii_from_margins(margins_B: Tensor, bound: Bound) -> Tensor:
    """Margin / (sqrt(2) L), rounded down; 0 where the margin is not positive. Float64, shape (B,)."""
    slope = math.sqrt(2) * max(float(bound), math.ulp(0.0)) * (1 + 4e-16)
    radii = margins_B.to(torch.float64) / slope * (1 - 4e-16)
    return torch.where(radii > 0, radii, 0.0)


@torch.no_grad()
def certified_radius(model: nn.Module, x: Tensor, y: Tensor, *, bound: Bound | None = None) -> Tensor:
    """Radius around each input inside which no L2 perturbation changes the model's (correct) answer.

    (f_y - max_{i != y} f_i) / (sqrt(2) L), where L is `lipschitz_bound(model, x.shape[1:])`. A wrong answer, a tie, a
    NaN, an infinite logit or a single class gives 0. The radius holds in real arithmetic: rounding in the evaluation of
    the model is not paid for. Evaluated and bounded is `freeze(model)`, so that both speak of the very same weights.

    Args:
        model: A model with a known bound that maps (B, C, H, W) to logits (B, classes).
        x: Inputs, shape (B, C, H, W), pixels in the units that the radius shall have.
        y: True classes, shape (B,), integers.
        bound: The bound of this very model on inputs of this shape, where it is known; the model is then evaluated as
            it is, in eval mode. For many batches: `frozen = freeze(model, image)` and its bound.

    Returns:
        Radii of shape (B,), float64.

    Raises:
        UnsoundError: If the model has no proved bound, or computes in less than float32.
        ValueError: If shapes or labels do not fit.

    Tsuzuku, Sato & Sugiyama, NeurIPS 2018, arXiv 1802.04034.
    """
    if x.shape[:1] != y.shape or y.dim() != 1:
        raise ValueError(f"x {tuple(x.shape)} and y {tuple(y.shape)} must hold one label per input")
    if y.is_floating_point() or y.is_complex():
        raise ValueError(f"labels must be integers, not {y.dtype}")
    if bound is not None and not isinstance(bound, Bound):
        raise TypeError(f"bound must be an onelip.Bound, which lipschitz_bound gives, not {bound!r}")
    if bound is None:
        model = freeze(model, tuple(x.shape[1:]))
        bound = lipschitz_bound(model, tuple(x.shape[1:]))
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.autocast(x.device.type, enabled=False):
            logits = model.eval()(x)
    finally:
        for module, mode in modes.items():
            module.training = mode
    if logits.dim() != 2 or bool((y < 0).any()) or bool((y >= logits.shape[1]).any()):
        raise ValueError(f"labels must lie in [0, {logits.shape[-1]}) for logits of shape {tuple(logits.shape)}")
    if logits.dtype not in (torch.float32, torch.float64):
        raise UnsoundError(f"certificates need logits in float32 or float64, not {logits.dtype}")
    return radii_from_margins(margins(logits, y.to(torch.int64)), bound)
