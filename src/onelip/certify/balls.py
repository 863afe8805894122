"""What attacks share: inputs, balls around them, and the worst point found in each ball.

No attack judges itself. A point counts if its distance, bounded from above in float64 with rounding charged, is smaller
than the radius, and what counts there are the certifier's own logits. Shapes: R balls around each of B inputs of
shape S.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..linalg.rounding import UP, norms
from .radius import Certifier, leads

EDGE = 1 - 2.0**-38
"""How near the edge points are put: nearer, the bound of the distance, whose rounding is charged, would exceed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """What an attack found in one ball around each input.

    Attributes:
        attack: Its name.
        inputs: The centres of the balls, as the program sees them, shape (B, *S), float64.
        labels: Their true classes, shape (B,).
        radii: Radii of the balls, shape (B,), float64.
        x: The worst point found strictly inside each ball, shape (B, *S), float64; the centre if none was tried.
        leads: Logit of the true class minus the largest other one there, shape (B,), float64; infinite if none was
            tried.
        tried: Points strictly inside a ball, other than its centre, that were evaluated, all together.
    """

    attack: str
    inputs: Tensor
    labels: Tensor
    radii: Tensor
    x: Tensor
    leads: Tensor
    tried: int

    @property
    def broken(self) -> Tensor:
        """Which inputs lost their answer inside their ball, shape (B,)."""
        return self.leads <= 0

    def chosen(self, chosen_B: Tensor) -> Attacked:
        """The same of some of the inputs."""
        kept = {name: getattr(self, name)[chosen_B] for name in ("inputs", "labels", "radii", "x", "leads")}
        return Attacked(attack=self.attack, tried=self.tried, **kept)


class Balls:
    """Balls around inputs, under attack.

    Args:
        certifier: What is attacked.
        x: Inputs, shape (B, *S); they are rounded to what the certifier's model takes.
        y: True classes, shape (B,).
        radii_RB: Radii of the R balls around each input; in a ball of radius 0 there is nothing to try.
    """

    def __init__(self, certifier: Certifier, x: Tensor, y: Tensor, radii_RB: Tensor) -> None:
        self.certifier, self.y, self.dtype = certifier, y, certifier.dtype_of(x)
        self.centre = x.detach().to(self.dtype).to(torch.float64)
        self.radii_RB = radii_RB.to(torch.float64)
        self.leads_RB = torch.full_like(self.radii_RB, math.inf)
        self.worst = self.centre.expand(len(radii_RB), *x.shape).clone()
        self.tried = [0] * len(radii_RB)

    def result(self, attack: str, ball: int = 0) -> Attacked:
        """What was found in one of the balls around each input."""
        return Attacked(
            attack=attack,
            inputs=self.centre,
            labels=self.y,
            radii=self.radii_RB[ball],
            x=self.worst[ball],
            leads=self.leads_RB[ball],
            tried=self.tried[ball],
        )

    def standing(self, ball: int = 0) -> Tensor:
        """Positions of the inputs that are not broken, and whose ball is not empty."""
        return ((self.leads_RB[ball] > 0) & (self.radii_RB[ball] > 0)).nonzero()[:, 0]

    def moved(self, offset: Tensor, at: Tensor, ball: int = 0, *, edge: bool = False) -> Tensor:
        """The points of the balls next to centre + offset, in the program's type; on request at the edge behind them.

        Args:
            offset: Shape (N, *S), one for each position.
            at: Positions of the inputs, shape (N,).
            ball: Which of the balls.
            edge: Whether to go as far as the ball reaches.
        """
        centre, radii_N = self.centre[at], self.radii_RB[ball, at]
        norms_N = norms(offset.flatten(1))
        # Adding the offset rounds every pixel.
        largest_N = centre.flatten(1).abs().amax(1) + radii_N
        rounded_N = torch.finfo(self.dtype).eps * largest_N * centre[0].numel() ** 0.5
        limits_N = (radii_N * EDGE - rounded_N).clamp(min=0)
        return self.rounded(centre + scaled(offset, limits_N if edge else torch.minimum(norms_N, limits_N)))

    def rounded(self, points: Tensor) -> Tensor:
        """The points as the program sees them, in float64."""
        return points.detach().to(self.dtype).to(torch.float64)

    @torch.no_grad()
    def record(self, points: Tensor, logits_NK: Tensor, at: Tensor) -> None:
        """Takes note of points whose logits are known, in those balls that they lie strictly inside of.

        Args:
            points: Shape (N, *S).
            logits_NK: As the certifier gives them for these points.
            at: Positions of the inputs that they belong to, shape (N,), each at most once.
        """
        points = self.rounded(points)
        offset = (points - self.centre[at]).flatten(1)
        # The differences round, too.
        inside_RN = (norms(offset) * UP < self.radii_RB[:, at]) & (offset != 0).any(1)
        found_N = leads(logits_NK, self.y[at]).amin(1)
        for ball, inside_N in enumerate(inside_RN):
            self.tried[ball] += int(inside_N.sum())
            better_N = inside_N & (found_N < self.leads_RB[ball, at])
            self.leads_RB[ball, at[better_N]] = found_N[better_N]
            self.worst[ball, at[better_N]] = points[better_N]

    def probe(self, points: Tensor, at: Tensor) -> None:
        """Evaluates points, and takes note."""
        self.record(points, self.certifier.logits(points), at)

    def gradient(self, points: Tensor, at: Tensor, rank: int = 0) -> Tensor:
        """Evaluates points and takes note; the gradient of the lead over one other class, the least lead by default.

        Args:
            points: Shape (N, *S).
            at: As for `record`.
            rank: Over which class: counted from the one that comes nearest at the point, over and over.

        Returns:
            Gradients, shape (N, *S), float64.
        """
        with torch.enable_grad():
            x = points.detach().requires_grad_()
            logits_NK = self.certifier.evaluated(x)
            sorted_NK = leads(logits_NK, self.y[at]).sort(1).values
            # The last one is that of the true class itself, infinite.
            chosen = rank % max(sorted_NK.shape[1] - 1, 1)
            (gradient,) = torch.autograd.grad(sorted_NK[:, chosen].sum(), x)
        self.record(points, logits_NK.detach(), at)
        return gradient


def scaled(offset: Tensor, lengths_N: Tensor) -> Tensor:
    """Offsets of shape (N, *S), made this long; those without a direction stay 0."""
    norms_N = torch.linalg.vector_norm(offset.flatten(1), dim=1).clamp(min=1e-300)
    return offset * spread(lengths_N / norms_N, offset)


def spread(values_N: Tensor, like: Tensor) -> Tensor:
    """One value per input, shaped so that it multiplies inputs of shape (N, *S)."""
    return values_N.view(-1, *[1] * (like.dim() - 1))
