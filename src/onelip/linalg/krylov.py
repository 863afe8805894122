"""Estimates of the largest eigenvalue, and the search for the smallest bound that can be proved above one."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .norms import CUT, product_error
from .rounding import UNIT_ROUNDOFF

STEPS, ROUNDING = 100, 1e-9
CHECK, CONVERGED = 10, 1e-11
"""After every so many steps the estimate is compared with the last one; what it may have grown by to be the last."""
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
    images, found = apply(basis), 0.0
    for step in range(1, min(STEPS, start.shape[-2])):
        if step % CHECK == 0:
            before, found = found, _ritz_value(basis, images)
            if found <= before * (1 + CONVERGED):
                return found
        vector = images[..., -1:]
        size = torch.linalg.vector_norm(vector, dim=-2, keepdim=True)
        for _ in range(2):
            vector = vector - basis @ (basis.mH @ vector)
        length = torch.linalg.vector_norm(vector, dim=-2, keepdim=True)
        # What is left of a vector of the space itself is rounding: it would not be orthogonal to the basis.
        vector = torch.where(length > ROUNDING * size, vector / length, 0.0)
        basis, images = torch.cat([basis, vector], dim=-1), torch.cat([images, apply(vector)], dim=-1)
    return _ritz_value(basis, images)


def smallest_proved(
    prove: Callable[[float], float | None],
    estimate: Callable[[], float],
    known: float,
    *,
    enough: float = 0.0,
    room: float = 0.0,
) -> float:
    """The smallest bound of an eigenvalue that can be proved, up to `TOLERANCE`; or any that is enough.

    Attempts begin at the estimate and move away from it until one succeeds; then they close in from both sides.

    Args:
        prove: A proved bound little above its argument, or None.
        estimate: Estimates the eigenvalue. After a failure it is asked again, for it may know better then.
        known: A bound that is known already.
        enough: A bound that needs not be improved.
        room: How far below what is enough the proof of it is tried, as a share.
    """
    if 0 < enough < known and (proved := prove(enough * (1 - room))) is not None and proved <= enough:
        return proved
    guess = 0.0
    while (better := estimate()) > guess:
        guess = better
        if guess >= known:
            return known
        if (proved := prove(guess * (1 + FIRST_EXCESS))) is not None:
            return proved
    return _closed_in(prove, guess, known) if guess > 0 else known


def room_for(rows: int, columns: int) -> float:
    """Four times what the rounding of a proof can amount to, over the norm of a matrix of this shape.

    Its squared Frobenius norm is at most the smaller side times its squared norm.
    """
    return 4 * min(rows, columns) * product_error(max(rows, columns))


def norm_proved(
    prove: Callable[[float], float | None],
    estimate: Callable[[], float],
    *,
    charge: float,
    known: float,
    wanted: float,
    room: float,
    tight: bool = False,
) -> float:
    """Upper bound of a norm, from bounds of its square that can be proved, see `smallest_proved`.

    It has room above what was proved, so that a machine that rounds otherwise proves it too; unless it is no more than
    was wanted.

    Args:
        prove: A proved bound of the square as computed, little above its argument, or None.
        estimate: Of the square.
        charge: What the square errs by.
        known: A bound of the norm that is known already.
        wanted: A bound of the norm that needs not be improved; 0 if none is wanted.
        room: See `room_for`.
        tight: Whether the known bound needs not be improved where none is wanted.
    """
    if known + CUT > wanted and not (tight and wanted <= 0):
        enough = max(wanted, 0.0) ** 2 * (1 - 32 * UNIT_ROUNDOFF) - charge
        square = smallest_proved(prove, estimate, known**2, enough=enough, room=room)
        known = min(math.sqrt(square + charge) * (1 + 4 * UNIT_ROUNDOFF), known)
    bound = known + CUT
    return bound if bound <= wanted else bound * (1 + room)


def _closed_in(prove: Callable[[float], float | None], guess: float, known: float) -> float:
    failed, attempt = FIRST_EXCESS, GROWTH * FIRST_EXCESS
    excess, best = known / guess - 1, known
    while attempt < excess:
        if (proved := prove(guess * (1 + attempt))) is not None:
            excess, best = attempt, proved
            break
        failed, attempt = attempt, GROWTH * attempt
    while excess - failed > TOLERANCE:
        attempt = (failed + excess) / 2
        proved = prove(guess * (1 + attempt))
        if proved is None:
            failed = attempt
        else:
            excess, best = attempt, min(best, proved)
    return best


def _ritz_value(basis: Tensor, images: Tensor) -> float:
    return float(torch.linalg.eigvalsh(basis.mH @ images).amax())
