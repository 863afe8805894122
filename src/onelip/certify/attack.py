"""Attacks in the L2 norm: the other side of a certificate, which no attack inside a radius may break."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .radius import Certifier, leads

EDGE = 1 - 2.0**-40
"""How near the edge of a ball the attacks go: nearer, the rounding of the norm could lead out of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """What an attack found.

    Attributes:
        x: The attacked inputs, each strictly inside its ball, shape (B, C, H, W), float64.
        leads: Logit of the true class minus the largest other one there, shape (B,); an input with a lead that is not
            positive lost its answer.
        tried: Perturbed inputs that were evaluated, all together.
    """

    x: Tensor
    leads: Tensor
    tried: int


def margin_attack(
    certifier: Certifier, x: Tensor, y: Tensor, radii_B: Tensor, *, steps: int = 40, restarts: int = 2, seed: int = 0
) -> Attacked:
    """Projected gradient descent on the lead of the true class, in the arithmetic of the certifier's radii.

    Each step goes along the normalised gradient, from a quarter of the radius down to nothing, and is projected onto
    the ball; the last of each start lies at its very edge. Pixels may leave [0, 1]: certificates do not assume it.

    Args:
        certifier: What is attacked.
        x: Inputs, shape (B, C, H, W).
        y: True classes, shape (B,).
        radii_B: Radius of each input's ball, shape (B,).
        steps: Per start.
        restarts: Starts: the first at the input itself, the others at random points of the sphere.
        seed: Of the random points.

    Madry et al., ICLR 2018, arXiv 1706.06083, with the margin as loss.
    """
    generator = torch.Generator().manual_seed(seed)
    centre, radii_B = x.detach().to(torch.float64), radii_B.to(torch.float64)
    if not len(x):
        return Attacked(x=centre, leads=radii_B, tried=0)
    best_x, best_B = centre, _leads(certifier, centre, y)
    for start in range(restarts):
        offset = torch.zeros_like(centre)
        if start:
            noise = torch.randn(centre.shape, generator=generator, dtype=torch.float64).to(centre.device)
            offset = _scaled(noise, radii_B)
        for step in range(steps + 1):
            point = _inside(centre, offset, radii_B, edge=step == steps)
            found_B, gradient = _lead_and_gradient(certifier, point, y)
            better = found_B < best_B
            best_B = torch.where(better, found_B, best_B)
            best_x = torch.where(better[:, None, None, None], point, best_x)
            offset = point - centre - _scaled(gradient, 0.25 * radii_B * (1 - step / steps))
    return Attacked(x=best_x, leads=best_B, tried=len(x) * (restarts * (steps + 1) + 1))


def _leads(certifier: Certifier, x: Tensor, y: Tensor) -> Tensor:
    return leads(certifier.logits(x), y).amin(1)


def _lead_and_gradient(certifier: Certifier, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        found_B = leads(certifier.evaluated(x), y).amin(1)
        (gradient,) = torch.autograd.grad(found_B.sum(), x)
    return found_B.detach(), gradient


def _scaled(offset: Tensor, lengths_B: Tensor) -> Tensor:
    norms_B = torch.linalg.vector_norm(offset.flatten(1), dim=1).clamp(min=1e-300)
    return offset * (lengths_B / norms_B)[:, None, None, None]


def _inside(centre: Tensor, offset: Tensor, radii_B: Tensor, *, edge: bool) -> Tensor:
    """The point of the ball next to centre + offset, rounding included; on request the one at the edge behind it."""
    norms_B = torch.linalg.vector_norm(offset.flatten(1), dim=1)
    # Adding the offset rounds every pixel.
    rounded_B = 2.0**-52 * centre.flatten(1).abs().amax(1) * centre[0].numel() ** 0.5
    limits_B = radii_B * EDGE - rounded_B
    point = centre + _scaled(offset, limits_B if edge else torch.minimum(norms_B, limits_B))
    outside = torch.linalg.vector_norm((point - centre).flatten(1), dim=1) >= radii_B * EDGE
    return torch.where(outside[:, None, None, None] | (limits_B <= 0)[:, None, None, None], centre, point)
