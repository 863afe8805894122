"""A rounding attack: inputs at the very edge of what is certified, and perturbations of a few units in the last place.

Where a network is evaluated in floating point, a radius that holds in real arithmetic is broken by inputs whose radius
is barely positive: Jin, Ohrimenko & Rubinstein, Getting a-Round Guarantees, 2022, arXiv 2205.10159. Shapes: B inputs of
shape S, attacked at N positions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .balls import Attacked, Balls, spread
from .radius import Certifier

HALVINGS = {torch.float32: 30, torch.float64: 60}
"""After so many a segment has no points between its ends."""
MIXINGS = 8
"""Steps between neighbouring points, of which each pixel then takes the one or the other."""
FULL = 0.995
"""Share of the radius that is used: what is left pays for rounding to the type of the program."""
ROOM = 0.25
"""Share of the pixels of which one can move by a unit in the last place inside a radius that is worth an attack."""


def rounding_attack(
    certifier: Certifier, x: Tensor, y: Tensor, *, keep: int = 4, probes: int = 64, seed: int = 0
) -> Attacked:
    """Finds inputs whose certified radius is barely positive, and moves them by units in the last place inside it.

    On the segment between each certified input and one that the model takes for another class, the end of the
    certified part is found by bisection in the type of the program; the last certified points on the way are attacked
    with the signs of the gradient and with random ones, on random subsets of those pixels whose units are small enough.
    One more probe of each point, and of each input itself, lies at the edge of its ball, along the gradient.

    Args:
        certifier: What is attacked; the radii are its own.
        x: Inputs, shape (B, *S).
        y: True classes, shape (B,).
        keep: Points to attack on each segment.
        probes: Perturbations of each point.
        seed: Of partners, subsets and signs.

    Returns:
        What was found; its inputs are the certified inputs and the points that were attacked.
    """
    generator = torch.Generator().manual_seed(seed)
    logits_BK = certifier.logits(x)
    sound_B = certifier.radii_of(logits_BK, x, y) > 0
    starts = sound_B.nonzero()[:, 0]
    partners = _partners(logits_BK.argmax(1), starts, generator)
    starts, partners = starts[partners >= 0], partners[partners >= 0]
    found, labels = _barely_certified(certifier, x[starts], y[starts], x[partners], keep=keep, generator=generator)
    points, labels = torch.cat([x[sound_B].to(found.dtype), found]), torch.cat([y[sound_B], labels])
    if not len(points):
        return Balls(certifier, points, labels, torch.zeros(1, 0, dtype=torch.float64)).result("rounding")
    balls = Balls(certifier, points, labels, certifier.radii(points, labels)[None])
    _probe(balls, int(sound_B.sum()), probes, generator)
    return balls.result("rounding")


def _partners(classes_B: Tensor, starts: Tensor, generator: torch.Generator) -> Tensor:
    """For each start the position of a random input that is taken for another class; -1 if there is none."""
    others = (classes_B[starts][:, None] != classes_B).to(torch.float64).cpu()
    lots = torch.rand(others.shape, generator=generator, dtype=torch.float64) * others
    best = lots.max(1)
    return torch.where(best.values > 0, best.indices, -1).to(starts.device)


def _barely_certified(
    certifier: Certifier, x: Tensor, y: Tensor, away: Tensor, *, keep: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The last certified points of segments that leave room for units in the last place, and their classes."""
    dtype = certifier.dtype_of(x)
    inner, outer = x.to(dtype), away.to(dtype)
    last = inner.expand(keep, *inner.shape).clone()
    if not len(x):
        return last.flatten(0, 1), y.repeat(keep)
    for step in range(HALVINGS[dtype] + MIXINGS):
        middle = inner + (outer - inner) / 2
        if step >= HALVINGS[dtype]:
            chosen = torch.rand(x.shape, generator=generator, dtype=torch.float64).to(x.device) < 0.5
            middle = torch.where(chosen, inner, outer)
        radii_B = certifier.radii(middle, y)
        units = _units(middle.flatten(1))
        room_B = radii_B > units.kthvalue(math.ceil(ROOM * units.shape[1]), dim=1).values
        further = spread(room_B & (middle != inner).flatten(1).any(1), x)
        last = torch.where(further, torch.cat([middle[None], last[:-1]]), last)
        certified = spread(radii_B > 0, x)
        inner, outer = torch.where(certified, middle, inner), torch.where(certified, outer, middle)
    return last.flatten(0, 1), y.repeat(keep)


def _units(x: Tensor) -> Tensor:
    """The distance from each number to the next larger in magnitude, in float64."""
    magnitudes = x.abs()
    return (torch.nextafter(magnitudes, torch.full_like(magnitudes, torch.inf)) - magnitudes).to(torch.float64)


def _probe(balls: Balls, ordinary: int, probes: int, generator: torch.Generator) -> None:
    """Probes at the edge of all balls; all others in those that are not around ordinary inputs, which are too large."""
    at = balls.standing()
    if len(at):
        down = -balls.gradient(balls.centre[at], at)
        balls.probe(balls.moved(down, at, edge=True), at)
        down, at = down[at >= ordinary], at[at >= ordinary]
    for number in range(probes):
        # A broken point needs no more; those that are left are thinned out now and then, for gathering costs as well.
        if number % 8 == 0:
            left = balls.leads_RB[0, at] > 0
            down, at = down[left], at[left]
        if not len(at):
            return
        balls.probe(_nudged(balls, down, at, generator, directed=number % 2 == 0), at)


def _nudged(balls: Balls, down: Tensor, at: Tensor, generator: torch.Generator, *, directed: bool) -> Tensor:
    """Points a few units in the last place from their centres, on as many random pixels as the radius allows."""
    centre, radii_N1 = balls.centre[at].flatten(1), balls.radii_RB[0, at][:, None]

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64).to(centre.device)

    size = centre.shape
    # Where pixels are dark, and units far below the radius, steps are what all pixels together have room for.
    steps = torch.maximum(_units(centre.to(balls.dtype)), radii_N1 * size[1] ** -0.5)
    several = steps * (1 + 3 * uniform(*size)).floor()
    steps = torch.where(several < FULL * radii_N1, several, steps)
    steps = steps.masked_fill(steps >= FULL * radii_N1, 0.0)
    signs = down.flatten(1).sign() if directed else torch.where(uniform(*size) < 0.5, -1.0, 1.0)
    # In every other row small steps go first, so that more pixels move.
    order = (uniform(*size) * torch.where(uniform(size[0], 1) < 0.5, steps, 1.0)).argsort(1)
    used = (steps / radii_N1).square().gather(1, order).cumsum(1)
    kept = torch.zeros(size, dtype=torch.bool, device=centre.device).scatter(1, order, used < FULL**2)
    return (centre + signs * steps.where(kept, torch.zeros_like(steps))).view_as(balls.centre[at])
