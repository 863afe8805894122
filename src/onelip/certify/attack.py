"""Attacks in the L2 norm: the other side of a certificate, which no attack inside a radius may break."""

from __future__ import annotations

import torch
from torch import Tensor

from .balls import Attacked, Balls, scaled
from .radius import Certifier


def margin_attack(
    certifier: Certifier, x: Tensor, y: Tensor, radii_B: Tensor, *, steps: int = 40, restarts: int = 2, seed: int = 0
) -> Attacked:
    """As `margin_attacks`, with one ball around each input."""
    return margin_attacks(certifier, x, y, radii_B[None], steps=steps, restarts=restarts, seed=seed)[0]


def margin_attacks(
    certifier: Certifier, x: Tensor, y: Tensor, radii_RB: Tensor, *, steps: int = 40, restarts: int = 2, seed: int = 0
) -> tuple[Attacked, ...]:
    """Projected gradient descent on the lead of the true class, in the arithmetic of the certifier's radii.

    Each step goes along the normalised gradient, from a quarter of the radius down to nothing, and is projected onto
    the ball; the last of each start lies at its very edge. Pixels may leave [0, 1]: certificates do not assume it.

    Args:
        certifier: What is attacked.
        x: Inputs, shape (B, *S).
        y: True classes, shape (B,).
        radii_RB: Radii of the balls around each input, shape (R, B).
        steps: Per start and ball.
        restarts: Starts: the first at the input itself, the others at random points of the sphere, and for half of
            their steps after the lead over one class after the other. Inputs that are broken need no further one.
        seed: Of the random points.

    Returns:
        What was found in each of the balls.

    Madry et al., ICLR 2018, arXiv 1706.06083, with the margin as loss; Gowal et al., 2019, arXiv 1910.09338 (one class
    after the other).
    """
    balls = Balls(certifier, x, y, radii_RB)
    generator = torch.Generator().manual_seed(seed)
    for ball in range(len(radii_RB)):
        for start in range(restarts):
            at = balls.standing(ball)
            if not len(at):
                break
            offset = torch.zeros_like(balls.centre[at])
            if start:
                noise = torch.randn(offset.shape, generator=generator, dtype=torch.float64).to(offset.device)
                offset = scaled(noise, balls.radii_RB[ball, at])
            _descend(balls, ball, at, offset, steps=steps, rank=max(start - 1, 0))
    return tuple(balls.result("margin", ball) for ball in range(len(radii_RB)))


def _descend(balls: Balls, ball: int, at: Tensor, offset: Tensor, *, steps: int, rank: int) -> None:
    for step in range(steps):
        points = balls.moved(offset, at, ball)
        gradient = balls.gradient(points, at, rank=rank if step < steps // 2 else 0)
        stride = 0.25 * balls.radii_RB[ball, at] * (1 - step / steps)
        offset = points - balls.centre[at] - scaled(gradient, stride)
    balls.probe(balls.moved(offset, at, ball, edge=True), at)
