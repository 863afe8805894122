"""Estimates of the largest eigenvalue, and the search for the smallest bound that can be proved above one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

STEPS, ROUNDING = 100, 1e-9
FIRST_EXCESS, GROWTH = 1e-8, 10.0
"""How far above the estimate the first attempt of a proof lies, and the growth of that per failure."""
TOLERANCE = 1e-6
"""How near the smallest shift that can be proved lies to one that cannot, over the estimate."""


def largest_eigenvalue_estimate(apply: Callable[[Tensor], Tensor], start: Tensor) -> float:
    """The largest eigenvalue of a stack of symmetric operators, each on a Krylov space, from below.

    Args:
        apply: The operators, on stacks of vectors (F, N, 1).
        start: Where to begin, shape (F, N, 1).
    """
    basis = start / torch.linalg.vector_norm(start, dim=-2, keepdim=True)
    images = apply(basis)
    for _ in range(min(STEPS, start.shape[-2]) - 1):
        vector = images[..., -1:]
        before = torch.linalg.vector_norm(vector, dim=-2, keepdim=True)
        for _ in range(2):
            vector = vector - basis @ (basis.mH @ vector)
        length = torch.linalg.vector_norm(vector, dim=-2, keepdim=True)
        # What is left of a vector of the space itself is rounding: it would not be orthogonal to the basis.
        vector = torch.where(length > ROUNDING * before, vector / length, 0.0)
        basis, images = torch.cat([basis, vector], dim=-1), torch.cat([images, apply(vector)], dim=-1)
    return float(torch.linalg.eigvalsh(basis.mH @ images).amax())


def smallest_proved(prove: Callable[[float], float | None], estimate: float, known: float) -> float:
    """The smallest bound of an eigenvalue that can be proved, up to `TOLERANCE`.

    Attempts begin at the estimate and move away from it until one succeeds; then they close in from both sides.

    Args:
        prove: A proved bound little above its argument, or None.
        estimate: Of the eigenvalue.
        known: A bound that is known already.
    """
    if not 0 < estimate < known:
        return known
    failed, excess, best = 0.0, known / estimate - 1, known
    attempt = FIRST_EXCESS
    while failed < attempt < excess and (proved := prove(estimate * (1 + attempt))) is None:
        failed, attempt = attempt, GROWTH * attempt
    if attempt < excess and proved is not None:
        excess, best = attempt, proved
    while excess - failed > TOLERANCE:
        attempt = (failed + excess) / 2
        proved = prove(estimate * (1 + attempt))
        if proved is None:
            failed = attempt
        else:
            excess, best = attempt, min(best, proved)
    return best
